"""Where a strip's pixels lie on the canvas, through its own transform and those of all metas around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import read_png, write_png

from wan_animate_blender import canvas, plate, timeline
from wan_animate_blender.wire import FrameRow, Raster, RasterKind

Film = Callable[..., Any]

SPOTS = np.array([[10, 8], [70, 8], [40, 40]])
"""Plate pixels at which `three_spots` has a red, a green and a blue square."""


def three_spots(i: int) -> np.ndarray:
    pixels = np.zeros((48, 80, 3), np.uint8)
    for channel, (x, y) in enumerate(SPOTS):
        pixels[y - 3 : y + 3, x - 3 : x + 3, channel] = 255
    return pixels


def wrapped(editor: bpy.types.SequenceEditor, strip: Any, name: str) -> Any:
    """A meta strip around `strip`, inside the metas around it."""
    *outer, _ = timeline.path(editor, strip.name)
    meta = timeline.strips(editor).new_meta(name=name, channel=5, frame_start=timeline.frame_range(strip)[0])
    if outer:
        meta.move_to_meta(outer[-1])
    first, end = timeline.frame_range(strip)
    strip.move_to_meta(meta)
    timeline.set_frame_range(strip, first, end)  # until 5.2 a meta grows only when something moves in it
    timeline.set_frame_range(meta, first, end)
    return meta


def seen_spots(edit: bpy.types.Scene, strip: Any, frame: int, folder: Path) -> np.ndarray:
    """Where the three spots are on the canvas that the sequencer itself shows at `frame`: [3, 2], in pixels."""
    edit.view_settings.view_transform, edit.render.image_settings.file_format = "Standard", "PNG"
    edit.render.engine, edit.render.filepath = "CYCLES", str(folder / "canvas.png")
    edit.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    picture = read_png(folder / "canvas.png").astype(float)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    weights = [picture[:, :, channel] for channel in range(3)]
    return np.array([[(columns * w).sum() / w.sum(), (rows * w).sum() / w.sum()] for w in weights])


def led(raster: Raster) -> np.ndarray:
    """Where the matrix leads the three spots: [3, 2]."""
    found = np.array(raster.matrix).reshape(3, 3) @ np.c_[SPOTS, np.ones(3)].T
    assert np.allclose(found[2], 1)
    return found[:2].T


@pytest.fixture
def strip(edit: bpy.types.Scene, film: Film) -> Any:
    """The three spots on a canvas of another shape, scaled, turned, shifted and mirrored."""
    edit.render.resolution_x, edit.render.resolution_y = 240, 200
    made = film(paint=three_spots, frames=10)
    way = made.transform
    way.scale_x, way.scale_y, way.rotation, way.offset_x, way.offset_y = 1.5, 1.2, 0.5, 20, -12
    way.origin, made.use_flip_x = (0.25, 0.75), True
    return made


def test_the_matrix_leads_from_plate_pixels_to_canvas_pixels(edit: Any, strip: Any, tmp_path: Path) -> None:
    found = canvas.raster(edit, strip, RasterKind.SOURCE)
    assert np.abs(led(found) - seen_spots(edit, strip, 10, tmp_path)).max() < 0.05


def test_the_matrix_leads_through_all_metas_around_the_strip(edit: Any, strip: Any, tmp_path: Path) -> None:
    strip.transform.scale_x, strip.transform.scale_y = 0.9, 0.8
    outer = wrapped(edit.sequence_editor, strip, "outer")
    inner = wrapped(edit.sequence_editor, strip, "inner")
    outer.transform.rotation, outer.transform.scale_x, outer.transform.offset_y = -0.4, 0.7, 15
    inner.transform.offset_x, inner.use_flip_y, inner.transform.origin = -20, True, (0.1, 0.2)
    assert [meta.name for meta in timeline.path(edit.sequence_editor, "plate")] == ["outer", "inner", "plate"]
    found = canvas.raster(edit, strip, RasterKind.SOURCE)
    assert np.abs(led(found) - seen_spots(edit, strip, 10, tmp_path)).max() < 0.05


def test_the_matrix_is_that_of_the_cuts_first_frame_wherever_the_playhead_is(
    edit: Any, strip: Any, tmp_path: Path
) -> None:
    for frame, x in ((10, -30.0), (19, 30.0)):
        strip.transform.offset_x, strip.transform.origin[0] = x, x / 100
        strip.transform.keyframe_insert("offset_x", frame=frame)
        strip.transform.keyframe_insert("origin", frame=frame)
    timeline.set_frame_range(strip, 13, 18)
    edit.frame_set(17)
    found = canvas.raster(edit, strip, RasterKind.SOURCE)
    assert edit.frame_current == 17
    assert np.abs(led(found) - seen_spots(edit, strip, 13, tmp_path)).max() < 0.05
    assert np.abs(led(found) - seen_spots(edit, strip, 17, tmp_path)).max() > 3


def test_what_moves_on_the_canvas_is_told_from_what_does_not(edit: Any, strip: Any) -> None:
    meta = wrapped(edit.sequence_editor, strip, "meta")
    strip.keyframe_insert("strobe", frame=10)  # of time, and in the frame table
    assert not plate.is_animated(edit, strip)
    strip.crop.keyframe_insert("min_x", frame=10)
    assert plate.is_animated(edit, strip)
    strip.crop.keyframe_delete("min_x", frame=10)
    assert not plate.is_animated(edit, strip)
    meta.transform.driver_add("rotation")
    assert plate.is_animated(edit, strip)


def test_another_strips_keyframes_do_not_count(edit: Any, strip: Any, film: Film) -> None:
    other = film("plate.other", frames=2, channel=3)
    other.transform.keyframe_insert("scale_x", frame=10)
    assert plate.is_animated(edit, other)
    assert not plate.is_animated(edit, strip)


def test_an_untransformed_strip_of_the_canvas_size_has_the_identity_as_matrix(edit: Any, film: Film) -> None:
    edit.render.resolution_percentage, edit.render.use_border = 50, True
    assert canvas.raster(edit, film(), RasterKind.SOURCE) == Raster(kind=RasterKind.SOURCE, width=80, height=48)


def test_a_scenes_own_percentage_and_crop_are_part_of_its_picture(edit: Any, tmp_path: Path) -> None:
    inner = bpy.data.scenes.new("inner")
    inner.render.resolution_x, inner.render.resolution_y, inner.render.resolution_percentage = 90, 60, 50
    strip = timeline.strips(edit.sequence_editor).new_scene(name="scene", scene=inner, channel=1, frame_start=1)
    assert canvas.own_size(strip) == (45, 30)
    inner.render.use_border = inner.render.use_crop_to_border = True
    inner.render.border_min_x, inner.render.border_max_x = 0.2, 0.6
    assert canvas.own_size(strip) == (18, 30)


def test_both_rasters_of_a_strip_in_a_turned_meta_show_what_they_say(edit: Any, strip: Any, tmp_path: Path) -> None:
    meta = wrapped(edit.sequence_editor, strip, "meta")
    meta.transform.rotation, meta.transform.scale_x = 0.3, 0.6
    row = [FrameRow(shot=1001, timeline=12, source=2, rig=12)]
    found = {
        kind: read_png(next(plate.write(edit, strip, row, canvas.raster(edit, strip, kind), tmp_path / kind)))
        for kind in RasterKind
    }
    assert np.array_equal(found[RasterKind.SOURCE], three_spots(2))
    seen_spots(edit, strip, 12, tmp_path)
    assert np.array_equal(found[RasterKind.CANVAS], read_png(tmp_path / "canvas.png"))


def test_pictures_that_change_their_size_are_rendered_into_the_first_ones(
    edit: Any, film: Film, tmp_path: Path
) -> None:
    strip = film(frames=2)
    write_png(tmp_path / "plate" / "0001.png", np.full((30, 60, 3), 200, np.uint8))
    rows = [FrameRow(shot=1001 + i, timeline=10 + i, source=i, rig=i) for i in range(2)]
    raster = canvas.raster(edit, strip, RasterKind.SOURCE)
    first, second = (read_png(file) for file in plate.write(edit, strip, rows, raster, tmp_path / "out"))
    assert first.shape == second.shape == (48, 80, 3)
    assert (second[9:39, 10:70] == 200).all()
    assert second.sum() == 3 * 200 * 30 * 60
