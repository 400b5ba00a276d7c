"""A plan tells what a render takes, from sizes alone, and says no before anything is loaded."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import conv2d, linear, scaled_dot_product_attention

from wan_animate_blender.wire import ExitCode, Plan, Precision, Settings, TryElsewhere
from wan_animate_server.cost import Kind, measure
from wan_animate_server.forecast import RATES, Forecast, choose, forecast
from wan_animate_server.placement import Residence
from wan_animate_server.sizes import Sizes

from .conftest import QUICK, Make, command

RELEASED = Settings(model="wan-animate-14b", precision=Precision.BF16, plan=Plan.OFFICIAL)


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


# --- what a computation costs ---------------------------------------------------------------------


def test_operations_are_counted_by_kind() -> None:
    def work() -> None:
        linear(empty(7, 5), empty(3, 5), empty(3))
        conv2d(empty(1, 2, 8, 8), empty(4, 2, 3, 3))
        scaled_dot_product_attention(empty(1, 2, 10, 4), empty(1, 2, 20, 4), empty(1, 2, 20, 4))

    assert measure(work).flop == {
        Kind.LINEAR: 2 * 7 * 5 * 3,
        Kind.CONVOLUTION: 2 * 4 * 6 * 6 * 2 * 9,
        Kind.ATTENTION: 2 * 2 * (2 * 10 * 20 * 4),
    }


def test_the_peak_is_what_is_held_at_once_and_not_what_came_and_went() -> None:
    x = empty(1000)

    def work() -> None:
        for _ in range(10):
            y = x + 1  # 4000 bytes, beside those of the round before
            y.view(10, 100).mul_(2)  # none
        y + y

    assert measure(work).peak == 8000


def test_attention_holds_no_matrix_of_all_queries_and_keys() -> None:
    q = empty(1, 1, 10_000, 8)
    assert measure(lambda: scaled_dot_product_attention(q, q, q)).peak == q.nbytes


# --- forecasts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Forecast:
    """Two segments of 832×480."""
    return forecast(Sizes(), RELEASED, 149, 832, 480)


def published_step(tokens: int, frames: int = 21) -> float:
    """Operations of one forward of the released transformer, counted by hand from its layers."""
    D, F, keys = 5120, 13824, 512 + 257
    block = 8 * tokens * D**2 + 4 * tokens**2 * D + 4 * tokens * D**2 + 4 * tokens * keys * D + 4 * tokens * D * F
    face = 4 * tokens * D**2 + 4 * tokens * 5 * D
    return 40 * block + 8 * face + 2 * tokens * D * 64 + 2 * tokens * D * 64


def test_the_operations_of_the_released_sizes_are_the_published_ones(small: Forecast) -> None:
    assert (small.segments, small.length, small.tokens) == (2, 77, 32_760)
    stages = {stage.name: stage for stage in small.stages}
    assert stages["step"].cost.total == pytest.approx(published_step(32_760), rel=1e-3)
    assert stages["step"].times == 2 * 20
    vae = 2 * stages["encode"].cost.total + stages["decode"].cost.total
    assert vae == pytest.approx(576e12, rel=0.01)


def test_bytes_of_weights_are_those_of_the_released_files(small: Forecast) -> None:
    transformer, vae = 2 * 17_274_816_884, 4 * 126_892_531
    assert small.weights[Residence.RESIDENT] == transformer + vae
    assert small.weights[Residence.STREAMED] < small.weights[Residence.HOT] < small.weights[Residence.RESIDENT]


def test_guidance_doubles_the_steps_and_costs_memory(small: Forecast) -> None:
    guided = forecast(Sizes(), replace(RELEASED, guidance=3.0), 149, 832, 480)
    assert {s.name: s.times for s in guided.stages}["step"] == 2 * 40
    assert guided.needed(Residence.HOT) > small.needed(Residence.HOT)


def test_the_estimate_is_counted_operations_over_measured_rates(small: Forecast) -> None:
    rates = RATES["NVIDIA H200", Precision.BF16]
    expected = sum(n * s.times / rates[kind] for s in small.stages for kind, n in s.cost.flop.items())
    assert small.seconds("NVIDIA H200", Precision.BF16) == pytest.approx(expected)
    assert 100 < expected < 130
    assert small.seconds("NVIDIA H200", Precision.FP32) is None
    assert small.seconds("a device nobody measured", Precision.BF16) is None


@pytest.mark.parametrize("residence", list(Residence))
def test_the_fastest_placement_that_fits_is_chosen(small: Forecast, residence: Residence) -> None:
    needed = small.needed(residence)
    assert choose(small, needed) is residence
    slower = [r for r in Residence if small.needed(r) < needed]
    if slower:
        assert choose(small, needed - 1) is slower[0]
    else:
        with pytest.raises(TryElsewhere, match=r"832×480 .* needs .* GB .* choose a smaller area"):
            choose(small, needed - 1)


def test_without_a_device_of_its_own_everything_is_resident(small: Forecast) -> None:
    assert choose(small, None) is Residence.RESIDENT


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(make_shot: Make) -> Path:
    return make_shot(settings=replace(QUICK, model="wan-animate-14b", precision=Precision.BF16))


def run(*arguments: str | Path, models: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"WAN_ANIMATE_MODELS": str(models)}
    return subprocess.run(command("plan", *arguments), capture_output=True, text=True, timeout=900, env=environment)


def test_a_plan_needs_no_weights(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "--json", "--memory", "16", models=tmp_path / "none")
    assert done.returncode == ExitCode.DONE, done.stderr
    told = json.loads(done.stdout)
    assert (told["frames"], told["segments"], told["length"]) == (9, 2, 5)
    assert (told["width"], told["height"], told["tokens"]) == (64, 48, 3 * 3 * 4)
    assert told["residence"] == "streamed"
    assert told["estimated_seconds"] is None
    assert {stage["name"] for stage in told["stages"]} == {"text", "picture", "encode", "keys", "step", "decode"}
    assert all(stage["flop"] > 0 and stage["bytes"] > 0 for stage in told["stages"])


def test_a_shot_that_does_not_fit_is_told_and_ends_with_75(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "--memory", "1", models=tmp_path / "none")
    assert done.returncode == ExitCode.TRY_ELSEWHERE
    assert "it does not fit" in done.stdout
    assert "no estimate of the time" in done.stdout
    assert len(done.stderr.splitlines()) == 1
