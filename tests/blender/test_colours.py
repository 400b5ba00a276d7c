"""No number of a plate is changed by colour management, and the shot says what its numbers mean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import light, new_effect, noise, read_numbers, read_png, write_exr, write_png
from serving import PATIENCE

from wan_animate_blender import colours, footage, plate, timeline
from wan_animate_blender.wire import BadInput, Colour, Encoding, FrameRow, RasterKind

Film = Callable[..., Any]
SOURCE, CANVAS = RasterKind.SOURCE, RasterKind.CANVAS


def every_level(i: int = 0) -> np.ndarray:
    """All 256 levels of each channel against all of another."""
    levels = np.broadcast_to(np.arange(256, dtype=np.uint8), (256, 256))
    return np.roll(np.dstack([levels, levels[:, ::-1], levels.T]), i, axis=2)


def every_deep_level() -> np.ndarray:
    """All 65536 levels of each channel."""
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    return np.dstack([levels, levels[::-1], levels.T])


def exported(edit: bpy.types.Scene, strip: Any, folder: Path, kind: RasterKind, **options: Any) -> Path:
    """The file of the strip's first frame."""
    plate.check(strip, kind=kind)
    frame = timeline.frame_range(strip)[0]
    row = FrameRow(shot=1001, timeline=frame, source=footage.source(strip, frame), rig=frame)
    folder.mkdir(exist_ok=True)
    (file,) = plate.write(edit, strip, [row], plate.raster(edit, strip, kind), folder / "out", **options)
    return file


def picture(edit: bpy.types.Scene, file: Path) -> Any:
    """An image strip of one file, in an edit of 256×256 pixels when it is a ramp."""
    return timeline.new_image_sequence(edit.sequence_editor, "plate", [file], 1, 1)


@pytest.fixture
def square(edit: bpy.types.Scene) -> bpy.types.Scene:
    edit.render.resolution_x = edit.render.resolution_y = 256
    return edit


# --- 8 bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SOURCE, CANVAS])
@pytest.mark.parametrize("settings", [
    {"view_transform": "AgX"}, {"view_transform": "Filmic"}, {"view_transform": "Raw"},
    {"view_transform": "Standard", "exposure": 1.5, "gamma": 2.0}, {"view_transform": "AgX", "look": "AgX - Punchy"},
], ids=str)  # fmt: skip
def test_the_edits_view_does_not_touch_the_numbers(
    square: Any, tmp_path: Path, kind: RasterKind, settings: dict[str, Any]
) -> None:
    strip = picture(square, write_png(tmp_path / "a.png", np.dstack([every_level(), np.full((256, 256), 255, "u1")])))
    for name, value in settings.items():
        setattr(square.view_settings, name, value)
    square.render.dither_intensity = 2.0
    assert np.array_equal(read_png(exported(square, strip, tmp_path, kind)), every_level())


@pytest.mark.parametrize("kind", [SOURCE, CANVAS])
@pytest.mark.parametrize("sequencer", ["sRGB", "Linear Rec.709", "ACEScg", "Rec.1886"])
@pytest.mark.parametrize("use_float", [False, True])
def test_the_sequencers_space_does_not_touch_the_numbers(
    square: Any, tmp_path: Path, kind: RasterKind, sequencer: str, use_float: bool
) -> None:
    strip = picture(square, write_png(tmp_path / "a.png", np.dstack([every_level(), np.full((256, 256), 255, "u1")])))
    square.sequencer_colorspace_settings.name, strip.use_float = sequencer, use_float
    assert np.array_equal(read_png(exported(square, strip, tmp_path, kind)), every_level())


@pytest.mark.parametrize("kind", [SOURCE, CANVAS])
def test_a_display_of_another_kind_does_not_touch_the_numbers(square: Any, tmp_path: Path, kind: RasterKind) -> None:
    strip = picture(square, write_png(tmp_path / "a.png", every_level()))
    square.display_settings.display_device = "Display P3"
    assert np.array_equal(read_png(exported(square, strip, tmp_path, kind)), every_level())
    assert square.display_settings.display_device == "Display P3"


def test_data_is_exported_as_the_numbers_that_it_is(square: Any, tmp_path: Path) -> None:
    strip = picture(square, write_png(tmp_path / "a.png", every_level()))
    strip.colorspace_settings.name, strip.transform.scale_x = "Non-Color", 0.5
    assert exported(square, strip, tmp_path, SOURCE).read_bytes() == (tmp_path / "a.png").read_bytes()


# --- 16 bits --------------------------------------------------------------------------------------


