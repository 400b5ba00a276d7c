"""Bone maps: which bone's which end is which keypoint, one data file for each family of rigs.

Knows names only: neither where bones are (anatomy.py) nor Blender.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..wire import BadInput
from .points import ASSIGNABLE, LIMBS, SIDES, mirror_image, other_name

SIDE = "{side}"
"""In the file of a map, what stands for the words that a family has for left and right."""


@dataclass(frozen=True)
class Spot:
    """A place on a bone: 0 is its head, 1 its tail."""

    bone: str
    along: float = 0.0
    sure: float = 1.0
    """0–1: 1 unless the place was guessed. Not part of the text."""

    def __str__(self) -> str:
        return f"{self.bone}@{self.along:g}"


def spot(text: str) -> Spot:
    """The place that `str(spot)` wrote, such as "forearm.L@0.5"; without @ it is the bone's head."""
    written = re.fullmatch(r"(.*)@(-?[\d.]+(?:e-?\d+)?)", text, re.DOTALL)
    return Spot(written[1], float(written[2])) if written else Spot(text)


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
    """Points that are looked for and for which the rig has no bone."""

    @property
    def score(self) -> float:
        """0–1: limbs count for one half, all points for the other, each as much as it is sure."""
        limbs = sum(self.spots[point].sure for point in LIMBS if point in self.spots)
        everything = sum(spot.sure for spot in self.spots.values())
        return limbs / len(LIMBS) / 2 + everything / (len(self.spots) + len(self.missing)) / 2

    @property
    def lacking(self) -> tuple[str, ...]:
        """The limbs' joints for which no bone was found: while there are any, nothing can be read off the rig."""
        return tuple(point for point in LIMBS if point not in self.spots)

    def spot(self, point: str) -> Spot | None:
        """Where a keypoint is: big toe and small toe are in the same place on most rigs."""
        return self.spots.get(point) or self.spots.get(other_name(point))


# --- files --------------------------------------------------------------------------------------------


def read(file: Path) -> BoneMap:
    """The bone map in a TOML file. Raises `BadInput` where the file is none.

    `elbow = ["bone.{side}@0.5", "other.{side}"]` means half-way along `bone`, or else the head of `other`, on either of
    the `sides`; `"elbow.L" = "bone"` is one point alone.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        spots = {point: places for side in SIDES for point, places in _places(data, side)}
        bonemap = BoneMap(str(data.get("name", file.stem)), tuple(data.get("prefixes", [""])), spots)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"the bone map {file} cannot be read ({error}); choose another file") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{file.name} is no bone map ({error!r}); choose a file that was saved as one") from error
    known = {*ASSIGNABLE, *map(other_name, ASSIGNABLE)}
    if unknown := sorted(set(spots) - known):
        raise BadInput(f"{file.name} maps {unknown[0]!r}, which is no keypoint; use names such as 'elbow.L'")
    return bonemap


def _places(data: Mapping[str, Any], side: str) -> Iterator[tuple[str, tuple[Spot, ...]]]:
    """The points on one side, and those of the middle, with their places."""
    for point, given in _texts(data, side):
        texts = (given,) if isinstance(given, str) else given
        called = data.get("sides", {}).get(side, SIDE)
        yield point, tuple(spot(text.replace(SIDE, called)) for text in texts)


def _texts(data: Mapping[str, Any], side: str) -> Iterator[tuple[str, Any]]:
    for name, given in data["points"].items():
        yield (f"{name}.{side}" if "sides" in data and SIDE in str(given) else name), given
    for finger, bones in data.get("fingers", {}).items():
        for i, given in enumerate(bones):
            yield f"{finger}{i}.{side}", given
        if len(bones) == 3:  # no bone of its own for the tip
            last = (bones[2],) if isinstance(bones[2], str) else bones[2]
            yield f"{finger}3.{side}", [f"{bone}@1" for bone in last]
    for number, given in data.get("face", {}).items():
        point = int(number)
        yield f"face{mirror_image(point) if side == 'L' and SIDE in given else point}", given


def write(name: str, spots: Mapping[str, Spot]) -> str:
    """TOML of a map of one rig's own bones, which `read` takes again."""
    lines = [f"name = {_quoted(name)}", 'prefixes = [""]', "", "[points]"]
    return "\n".join([*lines, *(f"{_quoted(point)} = {_quoted(str(spot))}" for point, spot in spots.items()), ""])


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@functools.cache
def families() -> tuple[BoneMap, ...]:
    """All maps of the folder `maps`."""
    return tuple(read(file) for file in sorted((Path(__file__).parent / "maps").glob("*.toml")))


# --- fits ---------------------------------------------------------------------------------------------


def fit(family: BoneMap, bones: Collection[str]) -> Fit:
    """How far a rig with `bones` answers to `family`."""
    full = _full_names(family.prefixes, bones)
    places = {point: [s for s in spots if s.bone in full] for point, spots in family.spots.items()}
    found = {point: Spot(full[s[0].bone], s[0].along) for point, s in places.items() if s}
    return Fit(family.name, found, tuple(point for point in family.spots if point not in found))


def _full_names(prefixes: Collection[str], bones: Collection[str]) -> dict[str, str]:
    """Bones by their names without prefix; where several are left with one name, the best prefix wins."""
    full: dict[str, str] = {}
    for prefix in reversed(tuple(prefixes)):
        for bone in bones:
            if match := re.match(prefix, bone):
                full[bone[match.end() :]] = bone
    return full
