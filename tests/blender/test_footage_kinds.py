"""Metas, scenes, masks and clips: which moment of them a strip shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from numbered import (
    Change,
    cut_hard,
    freeze,
    in_order,
    operate,
    plain,
    rendered,
    reverse,
    shown,
    shown_of,
    strobe,
    strobe_between_frames,
    table,
    trim,
)

from wan_animate_blender import footage, timeline
from wan_animate_blender.wire import BadInput

Film = Callable[..., Any]


def into_meta(scene: bpy.types.Scene, *inner: Any, name: str = "meta", channel: int = 5) -> Any:
    """A meta strip at the scene's first level around `inner`, as long as they are."""
    meta = timeline.strips(scene.sequence_editor).new_meta(name=name, channel=channel, frame_start=1)
    for strip in inner:
        strip.move_to_meta(meta)
        timeline.set_frame_range(strip, *timeline.frame_range(strip))  # else 4.5 leaves the meta's length
    timeline.set_frame_range(
        meta, min(timeline.frame_range(s)[0] for s in inner), max(timeline.frame_range(s)[1] for s in inner)
    )
    return meta


def test_metas_around_a_strip_cut_it_and_leave_its_frames_where_they_are(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path
) -> None:
    timeline.set_frame_range(numbers, 25, 55)
    inner = into_meta(edit, numbers, name="inner")
    timeline.set_frame_range(inner, 30, 50)
    outer = into_meta(edit, inner, name="outer", channel=6)
    timeline.set_frame_range(outer, 28, 45)
    assert shown(edit, range(30, 45), tmp_path / "out") == table(numbers, 30, 45) == list(range(10, 25))
    assert footage.handles(timeline.path(edit.sequence_editor, "numbers")[:-1], numbers) == (0, 0)


def test_handles_inside_a_meta_end_where_the_meta_ends(edit: bpy.types.Scene, numbers: Any) -> None:
    meta = into_meta(edit, numbers)
    timeline.set_frame_range(numbers, 30, 40)
    timeline.set_frame_range(meta, 26, 58)
    assert footage.handles([meta], numbers) == (4, 18)


@pytest.mark.parametrize("change", [plain, trim, reverse, in_order(reverse, trim), strobe], ids=lambda c: c.__name__)
def test_a_meta_strip_counts_the_frames_of_what_is_in_it(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    meta = into_meta(edit, numbers)
    change(edit, meta)
    assert shown_of(meta, tmp_path / "out") == table(meta)


@pytest.mark.parametrize(
    "change", [reverse, strobe, *([freeze] if bpy.app.version >= (5, 0) else [])], ids=lambda change: change.__name__
)
def test_a_strip_in_a_meta_that_plays_at_another_pace_is_refused(
    edit: bpy.types.Scene, numbers: Any, change: Change
) -> None:
    change(edit, into_meta(edit, numbers))
    with pytest.raises(BadInput, match=r"the meta strip 'meta' plays what is in it reversed, strobed or retimed; gen"):
        table(numbers)


@pytest.fixture
def glow(edit: bpy.types.Scene) -> Any:
    """A strip at frame 20 of a scene that begins at its frame 5 and is a hundredth brighter in every frame."""
    inside = bpy.data.scenes.new("glow")
    inside.frame_start, inside.frame_end = 5, 44
    inside.render.resolution_x, inside.render.resolution_y, inside.render.engine = 8, 8, "CYCLES"
    inside.render.resolution_percentage, inside.cycles.samples, inside.cycles.use_denoising = 100, 1, False
    inside.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    inside.collection.objects.link(inside.camera)
    inside.world = world = bpy.data.worlds.new("world")
    if bpy.app.version < (5, 0):  # since then worlds have nothing else
        world.use_nodes = True
    strength = world.node_tree.nodes["Background"].inputs
    strength["Color"].default_value = (1, 1, 1, 1)
    for frame in (0, 100):
        strength["Strength"].default_value = frame / 100
        strength["Strength"].keyframe_insert("default_value", frame=frame)
    straighten(world.node_tree)
    return timeline.strips(edit.sequence_editor).new_scene(name="numbers", scene=inside, channel=1, frame_start=20)


def light_frames(pixels: list[np.ndarray]) -> np.ndarray:
    """Frames of the scene `glow` by how bright the middle is: the inverse of the sRGB curve."""
    coded = np.array([picture[24, 40, 0] / 255 for picture in pixels])
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4) * 100


