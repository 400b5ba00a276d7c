"""The box around a region, told without drawing it: it holds what is drawn, and hardly more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import Settings
from wan_animate_server.shot import load
from wan_animate_server.signals import ShotSignals, extent
from wan_animate_server.video import write_picture

from ..conftest import make_large

Make = Callable[..., Path]


def drawn(signals: ShotSignals, i: int) -> list[int]:
    x, y, width, height = cv2.boundingRect(signals.region(i))
    return [x, y, x + width, y + height]


@pytest.mark.parametrize("grow", [None, 0.0, 6.5, 300.0])
@pytest.mark.parametrize("corner", [(200, 120), (-30, -20), (600, 330)])
def test_the_box_holds_the_drawn_region_and_hardly_more(
    make_shot: Make, grow: float | None, corner: tuple[int, int]
) -> None:
    folder = make_large(make_shot(frames=4, settings=Settings(region_grow=grow, roi=False)), corner)
    signals = ShotSignals(load(folder), 96 * 96)
    for i, box in enumerate(extent.boxes(signals.shot)):
        assert box is not None
        inner, outer = np.array(drawn(signals, i)), np.array(box)
        assert (outer[:2] <= inner[:2]).all()
        assert (inner[2:] <= outer[2:]).all()
        assert np.abs(outer - inner).max() <= (6 if min(corner) >= 0 else 20)  # limbs that leave the frame at a slant


def test_a_region_of_the_shot_is_boxed_as_it_is(make_shot: Make, relist: Callable[[Path], None]) -> None:
    folder = make_shot(frames=2)
    (folder / "region").mkdir()
    spot = np.zeros((48, 64), np.uint8)
    spot[10:40, 30:60] = 1
    write_picture(folder / "region" / "1001.png", spot)
    write_picture(folder / "region" / "1002.png", np.zeros_like(spot))
    relist(folder)
    assert extent.boxes(load(folder)) == [(30, 10, 60, 40), None]


def test_nobody_has_no_box(make_shot: Make, relist: Callable[[Path], None]) -> None:
    folder = make_shot(frames=1)
    write_picture(folder / "matte" / "1001.png", np.full((48, 64), 3, np.uint8))
    np.savez(folder / "pose.npz", keypoints=np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32))
    relist(folder)
    assert extent.boxes(load(folder)) == [None]
