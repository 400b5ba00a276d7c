"""Which solid each ray meets first, on a CUDA device: one program for a tile of rays, past all solids that miss it.

The arithmetic is `visibility.meet`'s once more, because a Triton kernel cannot call torch; a test holds both together.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 16
"""Rays to a tile's side."""


def first(table: Tensor, bounds: Tensor, corner: Tensor, step: Tensor, height: int, width: int, none: int) -> Tensor:
    """uint8 [N, height, width]: see `visibility.first`."""
    count, solids = table.shape[:2]
    found = torch.empty(count, height, width, dtype=torch.uint8, device=table.device)
    # The frames lie along the grid's first axis, the only one that takes more than 65,535.
    grid = (count, triton.cdiv(width, _TILE), triton.cdiv(height, _TILE))
    inputs = (table.contiguous(), bounds.contiguous(), corner.contiguous(), step.contiguous())
    _first[grid](*inputs, found, height, width, none, SOLIDS=solids, TILE=_TILE)
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _first(table, bounds, corner, step, found, height, width, none, SOLIDS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    frame = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
    rows = tl.program_id(2) * TILE + tl.arange(0, TILE)
    left, top = tl.load(corner + 2 * frame), tl.load(corner + 2 * frame + 1)
    across, down = tl.load(step + 2 * frame), tl.load(step + 2 * frame + 1)
    x = (left + (columns.to(tl.float32) + 0.5) * across)[None, :] + tl.zeros((TILE, TILE), tl.float32)
    y = (top + (rows.to(tl.float32) + 0.5) * down)[:, None] + tl.zeros((TILE, TILE), tl.float32)
    x0 = left + tl.program_id(1) * TILE * across
    y0 = top + tl.program_id(2) * TILE * down
    x1, y1 = x0 + TILE * across, y0 + TILE * down
    nearest = tl.full((TILE, TILE), 1e6, tl.float32)
    number = tl.zeros((TILE, TILE), tl.int32) + none
    for k in range(SOLIDS):
        box = bounds + (frame * SOLIDS + k) * 4
        met = (tl.load(box) <= x1) & (tl.load(box + 1) >= x0)
        met = met & (tl.load(box + 2) <= y1) & (tl.load(box + 3) >= y0)
        if met:
            depth = _meet(table + (frame * SOLIDS + k) * 16, x, y)
            closer = depth < nearest
            nearest = tl.where(closer, depth, nearest)
            number = tl.where(closer, k, number)
    place = frame * height * width + rows[:, None] * width + columns[None, :]
    tl.store(found + place, number.to(tl.uint8), mask=(rows[:, None] < height) & (columns[None, :] < width))


@triton.jit
def _meet(row, x, y):  # type: ignore[no-untyped-def]
    mxx, mxy, mxz = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    myx, myy, myz = tl.load(row + 3), tl.load(row + 4), tl.load(row + 5)
    mzx, mzy, mzz = tl.load(row + 6), tl.load(row + 7), tl.load(row + 8)
    cx, cy, cz = tl.load(row + 9), tl.load(row + 10), tl.load(row + 11)
    half, middle, growth = tl.load(row + 12), tl.load(row + 13), tl.load(row + 14)
    px, py = x * cz - cx, y * cz - cy
    ox, oy, oz = mxx * px + mxy * py, myx * px + myy * py, mzx * px + mzy * py
    dx, dy, dz = mxx * x + mxy * y + mxz, myx * x + myy * y + myz, mzx * x + mzy * y + mzz
    flat = dx * dx + dz * dz
    line = tl.minimum(tl.maximum(oy - (ox * dx + oz * dz) / (flat + 1e-6) * dy, -half), half)
    length, along = flat + dy * dy, ox * dx + oy * dy + oz * dz
    away = ox * ox + oy * oy + oz * oz
    depth, met = _ball(line, middle, growth, oy, dy, length, along, away)
    for _ in range(2):
        nearer = tl.minimum(tl.maximum(oy + depth * dy, -half), half)
        again, still = _ball(nearer, middle, growth, oy, dy, length, along, away)
        depth = tl.where(still > 0, again, depth)
    whole = depth + cz
    return tl.where((met > 0) & (whole > 0.05), whole, 1e6)


@triton.jit
def _ball(line, middle, growth, oy, dy, length, along, away):  # type: ignore[no-untyped-def]
    radius = middle + growth * line
    b = along - line * dy
    met = b * b - length * (away - 2 * line * oy + line * line - radius * radius)
    return (-b - tl.sqrt(tl.maximum(met, 0.0))) / length, met
