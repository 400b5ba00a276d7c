"""The skeleton picture of many frames at once, on any device: what `signals.pose.draw` draws, pixel by pixel.

Every stroke is turned into the pixels that OpenCV would set; where strokes cross, the one drawn last wins. Knows the
rules of that module and of OpenCV 4's lines and ellipses.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import torch
from torch import Tensor

from wan_animate_blender.wire import skeleton as rule

from ..signals import pose

_LIMBS = torch.tensor(rule.LIMBS)
_EDGES = torch.tensor(rule.FINGER_EDGES)
_COUNT = len(rule.COLOURS)

_AT_ONCE = {"cuda": 1 << 25, "cpu": 1 << 18}
"""Pixels of strokes set at once: on a GPU, which waits for each call, what some GB take; on a CPU its caches."""

_FRAMES = {"cuda": 2048, "cpu": 64}
"""Frames drawn at once: a frame's limbs alone are some hundred thousand pixels of strokes."""


def skeleton(keypoints: Tensor, height: int, width: int) -> Tensor:
    """The poses as pictures: `keypoints` float [..., 133, 3] → uint8 [..., H, W, 3] RGB on the same device."""
    flat = keypoints.flatten(0, -3).double()
    pictures = torch.cat([_drawn(part, height, width) for part in torch.split(flat, _FRAMES[flat.device.type])])
    return pictures.reshape(*keypoints.shape[:-2], height, width, 3)


