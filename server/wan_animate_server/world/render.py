"""From solids, a backdrop and lights to pictures. Knows numbers only: neither persons nor motions.

Every pass is pointwise after one reduction over the solids, so that a compiler fuses it into a few kernels that write
nothing but the pictures; eagerly, on a CPU, the same code runs a few frames at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from . import face
from .scene import Backdrop, Camera, Light
from .shapes import HEAD, Solid
from .visibility import NONE, Hit, meet


class View(NamedTuple):
    """One picture each of N: rays through the picture's left upper corner and from sample to sample, the camera's place
    [N, 3] and turn [N, 3, 3], the solids as `packed` [N, K, 16], their paint [N, K, 12], the face and the backdrop.
    """

    corner: Tensor
    step: Tensor
    place: Tensor
    turn: Tensor
    solids: Tensor
    paints: Tensor
    features: face.Features
    backdrop: Backdrop


class Lamp(NamedTuple):
    """A light as N pictures see it: `direction` [N, 3] in the world, `towards` [N, 3] and `up` [N, 3] in the camera's
    frame, `colour` and `ambient` [N, 3], `shadows` [N, J, 4] on the floor: x, z, radius, darkness.
    """

    direction: Tensor
    towards: Tensor
    up: Tensor
    colour: Tensor
    ambient: Tensor
    shadows: Tensor


class Surface(NamedTuple):
    """What each ray meets first among the solids: `albedo` and `normal` (camera's frame) [N, P, 3], `there` and
    `person` [N, P], 0 or 1."""

    albedo: Tensor
    normal: Tensor
    there: Tensor
    person: Tensor


# --- tables ---------------------------------------------------------------------------------------


def packed(solids: Sequence[Solid], camera: Camera) -> tuple[Tensor, Tensor]:
    """Solids as `camera` sees them [B, T, K, 16], rows as `visibility` has them, and their paint [B, K, 12]."""
    centre = torch.stack([solid.centre for solid in solids], 2) - camera.place[:, :, None]
    centre = (camera.turn[:, :, None] @ centre[..., None])[..., 0]
    turn = camera.turn[:, :, None] @ torch.stack([solid.turn for solid in solids], 2)
    radii = torch.stack([solid.radii for solid in solids], 1)[:, None]
    matrix = turn.transpose(-1, -2) / radii[..., None]
    frames = centre.shape[1]
    half = torch.stack([solid.half.expand(-1, frames) for solid in solids], 2)
    low, high = (torch.stack([getattr(solid, end) for solid in solids], 1)[:, None] for end in ("low", "high"))
    growth = (high - low) / (2 * half).clamp(min=1e-3) * (half > 0)
    middle = torch.where(half > 0, (high + low) / 2, high)
    numbers = torch.stack((half, middle, growth, 0 * half), -1)
    table = torch.cat((matrix.flatten(-2), centre, numbers), -1)
    return table, torch.stack([solid.paint.packed() for solid in solids], 1)


def lamp(light: Light, camera: Camera, feet: Tensor) -> Lamp:
    """`light` for all frames of `camera`, flat [B·T, …]; `feet` [B, T, J, 4] = x, y, z, radius of what shades."""
    frames = camera.place.shape[1]
    direction = light.direction[:, None].expand(-1, frames, -1)
    towards = (camera.turn @ direction[..., None])[..., 0]
    slope = direction[..., [0, 2]] / direction[..., 1:2].clamp(min=0.35)
    height = feet[..., 1].clamp(min=0)
    place = feet[..., [0, 2]] - slope[:, :, None] * height[..., None]
    radius = feet[..., 3] * (1 + 0.5 * height)
    dark = 0.55 / (1 + 0.6 * height)
    shadows = torch.cat((place, radius[..., None], dark[..., None]), -1)
    colour, ambient = (part[:, None].expand(-1, frames, -1) for part in (light.colour, light.ambient))
    parts = (direction, towards, camera.turn[..., 1], colour, ambient, shadows)
    return Lamp(*(part.flatten(0, 1) for part in parts))


# --- rays -----------------------------------------------------------------------------------------


def rays(view: View, height: int, width: int) -> tuple[Tensor, Tensor]:
    """x, y [N, P] of the rays (x, y, 1) through all samples, row by row."""
    columns = torch.arange(width, device=view.corner.device) + 0.5
    rows = torch.arange(height, device=view.corner.device) + 0.5
    x = view.corner[:, 0, None] + view.step[:, 0, None] * columns
    y = view.corner[:, 1, None] + view.step[:, 1, None] * rows
    shape = (-1, height, width)
    return x[:, None].expand(*shape).flatten(1), y[:, :, None].expand(*shape).flatten(1)


# --- surfaces -------------------------------------------------------------------------------------


def surface(view: View, found: Tensor, persons: int) -> Surface:
    """The first surface along each ray: `found` [N, H, W] by `visibility.first`; the first `persons` of the solids are
    the person's.
    """
    x, y = rays(view, found.shape[1], found.shape[2])
    flat = found.flatten(1).long()
    there, person = (flat != NONE).float(), (flat < persons).float()
    number = torch.where(flat != NONE, flat, 0)
    row = [column.gather(1, number) for column in view.solids.unbind(-1)]
    hit = meet(row, x, y)
    blur = (hit.depth * view.step[:, 0, None].abs() * (row[0] ** 2 + row[1] ** 2 + row[2] ** 2).sqrt()).clamp(0.02, 1)
    albedo = _clothed(view.paints, number, hit, row)
    skinned = _head(view, albedo, hit, blur)
    albedo = torch.where((number == HEAD)[..., None], skinned, albedo)
    return Surface(albedo, _normal(hit, row), there, person)


def _normal(hit: Hit, row: Sequence[Tensor]) -> Tensor:
    """Unit vectors [N, P, 3] in the camera's frame."""
    x, z = hit.x, hit.z
    y = hit.y - hit.line - row[14] * (row[13] + row[14] * hit.line)
    axes = [row[i] * x + row[3 + i] * y + row[6 + i] * z for i in range(3)]
    return normalize(torch.stack(axes, -1), dim=-1, eps=1e-6)


def _clothed(paints: Tensor, number: Tensor, hit: Hit, row: Sequence[Tensor]) -> Tensor:
    """The colour of the clothes or of the skin beside them [N, P, 3]."""
    first, second, rest = (
        torch.stack([paints[..., start + i].gather(1, number) for i in range(3)], -1) for start in (0, 3, 6)
    )
    split, pattern, frequency = (paints[..., i].gather(1, number) for i in (9, 10, 11))
    end = row[12] + row[13]
    height = hit.y / end.clamp(min=1e-3)
    around = torch.atan2(hit.x, hit.z)
    rings, stripes = (frequency * height * 0.8).sin(), (frequency * around * 0.7).sin()
    wave = torch.where(pattern == 1, rings, torch.where(pattern == 2, stripes, rings * stripes))
    wave = torch.where(pattern == 3, wave - 0.45, wave)
    share = ((0.5 + 3.0 * wave).clamp(0, 1) * (pattern > 0))[..., None]
    cloth = first + (second - first) * share
    return torch.where((height > split)[..., None], cloth, rest)


def _head(view: View, skin: Tensor, hit: Hit, blur: Tensor) -> Tensor:
    """The painted head [N, P, 3]: face in front, hair above and behind."""
    features = face.Features(*(part[:, None] for part in view.features))
    painted = face.paint(hit.x, hit.y, skin, features, blur)
    front = (hit.z * 8).clamp(0, 1)[..., None]
    colour = skin + (painted - skin) * front
    hair = face.haired(hit.x, hit.y, hit.z, features, blur)[..., None]
    return colour + (features.hair - colour) * hair


# --- light ----------------------------------------------------------------------------------------


def lit(found: Surface, lamp: Lamp) -> Tensor:
    """The colour [N, P, 3] of surfaces under a lamp: soft shading, light from above, a rim."""
    towards = (found.normal * lamp.towards[:, None]).sum(-1, keepdim=True)
    above = (found.normal * lamp.up[:, None]).sum(-1, keepdim=True)
    edge = (1 + found.normal[..., 2:]).clamp(0, 1) ** 3
    direct = ((towards + 0.25) / 1.25).clamp(min=0)
    rim = 0.35 * edge * (towards + 0.6).clamp(0, 1)
    return found.albedo * (lamp.ambient[:, None] * (0.8 + 0.2 * above) + lamp.colour[:, None] * (direct + rim))


class Ground(NamedTuple):
    """What is behind all solids: `albedo` [N, P, 3], `upright` [N, P] (1 on walls), `sky` [N, P] (1 there), x, z [N, P]
    on the floor."""

    albedo: Tensor
    upright: Tensor
    sky: Tensor
    x: Tensor
    z: Tensor


def ground(view: View, height: int, width: int) -> Ground:
    """Floor and wall, or ground, hills and sky, along each of `height`×`width` rays."""
    x, y = rays(view, height, width)
    b = Backdrop(*(part[:, None] for part in view.backdrop))
    dx, dy, dz = (view.turn[:, 0, None, i] * x + view.turn[:, 1, None, i] * y + view.turn[:, 2, None, i]
                  for i in range(3))  # fmt: skip
    px, py, pz = (view.place[:, i, None] for i in range(3))
    down = py / (-dy).clamp(min=1e-4)
    back = (pz + b.distance) / (-dz).clamp(min=1e-3)
    floor = (dy < -1e-4) & ((down < back) | (b.outdoors > 0))
    reach = torch.where(floor, down, back)
    gx, gz, gy = px + reach * dx, pz + reach * dz, py + reach * dy
    footprint = reach * view.step[:, 0, None]
    below = _floor(b, gx, gz, footprint)
    wall = torch.where((b.outdoors > 0)[..., None], _sky(b, dx, dy, dz), _wall(b, gx, gy, footprint))
    colour = torch.where(floor[..., None], below, wall)
    upright = (~floor).float()
    return Ground(colour, upright, upright * b.outdoors, gx, gz)


def _pattern(kind: Tensor, u: Tensor, v: Tensor, size: Tensor, footprint: Tensor) -> Tensor:
    """0..1 [N, P]: plain, checks, stripes, dots, patches; fades where it gets finer than the samples."""
    u, v = torch.pi * u / size, torch.pi * v / size
    stripes = u.sin()
    patches = (1.3 * u + 1.7 * (0.6 * v).sin()).sin() + (0.9 * v + 1.4 * (0.5 * u).sin()).sin()
    wave = torch.where(kind == 1, stripes * v.sin() * 4, torch.where(kind == 2, stripes * 2, torch.where(
        kind == 3, (stripes * v.sin()).abs() * 4 - 2, patches * 0.7)))  # fmt: skip
    return (0.5 + wave).clamp(0, 1) * (kind > 0) * (1.2 - 2 * footprint / size).clamp(0, 1)


def _floor(b: Backdrop, x: Tensor, z: Tensor, footprint: Tensor) -> Tensor:
    u, v = x * b.turn.cos() + z * b.turn.sin(), z * b.turn.cos() - x * b.turn.sin()
    share = _pattern(b.floor_pattern, u, v, b.floor_size, footprint) * b.strength
    return b.floor + (b.floor_second - b.floor) * share[..., None]


def _wall(b: Backdrop, x: Tensor, y: Tensor, footprint: Tensor) -> Tensor:
    """A patterned wall that darkens upwards, a skirting board, and windows or pictures at times."""
    share = _pattern(b.wall_pattern, x, y, b.wall_size, footprint) * b.strength
    colour = b.wall + (b.wall_second - b.wall) * share[..., None]
    u, v = ((x + b.phase) / 1.6) % 1.0 - 0.5, (y - 1.55) / 1.1
    hole = ((u.abs() < 0.32) & (v.abs() < 0.5) & (b.windows > 0))[..., None]
    colour = torch.where(hole, b.extra, colour)
    board = ((y < 0.12) | ((u.abs() - 0.34).abs() < 0.025) & (v.abs() < 0.53) & (b.windows > 0))[..., None]
    return torch.where(board, colour * 0.6, colour) * (1.05 - 0.06 * y).clamp(0.6, 1.1)[..., None]


def _sky(b: Backdrop, dx: Tensor, dy: Tensor, dz: Tensor) -> Tensor:
    """Brighter towards the horizon, clouds at times, hills before it."""
    length = (dx * dx + dy * dy + dz * dz).sqrt()
    up, bearing = dy / length, torch.atan2(dx, -dz)
    share = (up * 2.2).clamp(0, 1)[..., None]
    sky = (0.55 + 0.45 * b.wall) * (1 - share) + b.wall * share
    cloud = ((6 * bearing + b.phase).sin() + (17 * up + 3 * bearing).sin() - 0.7).clamp(0, 1) * b.strength
    sky = sky + (0.95 - sky) * (0.7 * cloud)[..., None]
    ridge = 0.05 + 0.05 * (5 * bearing + b.phase).sin() + 0.025 * (13 * bearing + 2 * b.phase).sin()
    hills = b.extra * (0.75 + 2 * up)[..., None]
    return torch.where((up < ridge)[..., None], hills, sky)


def lit_ground(found: Ground, lamp: Lamp) -> Tensor:
    """The colour [N, P, 3] of what is behind all solids, with soft shadows on the floor."""
    high, deep = lamp.direction[:, 1:2], lamp.direction[:, 2:3]
    facing = torch.where(found.upright > 0, deep.clamp(min=0.1), high.clamp(min=0.1))
    facing = torch.where(found.sky > 0, torch.full_like(facing, 0.8), facing)
    light = lamp.ambient[:, None] + lamp.colour[:, None] * (facing * (1 - _shadow(found, lamp)))[..., None]
    return found.albedo * light


def _shadow(found: Ground, lamp: Lamp) -> Tensor:
    """How much of the direct light is kept off [N, P]."""
    bright = torch.ones_like(found.x)
    for x, z, radius, dark in (blob.unbind(-1) for blob in lamp.shadows[:, None].unbind(2)):
        away = (found.x - x) ** 2 + (found.z - z) ** 2
        bright = bright * (1 - dark * torch.exp(-away / (radius * radius)))
    return (1 - bright) * (1 - found.upright)


# --- pictures -------------------------------------------------------------------------------------


def averaged(samples: Tensor, found: Tensor, across: int) -> Tensor:
    """uint8 [N, H, W, …] of samples [N, P, …], 0..1, `across`² to a pixel; `found` [N, rows, columns] says how many."""
    count, rows, columns = found.shape
    grid = samples.reshape(count, rows // across, across, columns // across, across, *samples.shape[2:])
    mean: Tensor = grid.clamp(0, 1).mean((2, 4))
    return (mean * 255 + 0.5).to(torch.uint8)
