"""Names of the 133 keypoints, their order, their groups and how people call them. Knows no bones."""

from __future__ import annotations

import functools
from collections.abc import Iterator

SIDES = ("L", "R")
"""The person's left and right."""
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
LIMBS = tuple(f"{joint}.{s}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in SIDES)
"""The points without which no map fits; everything else can be derived or left out."""

SAME = {"hand": "wrist", "bigtoe": "toe", "smalltoe": "toe"}
"""Keypoints at a point of another name, unless a rig has them apart: most have one row of toes, in whose middle both
toe points lie."""


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

GROUPS = {
    "Body": ("head", *ORDER[:17]),
    "Feet": ORDER[17:23],
    "Face": ORDER[23:91],
    "Left Hand": ORDER[92:112],
    "Right Hand": ORDER[113:],
}
"""The points that can be assigned to bones, as an artist looks for them. "head" is no keypoint: it carries the face."""

ASSIGNABLE = tuple(point for group in GROUPS.values() for point in group)

_CALLED = {"bigtoe": "Big Toe", "smalltoe": "Small Toe", "head": "Head", "pinky": "Little Finger"}
_KNUCKLES = "Base", "Middle", "End", "Tip"


@functools.cache  # drawing asks for all of them again and again
def label(point: str) -> str:
    """What a person calls a point: "Left Elbow", "Right Index Tip", "Face 31"."""
    part, _, side = point.partition(".")
    before = {"L": "Left ", "R": "Right "}.get(side, "")
    name, number = part.rstrip("0123456789"), part.lstrip("abcdefghijklmnopqrstuvwxyz")
    called = _CALLED.get(name, name.capitalize())
    if name in FINGERS:
        return f"{before}{called} {_KNUCKLES[int(number)]}"
    return f"{before}{called} {number}".rstrip()


def other_name(point: str) -> str:
    """The point that stands in for `point` where a rig does not have it apart; itself for most."""
    part, _, side = point.partition(".")
    return f"{SAME[part]}.{side}" if part in SAME else point


def mirror_image(face_point: int) -> int:
    """Number of the face point on the other side, of the 68; points of the middle are their own."""
    pairs = ((0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67))  # rows that read from side to side
    eyes = {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
    if 27 <= face_point <= 30:
        return face_point
    if 36 <= face_point <= 47:
        return {**eyes, **{b: a for a, b in eyes.items()}}[face_point]
    return next(first + last - face_point for first, last in pairs if first <= face_point <= last)
