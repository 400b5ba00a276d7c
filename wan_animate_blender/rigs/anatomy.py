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

from .bonemap import Fit, Spot
from .points import FINGERS, LIMBS, ORDER, SIDES, mirror_image, other_name
from .rig import Array, Bone

# Derived points are as sure as the head bone they hang on, but not where on the head they are. Body points stay
# above the 0.5 from which the model's skeleton is drawn, face points, which nobody draws, do not.
DERIVED, DERIVED_FACE = 0.6, 0.3

HEAD_SIZE = 0.25, 0.75
"""Bounds of a head's size in lengths of the trunk: head bones of some importers are a stub or reach far out."""
HEEL = 0.16, 0.45
"""How far a heel lies behind and below the ankle, in lengths of the foot from ankle to toe (Rigify's metarig)."""


TIPS = ("toe", *(f"{finger}3" for finger in FINGERS))
"""Points at the end of a chain."""
FEET = "ankle", "heel", "toe", "bigtoe", "smalltoe"
SIDEWAYS = 0.5
"""Cosine of the angle by which a finger's or toe's last bone may turn off from the one before. Importers of FBX and
glTF let bones without children point anywhere; such a tip is put where the chain goes on."""


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
    floor: Array
    """[2, 3] in the rig's space: a point of the floor that it stands on at rest, and the unit vector up from there."""


@dataclass(frozen=True)
class _Place:
    bone: str
    position: Array
    confidence: float = 1.0


def bind(fit: Fit, rest: Mapping[str, Bone]) -> Binding:
    """Attach the 133 keypoints to the bones of a rig. `rest` has all bones that `fit` names, and their parents."""
    places = {point: _place(point, fit, rest) for point in fit.spots}
    for point, place in _derived(fit.spots, rest, places):
        places.setdefault(point, place)
    row = [places.get(point) or places.get(other_name(point)) for point in ORDER]
    bones = tuple(dict.fromkeys(place.bone for place in row if place))
    inverse = {name: np.linalg.inv(rest[name].matrix) for name in bones}
    local = [inverse[p.bone] @ [*p.position, 1.0] if p else np.full(4, np.nan) for p in row]
    return Binding(
        bones=bones,
        index=np.array([bones.index(p.bone) if p else 0 for p in row], dtype=np.intp),
        local=np.array(local),
        confidence=np.array([p.confidence if p and np.isfinite(p.position).all() else 0.0 for p in row]),
        floor=_floor(places),
    )


def at_rest(binding: Binding, rest: Mapping[str, Bone]) -> Array:
    """The keypoints [133, 3] of the rig at rest, in its own space."""
    matrices = np.array([rest[name].matrix for name in binding.bones])
    points: Array = np.einsum("kij,kj->ki", matrices[binding.index], binding.local)[:, :3]
    return points


def _place(point: str, fit: Fit, rest: Mapping[str, Bone]) -> _Place:
    spot = fit.spots[point]
    bone = rest[spot.bone]
    before = rest.get(bone.parent)
    turns = spot.bone in {fit.spots[f"ankle.{s}"].bone for s in SIDES}  # a foot does not go on with the shank
    if spot.along == 1.0 and before and not turns and point.partition(".")[0] in TIPS:
        way, on = bone.at(0) - before.at(0), bone.at(1) - bone.at(0)
        if way @ on < SIDEWAYS * np.linalg.norm(way) * np.linalg.norm(on):
            return _Place(spot.bone, bone.at(0) + way, min(spot.sure, DERIVED))
    return _Place(spot.bone, bone.at(spot.along), spot.sure)


def _floor(places: Mapping[str, _Place]) -> Array:
    """Below the hips, as far down as the lowest point of the feet."""
    joints = {point: places[point].position for point in LIMBS}
    _, up, _, _ = _axes(joints)
    hips = (joints["hip.L"] + joints["hip.R"]) / 2
    feet = [places[f"{part}.{s}"].position for part in FEET for s in SIDES if f"{part}.{s}" in places]
    return np.array([hips + min((foot - hips) @ up for foot in feet) * up, up])


def _derived(
    spots: Mapping[str, Spot], rest: Mapping[str, Bone], places: Mapping[str, _Place]
) -> Iterator[tuple[str, _Place]]:
    """Heels, and what a head has, guessed from the build of a person standing at rest."""
    left, up, forward, trunk = _axes({point: places[point].position for point in LIMBS})
    for s in SIDES:
        ankle = places[f"ankle.{s}"]
        if toe := places.get(f"toe.{s}") or places.get(f"bigtoe.{s}"):
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
    with np.errstate(invalid="ignore"):  # NaN, and so nowhere, when shoulders and hips were assigned to one line
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
