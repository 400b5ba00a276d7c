"""The edge of a matte, grown, shrunk and feathered: discs stay discs, soft stays soft, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.edges import Edges, feathered, grown

SIDE = 160
FINE = 16

DEPTHS = [np.uint8, np.uint16]
edges = st.builds(Edges, grow=st.floats(-6, 6), feather=st.floats(0, 12))
depths = st.sampled_from(DEPTHS)


def disc(radius: float, depth: type = np.uint8) -> np.ndarray:
    """A disc a little off the middle: each pixel says how much of it is inside."""
    place = (np.arange(SIDE * FINE) + 0.5) / FINE
    inside = (place - 80.3) ** 2 + (place[:, None] - 79.6) ** 2 <= radius * radius
    return np.rint(inside.reshape(SIDE, FINE, SIDE, FINE).mean((1, 3)) * np.iinfo(depth).max).astype(depth)


def noise(seed: int, depth: type, height: int = 24, width: int = 31) -> np.ndarray:
    """Spots of every grey on black and on white."""
    numbers = np.random.default_rng(seed)
    spots = numbers.integers(0, np.iinfo(depth).max, (height, width), depth, endpoint=True)
    return np.where(numbers.random((height, width)) < 0.1, spots, numbers.choice([0, np.iinfo(depth).max])).astype(
        depth
    )


def covered(matte: np.ndarray) -> float:
    return float(matte.sum() / np.iinfo(matte.dtype).max)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("radius", [0.5, 1, 2, 3.25, 5, 8, 8.3, 12.5, 20])
def test_a_disc_grows_to_the_disc_that_is_larger_by_the_radius(radius: float, depth: type) -> None:
    found, wanted = Edges(grow=radius).apply(disc(30, depth)), disc(30 + radius, depth)
    assert np.sqrt(covered(found) / np.pi) == pytest.approx(30 + radius, abs=0.1)
    assert np.abs(found.astype(float) - wanted).max() < 0.35 * np.iinfo(depth).max


@pytest.mark.parametrize("radius", [0.5, 1, 2, 3.25, 5, 8, 8.3, 12.5, 20])
def test_a_disc_shrinks_to_the_disc_that_is_smaller_by_the_radius(radius: float) -> None:
    found, wanted = Edges(grow=-radius).apply(disc(40)), disc(40 - radius)
    assert np.sqrt(covered(found) / np.pi) == pytest.approx(40 - radius, abs=0.1)
    assert np.abs(found.astype(float) - wanted).max() < 0.35 * 255


@pytest.mark.parametrize("radius", [1, 2.5, 7, 7.75])
def test_a_straight_soft_edge_moves_by_exactly_the_radius_and_stays_as_soft(radius: float) -> None:
    matte = np.zeros((9, 40), np.uint8)
    matte[:, 20:], matte[:, 19] = 255, 102
    found = Edges(grow=radius).apply(matte)
    assert covered(found) - covered(matte) == pytest.approx(9 * radius, abs=9 * 0.01)
    assert ((found[4] > 0) & (found[4] < 255)).sum() <= (1 if radius == int(radius) else 2)
    assert np.array_equal(Edges(grow=-radius).apply(found[:, :])[:, 25:], matte[:, 25:])


@pytest.mark.parametrize("width", [1, 2, 4, 8, 11.5, 40])
def test_a_hard_edge_becomes_a_slope_of_the_feathers_width_and_stays_where_it_was(width: float) -> None:
    matte = np.zeros((3, 200), np.uint8)
    matte[:, 100:] = 255
    slope = Edges(feather=width).apply(matte)[1].astype(int)
    assert (np.diff(slope) >= 0).all()
    assert abs(slope.sum() - 100 * 255) <= 2
    assert np.abs(slope + slope[::-1] - 255).max() <= 1  # as far to the one side as to the other
    soft = np.flatnonzero((slope > 0) & (slope < 255))
    assert width - 0.3 * width <= len(soft) <= width + 3
    assert np.diff(slope).max() <= 255 * 2 / width + 1


def test_a_feathers_slope_is_as_wide_in_every_direction() -> None:
    soft = Edges(feather=12).apply(disc(50)).astype(float)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    away = np.hypot(x - 80.3, y - 79.6) - 50
    assert soft[away < -9].min() == 255
    assert soft[away > 9].max() == 0
    on_edge = soft[np.abs(away) < 0.1]
    assert np.abs(on_edge / 255 - 0.5).max() < 0.06


@given(st.integers(0, 2**32 - 1), depths)
def test_without_numbers_a_matte_stays_bit_for_bit(seed: int, depth: type) -> None:
    matte = noise(seed, depth)
    found = Edges().apply(matte)
    assert found.dtype == depth
    assert np.array_equal(found, matte)


@settings(deadline=None)
@given(edges, depths)
def test_nothing_and_everything_stay_as_they_are(edge: Edges, depth: type) -> None:
    nothing = np.zeros((13, 17), depth)
    assert np.array_equal(edge.apply(nothing), nothing)
    assert np.array_equal(edge.apply(~nothing), ~nothing)


@settings(deadline=None)
@given(edges, depths, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_larger_matte_stays_larger(edge: Edges, depth: type, one: int, other: int) -> None:
    small = noise(one, depth)
    large = np.maximum(small, noise(other, depth))
    assert (edge.apply(small) <= edge.apply(large)).all()


@settings(deadline=None)
@given(st.floats(0, 6), st.floats(0, 6), depths, st.integers(0, 2**32 - 1))
def test_growing_more_never_gives_less(one: float, other: float, depth: type, seed: int) -> None:
    matte = noise(seed, depth)
    assert (grown(matte, min(one, other)) >= matte).all()
    assert (grown(matte, min(one, other)) <= grown(matte, max(one, other))).all()


@settings(deadline=None)
@given(edges, depths, st.integers(0, 2**32 - 1))
def test_a_mirrored_or_turned_matte_has_the_mirrored_or_turned_edge(edge: Edges, depth: type, seed: int) -> None:
    matte = noise(seed, depth)
    found = edge.apply(matte)
    assert np.array_equal(edge.apply(matte[:, ::-1]), found[:, ::-1])
    assert np.array_equal(edge.apply(matte[::-1]), found[::-1])
    turned = edge.apply(np.ascontiguousarray(matte.T)).T  # the means round once along each axis
    assert np.abs(turned.astype(int) - found).max() <= np.iinfo(depth).max / 255


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 12))
def test_a_feather_takes_from_the_one_side_what_it_gives_to_the_other(seed: int, width: float) -> None:
    matte = noise(seed, np.uint8)
    assert np.abs(feathered(~matte, width).astype(int) - ~feathered(matte, width)).max() <= 1


def test_a_person_who_leaves_the_frame_is_neither_cut_nor_softened_at_its_edge() -> None:
    matte = np.zeros((60, 80), np.uint8)
    matte[20:, 30:50] = 255
    found = Edges(grow=-3, feather=6).apply(matte)
    assert (found[30:, 40] == 255).all()
    assert np.array_equal(found[-1], found[-10])


def test_two_bits_more_depth_do_not_change_the_shape() -> None:
    matte = disc(40)
    fine = Edges(5.5, 7).apply(matte.astype(np.uint16) * 257)
    assert np.abs(fine / 257 - Edges(5.5, 7).apply(matte)).max() <= 1
