"""The solids that a person is made of: rounded cones and ellipsoids, where they are and how they are coloured.

Knows figures and persons; no camera and no light. A `Solid` is a rounded cone along y in units of its radii, so one
kind of shape is limb, ball, disc and head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import face
from .figure import SIDES, Figure, length, palm
from .person import Person
from .turning import along, turned

HEAD = 0
"""The number of the head among a person's solids: the only one that is painted."""


@dataclass(frozen=True)
class Paint:
    """`first`: colour [B, 3] above `split` [B] (y, -1..1 from end to end), `second` in its `pattern`; `rest` below."""

    first: Tensor
    second: Tensor
    rest: Tensor
    split: Tensor
    pattern: Tensor
    frequency: Tensor

    def packed(self) -> Tensor:
        """[B, 12]."""
        numbers = torch.stack((self.split, self.pattern, self.frequency), -1)
        return torch.cat((self.first, self.second, self.rest, numbers), -1)


@dataclass(frozen=True)
class Solid:
    """All points within a radius of a line: from -half to half along y, radius `low` [B] there and `high` [B] here, all
    times `radii` [B, 3] (metres; `half` [B, T] as well), turned by `turn` [B, T, 3, 3] about `centre` [B, T, 3].
    """

    centre: Tensor
    turn: Tensor
    radii: Tensor
    half: Tensor
    low: Tensor
    high: Tensor
    paint: Paint

    def when(self, there: Tensor) -> Solid:
        """Only in the clips where `there` bool [B]; a solid without radius is never seen."""
        return replace(self, low=self.low * there, high=self.high * there)


def solids(person: Person, figure: Figure) -> list[Solid]:
    """Of a person in a pose, the head first."""
    found = [_head(person, figure), *_on_head(person, figure), *_hair(person, figure), *_hat(person, figure)]
    found += _trunk(person, figure)
    for side, _ in SIDES:
        found += [*_arm(person, figure, side), *_hand(person, figure, side), *_leg(person, figure, side)]
    return found


def plain(colour: Tensor) -> Paint:
    """One colour [B, 3] all over."""
    nothing = torch.zeros_like(colour[:, 0])
    return Paint(colour, colour, colour, nothing - 9, nothing, nothing)


def ball(centre: Tensor, turn: Tensor, radii: Tensor, paint: Paint) -> Solid:
    """An ellipsoid."""
    one = torch.ones_like(radii[:, 0])
    return Solid(centre, turn, radii, 0 * one[:, None], one, one, paint)


def limb(start: Tensor, end: Tensor, turn: Tensor, thick: Tensor, thin: Tensor, paint: Paint) -> Solid:
    """From `start` (radius `thick` metres [B, 1]) down to `end` (`thin`); `turn`'s y axis points back to the start."""
    radius = torch.maximum(thick, thin)
    half = (start - end).norm(dim=-1) / 2 / radius
    low, high = ((part / radius)[:, 0] for part in (thin, thick))
    return Solid((start + end) / 2, turn, radius.expand(-1, 3), half, low, high, paint)


# --- head -----------------------------------------------------------------------------------------


def _head(person: Person, figure: Figure) -> Solid:
    one = torch.ones_like(person.shape["chin"])
    half, paint = face.HALF * one[:, None], plain(person.colours["skin"])
    centre, turn = figure.joints["head"], figure.turns["head"]
    return Solid(centre, turn, face.radii(person), half, person.shape["chin"], one, paint)


def _at_head(
    person: Person, figure: Figure, u: Tensor | float, v: Tensor | float, w: Tensor | float, size: tuple[float, ...]
) -> Solid:
    """An ellipsoid in units of the head, hair-coloured."""
    unit = face.radii(person)
    side, up, front = (axis[:, None] for axis in unit.unbind(-1))
    place = figure.joints["head"] + turned(figure.turns["head"], u * side, v * up, w * front)
    return ball(
        place, figure.turns["head"], unit * torch.tensor(size, device=unit.device), plain(person.colours["hair"])
    )


def _on_head(person: Person, figure: Figure) -> list[Solid]:
    """Nose and ears."""
    skin, shape = person.colours["skin"], person.shape
    height = shape["eye_height"][:, None]
    nose = _at_head(person, figure, 0.0, height - 0.34, 1.02, (0.13, 0.14, 0.2))
    nose = replace(nose, radii=nose.radii * shape["nose"][:, None], paint=plain(skin * 0.96))
    ears = [_at_head(person, figure, sign * 0.98, height - 0.1, -0.05, (0.16, 0.24, 0.2)) for _, sign in SIDES]
    return [nose, *(replace(ear, radii=ear.radii * shape["ear"][:, None], paint=plain(skin * 0.93)) for ear in ears)]


