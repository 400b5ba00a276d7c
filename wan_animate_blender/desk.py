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

CONNECTION = "connection"
"""Ticket of the question whether the server is there; all others are the uid of a strip."""

TICK_SECONDS = 0.2

_session = Session()
latest: dict[str, News] = {}
"""The newest news of each ticket, for panels to draw."""


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
        latest[news.ticket] = _imported(news) if news.result and news.ticket != CONNECTION else news
    redraw()
    return None if _session.is_idle() else TICK_SECONDS


def _imported(news: News) -> News:
    """Put the take that arrived above its strip, as one undo step of its own."""
    folder = Path(news.result or "")
    try:
        found = identity.find(news.ticket)
        if found is None:
            raise BadInput(f"the take is in {folder}, but its strip is not in this file; import it where the strip is")
        new = take.import_take(found[0], folder)
    except Problem as problem:
        log.warning("%s", problem)
        return News(ticket=news.ticket, problem=problem)
    bpy.ops.ed.undo_push(message=f"Import {new[0].name}")
    return replace(news, result=take.summary(new[0]))


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
