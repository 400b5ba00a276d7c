"""Rotations as matrices [..., 3, 3]. Knows angles and vectors only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def about_x(angle: Tensor) -> Tensor:
    """Turns y towards z. `angle` [...] in radians."""
    c, s, zero, one = _parts(angle)
    return _matrix(one, zero, zero, zero, c, -s, zero, s, c)


def about_y(angle: Tensor) -> Tensor:
    """Turns z towards x."""
    c, s, zero, one = _parts(angle)
    return _matrix(c, zero, s, zero, one, zero, -s, zero, c)


def about_z(angle: Tensor) -> Tensor:
    """Turns x towards y."""
    c, s, zero, one = _parts(angle)
    return _matrix(c, -s, zero, s, c, zero, zero, zero, one)


def along(direction: Tensor, forward: Tensor) -> Tensor:
    """The frame whose y axis is `direction` [..., 3] and whose z axis lies as near to `forward` as it can."""
    y = normalize(direction, dim=-1)
    x = normalize(torch.linalg.cross(y, forward.expand_as(y)), dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), -1)


def turned(rotation: Tensor, *vector: float | Tensor) -> Tensor:
    """`rotation` [..., 3, 3] times a vector of three numbers or tensors [...]: [..., 3]."""
    x, y, z = vector
    return rotation[..., 0] * _last(x) + rotation[..., 1] * _last(y) + rotation[..., 2] * _last(z)


def _last(number: float | Tensor) -> float | Tensor:
    return number[..., None] if isinstance(number, Tensor) else number


def _parts(angle: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)


def _matrix(*entries: Tensor) -> Tensor:
    return torch.stack(entries, -1).reshape(*entries[0].shape, 3, 3)
