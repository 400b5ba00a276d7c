"""The window on a large plate: it holds whom it follows, does not shake, and puts every pixel back where it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import Box
from wan_animate_server.region import BLOCK, Fit
from wan_animate_server.window import GAIN, REACH, Window, follow, go_on, whole

HD, UHD = (1920, 1080), (3840, 2160)
AREA = 1280 * 720

Boxes = list[Box | None]


def walk(frames: int, start: Box, step: tuple[float, float]) -> Boxes:
    """A box that goes `step` pixels a frame, its arms swinging."""
    swing = [round(9 * math.sin(i / 3)) for i in range(frames)]
    places = [(round(i * step[0]), round(i * step[1])) for i in range(frames)]
    return [
        (start[0] + x - s, start[1] + y, start[2] + x + s, start[3] + y)
        for (x, y), s in zip(places, swing, strict=True)
    ]


@st.composite
def shots(draw: st.DrawFn) -> tuple[Boxes, int, int, int]:
    """Somebody of any size who goes anywhere in a frame of any size, at times not there at all, and an area."""
    width, height = draw(st.integers(16, 4096)), draw(st.integers(16, 4096))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames, stride = draw(st.integers(1, 90)), draw(st.sampled_from([0.0, 1.0, 20.0, 400.0]))
    wide, tall = (draw(st.floats(0.01, 1)) * side for side in (width, height))
    path = random.uniform(0, 1, 2) * (width, height) + np.cumsum(random.normal(0, stride, (frames, 2)), axis=0)
    low = np.clip(path - np.array([wide, tall]) / 2, 0, (width - 1, height - 1)).astype(int)
    high = np.clip(path + np.array([wide, tall]) / 2, low + 1, (width, height)).astype(int)
    gone = random.random(frames) < draw(st.sampled_from([0.0, 0.3]))
    boxes: Boxes = [
        None if away else (int(a[0]), int(a[1]), int(b[0]), int(b[1]))
        for a, b, away in zip(low, high, gone, strict=True)
    ]
    return boxes, width, height, draw(st.integers(1024, 400_000))


def places(windows: tuple[Window, ...]) -> np.ndarray:
    return np.array([(each.x, each.y) for each in windows])


@settings(deadline=None, max_examples=200)
@given(shots())
def test_windows_are_of_one_size_lie_in_the_frame_and_hold_their_box(shot: tuple[Boxes, int, int, int]) -> None:
    boxes, width, height, area = shot
    windows = follow(boxes, width, height, area)
    assert len(windows) == len(boxes)
    assert {(each.fit, each.width, each.height) for each in windows} == {(windows[0].fit, width, height)}
    fit = windows[0].fit
    for window, box in zip(windows, boxes, strict=True):
        assert 0 <= window.x <= width - fit.plate_width
        assert 0 <= window.y <= height - fit.plate_height
        if box:
            assert window.x <= box[0] and box[2] <= window.x + fit.plate_width
            assert window.y <= box[1] and box[3] <= window.y + fit.plate_height


@settings(deadline=None, max_examples=200)
@given(shots())
def test_a_window_gains_pixels_costs_no_more_than_the_area_and_never_enlarges(
    shot: tuple[Boxes, int, int, int],
) -> None:
    boxes, width, height, area = shot
    frame, window = Fit.choose(width, height, area), follow(boxes, width, height, area)[0]
    assert window.fit.scale <= 1
    if window.is_whole:
        assert window.fit == frame
    else:
        assert window.fit.block <= GAIN * frame.block
        assert window.fit.width * window.fit.height <= area


@settings(deadline=None, max_examples=200)
@given(shots())
def test_a_window_does_not_shake(shot: tuple[Boxes, int, int, int]) -> None:
    """However the boxes jump: a change of its speed is a small part of the way that it could go at all."""
    boxes, width, height, area = shot
    windows = follow(boxes, width, height, area)
    free = np.array([width - windows[0].fit.plate_width, height - windows[0].fit.plate_height])
    jerk = np.abs(np.diff(places(windows), n=2, axis=0)).max(axis=0, initial=0)
    assert (jerk <= 2 * free / REACH**2 + 2).all()


@settings(deadline=None, max_examples=100)
@given(shots())
def test_what_fits_into_a_still_window_gets_one(shot: tuple[Boxes, int, int, int]) -> None:
    boxes, width, height, area = shot
    windows = follow(boxes, width, height, area)
    there = np.array([box for box in boxes if box])
    assume(len(there))
    low, high = there[:, :2].min(axis=0), there[:, 2:].max(axis=0)
    size = np.array([windows[0].fit.plate_width, windows[0].fit.plate_height])
    margin = math.ceil(max(high - low) / 8)
    moves = np.ptp(places(windows), axis=0) > 0
    assert not (moves & (high - low + 2 * margin <= size)).any()


def test_somebody_who_waves_is_looked_at_with_a_still_camera() -> None:
    windows = follow(walk(100, (1700, 700, 2200, 1900), (0, 0)), *UHD, AREA)
    assert len(set(windows)) == 1
    assert not windows[0].is_whole
    x, y, fit = windows[0].x, windows[0].y, windows[0].fit
    left, right = 1691 - x, x + fit.plate_width - 2209
    above, below = 700 - y, y + fit.plate_height - 1900
    assert abs(left - right) <= 2  # as much room on one side as on the other
    assert abs(above - below) <= 2
    assert min(left, above) >= 1200 / 8


def test_somebody_who_walks_is_followed_at_an_even_pace() -> None:
    windows = follow(walk(120, (200, 500, 700, 1800), (22, 0)), *UHD, AREA)
    x = places(windows)[:, 0]
    pace = np.diff(x)[2 * REACH : -2 * REACH]
    assert np.ptp(places(windows)[:, 1]) == 0
    assert x[-1] - x[0] > 1500
    assert (pace >= 0).all()
    assert np.ptp(pace) <= 3
    assert windows[0].fit.scale > 1.5 * Fit.choose(*UHD, AREA).scale


@pytest.mark.parametrize("frame", [HD, UHD, (1080, 1920), (4096, 1716), (7680, 4320)])
def test_somebody_small_is_seen_at_the_plates_own_resolution_in_a_window_of_the_models_size(
    frame: tuple[int, int],
) -> None:
    box = (frame[0] // 2, frame[1] // 2, frame[0] // 2 + 90, frame[1] // 2 + 200)
    window = follow([box] * 9, *frame, AREA)[0]
    assert window.fit.block == BLOCK
    assert (window.fit.width, window.fit.height) == (window.fit.plate_width, window.fit.plate_height)
    assert 0.95 * AREA < window.fit.width * window.fit.height <= AREA


@pytest.mark.parametrize(
    ("frame", "area", "box"),
    [
        (HD, AREA, (0, 0, 1920, 1080)),  # a face that fills the frame
        (HD, AREA, (300, 60, 1700, 1080)),
        ((1280, 720), AREA, (600, 300, 700, 500)),  # a plate of the model's own size
        ((640, 360), AREA, (300, 100, 340, 200)),
    ],
)
def test_a_plate_that_is_filled_or_small_is_seen_whole(frame: tuple[int, int], area: int, box: Box) -> None:
    assert follow([box] * 5, *frame, area) == whole(5, Fit.choose(*frame, area))


def test_where_nobody_is_the_plate_is_seen_whole() -> None:
    assert follow([None] * 3, *UHD, AREA) == whole(3, Fit.choose(*UHD, AREA))


def test_a_slender_person_is_not_shown_on_a_picture_more_slender_than_the_models() -> None:
    fit = follow([(1800, 200, 1830, 2000)] * 3, *UHD, AREA)[0].fit
    assert 9 / 16 <= fit.width / fit.height < 1


@settings(deadline=None, max_examples=100)
@given(shots(), st.integers(0, 40), st.integers(0, 40))
def test_the_windows_of_a_take_stay_where_more_frames_are_added_to_it(
    shot: tuple[Boxes, int, int, int], before: int, after: int
) -> None:
    boxes, width, height, area = shot
    kept = follow(boxes, width, height, area)
    random = np.random.default_rng(before)
    added = [boxes[i] for i in random.integers(0, len(boxes), before + after)]
    windows = go_on(kept, before, [*added[:before], *boxes, *added[before:]])
    assert windows[before : before + len(boxes)] == kept
    assert {each.fit for each in windows} == {kept[0].fit}
    corners = places(windows)
    assert (corners >= 0).all()
    far = corners + np.array([kept[0].fit.plate_width, kept[0].fit.plate_height])
    assert (far <= (width, height)).all()


@pytest.mark.parametrize("turned", [False, True])
def test_an_extension_follows_on_from_the_take_without_a_jump(turned: bool) -> None:
    """Somebody walks, and stops just after the take's last frame, or begins just before its first."""
    boxes = walk(60, (200, 500, 700, 1800), (22, 0))
    boxes += walk(60, boxes[-1], (0, 0))  # type: ignore[arg-type]
    kept, start = follow(boxes[:60], *UHD, AREA), 0
    if turned:
        boxes, kept, start = boxes[::-1], kept[::-1], 60
    windows = go_on(kept, start, boxes)
    x = places(windows)[:, 0]
    assert np.abs(np.diff(x, n=2)).max() <= 6  # of 22 pixels a frame to none
    for window, box in zip(windows, boxes, strict=True):
        assert box
        assert window.x <= box[0] and box[2] <= window.x + window.fit.plate_width
    assert len(set(windows[-5:] if not turned else windows[:5])) == 1


