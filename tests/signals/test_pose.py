"""The skeleton picture against a second, slow reading of the released rule, and against plain geometry."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_server.signals.pose import body_points, draw

Points = npt.NDArray[Any]

COLOURS = [
    "ff0000", "ff5500", "ffaa00", "ffff00", "aaff00", "55ff00", "00ff00", "00ff55", "00ffaa", "00ffff",
    "00aaff", "0055ff", "0000ff", "5500ff", "aa00ff", "ff00ff", "ff00aa", "ff0055", "c8c800", "646400",
]  # fmt: skip
LIMBS = [
    "2-3", "2-6", "3-4", "4-5", "6-7", "7-8", "2-9", "9-10", "10-11", "2-12", "12-13", "13-14", "2-1", "1-15", "15-17",
    "1-16", "16-18", "14-19", "11-20",
]  # fmt: skip
FINGERS = [
    "0-1", "1-2", "2-3", "3-4", "0-5", "5-6", "6-7", "7-8", "0-9", "9-10", "10-11", "11-12", "0-13", "13-14", "14-15",
    "15-16", "0-17", "17-18", "18-19", "19-20",
]  # fmt: skip
# Names in wholebody numbers: (5, 6) is the mean of both.
BODY = [0, (5, 6), 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, (17, 18), (20, 21)]


def rgb(text: str) -> tuple[int, int, int]:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def rainbow(i: int) -> tuple[float, float, float]:
    """Hue i/20 at full saturation and value, by the hexagon of the HSV model, 0..255."""
    sector, f = divmod(i / 20 * 6, 1)
    rising, falling = 1 - (1 - f), 1 - f
    corners = (1, rising, 0), (falling, 1, 0), (0, 1, rising), (0, falling, 1), (rising, 0, 1), (1, 0, falling)
    r, g, b = corners[int(sector)]
    return r * 255, g * 255, b * 255


def slow(keypoints: Points, width: int, height: int) -> Points:
    """§5.5 of the reference, word by word."""
    canvas = np.zeros((height, width, 3), np.uint8)
    s = max(int(min(height, width) / 200) - 1, 1)
    body = []
    for source in BODY:
        first, second = source if isinstance(source, tuple) else (source, source)
        body.append([(float(keypoints[first][k]) + float(keypoints[second][k])) / 2 for k in range(3)])
    for limb, colour in zip(LIMBS, COLOURS, strict=False):
        (xa, ya, ca), (xb, yb, cb) = (body[int(n) - 1] for n in limb.split("-"))
        if not (ca >= 0.5 and cb >= 0.5):
            continue
        centre = int((xa + xb) / 2), int((ya + yb) / 2)
        axes = int(math.sqrt((xa - xb) ** 2 + (ya - yb) ** 2) / 2), s
        angle = int(math.degrees(math.atan2(ya - yb, xa - xb)))
        outline = np.array(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, outline, [int(c * 0.6) for c in rgb(colour)])
    for (x, y, c), colour in zip(body, COLOURS, strict=True):
        if c >= 0.5:
            cv2.circle(canvas, (int(x), int(y)), s, rgb(colour), -1)
    for start in (91, 112):
        slow_hand(canvas, keypoints[start : start + 21], max(s // 2, 1))
    return canvas


def slow_hand(canvas: Points, hand: Points, s: int) -> None:
    for i, finger in enumerate(FINGERS):
        a, b = (hand[int(n)] for n in finger.split("-"))
        if a[2] >= 0.5 and b[2] >= 0.5 and min(int(a[0]), int(a[1]), int(b[0]), int(b[1])) > 0.01:
            cv2.line(canvas, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), rainbow(i), s)
    for x, y, c in hand:
        if c >= 0.5 and int(x) > 0.01 and int(y) > 0.01:
            cv2.circle(canvas, (int(x), int(y)), s, (0, 0, 255), -1)


def sure(*places: tuple[int, float, float]) -> Points:
    """133 points of which only `places` (number, x, y) are seen."""
    keypoints = np.zeros((133, 3), np.float32)
    for number, x, y in places:
        keypoints[number] = x, y, 1
    return keypoints


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (854, 480), (320, 192), (333, 777), (2048, 1600)])
def test_a_walking_person_is_drawn_pixel_by_pixel_as_the_rule_says(pose: Any, width: int, height: int) -> None:
    keypoints = pose(width, height)
    assert draw(keypoints, width, height).any()
    np.testing.assert_array_equal(draw(keypoints, width, height), slow(keypoints, width, height))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(16, 700), height=st.integers(16, 700))
def test_any_pose_inside_and_outside_the_frame_is_drawn_as_the_rule_says(seed: int, width: int, height: int) -> None:
    numbers = np.random.default_rng(seed)
    keypoints = numbers.uniform([-0.3 * width, -0.3 * height, 0], [1.3 * width, 1.3 * height, 1], (133, 3))
    np.testing.assert_array_equal(draw(keypoints, width, height), slow(keypoints, width, height))


@pytest.mark.parametrize(("dx", "dy"), [(400, 0), (0, 400), (-400, 0), (0, -400)])
def test_a_forearm_is_an_ellipse_as_long_as_the_bone_and_as_thick_as_the_stick(dx: int, dy: int) -> None:
    """By the ellipse's equation: no drawing library in this test."""
    stick = 2  # 720 // 200 - 1
    picture = draw(sure((8, 640 - dx / 2, 360 - dy / 2), (10, 640 + dx / 2, 360 + dy / 2)), 1280, 720)
    y, x = np.mgrid[:720, :1280] - np.array([360, 640])[:, None, None]
    along, across = (x, y) if dx else (y, x)
    discs = np.hypot(np.abs(along) - 200, across) <= stick + 1
    inside = (along / 200) ** 2 + (across / stick) ** 2 <= 1
    near = np.abs(across) <= stick * np.sqrt(np.clip(1 - (along / 200) ** 2, 0, None)) + 1  # whole pixels
    limb = (picture == (153, 153, 0)).all(axis=-1)  # the 4th limb, 0.6 of (255, 255, 0)
    assert limb[inside & ~discs].all()
    assert not picture[~near & ~discs].any()


