"""A training from the first stage asked for to the last: shares out the time, writes what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wan_animate_blender.wire import BadInput

from .. import world
from . import autoencoder, stages
from .budget import Budget
from .judge import Judge
from .pace import timed
from .pool import Encoder, Pool
from .record import Record, Report
from .stages import LESSONS, Stage
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
            minutes = order.minutes * SHARES[stage] / whole
            budget = Budget(team, steps=order.steps) if order.steps else Budget(team, minutes=minutes)
            reports = _stage(stage, workshop, order, budget, team)
            yield from _recorded(stage, workshop, order, reports, team)


def _recorded(
    stage: Stage, workshop: Workshop, order: Order, reports: Iterator[Report], team: Team
) -> Iterator[Report]:
    """Each report after it and the networks are written."""
    record = Record(order.out / "record", stage)
    report = None
    for report in reports:
        record.add(report)
        workshop.write()
        yield report
    if report is not None:
        workshop.tell(stage, {"processes": team.size, **_facts(order, report)})


def _stage(stage: Stage, workshop: Workshop, order: Order, budget: Budget, team: Team) -> Iterator[Report]:
    spec = world.Spec(order.size, order.size, order.frames, difficulty=order.difficulty)
    if stage is Stage.VAE:
        return autoencoder.train(workshop.networks.vae, spec, budget, order.seed, team)
    if stage in LESSONS:
        return _lesson(stage, workshop, order, budget, team)
    raise BadInput(f"the stage {stage} cannot be trained yet; give one of: vae, {', '.join(LESSONS)}")


def _lesson(stage: Stage, workshop: Workshop, order: Order, budget: Budget, team: Team) -> Iterator[Report]:
    lesson, networks = LESSONS[stage], workshop.networks
    device = networks.vae.conv1.weight.device
    spec = world.Spec(order.size, order.size, order.frames, lesson.portraits, order.difficulty)
    prompts = both_prompts(networks, workshop.prompt, device)
    student = Student(networks, prompts, faces=lesson.faces)
    encoder, face_size = Encoder(networks.vae), networks.transformer.config.motion.size
    with timed(f"drawing and encoding {order.pool} clips", device):
        pool = Pool(encoder, spec, face_size, order.pool, team.seed(order.seed))
    judge = Judge.of(networks.vae, encoder, spec, face_size, lit=False)
    yield from stages.train(student, lesson, pool, judge, budget, order.seed, team)


def _facts(order: Order, report: Report) -> dict[str, Any]:
    asked = {name: getattr(order, name) for name in ("size", "frames", "pool", "difficulty", "seed")}
    return {**asked, **{k: v for k, v in report.to_json().items() if k != "stage"}}
