"""Colour configurations that travel with a shot: what they say is used, and nothing else of them is believed."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import PyOpenColorIO
import pytest

from wan_animate_blender.wire import (
    CONFIGURATION,
    SHOT_FILE,
    BadInput,
    Colour,
    Encoding,
    Shot,
    Transform,
    WireError,
    list_files,
)
from wan_animate_server import configuration
from wan_animate_server.colour import Space
from wan_animate_server.shot import load
from wan_animate_server.signals import ShotSignals

from .conftest import QUICK, make_light, write_export, write_shot

BUILT_IN = ("cg-config-v2.2.0_aces-v1.3_ocio-v2.4", "studio-config-v4.0.0_aces-v2.0_ocio-v2.5")
"""ACES 1.3 and 2.0."""

HOUSE = """\
ocio_profile_version: 2
roles: {default: code, scene_linear: house, aces_interchange: aces}
file_rules: [!<Rule> {name: Default, colorspace: code}]
displays:
  Wall:
    - !<View> {name: Honest, colorspace: code}
    - !<View> {name: Bent, colorspace: table}
    - !<View> {name: Grey, colorspace: grey}
    - !<View> {name: Table, colorspace: table}
looks:
  - !<Look> {name: Warm, process_space: house, transform: !<CDLTransform> {slope: [1.2, 1, 0.8]}}
colorspaces:
  - !<ColorSpace> {name: aces, isdata: false}
  - !<ColorSpace> {name: house, isdata: false, to_scene_reference: !<MatrixTransform> {matrix: [0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 1]}}
  - !<ColorSpace> {name: code, isdata: false, to_scene_reference: !<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055}}
  - !<ColorSpace> {name: grey, isdata: false, from_scene_reference: !<MatrixTransform> {matrix: [0.3, 0.6, 0.1, 0, 0.3, 0.6, 0.1, 0, 0.3, 0.6, 0.1, 0, 0, 0, 0, 1]}}
  - !<ColorSpace> {name: table, isdata: false, from_scene_reference: !<FileTransform> {src: LUT, interpolation: linear}}
"""  # noqa: E501
"""A studio's: no name that anybody else has, and light twice as bright as in ACES2065-1."""


def lut(*levels: float) -> bytes:
    """A LUT from 0..1 to `levels`, in the format of Sony Pictures Imageworks."""
    rows = "\n".join(f"{level:.6f}" for level in levels)
    return f"Version 1\nFrom 0 1\nLength {len(levels)}\nComponents 1\n{{\n{rows}\n}}\n".encode()


def packed(folder: Path, text: str, **files: bytes) -> Path:
    """A shot's folder with the configuration `text` and LUTs, `a` as a.spi1d."""
    target = folder / CONFIGURATION
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.ocio", text)
        for name, content in files.items():
            archive.writestr(f"{name}.spi1d", content)
    return folder


def house(folder: Path, name: str = "a.spi1d", **files: bytes) -> Path:
    return packed(folder, HOUSE.replace("LUT", name), **files)


def meant(space: str = "house", view: str = "Honest", display: str = "Wall", **more: object) -> Colour:
    return Colour(
        encoding=Encoding.LINEAR, working_space=space, view=view, display=display, ocio=CONFIGURATION, **more
    )  # fmt: skip


def built_in(name: str) -> PyOpenColorIO.Config:
    return PyOpenColorIO.Config.CreateFromBuiltinConfig(name)


# --- utility --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("space", ["ACEScg", "Linear Rec.709 (sRGB)", "ACES2065-1"])
def test_a_space_of_an_aces_configuration_is_what_it_is_everywhere(name: str, space: str, tmp_path: Path) -> None:
    shown = np.random.default_rng(3).random((2000, 3)).astype(np.float32)
    there = Space.of(meant(space), packed(tmp_path, built_in(name).serialize()))
    np.testing.assert_allclose(there.light(shown), Space.named(space).light(shown), atol=3e-4)
    assert np.abs(there.shown(there.light(shown)) - shown).max() < 2e-5


def test_a_configuration_of_opencolorios_own_needs_no_file(tmp_path: Path) -> None:
    there = Space.of(replace(meant("ACEScg"), ocio="ocio://" + BUILT_IN[1]), tmp_path)
    assert there.interop == Space.named("ACEScg").interop
    with pytest.raises(BadInput, match="'ocio://mine', which this server's OpenColorIO does not have"):
        Space.of(replace(meant(), ocio="ocio://mine"), tmp_path)


