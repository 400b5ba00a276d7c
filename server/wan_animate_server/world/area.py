"""Where new pixels may appear, for many frames at once: the rule of `region.region`, and boxes that tell less.

Knows masks and keypoints. A silhouette would tell the model what to draw where; a box tells it to obey the skeleton.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from wan_animate_blender.wire import FACE_KEYPOINTS as FACE
from wan_animate_blender.wire import hull, skeleton

from .chance import Chance

_DIRECTIONS = 48

BODY, GROWN, BOX, CLIP_BOX = range(4)
"""Shapes of a region: as the pipeline makes it; grown further; a box for each frame; one for the whole clip."""
_SHARES = (0.3, 0.15, 0.25, 0.3)


def region(matte: Tensor, keypoints: Tensor, seeds: Tensor) -> Tensor:
    """uint8 [B, T, H, W], 0 or 255: around `matte` uint8 [B, T, H, W] and the body of `keypoints` [B, T, 133, 3].

    Seeds int64 [B] choose the shape of each clip's regions.
    """
    chance = Chance.of_clips(seeds, "train").named("region")
    return shaped(matte, keypoints, chance.chosen("kind", *_SHARES))


def shaped(matte: Tensor, keypoints: Tensor, kind: Tensor) -> Tensor:
    """The same with regions of the `kind` int64 [B] that is asked for: `BODY`, `GROWN`, `BOX` or `CLIP_BOX`."""
    height, width = matte.shape[-2:]
    core = (matte >= hull.ALMOST_NOTHING) | body(keypoints, height, width)
    near = hull.growth(height, width)
    grown, wide = _grown(core, near), _grown(core, 3 * near)
    box = _boxed(grown)
    whole = box.amax(1, keepdim=True)
    kinds = torch.stack((grown, wide, box, _boxed(whole).expand_as(box)), 1)
    return kinds[torch.arange(len(kind), device=kind.device), kind].to(torch.uint8) * 255


def body(keypoints: Tensor, height: int, width: int) -> Tensor:
    """The space that a body takes, bool [B, T, H, W]: `signals.hull.draw`, its round corners of 7.5 degrees."""
    shape, points = keypoints.shape[:2], keypoints.flatten(0, 1)
    edge = torch.tensor([width, height], device=points.device)
    finite = points[..., :2].isfinite().all(-1)
    places = points[..., :2].nan_to_num().clamp(-3 * edge, 4 * edge)
    outside = ((places < 0) | (places >= edge)).any(-1)
    sure = finite & (points[..., 2] >= skeleton.THRESHOLD)
    known, unit = sure | (finite & outside), _shoulder_width(places, sure)
    flesh = hull.FLESH * unit
    whole = _filled(places[:, [*hull.HEAD, 5, 6]], sure[:, [*hull.HEAD, 5, 6]], flesh, height, width)
    whole &= sure[:, hull.HEAD].any(-1)[:, None, None]
    for part in hull.PARTS:
        whole |= _filled(places[:, part], known[:, part], flesh, height, width)
    return (whole | _head(places, sure, unit, height, width)).reshape(*shape, height, width)


def _shoulder_width(places: Tensor, sure: Tensor) -> Tensor:
    """`hull.shoulder_width` [F]."""
    widths = [
        (places[:, a] - places[:, b]).norm(dim=-1) / bone * (sure[:, a] & sure[:, b])
        for (a, b), bone in hull.BONES.items()
    ]
    return torch.stack(widths).amax(0)


def _head(places: Tensor, sure: Tensor, unit: Tensor, height: int, width: int) -> Tensor:
    """A disc [F, H, W] as large as any of the head's measures says."""
    seen, face = sure[:, hull.HEAD], sure[:, FACE]
    centre = (places[:, hull.HEAD] * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).clamp(min=1)
    reach = ((places[:, FACE] - centre[:, None]).norm(dim=-1) * face).amax(1) * hull.HAIR
    neck = (places[:, [5, 6]].mean(1) - centre).norm(dim=-1) * hull.NECK * sure[:, [5, 6]].all(-1)
    radius = torch.stack((hull.HEAD_RADIUS * unit, reach, neck)).amax(0)
    return _filled(centre[:, None], seen.any(-1, keepdim=True), radius, height, width)


def _filled(places: Tensor, known: Tensor, radius: Tensor, height: int, width: int) -> Tensor:
    """Everything [F, H, W] within `radius` [F] of the hull of the `known` of `places` [F, n, 2]: between two tangents
    in every direction."""
    x = torch.arange(width, device=places.device, dtype=places.dtype)
    y = torch.arange(height, device=places.device, dtype=places.dtype)[:, None]
    inside = known.any(-1)[:, None, None].expand(-1, height, width)
    for i in range(_DIRECTIONS):
        across, down = math.cos(math.tau * i / _DIRECTIONS), math.sin(math.tau * i / _DIRECTIONS)
        far = places.round()[..., 0] * across + places.round()[..., 1] * down
        most = far.masked_fill(~known, -math.inf).amax(1) + radius.round() + 0.5
        inside = inside & (x * across + y * down <= most[:, None, None])
    return inside


def _grown(core: Tensor, pixels: int) -> Tensor:
    """All [B, T, H, W] within `pixels` of `core`."""
    span = torch.arange(-pixels, pixels + 1, device=core.device)
    disc = (span**2 + span[:, None] ** 2 <= pixels**2).float()[None, None]
    near = conv2d(core.flatten(0, 1)[:, None].float(), disc, padding=pixels) > 0.5
    return near.reshape(core.shape)


def _boxed(mask: Tensor) -> Tensor:
    """The smallest box [B, T, H, W] around each frame's mask."""
    rows, columns = mask.any(-1), mask.any(-2)
    return _between(rows)[..., None] & _between(columns)[..., None, :]


def _between(line: Tensor) -> Tensor:
    """From the first to the last that is true."""
    return line.cummax(-1).values & line.flip(-1).cummax(-1).values.flip(-1)
