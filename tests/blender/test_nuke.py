"""A take as a script for Nuke. Nuke itself is not here: its reading of the script is, in `nkscript`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bpy
import nkscript
import numpy as np
import pytest
from footage import light, noise
from takes import empty_floor, enable_addon, export_of, finished, over, person, take_of_layers, whole_take_of

from wan_animate_blender import nuke
from wan_animate_blender.wire import Alpha, BadInput, Colour, Encoding


@pytest.fixture(autouse=True)
def addon(fresh: None) -> None:
    enable_addon()


@pytest.fixture
def plate(trimmed: Any) -> Any:
    return trimmed


def numbers(file: Path) -> np.ndarray:
    """float64 [H, W, 4] of a picture, y down, as they are in the file."""
    image = bpy.data.images.load(str(file))
    image.colorspace_settings.is_data, image.alpha_mode = True, "CHANNEL_PACKED"
    flat = np.array(image.pixels[:], np.float64).reshape(image.size[1], image.size[0], 4)[::-1]
    bpy.data.images.remove(image)
    return flat


def display(linear: np.ndarray) -> np.ndarray:
    """uint8 of sRGB."""
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return np.rint(encoded[..., :3] * 255).astype(np.uint8)


@pytest.fixture
def folder(plate: Any, tmp_path: Path) -> Path:
    layers = {"plate": noise, "cleanplate": lambda _: np.full((48, 80, 3), 90, np.uint8)}
    return whole_take_of(export_of(plate, tmp_path, handles=2, layers=layers))


def test_the_script_makes_the_comp(folder: Path) -> None:
    file = nuke.write(folder)
    assert file == folder.parent / "SH010_v001.nk"
    nodes = nkscript.read(file)
    for frame in (1001, 1012):
        made = display(nkscript.picture(nodes[""], file.parent, frame, numbers)).astype(int)
        assert np.abs(made - over(noise(frame - 1001), person(frame - 1001))).max() <= 1


def test_a_clean_plate_waits_to_be_mixed_in(folder: Path) -> None:
    file = nuke.write(folder)
    nodes = nkscript.read(file)
    nodes["CleanPlateOverPlate"].knobs["which"] = "1"
    made = display(nkscript.picture(nodes[""], file.parent, 1003, numbers)).astype(int)
    assert np.abs(made - over(np.full((48, 80, 3), 90), person(2))).max() <= 1


def test_the_script_of_a_linear_take_makes_the_comp(plate: Any, tmp_path: Path) -> None:
    def character(seed: int) -> np.ndarray:
        alpha = (person(seed)[..., 3:] / 255).astype(np.float16)
        return np.dstack([light(seed + 50) * alpha.astype(np.float32), alpha]).astype(np.float16)

    colour = Colour(encoding=Encoding.LINEAR)
    export = export_of(plate, tmp_path, layers={"plate": lambda i: light(i, np.float16)}, colour=colour)
    layers = {"character": character, "matte": lambda i: np.repeat(character(i)[..., 3:], 3, 2)}
    file = nuke.write(take_of_layers(export, layers))
    nodes = nkscript.read(file)
    assert not [node for node in nodes.values() if node.kind == "Colorspace"]
    made = nkscript.picture(nodes[""], file.parent, 1004, numbers)[..., :3]
    above = character(3).astype(np.float64)
    expected = light(3, np.float16) * (1 - above[..., 3:]) + above[..., :3]
    assert np.abs(made - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("is_light", [False, True], ids=["display", "light"])
def test_over_a_background_with_shadows_the_script_makes_the_comp(plate: Any, tmp_path: Path, is_light: bool) -> None:
    colour = Colour(encoding=Encoding.LINEAR, working_space="Linear Rec.709") if is_light else None
    paint = (lambda i: light(i, np.float16)) if is_light else noise
    folder = finished(plate, tmp_path, paint, colour, beside=empty_floor(is_light), alpha=Alpha.DIFFERENCE)
    file = nuke.write(folder)
    nodes = nkscript.read(file)
    assert not {"Plate", "CleanPlate"} & set(nodes), "both are in the background already"
    for frame in (1001, 1003):
        made = nkscript.picture(nodes[""], file.parent, frame, numbers)
        wanted = numbers(folder / f"comp/{frame}.{'exr' if is_light else 'png'}")
        if is_light:
            assert np.abs(made - wanted)[..., :3].max() <= 1e-3 * np.abs(wanted[..., :3]).max(), "a half of the file"
        else:
            assert np.abs(display(made) / 255 - wanted[..., :3]).max() <= 1.01 / 255


def test_range_rate_and_format_are_those_of_the_shot(folder: Path) -> None:
    root = nkscript.read(nuke.write(folder))["Root"].knobs
    assert (root["first_frame"], root["last_frame"], root["fps"]) == ("1003", "1010", "24.0")
    assert root["format"] == "80 48 0 0 80 48 1 SH010"


def test_the_shot_can_be_moved_with_its_script(folder: Path, tmp_path: Path) -> None:
    file = nuke.write(folder)
    assert str(tmp_path) not in file.read_text()
    moved = Path(shutil.move(folder.parents[1], tmp_path / "elsewhere"))
    home = moved / "takes"
    made = nkscript.picture(nkscript.read(home / file.name)[""], home, 1001, numbers)
    assert np.abs(display(made).astype(int) - over(noise(0), person(0))).max() <= 1


def test_nothing_in_the_take_changes(folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    nuke.write(folder)
    nuke.write(folder)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder.parent / "SH010_v001.nk").mkdir()
    with pytest.raises(BadInput, match=r"cannot write .*SH010_v001\.nk"):
        nuke.write(folder)
