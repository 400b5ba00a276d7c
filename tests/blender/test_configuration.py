"""The colour configuration of this Blender travels whole, and a server makes of it what Blender does."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import write_exr
from serving import PATIENCE, PYTHON, ROOT
from test_colours import CANVAS, SOURCE, exported, picture, said

from wan_animate_blender import colours, configuration
from wan_animate_blender.wire import CONFIGURATION, BadInput, Colour, Encoding, Transform

VIEWS: dict[str, dict[str, Any]] = {
    "Standard": {"view_transform": "Standard"},
    "AgX": {"view_transform": "AgX"},
    "AgX with a look": {"view_transform": "AgX", "look": "AgX - Medium High Contrast"},
    "Filmic, exposed": {"view_transform": "Filmic", "exposure": -0.7, "gamma": 1.2},
    "Filmic with a look": {"view_transform": "Filmic", "look": "High Contrast"},
    "Khronos": {"view_transform": "Khronos PBR Neutral"},
    "ACES 1.3": {"view_transform": "ACES 1.3"},
    "ACES 2.0": {"view_transform": "ACES 2.0"},
}
"""Of Blender's own configuration; ACES since 5.0."""


def plate(folder: Path) -> Path:
    """48 greys and colours over eight stops, from dark to twice white."""
    stops = np.exp2(np.linspace(-7, 1, 48))[:, None, None]
    tints = np.concatenate((np.ones((1, 16, 3)), np.random.default_rng(1).uniform(0.6, 1, (1, 64, 3))), 1)
    return write_exr(folder / "light.exr", (stops * tints).astype(np.float32))


