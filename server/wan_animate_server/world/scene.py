"""Where it happens: camera, light, floor, walls, sky and things that stand about. Knows no person.

Everything stands in the world of `figure` (metres, y up, floor at 0); the camera looks about along -z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .chance import Chance
from .motion import eased
from .person import rgb
from .shapes import Solid, ball, plain
from .turning import about_y

THINGS = 4
"""How many things stand about at most."""


class Light(NamedTuple):
    """A far light and light from everywhere: `direction` [B, 3] to it, `colour` and `ambient` [B, 3]."""

    direction: Tensor
    colour: Tensor
    ambient: Tensor

    def packed(self) -> Tensor:
        """[B, 9]."""
        return torch.cat(self, -1)


class Camera(NamedTuple):
    """`place` [B, T, 3]; `turn` [B, T, 3, 3] from world to camera (x right, y down, z forward); `focal` [B] pixels."""

    place: Tensor
    turn: Tensor
    focal: Tensor


class Backdrop(NamedTuple):
    """Colours [B, 3] and numbers [B] of all that has no end: floor and wall, or ground, hills and sky."""

    floor: Tensor
    floor_second: Tensor
    wall: Tensor
    wall_second: Tensor
    extra: Tensor
    outdoors: Tensor
    floor_pattern: Tensor
    wall_pattern: Tensor
    floor_size: Tensor
    wall_size: Tensor
    strength: Tensor
    distance: Tensor
    windows: Tensor
    turn: Tensor
    phase: Tensor


@dataclass(frozen=True)
class Target:
    """What the camera looks at: `centre` [B, T, 3] and how many metres [B] fill `share` [B] of the picture's height."""

    centre: Tensor
    metres: Tensor
    share: Tensor


def light(chance: Chance, difficulty: float) -> Light:
    """From before and above, more to the side and more coloured the harder the world."""
    aside, up, hue, deep, power, base, tint = chance.uniform("light", 7).unbind(1)
    azimuth = (aside - 0.5) * math.pi * (0.6 + 1.1 * difficulty)
    height = 0.25 + 0.9 * up
    direction = torch.stack((azimuth.sin() * height.cos(), height.sin(), azimuth.cos() * height.cos()), -1)
    saturation = (0.1 + 0.6 * difficulty) * deep
    colour = rgb(hue, saturation, 0.6 + 0.5 * power)
    ambient = rgb(tint, 0.6 * saturation, 0.33 + 0.35 * base)
    return Light(direction, colour, ambient)


def neutral(like: Light) -> Light:
    """White light from before and above, as a picture of a character is taken."""
    direction = normalize(torch.tensor([0.35, 0.6, 0.8], device=like.colour.device), dim=0)
    return Light(direction.expand_as(like.direction), like.colour * 0 + 0.62, like.ambient * 0 + 0.48)


def camera(chance: Chance, target: Target, height: int, width: int, difficulty: float) -> Camera:
    """Follows its target more or less, round it, towards it and past it; at difficulty 0 it stands."""
    frames = target.centre.shape[1]
    moved = difficulty * eased(torch.linspace(0, 1, frames, device=target.centre.device)) if frames > 1 else 0.0
    view, aside, up, orbit, dolly, follow, left, rise = (chance.uniform("camera", 8) - 0.5).unbind(1)
    focal = height * (1.6 + 1.2 * view)
    metres = focal * target.metres / (target.share * height)
    azimuth = 0.5 * aside[:, None] + 0.35 * orbit[:, None] * moved
    away = metres[:, None] * (1 + 0.3 * dolly[:, None] * moved)
    middle = target.centre.mean(1, keepdim=True)
    centre = torch.lerp(middle, target.centre, (difficulty * (follow + 0.5))[:, None, None])
    elevation = (0.1 + 0.22 * up)[:, None]
    back = torch.stack((azimuth.sin(), elevation.expand_as(azimuth), azimuth.cos()), -1)
    place = centre + away[..., None] * normalize(back, dim=-1)
    place = torch.cat((place[..., :1], place[..., 1:2].clamp(min=0.25), place[..., 2:]), -1)
    aim = metres[:, None] * torch.tensor([0.25 * width / height, 0.05], device=focal.device) / focal[:, None] * height
    aimed = centre + torch.stack((left * aim[:, 0] * 0.6, rise * aim[:, 1], 0 * left), -1)[:, None]
    return Camera(place, _looking(aimed - place), focal)


