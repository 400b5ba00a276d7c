"""The grain of pictures: how strong it is at each brightness, how it hangs together, and more of the same kind.

Arithmetic on pictures; knows no shot, no file and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import Grain

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Blocks = npt.NDArray[np.intp]

TOGETHER = 4
"""Pictures of one look: two pairs. What the first pair shows chooses where the second is believed."""

_REACH = 6
"""Pixels over which grain is compared with itself."""

_PIXELS = 600_000
"""Of the blocks of one look: more tell nothing more, and a 4K plate has ten times as many."""

_SMALL = 8
"""Pixels of a block's side that fits between folds and buttons, though it takes some of coarse grain for shading."""

_LEVELS = 12
"""Steps of brightness."""

_FEWEST = 6
"""Blocks of one brightness without which nothing is known of it."""

_GROWTH = 4.0
"""By how much variance may rise from one step of brightness to the next."""

_ALIKE = 2.0
"""Blocks of more than this many times the variance that was found show something else beside grain."""

_CLIPPED = 0.02
"""Blocks nearer to 0 or 1 than this say too little: part of their grain is cut off."""

_TAPS = 8
"""Pixels that the filter of new grain reaches to each side."""


@dataclass(frozen=True, eq=False)
class Look:
    """What `TOGETHER` pictures show of their grain: one row for each block, one column for each channel."""

    level: Floats
    guess: Floats
    """Variance in the first pair: by it blocks are chosen."""
    variance: Floats
    """In the second pair, so that choosing calm blocks does not make them calmer."""
    across: Floats
    """Covariance with what lies 1 … `_REACH` pixels to the right: [n, 3, reach]."""
    down: Floats
    between: Floats
    """Covariances of the channels: [n, 3, 3]."""


