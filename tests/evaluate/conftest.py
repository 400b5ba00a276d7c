"""A few held-out clips of the world, drawn once, and estimators that are small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from wan_animate_server import world

SIZE, FRAMES, CLIPS = 32, 5, 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def drawn() -> world.Clips:
    """Clips that nobody trains on, half of them portraits."""
    return world.clips(world.Spec(SIZE, SIZE, FRAMES, split="held-out"), torch.arange(CLIPS))
