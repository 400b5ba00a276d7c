"""Colour: scene-linear numbers to what the model sees and back, against the published curves and primaries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import BadInput, Clipped, Colour, Encoding, Highlights, Settings, Transform
from wan_animate_server.colour import Space

SPACES = (
    "Linear Rec.709", "Linear Rec.2020", "Linear DCI-P3 D65", "Linear Adobe RGB", "ACEScg", "ACES2065-1",
    "Linear ARRI Wide Gamut 4",
)  # fmt: skip
"""As Blender 5.2 calls them."""

PRIMARIES = {
    "Linear Rec.709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    "Linear Rec.2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    "Linear DCI-P3 D65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    "ACEScg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
    "ACES2065-1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767),
}
"""x and y of red, green, blue and white: ITU-R BT.709 and BT.2020, SMPTE EG 432-1, S-2014-004 and ST 2065-1."""


def curve(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, from 0 to 1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def xyz(space: str) -> np.ndarray:
    """RGB to XYZ under D65: SMPTE RP 177, and Bradford's adaptation of the white."""
    x, y = np.array(PRIMARIES[space]).reshape(4, 2).T
    columns = np.stack([x, y, 1 - x - y]) / y
    matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    white = np.array([0.3127, 0.3290, 1 - 0.3127 - 0.3290]) / 0.3290
    return np.linalg.solve(cone, np.diag(cone @ white / (cone @ columns[:, 3])) @ cone) @ matrix


@pytest.mark.parametrize("space", PRIMARIES)
def test_the_model_sees_srgb(space: str) -> None:
    rgb = np.random.default_rng(1).random((500, 3))
    light = rgb @ (np.linalg.solve(xyz(space), xyz("Linear Rec.709"))).T
    np.testing.assert_allclose(Space.named(space).shown(light.astype(np.float32)), curve(rgb), atol=1e-3)
    np.testing.assert_allclose(Space.named(space).light(curve(rgb)), light, atol=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_what_the_model_leaves_alone_comes_back(space: str) -> None:
    shown = np.random.default_rng(2).random((200, 200, 3)).astype(np.float32)
    there = Space.named(space)
    light = there.light(shown)
    assert np.abs(there.shown(light) - shown).max() < 2e-5
    assert (np.abs(there.light(there.shown(light)) - light) / np.maximum(light, 1e-3)).max() < 1e-4


@pytest.mark.parametrize("space", SPACES)
def test_every_8_bit_level_comes_back_through_half_files(space: str) -> None:
    grey = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    there = Space.named(space)
    assert np.array_equal(there.seen(there.light(grey / 255).astype(np.float16)), grey)


@pytest.mark.parametrize(("space", "half"), [
    ("Linear Rec.709", 0), ("Linear DCI-P3 D65", 0), ("ACEScg", 1), ("Linear Rec.2020", 1), ("ACES2065-1", 2),
])  # fmt: skip
def test_8_bit_colours_come_back_through_files(space: str, half: int) -> None:
    """Nearly saturated ones are small differences of large numbers, where halves are coarse."""
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    there = Space.named(space)
    light = there.light(colours / 255)
    assert np.array_equal(there.seen(light), colours)
    assert np.abs(there.seen(light.astype(np.float16)).astype(int) - colours).max() <= half


def test_white_is_white_everywhere() -> None:
    for space in SPACES:
        np.testing.assert_allclose(Space.named(space).light(np.ones((1, 3))), 1, atol=1e-4)
        assert Space.named(space).clipped(np.ones((5, 3), np.float16)).above == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SPACES), st.sampled_from([np.float16, np.float32]))
def test_whatever_a_plate_holds_the_model_sees_numbers_from_0_to_1(seed: int, space: str, kind: type) -> None:
    data = np.random.default_rng(seed).bytes(300 * np.dtype(kind).itemsize)
    plate = np.frombuffer(data, kind).reshape(10, 10, 3)
    before = plate.tobytes()
    shown = Space.named(space).shown(plate)
    assert shown.dtype == np.float32 and shown.shape == plate.shape
    assert (shown >= 0).all() and (shown <= 1).all()
    assert plate.tobytes() == before


