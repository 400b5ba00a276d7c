"""Learning to walk in few steps: from the same noise, the student's few steps lead where the teacher's many do.

The teacher is the same network without its LoRA. Every point at which the student halts is compared with the teacher's
at the same noise level, so that the student learns on the paths that it really walks, errors of its own included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wan_animate_blender.wire import Solver

from .. import sampling
from ..conditions import Picture
from .judge import Judge
from .lowrank import without
from .pool import Batch
from .record import psnr, sheet
from .student import REFERENCE_WEIGHT, Student

SOLVER = Solver.DPMPP
"""The settings' default; in four steps its levels are every fifth of those of twenty."""

STEPS, TAUGHT = 4, 20

USES = 4
"""How often a path is walked after the teacher: the twenty steps are most of the work."""

KEPT = 16
"""Paths that are remembered, and walked in a mixed order."""

Carry = Callable[[bool], object]
"""Lets the frozen weights carry the relighting LoRA, or not: in few steps, too, characters shall be relit."""


@dataclass(frozen=True, eq=False)
class Path:
    """Where the teacher went."""

    batch: Batch
    noise: Tensor
    """[B, C, t + 1, h, w]."""
    points: Tensor
    """After each of the student's steps [STEPS, B, C, t + 1, h, w]."""
    relit: bool
    """Whether the weights of both carried the relighting LoRA."""


@torch.no_grad()
def taught(student: Student, batch: Batch, noise: Tensor, *, relit: bool) -> Path:
    """The teacher's way from `noise`."""
    with without(student):
        walk = student.walk(batch, noise, SOLVER, TAUGHT)
        points = [step.sample for step in walk if (step.index + 1) % (TAUGHT // STEPS) == 0]
    return Path(batch, noise, torch.stack(points), relit)


def loss(student: Student, path: Path) -> Tensor:
    """Mean square of the distances to the teacher's points, each as a share of the step that led there."""
    levels = sampling.noise_levels(SOLVER, STEPS)
    slot = torch.full_like(path.batch.weight[:, :1], REFERENCE_WEIGHT)
    weight = torch.cat([slot, path.batch.weight], 1).float()
    total = torch.zeros((), device=path.noise.device)
    for step in student.walk(path.batch, path.noise, SOLVER, STEPS):
        length = levels[step.index] - levels[step.index + 1]
        error = (step.sample - path.points[step.index]).square().mean(1) / length**2
        total = total + (error * weight).sum() / weight.sum()
    return total / STEPS


class Paths:
    """The last ones, to choose from, in turns with the relighting LoRA and without it."""

    def __init__(self, teach: Callable[[bool], Path], carry: Carry, seed: int) -> None:
        """`teach` makes a path; is told whether the weights carry the relighting LoRA now."""
        self._teach = teach
        self._carry = carry
        self._generator = torch.Generator().manual_seed(seed)
        self._kept: list[Path] = []

    def at(self, step: int) -> Path:
        """One to walk now; every `USES` steps a new one takes the place of the oldest."""
        count, rest = divmod(step, USES)
        if rest == 0:
            self._carry(count % 2 == 1)
            self._kept = [*self._kept[1 - KEPT :], self._teach(count % 2 == 1)]
        path = self._kept[int(torch.randint(len(self._kept), (), generator=self._generator))]
        self._carry(path.relit)
        return path


@torch.inference_mode()
def look(judge: Judge, student: Student) -> tuple[Mapping[str, float], Picture]:
    """PSNR of four steps with the LoRA, of four and of twenty without it, and how near the first two come to the last.

    The sheet: truth, twenty, four without, four with. Looks inside the character.
    """
    fast = judge.made(student, STEPS)
    with without(student):
        plain, slow = judge.made(student, STEPS), judge.made(student, TAUGHT)
    pictures = {"psnr": fast, "psnr_without": plain, "psnr_taught": slow}
    figures = {name: psnr(made, judge.truth, judge.body) for name, made in pictures.items()}
    figures["to_taught"] = psnr(fast, slow, judge.body)
    figures["to_taught_without"] = psnr(plain, slow, judge.body)
    middle = fast.shape[2] // 2
    return figures, sheet([clip[:, :, middle] for clip in (judge.truth, slow, plain, fast)])
