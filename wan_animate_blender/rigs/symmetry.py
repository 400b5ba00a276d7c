"""What the shape of a rig at rest says about its limbs: which bones are twins, which chains are legs, arms and head.

Knows no names.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .bonemap import Spot
from .points import SIDES
from .rig import Array, Rig

NEAR = 0.02
"""How far twins may be from each other's mirror image, and a middle bone from the middle, in heights of the rig."""


@dataclass(frozen=True)
class _Limb:
    """A chain of bones from where it leaves the trunk to its end; `twin` is the same on the other side."""

    bones: tuple[str, ...]
    twin: tuple[str, ...]
    length: float


def distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b))


def twins(rig: Rig) -> dict[str, str]:
    """Every bone's mirror image at rest; bones of the middle are their own. Bones that have none are left out."""
    if not (names := list(rig.bones)):
        return {}
    heads = np.array([rig.bones[name].at(0) for name in names])
    ends = np.array([rig.bones[name].at(1) for name in names])
    reach = NEAR * float(np.ptp(heads, axis=0).max())
    found: list[dict[str, str]] = []
    for axis in range(3):
        flip = np.ones(3)
        flip[axis] = -1.0
        gap = np.linalg.norm(heads[:, None] * flip - heads[None], axis=2)
        gap = gap + np.linalg.norm(ends[:, None] * flip - ends[None], axis=2)
        nearest = gap.argmin(axis=1)
        found.append({name: names[j] for i, (name, j) in enumerate(zip(names, nearest, strict=True))
                      if gap[i, j] < reach})  # fmt: skip
    return max(found, key=lambda pairs: sum(a != b for a, b in pairs.items()))


def limbs(rig: Rig, sure: float) -> dict[str, Spot]:
    """Joints of arms and legs by the two longest pairs of chains; empty when there are none."""
    if not (pairs := _pairs(rig)):
        return {}
    legs, arms = pairs
    left = _left(rig, legs, arms)
    spots: dict[str, Spot] = {}
    for limb, joints in ((arms, ("shoulder", "elbow", "wrist")), (legs, ("hip", "knee", "ankle"))):
        apart = _points(rig, limb.bones)[-1] - _points(rig, limb.twin)[-1]
        sides = (limb.bones, limb.twin) if apart @ left > 0 else (limb.twin, limb.bones)
        for bones, side in zip(sides, SIDES, strict=True):
            spots |= {f"{joint}.{side}": place for joint, place in zip(joints, _joints(rig, bones, sure), strict=True)}
    return spots


def _pairs(rig: Rig) -> tuple[_Limb, _Limb] | None:
    """Legs and arms: the two longest pairs; the legs hang further up in the tree, or stretch out less sideways."""
    twin = twins(rig)
    children: dict[str, list[str]] = {}
    for name, bone in rig.bones.items():
        children.setdefault(bone.parent, []).append(name)
    limbs = []
    for name, bone in rig.bones.items():
        other = twin.get(name, name)
        if name < other and twin.get(bone.parent, bone.parent) == bone.parent:
            chain = _longest(rig, children, name)
            if all(each in twin for each in chain) and len(chain) >= 2:
                limbs.append(_Limb(chain, tuple(twin[each] for each in chain), _length(rig, chain)))
    if len(limbs) < 2:
        return None
    a, b = sorted(limbs, key=lambda limb: -limb.length)[:2]
    return (a, b) if _hangs_higher(rig, a, b) else (b, a)


def _longest(rig: Rig, children: Mapping[str, list[str]], name: str) -> tuple[str, ...]:
    below = [_longest(rig, children, child) for child in children.get(name, [])]
    return (name, *max(below, key=lambda chain: _length(rig, chain), default=()))


def _length(rig: Rig, chain: tuple[str, ...]) -> float:
    return float(sum(distance(a, b) for a, b in itertools.pairwise(_points(rig, chain))))


def _points(rig: Rig, chain: tuple[str, ...]) -> list[Array]:
    return [*(rig.bones[name].at(0) for name in chain), rig.bones[chain[-1]].at(1)]


def _hangs_higher(rig: Rig, a: _Limb, b: _Limb) -> bool:
    """Whether `a` leaves the trunk nearer to the root than `b`."""
    above = {limb: _above(rig, limb.bones[0]) for limb in (a, b)}
    if above[a] != above[b] and (above[b][-len(above[a]) :] == above[a] or above[a][-len(above[b]) :] == above[b]):
        return len(above[a]) < len(above[b])
    return _sideways(rig, a) < _sideways(rig, b)


def _above(rig: Rig, name: str) -> tuple[str, ...]:
    parent = rig.bones[name].parent
    return (parent, *_above(rig, parent)) if parent else ()


def _sideways(rig: Rig, limb: _Limb) -> float:
    """How much further apart the twins' ends are than their beginnings, in lengths of the limb."""
    starts, ends = (
        distance(rig.bones[limb.bones[i]].at(k), rig.bones[limb.twin[i]].at(k)) for i, k in ((0, 0), (-1, 1))
    )
    return (ends - starts) / limb.length


def _left(rig: Rig, legs: _Limb, arms: _Limb) -> Array:
    """Towards the person's left: feet point forward. Without feet it looks along −y, as is usual in Blender."""
    hips, shoulders = ((rig.bones[limb.bones[0]].at(0) + rig.bones[limb.twin[0]].at(0)) / 2 for limb in (legs, arms))
    ankle = _joints(rig, legs.bones, 1.0)[2]
    forward = _points(rig, legs.bones)[-1] - rig.bones[ankle.bone].at(ankle.along)
    return np.cross(shoulders - hips, forward) if forward.any() else np.array([1.0, 0.0, 0.0])


def _joints(rig: Rig, chain: tuple[str, ...], sure: float) -> tuple[Spot, Spot, Spot]:
    """Where the chain's two longest neighbouring pieces begin, meet and end."""
    points = _points(rig, chain)
    pieces = [distance(a, b) for a, b in itertools.pairwise(points)]
    i = max(range(len(pieces) - 1), key=lambda i: min(pieces[i], pieces[i + 1]))
    end = Spot(chain[i + 2], sure=sure) if i + 2 < len(chain) else Spot(chain[-1], 1.0, sure)
    return Spot(chain[i], sure=sure), Spot(chain[i + 1], sure=sure), end


def head(rig: Rig, spots: Mapping[str, Spot]) -> str | None:
    """The longest of the middle bones at the upper end of the tree; None without shoulders and hips to tell up by."""
    if not all(f"{joint}.{s}" in spots for joint in ("hip", "shoulder") for s in "LR"):
        return None
    middle = [name for name, other in twins(rig).items() if name == other]
    place = {point: rig.bones[s.bone].at(s.along) for point, s in spots.items()}
    hips, shoulders = ((place[f"{joint}.L"] + place[f"{joint}.R"]) / 2 for joint in ("hip", "shoulder"))
    up = (shoulders - hips) / distance(shoulders, hips)
    trunk = distance(shoulders, hips)
    above = [name for name in middle if (rig.bones[name].at(0) - shoulders) @ up > 0.1 * trunk]
    return max(above, key=lambda name: rig.bones[name].length, default=None)