@pytest.mark.parametrize(("name", "interop"), [("ACEScg", "lin_ap1_scene"), ("Linear Rec.709", "lin_rec709_scene")])
def test_a_space_has_a_name_for_other_programs(name: str, interop: str) -> None:
    assert (Space.named(name).name, Space.named(name).interop) == (name, interop)
    assert Space.named(interop).interop == interop


@pytest.mark.parametrize("name", ["", "sRGB", "ACEScct", "Non-Color", "Raw", "mine"])
def test_what_is_no_scene_linear_space_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"in the colour space {name!r}, which this server does not know; convert it"):
        Space.named(name)


def test_what_is_clipped_is_counted_and_said() -> None:
    plate = np.array([[0.5, 1, 0], [2, 3.5, 1.001], [np.inf, -0.2, 0.3], [np.nan, 0.1, 0.2]], np.float16)
    found = Space.named("Linear Rec.709").clipped(plate)
    assert found == Clipped(samples=12, above=3, below=2, brightest=3.5)
    above, below = (found + Clipped(samples=88)).notes()
    assert above.startswith("3 % of the plate's samples inside the region are brighter than what the model sees")
    assert "the brightest is 3.5" in above
    assert below.startswith("2 % of the plate's samples inside the region are no number or outside sRGB's colours")
    assert Clipped(samples=9).notes() == Clipped().notes() == ()


# --- highlights -----------------------------------------------------------------------------------


def over_shoulder(space: str) -> Space:
    colour = Colour(encoding=Encoding.LINEAR, working_space=space)
    return Space.of(colour, Path(), highlights=Highlights.SHOULDER)


@pytest.mark.parametrize("space", SPACES)
def test_light_up_to_15_times_white_comes_back_over_the_shoulder(space: str) -> None:
    grey = np.exp2(np.linspace(-8, np.log2(15), 300, dtype=np.float32))[:, None].repeat(3, 1)
    there = over_shoulder(space)
    np.testing.assert_allclose(there.light(there.shown(grey)), grey, rtol=2e-3)
    eight_bit = there.light(there.seen(grey) / 255) / grey
    assert np.abs(eight_bit[grey > 0.05] - 1).max() < 0.05, "half of the step between two levels"
    assert np.abs(Space.named(space).light(Space.named(space).shown(grey))).max() < 1.001, "which is clipped without it"
    assert there.clipped(grey).above == 0 < Space.named(space).clipped(grey).above


def test_the_shoulder_leaves_what_is_darker_than_half_of_white_as_it_is() -> None:
    grey = np.linspace(0, 0.5, 100, dtype=np.float32)[:, None].repeat(3, 1)
    plain, soft = Space.named("Linear Rec.709"), over_shoulder("Linear Rec.709")
    np.testing.assert_allclose(soft.shown(grey), plain.shown(grey), atol=2e-5)
    lamp = np.linspace(0.5, 15, 1000, dtype=np.float32)[:, None].repeat(3, 1)
    assert (np.diff(soft.shown(lamp), axis=0) > 0).all()
    assert soft.shown(np.float32([[1, 1, 1]])).max() < 0.86, "white looks duller to the model"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float16, np.float32]))
def test_whatever_a_plate_holds_the_shoulder_shows_numbers_from_0_to_1(seed: int, kind: type) -> None:
    data = np.random.default_rng(seed).bytes(300 * np.dtype(kind).itemsize)
    shown = over_shoulder("ACEScg").shown(np.frombuffer(data, kind).reshape(10, 10, 3))
    assert (shown >= 0).all() and (shown <= 1).all()


def test_a_view_and_a_shoulder_together_are_refused() -> None:
    with pytest.raises(BadInput, match="highlights is shoulder, expected clip, for a view has a shoulder of its own"):
        Settings(transform=Transform.VIEW, highlights=Highlights.SHOULDER)