def test_an_extension_cuts_somebody_who_is_too_large_for_the_takes_windows_on_all_sides_alike() -> None:
    kept = follow([(1700, 900, 2100, 1500)] * 20, *UHD, AREA)
    last = go_on(kept, 0, [(1700, 900, 2100, 1500)] * 20 + [(900, 400, 2900, 1800)] * 60)[-1]
    assert abs(last.x + last.fit.plate_width / 2 - 1900) <= 1
    assert abs(last.y + last.fit.plate_height / 2 - 1100) <= 1


# --- there and back -------------------------------------------------------------------------------


@st.composite
def windows_on_plates(draw: st.DrawFn) -> Window:
    """Of any scale and parity, anywhere in a plate of any size."""
    block = draw(st.integers(16, 48))
    wide, tall = (draw(st.integers(14 * block, 18 * block)) for _ in range(2))
    width, height = wide + draw(st.integers(0, 300)), tall + draw(st.integers(0, 300))
    x, y = draw(st.integers(0, width - wide)), draw(st.integers(0, height - tall))
    return Window(width, height, x, y, Fit(wide, tall, block))


def blob(window: Window, x: float, y: float, radius: float) -> np.ndarray:
    """A soft spot on black, `x`, `y` its middle in plate pixels: float32 [H, W, 3]."""
    rows, columns = np.mgrid[: window.height, : window.width] + 0.5
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.repeat(spot[..., None], 3, axis=2).astype(np.float32)


