"""What the window knows of the works that run for it, and the timer that reads their mailbox. Main thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from . import growth, identity, ledger, take
from .session import BUSY, Cancelled, News, Session, Step, Work
from .wire import BadInput, Job, Problem, TakeState

log = logging.getLogger(__name__)

CONNECTION, CHARACTER, SERVER = "connection", "character", "server"
"""Tickets of what is no strip's: whether the server is there, what it sees in a character's picture, the one of this
machine. A strip's work goes by its uid, and ends with a take."""

TICK_SECONDS = 0.2

_session = Session()
latest: dict[str, News] = {}
"""The newest news of each ticket, for panels to draw."""
_arrived: dict[str, list[str | Problem]] = {}
"""What became of the takes that arrived for each ticket."""


@dataclass(frozen=True)
class _Order:
    """What is to become of the news of a work."""

    imports: bool
    hear: Callable[[News], None] | None


_orders: dict[str, _Order] = {}


def start(
    ticket: str, work: Callable[[Cancelled], Work[str]], *, imports: bool = True,
    hear: Callable[[News], None] | None = None,
) -> None:  # fmt: skip
    """Begin a work; the timer reads its news. Raises `BadInput` while one goes by this ticket.

    Takes that arrive are put into the edit if it `imports`; `hear` is called with all its news.
    """
    if ticket in _orders:
        raise BadInput(BUSY)
    _session.start(ticket, work)
    latest.pop(ticket, None)
    _orders[ticket] = _Order(imports, hear)
    ledger.keep(ticket)
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK_SECONDS, persistent=True)


def cancel(ticket: str) -> None:
    _session.cancel(ticket)


def is_busy(ticket: str) -> bool:
    """Whether a work goes by this ticket of which the last letter was not read yet."""
    return ticket in _orders


def tick() -> float | None:
    """Read the mailbox without waiting, import what has arrived. Returns the seconds until the next call."""
    for news in _session.news():
        order = _orders[news.ticket]
        if news.step:
            _note(news.ticket, news.step)
        else:
            del _orders[news.ticket]
        latest[news.ticket] = _summed_up(news) if news.is_final else news
        if order.hear:
            order.hear(news)
    redraw()
    return None if _session.is_idle() else TICK_SECONDS


def _note(ticket: str, step: Step) -> None:
    if step.job and step.takes:
        ledger.note(ticket, step.job, step.server, step.takes)
    if step.take and _orders[ticket].imports:
        _arrived.setdefault(ticket, []).append(_imported(step.take, step.job))
    elif step.take:
        _arrived.setdefault(ticket, []).append(f"{step.take} is there; import it from the list of jobs")


def _imported(folder: Path, job: Job | None) -> str | Problem:
    """Put what arrived of a take above its strip, as one undo step of its own; where it lies, or why it does not."""
    try:
        arrived = take.read(folder)
        found = identity.find(arrived.strip)
        if found is None:
            raise BadInput(f"the take is in {folder}, but its strip is not in this file; import it where the strip is")
        if arrived.state is TakeState.COMPLETE:
            ledger.end(arrived.strip, job.id if job else arrived.job)
        new = growth.bring(found[0], folder, options=take.Options(unfinished=True))
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
    for memory in (latest, _arrived, _orders):
        memory.clear()
