"""Where new pixels may appear, for many frames at once: the rule of `region.region`, and boxes that tell less.

Knows masks and keypoints. A silhouette would tell the model what to draw where; a box tells it to obey the skeleton.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from wan_animate_blender.wire import FACE_KEYPOINTS as FACE
from wan_animate_blender.wire import hull, skeleton

from .chance import Chance

_DIRECTIONS = 48
_RIGHT, _DOWN, _LEFT, _UP = [*range(12), *range(37, 48)], 12, [*range(13, 36)], 36
"""Those that bound a row at its right and at its left, and the two that bound columns alone."""

_CENTRE = 133
"""The number, after the keypoints, of the middle of the head."""
_PIECES = [[*hull.HEAD, 5, 6], *hull.PARTS, [_CENTRE]]
_MOST = max(len(piece) for piece in _PIECES)
_MEMBERS = torch.tensor([piece + piece[:1] * (_MOST - len(piece)) for piece in _PIECES])
"""The points of each piece of a body [P, n], all of one length: a point named twice changes no hull."""

_AT_ONCE = {"cuda": 1 << 27, "cpu": 1 << 18}
"""Pixels drawn at once: on a GPU what its memory takes, on a CPU what its caches do."""

BODY, GROWN, BOX, CLIP_BOX = range(4)
"""Shapes of a region, each tells less of the person than the one before: as the pipeline makes it; grown further; a box
for each frame; one for the whole clip."""
_SHARES = (0.3, 0.15, 0.25, 0.3)

ROOM = 0.75
"""Share of a picture that a region takes at most, or nobody could know the place: else it is the next smaller one."""


def region(matte: Tensor, keypoints: Tensor, seeds: Tensor) -> Tensor:
    """uint8 [B, T, H, W], 0 or 255: around `matte` uint8 [B, T, H, W] and the body of `keypoints` [B, T, 133, 3].

    Seeds int64 [B] choose the shape of each clip's regions.
    """
    chance = Chance.of_clips(seeds, "train").named("region")
    return shaped(matte, keypoints, chance.chosen("kind", *_SHARES))


def shaped(matte: Tensor, keypoints: Tensor, kind: Tensor) -> Tensor:
    """The same with regions of the `kind` int64 [B] that is asked for, `BODY`, `GROWN`, `BOX` or `CLIP_BOX`, or of the
    largest before it that leaves room."""
    share = max(_AT_ONCE[matte.device.type] // matte[0].numel(), 1)
    parts = zip(*(torch.split(each, share) for each in (matte, keypoints, kind)), strict=True)
    return torch.cat([_shaped(*part) for part in parts])


def _shaped(matte: Tensor, keypoints: Tensor, kind: Tensor) -> Tensor:
    height, width = matte.shape[-2:]
    core = (matte >= hull.ALMOST_NOTHING) | body(keypoints, height, width)
    near = hull.growth(height, width)
    grown = _grown(core, near)
    box = _boxed(grown)
    larger = {GROWN: _grown(core, 3 * near), BOX: box, CLIP_BOX: _boxed(box.any(1, keepdim=True))}
    found = grown
    for shape, mask in larger.items():
        chosen = (kind >= shape) & (mask.float().mean((2, 3)).amax(1) <= ROOM)
        found = torch.where(chosen[:, None, None, None], mask, found)
    return found.to(torch.uint8) * 255


def body(keypoints: Tensor, height: int, width: int) -> Tensor:
    """The space that a body takes, bool [B, T, H, W]: `signals.hull.draw`, its round corners of 7.5 degrees."""
    shape, points = keypoints.shape[:2], keypoints.flatten(0, 1)
    edge = torch.tensor([width, height], device=points.device)
    finite = points[..., :2].isfinite().all(-1)
    places = points[..., :2].nan_to_num().clamp(-3 * edge, 4 * edge)
    outside = ((places < 0) | (places >= edge)).any(-1)
    sure = finite & (points[..., 2] >= skeleton.THRESHOLD)
    known, unit = sure | (finite & outside), _shoulder_width(places, sure)
    centre, head = _head(places, sure, unit)
    nodding = sure[:, hull.HEAD].any(-1, keepdim=True)
    counted = torch.stack((sure & nodding, *[known] * len(hull.PARTS), torch.zeros_like(sure)), 1)
    counted = torch.cat((counted, nodding[:, None].expand(-1, len(_PIECES), -1)), -1)
    radii = torch.stack((*[hull.FLESH * unit] * (len(_PIECES) - 1), head), 1)
    filled = _filled(torch.cat((places, centre[:, None]), 1), counted, radii, height, width)
    return filled.reshape(*shape, height, width)


def _shoulder_width(places: Tensor, sure: Tensor) -> Tensor:
    """`hull.shoulder_width` [F]."""
    widths = [
        (places[:, a] - places[:, b]).norm(dim=-1) / bone * (sure[:, a] & sure[:, b])
        for (a, b), bone in hull.BONES.items()
    ]
    return torch.stack(widths).amax(0)


def _head(places: Tensor, sure: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """The head's middle [F, 2], and a radius [F] as large as any of the head's measures says."""
    seen, face = sure[:, hull.HEAD], sure[:, FACE]
    centre = (places[:, hull.HEAD] * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).clamp(min=1)
    reach = ((places[:, FACE] - centre[:, None]).norm(dim=-1) * face).amax(1) * hull.HAIR
    neck = (places[:, [5, 6]].mean(1) - centre).norm(dim=-1) * hull.NECK * sure[:, [5, 6]].all(-1)
    return centre, torch.stack((hull.HEAD_RADIUS * unit, reach, neck)).amax(0)


@functools.cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """`_MEMBERS`, and how far each direction goes across and down."""
    turns = [math.tau * i / _DIRECTIONS for i in range(_DIRECTIONS)]
    ways = torch.tensor([[math.cos(turn) for turn in turns], [math.sin(turn) for turn in turns]])
    across, down = ways.to(device).unbind()
    return _MEMBERS.to(device), across, down


def _filled(places: Tensor, counted: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    """All [F, H, W] that is within `radii` [F, P] of a piece's hull: between two tangents in every direction.

    Of the points `places` [F, 134, 2] each piece has those that are `counted` [F, P, 134] for it.
    """
    members, across, down = _tables(places.device)
    counts = counted.gather(2, members.expand(len(places), -1, -1))
    x, y = places[:, members].round()[..., None].unbind(3)
    far = (x * across + y * down).masked_fill(~counts[..., None], -math.inf).amax(2)
    most = (far + radii.round()[..., None] + 0.5)[:, :, None]
    rows = torch.arange(height, device=places.device, dtype=places.dtype)[:, None]
    # What is between all tangents is one run of pixels in each row.
    left, right = (((most - rows * down) / across)[..., side] for side in (_LEFT, _RIGHT))
    there = ((rows * down) <= most)[..., [_DOWN, _UP]].all(-1)
    first, last = left.amax(-1).masked_fill(~there, math.inf)[..., None], right.amin(-1)[..., None]
    columns = torch.arange(width, device=places.device, dtype=places.dtype)
    runs = ((columns >= begin) & (columns <= end) for begin, end in zip(first.unbind(1), last.unbind(1), strict=True))
    return functools.reduce(torch.Tensor.logical_or_, runs)


def _grown(core: Tensor, pixels: int) -> Tensor:
    """All [B, T, H, W] within `pixels` of `core`: a disc is one run of pixels in each of its rows."""
    near, wide, reach = torch.zeros_like(core), core.clone(), 0
    for row in range(pixels, -1, -1):
        half = math.isqrt(pixels**2 - row**2)
        for _ in range(half - reach):
            thin = wide.clone()
            wide[..., 1:] |= thin[..., :-1]
            wide[..., :-1] |= thin[..., 1:]
        reach = half
        near[..., row:, :] |= wide[..., : wide.shape[-2] - row, :]
        near[..., : wide.shape[-2] - row, :] |= wide[..., row:, :]
    return near


def _boxed(mask: Tensor) -> Tensor:
    """The smallest box [B, T, H, W] around each frame's mask."""
    rows, columns = mask.any(-1), mask.any(-2)
    return _between(rows)[..., None] & _between(columns)[..., None, :]


def _between(line: Tensor) -> Tensor:
    """From the first to the last that is true."""
    return line.cummax(-1).values & line.flip(-1).cummax(-1).values.flip(-1)
