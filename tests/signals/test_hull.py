"""The space of a body: it holds the body, moves and grows with it, and asks no more of the pose than it can know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_server.signals import hull
from wan_animate_server.signals.pose import draw as skeleton


def test_the_whole_skeleton_lies_inside_with_room_for_flesh(pose: Any) -> None:
    space = hull.draw(pose(640, 480), 640, 480)
    assert set(np.unique(space)) == {0, 255}
    assert (space[skeleton(pose(640, 480), 640, 480).any(axis=-1)] == 255).all()
    assert space.mean() < 0.4 * 255


def test_the_head_reaches_above_the_eyes_to_the_top_of_the_hair(pose: Any) -> None:
    space = hull.draw(pose(640, 480, tall=0.8), 640, 480)
    column = np.flatnonzero(space[:, 320])
    crown = 0.1 * 480  # where the figure's head begins
    assert crown - 0.06 * 480 < column[0] <= crown


def test_it_grows_in_proportion_to_the_body(pose: Any) -> None:
    small, large = (np.count_nonzero(hull.draw(pose(800, 800, tall), 800, 800)) for tall in (0.4, 0.8))
    assert large / small == pytest.approx(4, rel=0.1)


def test_a_limb_of_no_confidence_takes_no_space(pose: Any) -> None:
    keypoints = pose(640, 480)
    keypoints[[9, *range(91, 112)], 2] = 0.3
    with_arm, without = hull.draw(pose(640, 480), 640, 480), hull.draw(keypoints, 640, 480)
    wrist = keypoints[9, :2].astype(int)
    assert with_arm[wrist[1], wrist[0]] == 255
    assert without[wrist[1], wrist[0]] == 0
    assert (without <= with_arm).all()


def test_a_leg_that_leaves_the_frame_reaches_its_edge() -> None:
    keypoints = np.zeros((133, 3), np.float32)
    keypoints[[5, 6, 11, 12]] = [(120, 40, 1), (80, 40, 1), (112, 100, 1), (88, 100, 1)]
    keypoints[[15, 16]] = [(112, 260, 0), (88, 260, 0)]  # outside: confidence 0, coordinates kept
    assert (hull.draw(keypoints, 200, 192)[-1, 88:113] == 255).all()
    keypoints[[15, 16], :2] = np.nan
    assert not hull.draw(keypoints, 200, 192)[-1].any()


def test_nobody_takes_no_space() -> None:
    assert not hull.draw(np.zeros((133, 3), np.float32), 64, 48).any()
    assert not hull.draw(np.full((133, 3), [np.nan, np.nan, 0]), 64, 48).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 100.0, 1e9, 1e30]))
def test_no_pose_is_too_wild(seed: int, far: float) -> None:
    numbers = np.random.default_rng(seed)
    keypoints = numbers.uniform([-far, -far, 0], [far, far, 1], (133, 3))
    keypoints[numbers.random((133, 3)) < 0.1] = np.nan
    space = hull.draw(keypoints, 96, 64)
    assert space.shape == (64, 96)
    assert set(np.unique(space)) <= {0, 255}
