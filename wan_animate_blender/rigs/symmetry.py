"""What the shape of a rig at rest says about its limbs: which bones are twins, which chains are legs, arms and head.

Knows no names.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .bonemap import Spot
from .points import SIDES
from .rig import Array, Rig

ENOUGH = 12
"""Of fewer deforming bones no person is made; then all count."""
STRAIGHT, EVEN, SMALL = 0.9999, 0.01, 0.08
"""What tells halves of a limb from its parts: cosine between them, difference of length, both as the longer one says;
and the part of the whole chain that a bone must have to be more than a finger's."""
SHORTEST_TRUNK = 0.25
"""In lengths of a leg."""
UNEVEN = 2.5
"""How much longer upper arm than forearm, thigh than shank, leg than arm may be, or the other way round."""
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
    """Joints of arms and legs by the two longest pairs of chains; empty when they do not look like a person's."""
    rig = _deforming(rig)
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
    return spots if _is_likely({point: rig.bones[s.bone].at(s.along) for point, s in spots.items()}) else {}


def _deforming(rig: Rig) -> Rig:
    """The rig without the bones that only move others."""
    kept = {name for name, bone in rig.bones.items() if bone.deforms}
    if len(kept) < ENOUGH:
        return rig
    bones = {}
    for name in kept & rig.bones.keys():
        parent = rig.bones[name].parent
        while parent and parent not in kept:
            parent = rig.bones[parent].parent
        bones[name] = replace(rig.bones[name], parent=parent)
    return replace(rig, bones={name: bones[name] for name in rig.bones if name in kept})


def _is_likely(place: Mapping[str, Array]) -> bool:
    """Whether joints are where a person may have them, so that a heap of bones is not taken for one."""

    def length(*joints: str) -> float:
        return sum(distance(place[f"{a}.L"], place[f"{b}.L"]) for a, b in itertools.pairwise(joints))

    arm, leg = length("shoulder", "elbow", "wrist"), length("hip", "knee", "ankle")
    pairs = ((arm, leg), (length("shoulder", "elbow"), length("elbow", "wrist")),
             (length("hip", "knee"), length("knee", "ankle")))  # fmt: skip
    even = all(max(pair) <= UNEVEN * min(pair) for pair in pairs)
    apart = all(distance(place[f"{joint}.L"], place[f"{joint}.R"]) > NEAR * leg for joint in ("shoulder", "hip"))
    down, trunk = place["hip.L"] - place["ankle.L"], place["shoulder.L"] - place["hip.L"]
    upright = down @ trunk > np.linalg.norm(down) * np.linalg.norm(trunk) / 2
    return bool(even and apart and upright and length("shoulder", "hip") > SHORTEST_TRUNK * leg)


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
    chain = _whole(rig, chain)
    points = _points(rig, chain)
    pieces = [distance(a, b) for a, b in itertools.pairwise(points)]
    i = max(range(len(pieces) - 1), key=lambda i: min(pieces[i], pieces[i + 1]))
    end = Spot(chain[i + 2], sure=sure) if i + 2 < len(chain) else Spot(chain[-1], 1.0, sure)
    return Spot(chain[i], sure=sure), Spot(chain[i + 1], sure=sure), end


def _whole(rig: Rig, chain: tuple[str, ...]) -> tuple[str, ...]:
    """The chain without second halves, where at least two bones are halved: rigs that twist limbs twist all of them.

    A straight arm of two even parts is one such pair alone, and stays as it is.
    """
    points = _points(rig, chain)
    ways = [b - a for a, b in itertools.pairwise(points)]
    sizes = [float(np.linalg.norm(way)) for way in ways]
    halves = [
        chain[i + 1]
        for i, (a, b) in enumerate(itertools.pairwise(sizes))
        if min(a, b) > SMALL * sum(sizes) and abs(a - b) < EVEN * max(a, b) and ways[i] @ ways[i + 1] > STRAIGHT * a * b
    ]
    whole = tuple(bone for bone in chain if bone not in halves)
    return whole if len(halves) >= 2 and len(whole) >= 2 else chain


def head(rig: Rig, spots: Mapping[str, Spot]) -> str | None:
    """The longest of the middle bones at the upper end of the tree; None without shoulders and hips to tell up by."""
    whole, rig = rig, _deforming(rig)
    if not all(f"{joint}.{s}" in spots for joint in ("hip", "shoulder") for s in "LR"):
        return None
    middle = [name for name, other in twins(rig).items() if name == other]
    place = {point: whole.bones[s.bone].at(s.along) for point, s in spots.items()}
    hips, shoulders = ((place[f"{joint}.L"] + place[f"{joint}.R"]) / 2 for joint in ("hip", "shoulder"))
    up = (shoulders - hips) / distance(shoulders, hips)
    trunk = distance(shoulders, hips)
    above = [name for name in middle if (rig.bones[name].at(0) - shoulders) @ up > 0.1 * trunk]
    return max(above, key=lambda name: rig.bones[name].length, default=None)