def look(pictures: Sequence[Floats], usable: Mask, *, moves: bool = False) -> Look:
    """What four pictures [H, W, 3] of the same view show where they are `usable` [H, W].

    In the difference of two frames everything that stands still is gone; where something moves, smooth places show
    their grain. Each block takes the calmer of both; of a thing that always `moves`, such as a character, the latter.
    """
    side = _SMALL if moves else 32 if min(usable.shape) >= 256 else 16
    where = np.flatnonzero(_cut(usable, side).all(axis=(1, 2)))
    where = where[:: max(len(where) * side**2 // _PIXELS, 1)]
    first, second, third, fourth = (_cut(picture, side)[where] for picture in pictures)
    level, smooth = first.mean(axis=(1, 2)), _flat(first)
    guess, other = smooth.var(axis=(1, 2)), _flat(fourth)
    if not moves:
        still = _flat(second - first).var(axis=(1, 2)) / 2
        calmer = still.mean(axis=1) < guess.mean(axis=1)
        guess[calmer] = still[calmer]
        other[calmer] = _flat(fourth[calmer] - third[calmer]) / np.float32(np.sqrt(2))
    return Look(level, guess, other.var(axis=(1, 2)), *_likeness(other))


def measure(looks: Iterable[Look], step: float, *, calm: float = 0.25, light: bool = False) -> Grain | None:
    """The grain that `looks` have in common; None where too few blocks tell of it.

    Of the blocks of each brightness the `calm` part is believed: in the others something moves or is drawn. `step` is
    that of whole numbers in the pictures' own, whose rounding is no grain. Scene-linear `light` is divided into even
    steps of its cube root, about as it is seen.
    """
    every = list(looks)
    found = Look(*(np.concatenate([getattr(one, field.name) for one in every]) for field in fields(Look)))
    rounding = step**2 / 12
    channels = [_channel(found, channel, rounding, calm, light) for channel in range(3)]
    if not all(len(levels) for levels, _, _ in channels):
        return None
    chosen = [blocks for _, _, blocks in channels]
    variance = [found.variance[blocks, c] - rounding for c, blocks in enumerate(chosen)]
    together = np.unique(np.concatenate(chosen))
    return Grain(
        levels=tuple(_said(levels) for levels, _, _ in channels), noise=tuple(_said(noise) for _, noise, _ in channels),
        across=tuple(_shares(found.across[blocks, c], variance[c]) for c, blocks in enumerate(chosen)),
        down=tuple(_shares(found.down[blocks, c], variance[c]) for c, blocks in enumerate(chosen)),
        between=_matrix(found.between[together].sum(axis=0), rounding * len(together)),
    )  # fmt: skip


def deviation(grain: Grain | None, channel: int, level: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The standard deviation of `grain` at each `level`; none has none."""
    if grain is None:
        return np.zeros(np.shape(level))
    return np.asarray(np.interp(level, grain.levels[channel], grain.noise[channel]))


def lacking(wanted: Grain, there: Grain | None) -> Grain:
    """`wanted`, as far as it is more than what is `there`: variances add up."""
    rows = []
    for channel, (levels, noise) in enumerate(zip(wanted.levels, wanted.noise, strict=True)):
        own = deviation(there, channel, np.asarray(levels))
        rows.append(_said(np.sqrt(np.maximum(np.square(noise) - own**2, 0))))
    return Grain(
        levels=wanted.levels, noise=tuple(rows), across=wanted.across, down=wanted.down, between=wanted.between
    )


def grained(picture: Floats, grain: Grain, strength: float, seed: Sequence[int]) -> Floats:
    """`picture` [H, W, 3] with `strength` times `grain`; the same for the same `seed`, another for each other one."""
    field = texture(grain, picture.shape[0], picture.shape[1], seed)
    result = np.empty_like(picture)
    for channel in range(3):
        amount = deviation(grain, channel, picture[..., channel]).astype(np.float32)
        result[..., channel] = picture[..., channel] + np.float32(strength) * amount * field[..., channel]
    return result


def texture(grain: Grain, height: int, width: int, seed: Sequence[int]) -> Floats:
    """Noise [H, W, 3] of variance 1 that hangs together as `grain` does."""
    random = np.random.Generator(np.random.PCG64(list(seed)))
    noise = random.standard_normal((height + 2 * _TAPS, width + 2 * _TAPS, 3), np.float32)
    noise = noise @ _mixture(grain).T
    fields = [
        cv2.sepFilter2D(np.ascontiguousarray(noise[..., c]), -1, _filter(grain.across[c]), _filter(grain.down[c]))
        for c in range(3)
    ]
    return np.asarray(np.stack(fields, axis=-1)[_TAPS : _TAPS + height, _TAPS : _TAPS + width], np.float32)


def _cut(picture: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Whole blocks [n, side, side, …] of a picture."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    whole = picture[: rows * side, : columns * side]
    parts = whole.reshape(rows, side, columns, side, *picture.shape[2:]).swapaxes(1, 2)
    return parts.reshape(rows * columns, side, side, *picture.shape[2:])


def _flat(blocks: Floats) -> Floats:
    """Blocks without their brightness, its slope, and in large ones its bend."""
    count, side, _, channels = blocks.shape
    y, x = np.mgrid[:side, :side] / side - 0.5
    shading = [np.ones_like(x), x, y] + ([x * x, y * y, x * y] if side > _SMALL else [])
    basis, _ = np.linalg.qr(np.stack([part.ravel() for part in shading], axis=1))
    basis = basis.astype(np.float32)
    flat = blocks.reshape(count, side * side, channels)
    return np.asarray(flat - basis @ (basis.T @ flat), np.float32).reshape(blocks.shape)


def _likeness(blocks: Floats) -> tuple[Floats, Floats, Floats]:
    """Covariances of blocks with themselves to the right, downwards, and between their channels."""
    lags = range(1, _REACH + 1)
    across = [(blocks[:, :, lag:] * blocks[:, :, :-lag]).mean(axis=(1, 2)) for lag in lags]
    down = [(blocks[:, lag:] * blocks[:, :-lag]).mean(axis=(1, 2)) for lag in lags]
    between = np.einsum("nyxa,nyxb->nab", blocks, blocks) / np.float32(blocks.shape[1] ** 2)
    return np.stack(across, axis=-1), np.stack(down, axis=-1), np.asarray(between, np.float32)


def _channel(
    found: Look, channel: int, rounding: float, calm: float, light: bool
) -> tuple[Floats, Floats, Blocks]:  # fmt: skip
    """Levels and noise of one channel, and the blocks that show it."""
    level, variance = found.level[:, channel], found.variance[:, channel]
    steps = np.floor((np.cbrt(level) if light else level) * _LEVELS).astype(int)
    fits = (level > 0) & (level <= 1) if light else (level > _CLIPPED) & (level < 1 - _CLIPPED)
    chosen = {}
    for step in range(_LEVELS):
        blocks = np.flatnonzero(fits & (steps == step))
        if len(blocks) >= _FEWEST:
            calmest = np.argsort(found.guess[blocks, channel])[: max(round(len(blocks) * calm), _FEWEST)]
            chosen[step] = blocks[calmest]
    noise = _plausible(
        {step: float(np.median(variance[blocks])) - rounding for step, blocks in chosen.items()}, rounding
    )
    levels = np.array([level[blocks].mean() for blocks in chosen.values()], np.float32)
    shown = [blocks[variance[blocks] <= _ALIKE * (noise[step] + rounding)] for step, blocks in chosen.items()]
    blocks = np.concatenate([*shown, np.array([], np.intp)]).astype(np.intp)
    return levels, np.sqrt(np.array(list(noise.values()), np.float32)), blocks


def _plausible(noise: dict[int, float], rounding: float) -> dict[int, float]:
    """Variance at each step of brightness, none far above that of another one near it: what is more is drawn."""
    least = {step: max(one, rounding) for step, one in noise.items()}
    most = {step: min(one * _GROWTH ** abs(step - near) for near, one in least.items()) for step in noise}
    return {step: max(min(one, most[step]), 0.0) for step, one in noise.items()}


def _shares(covariance: Floats, variance: Floats) -> tuple[float, ...]:
    """Correlations from the sums over blocks."""
    whole = float(variance.sum())
    return _said(np.clip(covariance.sum(axis=0) / whole, -1, 1)) if whole > 0 else (0.0,) * _REACH


def _matrix(sums: npt.NDArray[Any], rounding: float) -> tuple[tuple[float, ...], ...]:
    """Correlations from covariances [3, 3]."""
    own = np.sqrt(np.maximum(np.diag(sums) - rounding, 0))
    scale = np.outer(own, own)
    shares = np.divide(sums, scale, out=np.zeros((3, 3)), where=scale > 0).clip(-1, 1)
    np.fill_diagonal(shares, 1)
    return tuple(map(_said, shares))


def _mixture(grain: Grain) -> Floats:
    """A matrix [3, 3] that makes independent channels as alike as those of `grain`: the root of its correlations."""
    values, vectors = np.linalg.eigh(np.array(grain.between))
    mixed = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)


def _filter(likeness: Sequence[float]) -> npt.NDArray[np.float64]:
    """The filter that makes white noise as alike to itself as told: the root of its spectrum, of energy 1."""
    circle = np.zeros(64)
    circle[0], circle[1 : len(likeness) + 1] = 1, likeness
    circle[-len(likeness) :] = likeness[::-1]
    root = np.fft.ifft(np.sqrt(np.maximum(np.fft.fft(circle).real, 0))).real
    taps = np.roll(root, _TAPS)[: 2 * _TAPS + 1]
    return np.asarray(taps / np.linalg.norm(taps))


def _said(numbers: npt.NDArray[Any]) -> tuple[float, ...]:
    """As `take.json` has them, so that what is read from it gives the same bits."""
    return tuple(round(float(number), 6) for number in numbers)
