"""How much training there is left for a team, and the learning rate that goes with it. Knows no network."""

from __future__ import annotations

import math
import time

from .team import Team

WARM_UP = 200
"""Steps in which the optimiser's moments fill; also after a resume, which begins with empty ones."""

AGREED = 8
"""Steps for which a team goes by the same clock reading: asking the leader makes hosts wait for each other."""


class Budget:
    """An end in minutes or in steps, whichever is given. Time runs from `begin`: compiling is no training."""

    def __init__(self, team: Team, *, minutes: float | None = None, steps: int | None = None) -> None:
        """`minutes` are those until the end, from now; with neither there would be no end: raises `ValueError`."""
        if minutes is None and steps is None:
            raise ValueError("a budget has minutes or steps")
        self.steps = steps
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self._begun = time.monotonic()
        self._team = team
        self._spent = 0.0
        self._until = 0

    def begin(self) -> None:
        """Preparations are over."""
        self._begun = time.monotonic()
        self._until = 0

    def spent(self, step: int) -> float:
        """The share of the budget that is used before `step`, 0..1; depends on steps alone where those are given.

        Else all of the team must ask for the same steps in the same order, and are told the leader's share.
        """
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        if step >= self._until:
            now = (time.monotonic() - self._begun) / max(self._end - self._begun, 1e-9)
            (self._spent,) = self._team.agree([min(now, 1.0)])
            self._until = step + AGREED if self._team.size > 1 else 0
        return self._spent

    def rate(self, step: int) -> float:
        """The learning rate as a share of its peak: a short ramp, then half a cosine down to nothing."""
        ramp = min((step + 1) / min(WARM_UP, (self.steps or math.inf) / 10), 1.0)
        return ramp * (1 + math.cos(math.pi * self.spent(step))) / 2