def _hair(person: Person, figure: Figure) -> list[Solid]:
    """A cap, a mane behind, and two more for bun, tail or tufts."""
    style, shape = person.style["hair_style"], person.shape
    volume = shape["hair_volume"][:, None]
    # The more hair, the farther back, or it would hang over the eyes.
    cap = _at_head(person, figure, 0.0, 0.33, 1.15 - 1.3 * volume, (1.0, 1.0, 1.0))
    cap = replace(cap, radii=cap.radii * volume)
    drop = 0.3 + 0.8 * shape["hair_length"]
    mane = _at_head(person, figure, 0.0, -0.2 - 0.5 * drop[:, None], -0.55, (0.95, 0.6, 0.42))
    mane = replace(mane, half=0.9 * drop[:, None])
    knot = _at_head(person, figure, 0.0, 1.2, -0.55, (0.45, 0.4, 0.45))
    tail = _at_head(person, figure, 0.0, -0.1, -1.25, (0.3, 0.9, 0.28))
    tufts = [_at_head(person, figure, sign * 0.95, 0.75, -0.35, (0.45, 0.42, 0.42)) for _, sign in SIDES]
    extra = _either(_either(tufts[0], tail, style == 4), knot, style == 3)
    return [cap.when(style > 0), mane.when(style == 2), extra.when(style > 2), tufts[1].when(style == 5)]


def _either(other: Solid, one: Solid, where: Tensor) -> Solid:
    """`one` in the clips `where`, else the other."""
    place = torch.where(where[:, None, None], one.centre, other.centre)
    return replace(other, centre=place, radii=torch.where(where[:, None], one.radii, other.radii))


def _hat(person: Person, figure: Figure) -> list[Solid]:
    """Crown, brim and bobble."""
    style, paint = person.style["hat_style"], plain(person.colours["hat"])
    crown = _at_head(person, figure, 0.0, 0.8, -0.08, (1.1, 0.75, 1.14))
    peak = _at_head(person, figure, 0.0, 0.74, 0.75, (0.8, 0.07, 0.75))
    broad = _at_head(person, figure, 0.0, 0.74, -0.05, (1.8, 0.09, 1.8))
    bobble = _at_head(person, figure, 0.0, 1.62, -0.1, (0.32, 0.3, 0.32))
    band = replace(paint, first=person.colours["hat"] * 0.8)
    return [
        replace(crown, paint=paint).when(style > 0),
        replace(_either(peak, broad, style == 2), paint=band).when((style == 1) | (style == 2)),
        replace(bobble, paint=plain(person.colours["second"])).when(style == 3),
    ]


# --- body -----------------------------------------------------------------------------------------


def _trunk(person: Person, figure: Figure) -> list[Solid]:
    joints, turns, girth = figure.joints, figure.turns, person.shape["girth"]
    top = _cloth(person, "top", torch.full_like(girth, -9.0))
    neck = limb(joints["skull"], joints["neck"], turns["chest"], *_thick(person, 0.03, 0.034), _skin(person))
    up = length(person, 0.085)[:, 0]
    radii = torch.stack((length(person, 0.1, "shoulder")[:, 0], up, length(person, 0.066, "girth")[:, 0]), -1)
    half = (length(person, 0.235, "torso")[:, 0] / 2 - 0.75 * up) / up
    one = torch.ones_like(half)
    chest = Solid(
        torch.lerp(joints["waist"], joints["neck"], 0.46), turns["chest"], radii, half[:, None], 0.82 * one, one, top
    )
    belly = torch.cat([length(person, 0.082, "girth"), length(person, 0.08), length(person, 0.068, "belly")], -1)
    hips = torch.cat([length(person, 0.09, "hip", "girth"), length(person, 0.07), length(person, 0.07, "girth")], -1)
    middle = joints["waist"] + turned(turns["pelvis"], 0.0, 0.0, length(person, 0.012, "belly"))
    bottom = _cloth(person, "bottom", torch.full_like(girth, -9.0))
    plain_bottom = replace(bottom, pattern=0 * girth)
    return [
        neck, chest, ball(middle, turns["chest"], belly, top),
        ball(joints["pelvis"], turns["pelvis"], hips, plain_bottom), _skirt(person, figure, plain_bottom),
    ]  # fmt: skip


