"""Colours are fitted robustly and within limits; joins are judged by what a person sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wan_animate_server import seams

COLOURS = np.random.default_rng(3).uniform(0.15, 0.8, (400, 3)).astype(np.float32)
TIMES = np.tile(np.linspace(0, 1, 8), 50)

anything = arrays(np.float32, (40, 3), elements=st.floats(width=32))


def drifted(colours: np.ndarray, gains: tuple[float, ...], offsets: tuple[float, ...]) -> np.ndarray:
    return (colours * np.float32(gains) + np.float32(offsets)).astype(np.float32)


def fitted(seen: np.ndarray, wanted: np.ndarray, when: np.ndarray = TIMES, blame: float = 0.5) -> np.ndarray:
    found = seams.fit(seen, wanted, when, blame=blame)
    assert found is not None
    return found


def test_a_gain_and_an_offset_of_each_channel_are_found() -> None:
    gains, offsets = (1.1, 0.95, 1.0), (0.02, -0.03, 0.05)
    found = fitted(COLOURS, drifted(COLOURS, gains, offsets))
    np.testing.assert_allclose(found[:, 0], [gains] * 2, atol=0.01)
    np.testing.assert_allclose(found[:, 1], [offsets] * 2, atol=0.005)


def test_what_drifts_inside_a_segment_is_found_at_both_ends() -> None:
    wanted = COLOURS + (0.04 * TIMES[:, None]).astype(np.float32)
    found = fitted(COLOURS, wanted)
    brought = [seams.corrected(COLOURS, seams.between(found, place)).mean() - COLOURS.mean() for place in (0, 0.5, 1)]
    assert brought == pytest.approx([0, 0.02, 0.04], abs=0.002)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_what_changed_in_less_than_half_of_the_picture_is_not_followed(share: float) -> None:
    gains, offsets = (1.06, 1.0, 0.94), (0.01, 0.0, -0.02)
    noise = np.random.default_rng(1).normal(0, 0.004, COLOURS.shape).astype(np.float32)
    wanted = drifted(COLOURS, gains, offsets) + noise
    wanted[: int(share * len(wanted))] = (0.9, 0.1, 0.1)
    found = fitted(COLOURS, wanted)
    error = drifted(COLOURS, *found[0]) - drifted(COLOURS, gains, offsets)
    assert np.abs(error).max() < 0.008


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.15], ids=["plain wall", "little contrast", "much contrast"])
@pytest.mark.parametrize("blame", [0.5, 1.0], ids=["two renderings", "rendering and truth"])
def test_noise_takes_no_contrast_away(spread: float, blame: float) -> None:
    random = np.random.default_rng(1)
    truth = 0.4 + random.normal(0, spread, (4000, 3))
    one, other = ((truth + random.normal(0, 0.02, truth.shape)).astype(np.float32) for _ in range(2))
    wanted = other if blame == 0.5 else truth.astype(np.float32)
    found = fitted(one, wanted, np.tile(TIMES, 10), blame)
    np.testing.assert_allclose(found[:, 0], 1, atol=0.03)


def test_pictures_that_have_nothing_in_common_keep_their_contrast() -> None:
    random = np.random.default_rng(2)
    one, other = (random.uniform(0.2, 0.7, (4000, 3)).astype(np.float32) for _ in range(2))
    for blame in (0.5, 1.0):
        found = fitted(one, other + np.float32(0.05), np.tile(TIMES, 10), blame)
        np.testing.assert_allclose(found[:, 0], 1, atol=0.02)
        np.testing.assert_allclose(found[:, 1], 0.05, atol=0.03)


def test_what_is_cut_off_in_both_pictures_says_nothing() -> None:
    black = np.zeros_like(COLOURS)
    seen = np.concatenate((COLOURS, black, black))
    wanted = np.concatenate((drifted(COLOURS, (1.1,) * 3, (0.0,) * 3), black, black))
    found = fitted(seen, wanted, np.tile(TIMES, 3))
    np.testing.assert_allclose(found[:, 0], 1.1, atol=0.01)
    assert seams.fit(black, black, TIMES, blame=1) is None


def test_too_few_samples_are_not_believed() -> None:
    few = seams.FEWEST - 1
    assert seams.fit(COLOURS[:few], COLOURS[:few] * 0.9, TIMES[:few], blame=1) is None
    assert seams.fit(COLOURS[: few + 1], COLOURS[: few + 1] * 0.9, TIMES[: few + 1], blame=1) is not None


@settings(max_examples=60, deadline=None)
@given(anything, anything, arrays(np.float64, 40, elements=st.floats(0, 1)), st.sampled_from((0.5, 1.0)))
def test_a_correction_stays_within_its_limits_whatever_it_is_fitted_to(
    seen: np.ndarray, wanted: np.ndarray, when: np.ndarray, blame: float
) -> None:
    found = seams.fit(seen, wanted, when, blame=blame)
    if found is not None:
        assert found.shape == (2, 2, 3)
        assert (seams.GAINS[0] <= found[:, 0]).all() and (found[:, 0] <= seams.GAINS[1]).all()
        assert (seams.OFFSETS[0] <= found[:, 1]).all() and (found[:, 1] <= seams.OFFSETS[1]).all()


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (40, 3), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, (40, 3), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
    st.floats(-1, 2),
)
def test_corrected_colours_are_colours(seen: np.ndarray, wanted: np.ndarray, strength: float, place: float) -> None:
    found = seams.fit(seen, wanted, TIMES[:40], blame=1)
    correction = seams.weakened(seams.NEUTRAL if found is None else found, strength)
    colours = seams.corrected(seen, seams.between(correction, place))
    assert ((colours >= 0) & (colours <= 1)).all()


def test_no_strength_is_no_correction_and_half_is_half() -> None:
    found = fitted(COLOURS, drifted(COLOURS, (1.1,) * 3, (0.02,) * 3))
    np.testing.assert_array_equal(seams.weakened(found, 0.0), seams.NEUTRAL)
    np.testing.assert_allclose(seams.weakened(found, 0.5)[:, 0], 1.05, atol=0.01)


def test_a_cell_is_the_mean_of_its_pixels() -> None:
    picture = np.random.default_rng(1).random((16, 24, 3)).astype(np.float16)
    expected = picture.astype(np.float64).reshape(2, 8, 3, 8, 3).mean((1, 3))
    np.testing.assert_allclose(seams.cells(picture), expected, atol=1e-6)


def test_a_difference_is_what_lab_says_and_nothing_where_nothing_is_seen() -> None:
    grey, lighter = np.full((5, 3), 0.5, np.float32), np.full((5, 3), 0.53, np.float32)
    assert seams.difference(grey, grey) == 0
    assert 2 < seams.difference(grey, lighter) < 4
    assert seams.difference(grey[:0], grey[:0]) == 0
    assert seams.difference(grey, np.full_like(grey, np.nan)) == 0


def steps(*levels: float) -> np.ndarray:
    """Frames of 2×2 cells, each of one level."""
    return np.tile(np.float32(levels)[:, None, None, None], (1, 2, 2, 3))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (steps(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5), (1.0, 1.0)),
        (steps(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.99, 1.01)),
        (steps(0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9, 1.0), (20, 60)),
    ],
    ids=["still", "evenly moving", "jumping"],
)
def test_only_a_jump_at_the_join_is_unrest(frames: np.ndarray, expected: tuple[float, float]) -> None:
    unrest = seams.unrest(frames, 4, np.ones(frames.shape[:3], bool))
    assert unrest is not None
    assert expected[0] <= unrest <= expected[1]


def test_a_jump_elsewhere_or_out_of_sight_is_no_unrest_of_the_join() -> None:
    frames, shown = steps(0.1, 0.9, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5), np.ones((8, 2, 2), bool)
    assert (seams.unrest(frames, 5, shown) or 9) < 0.1
    assert seams.unrest(frames, 2, ~shown) is None


def test_too_few_frames_tell_no_motion() -> None:
    assert seams.unrest(steps(0.1, 0.2), 1, np.ones((2, 2, 2), bool)) is None
