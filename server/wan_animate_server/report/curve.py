"""Numbers of frames as a line in SVG. Knows neither what they mean nor HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 100.0


@dataclass(frozen=True)
class Curve:
    """A line of `WIDTH`×`HEIGHT` units, each frame in the middle of its part of the width."""

    path: str
    """The `d` of a `path`; there is a gap where a frame has no number, and a dot where one is alone."""
    top: float
    """The number at the upper edge; 0 is at the lower."""
    across: float | None
    """How far down the line lies that was asked for."""


def curve(values: Sequence[float | None], across: float | None) -> Curve:
    """The line of `values`, which are 0 or more, and where the number `across` lies beside them."""
    top = max([value for value in (*values, across) if value], default=1.0)
    steps, down = [], False
    for i, value in enumerate(values):
        if value is not None:
            x, y = (i + 0.5) * WIDTH / len(values), HEIGHT - value * HEIGHT / top
            steps.append(f"L{x:.1f} {y:.1f}" if down else f"M{x:.1f} {y:.1f}h0")
        down = value is not None
    return Curve("".join(steps), top, None if across is None else HEIGHT - across * HEIGHT / top)
