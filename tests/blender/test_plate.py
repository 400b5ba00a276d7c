"""Every pixel that is exported is the source's, in every Blender."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect, new_sound, noise, read_png, write_png

from wan_animate_blender import plate, timeline
from wan_animate_blender.wire import BadInput, FrameRow, Raster, RasterKind

Film = Callable[..., Any]


def rows(strip: Any, first: int | None = None, end: int | None = None) -> list[FrameRow]:
    """The frame table of a strip without handles, or of part of the timeline."""
    start, stop = timeline.frame_range(strip)
    source = timeline.content(strip).source
    frames = range(start if first is None else first, stop if end is None else end)
    return [FrameRow(shot=1001 + i, timeline=f, source=source(f), rig=f) for i, f in enumerate(frames)]


def written(edit: bpy.types.Scene, strip: Any, folder: Path, kind: RasterKind, **span: int) -> list[np.ndarray]:
    raster = plate.raster(edit, strip, kind)
    return [read_png(file) for file in plate.write(edit, strip, rows(strip, **span), raster, folder)]


def ramp(i: int) -> np.ndarray:
    """All 256 levels of each channel, another channel in every frame."""
    pixels = np.zeros((48, 256, 3), np.uint8)
    pixels[:, :, i % 3] = np.arange(256)
    return pixels


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_untouched_png_sequences_are_copied_byte_for_byte(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    strip = film(paint=lambda i: noise(i).astype(np.uint16) * 257 + i, frames=5)
    raster = plate.raster(edit, strip, RasterKind.SOURCE)
    files = list(plate.write(edit, strip, rows(strip), raster, tmp_path / "out"))
    originals = [tmp_path / "plate" / f"{i:04d}.png" for i in range(5)]
    assert [file.name for file in files] == [f"{1001 + i}.png" for i in range(5)]
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in originals]


@pytest.mark.parametrize("paint", [noise, ramp])
def test_rendered_pixels_equal_the_source(
    edit: bpy.types.Scene, film: Film, tmp_path: Path, paint: Callable[[int], np.ndarray]
) -> None:
    edit.render.resolution_x = paint(0).shape[1]
    edit.render.resolution_percentage = 50
    strip = film(paint=paint, frames=6)
    assert same(written(edit, strip, tmp_path / "out", RasterKind.CANVAS), [paint(i) for i in range(6)])


def test_a_movie_exports_the_frames_that_blender_decodes(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    movie = film_as_movie(edit, film, tmp_path / "movie.avi")
    strip = timeline.strips(edit.sequence_editor).new_movie(name="m", filepath=str(movie), channel=3, frame_start=50)
    timeline.set_frame_range(strip, 52, 55)
    strip.transform.scale_x = 0.5
    assert plate.raster(edit, strip, RasterKind.SOURCE).width == 80
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE, first=51), [noise(i) for i in (1, 2, 3, 4)])


def film_as_movie(edit: bpy.types.Scene, film: Film, file: Path) -> Path:
    """Six frames of noise in a lossless movie, encoded by Blender itself."""
    film("frames", frames=6, first=1)
    render = edit.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "AVI", "PNG"
    edit.view_settings.view_transform, render.dither_intensity = "Standard", 0
    edit.frame_start, edit.frame_end, render.filepath, render.use_file_extension = 1, 6, str(file), False
    bpy.ops.render.render(animation=True)
    return file


def test_the_source_raster_undoes_all_that_the_edit_does_to_the_picture(
    edit: bpy.types.Scene, film: Film, tmp_path: Path
) -> None:
    edit.view_settings.view_transform, edit.view_settings.exposure = "AgX", 1.0
    edit.render.resolution_x, edit.render.resolution_y = 200, 120
    strip = film(paint=lambda i: np.dstack([noise(i), np.full((48, 80), 255, np.uint8)])[:, :, :3], frames=3)
    film("above", frames=3, channel=2)
    strip.colorspace_settings.name = "Non-Color"  # so that nothing is copied
    way = strip.transform
    way.scale_x, way.offset_y, way.rotation = 0.4, 20, 0.3
    way.keyframe_insert("offset_x", frame=10)
    strip.crop.min_x, strip.use_flip_x, strip.color_saturation, strip.blend_alpha = 5, True, 0.0, 0.5
    strip.modifiers.new(name="dark", type="BRIGHT_CONTRAST").bright = -50
    strip.mute = edit.sequence_editor.channels[1].mute = True
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE), [noise(i) for i in range(3)])


def test_a_strip_cut_in_two_gives_handles_from_behind_its_neighbour(
    edit: bpy.types.Scene, film: Film, tmp_path: Path
) -> None:
    left, right = film("plate", first=10, frames=12), film("other", lambda i: ramp(i)[:, :80], first=10, frames=12)
    timeline.set_frame_range(left, 12, 16)
    timeline.set_frame_range(right, 16, 20)
    left.colorspace_settings.name = "Non-Color"
    right.channel = left.channel
    found = written(edit, left, tmp_path / "out", RasterKind.SOURCE, first=10, end=20)
    assert same(found, [noise(i) for i in range(10)])
    assert timeline.frame_range(left) == (12, 16)


def test_a_strip_inside_a_meta_exports_its_own_pixels(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    strip = film(frames=4)
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=3, frame_start=10)
    strip.move_to_meta(meta)
    timeline.set_frame_range(strip, 10, 14)  # until 5.2 a meta grows only when something moves in it
    timeline.set_frame_range(meta, 10, 14)
    strip.colorspace_settings.name = "Non-Color"
    meta.transform.scale_x = 0.5
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE), [noise(i) for i in range(4)])


def test_an_effect_exports_what_the_canvas_shows(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    below, above = film("a", frames=6), film("b", lambda i: noise(i + 50), frames=6, channel=2)
    above.crop.max_x = 30
    over = new_effect(edit.sequence_editor, "ALPHA_OVER", 3, 10, 16, above, below)
    expected = [np.hstack([noise(i + 50)[:, :50], noise(i)[:, 50:]]) for i in range(6)]
    assert plate.raster(edit, over, RasterKind.SOURCE).kind is RasterKind.CANVAS
    assert same(written(edit, over, tmp_path / "out", RasterKind.SOURCE), expected)


def test_the_matrix_leads_from_plate_pixels_to_canvas_pixels(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    edit.render.resolution_x, edit.render.resolution_y = 200, 160
    spots = np.array([[10, 8], [70, 8], [40, 40]])

    def three_spots(i: int) -> np.ndarray:
        pixels = np.zeros((48, 80, 3), np.uint8)
        for channel, (x, y) in enumerate(spots):
            pixels[y - 3 : y + 3, x - 3 : x + 3, channel] = 255
        return pixels

    strip = film(paint=three_spots, frames=1)
    way = strip.transform
    way.scale_x, way.scale_y, way.rotation, way.offset_x, way.offset_y = 1.5, 1.2, 0.5, 20, -12
    way.origin, strip.use_flip_x = (0.25, 0.75), True
    matrix = np.array(plate.raster(edit, strip, RasterKind.SOURCE).matrix).reshape(3, 3)
    (canvas,) = written(edit, strip, tmp_path / "out", RasterKind.CANVAS)
    for channel, (x, y) in enumerate(spots):
        weight = canvas[:, :, channel].astype(float)
        rows_, columns = np.mgrid[:160, :200] + 0.5
        seen = np.array([(columns * weight).sum(), (rows_ * weight).sum()]) / weight.sum()
        assert np.abs(matrix @ [x, y, 1] - [*seen, 1]).max() < 0.05


def test_an_untransformed_strip_of_the_canvas_size_has_the_identity_as_matrix(
    edit: bpy.types.Scene, film: Film
) -> None:
    raster = plate.raster(edit, film(), RasterKind.SOURCE)
    assert raster == Raster(kind=RasterKind.SOURCE, width=80, height=48)


# --- what cannot be exported ----------------------------------------------------------------------


def test_a_sound_strip_is_refused_with_a_sentence(edit: bpy.types.Scene, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the strip 'dialog' is sound and has no picture of its own; choose a movie"):
        plate.check(new_sound(edit.sequence_editor, tmp_path / "a.wav"))


def test_a_reversed_strip_is_refused_with_a_sentence(film: Film) -> None:
    strip = film()
    strip.use_reverse_frames = True
    with pytest.raises(BadInput, match=r"'plate' is retimed, reversed, strobed.*render it to an image sequence"):
        plate.check(strip)


def test_scene_linear_footage_is_refused_with_a_sentence(edit: bpy.types.Scene, tmp_path: Path) -> None:
    image = bpy.data.images.new("hdr", 8, 8, float_buffer=True)
    image.filepath_raw, image.file_format = str(tmp_path / "a.exr"), "OPEN_EXR"
    image.save()
    strip = timeline.new_image_sequence(edit.sequence_editor, "hdr", [tmp_path / "a.exr"], 1, 1)
    with pytest.raises(BadInput, match=r"reads a\.exr, scene-linear pixels.*convert it to PNG"):
        plate.check(strip)


def test_a_missing_file_is_named(film: Film, tmp_path: Path) -> None:
    strip = film(frames=5)
    (tmp_path / "plate" / "0003.png").unlink()
    with pytest.raises(BadInput, match=r"needs .*0003\.png, which is not there"):
        plate.check(strip)


def test_pictures_that_change_their_size_are_rendered_into_the_first_ones(
    edit: bpy.types.Scene, film: Film, tmp_path: Path
) -> None:
    strip = film(frames=2)
    write_png(tmp_path / "plate" / "0001.png", noise(1, 60, 30))
    sizes = [picture.shape for picture in written(edit, strip, tmp_path / "out", RasterKind.SOURCE)]
    assert sizes == [(48, 80, 3), (48, 80, 3)]