def _skirt(person: Person, figure: Figure, paint: Paint) -> Solid:
    knees = (figure.joints["knee_left"] + figure.joints["knee_right"]) / 2
    start = figure.joints["pelvis"]
    end = torch.lerp(start, knees, 0.85)
    turn = along(start - end, figure.turns["pelvis"][..., 2])
    cone = limb(start, end, turn, *_thick(person, 0.075, 0.11, "hip"), paint)
    return replace(cone, half=cone.half * 0.8).when(person.style["skirted"] == 1)


def _thick(person: Person, start: float, end: float, *names: str) -> tuple[Tensor, Tensor]:
    return length(person, start, *names), length(person, end, *names)


def _skin(person: Person) -> Paint:
    return plain(person.colours["skin"])


def _cloth(person: Person, name: str, split: Tensor) -> Paint:
    """Clothes down to `split` [B] (1: none, -1: all the way), skin below."""
    pattern = person.style["pattern"].float()
    colours = person.colours
    return Paint(colours[name], colours["second"], colours["skin"], split, pattern, person.shape["stripes"])


def _arm(person: Person, figure: Figure, side: str) -> list[Solid]:
    joints, turns, sleeve = figure.joints, figure.turns, person.shape["sleeve"]
    upper, fore = _cloth(person, "top", 1 - 2 * sleeve), _cloth(person, "top", 1 - 2 * (sleeve - 1))
    thick, middle = _thick(person, 0.034, 0.027, "limb")
    shoulder, elbow, wrist = (joints[f"{name}_{side}"] for name in ("shoulder", "elbow", "wrist"))
    return [
        limb(shoulder, elbow, turns[f"upper_{side}"], thick, middle, upper),
        limb(elbow, wrist, turns[f"fore_{side}"], middle, length(person, 0.02, "limb"), fore),
    ]


def _hand(person: Person, figure: Figure, side: str) -> list[Solid]:
    """A palm and five fingers of two pieces each."""
    gloved = (person.style["gloved"] == 1)[:, None]
    paint = plain(torch.where(gloved, person.colours["second"], person.colours["skin"]))
    hand, size = figure.turns[f"hand_{side}"], palm(person)
    middle = figure.joints[f"wrist_{side}"] + turned(hand, 0.0, -0.55 * size, 0.0)
    radii = size * torch.tensor([0.26, 0.6, 0.5], device=size.device)
    parts = [ball(middle, hand, radii, paint)]
    joints, thick = figure.fingers[side], 0.17 * size
    for finger in range(5):
        for first, last in ((0, 1), (1, 3)):
            start, end = joints[:, :, finger, first], joints[:, :, finger, last]
            parts.append(limb(start, end, along(start - end, hand[..., 2]), thick, thick * 0.85, paint))
    return parts


def _leg(person: Person, figure: Figure, side: str) -> list[Solid]:
    joints, turns, trouser = figure.joints, figure.turns, person.shape["trouser"]
    skirted = person.style["skirted"] == 1
    reach = torch.where(skirted, torch.full_like(trouser, -1.0), trouser)
    upper = replace(_cloth(person, "bottom", 1 - 2 * reach), pattern=0 * trouser)
    lower = replace(_cloth(person, "bottom", 1 - 2 * (reach - 1)), pattern=0 * trouser)
    hip, knee, ankle = (joints[f"{name}_{side}"] for name in ("hip", "knee", "ankle"))
    thick, middle = _thick(person, 0.05, 0.036, "limb")
    return [
        limb(hip, knee, turns[f"thigh_{side}"], thick, middle, upper),
        limb(knee, ankle, turns[f"shin_{side}"], middle, length(person, 0.025, "limb"), lower),
        _shoe(person, figure, side),
    ]


def _shoe(person: Person, figure: Figure, side: str) -> Solid:
    """From the heel to the toe."""
    toe, heel = (figure.joints[f"{name}_{side}"] for name in ("toe", "heel"))
    lift = turned(figure.turns[f"foot_{side}"], 0.0, length(person, 0.014), 0.0)
    turn = along(heel - toe, figure.turns[f"foot_{side}"][..., 1])
    return limb(heel + lift, toe + lift, turn, *_thick(person, 0.026, 0.026), plain(person.colours["shoes"]))
