"""A training from the first stage asked for to the last: shares out the time, writes what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import world
from . import autoencoder, light, path, stages
from .budget import Budget
from .judge import Judge
from .lowrank import adapted, carrier, go_on
from .pace import timed
from .pool import Encoder, Pool
from .record import Record, Report
from .stages import LESSONS, Lesson, Stage
from .student import Student, both_prompts
from .team import Team, gathered
from .workshop import Workshop, lay_out

SHARES = {
    Stage.VAE: 9.0, Stage.BODY: 9.0, Stage.FACE: 4.0, Stage.JOINT: 6.0, Stage.RELIGHT: 2.0, Stage.DISTILL: 2.0,
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
    """For all stages together."""
    steps: int | None
    """For each stage, instead of the time."""
    size: int
    """Pixels of a side of the clips."""
    frames: int
    pool: int
    """Clips that each process encodes before a stage of the transformer."""
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
        whole = sum(SHARES[stage] for stage in order.stages)
        for stage in order.stages:
            team.agree([0.0])  # what the leader has written is there for all
            minutes = order.minutes * SHARES[stage] / whole
            budget = Budget(team, steps=order.steps) if order.steps else Budget(team, minutes=minutes)
            reports = _stage(stage, workshop, order, budget, team)
            yield from _recorded(stage, workshop, order, reports, team)


def _recorded(
    stage: Stage, workshop: Workshop, order: Order, reports: Iterator[Report], team: Team
) -> Iterator[Report]:
    """Each report after it and the networks are written."""
    record = Record(order.out / "record", stage)
    lora = LESSONS[stage].lora if stage in LESSONS else ""
    report = None
    for report in reports:
        record.add(report)
        workshop.write_lora(lora) if lora else workshop.write()
        yield report
    if report is not None:
        workshop.tell(stage, {"processes": team.size, **_facts(order, report)})


def _stage(stage: Stage, workshop: Workshop, order: Order, budget: Budget, team: Team) -> Iterator[Report]:
    spec = world.Spec(order.size, order.size, order.frames, difficulty=order.difficulty)
    if stage is Stage.VAE:
        return autoencoder.train(workshop.networks.vae, spec, budget, order.seed, team)
    lesson = LESSONS[stage]
    return (
        _adapting(lesson, workshop, order, budget, team)
        if lesson.lora
        else _lesson(lesson, workshop, order, budget, team)
    )


def _adapting(lesson: Lesson, workshop: Workshop, order: Order, budget: Budget, team: Team) -> Iterator[Report]:
    """A lesson that leaves the networks as they are, and trains a LoRA beside them."""
    if team.leads:
        workshop.write()
    transformer, begun = workshop.networks.transformer, workshop.lora(lesson.lora)
    carry = carrier(transformer, workshop.lora(LESSONS[Stage.RELIGHT].lora))
    with adapted(transformer, lesson.rank):
        if begun.is_file():
            go_on(transformer, begun)
        yield from _lesson(lesson, workshop, order, budget, team, carry)


def _lesson(
    lesson: Lesson, workshop: Workshop, order: Order, budget: Budget, team: Team, carry: path.Carry | None = None
) -> Iterator[Report]:
    """`carry` lets the networks carry their relighting LoRA, for a lesson that is about that too."""
    networks = workshop.networks
    device, seed = team.device, team.seed(order.seed)
    spec = world.Spec(order.size, order.size, order.frames, lesson.portraits, order.difficulty)
    prompts = both_prompts(networks, workshop.prompt, device)
    student = Student(networks, prompts, faces=lesson.faces)
    encoder, face_size = Encoder(networks.vae), networks.transformer.config.motion.size
    with timed(f"drawing and encoding {order.pool} clips", device):
        pool = Pool(encoder, spec, face_size, order.pool, seed, lit=lesson.lit)
    judge = Judge.of(networks.vae, encoder, spec, face_size, lit=lesson.lit)
    generator = torch.Generator(device).manual_seed(seed)
    if lesson.stage is Stage.DISTILL and carry:
        loss, cost = stages.path_loss(student, pool, generator, carry)
    else:
        loss, cost = stages.noise_loss(student, lesson, pool, generator)
    look = {Stage.RELIGHT: light.look, Stage.DISTILL: path.look}.get(lesson.stage, Judge.look)
    yield from stages.train(student, lesson, loss, cost, partial(look, judge), budget, team)


def _facts(order: Order, report: Report) -> dict[str, Any]:
    asked = {name: getattr(order, name) for name in ("size", "frames", "pool", "difficulty", "seed")}
    return {**asked, **{k: v for k, v in report.to_json().items() if k != "stage"}}
