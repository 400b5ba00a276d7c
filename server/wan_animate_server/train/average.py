"""The running mean of a network's weights, which draws better pictures than the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class Average(Generic[M]):
    """A copy of `module` in which the weights that are `learned` follow the module's own.

    Its memory grows with the steps up to `steps`.
    """

    def __init__(self, module: M, learned: Sequence[nn.Parameter], steps: int = 1000) -> None:
        copies: dict[int, Any] = {}
        self.module: M = deepcopy(module, copies).requires_grad_(requires_grad=False).eval()
        self._steps = steps
        self._seen = 0
        self._means = [copies[id(parameter)] for parameter in learned]
        self._learned = learned

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's weights of this step."""
        self._seen += 1
        # The first steps are forgotten soon: the mean reaches over a tenth of the steps so far.
        now = [parameter.detach() for parameter in self._learned]
        torch._foreach_lerp_(self._means, now, 1 / min(1 + 0.1 * self._seen, self._steps))
