"""What the window knows of the works that run for it, and the timer that reads their mailbox. Main thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bpy

from . import identity, take
from .session import Cancelled, News, Session, Work
from .wire import BadInput, Problem

log = logging.getLogger(__name__)

CONNECTION, CHARACTER = "connection", "character"
"""Tickets of questions: whether the server is there, what it sees in a character's picture. All others are the uid of a
strip, and end with a take."""

TICK_SECONDS = 0.2

_session = Session()
latest: dict[str, News] = {}
"""The newest news of each ticket, for panels to draw."""
_arrived: dict[str, list[str | Problem]] = {}
"""What became of the takes that arrived for each ticket."""


def start(ticket: str, work: Callable[[Cancelled], Work[str]]) -> None:
    """Begin a work; the timer reads its news. Raises `BadInput` while one goes by this ticket."""
    _session.start(ticket, work)
    latest.pop(ticket, None)
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK_SECONDS, persistent=True)


def cancel(ticket: str) -> None:
    _session.cancel(ticket)


def is_busy(ticket: str) -> bool:
    return _session.is_busy(ticket)


def tick() -> float | None:
    """Read the mailbox without waiting, import what has arrived. Returns the seconds until the next call."""
    for news in _session.news():
        if news.step and news.step.take:
            _arrived.setdefault(news.ticket, []).append(_imported(news.ticket, news.step.take))
        latest[news.ticket] = _summed_up(news) if news.is_final else news
    redraw()
    return None if _session.is_idle() else TICK_SECONDS


def _imported(uid: str, folder: Path) -> str | Problem:
    """Put the take that arrived above its strip, as one undo step of its own; where it lies, or why it does not."""
    try:
        found = identity.find(uid)
        if found is None:
            raise BadInput(f"the take is in {folder}, but its strip is not in this file; import it where the strip is")
        new = take.import_take(found[0], folder)
    except Problem as problem:
        log.warning("%s", problem)
        return problem
    bpy.ops.ed.undo_push(message=f"Import {new[0].name}")
    return take.summary(new[0])


def _summed_up(news: News) -> News:
    """The end of a work with what became of its takes."""
    arrived = _arrived.pop(news.ticket, [])
    failed = next((one for one in arrived if isinstance(one, Problem)), None)
    if failed and not news.problem:
        return News(ticket=news.ticket, problem=failed)
    return replace(news, result="; ".join(map(str, arrived))) if news.result and arrived else news


def redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("SEQUENCE_EDITOR", "PREFERENCES"):
                area.tag_redraw()


def register() -> None:
    global _session
    _session = Session()


def unregister() -> None:
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    _session.close()
    latest.clear()
    _arrived.clear()
