"""The running mean of a network's weights, which draws better pictures than the last of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class Average(Generic[M]):
    """A copy of `module` whose weights follow the module's own; its memory grows with the steps up to `steps`."""

    def __init__(self, module: M, steps: int = 1000) -> None:
        self.module: M = deepcopy(module).requires_grad_(requires_grad=False).eval()
        self._steps = steps
        self._seen = 0
        pairs = zip(self.module.parameters(), module.parameters(), strict=True)
        self._pairs = [(mean, now) for mean, now in pairs if now.requires_grad]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's weights of this step."""
        self._seen += 1
        means, now = zip(*self._pairs, strict=True)
        # The first steps are forgotten soon: the mean reaches over a tenth of the steps so far.
        torch._foreach_lerp_(means, [p.detach() for p in now], 1 / min(1 + 0.1 * self._seen, self._steps))
