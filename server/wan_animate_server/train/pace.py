"""The clock of a stage: counts steps, sums losses on the device, and says how fast it goes. Knows no network."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from .budget import Budget
from .record import Report

log = logging.getLogger(__name__)

FIRST, EVERY = 20.0, 60.0
"""Seconds to the first report, early enough to stop what goes wrong, and between reports."""


class Pace:
    """Nothing here waits for the device but `report`."""

    def __init__(self, stage: str, device: torch.device, flops: float, kinds: int = 1) -> None:
        """`flops` are those of a step of the whole team, forwards and backwards, of all `kinds` in the mean.

        The kinds take turns, and each is compiled when it is first met.
        """
        self.stage = stage
        self._kinds = kinds
        self.count = 0
        self._flops = flops
        self._total = torch.zeros((), device=device)
        self._summed = 0
        self._begun = self._last = time.monotonic()
        self._wait = FIRST

    def steps(self, budget: Budget) -> Iterator[int]:
        """Step numbers until `budget` is spent. The first of each kind, in which kernels are compiled, is not timed."""
        while budget.spent(self.count) < 1:
            yield self.count
            self.count += 1
            if self.count == self._kinds:
                budget.begin()
                self._begun = self._last = time.monotonic()

    def add(self, loss: Tensor) -> None:
        """Take in the loss of a step."""
        self._total += loss.detach()
        self._summed += 1

    def due(self) -> bool:
        """Whether it is time for a report; never while kernels are compiled."""
        return self.count >= self._kinds and time.monotonic() - self._last > self._wait

    def report(self) -> Report:
        """What happened since the last report."""
        loss = (self._total / max(self._summed, 1)).item()  # waits for the device
        now = time.monotonic()
        rate = self._summed / max(now - self._last, 1e-9)
        report = Report(
            stage=self.stage, step=self.count, seconds=now - self._begun, loss=loss,
            steps_per_second=rate, tflops=rate * self._flops / 1e12,
        )  # fmt: skip
        self._total.zero_()
        self._summed = 0
        self._wait = EVERY
        return report

    def resume(self) -> None:
        """The time of validation and writing is over, and is nobody's step."""
        self._last = time.monotonic()


def flops(run: Callable[[], object], passes: float = 3.0) -> float:
    """Of a step, `passes` times what `run` does: once forwards and twice on the way back, unless more is told."""
    counter: Any = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        run()
    return passes * float(counter.get_total_flops())


@contextmanager
def timed(what: str, device: torch.device) -> Iterator[None]:
    """Say in the log how long `what` took on the device. Waits for it: not for what happens in every step."""
    begun = time.monotonic()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    log.info("%s took %.3f s", what, time.monotonic() - begun)
