"""What each process of tests/train/test_team.py does, as torchrun starts it: `member.py FOLDER ORDER`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.train.conftest import make_small
from wan_animate_server import world
from wan_animate_server.train import run
from wan_animate_server.train.budget import Budget
from wan_animate_server.train.run import Order
from wan_animate_server.train.shape import Shape
from wan_animate_server.train.stages import Stage
from wan_animate_server.train.team import Team, gathered

INPUTS, OUTPUTS = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0)).unbind()
"""Examples, of which each of two processes sees a half."""


def learn(team: Team, inputs: Tensor, outputs: Tensor) -> Tensor:
    """The weights of a small network after some steps; it begins in another way in every process."""
    torch.manual_seed(team.rank)
    network = nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 5))
    team.share(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(20):
        optimiser.zero_grad()
        torch.autograd.backward((network(inputs) - outputs).square().mean())
        team.average(network.parameters())
        optimiser.step()
    return nn.utils.parameters_to_vector(network.parameters()).detach()


def main(folder: Path, order: Order) -> None:
    """Train as `order` says; leave in `folder` what this process knew in the end."""
    torch.set_num_threads(1)
    patch, known = pytest.MonkeyPatch(), dict[str, Any](seeds=[])
    make_small(torch.load(folder / "drawn.pt", weights_only=False), patch)
    clips, opened = world.clips, run.Workshop.open

    def seen(spec: world.Spec, seeds: Tensor) -> world.Clips:
        known["seeds"] += seeds.tolist() if spec.split == "train" else []
        return clips(spec, seeds)

    @contextmanager
    def noted(device: str) -> Iterator[Team]:
        with gathered(device) as team:
            known["rank"] = team.rank
            known["learned"] = learn(team, INPUTS.chunk(2)[team.rank], OUTPUTS.chunk(2)[team.rank])
            # The leader's clock counts, whatever the others think.
            budget = Budget(team, minutes=0.001 if team.leads else 1000)
            known["steps"] = next(step for step in range(10**9) if budget.spent(step) == 1)
            yield team

    patch.setattr(world, "clips", seen)
    patch.setattr(run, "gathered", noted)
    patch.setattr(run.Workshop, "open", lambda *given: known.setdefault("workshop", opened(*given)))
    known["reports"] = len(list(run.train(order)))
    networks = known.pop("workshop").networks
    known["weights"] = {f"{i}.{k}": v for i, each in enumerate(networks) for k, v in each.state_dict().items()}
    torch.save(known, folder / f"{known['rank']}.pt")


if __name__ == "__main__":
    asked = json.loads(sys.argv[2])
    paths = {name: Path(asked[name]) for name in ("out", "source")}
    lists = {"stages": [Stage(stage) for stage in asked["stages"]], "shapes": [Shape(**s) for s in asked["shapes"]]}
    main(Path(sys.argv[1]), Order(**{**asked, **paths, **lists}))
