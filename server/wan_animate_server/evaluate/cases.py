"""Held-out clips of the world as tasks: what a model is told, and what shall come out. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_animate_blender.wire import Mode

from .. import world
from ..world import area
from .metrics import Frames, Where
from .reading import Floats

Grey = NDArray[np.uint8]
"""[T, H, W]."""

SHAPES = (area.BOX, area.CLIP_BOX, area.GROWN)
"""Of regions, by turns: none of them tells where a limb is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Signals:
    """What a model is told of a clip of T frames."""

    plate: Frames
    matte: Grey
    region: Grey
    keypoints: Floats
    """[T, 133, 3]."""
    face: Frames | None
    """[T, S, S, 3]; None where no expression is given."""
    reference: NDArray[np.uint8]
    """[H, W, 3]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth:
    """What it shall make of it, whatever it is told."""

    frames: Frames
    """In the light of its own picture."""
    lit: Frames
    """In the light of the scene; the same where it is animated before its own background."""
    alpha: Where
    keypoints: Floats
    expression: Floats
    """[T, E]."""
    reference: NDArray[np.uint8]


Of = TypeVar("Of", Signals, Truth)


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A clip in one mode."""

    name: str
    mode: Mode
    portrait: bool
    signals: Signals
    truth: Truth

    @property
    def inside(self) -> Where:
        """Where new pixels may appear."""
        region = self.signals.region > 0
        return region if self.mode is Mode.REPLACE else np.ones_like(region)

    def wanted(self, relight: float) -> Frames:
        """What shall come out at a strength of relighting."""
        return self.truth.lit if relight else self.truth.frames

    def part(self, frames: slice) -> Case:
        """Some of its frames, as a case of its own."""
        return replace(self, signals=_some(self.signals, frames), truth=_some(self.truth, frames))


def held_out(spec: world.Spec, seeds: Sequence[int], device: torch.device) -> list[Case]:
    """The clips of these `seeds` of the held-out split of `spec`, each in both modes, named by its seed."""
    drawn = torch.tensor(seeds, device=device)
    clips = world.clips(replace(spec, split="held-out"), drawn)
    kinds = torch.tensor(SHAPES, device=device)[drawn % len(SHAPES)]
    regions = area.shaped(clips.matte, clips.keypoints, kinds)
    return [_case(clips, regions, i, f"{seed:02}", mode) for i, seed in enumerate(seeds) for mode in Mode]


def _case(clips: world.Clips, regions: Tensor, i: int, name: str, mode: Mode) -> Case:
    """The clip with number `i`."""
    own = clips.own[i] if mode is Mode.ANIMATE else None
    signals = Signals(
        plate=_array(clips.plate[i]), matte=_array(clips.matte[i]), region=_array(regions[i]),
        keypoints=clips.keypoints[i].cpu().numpy(), face=_array(clips.face[i]), reference=_array(clips.reference[i]),
    )  # fmt: skip
    truth = Truth(
        frames=_array(clips.neutral[i] if own is None else own), lit=_array(clips.frames[i] if own is None else own),
        alpha=_array(clips.alpha[i]) > 127, keypoints=signals.keypoints, reference=signals.reference,
        expression=clips.expression[i].cpu().numpy(),
    )  # fmt: skip
    return Case(name=name, mode=mode, portrait=bool(clips.portrait[i]), signals=signals, truth=truth)


def _array(pictures: Tensor) -> NDArray[np.uint8]:
    return np.asarray(pictures.cpu().numpy(), np.uint8)


def _some(arrays: Of, frames: slice) -> Of:
    cut = {f.name: getattr(arrays, f.name) for f in fields(arrays)}
    return type(arrays)(**{k: v if k == "reference" or v is None else v[frames] for k, v in cut.items()})


# --- what a model is told wrongly -----------------------------------------------------------------

Change = Callable[[Sequence[Case]], list[Case]]


def without_pose(cases: Sequence[Case]) -> list[Case]:
    """No keypoint is known."""
    return [_told(case, keypoints=case.signals.keypoints * np.array([1, 1, 0], np.float32)) for case in cases]


def without_face(cases: Sequence[Case]) -> list[Case]:
    """No expression is given."""
    return [_told(case, face=None) for case in cases]


def swapped(signal: str) -> Change:
    """Everybody is told `signal`, "keypoints", "face" or "reference", of the next one of his kind."""

    def change(cases: Sequence[Case]) -> list[Case]:
        return [_told(case, **{signal: getattr(_next(case, cases).signals, signal)}) for case in cases]

    return change


def _next(case: Case, cases: Sequence[Case]) -> Case:
    """Of the same mode, and both portraits or neither where there are two; else of the same mode."""
    alike = [c for c in cases if c.mode is case.mode and c.portrait == case.portrait]
    circle = alike if len(alike) > 1 else [c for c in cases if c.mode is case.mode]
    after = {one.name: other for one, other in pairwise([*circle, circle[0]])}
    return after[case.name]


def _told(case: Case, **changes: object) -> Case:
    return replace(case, signals=replace(case.signals, **changes))  # type: ignore[arg-type]