def test_16_bits_that_have_to_be_rendered_come_out_exactly(square: Any, tmp_path: Path) -> None:
    pixels = np.dstack([every_deep_level(), np.full((256, 256), 65535, np.uint16)])
    strip = picture(square, write_png(tmp_path / "a.png", pixels))
    square.view_settings.view_transform = "AgX"
    file = exported(square, strip, tmp_path, SOURCE)
    assert file.read_bytes()[24] == 16  # bit depth of the PNG header
    assert np.array_equal(read_png(file, 65535), every_deep_level())


def test_16_bits_on_the_canvas_are_a_level_off_at_most(square: Any, tmp_path: Path) -> None:
    strip = picture(square, write_png(tmp_path / "a.png", every_deep_level()))
    file = exported(square, strip, tmp_path, CANVAS)
    assert file.read_bytes()[24] == 16
    assert np.abs(read_png(file, 65535).astype(int) - every_deep_level()).max() <= 1


def test_a_movie_of_10_bits_keeps_them(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    if "10" not in depths(edit):
        pytest.skip("this Blender reads and writes movies of 8 bits only")
    fine = np.repeat(np.arange(80, dtype=np.uint16)[None, :, None] * 16 + 30000, 48, axis=0).repeat(3, axis=2)
    film(paint=lambda _: fine, first=1)
    strip = picture_of_movie(edit, tmp_path / "a.mkv")
    file = exported(edit, strip, tmp_path, SOURCE)
    assert file.read_bytes()[24] == 16
    assert len(np.unique(read_png(file, 65535)[:, :, 0])) >= 16  # 1264 of 65536 levels: 20 of 1024, 5 of 256


def depths(edit: bpy.types.Scene) -> str:
    settings = edit.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    edit.render.ffmpeg.format, edit.render.ffmpeg.codec = "MKV", "FFV1"
    with pytest.raises(TypeError) as refusal:
        settings.color_depth = "?"
    return str(refusal.value)


def picture_of_movie(edit: bpy.types.Scene, file: Path) -> Any:
    render = edit.render
    render.image_settings.color_depth, render.filepath, render.use_file_extension = "10", str(file), False
    edit.view_settings.view_transform, render.dither_intensity = "Standard", 0
    edit.frame_start, edit.frame_end = 1, 2
    bpy.ops.render.render(animation=True)
    return timeline.strips(edit.sequence_editor).new_movie(name="m", filepath=str(file), channel=4, frame_start=1)


# --- scene-linear ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sequencer", ["sRGB", "Linear Rec.709"])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_floats_that_have_to_be_rendered_come_out_exactly(
    edit: bpy.types.Scene, tmp_path: Path, kind: type[np.floating], sequencer: str
) -> None:
    pixels = light(1, kind)
    strip = picture(edit, write_exr(tmp_path / "a.exr", np.dstack([pixels, np.ones((48, 80, 1), kind)])))
    edit.view_settings.view_transform, edit.view_settings.exposure = "AgX", 2.0
    edit.sequencer_colorspace_settings.name, strip.alpha_mode = sequencer, "STRAIGHT"
    file = exported(edit, strip, tmp_path, SOURCE)
    assert file.name == "1001.exr"
    assert exr_type(file) == {np.float16: 1, np.float32: 2}[kind]
    assert np.array_equal(read_numbers(file), pixels.astype(np.float32))


def exr_type(file: Path) -> int:
    """Pixel type of the first channel: 1 half, 2 float."""
    start = file.read_bytes()[:2000]
    return start[start.index(b"chlist\0") + 7 + 4 + 2]


@pytest.mark.parametrize(("kind", "error"), [(np.float16, 0.0), (np.float32, 4e-5)])
def test_what_the_sequencer_does_to_floats_on_the_canvas_is_no_more_than_what_is_said(
    edit: bpy.types.Scene, tmp_path: Path, kind: type[np.floating], error: float
) -> None:
    strip = picture(edit, write_exr(tmp_path / "a.exr", light(1, kind)))
    found = read_numbers(exported(edit, strip, tmp_path, CANVAS))
    expected = light(1, kind).astype(np.float32)
    assert (np.abs(found - expected) <= error * np.maximum(np.abs(expected), 1e-3)).all()


def test_linear_files_in_other_primaries_keep_their_numbers_and_say_so(edit: bpy.types.Scene, tmp_path: Path) -> None:
    strip = picture(edit, write_exr(tmp_path / "a.exr", light(1)))
    strip.colorspace_settings.name = "ACEScg"
    file = exported(edit, strip, tmp_path, SOURCE)
    assert file.read_bytes() == (tmp_path / "a.exr").read_bytes()
    assert said(edit, strip, SOURCE) == Colour(
        encoding=Encoding.LINEAR, working_space="ACEScg", view="AgX", display="sRGB"
    )  # fmt: skip
    assert said(edit, strip, CANVAS).working_space == "Linear Rec.709"


