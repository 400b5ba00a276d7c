"""The stages in which the transformer learns: its body, its face, both together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from .average import Average
from .budget import Budget
from .judge import Judge
from .pace import Pace
from .pool import Batch, Pool
from .record import Report
from .student import Question, Student, ask
from .team import Team

BATCH = 64
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
}


def train(
    student: Student, lesson: Lesson, pool: Pool, judge: Judge, budget: Budget, seed: int, team: Team
) -> Iterator[Report]:
    """Train `student` in place; afterwards it holds the averaged weights. Reports are the leader's."""
    device = student.text.device
    team.share(student)
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(lesson.trains(name))
    learned = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        learned, lr=lesson.rate, betas=(0.9, 0.98), weight_decay=1e-2, fused=device.type == "cuda"
    )
    average = Average(student)
    generator = torch.Generator(device).manual_seed(team.seed(seed))
    batch, absent = min(BATCH, len(pool)), ABSENT if lesson.faces else 0.0
    one = pool.sample(1)
    student.rope(one.target.shape[2] + 1, *one.target.shape[3:])
    loss = compiled(student.loss, device)
    pace = Pace(lesson.stage, device, team.size * batch * flops(student, one, generator))
    for step in pace.steps(budget):
        if step % RENEWED == RENEWED - 1:
            pool.renew()
        clips = pool.sample(batch)
        for group in optimiser.param_groups:
            group["lr"] = lesson.rate * team.haste * budget.rate(step)
        optimiser.zero_grad(set_to_none=True)
        value = loss(clips, ask(clips, generator, absent))
        torch.autograd.backward(value)
        team.average(learned)
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        average.update()
        pace.add(value)
        if team.leads and pace.due():
            yield judged(judge, average.module, pace.report())
            pace.resume()
    last = pace.report()
    student.load_state_dict(average.module.state_dict())
    student.requires_grad_(requires_grad=False)
    if team.leads:
        yield judged(judge, student, last)


def compiled(loss: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """Fused on a GPU; as it is on a CPU, where compiling takes longer than tiny trainings."""
    return torch.compile(loss, dynamic=False) if device.type == "cuda" else loss


def judged(judge: Judge, student: Student, report: Report) -> Report:
    figures, sheet = judge.look(student)
    return replace(report, figures=figures, sheet=sheet)


def flops(student: Student, one: Batch, generator: torch.Generator) -> float:
    """Of one clip forwards and backwards."""
    question: Question = ask(one, generator, 0.0)
    counter: Any = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        student.loss(one, question)
    return 3.0 * float(counter.get_total_flops())
