"""Where the 133 keypoints are attached to a rig's bones, those included that the rig has no bone for.

Numbers only: a rig is the rest matrices of its bones. Knows neither Blender nor any family of rigs.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import LIMBS, ORDER, SIDES, Fit, Spot, mirror_image

Array = NDArray[np.float64]

SAME = {"hand": "wrist", "bigtoe": "toe", "smalltoe": "toe"}
"""Keypoints at a point of another name: rigs have one row of toes, in whose middle both toe points lie."""

# Derived points are as sure as the head bone they hang on, but not where on the head they are. Body points stay
# above the 0.5 from which the model's skeleton is drawn, face points, which nobody draws, do not.
DERIVED, DERIVED_FACE = 0.6, 0.3

HEAD_SIZE = 0.25, 0.75
"""Bounds of a head's size in lengths of the trunk: head bones of some importers are a stub or reach far out."""
HEEL = 0.16, 0.45
"""How far a heel lies behind and below the ankle, in lengths of the foot from ankle to toe (Rigify's metarig)."""


@dataclass(frozen=True)
class Bone:
    """A bone at rest: 4×4 matrix in the rig's space, and length (y is along the bone)."""

    matrix: Array
    length: float

    def at(self, along: float) -> Array:
        place: Array = (self.matrix @ [0.0, along * self.length, 0.0, 1.0])[:3]
        return place


@dataclass(frozen=True)
class Binding:
    """What to read off a posed rig: keypoint k is `matrix(bones[index[k]]) @ local[k]`, for sure to `confidence[k]`."""

    bones: tuple[str, ...]
    index: NDArray[np.intp]
    """[133]; of a point that is nowhere the number is 0 and the place NaN."""
    local: Array
    """[133, 4]: place in its bone's own space, homogeneous."""
    confidence: Array
    """[133], 0–1."""


@dataclass(frozen=True)
class _Place:
    bone: str
    position: Array
    confidence: float = 1.0


def bind(fit: Fit, rest: Mapping[str, Bone]) -> Binding:
    """Attach the 133 keypoints to the bones of a rig whose `rest` has all bones that `fit` names."""
    places = {point: _Place(s.bone, rest[s.bone].at(s.along)) for point, s in fit.spots.items()}
    for point, place in _derived(fit.spots, rest, places):
        places.setdefault(point, place)
    row = [places.get(_named(point)) for point in ORDER]
    bones = tuple(dict.fromkeys(place.bone for place in row if place))
    inverse = {name: np.linalg.inv(rest[name].matrix) for name in bones}
    local = [inverse[p.bone] @ [*p.position, 1.0] if p else np.full(4, np.nan) for p in row]
    return Binding(
        bones=bones,
        index=np.array([bones.index(p.bone) if p else 0 for p in row], dtype=np.intp),
        local=np.array(local),
        confidence=np.array([p.confidence if p else 0.0 for p in row]),
    )


def _named(point: str) -> str:
    part, _, side = point.partition(".")
    return f"{SAME[part]}.{side}" if part in SAME else point


def _derived(
    spots: Mapping[str, Spot], rest: Mapping[str, Bone], places: Mapping[str, _Place]
) -> Iterator[tuple[str, _Place]]:
    """Heels, and what a head has, guessed from the build of a person standing at rest."""
    left, up, forward, trunk = _axes({point: places[point].position for point in LIMBS})
    for s in SIDES:
        ankle = places[f"ankle.{s}"]
        if toe := places.get(f"toe.{s}"):
            foot = float(np.linalg.norm(toe.position - ankle.position))
            heel = ankle.position - foot * (HEEL[0] * forward + HEEL[1] * up)
            yield f"heel.{s}", _Place(ankle.bone, heel, DERIVED)
    if "head" in spots:
        head = spots["head"].bone
        size = float(np.clip(rest[head].length, HEAD_SIZE[0] * trunk, HEAD_SIZE[1] * trunk))
        frame = size * np.stack([left, up, forward])
        for point, offset in head_points().items():
            sure = DERIVED_FACE if point.startswith("face") else DERIVED
            yield point, _Place(head, rest[head].at(0) + offset @ frame, sure)


def _axes(joint: Mapping[str, Array]) -> tuple[Array, Array, Array, float]:
    """Unit vectors to the person's left, up and forward, and the length from hips to shoulders."""
    hips, shoulders = ((joint[f"{part}.L"] + joint[f"{part}.R"]) / 2 for part in ("hip", "shoulder"))
    left = joint["shoulder.L"] - joint["shoulder.R"]
    left = left / np.linalg.norm(left)
    up = (shoulders - hips) - ((shoulders - hips) @ left) * left
    up = up / np.linalg.norm(up)
    return left, up, np.cross(left, up), float(np.linalg.norm(shoulders - hips))


@functools.cache
def head_points() -> Mapping[str, Array]:
    """Points of a head by name: to the left, up and forward of the head bone's head, in lengths of the head bone."""
    table = tomllib.loads((Path(__file__).parent / "head.toml").read_text(encoding="utf-8"))
    places: dict[str, Array] = {}
    for name, place in table.items():
        there = np.array(place, np.float64)
        places[f"face{name}" if name.isdigit() else name] = there
        mirrored = there * [-1.0, 1.0, 1.0]
        if name.isdigit():
            places[f"face{mirror_image(int(name))}"] = mirrored
        elif place[0]:
            del places[name]
            places |= {f"{name}.L": mirrored, f"{name}.R": there}
    return places
