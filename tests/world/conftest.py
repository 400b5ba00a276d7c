"""A handful of clips, made once for all tests of the world."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wan_animate_server import world


@pytest.fixture(scope="session")
def spec() -> world.Spec:
    return world.Spec(64, 48, 5)


@pytest.fixture(scope="session")
def seeds() -> Tensor:
    return torch.tensor([3, 8, 21])


@pytest.fixture(scope="session")
def clips(spec: world.Spec, seeds: Tensor) -> world.Clips:
    with torch.inference_mode():
        return world.clips(spec, seeds)