def said(edit: bpy.types.Scene, strip: Any, kind: RasterKind) -> Colour:
    return plate.colour(edit, strip, plate.raster(edit, strip, kind))


def test_numbers_that_are_not_linear_become_light_in_the_working_space(edit: bpy.types.Scene, tmp_path: Path) -> None:
    """As 8-bit footage whose colour space was chosen: a logarithm, or another gamma."""
    pixels = noise(1)
    strip = picture(edit, write_png(tmp_path / "a.png", pixels))
    strip.colorspace_settings.name = "Rec.1886"
    found = read_numbers(exported(edit, strip, tmp_path, SOURCE))
    assert said(edit, strip, SOURCE).encoding is Encoding.LINEAR
    assert np.abs(found - (pixels / 255) ** 2.4).max() < 2e-4


def test_8_bit_pictures_of_light_are_not_rounded_again(square: Any, tmp_path: Path) -> None:
    strip = picture(square, write_png(tmp_path / "a.png", every_level()))
    strip.colorspace_settings.name = "Linear Rec.709"
    found = read_numbers(exported(square, strip, tmp_path, SOURCE))
    assert np.abs(found - every_level() / np.float32(255)).max() < 1e-6


def test_a_matte_out_of_light_is_written_as_the_numbers_that_it_is(edit: bpy.types.Scene, tmp_path: Path) -> None:
    pixels = np.repeat(np.linspace(0, 1, 80, dtype=np.float32)[None, :, None], 48, axis=0).repeat(3, axis=2)
    strip = picture(edit, write_exr(tmp_path / "a.exr", pixels))
    for kind in RasterKind:
        found = read_numbers(exported(edit, strip, tmp_path / kind, kind, mode="BW"))
        assert np.abs(found - pixels).max() < 2 / 65535


def test_light_can_be_written_as_the_edit_shows_it(edit: bpy.types.Scene, tmp_path: Path) -> None:
    strip = picture(edit, write_exr(tmp_path / "a.exr", np.full((48, 80, 3), 0.5, np.float32)))
    found = {}
    for view, exposure in (("Standard", 0.0), ("Standard", 1.0), ("AgX", 0.0)):
        edit.view_settings.view_transform, edit.view_settings.exposure = view, exposure
        file = exported(edit, strip, tmp_path / f"{view}{exposure}", CANVAS, seen=True)
        found[view, exposure] = int(read_png(file)[24, 40, 0])
    assert found["Standard", 0.0] == 188  # 0.5 of light in sRGB
    assert found["Standard", 1.0] == 255
    assert 100 < found["AgX", 0.0] < 180


@pytest.mark.skipif(not hasattr(bpy.data, "colorspace"), reason="the working space can be chosen since 5.0")
def test_the_working_space_is_the_one_of_the_file(edit: bpy.types.Scene, tmp_path: Path) -> None:
    bpy.ops.wm.set_working_color_space(working_space="ACEScg")
    strip = picture(edit, write_exr(tmp_path / "a.exr", light(1)))
    strip.colorspace_settings.name = "ACEScg"
    assert np.array_equal(read_numbers(exported(edit, strip, tmp_path / "1", SOURCE)), light(1))
    assert said(edit, strip, CANVAS).working_space == "ACEScg"
    other = timeline.new_image_sequence(
        edit.sequence_editor,
        "8",
        [write_png(tmp_path / "b.png", np.dstack([noise(1), noise(2)[:, :, :1] | 255]))],
        5,
        2,
    )
    assert np.array_equal(read_png(exported(edit, other, tmp_path / "2", SOURCE)), noise(1))


# --- what is what ---------------------------------------------------------------------------------


def test_an_8_bit_plate_says_that_it_is_display_encoded(edit: bpy.types.Scene, film: Film) -> None:
    edit.view_settings.view_transform = "AgX"
    for kind in RasterKind:
        assert said(edit, film(f"plate {kind}"), kind) == Colour(view="Standard", working_space="Linear Rec.709")


def test_strips_made_of_others_are_as_fine_as_the_finest(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    below = film("below", frames=4, first=1, channel=1)
    above = timeline.new_image_sequence(edit.sequence_editor, "exr", [write_exr(tmp_path / "a.exr", light(1))], 1, 2)
    cross = new_effect(edit.sequence_editor, "CROSS", 3, 1, 5, below, above)
    text = new_effect(edit.sequence_editor, "TEXT", 4, 1, 5)
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=5, frame_start=1)
    assert [colours.grade_of(strip, CANVAS).name for strip in (below, above, cross, text, meta)] == [
        "BYTE", "FLOAT", "FLOAT", "BYTE", "BYTE",
    ]  # fmt: skip
    cross.move_to_meta(meta)  # and its inputs with it
    assert colours.grade_of(meta, CANVAS).name == "FLOAT"
    above.mute = cross.mute = True
    assert colours.grade_of(meta, CANVAS).name == "BYTE"