def test_a_point_needs_half_of_full_confidence() -> None:
    keypoints = sure((8, 50, 50), (10, 90, 90))
    keypoints[10, 2] = 0.5
    both = draw(keypoints, 128, 128)
    keypoints[10, 2] = np.nextafter(np.float32(0.5), np.float32(0))
    one = draw(keypoints, 128, 128)
    assert both[90, 90].tolist() == [170, 255, 0]
    assert both[70, 70].tolist() == [153, 153, 0]
    assert one[50, 50].tolist() == [255, 255, 0]
    assert not one[60:].any()


def test_joints_lie_on_limbs_and_hands_on_both() -> None:
    keypoints = sure((8, 20, 64), (10, 64, 64), (112, 64, 64), (113, 90, 64))
    assert draw(keypoints, 128, 128)[64, 64].tolist() == [0, 0, 255]
    keypoints[112:, 2] = 0
    assert draw(keypoints, 128, 128)[64, 64].tolist() == [170, 255, 0]


def test_the_right_hand_covers_the_left() -> None:
    keypoints = sure((91, 20, 20), (92, 60, 20), (116, 40, 10), (115, 40, 40))
    crossing = draw(keypoints, 128, 128)[20, 40]
    assert crossing.tolist() == [round(c) for c in rainbow(3)]


def test_the_neck_is_midway_between_the_shoulders_with_their_mean_confidence() -> None:
    keypoints = sure((5, 100, 40), (6, 20, 60))
    keypoints[5, 2] = 0.2
    np.testing.assert_allclose(body_points(keypoints)[1], [60, 50, 0.6], rtol=1e-6)
    assert draw(keypoints, 128, 128)[50, 60].tolist() == [255, 85, 0]


def test_face_landmarks_and_heels_are_not_drawn() -> None:
    hidden = sure(*((number, 64, 64) for number in (19, 22, *range(23, 91))))
    assert not draw(hidden, 128, 128).any()


def test_finger_points_on_the_first_row_or_column_are_left_out() -> None:
    assert not draw(sure((91, 0.9, 50), (92, 60, 0.9)), 128, 128).any()
    assert draw(sure((91, 1, 50)), 128, 128).any()


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 1e30])
def test_points_behind_or_in_the_plane_of_the_camera_are_never_drawn(pose: Any, lost: float) -> None:
    keypoints = pose(256, 192)
    seen = keypoints.copy()
    keypoints[[6, 9, 93], :2] = lost  # with full confidence, as a bad exporter might write them
    seen[[6, 9, 93], 2] = 0
    seen[5, 2] = 0.9  # the neck is the mean of a seen and a lost shoulder: drawn nowhere
    neckless = draw(keypoints, 256, 192)
    assert not (neckless == (255, 85, 0)).all(axis=-1).any()
    seen[5, 2] = 0.4
    keypoints[5, 2] = 0.4
    np.testing.assert_array_equal(draw(keypoints, 256, 192), draw(seen, 256, 192))


def test_nobody_is_a_black_picture() -> None:
    assert not draw(np.zeros((133, 3), np.float32), 64, 48).any()
