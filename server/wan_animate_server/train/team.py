"""The processes of one host that train together, each with clips and a device of its own; or one alone.

Knows tensors, no network: every process does the same steps, and the gradients' mean is what keeps them alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..weights import find_device

PATIENCE = timedelta(hours=1)
"""How long one process may wait for another: the first looks at pictures and writes while the others stand still."""


@dataclass(frozen=True)
class Team:
    """A process's place among those that train together."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process judges, reports and writes for all."""
        return self.rank == 0

    @property
    def haste(self) -> float:
        """How much larger the steps may be, since their gradients are means over more clips."""
        return float(self.size**0.5)

    def seed(self, seed: int) -> int:
        """Another one for each process and each `seed`."""
        return seed * self.size + self.rank

    def share(self, module: nn.Module) -> None:
        """The leader's parameters for everybody."""
        self._together([p.data for p in module.parameters()], lambda flat: dist.broadcast(flat, 0))

    def average(self, parameters: Iterable[Tensor]) -> None:
        """The mean of everybody's gradients in the place of one's own; does not wait for the device."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        self._together(gradients, lambda flat: dist.all_reduce(flat.div_(self.size)))

    def agree(self, values: Sequence[float]) -> list[float]:
        """The leader's `values`; waits until it has them."""
        if self.size == 1:
            return list(values)
        # On the CPU, through gloo: what the device still has to do is waited for by nobody.
        told = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(told, 0)
        return told.tolist()

    def _together(self, tensors: Sequence[Tensor], collective: Callable[[Tensor], object]) -> None:
        """One message for all tensors, since every message has its price."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        collective(flat)
        parts = flat.split_with_sizes([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)])


@contextmanager
def gathered(device: str) -> Iterator[Team]:
    """The team that `torchrun` has started this process for, on its own one of the devices called `device`.

    Started otherwise, a process is a team alone. Raises `BadInput` or `Unavailable` as `find_device`.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(find_device(device))
        return
    own = find_device(f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo", timeout=PATIENCE)
    team = Team(own, dist.get_rank(), size)
    yield team
    # Not after an error: torchrun ends the others then, and nobody would answer.
    team.agree([0.0])
    dist.destroy_process_group()
