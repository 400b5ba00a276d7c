"""Where the running Blender keeps what Python is not shown."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import bpy
import pytest

from wan_animate_blender import dna
from wan_animate_blender.wire import Unavailable


def test_fields_that_python_shows_too_are_read_alike(edit: bpy.types.Scene, film: Callable[..., Any]) -> None:
    strip = film(frames=17, first=33)
    strip.strobe, strip.use_flip_x, strip.channel = 2.5, True, 7
    memory, address = dna.layout("Sequence", "len", "start", "strobe", "blend_opacity"), strip.as_pointer()
    assert memory.read(address, "len") == 17
    assert memory.read(address, "start") == 33.0
    assert memory.read(address, "strobe") == 2.5
    assert memory.read(address, "blend_opacity") == 100.0


def test_structs_lie_one_after_the_other_in_an_array(edit: bpy.types.Scene, film: Callable[..., Any]) -> None:
    strip = film(frames=5)
    addresses = [element.as_pointer() for element in strip.elements]
    size = dna.layout("StripElem", "orig_width").size
    assert {after - before for before, after in itertools.pairwise(addresses)} == {size}


def test_reading_adds_nothing_to_the_users_data(edit: bpy.types.Scene) -> None:
    dna._layouts.cache_clear()
    before = len(bpy.data.texts), len(bpy.data.libraries), bpy.data.filepath
    dna.layout("Object")
    assert (len(bpy.data.texts), len(bpy.data.libraries), bpy.data.filepath) == before


@pytest.mark.parametrize("asked", [("Nothing",), ("Sequence", "no_such_field"), ("Sequence", "name")])
def test_what_this_blender_does_not_have_or_is_no_number_is_told_in_a_sentence(asked: tuple[str, ...]) -> None:
    dna.layout.cache_clear()
    with pytest.raises(Unavailable, match=rf"Blender \S+.* keeps {asked[0]} in a way .* update the add-on"):
        dna.layout(*asked)
