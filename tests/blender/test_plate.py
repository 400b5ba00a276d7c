"""Every pixel that is exported is the source's, in every Blender."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import light, new_effect, new_sound, noise, read_numbers, read_png, write_exr, write_png
from numbered import edited

from wan_animate_blender import footage, plate, timeline
from wan_animate_blender.wire import BadInput, Encoding, FrameRow, RasterKind

Film = Callable[..., Any]


def rows(strip: Any, first: int | None = None, end: int | None = None) -> list[FrameRow]:
    """The frame table of a strip without handles, or of part of the timeline."""
    start, stop = timeline.frame_range(strip)
    frames = range(start if first is None else first, stop if end is None else end)
    return [FrameRow(shot=1001 + i, timeline=f, source=footage.source(strip, f), rig=f) for i, f in enumerate(frames)]


def written(edit: bpy.types.Scene, strip: Any, folder: Path, kind: RasterKind, **span: int) -> list[np.ndarray]:
    raster = plate.raster(edit, strip, RasterKind(kind))
    return [read_png(file) for file in plate.write(edit, strip, rows(strip, **span), raster, folder)]


def ramp(i: int) -> np.ndarray:
    """All 256 levels of each channel, another channel in every frame."""
    pixels = np.zeros((48, 256, 3), np.uint8)
    pixels[:, :, i % 3] = np.arange(256)
    return pixels


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_untouched_png_sequences_are_copied_byte_for_byte(edit: Any, film: Film, tmp_path: Path) -> None:
    strip = film(paint=lambda i: noise(i).astype(np.uint16) * 257 + i, frames=5)
    raster = plate.raster(edit, strip, RasterKind.SOURCE)
    files = list(plate.write(edit, strip, rows(strip), raster, tmp_path / "out"))
    originals = [tmp_path / "plate" / f"{i:04d}.png" for i in range(5)]
    assert [file.name for file in files] == [f"{1001 + i}.png" for i in range(5)]
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in originals]


@pytest.mark.parametrize("paint", [noise, ramp])
def test_rendered_pixels_equal_the_source(
    edit: Any, film: Film, tmp_path: Path, paint: Callable[[int], np.ndarray]
) -> None:
    edit.render.resolution_x = paint(0).shape[1]
    edit.render.resolution_percentage = 50
    strip = film(paint=paint, frames=6)
    assert same(written(edit, strip, tmp_path / "out", RasterKind.CANVAS), [paint(i) for i in range(6)])


def test_a_movie_exports_the_frames_that_blender_decodes(edit: Any, film: Film, tmp_path: Path) -> None:
    movie = film_as_movie(edit, film, tmp_path / "movie.avi")
    strip = timeline.strips(edit.sequence_editor).new_movie(name="m", filepath=str(movie), channel=3, frame_start=50)
    timeline.set_frame_range(strip, 52, 55)
    strip.transform.scale_x = 0.5
    assert plate.raster(edit, strip, RasterKind.SOURCE).width == 80
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE, first=51), [noise(i) for i in (1, 2, 3, 4)])


def film_as_movie(edit: Any, film: Film, file: Path) -> Path:
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


def test_untouched_exr_sequences_are_copied_byte_for_byte(edit: Any, tmp_path: Path) -> None:
    alpha = np.random.default_rng(5).uniform(0, 1, (48, 80, 1))
    for name, pixels in {
        "half": light(1, np.float16), "float": light(2), "rgba": np.dstack([light(3), alpha]).astype(np.float32),
    }.items():  # fmt: skip
        file = write_exr(tmp_path / f"{name}.exr", pixels)
        strip = timeline.new_image_sequence(edit.sequence_editor, name, [file], 1, 1)
        (found,) = plate.write(edit, strip, rows(strip), plate.raster(edit, strip, RasterKind.SOURCE), tmp_path / name)
        assert (found.name, found.read_bytes()) == ("1001.exr", file.read_bytes())


def test_jpegs_and_8_bit_tiffs_come_out_as_blender_decodes_them(edit: Any, tmp_path: Path) -> None:
    for name, kind in (("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("a.webp", "WEBP")):
        image = bpy.data.images.new(name, 80, 48)
        image.pixels.foreach_set(np.dstack([noise(1) / 255, np.ones((48, 80))]).astype(np.float32).ravel())
        image.filepath_raw, image.file_format = str(tmp_path / name), kind
        image.save()
        strip = timeline.new_image_sequence(edit.sequence_editor, name, [tmp_path / name], 1, 1)
        (found,) = written(edit, strip, tmp_path / kind, RasterKind.SOURCE)
        assert np.array_equal(found, read_png(tmp_path / name))


def test_reversed_and_strobed_sequences_are_copied_in_the_order_that_is_seen(
    edit: Any, film: Film, tmp_path: Path
) -> None:
    strip = film(frames=12)
    strip.use_reverse_frames, strip.strobe = True, 3.0
    timeline.set_frame_range(strip, 11, 20)
    copied = list(plate.write(edit, strip, rows(strip), plate.raster(edit, strip, RasterKind.SOURCE), tmp_path / "s"))
    originals = [(tmp_path / "plate" / f"{i:04d}.png").read_bytes() for i in range(12)]
    assert all(file.read_bytes() in originals for file in copied)
    shown = written(edit, strip, tmp_path / "c", RasterKind.CANVAS)  # as the sequencer itself shows them
    assert same([read_png(file) for file in copied], shown)
    assert len({file.read_bytes() for file in copied}) == 4


def test_the_source_raster_undoes_all_that_the_edit_does_to_the_picture(edit: Any, film: Film, tmp_path: Path) -> None:
    edit.view_settings.view_transform, edit.view_settings.exposure = "AgX", 1.0
    edit.render.resolution_x, edit.render.resolution_y = 200, 120
    strip = film(paint=lambda i: np.dstack([noise(i), np.full((48, 80), 255, np.uint8)])[:, :, :3], frames=3)
    film("above", frames=3, channel=2)
    strip.colorspace_settings.name = "Non-Color"  # so that nothing is copied
    way = strip.transform
    way.scale_x, way.offset_y, way.rotation = 0.4, 20, 0.3
    way.keyframe_insert("offset_x", frame=10)
    strip.crop.min_x, strip.use_flip_x, strip.color_saturation, strip.blend_alpha = 5, True, 0.0, 0.5
    with edited(edit):
        strip.modifiers.new(name="dark", type="BRIGHT_CONTRAST").bright = -50
    strip.mute = edit.sequence_editor.channels[1].mute = True
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE), [noise(i) for i in range(3)])


def test_a_strip_cut_in_two_gives_handles_from_behind_its_neighbour(edit: Any, film: Film, tmp_path: Path) -> None:
    left, right = film("plate", first=10, frames=12), film("other", lambda i: ramp(i)[:, :80], first=10, frames=12)
    timeline.set_frame_range(left, 12, 16)
    timeline.set_frame_range(right, 16, 20)
    left.colorspace_settings.name = "Non-Color"
    right.channel = left.channel
    found = written(edit, left, tmp_path / "out", RasterKind.SOURCE, first=10, end=20)
    assert same(found, [noise(i) for i in range(10)])
    assert timeline.frame_range(left) == (12, 16)


def test_a_strip_inside_a_meta_exports_its_own_pixels(edit: Any, film: Film, tmp_path: Path) -> None:
    strip = film(frames=4)
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=3, frame_start=10)
    strip.move_to_meta(meta)
    timeline.set_frame_range(strip, 10, 14)  # until 5.2 a meta grows only when something moves in it
    timeline.set_frame_range(meta, 10, 14)
    strip.colorspace_settings.name = "Non-Color"
    meta.transform.scale_x = 0.5
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE), [noise(i) for i in range(4)])


def test_a_meta_exports_what_it_shows_of_its_strips(edit: Any, film: Film, tmp_path: Path) -> None:
    below, above, hidden = film("a", frames=4), film("b", lambda i: noise(i + 50), 4, channel=2), film("c", channel=3)
    above.crop.max_x, hidden.mute = 30, True
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=5, frame_start=10)
    for strip in (below, above, hidden):
        strip.move_to_meta(meta)
    timeline.set_frame_range(below, 10, 14)  # until 5.2 a meta grows only when something moves in it
    timeline.set_frame_range(meta, 10, 14)
    film("elsewhere", lambda _: noise(99), frames=4, channel=6)
    meta.transform.offset_y, meta.blend_type = 10, "MULTIPLY"
    expected = [np.hstack([noise(i + 50)[:, :50], noise(i)[:, 50:]]) for i in range(4)]
    black = np.zeros((10, 80, 3), np.uint8)
    found = written(edit, meta, tmp_path / "out", RasterKind.SOURCE)
    assert same(found, [np.vstack([picture[10:], black]) for picture in expected])


def test_an_effect_shows_its_inputs_even_when_they_and_their_channels_are_muted(
    edit: Any, film: Film, tmp_path: Path
) -> None:
    below, above = film("a", frames=3), film("b", lambda i: noise(i + 50), frames=3, channel=2)
    cross = new_effect(edit.sequence_editor, "CROSS", 3, 10, 13, below, above)
    open_ = written(edit, cross, tmp_path / "open", RasterKind.SOURCE)
    below.mute = above.mute = cross.mute = True
    for channel in (1, 2, 3):
        edit.sequence_editor.channels[channel].mute = True
    muted = written(edit, cross, tmp_path / "muted", RasterKind.SOURCE)
    assert same(muted, open_)
    assert np.abs(open_[1] - (noise(1) * (2 / 3) + noise(51) / 3)).max() < 2
    assert below.mute and edit.sequence_editor.channels[1].mute


def test_an_effect_on_an_effect_shows_the_whole_chain(edit: Any, film: Film, tmp_path: Path) -> None:
    left, right = film("a", lambda _: np.full((48, 80, 3), 100, np.uint8), 3), film("b", frames=3, channel=2)
    left.crop.max_x = right.crop.min_x = 40
    over = new_effect(edit.sequence_editor, "ALPHA_OVER", 3, 10, 13, left, right)
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 4, 10, 13, over)
    blur.size_x = blur.size_y = 0.0
    found = written(edit, blur, tmp_path / "out", RasterKind.SOURCE)
    assert same(found, [np.hstack([np.full((48, 40, 3), 100, np.uint8), noise(i)[:, 40:]]) for i in range(3)])


def test_a_multicam_selector_exports_the_channel_that_it_selects(edit: Any, film: Film, tmp_path: Path) -> None:
    film("a", frames=3), film("b", lambda i: noise(i + 50), frames=3, channel=2)
    selector = new_effect(edit.sequence_editor, "MULTICAM", 3, 10, 13)
    for channel, seed in ((1, 0), (2, 50)):
        selector.multicam_source = channel
        found = written(edit, selector, tmp_path / str(channel), RasterKind.SOURCE)
        assert same(found, [noise(seed + i) for i in range(3)])


def test_a_colour_strip_exports_its_colour(edit: Any, tmp_path: Path) -> None:
    edit.render.resolution_percentage, edit.view_settings.view_transform = 25, "Filmic"
    strip = new_effect(edit.sequence_editor, "COLOR", 1, 10, 12)
    strip.color = 0.2, 0.4, 0.8
    for picture in written(edit, strip, tmp_path / "out", RasterKind.SOURCE):
        assert picture.shape == (48, 80, 3)
        assert (picture == (51, 102, 204)).all()


def test_a_text_strip_exports_its_letters(edit: Any, tmp_path: Path) -> None:
    strip = new_effect(edit.sequence_editor, "TEXT", 1, 10, 11)
    strip.text, strip.font_size, strip.color = "I", 60.0, (1.0, 0.0, 0.0, 1.0)
    strip.location = 0.5, 0.5
    (picture,) = written(edit, strip, tmp_path / "out", RasterKind.SOURCE)
    assert 100 < (picture[:, :, 0] == 255).sum() < 800
    assert not picture[:, :, 1:].any()


def test_a_mask_strip_exports_its_shape(edit: Any, tmp_path: Path) -> None:
    """Points of a mask lie in a square as wide as the canvas."""
    mask = bpy.data.masks.new(name="mask")
    spline = mask.layers.new(name="layer").splines.new()
    spline.points.add(3)
    spline.use_cyclic = True
    for point, (x, y) in zip(spline.points, ((0.25, 0.4), (0.5, 0.4), (0.5, 0.6), (0.25, 0.6)), strict=True):
        point.co = point.handle_left = point.handle_right = x, y
        point.handle_type = "VECTOR"
    strip = timeline.strips(edit.sequence_editor).new_mask(name="m", mask=mask, channel=1, frame_start=10)
    (picture,) = written(edit, strip, tmp_path / "out", RasterKind.SOURCE, first=10, end=11)
    assert (picture[17:31, 21:39] == 255).all()
    assert not picture[:15].any() and not picture[33:].any() and not picture[:, :19].any()


def test_a_clip_strip_exports_the_clips_own_pixels(edit: Any, film: Film, tmp_path: Path) -> None:
    film("frames", frames=3)
    clip = bpy.data.movieclips.load(str(tmp_path / "frames" / "0000.png"))
    edit.render.resolution_x = edit.render.resolution_y = 100
    strip = timeline.strips(edit.sequence_editor).new_clip(name="c", clip=clip, channel=2, frame_start=10)
    strip.transform.scale_x = 0.5
    assert plate.raster(edit, strip, RasterKind.SOURCE).width == 80
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE), [noise(i) for i in range(3)])


def test_a_scene_strip_of_another_sequencer_exports_its_pictures(edit: Any, film: Film, tmp_path: Path) -> None:
    film("frames", frames=3)
    inner = bpy.data.scenes.new("inner")
    inner.render.resolution_x, inner.render.resolution_y, inner.render.engine = 80, 48, "CYCLES"
    inner.frame_end = 3
    files = [tmp_path / "frames" / f"{i:04d}.png" for i in range(3)]
    timeline.new_image_sequence(inner.sequence_editor_create(), "in", files, 1, 1)
    edit.render.resolution_x = edit.render.resolution_y = 100
    strip = timeline.strips(edit.sequence_editor).new_scene(name="s", scene=inner, channel=3, frame_start=10)
    strip.scene_input = "SEQUENCER"
    plate.check(strip)
    assert same(written(edit, strip, tmp_path / "out", RasterKind.SOURCE), [noise(i) for i in range(3)])


def test_a_scene_strip_exports_the_light_that_its_scene_renders(
    edit: Any, camera: bpy.types.Object, tmp_path: Path
) -> None:
    """Through no view: neither its scene's own nor the edit's."""
    inner = bpy.data.scenes.new("inner")
    inner.camera, inner.render.engine, inner.cycles.samples, inner.cycles.use_denoising = camera, "CYCLES", 1, False
    inner.render.resolution_x, inner.render.resolution_y, inner.frame_end = 40, 20, 2
    inner.world = bpy.data.worlds.new("light")
    if inner.world.node_tree is None:
        inner.world.use_nodes = True
    (sky,) = (node for node in inner.world.node_tree.nodes if node.type == "BACKGROUND")
    sky.inputs["Color"].default_value = 0.2, 1.5, 3.0, 1.0
    inner.view_settings.view_transform = edit.view_settings.view_transform = "AgX"
    strip = timeline.strips(edit.sequence_editor).new_scene(name="s", scene=inner, channel=3, frame_start=10)
    raster = plate.raster(edit, strip, RasterKind.SOURCE)
    files = list(plate.write(edit, strip, rows(strip), raster, tmp_path / "out"))
    assert [file.name for file in files] == ["1001.exr", "1002.exr"]
    numbers = read_numbers(files[0])
    assert numbers.shape == (20, 40, 3)
    assert np.array_equal(numbers, np.broadcast_to(np.float32([0.2, 1.5, 3.0]), numbers.shape))
    colour = plate.colour(edit, strip, raster)
    assert (colour.encoding, colour.working_space, colour.view) == (Encoding.LINEAR, "Linear Rec.709", "AgX")


@pytest.mark.parametrize("mode", ["STRAIGHT", "PREMUL"])
def test_a_picture_with_alpha_is_exported_over_black(edit: Any, film: Film, tmp_path: Path, mode: str) -> None:
    alpha = np.where(np.arange(80) < 40, 255, 0).astype(np.uint8)
    strip = film(paint=lambda i: np.dstack([noise(i), np.broadcast_to(alpha, (48, 80))]), frames=2)
    strip.alpha_mode = mode
    for i, picture in enumerate(written(edit, strip, tmp_path / "out", RasterKind.SOURCE)):
        assert np.array_equal(picture[:, :40], noise(i)[:, :40])
        assert not picture[:, 40:].any() or mode == "PREMUL"


def test_modifiers_are_seen_on_the_canvas_and_left_out_of_the_source(edit: Any, film: Film, tmp_path: Path) -> None:
    strip = film(paint=lambda _: np.full((48, 80, 3), 100, np.uint8), frames=1)
    with edited(edit):
        strip.modifiers.new(name="dark", type="BRIGHT_CONTRAST").bright = -20
    strip.color_saturation = 0.5
    (canvas,), (source,) = (written(edit, strip, tmp_path / kind, kind) for kind in ("canvas", "source"))
    assert (source == 100).all()
    assert (canvas < 100).all()
    assert len(strip.modifiers) == 1


def test_nothing_is_left_behind_even_when_an_export_is_given_up(edit: Any, film: Film, tmp_path: Path) -> None:
    strip = film(frames=5)
    strip.colorspace_settings.name = "ACEScg"
    before = {name: len(getattr(bpy.data, name)) for name in ("scenes", "images", "actions", "masks", "movieclips")}
    writing = plate.write(edit, strip, rows(strip), plate.raster(edit, strip, RasterKind.SOURCE), tmp_path / "out")
    next(writing)
    writing.close()
    assert {name: len(getattr(bpy.data, name)) for name in before} == before
    assert (strip.colorspace_settings.name, strip.use_float, edit.sequencer_colorspace_settings.name) == (
        "ACEScg", False, "sRGB",
    )  # fmt: skip


def test_an_effect_exports_what_the_canvas_shows(edit: Any, film: Film, tmp_path: Path) -> None:
    below, above = film("a", frames=6), film("b", lambda i: noise(i + 50), frames=6, channel=2)
    above.crop.max_x = 30
    over = new_effect(edit.sequence_editor, "ALPHA_OVER", 3, 10, 16, above, below)
    expected = [np.hstack([noise(i + 50)[:, :50], noise(i)[:, 50:]]) for i in range(6)]
    assert plate.raster(edit, over, RasterKind.SOURCE).kind is RasterKind.CANVAS
    assert same(written(edit, over, tmp_path / "out", RasterKind.SOURCE), expected)


# --- what cannot be exported ----------------------------------------------------------------------


def test_a_sound_strip_is_refused_with_a_sentence(edit: bpy.types.Scene, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the strip 'dialog' is sound and has no picture of its own; choose a movie"):
        plate.check(new_sound(edit.sequence_editor, tmp_path / "a.wav"))


@pytest.mark.parametrize(("kind", "make", "name"), [
    ("SCENE", "new_scene", "scene"), ("MASK", "new_mask", "mask"), ("MOVIECLIP", "new_clip", "clip"),
])  # fmt: skip
def test_a_strip_that_lost_what_it_shows_is_refused(edit: Any, tmp_path: Path, kind: str, make: str, name: str) -> None:
    things = {
        "scene": lambda: bpy.data.scenes.new("inner"), "mask": lambda: bpy.data.masks.new(name="mask"),
        "clip": lambda: bpy.data.movieclips.load(str(write_png(tmp_path / "a.png", noise(1)))),
    }  # fmt: skip
    thing = things[name]()
    strip = getattr(timeline.strips(edit.sequence_editor), make)(
        name="gone", channel=1, frame_start=1, **{name: thing}
    )  # fmt: skip
    assert strip.type == kind
    bpy.data.batch_remove([thing])
    with pytest.raises(BadInput, match=f"the strip 'gone' has no {name}; choose one"):
        plate.check(strip)


def test_a_scene_strip_without_a_camera_is_refused(edit: Any) -> None:
    inner = bpy.data.scenes.new("inner")
    strip = timeline.strips(edit.sequence_editor).new_scene(name="s", scene=inner, channel=1, frame_start=1)
    with pytest.raises(BadInput, match=r"the scene 'inner' of the strip 's' has no camera"):
        plate.check(strip)
