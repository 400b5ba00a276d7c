"""The noise levels and solvers, against the released tables and against diffusers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, SchedulerMixin, UniPCMultistepScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wan_animate_blender.wire import Solver
from wan_animate_server import sampling

SOLVERS = pytest.mark.parametrize("solver", list(Solver))


def timesteps(solver: Solver, steps: int) -> list[int]:
    return [sampling.timestep(sigma) for sigma in sampling.noise_levels(solver, steps)[:-1]]


def test_twenty_steps_of_dpmpp_are_told_to_the_network_as_the_released_code_tells_them():
    told = timesteps(Solver.DPMPP, 20)
    assert told[:5] == [1000, 989, 978, 965, 952]
    assert told[-2:] == [357, 208]


def test_four_steps_of_dpmpp_are_the_distilled_grid():
    assert timesteps(Solver.DPMPP, 4) == [1000, 937, 833, 625]


def test_unipc_starts_just_below_pure_noise():
    levels = sampling.noise_levels(Solver.UNIPC, 20)
    assert levels[0] == pytest.approx(5 * 0.999 / (1 + 4 * 0.999), abs=1e-15)
    assert timesteps(Solver.UNIPC, 20)[0] == 999
    assert max(a - b for a, b in zip(sampling.noise_levels(Solver.DPMPP, 20), levels, strict=True)) < 1e-3


@SOLVERS
@given(steps=st.integers(1, 100))
def test_noise_only_ever_falls_and_ends_at_zero(solver: Solver, steps: int):
    levels = sampling.noise_levels(solver, steps)
    assert len(levels) == steps + 1
    assert levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))


@SOLVERS
@given(steps=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_straight_path_leads_exactly_to_its_end(solver: Solver, steps: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    levels = sampling.noise_levels(solver, steps)
    start = levels[0] * noise + (1 - levels[0]) * clean

    def velocity(x: Tensor, sigma: float) -> Tensor:
        return noise - clean

    walked = list(sampling.solve(solver, velocity, start, levels))
    assert [step.index for step in walked] == list(range(steps))
    torch.testing.assert_close(walked[-1].sample, clean, rtol=0, atol=1e-12)
    torch.testing.assert_close(walked[0].estimate, clean, rtol=0, atol=1e-12)


def released(scheduler: SchedulerMixin, solver: Solver, steps: int) -> SchedulerMixin:
    """diffusers' solver on the released levels, which its own flow sigmas clamp at σ = 1."""
    levels = sampling.noise_levels(solver, steps)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = torch.tensor(levels, dtype=torch.float64)
    scheduler.timesteps = torch.tensor([sampling.timestep(sigma) for sigma in levels[:-1]])
    return scheduler


def reference(solver: Solver, steps: int, noise: Tensor, velocity: Callable[[Tensor, float], Tensor]) -> Tensor:
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 5.0, "solver_order": 2}
    kind = UniPCMultistepScheduler if solver is Solver.UNIPC else DPMSolverMultistepScheduler
    scheduler = released(kind(**flow), solver, steps)
    for sigma, told in zip(scheduler.sigmas[:-1].tolist(), scheduler.timesteps, strict=True):
        noise = scheduler.step(velocity(noise, sigma), told, noise, return_dict=False)[0]
    return noise


@SOLVERS
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 20])
def test_a_curved_path_is_walked_as_diffusers_walks_it(solver: Solver, steps: int):
    noise = torch.randn(1, 4, 2, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def velocity(x: Tensor, sigma: float) -> Tensor:
        return torch.sin(3 * x + sigma) - x * math.cos(5 * sigma)

    *_, last = sampling.solve(solver, velocity, noise, sampling.noise_levels(solver, steps))
    expected = reference(solver, steps, noise, velocity)
    rounding = 1e-9 if solver is Solver.UNIPC else 5e-6  # diffusers' DPM-Solver steps in 32 bit whatever it is given
    torch.testing.assert_close(last.sample, expected.double(), rtol=0, atol=rounding)


@SOLVERS
@pytest.mark.parametrize("taken", [1, 2, 3, 6])
def test_a_walk_that_was_stopped_goes_on_to_the_same_bits(solver: Solver, taken: int):
    noise = torch.randn(1, 4, 2, 8, generator=torch.Generator().manual_seed(0))
    levels = sampling.noise_levels(solver, 7)
    asked: list[float] = []

    def velocity(x: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return torch.sin(3 * x + sigma)

    whole = list(sampling.solve(solver, velocity, noise, levels))
    asked.clear()
    rest = list(sampling.solve(solver, velocity, noise, levels, whole[taken - 1]))
    assert [step.index for step in rest] == list(range(taken, 7))
    assert asked == list(levels[taken:-1])
    for step, expected in zip(rest, whole[taken:], strict=True):
        assert torch.equal(step.sample, expected.sample) and torch.equal(step.estimate, expected.estimate)


@SOLVERS
def test_a_solver_asks_for_one_velocity_a_step_and_only_when_it_is_asked_for_the_step(solver: Solver):
    asked: list[float] = []

    def velocity(x: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return x

    levels = sampling.noise_levels(solver, 5)
    walk = sampling.solve(solver, velocity, torch.ones(3), levels)
    assert asked == []
    next(walk)
    assert asked == [levels[0]]
    list(walk)
    assert asked == list(levels[:-1])
