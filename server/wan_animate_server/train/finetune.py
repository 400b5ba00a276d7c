"""A LoRA for any model, trained on folders of shots: the same steps as for the small model, one segment at a time."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wan_animate_blender.wire import Precision, write_atomically

from .. import sampling
from ..installed import load_model
from ..model.transformer import Transformer
from ..pipeline import Model
from . import lowrank, shots
from .budget import Budget
from .descent import Descent, descend
from .pace import Pace, flops
from .record import Record, Report
from .shots import Piece
from .team import Team, gathered

RANK = 32
DESCENT = Descent(rate=1e-4)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What is asked for."""

    model: str
    clips: Path
    """A folder with shot folders."""
    out: Path
    """The LoRA gets its name."""
    minutes: float
    steps: int | None
    """Instead of the time."""
    seed: int
    device: str


def train(errand: Errand) -> Iterator[Report]:
    """Train a LoRA; its file is in `errand.out` whenever the team's leader gives a report.

    Raises `BadInput`, and `Unavailable` as `load_model`.
    """
    with gathered(errand.device) as team:
        precision = Precision.BF16 if team.device.type == "cuda" else Precision.FP32
        folders = shots.find(errand.clips)
        model = load_model(errand.model, device=str(team.device), precision=precision)
        pieces = [piece for folder in folders for piece in shots.pieces(model, folder)]
        log.info("%d shots, %d segments", len(folders), len(pieces))
        budget = Budget(team, steps=errand.steps) if errand.steps else Budget(team, minutes=errand.minutes)
        record = Record(errand.out / "record", "lora")
        with lowrank.adapted(model.transformer, RANK):
            for report in _taught(model, pieces, budget, team, errand.seed):
                record.add(report)
                about = {"base": model.name, "clips": str(len(folders)), "steps": str(report.step)}
                lora = save(lowrank.tensors(model.transformer), about)
                write_atomically(errand.out / f"{errand.out.resolve().name}.safetensors", lora)
                yield report


def _taught(model: Model, pieces: list[Piece], budget: Budget, team: Team, seed: int) -> Iterator[Report]:
    """Reports of the steps, in each of which every process sees one segment at one noise level."""
    changes = lowrank.changes(model.transformer)
    team.share(changes)
    generator = torch.Generator(team.device).manual_seed(team.seed(seed))
    choice = random.Random(team.seed(seed))

    def step_loss(_: int) -> Tensor:
        return loss(model, choice.choice(pieces).to(team.device), choice.random(), generator)

    def judged(_: nn.Module, report: Report) -> Report:
        return replace(report, figures={"loss": report.loss})

    with remade(model.transformer):
        # Four passes: what is forgotten on the way forwards is made again on the way back.
        cost = flops(lambda: loss(model, pieces[0].to(team.device), 0.5, generator), passes=4.0)
        pace = Pace("lora", team.device, team.size * cost)
        last = yield from descend(changes, step_loss, DESCENT, pace, budget, team, judged)
    if team.leads:
        yield judged(changes, last)


def loss(model: Model, piece: Piece, even: float, generator: torch.Generator) -> Tensor:
    """Mean square of the velocity's error at the noise level of a number that is `even` from 0 to 1."""
    level = sampling.shifted(even)
    target = piece.target.float()
    noise = torch.randn(target.shape, generator=generator, device=target.device)
    time = model.transformer.embed_time(torch.tensor([float(sampling.timestep(level))], device=target.device))
    velocity = model.transformer.denoise(torch.lerp(target, noise, level), time, piece.constants(model))
    error = (velocity - (noise - target)).square().mean(1)
    return (error * piece.weight).sum() / piece.weight.sum()


@contextmanager
def remade(transformer: Transformer) -> Iterator[None]:
    """While it lasts, what a block computed is forgotten and computed again for its gradients: memory of one block."""
    blocks = list(transformer.blocks)
    for block in blocks:
        vars(block)["forward"] = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del vars(block)["forward"]