def test_a_studios_space_is_found_through_its_interchange_role(tmp_path: Path) -> None:
    light = np.array([[0.2, 0.3, 0.1]], np.float32)
    shown = Space.of(meant(), house(tmp_path, a=lut(0, 1))).shown(light)
    np.testing.assert_allclose(shown, Space.named("ACES2065-1").shown(light / 2), atol=1e-5)


def test_a_configuration_without_roles_is_understood_by_trial_where_it_can_be(tmp_path: Path) -> None:
    lines = built_in(BUILT_IN[0]).serialize().splitlines()
    text = "\n".join(line for line in lines if "_interchange:" not in line)
    light = np.array([[0.18, 0.5, 0.1]], np.float32)
    found = Space.of(meant("ACEScg"), packed(tmp_path, text)).shown(light)
    np.testing.assert_allclose(found, Space.named("ACEScg").shown(light), atol=1e-5)


def test_one_that_does_not_tell_what_its_colours_are_is_one_sentence(tmp_path: Path) -> None:
    packed(tmp_path, HOUSE.replace(", aces_interchange: aces", ""))
    with pytest.raises(BadInput, match=r"does not tell what the colours of 'house' look like .* aces_interchange"):
        Space.of(meant(), tmp_path)


@pytest.mark.parametrize("space", ["ACEScg", "code", ""])
def test_a_space_that_a_configuration_does_not_have_or_that_is_no_light_is_refused(space: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"in the colour space {space!r}, which this server does not know"):
        Space.of(meant(space), house(tmp_path, a=lut(0, 1)))


# --- the view -------------------------------------------------------------------------------------

STOPS = 0.18 * 2.0 ** np.linspace(-6, 2.5, 200)


@pytest.mark.parametrize(("name", "view"), [(BUILT_IN[0], "ACES 1.0 - SDR Video"), (BUILT_IN[1], "")])
def test_aces_views_round_trip_the_plate(name: str, view: str, tmp_path: Path) -> None:
    display = "sRGB - Display"
    view = view or built_in(name).getDefaultView(display)
    tints = np.random.default_rng(4).uniform(0.6, 1, (30, 1, 3))
    light = np.concatenate([STOPS[None, :, None] * tint for tint in (np.ones(3), *tints)]).astype(np.float32)
    colour = meant("ACEScg", view, display, exposure=0.5, gamma=1.1)
    there = Space.of(colour, packed(tmp_path, built_in(name).serialize()), Transform.VIEW)
    plain = Space.of(colour, tmp_path)
    assert np.abs(there.shown(light) - plain.shown(light)).max() > 0.1, "it is the view that is seen"
    error = np.abs(there.light(there.shown(light)) - light) / light
    assert error[0].max() < 0.005, "greys"
    assert np.percentile(error, 95) < 0.005, "colours, but for those that the view brings together"
    seen = there.seen(light)
    assert np.abs(there.seen(there.light(seen / 255)).astype(int) - seen).max() <= 2


def test_exposure_look_and_gamma_of_the_edit_are_in_what_the_model_sees(tmp_path: Path) -> None:
    light = np.array([[0.2, 0.3, 0.1]], np.float32)
    house(tmp_path, a=lut(0, 1))

    def shown(**more: object) -> np.ndarray:
        there = Space.of(meant(**more), tmp_path, Transform.VIEW)
        np.testing.assert_allclose(there.light(there.shown(light)), light, rtol=1e-4)
        return there.shown(light)

    plain = Space.of(meant(), tmp_path, Transform.VIEW)
    np.testing.assert_allclose(shown(exposure=1.0), plain.shown(light * 2), atol=1e-5)
    np.testing.assert_allclose(shown(look="Warm"), plain.shown(light * np.float32([1.2, 1, 0.8])), atol=1e-5)
    np.testing.assert_allclose(shown(gamma=2.0), np.sqrt(plain.shown(light)), atol=1e-5)


@pytest.mark.parametrize(("view", "why"), [
    ("Grey", "cannot be undone"), ("Bent", "plates would not come back as they were"), ("Mine", "'Mine'"),
])  # fmt: skip
def test_a_view_that_cannot_be_undone_is_refused_before_anything_is_rendered(
    view: str, why: str, tmp_path: Path
) -> None:
    house(tmp_path, a=lut(0, 1, 0.2))
    with pytest.raises(BadInput, match=f"(?s){why}.*choose another view, or the transform 'utility'"):
        Space.of(meant(view=view), tmp_path, Transform.VIEW)


# --- what is in an archive ------------------------------------------------------------------------


