"""The steps of every training: gradients down to a lower loss, with an average of the weights on the way.

Knows no data and no picture: a loss comes in for each step, and reports of how it stands go out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from .average import Average
from .budget import Budget
from .pace import Pace
from .record import Report
from .team import Team

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Descent:
    """How the optimiser, AdamW, goes."""

    rate: float
    """Peak of the learning rate of one process."""
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 1e-2
    """Of the weights."""
    trains: Callable[[str], bool] = lambda _: True
    """Whether a parameter of this name is changed, of those that want gradients."""
    hurry: Callable[[str], float] = lambda _: 1.0
    """The learning rate of a parameter of this name, as a multiple."""


def descend(
    module: M,
    loss: Callable[[int], Tensor],
    descent: Descent,
    pace: Pace,
    budget: Budget,
    team: Team,
    judged: Callable[[M, Report], Report],
) -> Generator[Report, None, Report]:
    """Train `module` in place by the `loss` of every step; in the end it holds the average.

    All that wants gradients gets them, so that a compiled loss is the same whatever is changed.
    The leader gives `judged` reports of the average while it goes on. Returns the last report, not judged.
    """
    named = {n: each for n, each in module.named_parameters() if each.requires_grad and descent.trains(n)}
    learned = list(named.values())
    groups = [
        {"params": [each for name, each in named.items() if descent.hurry(name) == hurry], "hurry": hurry}
        for hurry in sorted(set(map(descent.hurry, named)))
    ]
    fused = team.device.type == "cuda"
    optimiser = torch.optim.AdamW(groups, lr=descent.rate, betas=descent.betas, weight_decay=descent.decay, fused=fused)
    average = Average(module, learned)
    for step in pace.steps(budget):
        for group in optimiser.param_groups:
            group["lr"] = descent.rate * group["hurry"] * team.haste * budget.rate(step)
        module.zero_grad(set_to_none=True)
        value = loss(step)
        torch.autograd.backward(value)
        team.average(learned)
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        average.update()
        pace.add(value)
        if team.leads and pace.due():
            yield judged(average.module, pace.report())
            pace.resume()
    last = pace.report()
    module.load_state_dict(average.module.state_dict())
    module.requires_grad_(requires_grad=False)
    return last


def compiled(function: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """Fused on a GPU; as it is on a CPU, where compiling takes longer than tiny trainings."""
    return torch.compile(function, dynamic=False) if device.type == "cuda" else function
