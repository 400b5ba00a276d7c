"""Bone maps: which bone's which end is which keypoint, one data file for each family of rigs, and the choice of one.

Knows names only: neither where bones are (anatomy.py) nor Blender.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..wire import BadInput

SIDES = ("L", "R")
"""The person's left and right."""
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
LIMBS = tuple(f"{joint}.{s}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in SIDES)
"""The points without which no map fits; everything else can be derived or left out."""


def _order() -> Iterator[str]:
    yield "nose"
    yield from (f"{part}.{s}" for part in ("eye", "ear") for s in SIDES)
    yield from LIMBS
    yield from (f"{part}.{s}" for s in SIDES for part in ("bigtoe", "smalltoe", "heel"))
    yield from (f"face{i}" for i in range(68))
    for s in SIDES:
        yield f"hand.{s}"
        yield from (f"{finger}{i}.{s}" for finger in FINGERS for i in range(4))


ORDER = tuple(_order())
"""Names of the 133 keypoints in COCO-WholeBody's order; face points are numbered as in iBUG-68."""


def mirror_image(face_point: int) -> int:
    """Number of the face point on the other side, of the 68; points of the middle are their own."""
    pairs = ((0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67))  # rows that read from side to side
    eyes = {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
    if 27 <= face_point <= 30:
        return face_point
    if 36 <= face_point <= 47:
        return {**eyes, **{b: a for a, b in eyes.items()}}[face_point]
    return next(first + last - face_point for first, last in pairs if first <= face_point <= last)


@dataclass(frozen=True)
class Spot:
    """A place on a bone: 0 is its head, 1 its tail."""

    bone: str
    along: float = 0.0


@dataclass(frozen=True)
class BoneMap:
    """A family of rigs. `spots` gives for each point the places where it may be, best first."""

    name: str
    prefixes: tuple[str, ...]
    """Regular expressions of what bones' names may start with, best first."""
    spots: Mapping[str, tuple[Spot, ...]]


@dataclass(frozen=True)
class Fit:
    """A map as one rig's bones answer to it."""

    family: str
    spots: Mapping[str, Spot]
    """By point; bones by their full names."""
    missing: tuple[str, ...]
    """Points of the map that the rig has no bone for."""
    score: float
    """0–1: limbs count for one half, all points for the other."""


def read(file: Path) -> BoneMap:
    """The bone map in a TOML file. `bone@0.5|other` means half-way along `bone`, or else the head of `other`."""
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    spots = {
        point: tuple(_spots(text.format(side=data["sides"][side])))
        for side in SIDES
        for point, text in _texts(data, side)
    }
    return BoneMap(data["name"], tuple(data["prefixes"]), spots)


def _texts(data: Mapping[str, Any], side: str) -> Iterator[tuple[str, str]]:
    """The points on one side, and those of the middle, with the text of their places."""
    for name, text in data["points"].items():
        yield (f"{name}.{side}" if "{side}" in text else name), text
    for finger, bones in data.get("fingers", {}).items():
        for i, text in enumerate(bones):
            yield f"{finger}{i}.{side}", text
        yield f"{finger}{len(bones)}.{side}", "|".join(f"{bone}@1" for bone in bones[-1].split("|"))
    for number, text in data.get("face", {}).items():
        point = int(number)
        yield f"face{mirror_image(point) if side == 'L' and '{side}' in text else point}", text


def _spots(text: str) -> Iterator[Spot]:
    for place in text.split("|"):
        bone, _, along = place.partition("@")
        yield Spot(bone, float(along or 0))


@functools.cache
def families() -> tuple[BoneMap, ...]:
    """All maps of the folder `maps`."""
    return tuple(read(file) for file in sorted((Path(__file__).parent / "maps").glob("*.toml")))


def fit(family: BoneMap, bones: Collection[str]) -> Fit:
    """How far a rig with `bones` answers to `family`."""
    full = _full_names(family.prefixes, bones)
    places = {point: [s for s in spots if s.bone in full] for point, spots in family.spots.items()}
    found = {point: Spot(full[s[0].bone], s[0].along) for point, s in places.items() if s}
    limbs = sum(point in found for point in LIMBS)
    score = limbs / len(LIMBS) / 2 + len(found) / len(family.spots) / 2
    return Fit(family.name, found, tuple(point for point in family.spots if point not in found), score)


def _full_names(prefixes: Collection[str], bones: Collection[str]) -> dict[str, str]:
    """Bones by their names without prefix; where several are left with one name, the best prefix wins."""
    full: dict[str, str] = {}
    for prefix in reversed(tuple(prefixes)):
        for bone in bones:
            if match := re.match(prefix, bone):
                full[bone[match.end() :]] = bone
    return full


def choose(rig: str, bones: Collection[str]) -> Fit:
    """The map that fits the bones of `rig` best. Raises `BadInput` with the best guess when each lacks limbs."""
    best = max((fit(family, bones) for family in families()), key=lambda candidate: candidate.score)
    if lacking := [point for point in LIMBS if point not in best.spots]:
        raise BadInput(
            f"no bone map fits the rig {rig!r}: the best guess, {best.family}, finds {len(LIMBS) - len(lacking)} of "
            f"{len(LIMBS)} limb joints and lacks {', '.join(lacking[:4])}{' …' if len(lacking) > 4 else ''}; "
            f"use a rig of {', '.join(family.name for family in families())}"
        )
    return best
