"""The contact sheet shows what it was given, where a person looks for it."""

from __future__ import annotations

import numpy as np
import pytest

from wan_animate_server.sheet import Moment, contact_sheet, moments

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def flat(colour: tuple[int, int, int], width: int = 320, height: int = 192, dtype: type = np.uint8) -> np.ndarray:
    full = np.iinfo(dtype).max // 255
    return np.full((height, width, 3), np.array(colour) * full, dtype)


def areas(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=-1).sum())


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(1, [0]), (2, [0, 1]), (6, [0, 1, 2, 3, 4, 5]), (29, [0, 6, 11, 17, 22, 28]), (77, [0, 15, 30, 46, 61, 76])],
)
def test_six_moments_reach_from_the_first_frame_to_the_last(frames: int, expected: list[int]) -> None:
    assert moments(frames) == expected


def test_every_picture_is_there_in_full_in_its_row_and_column() -> None:
    columns = [
        Moment(label=f"{1001 + i}", plate=flat(RED), skeleton=flat(GREEN), matte=flat(BLUE)[..., 2], result=flat(BLUE))
        for i in range(6)
    ]
    sheet = contact_sheet(columns)
    assert sheet.dtype == np.uint8
    assert [areas(sheet, colour) for colour in (RED, GREEN, BLUE, (250, 250, 250))] == [6 * 320 * 192] * 4
    order = [tuple(pixel) for pixel in sheet[:, 84 + 160] if tuple(pixel) in {RED, GREEN, BLUE, (250, 250, 250)}]
    assert list(dict.fromkeys(order)) == [RED, GREEN, (250, 250, 250), BLUE]


def test_layers_that_a_mode_does_not_have_take_no_row() -> None:
    animate = contact_sheet([Moment(label="1001", skeleton=flat(GREEN), result=flat(BLUE))])
    both = contact_sheet([Moment(label="1001", plate=flat(RED), skeleton=flat(GREEN), result=flat(BLUE))])
    assert both.shape[0] - animate.shape[0] == pytest.approx(192, abs=8)


def test_labels_are_written_beside_the_pictures_and_not_on_them() -> None:
    named, blank = (contact_sheet([Moment(label=label, plate=flat(RED))]) for label in ("1001", ""))
    changed = np.argwhere((named != blank).any(axis=-1))
    assert len(changed) > 100
    assert changed[:, 0].max() < 28
    assert areas(named, RED) == 320 * 192


def test_large_deep_and_differently_sized_pictures_share_one_tile_size() -> None:
    sheet = contact_sheet(
        [
            Moment(
                label="1",
                plate=flat(RED, 1920, 1080, np.uint16),
                skeleton=flat(GREEN, 832, 480),
                result=flat(BLUE, 100, 50),
            )
        ]
    )
    assert areas(sheet, RED) == 320 * 180
    assert 0.9 * 320 * 180 < areas(sheet, GREEN) <= 320 * 180
    assert 0.8 * 320 * 180 < areas(sheet, BLUE) <= 320 * 180


def test_a_portrait_stays_upright() -> None:
    sheet = contact_sheet([Moment(label="1", plate=flat(RED, 405, 720))])
    assert areas(sheet, RED) == 180 * 320