def test_a_file_that_is_no_picture_is_named(edit: bpy.types.Scene, film: Film, tmp_path: Path) -> None:
    strip = film(frames=1)
    (tmp_path / "plate" / "0000.png").write_bytes(b"no picture at all")
    with pytest.raises(BadInput, match=r"0000\.png cannot be read as a picture"):
        plate.check(strip)


# --- other colour configurations ------------------------------------------------------------------

CONFIGURATION = """\
ocio_profile_version: 2
roles: {default: code, data: Non-Color, scene_linear: light, rendering: light, color_picking: code,
  default_byte: code, default_float: light, default_sequencer: code}
file_rules:
  - !<Rule> {name: Default, colorspace: code}
displays:
  Wall:
    - !<View> {name: Moody, colorspace: dark}
    - !<View> {name: Honest, colorspace: VIEWED}
colorspaces:
  - !<ColorSpace> {name: light, isdata: false}
  - !<ColorSpace> {name: Non-Color, isdata: true}
  - !<ColorSpace> {name: code, isdata: false, to_scene_reference: !<ExponentTransform> {value: [2.2, 2.2, 2.2, 1]}}
  - !<ColorSpace> {name: dark, isdata: false, to_scene_reference: !<ExponentTransform> {value: [3, 3, 3, 1]}}
"""
"""Without any name that Blender's own configuration has, but the one by which tests read their pictures."""

SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[1])
import bpy
from footage import light, noise, write_exr, write_png
from test_colours import exported, picture, said
from wan_animate_blender.wire import BadInput, RasterKind

bpy.ops.wm.read_factory_settings(use_empty=True)
edit = bpy.context.scene
edit.render.resolution_x, edit.render.resolution_y = 80, 48
edit.sequence_editor_create()
folder = Path(sys.argv[2])
found = {}
for name, kind in (("plain.png", "source"), ("alpha.png", "source"), ("plain.png", "canvas"), ("light.exr", "source")):
    strip = picture(edit, folder / name)
    try:
        file = exported(edit, strip, folder / f"{name} {kind}", RasterKind(kind))
        colour = said(edit, strip, RasterKind(kind))
        found[f"{name} {kind}"] = [str(file), colour.view, colour.working_space]
    except BadInput as problem:
        found[f"{name} {kind}"] = [str(problem)]
(folder / "found.json").write_text(json.dumps(found))
sys.stdout.flush()
os._exit(0)
"""


def under(viewed: str, folder: Path) -> dict[str, list[str]]:
    """File, view and space of exports in a Blender with another colour configuration; or why there is none."""
    (folder / "config.ocio").write_text(CONFIGURATION.replace("VIEWED", viewed))
    write_png(folder / "plain.png", noise(1))
    write_png(folder / "alpha.png", np.dstack([noise(1), np.full((48, 80), 255, np.uint8)]))
    write_exr(folder / "light.exr", light(1))
    here = Path(__file__)
    subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([str(here.parent), str(here.parents[2])]), str(folder)],
        env={**os.environ, "OCIO": str(folder / "config.ocio")},
        check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("viewed", ["code", "Non-Color"])
def test_the_view_is_found_by_what_it_does_and_not_by_its_name(viewed: str, tmp_path: Path) -> None:
    found = under(viewed, tmp_path)
    for what in ("plain.png source", "alpha.png source", "plain.png canvas"):
        file, view, space = found[what]
        assert np.array_equal(read_png(Path(file)), noise(1)), what
        assert (view, space) == ("Honest", "light")
    assert Path(found["light.exr source"][0]).read_bytes() == (tmp_path / "light.exr").read_bytes()


def test_without_such_a_view_untouched_files_are_copied_and_others_refused_beforehand(tmp_path: Path) -> None:
    found = under("dark", tmp_path)
    assert Path(found["plain.png source"][0]).read_bytes() == (tmp_path / "plain.png").read_bytes()
    assert found["plain.png source"][1:] == ["", "light"]
    assert Path(found["light.exr source"][0]).read_bytes() == (tmp_path / "light.exr").read_bytes()
    for what in ("alpha.png source", "plain.png canvas"):
        (sentence,) = found[what]
        assert "no view through which pictures come out as they are; use an untouched PNG or EXR sequence" in sentence
