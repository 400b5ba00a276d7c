"""Fit, letterbox, region, alpha and mask: what the model sees, what it may change, and what never moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wan_animate_blender.region import around as seen_beforehand
from wan_animate_blender.wire.hull import growth
from wan_animate_server.region import CELL, HALO, Fit, Letterbox, alpha, model_mask, own_size, region
from wan_animate_server.signals import hull

from .signals.conftest import pose

sides = st.integers(1, 400)
areas = st.integers(1024, 200_000)

NEAR = np.ones((7, 7), np.uint8)


def noise(height: int, width: int, *channels: int, dtype: type = np.uint8) -> np.ndarray:
    numbers = np.random.default_rng(height * width)
    return numbers.integers(0, np.iinfo(dtype).max, (height, width, *channels), dtype=dtype)


def disc(height: int, width: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.where(np.hypot(y - height / 2, x - width / 2) <= radius, 255, 0).astype(np.uint8)


@given(sides, sides, areas)
def test_a_model_picture_is_whole_blocks_and_never_larger_than_the_plate_needs(
    width: int, height: int, area: int
) -> None:
    fit = Fit.choose(width, height, area)
    assert fit.width % 16 == fit.height % 16 == 0
    assert fit.width < width + 16
    assert fit.height < height + 16
    assert 0 < fit.scale <= 1


@given(st.integers(200, 4096), st.integers(200, 4096), st.integers(60_000, 1_000_000))
def test_a_plate_larger_than_the_area_comes_close_to_it(width: int, height: int, area: int) -> None:
    assume(width * height > 1.2 * area and 0.25 < width / height < 4)
    fit = Fit.choose(width, height, area)
    assert 0.8 < fit.width * fit.height / area < 1.2


@pytest.mark.parametrize(
    ("plate", "area", "model"),
    [
        ((1920, 1080), 1280 * 720, (1280, 720)),
        ((3840, 2160), 1280 * 720, (1280, 720)),
        ((1920, 1080), 832 * 480, (832, 480)),
        ((1080, 1920), 832 * 480, (480, 832)),
        ((1280, 720), 320 * 192, (320, 192)),
        ((320, 192), 320 * 192, (320, 192)),
        ((854, 480), 1280 * 720, (864, 480)),
        ((7, 5), 1280 * 720, (16, 16)),
    ],
)
def test_usual_plates_come_to_the_sizes_that_the_model_was_trained_with(
    plate: tuple[int, int], area: int, model: tuple[int, int]
) -> None:
    fit = Fit.choose(*plate, area)
    assert (fit.width, fit.height) == model


@given(sides, sides)
def test_a_plate_of_the_models_size_is_not_resampled_and_comes_back_bit_for_bit(width: int, height: int) -> None:
    fit, plate = Fit.choose(width, height, 10**9), noise(height, width, 3)
    model = fit.picture(plate)
    assert model.shape == (fit.height, fit.width, 3)
    np.testing.assert_array_equal(model[:height, :width], plate)
    np.testing.assert_array_equal(model[height:], np.broadcast_to(model[height - 1], model[height:].shape))
    frame = model.astype(np.float16)
    np.testing.assert_array_equal(fit.back(frame), plate)


@settings(deadline=None, max_examples=40)
@given(st.integers(64, 400), st.integers(64, 400), st.integers(1024, 40_000))
def test_there_and_back_no_point_moves(width: int, height: int, area: int) -> None:
    """A ramp says in each pixel where its centre is. An eighth of a pixel is what averaging steps makes of a ramp."""
    assume(width * height > area)
    fit = Fit.choose(width, height, area)
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    ramp = np.dstack([x, y]) / 1024
    model = fit.picture(ramp)
    inner = np.s_[: int(height * fit.scale), : int(width * fit.scale)]
    columns = np.broadcast_to((np.arange(fit.width) + 0.5) / fit.scale / 1024, model.shape[:2])
    np.testing.assert_allclose(model[inner][..., 0], columns[inner], atol=0.126 / 1024)
    edge = 3 * fit.block // 16 + 3  # extended edges and the cubic's reach
    moved = (fit.back(model) - ramp)[edge:-edge, edge:-edge] * 1024
    assert np.abs(moved).max(initial=0) < 0.15 + 0.05 / fit.scale  # the cubic bends ramps by that much
    assert not moved.size or np.abs(moved.mean(axis=(0, 1))).max() < 0.05  # and no drift to any side


def test_keypoints_land_on_the_pixels_that_they_point_at() -> None:
    fit = Fit.choose(1920, 1080, 832 * 480)
    plate = np.zeros((1080, 1920), np.float32)
    plate[430:467, 1110:1147] = 1  # one model block's worth of plate: 37 pixels
    keypoint = fit.points(np.array([[1128.5, 448.5, 0.7]]))[0]
    y, x = np.mgrid[: fit.height, : fit.width] + 0.5
    weight = fit.picture(plate)
    centre = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
    np.testing.assert_allclose(keypoint[:2], centre, atol=1e-3)
    assert keypoint[2] == 0.7


@pytest.mark.parametrize(
    ("character", "area", "size"),
    [
        ((1920, 1080), 1280 * 720, (1280, 720)),
        ((854, 480), 1280 * 720, (1280, 704)),
        ((640, 480), 1280 * 720, (1104, 816)),
        ((1920, 1080), 832 * 480, (832, 464)),
        ((1920, 1080), 640 * 360, (640, 352)),
        ((10, 5000), 1024, (16, 704)),
    ],
)
def test_a_character_on_its_own_background_gets_the_released_size(
    character: tuple[int, int], area: int, size: tuple[int, int]
) -> None:
    """The table of the reference, §5.1, measured on the released code."""
    assert own_size(*character, area) == size


@given(sides, sides, st.integers(1, 20), st.integers(1, 20))
def test_a_letterboxed_character_is_whole_centred_and_black_around(w: int, h: int, bw: int, bh: int) -> None:
    assume(1 / 8 < (w / h) / (bw / bh) < 8)
    box = Letterbox(w, h, 16 * bw, 16 * bh)
    picture = box.picture(np.full((h, w, 3), 200, np.uint8))
    (inner_width, inner_height), (left, top) = box.inner, box.corner
    assert picture.shape == (16 * bh, 16 * bw, 3)
    assert (picture[top : top + inner_height, left : left + inner_width] == 200).all()
    assert np.count_nonzero(picture) == 3 * inner_width * inner_height
    assert abs(16 * bw - inner_width - 2 * left) <= 1
    assert abs(16 * bh - inner_height - 2 * top) <= 1
    assert inner_width == 16 * bw or inner_height == 16 * bh


def test_the_letterbox_truncates_as_the_released_one_does() -> None:
    assert Letterbox(501, 1000, 832, 480).inner == (240, 480)
    assert Letterbox(501, 1000, 832, 480).corner == (296, 0)
    assert Letterbox(1000, 333, 832, 480).inner == (832, 277)
    assert Letterbox(1000, 333, 832, 480).corner == (0, 101)


def test_the_letterbox_takes_points_where_it_takes_pixels() -> None:
    box = Letterbox(100, 50, 320, 320)
    picture = np.zeros((50, 100, 3), np.uint8)
    picture[20:30, 60:70] = 255
    y, x, _ = np.nonzero(box.picture(picture) > 127)
    np.testing.assert_allclose(box.points(np.array([65, 25, 1.0]))[:2], [x.mean() + 0.5, y.mean() + 0.5], atol=0.6)


def test_the_region_holds_the_old_person_and_the_new_pose_and_grows_evenly() -> None:
    matte, hull = np.zeros((200, 300), np.uint8), np.zeros((200, 300), np.uint8)
    matte[80:120, 60:100] = 255
    hull[80:120, 180:200] = 255
    found, grown = region(matte, hull) > 0, growth(200, 300)
    assert grown == 5
    columns = np.flatnonzero(found[100])
    assert (columns[0], columns[-1]) == (60 - grown, 199 + grown)
    y = np.flatnonzero(found.any(axis=1))
    assert (y.min(), y.max()) == (80 - grown, 119 + grown)
    assert not found[80 - grown, 60 - grown]  # corners are round


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 40), st.floats(0, 40), st.integers(4, 60), st.integers(0, 2**32 - 1))
def test_outside_the_region_the_alpha_is_0_and_on_the_old_person_255_whatever_the_artist_asks(
    grow: float, feather: float, radius: int, seed: int
) -> None:
    matte, body = disc(140, 170, radius), np.zeros((140, 170), np.uint8)
    x, y = np.random.default_rng(seed).integers(0, 120, 2)
    body[y : y + 30, x : x + 30] = 255
    found = region(matte, body, grow)
    opacity = alpha(found, matte, feather)
    assert (opacity[found == 0] == 0).all()
    assert (opacity[matte == 255] == 255).all()
    assert (found[(matte | body) > 0] == 255).all()
    far = cv2.distanceTransform((found == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = cv2.distanceTransform(((matte | body) == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert near[far == 0].max() <= grow
    assert near[far > 0].min(initial=np.inf) > grow


def test_the_feather_is_as_wide_as_it_is_told() -> None:
    matte = np.zeros((100, 200), np.uint8)
    body = matte.copy()
    body[:, 60:] = 255
    found = region(matte, body, grow=10)
    for feather in (1.0, 5.0, 15.0):  # of whole levels: OpenCV's versions round halves to either side
        slope = alpha(found, matte, feather)[50]
        assert slope[49] == 0
        assert np.array_equal(slope[50:110], np.minimum(np.rint(np.arange(1, 61) / feather * 255), 255))
    assert np.array_equal(alpha(found, matte, 0.0), found)


def test_without_numbers_region_and_alpha_are_a_fortieth_of_the_short_side() -> None:
    matte = disc(200, 300, 30)
    assert np.array_equal(region(matte, matte), region(matte, matte, 5))
    assert np.array_equal(alpha(region(matte, matte), matte), alpha(region(matte, matte), matte, 5))


def test_noise_in_a_matte_is_nobody() -> None:
    matte = np.full((64, 64), 3, np.uint8)
    assert not region(matte, np.zeros_like(matte)).any()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_nothing_to_remove_and_nobody_to_put_leaves_the_plate_alone(depth: type) -> None:
    nothing = np.zeros((48, 80), depth)
    found = region(nothing, nothing)
    assert not found.any()
    assert not alpha(found, nothing).any()
    assert not model_mask(found, Fit.choose(80, 48, 10**6)).any()


def test_a_frame_full_of_person_is_wholly_the_models() -> None:
    full = np.full((48, 80), 255, np.uint8)
    found = region(full, full)
    assert (found == 255).all()
    assert (alpha(found, full) == 255).all()
    assert (model_mask(found, Fit.choose(80, 48, 10**6)) == 1).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(40, 300), st.integers(40, 300), st.integers(4, 40), st.integers(1024, 60_000))
def test_alpha_lies_in_the_region_and_the_region_some_cells_inside_what_the_model_makes(
    height: int, width: int, radius: int, area: int
) -> None:
    matte = cv2.GaussianBlur(disc(height, width, radius), (5, 5), 0)
    found = region(matte, np.zeros_like(matte))
    opacity = alpha(found, matte)
    assert (opacity[found == 0] == 0).all()
    assert (opacity[matte >= 8] == 255).all()  # nothing of the old person shines through
    steps = np.abs(np.diff(opacity.astype(int), axis=1)).max(initial=0)
    assert steps <= 255 / growth(height, width) + 1 or growth(height, width) <= 2
    fit = Fit.choose(width, height, area)
    made = model_mask(found, fit)
    assert set(np.unique(made)) <= {0, 1}
    kept = cv2.resize(1 - made, None, fx=fit.block / 16, fy=fit.block / 16, interpolation=cv2.INTER_NEAREST)
    far = cv2.distanceTransform((kept[:height, :width] == 0).astype(np.uint8), cv2.DIST_L2, 5)
    assert (far[found > 0] > HALO * CELL / fit.scale - 1).all()


def test_the_mask_is_whole_latent_cells() -> None:
    found = region(disc(230, 310, 40), np.zeros((230, 310), np.uint8))
    fit = Fit.choose(310, 230, 20_000)
    made = model_mask(found, fit)
    cells = made.reshape(fit.height // 8, 8, fit.width // 8, 8)
    assert (cells.min(axis=(1, 3)) == cells.max(axis=(1, 3))).all()
    assert 0 < made.mean() < 1


def test_a_given_region_bounds_the_alpha_even_inside_the_matte() -> None:
    given_region = np.zeros((100, 100), np.uint8)
    given_region[:, 20:60] = 255
    given_region[:, 60:70] = 128
    opacity = alpha(given_region, np.full((100, 100), 255, np.uint8))
    assert not opacity[:, :20].any()
    assert not opacity[:, 70:].any()
    assert (opacity[:, 20:60] == 255).all()
    assert (opacity[:, 60:70] == 128).all()


def test_the_frames_own_edge_is_no_soft_edge() -> None:
    matte = np.zeros((100, 100), np.uint8)
    matte[60:, 30:70] = 255
    opacity = alpha(region(matte, np.zeros_like(matte)), matte)
    assert (opacity[-1, 30:70] == 255).all()


# --- what the add-on shows of it beforehand -------------------------------------------------------


@pytest.mark.parametrize(("width", "height", "tall"), [(832, 480, 0.8), (320, 640, 0.4), (200, 180, 1.7)])
@pytest.mark.parametrize("grow", [None, 0.0, 7.0])
def test_the_region_that_an_artist_sees_beforehand_is_the_servers(
    width: int, height: int, tall: float, grow: float | None
) -> None:
    """To three pixels at its edge: each side draws with its own means, and OpenCV's thick lines have bumpy corners."""
    keypoints = pose(width, height, tall)
    matte = disc(height, width, height / 4)
    wanted = region(matte, hull.draw(keypoints, width, height), grow)
    shown = seen_beforehand(matte, keypoints, grow)
    assert wanted.any()
    wide, narrow = (cv2.dilate(wanted, NEAR), cv2.erode(wanted, NEAR, borderValue=255))
    assert (shown <= wide).all()
    assert (shown >= narrow).all()
    assert np.count_nonzero(shown != wanted) < 0.02 * np.count_nonzero(wanted)


def test_nobody_is_nowhere_beforehand_either() -> None:
    nothing = np.zeros((48, 80), np.uint8)
    assert not seen_beforehand(nothing, np.full((133, 3), [np.nan, np.nan, 0], np.float32), None).any()
