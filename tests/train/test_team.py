"""Processes that train together stay alike, learn from everybody's clips, and end together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from wan_animate_server import world
from wan_animate_server.train.autoencoder import SEEDS
from wan_animate_server.train.run import Order
from wan_animate_server.train.stages import Stage
from wan_animate_server.train.team import Team

from .conftest import SHAPE, SHORT
from .member import INPUTS, OUTPUTS, learn

ROOT = Path(__file__).parents[2]
STEPS = 3


def run_two(folder: Path, order: Order, drawn: world.Clips) -> list[dict[str, Any]]:
    """What each of two processes knew in the end."""
    torch.save(drawn, folder / "drawn.pt")
    asked = json.dumps(asdict(order), default=str)
    started = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
         "tests.train.member", str(folder), asked],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'server'}"}, capture_output=True, text=True,
        timeout=1200, check=False,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def test_two_processes_train_as_one_on_twice_the_clips(
    order: Callable[..., Order], drawn: world.Clips, tmp_path: Path
) -> None:
    asked = order(Stage.VAE, Stage.BODY, Stage.FACE, steps=STEPS, shapes=(SHORT, SHAPE))
    first, second = run_two(tmp_path, asked, drawn)

    # Each on its half, they learned what one learns from the whole.
    torch.testing.assert_close(first["learned"], second["learned"], atol=0, rtol=0)
    alone = learn(Team(torch.device("cpu")), INPUTS, OUTPUTS)
    torch.testing.assert_close(first["learned"], alone, atol=1e-5, rtol=1e-4)

    # After whole stages, averages of weights and statistics of latents included, nothing differs.
    assert first["weights"].keys() == second["weights"].keys()
    assert all(torch.equal(weight, second["weights"][name]) for name, weight in first["weights"].items())

    # Trained on the clips of both, of which none was seen by the other; the latents' statistics are of the same clips.
    ours, theirs = ({seed for seed in known["seeds"] if seed // SEEDS != asked.seed} for known in (first, second))
    assert ours and theirs and not ours & theirs
    assert set(first["seeds"]) - ours == set(second["seeds"]) - theirs

    # Only the leader reports and writes, and its clock ends the training of both.
    assert first["reports"] == 3 and second["reports"] == 0
    assert first["steps"] == second["steps"] > 0
    card = json.loads((asked.out / "card.json").read_text())
    told = [(entry["stage"], entry["step"], entry["processes"]) for entry in card]
    assert told == [("vae", 3, 2), ("body", 3, 2), ("face", 3, 2)]
