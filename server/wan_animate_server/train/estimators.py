"""Training of the estimators that judge the small model: pose, identity, expression, on the made-up world alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate

from wan_animate_blender.wire import write_atomically

from .. import world
from ..evaluate import estimators as networks
from ..evaluate import reading
from ..evaluate.estimators import (
    WIDTHS,
    ExpressionNet,
    IdentityNet,
    Kind,
    PoseNet,
    Width,
    begin,
    cut,
    picture_boxes,
    write,
)
from ..evaluate.estimators import read as read_network
from ..world.motion import EXPRESSION_SPANS
from ..world.pairs import face_box
from . import examples as shown
from .autoencoder import channels_last
from .budget import Budget
from .descent import Descent, compiled, descend
from .pace import Pace, flops, timed
from .precision import autocast
from .record import Record, Report
from .team import Team, gathered

BATCH = 256
DRAWN = 4096
"""Clips, of one frame each, that are drawn together: the world is as fast for many as for few. At 256×256 pixels and in
all lights they take 4 GB."""

KEPT = 8
"""Such drawings from which batches are taken; every `RENEWED` steps another one is drawn."""
RENEWED = 256

JUDGED_FROM = 1 << 40
"""The first seed of the held-out clips that estimators are judged by: none that a model is judged by."""

SHARES = {Kind.POSE: 8.0, Kind.IDENTITY: 1.0, Kind.EXPRESSION: 3.0}
"""How the time is shared out."""

PORTRAITS = 0.6
"""One share for all three, so that all learn from the same drawings; a face is too small in most of the others."""
DESCENT = Descent(rate=1e-3, betas=(0.9, 0.99))
SEEDS = 1_000_000_007
TEMPERATURE = 0.1


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What is asked for."""

    out: Path
    source: Path | None
    """A folder whose estimators to go on from; None begins anew."""
    minutes: float
    """For all three together, drawing and compiling before the first step of each not counted."""
    steps: int | None
    """For each, instead of the time."""
    size: int
    """Pixels of a side of the pictures."""
    difficulty: float
    seed: int
    device: str


@dataclass(frozen=True, eq=False)
class Sight:
    """Clips of one frame, as estimators see them; everything on the device."""

    pictures: Tensor
    """uint8 [B, V, H, W, 3]: the character in all of its lights."""
    keypoints: Tensor
    """float32 [B, 133, 3] in all of them."""
    reference: Tensor
    """uint8 [B, H, W, 3]."""
    close: Tensor
    """uint8 [B, S, S, 3]: the actor's face, which has the same expression."""
    expression: Tensor
    """float32 [B, E]."""

    @classmethod
    def of(cls, clips: world.Clips) -> Sight:
        pictures = torch.stack([clips.frames, clips.relit, clips.neutral, clips.own], 2)[:, 0]
        return cls(pictures, clips.keypoints[:, 0], clips.reference, clips.face[:, 0], clips.expression[:, 0])


class Gallery:
    """The drawings that all kinds learn from, one after the other, and those that they are judged by."""

    def __init__(self, spec: world.Spec, device: torch.device, seed: int) -> None:
        self._spec, self._device, self._seed = spec, device, seed
        # Which drawing comes next is asked of the host: an answer of the device would be waited for in every step.
        self._choice = torch.Generator().manual_seed(seed)
        self._rows = torch.Generator(device).manual_seed(seed)
        self._kept: list[Sight] = []
        self._given = 0
        held = torch.arange(networks.OTHERS, device=device) + JUDGED_FROM
        self.held = Sight.of(world.clips(replace(spec, split="held-out"), held))

    def batch(self) -> Sight:
        """`BATCH` different ones of one drawing."""
        if self._given % RENEWED == 0:
            self._draw(self._seed * SEEDS + self._given * DRAWN)
        self._given += 1
        drawing = self._kept[int(torch.randint(len(self._kept), (), generator=self._choice))]
        rows = torch.randperm(DRAWN, device=self._device, generator=self._rows)[:BATCH]
        return Sight(*(getattr(drawing, name)[rows] for name in Sight.__dataclass_fields__))

    def _draw(self, first: int) -> None:
        with timed("drawing", self._device):
            seeds = torch.arange(DRAWN, device=self._device) + first
            self._kept = [*self._kept[1 - KEPT :], Sight.of(world.clips(self._spec, seeds))]


