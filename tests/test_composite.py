"""The composite is exact: to the bit where the alpha is 0 or 255, to the nearest sample between.

Of scene-linear plates too, whatever bits they hold.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_server.composite import character, comp, layers, over, premultiplied

sides = st.integers(1, 40)
depths = st.sampled_from([np.uint8, np.uint16])
MATTES = {"nothing": [0], "everything": [255], "hard": [0, 255], "soft": list(range(256))}


def scene(seed: int, width: int, height: int, depth: type, matte: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(seed)
    plate = numbers.integers(0, np.iinfo(depth).max, (height, width, 3), depth, endpoint=True)
    generated = numbers.random((height, width, 3)).astype(np.float16)
    return plate, generated, numbers.choice(np.array(MATTES[matte], np.uint8), (height, width))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), sides, sides, depths, st.sampled_from(sorted(MATTES)))
def test_the_plate_survives_bit_for_bit_outside_and_the_character_inside(
    seed: int, width: int, height: int, depth: type, matte: str
) -> None:
    plate, generated, alpha = scene(seed, width, height, depth, matte)
    layer = character(generated, alpha)
    result = comp(plate, layer)
    assert result.dtype == plate.dtype
    assert result.shape == plate.shape
    np.testing.assert_array_equal(result[alpha == 0], plate[alpha == 0])
    full = np.iinfo(depth).max // 255
    np.testing.assert_array_equal(result[alpha == 255], layer[alpha == 255][:, :3].astype(depth) * full)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 65535), depths)
def test_a_soft_edge_is_the_nearest_sample_to_the_exact_mixture(
    alpha: int, colour: int, under: int, depth: type
) -> None:
    full = int(np.iinfo(depth).max)
    under %= full + 1
    plate = np.full((1, 1, 3), under, depth)
    layer = np.array([[[colour, colour, colour, alpha]]], np.uint8)
    exact = Fraction(under * (255 - alpha) + colour * (full // 255) * alpha, 255)
    assert comp(plate, layer)[0, 0].tolist() == [round(exact)] * 3


def test_laying_a_character_over_itself_changes_nothing() -> None:
    plate, _, alpha = scene(7, 31, 17, np.uint8, "soft")
    np.testing.assert_array_equal(comp(plate, np.dstack([plate, alpha])), plate)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(MATTES)))
def test_the_character_is_straight_and_empty_where_nothing_shows(seed: int, matte: str) -> None:
    _, generated, alpha = scene(seed, 13, 9, np.uint8, matte)
    layer = character(generated, alpha)
    assert layer.dtype == np.uint8
    np.testing.assert_array_equal(layer[..., 3], alpha)
    shown = alpha > 0
    assert np.abs(layer[shown][:, :3] / 255 - generated[shown].astype(float)).max(initial=0) <= 0.5 / 255 + 1e-6
    assert not layer[~shown].any()


@pytest.mark.parametrize(("value", "sample"), [(-0.1, 0), (0.0, 0), (0.5, 128), (1.0, 255), (1.3, 255)])
def test_what_the_decoder_overshoots_is_clipped(value: float, sample: int) -> None:
    layer = character(np.full((2, 2, 3), value, np.float32), np.full((2, 2), 255, np.uint8))
    assert (layer[..., :3] == sample).all()


# --- scene-linear ---------------------------------------------------------------------------------

kinds = st.sampled_from([np.float16, np.float32])


def bits(picture: np.ndarray) -> np.ndarray:
    return picture.view({2: np.uint16, 4: np.uint32}[picture.dtype.itemsize])


def light(seed: int, width: int, height: int, kind: type, matte: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plate of all bit patterns that there are: also infinities, both kinds of NaN, denormals and −0."""
    numbers = np.random.default_rng(seed)
    plate = numbers.bytes(height * width * 3 * np.dtype(kind).itemsize)
    made = numbers.random((height, width, 3)).astype(np.float32)
    alpha = numbers.choice(np.array(MATTES[matte], np.uint8), (height, width))
    return np.frombuffer(plate, kind).reshape(height, width, 3), made, alpha


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), sides, sides, kinds, st.sampled_from(sorted(MATTES)))
def test_a_linear_plate_keeps_all_its_bits_outside_and_nothing_of_it_is_left_inside(
    seed: int, width: int, height: int, kind: type, matte: str
) -> None:
    plate, made, alpha = light(seed, width, height, kind, matte)
    layer = premultiplied(made, alpha)
    result = over(plate, layer)
    assert (result.dtype, result.shape) == (plate.dtype, plate.shape)
    np.testing.assert_array_equal(bits(result)[alpha == 0], bits(plate)[alpha == 0])
    np.testing.assert_array_equal(result[alpha == 255], made[alpha == 255].astype(np.float16).astype(kind))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), sides, sides, kinds)
