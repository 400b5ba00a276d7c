"""The face: its shape, where its landmarks lie, and how it is painted. Knows head and expression, no body.

The head is a rounded cone from the chin's ball up to the skull's, in units in which the skull's radius is 1 along every
axis: u to the person's left, v up, the face at positive depth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .person import Person

HALF = 0.3
"""From the head's middle to the centres of its two balls."""

_EYE_WIDE, _EYE_HIGH, _IRIS = 0.25, 0.21, 0.145
_MOUTH = -0.5
_MOUTH_WIDE = 0.34


class Features(NamedTuple):
    """What the painter needs, each [..] or [.., 3] for one frame."""

    eye_v: Tensor
    eye_apart: Tensor
    eye: Tensor
    mouth: Tensor
    brow: Tensor
    hairline: Tensor
    fringe: Tensor
    bald: Tensor
    beard: Tensor
    moustache: Tensor
    glasses: Tensor
    iris: Tensor
    hair: Tensor
    jaw: Tensor
    smile: Tensor
    purse: Tensor
    lift: Tensor
    frown: Tensor
    lid_left: Tensor
    lid_right: Tensor
    gaze_x: Tensor
    gaze_y: Tensor


def height(person: Person) -> Tensor:
    """Metres [B] from chin to crown."""
    return 0.13 * person.shape["size"] * person.shape["head"]


def radii(person: Person) -> Tensor:
    """Metres [B, 3] of one unit to the side, up and forward."""
    tall = height(person)
    up = tall / (2 * HALF + 1 + person.shape["chin"])
    return torch.stack((0.4 * tall * person.shape["face_width"], up, 0.41 * tall), -1)


def centre_height(person: Person) -> Tensor:
    """Metres [B] from the joint under the skull to the head's middle."""
    return radii(person)[:, 1] * (HALF + 0.75 * person.shape["chin"])


def features(person: Person, expression: Tensor) -> Features:
    """Of every frame: numbers [B, T] and colours [B, T, 3]; `expression` [B, T, E]."""

    def same(value: Tensor) -> Tensor:
        return value[:, None].expand(-1, expression.shape[1], *value.shape[1:])

    shape, style = person.shape, person.style
    steady = [shape[name] for name in ("eye_height", "eye_apart", "eye", "mouth", "brow", "hairline", "fringe")]
    kinds = [style["hair_style"] == 0, style["bearded"] == 1, style["bearded"] == 2, style["glasses"] == 1]
    colours = [person.colours["iris"], person.colours["hair"]]
    fixed = [same(value.float()) for value in (*steady, *kinds, *colours)]
    return Features(*fixed, *expression.unbind(-1))


# --- landmarks ------------------------------------------------------------------------------------


def points(person: Person, expression: Tensor) -> Tensor:
    """Nose, eyes, ears (left first) and the 68 landmarks: metres [B, T, 73, 3] from the head's middle, in its frame."""
    f = Features(*(part[..., None] for part in features(person, expression)))
    chin = person.shape["chin"][:, None, None]
    left, right = _eye(f, 1.0), _eye(f, -1.0)
    parts = [*_senses(f, left, right), _jawline(f, chin), _brows(f), _nose(f), right, left, *_lips(f)]
    flat = torch.cat([torch.stack((u + 0 * v, v + 0 * u), -1) for u, v in parts], 2)
    return _lifted(flat, chin, person) * radii(person)[:, None, None]


def _lifted(flat: Tensor, chin: Tensor, person: Person) -> Tensor:
    """On the head's surface: [B, T, n, 3] of [B, T, n, 2]; ears and the jaw's ends come to lie at the side."""
    u, v = flat.unbind(-1)
    ball = v.clamp(-HALF, HALF)
    radius = torch.lerp(chin.expand_as(v), torch.ones_like(v), (ball + HALF) / (2 * HALF))
    depth = (radius**2 - u**2 - (v - ball) ** 2).clamp(min=0).sqrt()
    tip = torch.zeros(flat.shape[2], device=flat.device).index_fill(0, _row(flat, *_TIP).long(), 0.22)
    return torch.stack((u, v, depth + tip * person.shape["nose"][:, None, None]), -1)


_TIP = (0, 5 + 30)
"""Two of the points are the tip of the nose."""

_Spots = tuple[Tensor, Tensor]
"""u and v, each [B, T, n] or broadcast to it."""


def _row(like: Tensor, *numbers: float) -> Tensor:
    return torch.tensor(numbers, device=like.device)


def _senses(f: Features, left: _Spots, right: _Spots) -> list[_Spots]:
    """Nose, left and right eye, left and right ear."""
    eyes = [(u.mean(-1, keepdim=True), v.mean(-1, keepdim=True)) for u, v in (left, right)]
    return [(0 * f.eye, f.eye_v - 0.36), *eyes, (_row(f.eye, 1.02, -1.02) + 0 * f.eye, f.eye_v - 0.08)]


