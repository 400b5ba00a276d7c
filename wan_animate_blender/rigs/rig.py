"""A rig as names and numbers: its bones at rest, who hangs on whom, and what it says itself about its bones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bone:
    """A bone at rest: 4×4 matrix in the rig's space, and length (y is along the bone)."""

    matrix: Array
    length: float
    parent: str = ""
    """Empty for a root."""
    deforms: bool = True
    """Whether it moves a mesh. Bones that do not are there for animators, often in several layers."""

    def at(self, along: float) -> Array:
        place: Array = (self.matrix @ [0.0, along * self.length, 0.0, 1.0])[:3]
        return place


@dataclass(frozen=True)
class Rig:
    """An armature at rest. `bones` are in the order of their tree: parents before children."""

    name: str
    bones: Mapping[str, Bone]
    humanoid: Mapping[str, str] = field(default_factory=dict)
    """Bones by their names in the VRM humanoid ("leftUpperArm"), where a VRM rig has them stored."""
