"""How segments join: what brings the colours of one to those of another, and how far two are apart.

Arithmetic on arrays of display-encoded colours, 0..1; knows no segment, no model and no folder. A *correction* is
float64 [2, 2, 3]: at the first and at the last frame of a segment, gains and offsets of red, green and blue. Between
the two it is a straight line, so that it cannot flicker.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from .lab import delta_e, lab
from .region import CELL, Floats

NEUTRAL = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])[None].repeat(2, 0)
"""The correction that changes nothing."""

GAINS, OFFSETS = (0.8, 1.25), (-0.1, 0.1)
"""All that a correction may do: two thirds of a stop (1.25 of display-encoded sRGB is 1.25^2.2 = 1.6 of light) and a
tenth of the range. Drift is a few hundredths a join; what asks for more is another picture, not another colour."""

FEWEST, MOST = 16, 20_000
"""Cells that must be compared before anything is believed, and that are compared at most: more tell nothing new."""

STEP = 1 / 255
"""What a display shows as one step: motion below it is not seen."""

_EXTREME = 2 * STEP
_ROUNDS = 12

# Of the fit, as parts of the weight of all samples. They decide what samples leave open: a plain wall cannot tell
# gain from offset, and its noise must not pass for contrast. A slope in time is believed later than a mean.
_TO_NEUTRAL, _TO_CONSTANT = 1e-3, 1e-2

_REJECT = 4.685
"""Deviations beyond which Tukey's biweight ignores a sample: 95 % of least squares' efficiency on clean ones."""

_MEDIAN_LENGTH = 1.538
"""The median length of three independent normal deviates of 1."""

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


def cells(picture: NDArray[Any]) -> Floats:
    """The mean colours [H/8, W/8, 3] of a picture [H, W, 3]; detail and grain are no part of drift."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture.astype(np.float32), (width // CELL, height // CELL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def fit(seen: Floats, wanted: Floats, when: Doubles, *, blame: float) -> Doubles | None:
    """The correction that brings the colours `seen` [n, 3] nearest to those `wanted` [n, 3]; None from too few.

    `when` [n] is each sample's place between the first frame, 0, and the last, 1. `blame` is how much of what differs
    at random is the fault of `seen`: 1 where the colours wanted are true, 1/2 between two renderings; it keeps chance
    from passing for a loss of contrast. Tukey's biweight from the median on: what less than about half of the samples
    show, such as something that moved between two renderings, has no say.
    """
    x, y = (np.clip(part.astype(np.float64), 0, 1) for part in (seen, wanted))
    telling = np.flatnonzero(_telling(x, y))
    if len(telling) < FEWEST:
        return None
    chosen = telling[np.linspace(0, len(telling) - 1, min(len(telling), MOST)).astype(int)]
    x, y, t = x[chosen], y[chosen], when[chosen]
    found = NEUTRAL.copy()
    found[:, 1] += np.median(y - x, 0)
    for _ in range(_ROUNDS):
        found = _solve(x, y, t, _weights(y - _correct(x, t, found)), blame)
    return found


def between(correction: Doubles, place: float) -> Doubles:
    """Gains and offsets [2, 3] at `place`, 0 the first frame and 1 the last; what lies beyond is as at the end."""
    share = min(max(place, 0.0), 1.0)
    return np.asarray((1 - share) * correction[0] + share * correction[1])


def weakened(correction: Doubles, strength: float) -> Doubles:
    return np.asarray(NEUTRAL + strength * (correction - NEUTRAL))


def corrected(picture: NDArray[np.floating[Any]], gains_offsets: Doubles) -> Floats:
    """Colours [..., 3] after gains and offsets [2, 3], 0..1."""
    gains, offsets = gains_offsets
    colours = np.array(picture, np.float32).reshape(1, -1, 3)
    cv2.transform(colours, np.column_stack((np.diag(gains), offsets)).astype(np.float32), dst=colours)
    return np.asarray(np.clip(colours, 0, 1, out=colours).reshape(picture.shape))


def difference(one: Floats, other: Floats) -> float:
    """Mean CIEDE2000 between colours [n, 3]; 0 where there is nothing to see."""
    there = np.isfinite(one).all(-1) & np.isfinite(other).all(-1)
    if not there.any():
        return 0.0
    first, second = (lab(torch.from_numpy(part[there].astype(np.float64))) for part in (one, other))
    return float(delta_e(first, second).mean())


