"""A guess at the bones of an unknown rig: by words in their names, by the tree they hang in, by symmetry at rest.

Says of each place how sure it is. Knows no family of rigs.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import symmetry
from .bonemap import Spot
from .points import FINGERS, SIDES
from .rig import Rig

NAMED, PLACED = 0.9, 0.7
"""How sure a place is whose bone has a fitting name, and one that only its place in the tree speaks for."""

CHAINS = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")

_STRONG = {
    "shoulder": r"upperarm|uparm|armupper|humerus|biceps?|shldr",
    "elbow": r"forearm|lowerarm|lowarm|loarm|armlower|elbow|ulna|radius|ひじ|肘",
    "wrist": r"hand|wrist|手首",
    "hip": r"thigh|upperleg|upleg|legupper|femur",
    "knee": r"shin|calf|lowerleg|lowleg|loleg|leglower|knee|tibia|shank|ひざ|膝",
    "ankle": r"foot|ankle|feet|足首",
    "toe": r"toes?|toebase|ball|つま先",
    "head": r"head|skull|頭",
    "thumb": r"(hand)?thumb\w*|親指",
    "index": r"(hand|f)?(index|point|fore)(finger)?\w*|人指|人差指",
    "middle": r"(hand|f)?(middle|mid)(finger)?\w*|中指",
    "ring": r"(hand|f)?ring(finger)?\w*|薬指",
    "pinky": r"(hand|f)?(pinky|pinkie|little|small)(finger)?\w*|小指",
}
"""What a bone is called that has the point at its head, without side and numbers."""
_WEAK = {"shoulder": r"arm|shoulder|腕", "elbow": "arm", "hip": "leg|hip|足", "knee": "leg"}
"""Names that mean one bone here and another there."""

_SIDES = {"l": "L", "left": "L", "lt": "L", "左": "L", "r": "R", "right": "R", "rt": "R", "右": "R"}
_FILLERS = {"bip", "bone", "bn", "b", "jnt", "joint", "jt", "def", "deform", "bend", "skin", "bind", "org", "sk", "c"}
_TOOLS = re.compile(
    r"(ik|fk|pole|target|tgt|ctrl|control|mch|tweak|master|twist|roll|helper|socket|prop|weapon|pivot|end|nub|"
    r"metacarpal|meta|palm|ＩＫ|捩|先)"
)
"""Words of bones that move others, help the skin or end a chain: none of them is where a joint is."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[左右]|[^\W\d_a-zA-Z左右]+")


@dataclass(frozen=True)
class _Name:
    side: str
    stem: str


Bones = tuple[str | None, ...]
"""A limb's three bones; None where nothing has a fitting name."""


def guess(rig: Rig) -> Mapping[str, Spot]:
    """By point, the likeliest place; points without any are left out."""
    common = _common(rig.bones)
    names = {bone: name for bone in rig.bones if (name := _name(bone, common))}
    spots = dict(_limbs(rig, names))
    spots |= {point: place for point, place in symmetry.limbs(rig, PLACED).items() if point not in spots}
    if not all(f"{joint}.{s}" in spots for joint in itertools.chain(*CHAINS) for s in SIDES):
        spots |= {point: place for point, place in _mirrored(rig, spots).items() if point not in spots}
    return spots | dict(_extremities(rig, names, spots))


def _common(bones: Collection[str]) -> set[str]:
    """Words that at least half of all names have, such as the character's: they say nothing about a bone."""
    counts = Counter(word for bone in bones for word in set(_words(bone)))
    return {word for word, count in counts.items() if 2 * count >= len(bones)} - set(_SIDES)


def _words(bone: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(bone.rpartition(":")[2])]


def _name(bone: str, common: Collection[str]) -> _Name | None:
    """Side and stem of a bone's name; None for a bone that is no part of a body."""
    words = [word for word in _words(bone) if word not in common]
    if any(_TOOLS.fullmatch(word) for word in words):
        return None
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    kept = [word for word in words if word not in _SIDES and word not in _FILLERS and not word.isdigit()]
    return _Name(side, "".join(word for word in kept if len(word) > 1 or not word.isascii()))


# --- limbs --------------------------------------------------------------------------------------------


def _limbs(rig: Rig, names: Mapping[str, _Name]) -> Iterator[tuple[str, Spot]]:
    for s, joints in itertools.product(SIDES, CHAINS):
        chain = _best_chain(rig, [_called(names, joint, s, rig) for joint in joints])
        for joint, bone, place in zip(joints, chain, _filled(rig, chain), strict=True):
            if place:
                yield f"{joint}.{s}", Spot(*place, sure=NAMED if bone else PLACED)


