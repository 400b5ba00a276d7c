"""Light that the old actor threw – his shadow, his reflection –, told from plate and clean plate, and cast anew.

Knows shots and light; no take.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .colour import Floats, Space, numbers
from .configuration import LIGHT
from .region import around
from .signals import ShotSignals
from .video import Picture

LEAST, MOST = 1 / 16, 4.0
"""Of the clean plate's light, what is left in the deepest shadow and what the brightest reflection adds up to: beyond
that one of the two pictures is wrong, or nearly black."""

_SOFT = 1 / 240
"""Of the picture's short side, the Gaussian by which both pictures are softened: no grain is left in their ratio."""

_AROUND = 1 / 12
"""Of the short side: how far around the effects matte light is looked at, so that what lies behind the actor is found
from all sides."""

_BLACK = 1e-3
"""Light that is added to both pictures, so that black stays black."""

_PERSON = 8
"""Of 255: where the person's matte has less, the plate shows what is behind."""


def thrown(signals: ShotSignals, i: int) -> Floats:
    """The light that the old actor threw in frame `i`: float32 [H, W, 3], times that of the clean plate.

    1 where nothing is kept of it. The shot has an effects matte. Raises `BadInput` for pictures that cannot be read.
    """
    shot, space = signals.shot, _space(signals)
    plate, clean = (_light(picture, space) for picture in (shot.stored_plate(i), shot.stored_clean(i)))
    return ratio(plate, clean, signals.matte(i), shot.effects(i), shot.shot.settings.finish.effects)


def behind(signals: ShotSignals, i: int, ratio: Floats | None) -> Picture:
    """The clean plate of frame `i`, as its samples are, in the light `ratio` where there is one."""
    clean = signals.shot.stored_clean(i)
    return clean if ratio is None else cast(clean, ratio, _space(signals))


def _space(signals: ShotSignals) -> Space:
    """The plate's, or the one in which display-encoded numbers are light."""
    return signals.shot.space or Space.named(LIGHT)


def _light(picture: Picture, space: Space) -> Floats:
    return numbers(picture) if picture.dtype.kind == "f" else space.light(numbers(picture))


def ratio(plate: Floats, clean: Floats, person: Picture, matte: Picture, strength: float) -> Floats:
    """How many times the light of `clean` is in `plate`, both [H, W, 3]: float32 [H, W, 3], `LEAST` to `MOST`.

    Where the effects `matte` (uint8 [H, W]) is 0 it is exactly 1; `strength` 0 to 1 is how much of the rest is kept.
    What the `person` (uint8 [H, W]) hides is filled from around him.
    """
    result = np.ones(plate.shape, np.float32)
    if not matte.any():
        return result
    sigma = _SOFT * min(matte.shape)
    box = around((matte > 0).astype(np.uint8), round(_AROUND * min(matte.shape)))
    hidden = cv2.dilate((person[box] >= _PERSON).astype(np.uint8), np.ones((3, 3), np.uint8))
    seen = np.asarray(hidden == 0, np.float32)
    found = _filled(*_compared(_finite(plate[box]), _finite(clean[box]), seen, sigma))
    kept = matte[box].astype(np.float32)[..., None] * np.float32(strength / 255)
    result[box] = 1 + kept * (np.clip(found, LEAST, MOST) - 1)
    return result


def cast(clean: Picture, ratio: Floats, space: Space) -> Picture:
    """`clean` [H, W, 3], as its samples are, in `ratio` times its light; bit for bit where that is 1.

    Whole numbers are display-encoded, and light in `space`.
    """
    changed = np.asarray((ratio != 1).any(axis=-1))
    result = clean.copy()
    if clean.dtype.kind == "f":
        result[changed] = clean[changed].astype(np.float32) * ratio[changed]
        return result
    most = np.float32(np.iinfo(clean.dtype).max)
    light = space.light(numbers(clean[changed])) * ratio[changed]
    result[changed] = np.rint(space.shown(light) * most)
    return result


def extremes(ratio: Floats, matte: Picture) -> tuple[float, float]:
    """The least and the most of `ratio`, of all channels together, where `matte` is more than half; 1 where nowhere."""
    inside = ratio[matte > 127].mean(axis=-1)
    return (float(inside.min()), float(inside.max())) if len(inside) else (1.0, 1.0)


def _compared(plate: Floats, clean: Floats, seen: Floats, sigma: float) -> tuple[Floats, Floats]:
    """The ratio of both, softened, and how much of it is `seen`, 0 to 1: nothing that is not takes part in it."""
    weight = _softened(seen, sigma)
    above, below = (_softened(picture * seen[..., None], sigma) for picture in (plate, clean))
    dark = np.maximum(weight, 1e-6)[..., None] * np.float32(_BLACK)
    return np.asarray((above + dark) / (np.maximum(below, 0) + dark), np.float32), weight


def _filled(found: Floats, seen: Floats) -> Floats:
    """`found` [h, w, 3] where it is not `seen` (0 to 1) from what is, the nearest first: half the size, and so on."""
    if max(seen.shape) == 1:
        return np.where(seen[..., None] > 0, found, np.float32(1))
    height, width = seen.shape
    half = (width + 1) // 2, (height + 1) // 2
    weight = np.atleast_2d(cv2.resize(seen, half, interpolation=cv2.INTER_AREA))
    sums = cv2.resize(found * seen[..., None], half, interpolation=cv2.INTER_AREA).reshape(*weight.shape, 3)
    mean = np.asarray(sums / np.maximum(weight, 1e-9)[..., None], np.float32)
    coarse = _filled(mean, np.asarray(np.minimum(4 * weight, 1), np.float32))
    rest = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(found * seen[..., None] + rest * (1 - seen[..., None]), np.float32)


def _softened(picture: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _finite(light: npt.NDArray[np.float32]) -> Floats:
    return np.nan_to_num(light, nan=0.0, posinf=float(np.finfo(np.float16).max), neginf=0.0)
