"""The stages in which the transformer learns: its body, its face, both together; light; and to walk in few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..conditions import Picture
from . import path
from .budget import Budget
from .descent import Descent, compiled, descend
from .lowrank import of_change
from .pace import Pace
from .pool import Batch, Pool
from .record import Report
from .student import Question, Student, ask
from .team import Team

BATCH = 64
PATHS = 16
"""Clips of a step that walks whole paths, all of whose steps are held in memory."""

RENEWED = 32
"""Steps after which some clips of the pool are exchanged: a tenth of the time for clips that are not seen too often."""

ABSENT = 0.1
"""Share of clips that are asked without a face: black crops mean that none is known."""


class Stage(StrEnum):
    """In the order in which they build on each other."""

    VAE = "vae"
    BODY = "body"
    FACE = "face"
    JOINT = "joint"
    RELIGHT = "relight"
    DISTILL = "distill"


@dataclass(frozen=True)
class Lesson:
    """What a stage of the transformer trains, and on what."""

    stage: Stage
    portraits: float
    """Share of the clips."""
    rate: float
    """Peak of the learning rate."""
    trains: Callable[[str], bool]
    """Whether a parameter of this name is trained."""
    faces: bool = True
    lit: bool = False
    """Whether the character is wanted in the scene's light."""
    lora: str = ""
    """The name of the LoRA that is trained; empty where the model itself is."""
    rank: int = 0
    """Of the LoRA."""


def of_face(name: str) -> bool:
    """The face's own path: motion encoder, face encoder and face blocks; its directions stay as they are."""
    return name.startswith(("transformer.motion_encoder.enc", "transformer.face_"))


def of_body(name: str) -> bool:
    """All that is not the face's."""
    return not name.startswith(("transformer.motion_encoder", "transformer.face_"))


LESSONS = {
    Stage.BODY: Lesson(Stage.BODY, portraits=0.15, rate=1e-3, trains=of_body, faces=False),
    Stage.FACE: Lesson(Stage.FACE, portraits=0.8, rate=1e-3, trains=of_face),
    Stage.JOINT: Lesson(Stage.JOINT, portraits=0.5, rate=4e-4, trains=lambda name: of_body(name) or of_face(name)),
    Stage.RELIGHT: Lesson(Stage.RELIGHT, portraits=0.5, rate=1e-3, trains=of_change, lit=True, lora="relight", rank=16),
    Stage.DISTILL: Lesson(Stage.DISTILL, portraits=0.5, rate=1e-3, trains=of_change, lora="fast", rank=32),
}

Look = Callable[[Student], tuple[Mapping[str, float], Picture]]
"""How well a student does, and a sheet of pictures."""

Loss = Callable[[int], Tensor]
"""Of a step."""


def train(
    student: Student, lesson: Lesson, loss: Loss, flops: float, look: Look, budget: Budget, team: Team
) -> Iterator[Report]:
    """Train `student` in place; afterwards it holds the averaged weights. Reports are the leader's.

    `flops` are those of a step of one process.
    """

    def judged(student: Student, report: Report) -> Report:
        figures, sheet = look(student)
        return replace(report, figures=figures, sheet=sheet)

    team.share(student)
    pace = Pace(lesson.stage, team.device, team.size * flops)
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(lesson.trains(name))
    last = yield from descend(student, loss, Descent(lesson.rate), pace, budget, team, judged)
    if team.leads:
        yield judged(student, last)


def noise_loss(student: Student, lesson: Lesson, pool: Pool, generator: torch.Generator) -> tuple[Loss, float]:
    """At noisy clips, the velocity; and the operations of a step."""
    batch, absent = min(BATCH, len(pool)), ABSENT if lesson.faces else 0.0
    cost = batch * flops(student, pool.sample(1), generator)
    of = compiled(student.loss, generator.device)

    def loss(step: int) -> Tensor:
        if step % RENEWED == RENEWED - 1:
            pool.renew()
        clips = pool.sample(batch)
        return of(clips, ask(clips, generator, absent))

    return loss, cost


def path_loss(student: Student, pool: Pool, generator: torch.Generator, carry: path.Carry) -> tuple[Loss, float]:
    """Along whole paths, the distance to the teacher's; and the operations of a step."""
    batch = min(PATHS, len(pool))
    once = flops(student, pool.sample(1), generator) / 3
    if generator.device.type == "cuda":
        for block in student.transformer.blocks:
            block.compile(dynamic=False)

    def teach(relit: bool) -> path.Path:
        clips = pool.sample(batch)
        return path.taught(student, clips, ask(clips, generator, 0.0).noise, relit=relit)

    paths = path.Paths(teach, carry, generator.initial_seed())

    def loss(step: int) -> Tensor:
        if step % RENEWED == RENEWED - 1:
            pool.renew()
        return path.loss(student, paths.at(step))

    return loss, batch * once * (path.TAUGHT / path.USES + 3 * path.STEPS)


def flops(student: Student, one: Batch, generator: torch.Generator) -> float:
    """Of one clip forwards and backwards. Prepares positions, which must be there before anything is compiled."""
    student.rope(one.target.shape[2] + 1, *one.target.shape[3:])
    question: Question = ask(one, generator, 0.0)
    counter: Any = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        student.loss(one, question)
    return 3.0 * float(counter.get_total_flops())