def _jawline(f: Features, chin: Tensor) -> _Spots:
    """17 from the right ear over the chin to the left one; it drops with the jaw."""
    turn = torch.arange(17, device=chin.device) * (math.pi / 16)
    low = -HALF - chin * 0.92 - 0.12 * f.jaw
    return -turn.cos() * (0.96 - 0.2 * (1 - chin) * turn.sin()), f.eye_v + turn.sin() * (low - f.eye_v)


def _brows(f: Features) -> _Spots:
    """5 and 5 from the right to the left."""
    side = _row(f.eye, *[-1.0] * 5, *[1.0] * 5)
    x = _row(f.eye, 1, 0.5, 0, -0.5, -1, -1, -0.5, 0, 0.5, 1)
    return side * (f.eye_apart + x * brow_half(f)), brow_v(f, x)


def _nose(f: Features) -> _Spots:
    """4 down the bridge, 5 along the nostrils from right to left."""
    u = _row(f.eye, 0, 0, 0, 0, -0.14, -0.07, 0, 0.07, 0.14) + 0 * f.eye
    return u, f.eye_v - _row(f.eye, 0, 0.12, 0.24, 0.36, 0.46, 0.46, 0.46, 0.46, 0.46)


def _eye(f: Features, sign: float) -> _Spots:
    """6 of one eye, from the picture's left over the top."""
    lid = f.lid_left if sign > 0 else f.lid_right
    turn = _row(lid, 3, 2, 1, 0, -1, -2) * (math.pi / 3)
    u = sign * f.eye_apart + _EYE_WIDE * f.eye * turn.cos()
    return u, f.eye_v + _EYE_HIGH * f.eye * lid * turn.sin()


def _lips(f: Features) -> list[_Spots]:
    """12 around the lips and 8 around the opening, from the right corner over the top."""
    wide, high = mouth_size(f)
    parts = []
    for count, thick in ((12, 0.06), (8, 0.0)):
        turn = math.pi - torch.arange(count, device=wide.device) * (2 * math.pi / count)
        x, y = turn.cos(), turn.sin()
        parts.append((x * (wide + thick), mouth_v(f, x) + y * (high + thick)))
    return parts


# --- shapes that landmarks and paint share --------------------------------------------------------


def mouth_size(f: Features) -> tuple[Tensor, Tensor]:
    """Half the width and half the height of the opening."""
    wide = _MOUTH_WIDE * f.mouth * (1 + 0.25 * f.smile - 0.55 * f.purse)
    return wide, 0.2 * f.jaw + 0.07 * f.purse


def mouth_v(f: Features, x: Tensor) -> Tensor:
    """The height of the mouth's middle line, x = -1..1 from corner to corner."""
    return _MOUTH - 0.1 * f.jaw + 0.17 * f.smile * (x * x - 0.4)


def brow_half(f: Features) -> Tensor:
    return 0.25 * f.eye


def brow_v(f: Features, x: Tensor) -> Tensor:
    """The height of a brow, x = -1 at its inner end, 1 at its outer one."""
    arch = 0.05 * (1 - x * x)
    return f.eye_v + 0.36 + 0.11 * f.lift + arch + 0.13 * f.frown * x


# --- paint ----------------------------------------------------------------------------------------


def paint(u: Tensor, v: Tensor, skin: Tensor, f: Features, blur: Tensor) -> Tensor:
    """The colour [.., 3] of the front of the head at u, v [..]: `skin` [.., 3] with all that is on it.

    `blur` is about a pixel's width in the same units; fields of `f` are broadcast against `u`.
    """
    colour = _painted_mouth(u, v, _blushed(u, v, skin, f), f, blur)
    for sign, lid in ((1.0, f.lid_left), (-1.0, f.lid_right)):
        colour = _painted_eye(sign * (u - sign * f.eye_apart), u - sign * f.eye_apart, v, lid, skin, colour, f, blur)
    return colour


def _mix(colour: Tensor, other: Tensor | tuple[float, float, float], cover: Tensor) -> Tensor:
    if isinstance(other, tuple):
        other = torch.stack([torch.full_like(cover, part) for part in other], -1)
    return colour + (other - colour) * cover[..., None]


def _inside(distance: Tensor, blur: Tensor) -> Tensor:
    """1 where `distance` to an edge is negative, 0 where positive, soft over `blur`."""
    return (0.5 - distance / blur).clamp(0, 1)