def train(errand: Errand) -> Iterator[Report]:
    """All three, one after the other; each is in `errand.out` whenever a report is given.

    Raises `BadInput`, `Unavailable`.
    """
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    with gathered(errand.device) as team:
        spec = world.Spec(errand.size, errand.size, 1, PORTRAITS, errand.difficulty, samples=1)
        gallery = Gallery(spec, team.device, team.seed(errand.seed))
        for kind in Kind:
            torch.manual_seed(errand.seed)
            network = read_network(errand.source, kind, team.device) if errand.source else begin(kind, WIDTHS[kind])
            network = network.to(team.device).requires_grad_(requires_grad=True)
            channels_last(network)
            yield from _recorded(kind, network, errand, _taught(kind, network, errand, gallery, team))


def _recorded(kind: Kind, network: nn.Module, errand: Errand, reports: Iterator[Report]) -> Iterator[Report]:
    """Each report after it is written, the network with the last of them."""
    record, report = Record(errand.out / "record", kind), None
    for report in reports:
        record.add(report)
        yield report
    if report is not None:
        write(errand.out, kind, network, WIDTHS[kind])
        _tell(errand, report)


def _tell(errand: Errand, report: Report) -> None:
    """Add to the card what it was trained on and how well it does."""
    path = errand.out / "card.json"
    card: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    asked = {name: getattr(errand, name) for name in ("size", "difficulty", "seed")}
    card.append({"date": datetime.now(UTC).date().isoformat(), **asked, **report.to_json()})
    write_atomically(path, (json.dumps(card, indent=1) + "\n").encode())


def _taught(kind: Kind, network: nn.Module, errand: Errand, gallery: Gallery, team: Team) -> Iterator[Report]:
    """Train `network` in place; afterwards it holds the averaged weights, and an identity's the `others`."""
    device = team.device
    team.share(network)
    generator = torch.Generator(device).manual_seed(team.seed(errand.seed))
    step_loss = partial(LOSSES[kind], compiled(network, device), generator)
    pace = Pace(kind, device, team.size * _flops(network, WIDTHS[kind], device) * BATCH)

    def judged(network: nn.Module, report: Report) -> Report:
        return replace(report, figures=JUDGES[kind](network, gallery.held))

    with timed(f"compiling the {kind}", device):
        torch.autograd.backward(step_loss(gallery.batch()))
    budget = _budget(kind, errand, team)
    last = yield from descend(network, lambda _: step_loss(gallery.batch()), DESCENT, pace, budget, team, judged)
    if isinstance(network, IdentityNet):
        network.others.copy_(_remembered(network, gallery.held))
    if team.leads:
        yield judged(network, last)


def _budget(kind: Kind, errand: Errand, team: Team) -> Budget:
    if errand.steps:
        return Budget(team, steps=errand.steps)
    return Budget(team, minutes=errand.minutes * SHARES[kind] / sum(SHARES.values()))


# --- losses ---------------------------------------------------------------------------------------


def pose_loss(network: PoseNet, generator: torch.Generator, sight: Sight) -> Tensor:
    """Laplace's: distances by how far off the network says that they may be, and the price of saying so."""
    pictures = _views(sight, generator)
    boxes = _framed(sight, generator)
    with autocast(pictures.device):
        places, spread = network(degraded(cut(pictures, boxes, network.size), generator))
    corner, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    truth = (sight.keypoints[..., :2] - corner) / sides
    there = (sight.keypoints[..., 2] > 0) & ((truth > 0) & (truth < 1)).all(-1)
    distance = ((places - truth).square().sum(-1) + 1e-8).sqrt()
    total: Tensor = ((distance / spread + 2 * spread.log()) * there).sum() / there.sum().clamp(min=1)
    return total