def unrest(frames: Floats, join: int, shown: Mask) -> float | None:
    """How much more the motion of `frames` [n, h, w, 3] changes at the join before frame `join` than around it.

    The mean length of second differences in time that reach over the join, by that of all others, where `shown`
    [n, h, w]; a step of the display is added to both. A cut-like jump and a halt both raise it, even motion does not.
    None where either kind is missing.
    """
    change = np.abs(frames[:-2] - 2 * frames[1:-1] + frames[2:]).mean(-1)
    seen = shown[1:-1] & np.isfinite(change)
    over = np.isin(np.arange(len(change)), (join - 2, join - 1))
    kinds = [change[rows][seen[rows]] for rows in (over, ~over)]
    if not all(map(len, kinds)):
        return None
    at, around = (float(kind.mean()) for kind in kinds)
    return (at + STEP) / (around + STEP)


def _telling(x: Doubles, y: Doubles) -> Mask:
    """Samples that say something: numbers, and not cut off at black or at white in both."""
    numbers = np.isfinite(x).all(1) & np.isfinite(y).all(1)
    both = np.concatenate((x, y), 1)
    return np.asarray(numbers & (both > _EXTREME).any(1) & (both < 1 - _EXTREME).any(1))


def _correct(x: Doubles, t: Doubles, correction: Doubles) -> Doubles:
    """Colours [n, 3] after the correction, each at its own time; not clipped."""
    first, last = correction
    share = t[:, None]
    gains, offsets = ((1 - share) * first[row] + share * last[row] for row in (0, 1))
    return np.asarray(x * gains + offsets)


def _weights(residuals: Doubles) -> Doubles:
    """Tukey's biweight by the length of [n, 3], all channels together: a thing that moved is wrong in all of them."""
    length = np.linalg.norm(residuals, axis=1)
    scale = max(float(np.median(length)) / _MEDIAN_LENGTH, STEP / 2)
    return np.asarray(np.maximum(1 - (length / (_REJECT * scale)) ** 2, 0) ** 2)


def _solve(x: Doubles, y: Doubles, t: Doubles, weights: Doubles, blame: float) -> Doubles:
    """The best correction within the limits for weighted samples: gains first, then offsets that suit them.

    What is missing, y − x, is regressed on z = (1 − blame)·x + blame·y, of which chance makes neither more nor less;
    regressed on x it would lean towards no contrast at all (errors in variables; Bland and Altman 1986 for 1/2). Gains
    are believed as far as both agree on what is lighter than what: a plain wall, or two pictures that have nothing to
    do with each other, leave an offset.
    """
    share, ends = 2 * t - 1, np.array([-1.0, 1.0])
    found = NEUTRAL.copy()
    for channel in range(3):
        one, other = x[:, channel], y[:, channel]
        level = (1 - blame) * one + blame * other
        columns = np.stack((level, level * share, np.ones_like(t), share), 1)
        mean, slope = _ridge(columns, other - one, weights)[:2]
        loss = np.clip(mean + slope * ends, -0.5, 0.5)  # gains beyond all limits, and no pole
        loss *= _agreement(one, other, weights)
        found[:, 0, channel] = np.clip((1 + loss * (1 - blame)) / (1 - loss * blame), *GAINS)
        first, last = found[:, 0, channel]
        mean, slope = _ridge(columns[:, 2:], other - one * ((1 - t) * first + t * last), weights)
        found[:, 1, channel] = np.clip(mean + slope * ends, *OFFSETS)
    return found


def _agreement(one: Doubles, other: Doubles, weights: Doubles) -> float:
    """The square of the weighted correlation, 0 where it is negative."""
    x, y = (part - np.average(part, weights=weights) for part in (one, other))
    both, alone = np.sum(weights * x * y), np.sum(weights * x * x) * np.sum(weights * y * y)
    return float(max(both, 0) ** 2 / alone) if alone > 0 else 0.0


def _ridge(columns: Doubles, target: Doubles, weights: Doubles) -> Doubles:
    """Weighted least squares over `columns`, by turns a mean and a slope in time, all held towards 0."""
    weighted = columns * weights[:, None]
    held = np.tile((_TO_NEUTRAL, _TO_CONSTANT), columns.shape[1] // 2) * weights.sum()
    return np.asarray(np.linalg.solve(weighted.T @ columns + np.diag(held), weighted.T @ target), np.float64)