def _called(names: Mapping[str, _Name], point: str, side: str, rig: Rig) -> list[tuple[str, int]]:
    """Bones that may be the one of `point`, with how much that is worth. Of bones in a row, the first counts."""
    strong, weak = re.compile(_STRONG[point]), re.compile(_WEAK.get(point, "$^"))
    ours = [(bone, name.stem) for bone, name in names.items() if name.side == side]
    found = [bone for bone, stem in ours if strong.fullmatch(stem)]
    first = [bone for bone in found if not set(ancestors(rig, bone)) & set(found)]
    return [(bone, 2) for bone in first] + [(bone, 1) for bone, stem in ours if weak.fullmatch(stem)]


def _best_chain(rig: Rig, candidates: Sequence[list[tuple[str, int]]]) -> Bones:
    """The bones, one below the other, whose names fit best; of equals the ones closest together."""
    found: list[tuple[tuple[int, int], Bones]] = []
    for choice in itertools.product(*([*each[:8], (None, 0)] for each in candidates)):
        bones = tuple(bone for bone, _ in choice)
        named = [bone for bone in bones if bone]
        if len(named) >= 2 and all(a in ancestors(rig, b) for a, b in itertools.pairwise(named)):
            distance = len(ancestors(rig, named[-1])) - len(ancestors(rig, named[0]))
            found.append(((sum(worth for _, worth in choice), -distance), bones))
    return max(found, key=lambda one: one[0])[1] if found else (None, None, None)


def _filled(rig: Rig, bones: Bones) -> Iterator[tuple[str, float] | None]:
    """Places of the three joints: a joint without a named bone is where the tree has one."""
    first, middle, last = bones
    first = first or (rig.bones[middle].parent if middle else None)
    between = middle or _between(rig, first, last)
    yield (first, 0.0) if first else None
    yield (between, 0.0) if between else None
    yield (last, 0.0) if last else (middle, 1.0) if middle else None


def _between(rig: Rig, first: str | None, last: str | None) -> str | None:
    """The joint that divides the way from `first` to `last` most evenly."""
    if not first or not last:
        return None
    above = ancestors(rig, last)
    inside = above[: above.index(first)]
    start, end = rig.bones[first].at(0), rig.bones[last].at(0)

    def shorter(bone: str) -> float:
        there = rig.bones[bone].at(0)
        return float(min(symmetry.distance(start, there), symmetry.distance(there, end)))

    return max(inside, key=shorter, default=None)


def ancestors(rig: Rig, bone: str) -> list[str]:
    """From the parent up to the root."""
    found = []
    while bone := rig.bones[bone].parent:
        found.append(bone)
    return found


def _mirrored(rig: Rig, spots: Mapping[str, Spot]) -> dict[str, Spot]:
    """The other side of what was found on one."""
    twin = symmetry.twins(rig)
    other = {"L": "R", "R": "L"}
    return {
        f"{point[:-1]}{other[point[-1]]}": Spot(twin[place.bone], place.along, PLACED)
        for point, place in spots.items()
        if point[-2:] in (".L", ".R") and twin.get(place.bone, place.bone) != place.bone
    }


# --- what limbs and trunk end in ----------------------------------------------------------------------


def _extremities(rig: Rig, names: Mapping[str, _Name], spots: Mapping[str, Spot]) -> Iterator[tuple[str, Spot]]:
    heads = [bone for bone, name in names.items() if not name.side and re.fullmatch(_STRONG["head"], name.stem)]
    if heads:
        yield "head", Spot(heads[0], sure=NAMED)
    elif top := symmetry.head(rig, spots):
        yield "head", Spot(top, sure=PLACED)
    for s in SIDES:
        if ankle := spots.get(f"ankle.{s}"):
            toes = [bone for bone, _ in _called(names, "toe", s, rig) if ankle.bone in ancestors(rig, bone)]
            yield f"toe.{s}", Spot(toes[0], 1.0, NAMED) if toes else Spot(ankle.bone, 1.0, PLACED)
        if wrist := spots.get(f"wrist.{s}"):
            for finger in FINGERS:
                yield from _finger(rig, names, wrist.bone, finger, s)


def _finger(
    rig: Rig, names: Mapping[str, _Name], wrist: str, finger: str, side: str
) -> Iterator[tuple[str, Spot]]:  # fmt: skip
    """Three bones below the wrist that carry the finger's name: their heads, and the tail of the last."""
    called = re.compile(_STRONG[finger])
    ours = [
        bone
        for bone, name in names.items()
        if name.side in (side, "") and called.fullmatch(name.stem) and wrist in ancestors(rig, bone)
    ]
    ours.sort(key=lambda bone: len(ancestors(rig, bone)))
    for i, bone in enumerate(ours[:3]):
        yield f"{finger}{i}.{side}", Spot(bone, sure=NAMED)
    if len(ours) >= 3:
        yield f"{finger}3.{side}", Spot(ours[2], 1.0, NAMED)