def test_luts_of_one_name_in_two_shots_are_two(tmp_path: Path) -> None:
    """OpenColorIO remembers LUTs by their paths for as long as the process lives."""
    light, found = np.full((1, 3), 1.0, np.float32), []
    for name, power in (("one", 0.5), ("other", 0.4)):
        folder = house(tmp_path / name, a=lut(*np.linspace(0, 1, 4096) ** power))
        found.append(Space.of(meant(view="Table"), folder, Transform.VIEW).shown(light)[0, 0])
    np.testing.assert_allclose(found, [0.5**0.5, 0.5**0.4], atol=1e-3)


@pytest.mark.parametrize("way", ["{outside}", "../{name}", "../../../{name}", "missing.spi1d"])
def test_no_file_outside_the_archive_is_read(way: str, tmp_path: Path) -> None:
    outside = tmp_path / "shot" / "outside.spi1d"
    house(tmp_path / "shot", way.format(outside=outside, name=outside.name))
    outside.write_bytes(lut(*np.linspace(0, 1, 256) ** 0.5))
    with pytest.raises(BadInput, match=r"cannot be undone .*(could not be|outside\.spi1d)"):
        Space.of(meant(view="Table"), tmp_path / "shot", Transform.VIEW)


def bomb(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("config.ocio", HOUSE)
        with archive.open("a.spi1d", "w") as member:
            member.write(bytes(3 << 20))


def lying(file: Path) -> None:
    """Says that its LUT is small and goes on."""
    bomb(file)
    data = bytearray(file.read_bytes())
    for start, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.rindex(start) + offset
        data[at : at + 4] = (1000).to_bytes(4, "little")
    file.write_bytes(data)


def squeezed(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("config.ocio", HOUSE)


DAMAGE = {
    "no archive": (lambda file: file.write_bytes(b"ocio_profile_version: 2"), "not a zip file"),
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:-40]), "not a zip file"),
    "no configuration": (lambda file: zipfile.ZipFile(file, "w").close(), "it has no config.ocio"),
    "no YAML": (lambda file: packed(file.parents[1], "nope: ["), "Loading the OCIO profile failed"),
    "no text": (lambda file: packed(file.parents[1], b"\xff\xfe\x80"), "codec can't decode"),
    "gigabytes": (bomb, "it unpacks to more than 2 MB"),
    "a lie": (lying, "CRC"),
    "another packing": (squeezed, "packed in a way"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_no_configuration_is_one_sentence(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "MOST_CONFIGURATION", 2 << 20)  # of 512
    damage, why = DAMAGE[what]
    damage(house(tmp_path, a=lut(0, 1)) / CONFIGURATION)
    with pytest.raises(BadInput, match=f"is no colour configuration that can be read .*{why}.* export again"):
        Space.of(meant(), tmp_path)


# --- shots ----------------------------------------------------------------------------------------


def test_a_shot_that_names_a_configuration_has_it(tmp_path: Path) -> None:
    shot = Shot.loads((write_export(tmp_path, frames=5) / SHOT_FILE).read_bytes())
    with pytest.raises(WireError, match=r"colour configuration is ocio/config.ocioz, expected one of the shot's files"):
        replace(shot, colour=meant())


def test_another_configuration_view_or_transform_is_another_picture_to_the_model(tmp_path: Path) -> None:
    folder = make_light(write_export(tmp_path, frames=5))
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())

    def digest(text: str, transform: Transform = Transform.UTILITY, **more: object) -> str:
        packed(folder, text, a=lut(0, 1))
        files = list_files(folder, {SHOT_FILE})
        settings = replace(QUICK, transform=transform)
        write_shot(folder, replace(shot, colour=meant(**more), settings=settings, files=files))
        return ShotSignals(load(folder), QUICK.area or 0).digest(range(5))

    text, other = HOUSE.replace("LUT", "a.spi1d"), HOUSE.replace("LUT", "a.spi1d").replace("0.5", "0.4")
    assert digest(text) == digest(text, exposure=1.0, view="Grey"), "a utility transform knows no view"
    different = [
        digest(text), digest(other), digest(text, Transform.VIEW), digest(text, Transform.VIEW, exposure=1.0),
        digest(text, Transform.VIEW, look="Warm"),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_blenders_names_are_those_of_the_color_interop_forum() -> None:
    own = configuration.own()
    for name in ("Linear Rec.709", "Linear Rec.2020", "Linear DCI-P3 D65", "Linear Adobe RGB", "ACES2065-1", "ACEScg"):
        assert own.interop(own.name(configuration.public(name))) == configuration.public(name)
