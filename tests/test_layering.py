"""One frame becomes files: formats and depths, extra layers, and what the files say; read by other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import OpenImageIO
import pytest
from PIL import Image

from wan_animate_blender.wire import (
    SHOT_FILE,
    BadInput,
    Extra,
    Finish,
    Format,
    Mode,
    Retake,
    Shot,
    WireError,
    list_files,
)
from wan_animate_server import shot as shots
from wan_animate_server.layering import Layering
from wan_animate_server.signals import ShotSignals
from wan_animate_server.take import TakeFolder
from wan_animate_server.video import read_picture, write_picture

from .conftest import HEIGHT, QUICK, WIDTH, Make, make_light, write_shot

LIGHT = (Format.EXR_ZIP, Format.EXR_PIZ)
MADE = np.random.default_rng(5).random((HEIGHT, WIDTH, 3)).astype(np.float16)
SEED = 2**63 - 1
EXTRAS = tuple(extra for extra in Extra if extra is not Extra.EFFECTS)  # which needs a matte (test_effects.py)


def finished(folder: Path, **finish: object) -> Path:
    """The export in `folder`, to be finished otherwise."""
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(shot, settings=replace(QUICK, finish=Finish(**finish))))  # type: ignore[arg-type]
    return folder


def written(folder: Path, i: int = 2) -> TakeFolder:
    """A take of the export in `folder` of which frame `i` is there, `MADE` by a model."""
    signals = ShotSignals(shots.load(folder), WIDTH * HEIGHT)
    take = TakeFolder.claim(folder.parent / "takes", signals.shot.shot, WIDTH, HEIGHT)
    take.note(models={"b.safetensors": "b" * 64, "a.safetensors": "a" * 64})
    Layering(signals, take).write(i, MADE, SEED)
    return take


def deepen(folder: Path) -> Path:
    """Give the plate of the export in `folder` 16 bits, all of them used."""
    for file in sorted((folder / "plate").glob("*.png")):
        plate = read_picture(file).astype(np.uint16) * 257 ^ np.uint16(37)
        write_picture(file, plate)
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(shot, files=list_files(folder, {SHOT_FILE})))
    return folder


@pytest.mark.parametrize("plate", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("chosen", "depth"), [(Format.PLATE, np.uint8), (Format.PNG8, np.uint8), (Format.PNG16, np.uint16)]
)
def test_png_layers_have_the_depth_that_is_chosen_and_the_comp_that_of_the_plate(
    make_shot: Make, plate: type, chosen: Format, depth: type
) -> None:
    folder = finished(make_shot() if plate is np.uint8 else deepen(make_shot()), format=chosen)
    take = written(folder)
    stored = {layer: cv2.imread(str(take.folder / f"{layer}/1003.png"), -1) for layer in ("character", "matte", "comp")}
    source = cv2.imread(str(folder / "plate/1003.png"), -1)
    assert {layer: picture.dtype for layer, picture in stored.items()} == {
        "character": depth, "matte": depth, "comp": plate
    }  # fmt: skip
    most, top = np.iinfo(plate).max, np.iinfo(depth).max
    alpha = stored["matte"].astype(float)[..., None] / top
    np.testing.assert_array_equal(stored["character"][..., 3], stored["matte"])
    np.testing.assert_array_equal(stored["comp"][alpha[..., 0] == 0], source[alpha[..., 0] == 0])
    exact = source * (1 - alpha) + stored["character"][..., :3] * alpha * (most / top)
    assert np.abs(stored["comp"] - exact).max() <= 0.5 + 1e-6
    inside = alpha[..., 0] == 1
    made = MADE[..., ::-1].astype(np.float32)
    assert np.abs(stored["character"][inside][:, :3] - made[inside] * top).max() <= 0.5 + 1e-2


@pytest.mark.parametrize(("chosen", "name"), [(Format.PLATE, "ZIP"), (Format.EXR_ZIP, "ZIP"), (Format.EXR_PIZ, "PIZ")])
def test_exr_layers_are_compressed_as_chosen_and_another_program_reads_them(
    make_shot: Make, chosen: Format, name: str
) -> None:
    take = written(finished(make_light(make_shot()), format=chosen))
    for layer, channels in (("character", "RGBA"), ("matte", "Y"), ("comp", "RGB")):
        file = str(take.folder / f"{layer}/1003.exr")
        assert OpenEXR.File(file, header_only=True).header()["compression"].name == f"{name}_COMPRESSION"
        spec = OpenImageIO.ImageBuf(file).spec()
        assert sorted(spec.channelnames) == sorted(channels)
        assert str(spec.format) == "half"


def test_every_compression_holds_the_same_samples(make_shot: Make) -> None:
    folder = make_light(make_shot())
    takes = [written(finished(folder, format=chosen)).folder for chosen in LIGHT]
    for layer in ("character", "comp"):
        first, second = (OpenEXR.File(str(take / f"{layer}/1003.exr")).channels() for take in takes)
        for name, channel in first.items():
            np.testing.assert_array_equal(channel.pixels.view(np.uint16), second[name].pixels.view(np.uint16))


@pytest.mark.parametrize("light", [False, True], ids=["display", "light"])
def test_an_exr_says_what_it_is_to_another_program_and_a_png_to_pillow(make_shot: Make, light: bool) -> None:
    changes = {"timecode": "01:00:00:00"}
    folder = make_light(make_shot(**changes), "ACEScg") if light else make_shot(**changes)
    take = written(folder)
    for layer in ("character", "matte", "comp"):
        path = take.folder / f"{layer}/1003"
        said = by_openimageio(path.with_suffix(".exr")) if light else by_pillow(path.with_suffix(".png"))
        assert said["imageCounter"] == (1003 if light else "1003")
        assert said["framesPerSecond"] == ((24, 1) if light else "24")
        assert said["timecode"] == "01:00:00:02"
        assert said["wanAnimate.seed"] == str(SEED)
        assert said["wanAnimate.recipe"] == take.take.recipe
        assert said["wanAnimate.models"] == f"{'a' * 64}  a.safetensors\n{'b' * 64}  b.safetensors"
        assert said["software" if light else "Software"].startswith("wan-animate ")
        space = "data" if layer == "matte" else "ACEScg" if light else "display"
        assert said["wanAnimate.colorSpace"] == space


def by_openimageio(path: Path) -> dict[str, object]:
    said = {word.name: word.value for word in OpenImageIO.ImageBuf(str(path)).spec().extra_attribs}
    packed = said["smpte:TimeCode"][0]
    digits = [f"{packed >> shift & mask:x}" for shift, mask in ((24, 0x3F), (16, 0x7F), (8, 0x7F), (0, 0x3F))]
    return said | {"timecode": ":".join(digit.zfill(2) for digit in digits)}


def by_pillow(path: Path) -> dict[str, object]:
    with Image.open(path) as file:
        return dict(file.text) | {"timecode": file.text["timeCode"]}


def test_the_timecode_in_a_plates_own_header_goes_before_the_exports(make_shot: Make) -> None:
    folder = make_light(make_shot(timecode="01:00:00:00"))
    for i, file in enumerate(sorted((folder / "plate").glob("*.exr"))):
        header, channels = {"type": OpenEXR.scanlineimage}, OpenEXR.File(str(file)).channels()
        header["timeCode"] = OpenEXR.TimeCode(10, 20, 30, i, *[0] * 14)
        OpenEXR.File(header, {name: channel.pixels for name, channel in channels.items()}).write(str(file))
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(shot, files=list_files(folder, {SHOT_FILE})))
    assert by_openimageio(written(folder).folder / "comp/1003.exr")["timecode"] == "10:20:30:02"


def test_the_timecode_follows_the_footage_and_not_the_edit(shot: Shot) -> None:
    backwards = tuple(replace(row, source=20.0 - 0.5 * i) for i, row in enumerate(shot.frames))
    retimed = replace(shot, frames=backwards, timecode="01:00:00:20")
    assert [str(retimed.timecode_of(i)) for i in (0, 1, 2, 3, 8)] == [
        f"01:00:00:{frame}" for frame in (20, 19, 19, 18, 16)
    ]
    assert shot.timecode_of(3) is None


def test_the_recipe_is_settings_export_models_and_what_is_taken_again_and_nothing_else(make_shot: Make) -> None:
    take = written(make_shot()).take
    assert replace(take, retake=Retake(first=1002, last=1003)).recipe == take.recipe, "its seed is the shot's"
    assert replace(take, version=7, device="other", seconds={"denoising": 1.0}).recipe == take.recipe
    others = [
        replace(take, export="0" * 64), replace(take, models={}), replace(take, settings=replace(QUICK, seed=8)),
        replace(take, retake=Retake(first=1002, last=1003, seed=99)),
        replace(take, retake=Retake(first=1002, last=1004, seed=99)),
    ]  # fmt: skip
    assert len({take.recipe, *(other.recipe for other in others)}) == 6


# --- extra layers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("light", [False, True], ids=["display", "light"])
def test_extra_layers_lie_beside_the_others(make_shot: Make, light: bool) -> None:
    folder = finished(make_light(make_shot()) if light else make_shot(), layers=EXTRAS)
    take = written(folder)
    assert take.take.layers == (*(extra.value for extra in EXTRAS), "character", "matte", "comp")
    pose, face = (cv2.imread(str(take.folder / f"{layer}/1003.png"), -1) for layer in ("pose", "face"))
    assert pose.shape == (HEIGHT, WIDTH, 3)
    assert face.shape == (512, 512, 3)
    assert 0.02 < (pose.max(axis=2) > 0).mean() < 0.5
    left = np.flatnonzero(pose.max(axis=(0, 2)) > 0).min()
    assert 9 <= left <= 21, "the figure of the third frame stands around column 21"
    if light:
        files = OpenEXR.File(str(take.folder / "generated/1003.exr")).channels()
        character = OpenEXR.File(str(take.folder / "character/1003.exr")).channels()["RGBA"].pixels
        whole = character[..., 3] == 1
        np.testing.assert_array_equal(files["RGB"].pixels[whole], character[whole, :3])
        assert files["RGB"].pixels.shape == (HEIGHT, WIDTH, 3)
    else:
        made = cv2.imread(str(take.folder / "generated/1003.png"), -1)
        np.testing.assert_array_equal(made, np.rint(MADE[..., ::-1].astype(np.float32) * 255))


def test_a_character_on_its_own_background_has_what_was_made_once(make_shot: Make) -> None:
    folder = finished(make_shot(mode=Mode.ANIMATE), layers=(Extra.GENERATED, Extra.POSE), format=Format.PNG16)
    signals = ShotSignals(shots.load(folder), WIDTH * HEIGHT)
    take = TakeFolder.claim(folder.parent / "takes", signals.shot.shot, signals.width, signals.height)
    assert take.take.layers == ("pose", "generated")
    made = np.random.default_rng(1).random((signals.height, signals.width, 3)).astype(np.float16)
    shown = Layering(signals, take).write(0, made, SEED).shown
    stored = cv2.imread(str(take.folder / "generated/1001.png"), -1)
    assert stored.dtype == np.uint16
    assert np.abs(stored[..., ::-1] / 65535 - made.astype(float)).max() < 1e-5
    assert shown.dtype == np.uint8
    pose = cv2.imread(str(take.folder / "pose/1001.png"), -1)
    np.testing.assert_array_equal(pose[..., ::-1], signals.pose(0))


# --- what cannot be ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [Format.PNG8, Format.PNG16])
def test_light_does_not_fit_into_png_and_that_is_said_before_rendering(make_shot: Make, chosen: Format) -> None:
    with pytest.raises(BadInput, match=f"format is {chosen}, expected one that holds a scene-linear plate: plate, exr"):
        finished(make_light(make_shot()), format=chosen)


@pytest.mark.parametrize("chosen", LIGHT)
@pytest.mark.parametrize("mode", list(Mode))
def test_display_encoded_numbers_are_no_light_and_that_is_said_before_rendering(
    make_shot: Make, chosen: Format, mode: Mode
) -> None:
    with pytest.raises(BadInput, match=f"format is {chosen}, expected .* display-encoded pictures: plate, png8, png16"):
        finished(make_shot(mode=mode), format=chosen)


def test_a_layer_is_asked_for_once() -> None:
    with pytest.raises(WireError, match="layers is pose, pose, expected each layer once"):
        Finish(layers=(Extra.POSE, Extra.POSE))
