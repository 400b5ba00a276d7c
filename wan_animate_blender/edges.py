"""The edge of a soft matte, moved and softened in pixels. Knows arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.unsignedinteger[Any]]
"""[H, W], 0 is outside and the type's largest number inside; between them lies what is partly covered."""


@dataclass(frozen=True)
class Edges:
    """What is done to the edge of a matte before anybody else sees it. Without numbers it stays bit for bit."""

    grow: float = 0.0
    """Plate pixels by which the edge moves outwards, in all directions alike; below 0 it moves inwards."""
    feather: float = 0.0
    """Plate pixels over which a hard edge then falls from white to black, half of them on either side of it."""

    def apply(self, matte: Grey) -> Grey:
        """`matte` with its edge moved, then softened: uint8 or uint16 as given, [H, W].

        The frame's own edge is no edge: who leaves the picture is neither cut off nor softened there.
        """
        moved = grown(matte, self.grow) if self.grow >= 0 else ~grown(~matte, -self.grow)
        return feathered(moved, self.feather) if self.feather > 0 else moved


def grown(matte: Grey, radius: float) -> Grey:
    """The largest value within `radius` ≥ 0 pixels of each pixel; a soft edge keeps its slope.

    Between whole radii the two nearest are mixed, which moves a straight edge by exactly the part.
    """
    whole = math.floor(radius)
    part = radius - whole
    inner = _dilated(matte, whole)
    if not part:
        return inner
    mixed = inner + (_dilated(matte, whole + 1) - inner.astype(np.float32)) * np.float32(part)
    return np.rint(mixed).astype(matte.dtype)


def _dilated(matte: Grey, radius: int) -> Grey:
    """Dilation by a disc, and by the rim one pixel beyond it with as much less as it is farther away.

    The pixels of a disc alone reach up to half a pixel less far in some directions than in others. An edge that covers
    its pixels in part falls by its whole range over one pixel; so the rim's pixels, lowered by that slope, carry it
    the rest of the way.
    """
    if not radius:
        return matte
    height, width = matte.shape
    padded = np.zeros((height + 2 * radius + 2, width + 2 * radius + 2), matte.dtype)
    padded[radius + 1 : -radius - 1, radius + 1 : -radius - 1] = matte
    found = _disc(padded, radius)
    for distance, places in _rim(radius).items():
        loss = matte.dtype.type(round((distance - radius) * np.iinfo(matte.dtype).max))
        farther = np.maximum.reduce([_moved(padded, radius, x, y) for x, y in places])
        np.maximum(found, np.maximum(farther, loss) - loss, out=found)
    return found


def _disc(padded: Grey, radius: int) -> Grey:
    """The largest value in a disc, row by row of it: rows of one length share what is largest along them."""
    lengths = [math.isqrt(radius * radius - y * y) for y in range(radius + 1)]
    widest, along = -1, padded
    found = _moved(padded, radius, 0, 0).copy()
    for y in range(radius, -1, -1):  # the disc's rows grow longer towards its middle
        while widest < lengths[y]:
            widest += 1
            along = _one_wider(along) if widest else padded
        for row in {y, -y}:
            np.maximum(found, _moved(along, radius, 0, row), out=found)
    return found


def _one_wider(along: Grey) -> Grey:
    """Of the largest values along a piece of a row: those along a piece that is one pixel longer on both sides."""
    wider = along.copy()
    np.maximum(wider[:, 1:], along[:, :-1], out=wider[:, 1:])
    np.maximum(wider[:, :-1], along[:, 1:], out=wider[:, :-1])
    return wider


def _rim(radius: int) -> dict[float, list[tuple[int, int]]]:
    """Places from `radius` to one pixel more away, by their distance."""
    side = range(-radius - 1, radius + 2)
    places: dict[float, list[tuple[int, int]]] = {}
    for x, y in ((x, y) for x in side for y in side):
        if radius < (distance := math.hypot(x, y)) < radius + 1:
            places.setdefault(distance, []).append((x, y))
    return places


def _moved(padded: Grey, radius: int, x: int, y: int) -> Grey:
    """What lies `x` pixels to the right and `y` below each pixel of the picture inside the padding."""
    height, width = padded.shape
    margin = radius + 1
    return padded[margin + y : height - margin + y, margin + x : width - margin + x]


def feathered(matte: Grey, width: float) -> Grey:
    """Two means over a box along each axis: an edge becomes an even slope with soft ends, `width` > 0 pixels long."""
    result = matte.copy()
    rows, columns = _changing(matte, 2 * math.floor(width / 4) + 3)
    part = matte[rows, columns]
    if part.size:
        soft = part if part.dtype == np.uint16 else part.astype(np.uint16) * np.uint16(257)
        for _ in "xy":
            soft = np.ascontiguousarray(_mean(_mean(soft, width / 2), width / 2).T)
        result[rows, columns] = soft if part.dtype == np.uint16 else (soft.astype(np.uint32) + 128) // 257
    return result


def _changing(matte: Grey, margin: int) -> tuple[slice, slice]:
    """Rows and columns outside of which `matte` is all alike, and `margin` more: nothing changes out there."""
    differs = matte != matte[0, 0]
    return _span(differs.any(axis=1), margin), _span(differs.any(axis=0), margin)


def _span(marked: npt.NDArray[np.bool_], margin: int) -> slice:
    (found,) = np.nonzero(marked)
    return slice(max(int(found[0]) - margin, 0), int(found[-1]) + 1 + margin) if len(found) else slice(0)


def _mean(lines: npt.NDArray[np.uint16], longer: float) -> npt.NDArray[np.uint16]:
    """Mean over a box of 1 + `longer` pixels down the columns; its ends count in part, the frame's edge goes on."""
    reach = math.floor(longer / 2)
    part, whole = np.float32(longer / 2 - reach), np.float32(1 + longer)
    edge, count = reach + 1, len(lines)
    padded = np.concatenate([np.repeat(lines[:1], edge, axis=0), lines, np.repeat(lines[-1:], edge, axis=0)])
    sums = np.zeros((len(padded) + 1, lines.shape[1]), np.uint32)  # of 16,384 lines of 65,535 at most: it fits
    np.cumsum(padded, axis=0, dtype=np.uint32, out=sums[1:])
    mean = (sums[edge + reach + 1 :][:count] - sums[edge - reach :][:count]).astype(np.float32)
    if part:
        mean += part * (padded[:count].astype(np.float32) + padded[2 * edge :][:count])
    result: npt.NDArray[np.uint16] = np.rint(mean / whole).astype(np.uint16)
    return result