def frontal(target: Target, chance: Chance, height: int) -> Camera:
    """A camera for the reference picture: level, from the front, the target in the middle."""
    focal = target.metres * 0 + 2.0 * height
    back = torch.stack((chance.between("aside", -0.2, 0.2), 0 * focal + 0.06, 1 + 0 * focal), -1)
    place = (
        target.centre
        + (focal * target.metres / (target.share * height))[:, None, None] * normalize(back, dim=-1)[:, None]
    )
    return Camera(place, _looking(target.centre - place), focal)


def _looking(along: Tensor) -> Tensor:
    """The rows of the turn: right, down, forward."""
    forward = normalize(along, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0], device=along.device).expand_as(forward)
    right = normalize(torch.linalg.cross(forward, up), dim=-1)
    return torch.stack((right, torch.linalg.cross(forward, right), forward), -2)


def project(camera: Camera, points: Tensor, height: int, width: int) -> Tensor:
    """Pixels [B, T, n, 2] of places [B, T, n, 3] in the world."""
    local = ((points - camera.place[:, :, None])[..., None, :] * camera.turn[:, :, None]).sum(-1)
    middle = torch.tensor([width / 2, height / 2], device=points.device)
    return local[..., :2] / local[..., 2:].clamp(min=0.05) * camera.focal[:, None, None, None] + middle


def backdrop(chance: Chance, difficulty: float) -> Backdrop:
    """A place for each clip; at difficulty 0 plain floor before plain wall."""
    hue, saturation, value = chance.uniform("colours", 3, 5).unbind(1)
    colours = rgb(hue, 0.75 * saturation, 0.25 + 0.7 * value)
    near = (hue[:, :1], 0.75 * saturation[:, :1], (0.25 + 0.7 * value[:, :1] - 0.12))
    calm = colours * difficulty + rgb(*near) * (1 - difficulty)
    numbers = chance.table("numbers", {
        "floor_size": (0.25, 1.1), "wall_size": (0.25, 1.6), "distance": (1.6, 5.0), "turn": (-0.8, 0.8),
        "phase": (0, 6.28), "strength": (0.3, 1.0),
    })  # fmt: skip
    return Backdrop(
        floor=colours[:, 0], floor_second=calm[:, 1], wall=colours[:, 2], wall_second=calm[:, 3], extra=colours[:, 4],
        outdoors=(chance.uniform("outdoors") < 0.45 * difficulty).float(),
        floor_pattern=chance.chosen("floor", 2, 2, 1, 1, 2).float(),
        wall_pattern=chance.chosen("wall", 3, 1, 1, 1, 2).float(),
        windows=(chance.uniform("windows") < 0.35 * difficulty).float(),
        floor_size=numbers["floor_size"], wall_size=numbers["wall_size"], distance=numbers["distance"],
        turn=numbers["turn"], phase=numbers["phase"], strength=numbers["strength"] * (0.15 + 0.85 * difficulty),
    )  # fmt: skip


def things(chance: Chance, difficulty: float, frames: int) -> list[Solid]:
    """Pillars, balls and boulders behind the person."""
    hue, saturation, value = chance.uniform("things' colours", 3, THINGS).unbind(1)
    colours = rgb(hue, 0.8 * saturation, 0.25 + 0.65 * value)
    found = []
    for i in range(THINGS):
        n = chance.table(f"thing {i}", {"x": (-2.2, 2.2), "z": (-2.6, -0.9), "wide": (0.12, 0.4), "tall": (0.1, 1.3),
                                        "turn": (0, 3.0), "round": (0, 1)})  # fmt: skip
        tall = torch.where(n["round"] < 0.5, n["wide"], n["tall"])
        place = torch.stack((n["x"], tall * 0.95, n["z"]), -1)[:, None].expand(-1, frames, -1)
        radii = torch.stack((n["wide"], n["wide"], n["wide"] * 0.9), -1)
        thing = ball(place, about_y(n["turn"])[:, None].expand(-1, frames, -1, -1), radii, plain(colours[:, i]))
        standing = replace(thing, half=(tall / n["wide"] - 0.9).clamp(min=0)[:, None])
        found.append(standing.when(chance.happens(f"there {i}", 0.6 * difficulty)))
    return found