def centroid(picture: np.ndarray) -> np.ndarray:
    weight = picture[..., 0].astype(np.float64)
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@settings(deadline=None, max_examples=60)
@given(windows_on_plates(), st.floats(-1, 1), st.floats(-1, 1))
def test_what_goes_to_the_model_and_back_does_not_move(window: Window, dx: float, dy: float) -> None:
    """To a thousandth of a plate pixel, for a spot as wide as the pattern that pixels of two sizes make together."""
    fit, block = window.fit, window.fit.block
    x, y = window.x + fit.plate_width / 2 + dx * block, window.y + fit.plate_height / 2 + dy * block
    plate = blob(window, x, y, block)
    model = window.picture(plate)
    np.testing.assert_allclose(centroid(model), window.points(np.array([x, y, 1.0]))[:2], atol=1e-3)
    np.testing.assert_allclose(centroid(window.back(model)), centroid(plate), atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(windows_on_plates(), st.integers(0, 2**32 - 1))
def test_at_scale_1_every_sample_comes_back_bit_for_bit_and_nothing_beside_the_window(
    window: Window, seed: int
) -> None:
    native = Window(
        window.width, window.height, window.x, window.y, Fit(window.fit.plate_width, window.fit.plate_height, 16)
    )
    plate = np.random.default_rng(seed).random((window.height, window.width, 3)).astype(np.float16)
    model = native.picture(plate.astype(np.float32))
    back = native.back(model)
    np.testing.assert_array_equal(native.crop(back), native.crop(plate))
    native.crop(back)[:] = 0
    assert not back.any()


def test_the_whole_frame_is_mapped_as_a_fit_maps_it() -> None:
    fit = Fit.choose(333, 207, 20_000)
    window = whole(1, fit)[0]
    random = np.random.default_rng(4)
    plate, frame = random.integers(0, 255, (207, 333, 3), np.uint8), random.random((fit.height, fit.width, 3))
    points = random.uniform(-50, 300, (133, 3))
    np.testing.assert_array_equal(window.picture(plate), fit.picture(plate))
    np.testing.assert_array_equal(window.back(frame), fit.back(frame))
    np.testing.assert_array_equal(window.points(points), fit.points(points))