def _blushed(u: Tensor, v: Tensor, skin: Tensor, f: Features) -> Tensor:
    """Red cheeks and shade under the nose: they tell the face's middle even in flat light."""
    cheek = torch.exp(-((u.abs() - 0.52) ** 2 + (v - f.eye_v + 0.36) ** 2) * 22)
    colour = _mix(skin, (0.9, 0.32, 0.28), 0.22 * cheek)
    under = torch.exp(-(u**2 * 60 + (v - f.eye_v + 0.5) ** 2 * 260))
    return colour * (1 - 0.28 * under[..., None])


def _painted_mouth(u: Tensor, v: Tensor, colour: Tensor, f: Features, blur: Tensor) -> Tensor:
    wide, high = mouth_size(f)
    x = (u / wide).clamp(-1.2, 1.2)
    y = v - mouth_v(f, x)
    # The opening is an ellipse on a curved line; the lips are the same one grown.
    lips = _ellipse(u, y, wide + 0.06, high + 0.055)
    colour = _bearded(u, v, y, wide, colour, f, blur)
    colour = _mix(colour, 0.55 * colour + torch.tensor([0.3, 0.03, 0.05], device=u.device), _inside(lips, blur))
    opening = _inside(_ellipse(u, y, wide, high.clamp(min=0.018)), blur)
    colour = _mix(colour, (0.2, 0.03, 0.05), opening)
    teeth = opening * _inside((high * 0.45 - y) * 1.0, blur) * (high > 0.05)
    tongue = opening * _inside(y + high * 0.45, blur)
    return _mix(_mix(colour, (0.95, 0.94, 0.9), teeth), (0.75, 0.3, 0.32), tongue)


def _bearded(u: Tensor, v: Tensor, y: Tensor, wide: Tensor, colour: Tensor, f: Features, blur: Tensor) -> Tensor:
    beard = f.beard * _inside(v + 0.62 - 0.5 * u * u, 2 * blur)
    above = f.moustache * _inside(_ellipse(u, y - 0.12, wide * 1.05, wide * 0 + 0.075), blur)
    return _mix(colour, f.hair * 0.9, (beard + above).clamp(max=1))


def _painted_eye(
    x: Tensor, u: Tensor, v: Tensor, lid: Tensor, skin: Tensor, colour: Tensor, f: Features, blur: Tensor
) -> Tensor:
    """One eye and its brow; `x` grows towards the temple, `u` to the person's left, both from the eye's middle."""
    wide, high = _EYE_WIDE * f.eye, _EYE_HIGH * f.eye * lid
    y = v - f.eye_v
    edge = _ellipse(u, y, wide, high.clamp(min=0.012))
    white = _inside(edge, blur) * (lid > 0.08)
    lashes = torch.maximum(edge.abs() - 0.03, u.abs() - 1.1 * wide)
    colour = _mix(colour, 0.2 * skin, _inside(lashes, blur) * (y > -0.02))
    colour = _mix(colour, (0.97, 0.97, 0.97), white)
    pupil_x, pupil_y = u - 0.1 * f.eye * f.gaze_x, y - 0.07 * f.eye * f.gaze_y
    away = (pupil_x**2 + pupil_y**2 + 1e-9).sqrt()
    colour = _mix(colour, f.iris, white * _inside(away - _IRIS * f.eye, blur))
    colour = _mix(colour, (0.03, 0.03, 0.04), white * _inside(away - 0.08 * f.eye, blur))
    colour = _mix(colour, (1.0, 1.0, 1.0), white * _inside(_disc(pupil_x + 0.05, pupil_y - 0.05) - 0.03, blur))
    along = (x / brow_half(f)).clamp(-1, 1)
    brow = torch.maximum((v - brow_v(f, along)).abs() - 0.05 * f.brow * (1 - 0.3 * along), x.abs() - brow_half(f))
    colour = _mix(colour, 0.7 * f.hair, _inside(brow, blur))
    frame = (_disc(u, y * 1.1) - 0.34).abs() - 0.035
    return _mix(colour, (0.12, 0.1, 0.1), f.glasses * _inside(frame, blur))


def _disc(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y + 1e-9).sqrt()


def _ellipse(x: Tensor, y: Tensor, wide: Tensor, high: Tensor) -> Tensor:
    """About the distance to an ellipse's edge, negative inside: the level set over its own slope."""
    level = (x / wide) ** 2 + (y / high) ** 2
    slope = 2 * ((x / wide**2) ** 2 + (y / high**2) ** 2 + 1e-6).sqrt()
    return (level - 1) / slope


def haired(u: Tensor, v: Tensor, depth: Tensor, f: Features, blur: Tensor) -> Tensor:
    """How much of the head [..] is under hair: above the hairline in front, all of the back."""
    line = f.hairline - 0.25 * u * u + f.fringe * 0.35 * u
    front = _inside(line - v, blur)
    behind = _inside(depth + 0.1 - 0.5 * (v + 0.3).clamp(min=0), blur) * _inside(-0.75 - v, blur)
    return (1 - f.bald) * torch.maximum(front, behind)
