"""A person's motion on the character's build: points in 3D before a camera sees them. Knows no rig and no camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from .rigs import ORDER, SIDES

Points = NDArray[np.float64]
"""[133, 3] in scene units, in COCO-WholeBody's order; NaN where a point is nowhere."""


@dataclass(frozen=True)
class Retarget:
    """How the character is built, compared with the rig: factors of lengths, 1 is the rig's own.

    Lengths are `scale` times the factor of their limb. The root goes up and down with the length of the legs, so that
    feet stay on the floor.
    """

    scale: float = 1.0
    x: float = 0.0
    """How far the figure is moved to the right of the picture, in heights of the picture."""
    y: float = 0.0
    """How far it is moved up."""
    trunk: float = 1.0
    """From the hips' middle to the shoulders' middle."""
    neck: float = 1.0
    """From the shoulders' middle to the head's."""
    head: float = 1.0
    """Size of the head with everything on it."""
    shoulders: float = 1.0
    hips: float = 1.0
    """Widths."""
    upper_arm: float = 1.0
    forearm: float = 1.0
    hand: float = 1.0
    """Size, with the fingers."""
    thigh: float = 1.0
    shank: float = 1.0
    foot: float = 1.0
    """Size, with toes and heel."""


LIMB_FACTORS = tuple(field.name for field in fields(Retarget) if field.name not in ("scale", "x", "y"))

_INDEX = {point: i for i, point in enumerate(ORDER)}
_HEAD = [i for i, point in enumerate(ORDER) if point.split(".")[0] in ("nose", "eye", "ear") or point[:4] == "face"]
_HEAD_MIDDLE = [_INDEX[point] for point in ("nose", "eye.L", "eye.R", "ear.L", "ear.R")]
_CHAINS = (
    ("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"),
    ("thigh", "hip", "knee"), ("shank", "knee", "ankle"),
)  # fmt: skip
"""Factor, parent and child, parents first."""
_LEG = _CHAINS[2:]


def _on_the_end(side: str) -> tuple[tuple[str, str, list[int]], ...]:
    """What moves as one with a wrist and with an ankle."""
    first = _INDEX[f"hand.{side}"]
    feet = [_INDEX[f"{part}.{side}"] for part in ("bigtoe", "smalltoe", "heel")]
    return ("hand", f"wrist.{side}", list(range(first, first + 21))), ("foot", f"ankle.{side}", feet)


def apply(points: Points, to: Retarget, floor: Points) -> Points:
    """`points` [133, 3] of a person as those of the character, in the same space; `x` and `y` are the camera's to add.

    `floor` [2, 3] is a point of the floor and the unit vector up from it. Without a change the same array comes back.
    """
    if replace(to, x=0.0, y=0.0) == Retarget():
        return points
    new = points.copy()
    factor = {name: to.scale * value for name, value in asdict(to).items() if name in LIMB_FACTORS}
    hips, shoulders, head = _middles(points)
    place, up = floor
    hips_there = (
        hips + (_leg(points, factor) / _leg(points, dict.fromkeys(factor, 1.0)) - 1) * ((hips - place) @ up) * up
    )
    shoulders_there = hips_there + factor["trunk"] * (shoulders - hips)
    new[_HEAD] = shoulders_there + factor["neck"] * (head - shoulders) + factor["head"] * (points[_HEAD] - head)
    for s in SIDES:
        for width, joint, old, there in (
            ("hips", f"hip.{s}", hips, hips_there), ("shoulders", f"shoulder.{s}", shoulders, shoulders_there),
        ):  # fmt: skip
            new[_INDEX[joint]] = there + factor[width] * (points[_INDEX[joint]] - old)
        for limb, parent, child in _CHAINS:
            a, b = _INDEX[f"{parent}.{s}"], _INDEX[f"{child}.{s}"]
            new[b] = new[a] + factor[limb] * (points[b] - points[a])
        for part, joint, members in _on_the_end(s):
            j = _INDEX[joint]
            new[members] = new[j] + factor[part] * (points[members] - points[j])
    return new


def between(rig: Points, character: Points) -> Retarget:
    """What makes the lengths of `rig` those of `character`, both at rest; lengths that either lacks stay as they are.

    `scale` is the ratio of their heights, so that the factors are the difference in build. Left and right are one.
    """
    ours, theirs = dict(_lengths(rig)), dict(_lengths(character))
    scale = theirs["thigh"] + theirs["shank"] + theirs["trunk"]
    scale /= ours["thigh"] + ours["shank"] + ours["trunk"]
    factors = {name: theirs[name] / ours[name] / scale for name in LIMB_FACTORS if ours[name] > 0 and theirs[name] > 0}
    return Retarget(scale=scale, **factors)


def _lengths(points: Points) -> Iterator[tuple[str, float]]:
    """The measures that the factors are about, the mean of both sides; NaN where points are nowhere."""
    hips, shoulders, head = _middles(points)
    at = {name: points[i] for name, i in _INDEX.items()}

    def both(a: str, b: str) -> float:
        return float(np.mean([np.linalg.norm(at[f"{a}.{s}"] - at[f"{b}.{s}"]) for s in SIDES]))

    yield "trunk", float(np.linalg.norm(shoulders - hips))
    yield "neck", float(np.linalg.norm(head - shoulders))
    yield "head", float(np.linalg.norm(at["ear.L"] - at["ear.R"]))
    yield "shoulders", float(np.linalg.norm(at["shoulder.L"] - at["shoulder.R"]))
    yield "hips", float(np.linalg.norm(at["hip.L"] - at["hip.R"]))
    yield from ((limb, both(parent, child)) for limb, parent, child in _CHAINS)
    yield "hand", both("hand", "middle0")
    yield "foot", both("ankle", "bigtoe")


def _middles(points: Points) -> tuple[Points, Points, Points]:
    """Of hips, shoulders and head: the mean of what is known of nose, eyes and ears."""
    hips, shoulders = ((points[_INDEX[f"{part}.L"]] + points[_INDEX[f"{part}.R"]]) / 2 for part in ("hip", "shoulder"))
    known = [i for i in _HEAD_MIDDLE if np.isfinite(points[i]).all()]
    return hips, shoulders, points[known].mean(axis=0) if known else np.full(3, np.nan)


def _leg(points: Points, factor: dict[str, float]) -> float:
    """Length of a leg with each piece as long as `factor` says."""
    pieces = [(factor[limb], _INDEX[f"{a}.{s}"], _INDEX[f"{b}.{s}"]) for limb, a, b in _LEG for s in SIDES]
    return sum(times * float(np.linalg.norm(points[a] - points[b])) for times, a, b in pieces)