def _drawn(points: Tensor, height: int, width: int) -> Tensor:
    """uint8 [F, H, W, 3] of [F, 133, 3]. A stroke's rank is when it is drawn, from 1 on; 0 is black."""
    stick = max(int(min(width, height) / 200) - 1, 1)
    ranks = torch.zeros(len(points), height * width, dtype=torch.int32, device=points.device)
    body = (points[:, rule.FIRST] + points[:, rule.SECOND]) / 2
    _limbs(ranks, body, stick, height, width)
    first = len(_LIMBS) + 1
    numbers = torch.arange(first, first + _COUNT, dtype=torch.int32, device=points.device)
    _discs(ranks, _pixels(body), _drawable(body), stick, numbers, height, width)
    for i, hand in enumerate((rule.LEFT_HAND, rule.RIGHT_HAND)):
        start = first + _COUNT + i * (len(_EDGES) + 1)
        _hand(ranks, points[:, hand], max(stick // 2, 1), start, height, width)
    return _palette(points.device)[ranks.long()].reshape(-1, height, width, 3)


@functools.cache
def _palette(device: torch.device) -> Tensor:
    """The colour of each rank, uint8 [R, 3]."""
    colours = np.array(rule.COLOURS)
    fingers = np.array([*np.rint(rule.FINGER_COLOURS), rule.FINGER_JOINT])
    limbs = (colours[: len(_LIMBS)] * 0.6).astype(int)
    table = np.concatenate([np.zeros((1, 3)), limbs, colours, fingers, fingers]).astype(np.uint8)
    return torch.from_numpy(table).to(device)


def _limbs(ranks: Tensor, body: Tensor, stick: int, height: int, width: int) -> None:
    a, b = (body[:, _LIMBS[:, end].to(body.device)] for end in (0, 1))
    shown = _drawable(a) & _drawable(b)
    step = a - b
    half = (step[..., 0].square() + step[..., 1].square()).sqrt().div(2).trunc()
    degrees = torch.atan2(step[..., 1], step[..., 0]).rad2deg().trunc()
    centre = _pixels((a + b) / 2)
    steps = _steps(height, width)
    order = torch.arange(1, len(_LIMBS) + 1, dtype=torch.int32, device=body.device)[:, None]
    for inner in range(stick + 1):
        outline = _ellipse(centre, half, float(inner), degrees.nan_to_num().long() % 360)
        _lines(ranks, outline[..., :-1, :], outline[..., 1:, :], shown[..., None], order, steps, height, width)


def _steps(height: int, width: int) -> int:
    """Pixels between two neighbours on the outline of a limb three frames long: 1 degree of half its length."""
    return int(3 * max(height, width) / 2 * 0.01746) + 2


@functools.cache
def _sines(device: torch.device) -> Tensor:
    """OpenCV's table of whole degrees: seven digits in single precision."""
    degrees = np.arange(0, 361) % 360
    return torch.from_numpy(np.round(np.sin(np.deg2rad(degrees)), 7).astype(np.float32)).double().to(device)


def _ellipse(centre: Tensor, long: Tensor, short: float, degrees: Tensor) -> Tensor:
    """`cv2.ellipse2Poly` in steps of a degree: whole pixels [..., 361, 2]."""
    sines = _sines(centre.device)
    turn = torch.arange(361, device=centre.device)
    x, y = long[..., None] * sines[(450 - turn) % 360], short * sines[turn]
    cosine, sine = sines[(450 - degrees) % 360][..., None], sines[degrees][..., None]
    spot = torch.stack((x * cosine - y * sine, x * sine + y * cosine), -1) + centre[..., None, :]
    return spot.nan_to_num().round().int()


def _lines(
    ranks: Tensor, start: Tensor, end: Tensor, shown: Tensor, rank: Tensor, steps: int, height: int, width: int
) -> None:
    """Lines of at most `steps` pixels between whole pixels int32 [F, …, 2], as OpenCV's LineIterator goes: from left
    to right, to the side only when more than half a pixel off.
    """
    swap = start[..., :1] > end[..., :1]
    left, way = torch.where(swap, end, start)[..., None, :], torch.where(swap, start - end, end - start)[..., None, :]
    sign, way = way.sign(), way.abs()
    longest = way.amax(-1, keepdim=True)
    half = longest.clamp(min=1)
    block = max(_AT_ONCE[ranks.device.type] // longest.numel(), 1)
    numbers = torch.arange(steps, dtype=torch.int32, device=ranks.device)[:, None]
    for k in torch.split(numbers, block):
        spot = left + sign * ((2 * k * way + half - 1) // (2 * half))
        _set(ranks, spot, shown[..., None] & (longest[..., 0] >= k[:, 0]), rank[..., None], height, width)


@functools.cache
def _disc(radius: int, device: torch.device) -> Tensor:
    """Where `cv2.circle` sets pixels around its middle: [n, 2]."""
    canvas = np.zeros((2 * radius + 3, 2 * radius + 3), np.uint8)
    cv2.circle(canvas, (radius + 1, radius + 1), radius, (255,), thickness=-1)
    return torch.from_numpy((np.argwhere(canvas)[:, ::-1] - (radius + 1)).astype(np.int32)).to(device)


def _discs(ranks: Tensor, pixels: Tensor, shown: Tensor, radius: int, rank: Tensor, height: int, width: int) -> None:
    spots = pixels[:, :, None] + _disc(radius, pixels.device)
    _set(ranks, spots, shown[..., None], rank[:, None], height, width)


def _hand(ranks: Tensor, hand: Tensor, stick: int, start: int, height: int, width: int) -> None:
    pixels = _pixels(hand)
    shown = _drawable(hand) & (pixels > 0).all(-1)
    edges = _EDGES.to(hand.device)
    a, b = edges.unbind(-1)
    order = torch.arange(start, start + len(edges), dtype=torch.int32, device=hand.device)
    _lines(ranks, pixels[:, a], pixels[:, b], shown[:, a] & shown[:, b], order, max(height, width), height, width)
    joint = torch.full((hand.shape[1],), start + len(edges), dtype=torch.int32, device=hand.device)
    _discs(ranks, pixels, shown, stick, joint, height, width)


def _set(ranks: Tensor, spots: Tensor, shown: Tensor, rank: Tensor, height: int, width: int) -> None:
    """Pixels `spots` int32 [F, …, 2] get `rank` int32 if it is later than what they have."""
    x, y = spots.unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & shown
    place = (y * width + x).clamp(0, height * width - 1).flatten(1)
    ranks.scatter_reduce_(1, place.long(), (inside * rank).flatten(1), "amax")


def _drawable(points: Tensor) -> Tensor:
    return (points[..., :2].abs() <= pose.FARTHEST).all(-1) & (points[..., 2] >= rule.THRESHOLD)


def _pixels(points: Tensor) -> Tensor:
    return points[..., :2].nan_to_num().clamp(-1e6, 1e6).trunc().int()
