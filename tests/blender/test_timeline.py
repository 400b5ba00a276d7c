"""Strips, ranges and channels read alike in every Blender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import pytest
from footage import new_effect

from wan_animate_blender import timeline
from wan_animate_blender.wire import BadInput


def test_a_strip_knows_its_range_and_where_its_footage_lies(film: Callable[..., Any]) -> None:
    strip = film(frames=20, first=100)
    timeline.set_frame_range(strip, 105, 117)
    assert timeline.frame_range(strip) == (105, 117)
    assert timeline.content(strip) == timeline.Content(first=100, end=120, frames=20, trimmed=0)


def test_an_effect_shows_all_of_itself(edit: bpy.types.Scene) -> None:
    colour = new_effect(edit.sequence_editor, "COLOR", 1, 10, 30)
    assert timeline.content(colour) == timeline.Content(first=10, end=30, frames=20, trimmed=0)


def test_a_strip_inside_metas_is_found_with_the_metas_around_it(
    edit: bpy.types.Scene, film: Callable[..., Any]
) -> None:
    strip = film()
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=3, frame_start=10)
    strip.move_to_meta(meta)
    assert [s.name for s in timeline.path(edit.sequence_editor, "plate")] == ["meta", "plate"]
    assert timeline.path(edit.sequence_editor, "nobody") == []


def test_a_free_channel_is_unlocked_and_has_nothing_in_the_range(
    edit: bpy.types.Scene, film: Callable[..., Any]
) -> None:
    film("a", channel=1, first=10, frames=10)
    film("b", channel=2, first=20, frames=10)
    editor = edit.sequence_editor
    editor.channels[3].lock = True
    assert timeline.free_channel(editor, 20, 30) == 1
    assert timeline.free_channel(editor, 15, 25) == 4
    assert timeline.free_channel(editor, 10, 12, above=1) == 2
    for channel in editor.channels:
        channel.lock = True
    with pytest.raises(BadInput, match="no channel is free from frame 10 to 11"):
        timeline.free_channel(editor, 10, 12)


def test_an_image_sequence_has_one_frame_for_each_file(film: Callable[..., Any]) -> None:
    strip = film(frames=7, first=3, channel=5)
    assert (timeline.frame_range(strip), strip.channel, len(strip.elements)) == ((3, 10), 5, 7)


def test_the_edited_scene_is_the_windows_where_none_is_set(edit: bpy.types.Scene) -> None:
    assert timeline.sequencer_scene(bpy.context) == edit
