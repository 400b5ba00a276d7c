"""A training from the first stage asked for to the last: shares out the time, writes what was learned."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from . import autoencoder, light, motion, path, stages
from .budget import Budget
from .classroom import Classroom
from .judge import Judge
from .lowrank import adapted, carrier, go_on
from .record import Record, Report
from .shape import Shape
from .stages import LESSONS, Lesson, Stage
from .student import both_prompts
from .team import Team, gathered
from .workshop import Workshop, lay_out

SHARES = {
    Stage.VAE: 8.0, Stage.MOTION: 0.5, Stage.BODY: 6.0, Stage.FACE: 2.0, Stage.JOINT: 4.0, Stage.RELIGHT: 1.5,
    Stage.DISTILL: 2.0,
}  # fmt: skip
"""How the time is shared out among stages that are asked for together."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for."""

    stages: Sequence[Stage]
    out: Path
    source: Path | None
    """A folder whose weights to go on from; None begins anew."""
    minutes: float
    """For all stages together, with what is drawn for them."""
    steps: int | None
    """For each stage, instead of the time."""
    shapes: Sequence[Shape]
    """Of the clips of the transformer's stages, by turns; the autoencoder learns from the last, the longest."""
    pool: int
    """Frames that each process draws for every shape."""
    difficulty: float
    seed: int
    device: str


def train(order: Order) -> Iterator[Report]:
    """Run the stages; everything is in `order.out` whenever a report is given, which only the team's leader does.

    Raises `BadInput`, `Unavailable`.
    """
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    with gathered(order.device) as team:
        if team.leads:
            lay_out(order.out, order.source)
        team.agree([0.0])
        workshop = Workshop.open(order.out, order.source, team.device, order.seed)
        torch.manual_seed(team.seed(order.seed))
        training = _Training(order, workshop, team, time.monotonic() + 60 * order.minutes)
        for stage in order.stages:
            team.agree([0.0])  # what the leader has written is there for all
            yield from training.recorded(stage)


@dataclass(frozen=True)
class _Training:
    """The stages of an order, one after the other."""

    order: Order
    workshop: Workshop
    team: Team
    end: float
    """On the monotonic clock."""

    @cached_property
    def classroom(self) -> Classroom:
        """Made after the autoencoder's stage, if that is asked for."""
        networks, order = self.workshop.networks, self.order
        prompts = both_prompts(networks, self.workshop.prompt, self.team.device)
        return Classroom(
            networks, prompts, frames=order.pool, difficulty=order.difficulty, seed=order.seed, team=self.team
        )

    def budget(self, stage: Stage) -> Budget:
        """The stage's share of what is left: drawing for the first of them is paid for by all."""
        if self.order.steps:
            return Budget(self.team, steps=self.order.steps)
        left = self.order.stages[self.order.stages.index(stage) :]
        minutes = (self.end - time.monotonic()) / 60
        return Budget(self.team, minutes=minutes * SHARES[stage] / sum(map(SHARES.__getitem__, left)))

    def recorded(self, stage: Stage) -> Iterator[Report]:
        """Each report after it and the networks are written."""
        record = Record(self.order.out / "record", stage)
        lora = LESSONS[stage].lora if stage in LESSONS else ""
        report = None
        for report in self.reports(stage):
            record.add(report)
            self.workshop.write_lora(lora) if lora else self.workshop.write()
            yield report
        if report is not None:
            self.workshop.tell(stage, {"processes": self.team.size, **_facts(self.order, report)})

    def reports(self, stage: Stage) -> Iterator[Report]:
        order = self.order
        if stage is Stage.VAE:
            spec = order.shapes[-1].spec(difficulty=order.difficulty)
            budget = self.budget(stage)
            return autoencoder.train(self.workshop.networks.vae, spec, budget, order.seed, self.team, order.pool)
        if stage is Stage.MOTION:
            transformer = self.workshop.networks.transformer
            return motion.train(
                transformer.motion_encoder, transformer.config.motion, order.difficulty, self.budget(stage),
                order.seed, self.team,
            )  # fmt: skip
        lesson = LESSONS[stage]
        return self.adapting(lesson) if lesson.lora else self.lesson(lesson)

    def adapting(self, lesson: Lesson) -> Iterator[Report]:
        """A lesson that leaves the networks as they are, and trains a LoRA beside them."""
        if self.team.leads:
            self.workshop.write()
        transformer, begun = self.workshop.networks.transformer, self.workshop.lora(lesson.lora)
        carry = carrier(transformer, self.workshop.lora(LESSONS[Stage.RELIGHT].lora))
        with adapted(transformer, lesson.rank):
            if begun.is_file():
                go_on(transformer, begun)
            yield from self.lesson(lesson, carry)

    def lesson(self, lesson: Lesson, carry: path.Carry | None = None) -> Iterator[Report]:
        """`carry` lets the networks carry their relighting LoRA, for a lesson that is about that too."""
        room, shapes = self.classroom, self.order.shapes[lesson.shapes]
        pools = [room.pool(shape, lit=lesson.lit) for shape in shapes]
        judge = room.judge(shapes[-1], lit=lesson.lit)
        generator = torch.Generator(self.team.device).manual_seed(self.team.seed(self.order.seed))
        if lesson.stage is Stage.DISTILL and carry:
            course = stages.path_course(room.student, pools[-1], generator, carry)
        else:
            course = stages.noise_course(room.student, room.loss, pools, generator)
        look = {Stage.RELIGHT: light.look, Stage.DISTILL: path.look}.get(lesson.stage, Judge.look)
        budget = self.budget(lesson.stage)
        yield from stages.train(room.student, lesson, course, partial(look, judge), budget, self.team)


def _facts(order: Order, report: Report) -> dict[str, Any]:
    asked = {name: getattr(order, name) for name in ("pool", "difficulty", "seed")}
    told = {k: v for k, v in report.to_json().items() if k != "stage"}
    return {"shapes": [str(shape) for shape in order.shapes], **asked, **told}