def identity_loss(network: IdentityNet, generator: torch.Generator, sight: Sight) -> Tensor:
    """Of all references in the batch, which one a picture shows, and the other way round (van den Oord et al. 2018)."""
    pictures = _views(sight, generator)
    height, width = pictures.shape[-2:]
    boxes = _shaken(reading.person_boxes(sight.keypoints, height, width), generator)
    whole = picture_boxes(len(boxes), height, width, boxes.device)
    with autocast(pictures.device):
        seen = network(degraded(cut(pictures, boxes, network.size), generator))
        known = network(cut(shown.video(sight.reference)[:, :, 0], _shaken(whole, generator), network.size))
    alike = seen.float() @ known.float().T / TEMPERATURE
    own = torch.arange(len(alike), device=alike.device)
    return (cross_entropy(alike, own) + cross_entropy(alike.T, own)) / 2


def expression_loss(network: ExpressionNet, generator: torch.Generator, sight: Sight) -> Tensor:
    """Laplace's, of faces cut from pictures and of faces drawn close, by turns."""
    pictures = _views(sight, generator)
    faces, there = _faces(network, pictures, sight.keypoints, generator)
    near = interpolate(shown.video(sight.close)[:, :, 0], (network.size, network.size), mode="area")
    seen = torch.rand(len(faces), device=faces.device, generator=generator) < 0.7
    with autocast(pictures.device):
        looked = torch.where(seen.view(-1, 1, 1, 1), degraded(faces, generator), near)
        values, spread = network(looked)
    error = (values.float() - sight.expression).abs() / spread + spread.log()
    total: Tensor = (error.mean(-1) * there).sum() / there.sum().clamp(min=1)
    return total


LOSSES: dict[Kind, Callable[..., Tensor]] = {
    Kind.POSE: pose_loss, Kind.IDENTITY: identity_loss, Kind.EXPRESSION: expression_loss,
}  # fmt: skip


