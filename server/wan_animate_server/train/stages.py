"""The stages in which the transformer learns: its body, its face, both together; light; and to walk in few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from ..conditions import Picture
from . import path
from .budget import Budget
from .descent import Descent, descend
from .lowrank import of_change
from .pace import Pace, flops
from .pool import Batch, Pool
from .record import Report
from .student import Question, Student, ask
from .team import Team

TOKENS = 65_536
"""Of the clips of a step of one process: as many short clips as there is work in a few long ones."""

PATH_TOKENS = 16_384
"""In a step that walks whole paths, all of whose steps are held in memory."""

RENEWED = 512
"""Steps after which a chunk of one of the pools is exchanged, which takes a second or two."""

ABSENT = 0.1
"""Share of clips that are asked without a face: black crops mean that none is known."""


class Stage(StrEnum):
    """In the order in which they build on each other."""

    VAE = "vae"
    MOTION = "motion"
    BODY = "body"
    FACE = "face"
    JOINT = "joint"
    RELIGHT = "relight"
    DISTILL = "distill"


ALL, FIRST, LAST = slice(None), slice(0, 1), slice(-1, None)


@dataclass(frozen=True)
class Lesson:
    """What a stage of the transformer trains, and on what."""

    stage: Stage
    rate: float
    """Peak of the learning rate."""
    trains: Callable[[str], bool]
    """Whether a parameter of this name is trained."""
    shapes: slice
    """Which of the shapes that are asked for it learns from; it is judged by the last of them."""
    lit: bool = False
    """Whether the character is wanted in the scene's light."""
    lora: str = ""
    """The name of the LoRA that is trained; empty where the model itself is."""
    rank: int = 0
    """Of the LoRA."""


def of_face(name: str) -> bool:
    """The face's own path: motion encoder, face encoder and face blocks; its directions stay as they are."""
    return name.startswith(("transformer.motion_encoder.enc", "transformer.face_"))


def hurried(name: str) -> float:
    """How much faster than others a parameter is to learn: the motion encoder's weights are kept some 16 times as large
    as they are used, and the optimiser's steps do not know that."""
    return 16.0 if "motion_encoder.enc" in name and name.endswith("weight") else 1.0


def of_body(name: str) -> bool:
    """All that is not the face's."""
    return not name.startswith(("transformer.motion_encoder", "transformer.face_"))


def of_model(name: str) -> bool:
    """All that a stage without a LoRA trains."""
    return of_body(name) or of_face(name)


LESSONS = {
    # The face blocks take part in a body's lesson, for one compiled loss serves all; at first they answer nothing.
    Stage.BODY: Lesson(Stage.BODY, rate=8e-4, trains=of_body, shapes=ALL),
    Stage.FACE: Lesson(Stage.FACE, rate=8e-4, trains=of_face, shapes=ALL),
    Stage.JOINT: Lesson(Stage.JOINT, rate=4e-4, trains=of_model, shapes=ALL),
    # Colours are each frame's own, and the cheapest clips show them.
    Stage.RELIGHT: Lesson(Stage.RELIGHT, rate=1e-3, trains=of_change, shapes=FIRST, lit=True, lora="relight", rank=16),
    # Few steps have to hold over the longest clips.
    Stage.DISTILL: Lesson(Stage.DISTILL, rate=1e-3, trains=of_change, shapes=LAST, lora="fast", rank=32),
}

Look = Callable[[Student], tuple[Mapping[str, float], Picture]]
"""How well a student does, and a sheet of pictures."""

Loss = Callable[[Batch, Question], Tensor]
"""`Student.loss`."""


@dataclass(frozen=True)
class Course:
    """The steps of a lesson."""

    loss: Callable[[int], Tensor]
    """Of a step."""
    flops: float
    """Of a step of one process in the mean, forwards and backwards."""
    kinds: int
    """Steps of other shapes, in turns."""


def train(student: Student, lesson: Lesson, course: Course, look: Look, budget: Budget, team: Team) -> Iterator[Report]:
    """Train `student` in place; afterwards it holds the averaged weights. Reports are the leader's."""

    def judged(student: Student, report: Report) -> Report:
        # A few steps with other clips than those of training are not worth a compilation.
        with torch.compiler.set_stance("force_eager"):
            figures, sheet = look(student)
        return replace(report, figures=figures, sheet=sheet)

    team.share(student)
    pace = Pace(lesson.stage, team.device, team.size * course.flops, course.kinds)
    wanted = of_change if lesson.lora else of_model
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(wanted(name))
    descent = Descent(lesson.rate, trains=lesson.trains, hurry=hurried)
    last = yield from descend(student, course.loss, descent, pace, budget, team, judged)
    if team.leads:
        yield judged(student, last)


def noise_course(student: Student, of: Loss, pools: Sequence[Pool], generator: torch.Generator) -> Course:
    """At noisy clips, the velocity: `of` is the student's loss, compiled or not; the pools take turns."""
    counts = [pool.holding(TOKENS) for pool in pools]
    costs = [count * _cost(student, pool.sample(1), generator) for pool, count in zip(pools, counts, strict=True)]

    def loss(step: int) -> Tensor:
        _renew(pools, step)
        turn = step % len(pools)
        clips = pools[turn].sample(counts[turn])
        return of(clips, ask(clips, generator, ABSENT))

    return Course(loss, sum(costs) / len(pools), len(pools))


def path_course(student: Student, pool: Pool, generator: torch.Generator, carry: path.Carry) -> Course:
    """Along whole paths, the distance to the teacher's."""
    count = pool.holding(PATH_TOKENS)
    once = _cost(student, pool.sample(1), generator) / 3
    if generator.device.type == "cuda":
        for block in student.transformer.blocks:
            block.compile(dynamic=False)

    def teach(relit: bool) -> path.Path:
        clips = pool.sample(count)
        return path.taught(student, clips, ask(clips, generator, 0.0).noise, relit=relit)

    paths = path.Paths(teach, carry, generator.initial_seed())

    def loss(step: int) -> Tensor:
        _renew([pool], step)
        return path.loss(student, paths.at(step))

    return Course(loss, count * once * (path.TAUGHT / path.USES + 3 * path.STEPS), 1)


def _renew(pools: Sequence[Pool], step: int) -> None:
    """Now and then, a part of one pool after the other."""
    turn, rest = divmod(step + 1, RENEWED)
    if rest == 0:
        pools[turn % len(pools)].renew()


def _cost(student: Student, one: Batch, generator: torch.Generator) -> float:
    """Of one clip forwards and backwards. Prepares positions, which must be there before anything is compiled."""
    student.rope(one.target.shape[2] + 1, *one.target.shape[3:])
    question: Question = ask(one, generator, 0.0)
    return flops(lambda: student.loss(one, question))
