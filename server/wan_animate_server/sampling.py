"""Noise levels and the two solvers of the released code. Knows a velocity, not a network.

Flow matching: x(σ) = (1 − σ)·clean + σ·noise, and the velocity is dx/dσ = noise − clean. Both solvers
work on the estimate of the clean sample, x − σ·v, in the half log signal-to-noise ratio λ = log((1 − σ)/σ).
Coefficients are Python floats (64 bit), samples keep their own type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from wan_animate_blender.wire import Solver

Velocity = Callable[[Tensor, float], Tensor]
"""dx/dσ of a sample at a noise level σ."""

Estimate = tuple[Tensor, float]
"""A clean sample, and the noise level it was estimated at."""

Level = TypeVar("Level", float, Tensor)

SHIFT = 5.0
"""How far the released model bends its noise levels towards the noisy end."""

UNIPC_FIRST = 1 - 1 / 1000
"""Where the released UniPC starts before the shift: the second of its 1000 training levels, not pure noise."""


@dataclass(frozen=True, eq=False)
class Step:
    """All that a solver knows after one step: from it the walk goes on to the same bits."""

    index: int
    sample: Tensor
    """At the next noise level; after the last step, the result."""
    start: Tensor
    """What the step went from, which UniPC corrects by the next velocity."""
    estimates: tuple[Tensor, ...]
    """Of the clean sample: from this step's velocity last, from that of the step before first."""

    def to(self, device: torch.device) -> Step:
        """The same on another device."""
        estimates = tuple(estimate.to(device) for estimate in self.estimates)
        return Step(self.index, self.sample.to(device), self.start.to(device), estimates)

    @property
    def estimate(self) -> Tensor:
        """Of the clean sample, from this step's velocity."""
        return self.estimates[-1]


def noise_levels(solver: Solver, steps: int) -> tuple[float, ...]:
    """The steps + 1 values of σ from noise to 0 (`get_sampling_sigmas` and `FlowUniPCMultistepScheduler`)."""
    first = UNIPC_FIRST if solver is Solver.UNIPC else 1.0
    return (*(shifted(first * (1 - i / steps)) for i in range(steps)), 0.0)


def shifted(level: Level) -> Level:
    """σ of a level that was even from 0 to 1, a number or a tensor of them."""
    return SHIFT * level / (1 + (SHIFT - 1) * level)


def timestep(sigma: float) -> int:
    """The whole number from 0 to 1000 by which the network is told σ."""
    return int(1000 * sigma)


def solve(
    solver: Solver, velocity: Velocity, noise: Tensor, levels: tuple[float, ...], begun: Step | None = None
) -> Iterator[Step]:
    """Walk from `noise` at `levels[0]` to the sample at `levels[-1]`, one step for each velocity.

    After `begun`, a step of the same walk, only those that are left are taken.
    """
    walk = unipc if solver is Solver.UNIPC else dpmpp
    return walk(velocity, noise, levels, begun)


def dpmpp(velocity: Velocity, x: Tensor, levels: tuple[float, ...], begun: Step | None = None) -> Iterator[Step]:
    """DPM-Solver++(2M), midpoint form, first order at the start and to σ = 0 (Lu et al. 2022, algorithm 2)."""
    first, start, x, history = _standing(begun, x, levels)
    for i, (now, then) in enumerate(pairwise(levels[first:]), start=first):
        clean = x - now * velocity(x, now)
        history = [*history[-1:], (clean, now)]
        start, x = x, _predict(x, history, then)
        yield Step(i, x, start, tuple(estimate for estimate, _ in history))


def unipc(velocity: Velocity, x: Tensor, levels: tuple[float, ...], begun: Step | None = None) -> Iterator[Step]:
    """UniPC-2, B(h) = e^h − 1, data prediction: each sample is corrected by the next velocity (Zhao et al. 2023)."""
    first, start, x, history = _standing(begun, x, levels)
    for i, (now, then) in enumerate(pairwise(levels[first:]), start=first):
        clean = x - now * velocity(x, now)
        start = _correct(start, clean, now, history) if history else x
        history = [*history[-1:], (clean, now)]
        x = _predict(start, history, then)
        yield Step(i, x, start, tuple(estimate for estimate, _ in history))


def _standing(
    begun: Step | None, noise: Tensor, levels: tuple[float, ...]
) -> tuple[int, Tensor, Tensor, list[Estimate]]:
    """The next step's index, what the last one went from, the sample, and the estimates with their levels."""
    if begun is None:
        return 0, noise, noise, []
    first = begun.index + 1
    seen = levels[first - len(begun.estimates) : first]
    return first, begun.start, begun.sample, list(zip(begun.estimates, seen, strict=True))


def _predict(x: Tensor, history: list[Estimate], then: float) -> Tensor:
    """From `x` at the level of the last estimate to `then`, by the last two estimates where both are of use."""
    clean, now = history[-1]
    x_then = _first_order(x, clean, now, then)
    if len(history) == 1 or then == 0:
        return x_then
    old, earlier = history[0]
    # Coming from σ = 1 the earlier λ is −inf, and this weight 0: first order again.
    weight = (_snr(then) - _snr(now)) / (_snr(now) - _snr(earlier))
    return x_then + _gain(now, then) * weight / 2 * (clean - old)


def _correct(start: Tensor, clean: Tensor, now: float, history: list[Estimate]) -> Tensor:
    """The step that led to `now` taken again from `start`, knowing the `clean` estimate at its end (UniC)."""
    last, since = history[-1]
    gain, x = _gain(since, now), _first_order(start, last, since, now)
    if len(history) == 1:
        return x + gain / 2 * (clean - last)
    old, earlier = history[0]
    ratio = (_snr(earlier) - _snr(since)) / (_snr(now) - _snr(since))
    first, second = _moments(_snr(now) - _snr(since))
    past = (first - second) / (1 - ratio)
    return x + gain * (past / ratio * (old - last) + (first - past) * (clean - last))


def _moments(h: float) -> tuple[float, float]:
    """Right-hand side of UniC's order conditions, k!·φ(k+1)(−h)/φ1 for k = 1, 2 (UniPC, eq. 5 with B = φ1)."""
    whole = math.expm1(-h)
    first = whole / -h - 1
    second = first / -h - 1 / 2
    return first / whole, 2 * second / whole


def _first_order(x: Tensor, clean: Tensor, now: float, then: float) -> Tensor:
    return then / now * x + _gain(now, then) * clean


def _gain(now: float, then: float) -> float:
    """(1 − then)·(1 − e^(−h)), h the growth of λ, in a form without logarithms: finite at σ = 1 and σ = 0."""
    return (1 - then) - (1 - now) * then / now


def _snr(sigma: float) -> float:
    """λ, half the log signal-to-noise ratio; −inf at pure noise."""
    return math.log((1 - sigma) / sigma) if sigma < 1 else -math.inf