def degraded(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Some of the pictures softened, and all a little noisy, as those of a small model are."""
    soft = interpolate(avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")
    chosen = torch.rand(len(pictures), 1, 1, 1, device=pictures.device, generator=generator)
    noise = torch.randn(pictures.shape, device=pictures.device, generator=generator)
    return torch.lerp(pictures, soft, (chosen < 0.4).float()) + 0.03 * chosen * noise


def _views(sight: Sight, generator: torch.Generator) -> Tensor:
    """Of each clip the picture in one light [B, 3, H, W], −1..1."""
    count, views = sight.pictures.shape[:2]
    device = sight.pictures.device
    which = torch.randint(views, (count,), device=device, generator=generator)
    chosen = sight.pictures[torch.arange(count, device=device), which]
    return shown.video(chosen)[:, :, 0]


def _framed(sight: Sight, generator: torch.Generator) -> Tensor:
    """Boxes [B, 4] of about the whole picture, or else all poses would be in the middle."""
    height, width = sight.pictures.shape[2:4]
    return _shaken(picture_boxes(len(sight.pictures), height, width, sight.pictures.device), generator)


def _shaken(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Each side moved by up to a sixteenth of the box."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    random = torch.rand(boxes.shape, device=boxes.device, generator=generator)
    return boxes + sides * (random - 0.5) / 8


def _faces(
    network: ExpressionNet, pictures: Tensor, keypoints: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Faces [B, 3, S, S] out of pictures, and which of them are large enough."""
    boxes = face_box(keypoints[:, None], *pictures.shape[-2:])[:, 0]
    large = (boxes[:, 2:] - boxes[:, :2]).amin(-1) >= reading.SMALLEST
    boxes = boxes if generator is None else _shaken(boxes, generator)
    return cut(pictures, boxes, network.size), large


# --- judges ---------------------------------------------------------------------------------------


@torch.inference_mode()
def judge_pose(network: PoseNet, held: Sight) -> Mapping[str, float]:
    """`error`: mean over clips of the error as a share of the person's height, at keypoints that are `judged`, a share
    of those in the picture; `error_all`: at all of these."""
    errors, everywhere, share = [], [], []
    estimate = reading.Estimators(network, None, None, held.pictures.device)  # type: ignore[arg-type]
    frames = np.asarray(held.pictures[:, 0].cpu().numpy(), np.uint8)
    read, keypoints = estimate.pose(frames), held.keypoints.cpu().numpy()
    for i in range(len(frames)):
        one = reading.Pose(read.points[i : i + 1], read.spread[i : i + 1])
        truth = keypoints[i : i + 1]
        tall = reading.height_of(truth)
        errors.append(reading.pose_error(one, truth, one.spread) / tall)
        everywhere.append(reading.pose_error(one, truth) / tall)
        there = truth[:, reading.BODY, 2] > 0
        share.append((one.spread[:, reading.BODY] < reading.UNSURE * tall)[there].mean() if there.any() else np.nan)
    return _means(error=errors, error_all=everywhere, judged=share)


@torch.inference_mode()
def judge_identity(network: IdentityNet, held: Sight) -> Mapping[str, float]:
    """`error`: the share of others who look more like a picture than its own reference; `distance`: 1 − cosine."""
    known = _remembered(network, held).cpu().numpy()
    pictures = shown.video(held.pictures[:, 0])[:, :, 0]
    boxes = reading.person_boxes(held.keypoints, *pictures.shape[-2:])
    seen = network(cut(pictures, boxes, network.size)).float().cpu().numpy()
    errors = [reading.confusion(seen[i : i + 1], own, np.delete(known, i, 0)) for i, own in enumerate(known)]
    distances = [reading.strangeness(seen[i : i + 1], own) for i, own in enumerate(known)]
    return _means(error=errors, distance=distances)


@torch.inference_mode()
def judge_expression(network: ExpressionNet, held: Sight) -> Mapping[str, float]:
    """`error`: mean distance as a share of the ranges, of the numbers that are `judged`; `error_all`: of all; `guess`:
    of one who always says the mean."""
    pictures = shown.video(held.pictures[:, 0])[:, :, 0]
    faces, there = _faces(network, pictures, held.keypoints, None)
    values, spread = (part.float().cpu().numpy()[there.cpu().numpy()] for part in network(faces))
    truth = held.expression.cpu().numpy()[there.cpu().numpy()]
    read = reading.Expression(values, spread)
    span = np.array([high - low for low, high in EXPRESSION_SPANS])
    return _means(
        error=[reading.expression_error(read, truth, spread)],
        error_all=[reading.expression_error(read, truth, 0 * spread)],
        judged=[float((spread / span < reading.VAGUE).mean())],
        guess=[float((np.abs(truth - truth.mean(0)) / span).mean())],
    )


JUDGES: dict[Kind, Callable[..., Mapping[str, float]]] = {
    Kind.POSE: judge_pose, Kind.IDENTITY: judge_identity, Kind.EXPRESSION: judge_expression,
}  # fmt: skip


def _remembered(network: IdentityNet, held: Sight) -> Tensor:
    """Directions [B, D] of the references."""
    pictures = shown.video(held.reference)[:, :, 0]
    height, width = pictures.shape[-2:]
    whole = picture_boxes(len(pictures), height, width, pictures.device)
    with torch.inference_mode():
        known: Tensor = network(cut(pictures, whole, network.size))
    return known.float()


def _means(**values: Sequence[float]) -> dict[str, float]:
    """Of what could be judged at all; what never could be is left out."""
    known = {name: [v for v in row if np.isfinite(v)] for name, row in values.items()}
    return {name: float(np.mean(row)) for name, row in known.items() if row}


def _flops(network: nn.Module, width: Width, device: torch.device) -> float:
    """Of one picture forwards and backwards."""
    return flops(lambda: network(torch.zeros(1, 3, width.size, width.size, device=device)))