def server_on(folder: Path, colour: Colour, transform: Transform) -> dict[str, Any]:
    (folder / "colour.json").write_text(json.dumps({"colour": colour.to_json(), "transform": transform}))
    done = subprocess.run(
        [os.environ[PYTHON], str(Path(__file__).with_name("read_colour.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "server")))},
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return json.loads(done.stdout)


def travelled(edit: Any, strip: Any, folder: Path, transform: Transform) -> dict[str, Any]:
    """What the server makes of a plate of `strip` in `folder` with what Blender says of it."""
    colours.check(edit, strip, SOURCE, transform)
    return server_on(folder, configuration.write(said(edit, strip, SOURCE), transform, folder), transform)


@pytest.mark.parametrize("name", VIEWS)
def test_the_model_sees_what_the_edit_shows_and_the_plate_comes_back(edit: Any, tmp_path: Path, name: str) -> None:
    strip = picture(edit, plate(tmp_path))
    try:
        for key, value in VIEWS[name].items():
            setattr(edit.view_settings, key, value)
    except TypeError:
        pytest.skip("this Blender has no such view")
    shown = exported(edit, strip, tmp_path / "seen", CANVAS, seen=True)
    shown.rename(tmp_path / "shown.png")
    found = travelled(edit, strip, tmp_path, Transform.VIEW)
    assert found["off"][0] <= 2 and found["off"][1] < 0.2, "levels of 255 from what Blender shows"
    # The table by which Blender's configuration undid AgX until 4.5 is coarse where colours are strong.
    assert found["again"] <= (10 if "AgX" in name and not hasattr(bpy.data, "colorspace") else 2)
    if name not in ("Standard", "Khronos"):  # they clip at white
        assert found["dimmed"] < 0.02


@pytest.mark.parametrize("space", ["Linear FilmLight E-Gamut", "Linear CIE-XYZ E"])
def test_spaces_that_only_blender_knows_come_back_through_its_configuration(
    edit: Any, tmp_path: Path, space: str
) -> None:
    strip = picture(edit, plate(tmp_path))
    strip.colorspace_settings.name = space
    assert said(edit, strip, SOURCE).working_space == space
    assert travelled(edit, strip, tmp_path, Transform.UTILITY)["again"] <= 1
    assert (tmp_path / CONFIGURATION).exists()


def test_what_everybody_knows_needs_no_file(edit: Any, tmp_path: Path) -> None:
    strip = picture(edit, plate(tmp_path))
    for space in ("Linear Rec.709", "ACEScg", "Linear Rec.2020"):
        strip.colorspace_settings.name = space
        assert travelled(edit, strip, tmp_path, Transform.UTILITY)["again"] <= 1
    assert not (tmp_path / CONFIGURATION).exists()


@pytest.mark.parametrize("view", ["False Color"])
def test_a_view_that_cannot_be_undone_is_the_servers_one_sentence(edit: Any, tmp_path: Path, view: str) -> None:
    strip = picture(edit, plate(tmp_path))
    edit.view_settings.view_transform = view
    with pytest.raises(subprocess.CalledProcessError) as problem:
        travelled(edit, strip, tmp_path, Transform.VIEW)
    assert b"the view 'False Color' of the display 'sRGB' cannot be undone" in problem.value.stderr


def test_curves_of_the_view_are_refused_before_the_export(edit: Any, tmp_path: Path) -> None:
    strip = picture(edit, plate(tmp_path))
    edit.view_settings.use_curve_mapping = True
    with pytest.raises(BadInput, match="has curves, which cannot be undone after the model; switch that off"):
        colours.check(edit, strip, SOURCE, Transform.VIEW)
    colours.check(edit, strip, SOURCE, Transform.UTILITY)


@pytest.mark.skipif(not hasattr(bpy.data, "colorspace"), reason="the working space can be chosen since 5.0")
@pytest.mark.parametrize("space", ["ACEScg", "Linear Rec.2020"])
def test_another_working_space_is_the_same_picture_to_the_model(edit: Any, tmp_path: Path, space: str) -> None:
    bpy.ops.wm.set_working_color_space(working_space=space)
    strip = picture(edit, plate(tmp_path))
    strip.colorspace_settings.name = "Linear Rec.709"
    edit.view_settings.view_transform = "Standard"
    exported(edit, strip, tmp_path / "seen", CANVAS, seen=True).rename(tmp_path / "shown.png")
    exported(edit, strip, tmp_path / "plate", CANVAS).rename(tmp_path / "light.exr")
    meant = said(edit, strip, CANVAS)
    assert meant.working_space == space
    found = server_on(tmp_path, meant, Transform.UTILITY)
    assert found["off"][0] <= 1 and found["again"] <= 1


# --- a studio's -----------------------------------------------------------------------------------

HOUSE = """\
ocio_profile_version: 2
environment: {SHOW: agm}
search_path: LISTED
roles: {default: light, scene_linear: light, aces_interchange: light}
file_rules: [!<Rule> {name: Default, colorspace: light}]
displays: {Wall: [!<View> {name: Honest, colorspace: light}]}
colorspaces:
  # - !<ColorSpace> {name: old, from_scene_reference: !<FileTransform> {src: nobody_has_it.cube}}
  - !<ColorSpace> {name: light, isdata: false}
  - !<ColorSpace> {name: flow, isdata: false, from_scene_reference: !<FileTransform> {src: "${SHOW} look, 1.spi1d", interpolation: linear}}
  - !<ColorSpace>
    name: block
    isdata: false
    from_scene_reference: !<FileTransform>
      src: plain.spi1d
      interpolation: linear
"""  # noqa: E501
LUT = "Version 1\nFrom 0 1\nLength 2\nComponents 1\n{{\n0\n{:f}\n}}\n"
SEARCHED = {
    "one word": '"luts:{outside}"',
    "a list": "\n  - luts\n  - {outside}",
}


@pytest.fixture(params=SEARCHED)
def house(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration as $OCIO, with a LUT beside it and one elsewhere, behind a link."""
    outside = tmp_path / "outside"
    file = tmp_path / "house" / "config.ocio"
    for folder in (outside, file.parent / "luts"):
        folder.mkdir(parents=True)
    file.write_text(HOUSE.replace("LISTED", SEARCHED[request.param].format(outside=outside)))
    (file.parent / "luts" / "plain.spi1d").write_text(LUT.format(0.5))
    (tmp_path / "real").write_text(LUT.format(0.25))
    (outside / "agm look, 1.spi1d").symlink_to(tmp_path / "real")
    (file.parent / "luts" / "secret.spi1d").write_text("nobody asked for this")
    monkeypatch.setenv("OCIO", str(file))
    return file


def light(**more: Any) -> Colour:
    return Colour(encoding=Encoding.LINEAR, working_space="light", view="Honest", display="Wall", **more)


def test_a_studios_configuration_travels_with_what_it_refers_to_and_nothing_else(house: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
        assert configuration.write(light(), Transform.UTILITY, folder) == light(ocio=CONFIGURATION)
    one, other = (folder / CONFIGURATION for folder in folders)
    assert one.read_bytes() == other.read_bytes(), "a server needs it once for all shots"
    with zipfile.ZipFile(one) as archive:
        text = archive.read("config.ocio").decode()
        luts = {name: archive.read(name).decode() for name in archive.namelist() if name != "config.ocio"}
        assert not any(member.external_attr >> 28 == 0o12 for member in archive.infolist()), "no links"
    assert sorted(luts.values()) == sorted((LUT.format(0.5), LUT.format(0.25)))
    assert all(name in text for name in luts)
    assert str(tmp_path) not in text and "search_path" not in text


def test_a_display_encoded_plate_needs_no_configuration(house: Path, tmp_path: Path) -> None:
    assert configuration.write(Colour(), Transform.VIEW, tmp_path) == Colour()
    assert not (tmp_path / CONFIGURATION).exists()


def test_a_missing_lut_is_one_sentence_before_the_export(house: Path) -> None:
    (house.parent / "luts" / "plain.spi1d").unlink()
    with pytest.raises(BadInput, match=r"refers to the LUT 'plain\.spi1d', which is in none of its folders; put it"):
        configuration.check(light(), Transform.UTILITY)


def test_a_configuration_that_is_too_large_is_one_sentence(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "MOST_CONFIGURATION", 100)
    with pytest.raises(BadInput, match="MB with its LUTs, at most 0 MB travel with a shot"):
        configuration.check(light(), Transform.UTILITY)


def test_a_packed_configuration_and_one_of_opencolorios_own_are_used_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCIO", "ocio://default")
    assert configuration.write(light(), Transform.UTILITY, tmp_path).ocio == "ocio://default"
    (tmp_path / "house.ocioz").write_bytes(b"as it is")
    monkeypatch.setenv("OCIO", str(tmp_path / "house.ocioz"))
    assert configuration.write(light(), Transform.UTILITY, tmp_path).ocio == CONFIGURATION
    assert (tmp_path / CONFIGURATION).read_bytes() == b"as it is"


def test_a_configuration_that_is_not_there_is_blenders_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCIO", "/nowhere/config.ocio")
    assert configuration.source() == configuration.own()
