"""How far a render is, and how long it will still take. Knows neither models nor files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a person who waits wants to know. Its fields are those of `wire.Job`."""

    stage: str
    progress: float = 0.0
    """0 to 1."""
    segment: int = 0
    """The segment in work, counted from 1."""
    segments: int = 0
    step: int = 0
    steps: int = 0
    frames: int = 0
    """Frames that lie in the take folder."""
    seconds_left: float | None = None
    """None until a first step was measured."""
    preview: Path | None = None
    """A small picture of what the model is making, while it does."""
    message: str = ""
    """What is worth knowing of this render, when it happens."""


@dataclass
class Stopwatch:
    """The time that each stage took, in seconds."""

    clock: Callable[[], float] = time.monotonic
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def lap(self, stage: str) -> float:
        """Book the time since the last call to `stage`, and return it."""
        now = self.clock()
        took, self._last = now - self._last, now
        self.seconds[stage] = self.seconds.get(stage, 0.0) + took
        return took


@dataclass
class Pace:
    """An estimate of what is left, from the steps and segments measured so far."""

    _stepping: float = 0.0
    _steps: int = 0
    _around: float = 0.0
    _segments: int = 0
    _around_now: float = 0.0
    """Of the segment in work."""

    def stepped(self, seconds: float) -> None:
        """A step took `seconds`."""
        self._stepping += seconds
        self._steps += 1

    def around(self, seconds: float) -> None:
        """Something outside the steps of a segment took `seconds`: conditioning, decoding, writing."""
        self._around_now += seconds

    def delivered(self) -> None:
        """A segment was computed to its end."""
        self._around += self._around_now
        self._around_now = 0.0
        self._segments += 1

    def seconds_left(self, steps: int, segments: int) -> float | None:
        """For `steps` more steps of the `segments` that are not delivered. None before the first measured step."""
        if not self._steps:
            return None
        around = self._around / self._segments if self._segments else self._around_now
        return steps * self._stepping / self._steps + max(segments * around - self._around_now, 0.0)
