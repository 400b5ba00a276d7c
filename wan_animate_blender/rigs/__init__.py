"""Which bone's which end is which keypoint: maps of known families as data, a guess for all others, and what a person
assigns by hand. Knows neither cameras nor Blender.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from ..wire import BadInput
from .bonemap import BoneMap, Fit, Spot, families, fit, read, spot, write
from .guess import guess
from .points import ASSIGNABLE, FINGERS, GROUPS, LIMBS, ORDER, SIDES, label, mirror_image
from .rig import Bone, Rig

__all__ = (
    "ASSIGNABLE", "FINGERS", "GROUPS", "LIMBS", "ORDER", "SIDES", "Bone", "BoneMap", "Fit", "Rig", "Spot",
    "assign", "check", "choose", "families", "fit", "guess", "label", "mirror_image", "read", "spot", "write",
)  # fmt: skip

STORED = "VRM humanoid"
"""The family whose bones may be called anything, because the rig itself says which is which."""


def choose(rig: Rig) -> Fit:
    """What fits the bones of `rig` best: its own stored mapping, a family's map, or a guess. It may still have gaps."""
    if rig.humanoid and not (stored := _stored(rig)).lacking:
        return stored
    best = _best(tuple(rig.bones))
    return _completed(best, rig) if best.lacking else best


@functools.lru_cache(maxsize=16)
def _best(bones: tuple[str, ...]) -> Fit:
    """The family that answers best to names: the same for all shots of a character, and looked for once."""
    return max((fit(family, bones) for family in families()), key=lambda candidate: candidate.score)


def _stored(rig: Rig) -> Fit:
    family = next(family for family in families() if family.name == STORED)
    found = fit(family, rig.humanoid)
    spots = {point: replace(place, bone=rig.humanoid[place.bone]) for point, place in found.spots.items()}
    return replace(found, family=f"{STORED} (stored)", spots=spots)


def _completed(part: Fit, rig: Rig) -> Fit:
    """A guess; what a family has names for stays as it is, when that is at least half of the limbs."""
    known = part if len(part.lacking) <= len(LIMBS) / 2 else Fit("guessed", {}, ())
    spots = {**guess(rig), **known.spots}
    looked_for = {*spots, *part.missing, *part.spots}
    name = f"{known.family}, in part guessed" if known.spots else known.family
    return Fit(name, spots, tuple(point for point in sorted(looked_for) if point not in spots))


def assign(fit: Fit, assignment: Mapping[str, Spot], rig: Rig) -> Fit:
    """`fit` with the points that a person assigned by hand. Raises `BadInput` for bones that the rig does not have."""
    for point, place in assignment.items():
        if place.bone not in rig.bones:
            raise BadInput(
                f"{label(point)} is assigned to the bone {place.bone!r}, which the rig {rig.name!r} does not have; "
                "assign another bone or reset it"
            )
    missing = tuple(point for point in fit.missing if point not in assignment)
    return replace(fit, spots={**fit.spots, **assignment}, missing=missing)


def check(fit: Fit, rig: Rig) -> None:
    """Raise `BadInput` with the best guess unless all limbs are found."""
    if lacking := fit.lacking:
        names = [label(point) for point in lacking]
        raise BadInput(
            f"no bone map fits the rig {rig.name!r}: the best one, {fit.family}, finds {len(LIMBS) - len(lacking)} of "
            f"{len(LIMBS)} limb joints and lacks {', '.join(names[:4])}{' …' if len(names) > 4 else ''}; assign them "
            f"by hand, or use a rig of {', '.join(family.name for family in families())}"
        )