def test_a_soft_edge_over_light_is_the_over_of_the_two_files(seed: int, width: int, height: int, kind: type) -> None:
    """Computed again in float64 from what the files hold; also far above 1 and below 0."""
    _, made, alpha = light(seed, width, height, kind, "soft")
    plate = (np.random.default_rng(seed).normal(0, 40, made.shape)).astype(kind)
    layer = premultiplied(made, alpha)
    a = layer[..., 3:].astype(np.float64)
    exact = plate.astype(np.float64) * (1 - a) + layer[..., :3].astype(np.float64)
    size = np.abs(plate.astype(np.float64)) + 1  # terms may cancel, their rounding does not
    assert (np.abs(over(plate, layer) - exact) / size).max() <= (
        np.finfo(np.float16).eps / 2 if kind is np.float16 else 2e-7
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(MATTES)))
def test_the_linear_character_is_premultiplied_half_and_empty_where_nothing_shows(seed: int, matte: str) -> None:
    _, made, alpha = light(seed, 13, 9, np.float32, matte)
    layer = premultiplied(made, alpha)
    assert layer.dtype == np.float16
    np.testing.assert_array_equal(layer[..., 3], (alpha / 255).astype(np.float16))
    assert not layer[alpha == 0].any()
    assert (layer[..., 3][alpha == 255] == 1).all()
    exact = made * (alpha[..., None] / 255)
    assert (np.abs(layer[..., :3] - exact) <= exact * 2.0**-10 + 2.0**-24).all()


@given(kinds, st.integers(1, 254))
def test_what_is_no_number_stays_so_at_a_soft_edge_and_goes_where_the_character_hides_it(kind: type, soft: int) -> None:
    plate = np.array([np.nan, np.inf, -np.inf], kind).reshape(1, 1, 3).repeat(2, 1)
    result = over(plate, premultiplied(np.full((1, 2, 3), 0.5, np.float32), np.array([[soft, 255]], np.uint8)))
    np.testing.assert_array_equal(result[0], np.array([[np.nan, np.inf, -np.inf], [0.5, 0.5, 0.5]], kind))


# --- whole frames, of any size and depth ------------------------------------------------------------

KINDS = (np.uint8, np.uint16, np.float16, np.float32)
sizes = st.one_of(st.integers(16, 96), st.sampled_from([127, 333, 1023, 2048, 4095, 4096]))


def blob(width: int, height: int, x: float, y: float, radius: float, matte: str) -> np.ndarray:
    """An alpha around a place that may lie between pixels or outside the frame: smaller than a pixel, hard or soft."""
    if matte in ("nothing", "everything"):
        return np.full((height, width), 255 if matte == "everything" else 0, np.uint8)
    down, across = np.mgrid[:height, :width].astype(np.float32) + 0.5
    far = np.hypot(across - x * width, down - y * height)
    slope = 1.0 if matte == "hard" else max(radius / 2, 1.0)
    return np.rint(np.clip((radius - far) / slope + 0.5, 0, 1) * 255).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), sizes, st.integers(16, 64), st.booleans(), st.sampled_from(KINDS),
    st.sampled_from([np.uint8, np.uint16]), st.sampled_from(sorted(MATTES)),
    st.floats(-0.1, 1.1), st.floats(-0.1, 1.1), st.floats(0.1, 30),
)  # fmt: skip
def test_in_any_size_and_depth_the_plate_is_untouched_where_the_character_is_not(
    seed: int, long: int, short: int, tall: bool, kind: type, depth: type, matte: str, x: float, y: float, radius: float
) -> None:
    width, height = (short, long) if tall else (long, short)
    numbers = np.random.default_rng(seed)
    samples = numbers.bytes(height * width * 3 * np.dtype(kind).itemsize)
    plate = np.frombuffer(samples, kind).reshape(height, width, 3)
    made = numbers.random((height, width, 3)).astype(np.float32)
    alpha = blob(width, height, x, y, radius, matte)
    is_light = np.dtype(kind).kind == "f"
    found = layers(plate.copy(), made, alpha, depth, (lambda shown: shown) if is_light else None)
    assert {name: picture.dtype for name, picture in found.items()} == {
        "character": np.float16 if is_light else depth, "matte": np.float16 if is_light else depth, "comp": kind
    }  # fmt: skip
    whole = np.uint8 if kind == np.uint8 else np.uint16 if kind != np.float32 else np.uint32
    outside = alpha == 0
    np.testing.assert_array_equal(found["comp"].view(whole)[outside], plate.view(whole)[outside])
    assert not found["character"][outside].any()
    top = 1.0 if is_light else float(np.iinfo(depth).max)
    np.testing.assert_array_equal(found["matte"], (alpha / np.float32(255) * top).astype(found["matte"].dtype))
    inside = alpha == 255
    most = 1.0 if is_light else float(np.iinfo(kind).max)
    error = np.abs(found["comp"][inside].astype(np.float64) / most - made[inside])
    assert error.max(initial=0) <= (2.0**-11 if is_light else 0.51 / min(top, most) + 1e-6)


@given(st.integers(0, 255), st.integers(0, 65535), st.integers(0, 65535), st.sampled_from([np.uint8, np.uint16]))
def test_a_soft_edge_of_a_16_bit_character_is_the_nearest_sample_too(
    alpha: int, colour: int, under: int, kind: type
) -> None:
    most = int(np.iinfo(kind).max)
    plate = np.full((1, 1, 3), under % (most + 1), kind)
    layer = np.array([[[colour, colour, colour, alpha * 257]]], np.uint16)
    exact = Fraction(int(plate[0, 0, 0]) * (255 - alpha), 255) + Fraction(colour * alpha * most, 255 * 65535)
    assert comp(plate, layer)[0, 0].tolist() == [round(exact)] * 3
