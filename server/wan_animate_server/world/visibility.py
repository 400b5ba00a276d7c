"""Which of many solids a ray meets first, and where. Knows tables of numbers only.

A solid is a row of 16: the matrix from the camera's frame to the solid's own (9), its centre in the camera's frame (3),
half its line, its radius in the middle of that and how the radius grows along it; one is spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NEVER = 1e6
"""Metres to what is not met."""

NONE = 255
"""The number of no solid."""

RADIUS = slice(13, 15)
"""The numbers of a row that are the radius and its growth: both 0 make a solid that is never met."""

_CLOSEST = 0.05
"""Metres from the camera: what is nearer is not seen."""


class Hit(NamedTuple):
    """Where a ray meets a solid: `depth` (z in the camera's frame, `NEVER` if it does not), the point in the solid's
    own frame, and the nearest place on its line."""

    depth: Tensor
    x: Tensor
    y: Tensor
    z: Tensor
    line: Tensor


def meet(row: Sequence[Tensor], x: Tensor, y: Tensor) -> Hit:
    """Rays (x, y, 1) against solids, `row` their 16 numbers.

    The solid is a ball that moves along a line: the ball nearest to the ray first, then the one nearest to where the
    ray met that. The ray begins at the solid's own depth, or single precision would not do for fingers.
    """
    mxx, mxy, mxz, myx, myy, myz, mzx, mzy, mzz, cx, cy, cz, half, middle, growth, _ = row
    px, py = x * cz - cx, y * cz - cy
    ox, oy, oz = mxx * px + mxy * py, myx * px + myy * py, mzx * px + mzy * py
    dx, dy, dz = mxx * x + mxy * y + mxz, myx * x + myy * y + myz, mzx * x + mzy * y + mzz
    flat = dx * dx + dz * dz
    line = (oy - (ox * dx + oz * dz) / (flat + 1e-6) * dy).clamp(-half, half)
    length, along = flat + dy * dy, ox * dx + oy * dy + oz * dz
    away = ox * ox + oy * oy + oz * oz
    depth, met = _ball(line, middle, growth, oy, dy, length, along, away)
    for _ in range(2):
        nearer = (oy + depth * dy).clamp(-half, half)
        again, still = _ball(nearer, middle, growth, oy, dy, length, along, away)
        line, depth = torch.where(still > 0, nearer, line), torch.where(still > 0, again, depth)
    whole = depth + cz
    seen = torch.where((met > 0) & (whole > _CLOSEST), whole, torch.full_like(whole, NEVER))
    return Hit(seen, ox + depth * dx, oy + depth * dy, oz + depth * dz, line)


def _ball(
    line: Tensor,
    middle: Tensor,
    growth: Tensor,
    oy: Tensor,
    dy: Tensor,
    length: Tensor,
    along: Tensor,
    away: Tensor,
) -> tuple[Tensor, Tensor]:
    """How far along the ray the ball at `line` is met, and a number above 0 if it is."""
    radius = middle + growth * line
    b = along - line * dy
    met = b * b - length * (away - 2 * line * oy + line * line - radius * radius)
    return (-b - met.clamp(min=0).sqrt()) / length, met


def first(table: Tensor, corner: Tensor, step: Tensor, height: int, width: int) -> Tensor:
    """The number of the solid that each ray meets first, `NONE` for none: uint8 [N, height, width].

    `table` [N, K, 16]; rays go through `corner` [N, 2] plus (column + ½, row + ½) times `step` [N, 2].
    """
    boxes = bounds(table)
    if table.is_cuda:
        from .kernel import first as on_device  # Triton exists only where CUDA does

        return on_device(table, boxes, corner, step, height, width, NONE)
    found = torch.full((len(table), height, width), NONE, dtype=torch.uint8)
    for picture, solids, box, start, way in zip(found, table, boxes, corner, step, strict=True):
        _first_of_one(picture, solids, (box - start.repeat_interleave(2)) / way.repeat_interleave(2), start, way)
    return found


def _first_of_one(found: Tensor, solids: Tensor, boxes: Tensor, start: Tensor, way: Tensor) -> None:
    """One picture [height, width], solid by solid, each inside its box (x0, x1, y0, y1 in samples)."""
    nearest = torch.full(found.shape, NEVER)
    edges = boxes.clamp(-1, 1 + max(found.shape)).tolist()
    for number, (row, (x0, x1, y0, y1)) in enumerate(zip(solids, edges, strict=True)):
        across, down = slice(max(int(x0), 0), max(int(x1) + 1, 0)), slice(max(int(y0), 0), max(int(y1) + 1, 0))
        part = nearest[down, across]
        if not part.numel():
            continue
        x = start[0] + way[0] * (torch.arange(across.start, across.start + part.shape[1]) + 0.5)
        y = start[1] + way[1] * (torch.arange(down.start, down.start + part.shape[0]) + 0.5)
        depth = meet(row.unbind(), x, y[:, None]).depth
        closer = depth < part
        part[closer] = depth[closer]
        found[down, across][closer] = number


def bounds(table: Tensor) -> Tensor:
    """Rays outside x0, x1, y0, y1 [N, K, 4] surely miss the solid: a box around balls around both ends of its line."""
    matrix, centre = table[..., :9].reshape(*table.shape[:2], 3, 3), table[..., 9:12]
    half, middle, growth = table[..., 12:15].unbind(-1)
    lengths = 1 / matrix.square().sum(-1)
    axis = matrix[..., 1, :] * (lengths[..., 1] * half)[..., None]
    widest = lengths.amax(-1).sqrt()
    low, high = (_ball_bounds(centre + s * axis, (middle + s * growth * half) * widest) for s in (-1.0, 1.0))
    least, most = torch.minimum(low, high), torch.maximum(low, high)
    there = ((middle + growth.abs() * half) > 0)[..., None]
    nowhere = torch.tensor([NEVER, -NEVER, NEVER, -NEVER], device=table.device)
    return torch.where(there, torch.stack((least[..., 0], most[..., 1], least[..., 2], most[..., 3]), -1), nowhere)


def _ball_bounds(centre: Tensor, radius: Tensor) -> Tensor:
    """x0, x1, y0, y1 [N, K, 4]: where a ball's own box is seen; everywhere when the camera is inside."""
    near, far = centre[..., 2] - radius, centre[..., 2] + radius
    edges = []
    for axis in (0, 1):
        for side, extreme in ((-1.0, torch.minimum), (1.0, torch.maximum)):
            edge = centre[..., axis] + side * radius
            seen = extreme(edge / near.clamp(min=_CLOSEST), edge / far.clamp(min=_CLOSEST))
            edges.append(torch.where(near > _CLOSEST, seen, torch.full_like(seen, side * NEVER)))
    return torch.stack(edges, -1)
