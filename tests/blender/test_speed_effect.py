"""Through a Speed effect and through other effects: the footage's frame is known there too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect
from numbered import (
    Change,
    rendered,
    shown_of,
    table,
)

from wan_animate_blender import footage, timeline

Film = Callable[..., Any]


def stretched(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "STRETCH"
    timeline.set_frame_range(effect.input_1, 24, 44)


def slowed(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control, effect.speed_factor = "MULTIPLY", 0.4


def sped_up(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control, effect.speed_factor = "MULTIPLY", 2.3


def backwards(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control, effect.speed_factor = "MULTIPLY", -0.7


def ramped(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "MULTIPLY"
    for frame, factor in ((20, 0.2), (40, 1.0), (58, 2.0)):
        effect.speed_factor = factor
        effect.keyframe_insert("speed_factor", frame=frame)
    effect.speed_factor = factor  # Blender sums the factors up when one is set, and when a file is opened


def told_by_number(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "FRAME_NUMBER"
    for frame, number in ((20, 30), (59, 3)):
        effect.speed_frame_number = number
        effect.keyframe_insert("speed_frame_number", frame=frame)


def told_by_length(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "LENGTH"
    for frame, part in ((20, 0.0), (59, 80.0)):
        effect.speed_length = part
        effect.keyframe_insert("speed_length", frame=frame)


def reversed_itself(scene: bpy.types.Scene, effect: Any) -> None:
    slowed(scene, effect)
    effect.use_reverse_frames = True


SPEEDS = [stretched, slowed, sped_up, backwards, ramped, told_by_number, told_by_length, reversed_itself]


@pytest.mark.parametrize("change", SPEEDS, ids=lambda change: change.__name__)
def test_a_speed_effect_shows_the_frames_of_its_input_that_the_table_says(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    effect = new_effect(edit.sequence_editor, "SPEED", 2, 20, 60, numbers)
    effect.use_frame_interpolate = False
    change(edit, effect)
    assert shown_of(effect, tmp_path / "out") == table(effect)


@pytest.mark.parametrize("change", [slowed, sped_up, ramped, stretched], ids=lambda change: change.__name__)
def test_an_interpolating_speed_effect_is_between_two_frames_as_the_table_says(
    edit: bpy.types.Scene, film: Film, tmp_path: Path, change: Change
) -> None:
    levels = film("numbers", lambda i: np.full((48, 80, 3), 5 * i, np.uint8), frames=40, first=20)
    effect = new_effect(edit.sequence_editor, "SPEED", 2, 20, 60, levels)
    effect.use_frame_interpolate = True
    change(edit, effect)
    seen = [pixels.mean() / 5 for pixels in rendered(edit, range(*timeline.frame_range(effect)), tmp_path / "out")]
    assert np.abs(np.subtract(seen, table(effect))).max() < 0.3, "a level of 8 bits is 0.2 frames"
    assert any(source % 1 for source in table(effect))


def test_the_input_of_a_speed_effect_and_an_effect_on_footage_count_the_footage(
    edit: bpy.types.Scene, numbers: Any
) -> None:
    timeline.set_frame_range(numbers, 25, 50)
    slowed(edit, new_effect(edit.sequence_editor, "SPEED", 2, 25, 50, numbers))
    blurred = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 3, 25, 50, numbers)
    assert table(numbers) == list(range(5, 30)) == table(blurred)
    assert footage.handles([], blurred) == (0, 0)


def test_an_effect_that_makes_its_picture_counts_its_own_frames(edit: bpy.types.Scene) -> None:
    colour = new_effect(edit.sequence_editor, "COLOR", 1, 10, 30)
    assert timeline.frame_range(colour) == (10, 30)
    assert footage.handles([], colour) == (0, 0)
    assert footage.sources([], colour, (10, 15, 29)) == [0, 5, 19]


def test_a_crossfade_counts_its_own_frames_for_it_shows_two_footages(edit: bpy.types.Scene, film: Film) -> None:
    first, second = film("a", frames=20, first=10), film("b", frames=20, first=20, channel=2)
    cross = new_effect(edit.sequence_editor, "CROSS", 3, 20, 30, first, second)
    assert table(cross) == list(range(10))
