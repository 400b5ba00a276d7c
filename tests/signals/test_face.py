"""The face crop: the box's pixels, stretched to what the motion encoder reads."""

from __future__ import annotations

import numpy as np
import pytest

from wan_animate_blender.wire import face_box
from wan_animate_server.signals.face import crop


def marked() -> np.ndarray:
    """A frame whose red says the column and green the row."""
    y, x = np.mgrid[:120, :200]
    return np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)


def test_the_crop_shows_the_box_from_edge_to_edge() -> None:
    face = crop(marked(), np.array([40, 10, 104, 74], np.float32))
    assert face.shape == (512, 512, 3)
    assert face.dtype == np.uint8
    assert face[0, 0].tolist() == [40, 10, 0]
    assert face[-1, -1].tolist() == [103, 73, 0]
    assert abs(int(face[256, 256, 0]) - 72) <= 1


def test_a_tall_box_is_stretched_because_the_model_was_trained_so() -> None:
    face = crop(marked(), np.array([50, 0, 70, 60]))
    assert face.shape == (512, 512, 3)
    assert (face[0, 0, 0], face[0, -1, 0], face[-1, 0, 1]) == (50, 69, 59)


@pytest.mark.parametrize(
    "box",
    [[np.nan] * 4, [10, 10, np.nan, 20], [30, 10, 30, 40], [30, 40, 60, 40], [300, 10, 340, 40], [-50, -50, -2, -2]],
)
def test_no_face_is_black(box: list[float]) -> None:
    assert not crop(marked(), np.array(box)).any()


def test_a_box_that_leaves_the_frame_is_cut_to_it() -> None:
    face = crop(marked(), np.array([-20, -20, 30, 30]))
    assert face[0, 0].tolist() == [0, 0, 0]
    assert face[-1, -1].tolist() == [29, 29, 0]


def test_the_box_of_the_wire_fits_the_crop() -> None:
    box = face_box([(60, 40), (100, 80), (80, 90)], 200, 120)
    assert box is not None
    assert crop(marked(), np.array(box, np.float32))[0, 0, :2].tolist() == [box[0], box[1]]
