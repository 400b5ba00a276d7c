"""A person to draw: 133 keypoints of somebody who walks towards the camera and waves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

# Body and feet in COCO-WholeBody order, in body heights: x from the middle, y from the top of the head.
BODY = [
    (0.00, 0.08), (0.02, 0.065), (-0.02, 0.065), (0.045, 0.075), (-0.045, 0.075), (0.11, 0.19), (-0.11, 0.19),
    (0.20, 0.09), (-0.15, 0.34), (0.23, -0.05), (-0.14, 0.48), (0.06, 0.50), (-0.06, 0.50), (0.09, 0.73),
    (-0.04, 0.74), (0.07, 0.96), (-0.09, 0.93), (0.10, 1.00), (0.12, 0.99), (0.06, 0.98), (-0.12, 0.97),
    (-0.14, 0.96), (-0.08, 0.95),
]  # fmt: skip


def hand(wrist: tuple[float, float], up: float) -> list[tuple[float, float]]:
    fingers = [(wrist[0] + 0.012 * (f - 2), wrist[1] + up * 0.017 * (j + 1)) for f in range(5) for j in range(4)]
    return [wrist, *fingers]


def person() -> npt.NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    face = np.stack([0.035 * np.sin(turn), 0.085 + 0.045 * np.cos(turn)], axis=1)
    return np.concatenate([BODY, face, hand(BODY[9], -1), hand(BODY[10], 1)])


def pose(width: int, height: int, tall: float = 0.8) -> npt.NDArray[np.float32]:
    """The person, `tall` frames high, in the middle of `width`×`height` pixels: [133, 3], sure of every point."""
    places = person() * tall * height + [width / 2, 0.1 * height]
    return np.concatenate([places, np.ones((133, 1))], axis=1).astype(np.float32)


@pytest.fixture(name="pose")
def _pose() -> object:
    return pose
