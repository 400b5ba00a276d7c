"""A soft shoulder for light: it makes room for what is brighter than white below 1, and gives it back. Arrays only.

Up to `KNEE` light stays as it is. Above, y = KNEE + SOFT·ln(1 + (x − KNEE)/SOFT): as steep as below where they meet,
and 1 at `PEAK`, beyond which it is clipped.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

KNEE = 0.5
SOFT = 0.1

PEAK = KNEE + SOFT * math.expm1((1 - KNEE) / SOFT)
"""The most light that comes back: 15.2 times white."""


def compress(light: Floats) -> None:
    """Samples of any shape, changed where they are; `PEAK` becomes 1."""
    above = np.maximum(light - KNEE, 0)
    np.minimum(light, KNEE, out=light)
    light += SOFT * np.log1p(above / SOFT)


def expand(shown: Floats) -> None:
    """The way back."""
    above = np.maximum(shown - KNEE, 0)
    np.minimum(shown, KNEE, out=shown)
    shown += SOFT * np.expm1(above / SOFT)
