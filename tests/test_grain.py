"""Grain is measured as it is known to be, in spite of what is drawn and of what moves, and made again alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import Grain
from wan_animate_server import grain as grains
from wan_animate_server.grain import Floats

SIZE = 288
EVERYWHERE = np.ones((SIZE, SIZE), bool)
SLOPE, LEAST = 0.03, 0.008
"""Of the noise that is known, at brightness v: LEAST + SLOPE · v."""


def wall(shift: float = 0.0) -> Floats:
    """Steps of grey in each colour, from dark to bright, and a soft slope."""
    across = np.linspace(0, 1, SIZE, dtype=np.float32)[None, :, None] + np.float32(shift / SIZE)
    steps = np.floor(np.linspace(0, 5.999, SIZE, dtype=np.float32))[:, None, None] / 7 + np.float32(0.1)
    return (steps + across * 0.1) * np.float32([1.0, 0.9, 0.8])


def noise(seed: int, blur: float = 0.0) -> Floats:
    field = np.random.default_rng(seed).standard_normal((SIZE + 32, SIZE + 32, 3), np.float32)
    if blur:
        field = cv2.GaussianBlur(field, (0, 0), blur)
        field /= np.sqrt((cv2.getGaussianKernel(65, blur) ** 2).sum() ** 2)  # of variance 1 again
    return field[16:-16, 16:-16]


def filmed(picture: Floats, seed: int, blur: float = 0.0) -> Floats:
    """`picture` as a camera with the known noise sees it, in 8 bits."""
    known = picture + (LEAST + SLOPE * picture) * noise(seed, blur)
    return (np.rint(known.clip(0, 1) * 255) / 255).astype(np.float32)


def measured(pictures: list[Floats], *, moves: bool = False) -> Grain:
    found = grains.measure([grains.look(pictures, EVERYWHERE, moves=moves)], 1 / 255)
    assert found
    return found


def lags(field: Floats) -> list[float]:
    """Correlation with what lies one and two pixels to the right, and below."""
    centred = field - field.mean()
    variance = float(np.square(centred).mean())
    right = [float((centred[:, lag:] * centred[:, :-lag]).mean()) for lag in (1, 2)]
    below = [float((centred[lag:] * centred[:-lag]).mean()) for lag in (1, 2)]
    return [one / variance for one in (*right, *below)]


def check_noise(found: Grain) -> None:
    for levels, amounts in zip(found.levels, found.noise, strict=True):
        known = LEAST + SLOPE * np.array(levels)
        np.testing.assert_allclose(amounts, known, rtol=0.15)


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.2])
def test_the_noise_at_each_brightness_is_found_within_15_percent(blur: float) -> None:
    found = measured([filmed(wall(), seed, blur) for seed in range(4)])
    assert len(found.levels[0]) >= 5
    check_noise(found)


@pytest.mark.parametrize("blur", [0.0, 0.9])
def test_a_camera_that_moves_over_smooth_walls_changes_nothing_of_that(blur: float) -> None:
    check_noise(measured([filmed(wall(5.0 * seed), seed, blur) for seed in range(4)]))


def test_what_is_drawn_on_a_plate_that_stands_still_is_no_grain() -> None:
    drawn = np.random.default_rng(3).random((SIZE, SIZE, 3), np.float32) * 0.5 + 0.2
    found = measured([drawn] * 4)
    assert max(map(max, found.noise)) < 1e-4
    check_noise(measured([filmed(drawn, seed) for seed in range(4)]))


def test_a_clean_plate_that_moves_has_next_to_no_grain() -> None:
    slope = [(np.rint(wall(3.0 * shift) * 255) / 255).astype(np.float32) for shift in range(4)]
    assert max(map(max, measured(slope).noise)) < 0.5 / 255


def test_cloth_that_moves_at_one_brightness_does_not_pass_for_grain() -> None:
    drawn = np.random.default_rng(5).normal(0, 0.1, (48, SIZE, 3)).astype(np.float32)
    pictures = []
    for seed in range(4):
        picture = wall()
        picture[96:144] += np.roll(drawn, 7 * seed, axis=1)
        pictures.append(filmed(picture, seed))
    for levels, amounts in zip(*(getattr(measured(pictures), name) for name in ("levels", "noise")), strict=True):
        assert (np.array(amounts) < 2.3 * (LEAST + SLOPE * np.array(levels))).all()
        assert np.median(np.array(amounts) / (LEAST + SLOPE * np.array(levels))) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.2])
def test_new_grain_is_as_strong_and_hangs_together_as_what_was_measured(blur: float) -> None:
    found = measured([filmed(wall(), seed, blur) for seed in range(4)])
    clean = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    added = grains.grained(clean, found, 1.0, (7, 1001)) - clean
    assert added.std(axis=(0, 1)) == pytest.approx([LEAST + SLOPE / 2] * 3, rel=0.15)
    known = np.mean([lags(noise(seed, blur)[..., 0]) for seed in range(3)], axis=0)
    for channel in range(3):
        np.testing.assert_allclose(lags(added[..., channel]), known, rtol=0.15, atol=0.04)


def test_channels_that_share_their_grain_share_it_again() -> None:
    pictures = []
    for seed in range(4):
        grey = noise(seed)[..., :1].repeat(3, 2) * np.float32(0.8) + noise(seed + 9) * np.float32(0.6)
        pictures.append(np.float32(0.5) + np.float32(0.02) * grey)
    field = grains.texture(measured(pictures), SIZE, SIZE, (1, 2))
    shares = np.corrcoef(field.reshape(-1, 3).T)
    assert shares[np.triu_indices(3, 1)] == pytest.approx([0.64] * 3, abs=0.08)


def test_the_same_frame_gets_the_same_bits_and_each_other_frame_other_grain() -> None:
    found = measured([filmed(wall(), seed) for seed in range(4)])
    first, again, other = (grains.texture(found, 64, 48, (7, number)) for number in (1001, 1001, 1002))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_only_what_is_lacking_is_added() -> None:
    wanted = measured([filmed(wall(), seed) for seed in range(4)])
    own = measured([filmed(wall(), seed + 10) for seed in range(4)], moves=True)
    assert max(map(max, grains.lacking(wanted, own).noise)) < 0.5 * max(map(max, wanted.noise))
    assert grains.lacking(wanted, None).noise == wanted.noise


def test_light_is_measured_in_its_own_numbers() -> None:
    plate = wall() ** 2.4
    pictures = [(plate + 0.02 * np.sqrt(plate) * noise(seed)).astype(np.float32) for seed in range(4)]
    found = grains.measure([grains.look(pictures, EVERYWHERE)], 0.0, light=True)
    assert found
    for levels, amounts in zip(found.levels, found.noise, strict=True):
        np.testing.assert_allclose(amounts, 0.02 * np.sqrt(levels), rtol=0.15)


def test_where_next_to_nothing_is_usable_nothing_is_known() -> None:
    usable = np.zeros((SIZE, SIZE), bool)
    usable[:64, :64] = True
    pictures = [filmed(wall(), seed) for seed in range(4)]
    assert grains.measure([grains.look(pictures, usable)], 1 / 255) is None
