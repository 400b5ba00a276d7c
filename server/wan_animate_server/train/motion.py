"""Training of the motion encoder before the transformer's: its coordinates shall tell an expression, whoever has it.

The released model began with an encoder that was trained before, too (Wang et al., "Latent Image Animator", ICLR 2022).
What clips teach it is little at first: a face that is not drawn well yet looks no better for the right expression.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from .. import world
from ..model.motion import MotionConfig, MotionEncoder
from ..world.motion import EXPRESSION_SPANS
from . import examples as shown
from .budget import Budget
from .descent import Descent, compiled, descend
from .estimators import PORTRAITS, Gallery, Sight
from .pace import Pace, flops, timed
from .record import Report
from .stages import hurried
from .team import Team

DESCENT = Descent(rate=1e-3, betas=(0.9, 0.99), hurry=hurried)
SIZE = 256
"""Pixels of a side of the pictures whose faces are seen."""


class Reader(nn.Module):
    """The encoder, and one layer after it that reads an expression off its coordinates; the layer is thrown away."""

    def __init__(self, motion_encoder: MotionEncoder, config: MotionConfig) -> None:
        super().__init__()
        self.motion_encoder = motion_encoder
        self.size = config.size
        self.layer = nn.Linear(config.motion_dim, len(EXPRESSION_SPANS))

    def forward(self, faces: Tensor) -> Tensor:
        """uint8 [B, S, S, 3] → the expression [B, E], −½..½ of each number's range."""
        small = shown.video(shown.shrunk(faces[:, None], self.size))[:, :, 0]
        expression: Tensor = self.layer(self.motion_encoder.enc(small))
        return expression


def train(
    encoder: MotionEncoder, config: MotionConfig, difficulty: float, budget: Budget, seed: int, team: Team
) -> Iterator[Report]:
    """Train `encoder` in place; its directions stay as they are. Reports are the leader's."""
    device = team.device
    reader = Reader(encoder, config).to(device)
    team.share(reader)
    encoder.enc.requires_grad_(requires_grad=True)
    gallery = Gallery(world.Spec(SIZE, SIZE, 1, PORTRAITS, difficulty, samples=1), device, team.seed(seed))
    of = compiled(partial(loss, reader), device)
    one = gallery.batch()
    pace = Pace("motion", device, team.size * flops(lambda: loss(reader, one.close, one.expression)))

    def step_loss(_: int) -> Tensor:
        seen = gallery.batch()
        return of(seen.close, seen.expression)

    with timed("compiling the motion encoder", device):
        torch.autograd.backward(step_loss(0))
    last = yield from descend(reader, step_loss, DESCENT, pace, budget, team, partial(judged, gallery.held))
    if team.leads:
        yield judged(gallery.held, reader, last)


def loss(reader: Reader, faces: Tensor, expression: Tensor) -> Tensor:
    """Mean square of the distance, of the faces that there are."""
    off = (reader(faces) - shares(expression)).square().mean(-1)
    there = present(faces)
    total: Tensor = (off * there).sum() / there.sum().clamp(min=1)
    return total


def shares(expression: Tensor) -> Tensor:
    """[B, E] as shares of the ranges, −½..½."""
    low, high = torch.tensor(EXPRESSION_SPANS, device=expression.device).T
    share: Tensor = (expression - low) / (high - low) - 0.5
    return share


def present(faces: Tensor) -> Tensor:
    """bool [B]: not black."""
    return faces.flatten(1).amax(1) > 0


@torch.inference_mode()
def judged(held: Sight, reader: Reader, report: Report) -> Report:
    """`report` with the mean distance on held-out faces as a share of the ranges, and that of who says the mean."""
    there = present(held.close)
    truth, read = shares(held.expression)[there], reader(held.close)[there]
    error, guess = (read - truth).abs().mean(), (truth - truth.mean(0)).abs().mean()
    return replace(report, figures={"error": float(error), "guess": float(guess)})