@pytest.mark.parametrize(
    "change", [plain, trim, reverse, in_order(reverse, trim), strobe_between_frames, freeze], ids=lambda c: c.__name__
)
def test_a_scene_strip_is_at_the_moment_of_its_scene_that_the_table_says(
    edit: bpy.types.Scene, glow: Any, tmp_path: Path, change: Change
) -> None:
    change(edit, glow)
    seen = light_frames(rendered(edit, range(*timeline.frame_range(glow)), tmp_path / "out"))
    assert np.abs(seen - 5 - table(glow)).max() < 0.3, "a level of 8 bits is up to half a frame"


def test_a_retimed_scene_strip_is_between_two_frames_of_its_scene(
    edit: bpy.types.Scene, glow: Any, tmp_path: Path
) -> None:
    operate(edit, glow, "retiming_segment_speed_set", speed=40.0)
    seen = light_frames(rendered(edit, range(30, 50), tmp_path / "out"))
    assert np.abs(seen - 5 - table(glow, 30, 50)).max() < 0.3
    assert {round(source % 1, 1) for source in table(glow, 30, 50)} > {0.2, 0.4, 0.6, 0.8}


@pytest.mark.parametrize("change", [plain, cut_hard, reverse, freeze], ids=lambda change: change.__name__)
def test_a_scene_strip_of_a_sequencer_shows_the_frames_of_that_edit(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    outer = bpy.data.scenes.new("outer")
    outer.render.resolution_x, outer.render.resolution_y = 80, 48
    edit.frame_start, edit.frame_end = 20, 59
    strip = timeline.strips(outer.sequence_editor_create()).new_scene(
        name="numbers", scene=edit, channel=1, frame_start=20
    )
    strip.scene_input = "SEQUENCER"
    change(outer, strip)
    edit.sequence_editor.use_cache_raw = False
    away = np.subtract(shown_of(strip, tmp_path / "out"), table(strip))
    assert np.abs(away).max() < 0.501, "moments between its frames are rounded by the strips in it"


@pytest.mark.parametrize("change", [plain, trim, reverse, freeze], ids=lambda change: change.__name__)
def test_a_clip_strip_shows_the_frames_of_its_clip(
    edit: bpy.types.Scene, movie: Path, tmp_path: Path, change: Change
) -> None:
    clip = bpy.data.movieclips.load(str(movie))
    strip = timeline.strips(edit.sequence_editor).new_clip(name="numbers", clip=clip, channel=1, frame_start=20)
    change(edit, strip)
    assert shown_of(strip, tmp_path / "out") == table(strip)


@pytest.mark.parametrize("change", [plain, trim, reverse, cut_hard], ids=lambda change: change.__name__)
def test_a_mask_strip_shows_the_moments_of_its_mask(edit: bpy.types.Scene, tmp_path: Path, change: Change) -> None:
    strips = timeline.strips(edit.sequence_editor)
    strip = strips.new_mask(name="numbers", mask=brightening_mask(), channel=1, frame_start=20)
    change(edit, strip)
    pictures = rendered(edit, range(*timeline.frame_range(strip)), tmp_path / "out")
    seen = [pixels[24, 40, 0] / 255 * 50 for pixels in pictures]
    assert np.abs(np.subtract(seen, table(strip))).max() < 0.3, "a level is 0.2 frames"


def brightening_mask() -> bpy.types.Mask:
    """Forty frames from 3 on; it covers everything, a fiftieth more of it in every frame."""
    mask = bpy.data.masks.new("mask")
    mask.frame_start, mask.frame_end = 3, 42
    layer = mask.layers.new(name="layer")
    spline = layer.splines.new()
    spline.points.add(3)
    spline.use_cyclic = True
    for point, place in zip(spline.points, ((-1, -1), (2, -1), (2, 2), (-1, 2)), strict=True):
        point.handle_type, point.co = "VECTOR", place
    for frame in (3, 53):
        layer.alpha = (frame - 3) / 50
        layer.keyframe_insert("alpha", frame=frame)
    straighten(mask)
    return mask


def straighten(animated: bpy.types.ID) -> None:
    for curve in timeline.curves(animated.animation_data):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
