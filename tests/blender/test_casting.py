"""Choosing the character in the panel: rendered from the rig, shown small, looked at by the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
from footage import noise, write_png
from panel import until_done, use
from serving import Served

from wan_animate_blender import desk

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def person(edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object) -> Any:
    """The one person of the active strip, with a rig and no character."""
    strip = film("plate")
    edit.sequence_editor.active_strip = strip
    person = strip.wan_animate.add_person()
    person.rig = metarig
    return person


def test_a_figure_can_be_rendered_as_the_character(person: Any) -> None:
    assert bpy.ops.wan_animate.render_character(frame=12.0) == {"FINISHED"}
    assert tuple(person.character.size) == (80, 48)
    assert person.character.packed_file
    assert person.character.preview


def test_another_camera_and_frame_give_another_picture(person: Any, edit: bpy.types.Scene) -> None:
    near = bpy.data.objects.new("near", bpy.data.cameras.new("near"))
    edit.collection.objects.link(near)
    near.location, near.rotation_euler = (0.0, -2.0, 1.8), (1.57, 0.0, 0.0)
    pictures = set()
    for asked in ({"frame": 1.0}, {"frame": 20.0}, {"frame": 12.0, "camera": "near"}):
        bpy.ops.wan_animate.render_character(**asked)
        pictures.add(tuple(person.character.pixels[:]))
    assert len(pictures) == 3


def test_without_a_rig_there_is_nothing_to_render(person: Any) -> None:
    person.rig = None
    with pytest.raises(RuntimeError, match="Choose the rig"):
        bpy.ops.wan_animate.render_character()


def test_the_server_says_what_it_sees_in_the_picture(person: Any, served: Served, tmp_path: Path) -> None:
    use(served)
    person.character = bpy.data.images.load(str(write_png(tmp_path / "hero.png", noise(99, 300, 400))))
    assert bpy.ops.wan_animate.check_character() == {"FINISHED"}
    until_done(desk.CHARACTER)
    news = desk.latest[desk.CHARACTER]
    assert news.problem is None
    assert (news.result or "").startswith("hero.png: No face was found")
