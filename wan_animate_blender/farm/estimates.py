"""What renders are expected to need, as far as a server says it. Knows neither bpy nor an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from ..client import Server
from ..wire import Forecast, Problem, Settings, Unavailable, Wanted
from .submission import SubmittedShot

log = logging.getLogger(__name__)

Estimate = Callable[[Settings, SubmittedShot], SubmittedShot]
"""Gives a shot what is expected of its render."""


def unknown(_: Settings, shot: SubmittedShot) -> SubmittedShot:
    """Where there is nobody to ask."""
    return shot


def of(server: Server) -> Estimate:
    """Asks `server`, once for all shots of the same measures, and no more once it does not answer."""
    said: dict[str, Forecast | None] = {}
    away: list[Problem] = []

    def ask(wanted: Wanted) -> Forecast | None:
        try:
            return None if away else server.forecast(wanted)
        except Problem as problem:
            log.warning("no estimate: %s", problem)
            away.extend([problem] if isinstance(problem, Unavailable) else [])
            return None

    def estimate(settings: Settings, shot: SubmittedShot) -> SubmittedShot:
        wanted = Wanted(settings=settings, mode=shot.mode, frames=shot.frames, width=shot.width, height=shot.height)
        key = wanted.dumps()
        if key not in said:
            said[key] = ask(wanted)
        found = said[key]
        return shot if found is None else _with(shot, found)

    return estimate


def _with(shot: SubmittedShot, found: Forecast) -> SubmittedShot:
    """What a person said of the memory stays."""
    memory = found.least if shot.gpu_memory is None else shot.gpu_memory
    return replace(shot, gpu_memory=memory, seconds=found.seconds, estimated_on=found.device, disk=found.disk)
