"""The one background thread, and the mailbox it leaves its news in. Knows nothing of bpy."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from .standstill import Worker, renders
from .wire import BadInput, Job, Problem

log = logging.getLogger(__name__)

BUSY = "this strip is being worked on already; wait until it is done, or cancel it"

POLL_SECONDS = 0.3
"""How long the thread rests when no work has anything to say."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a work is."""

    stage: str
    """One or two words for people: "exporting", "uploading", the job's own stage, "fetching"."""
    progress: float
    """0 to 1 of this stage."""
    message: str = ""
    job: Job | None = None
    server: str = ""
    """Address of the one that has the job."""
    takes: Path | None = None
    """Where the take of the job will go."""
    whole: float = 0.0
    """0 to 1 of all that was asked for, in a chain."""
    person: str = ""
    """Whom it is about, where there are several."""
    take: Path | None = None
    """Folder of a take that has just arrived."""


@dataclass(frozen=True, kw_only=True)
class News:
    """One letter in the mailbox: exactly one of `step`, `result` and `problem` is there, the last two end the work."""

    ticket: str
    step: Step | None = None
    result: str | None = None
    problem: Problem | None = None

    @property
    def is_final(self) -> bool:
        return self.step is None


T = TypeVar("T")
Work: TypeAlias = Generator[Step | None, None, T]
"""Goes on by one small piece each time it is asked, yields None when it only waits, and returns its result."""

Cancelled = threading.Event
"""What a work looks at to learn that somebody wants it to stop."""


class Session:
    """Advances any number of works in turn on one daemon thread. The mailbox is opened by whoever started them."""

    def __init__(self, poll: float = POLL_SECONDS) -> None:
        self._poll = poll
        self._mailbox: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._works: dict[str, tuple[Work[str], Cancelled]] = {}
        self._lock = threading.Lock()
        self._worker = Worker(renders)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wan-animate", daemon=True)

    def start(self, ticket: str, work: Callable[[Cancelled], Work[str]]) -> None:
        """Begin a work under a name of its own. Raises `BadInput` while another goes by this name."""
        cancelled = Cancelled()
        with self._lock:
            if ticket in self._works:
                raise BadInput(BUSY)
            self._works[ticket] = (work(cancelled), cancelled)
        if self._thread.ident is None:  # only now, so that a Blender that renders nothing has no thread of ours
            self._thread.start()
        self._worker.wake()

    def cancel(self, ticket: str) -> None:
        """Ask a work to stop; its last letter says that it has. Nothing happens when it is over."""
        with self._lock:
            if ticket in self._works:
                self._works[ticket][1].set()
        self._worker.wake()

    def is_busy(self, ticket: str) -> bool:
        with self._lock:
            return ticket in self._works

    def is_idle(self) -> bool:
        """Whether there is neither work nor unread news."""
        with self._lock:
            return not self._works and self._mailbox.empty()

    def news(self) -> Iterator[News]:
        """Everything that arrived since the last call. Never blocks."""
        while not self._mailbox.empty():
            yield self._mailbox.get()

    def wait(self, ticket: str) -> Iterator[News]:
        """All news of the one work `ticket` until its last letter, for callers without a window."""
        while True:
            news = self._mailbox.get()
            if news.ticket == ticket:
                yield news
                if news.is_final:
                    return

    def close(self) -> None:
        """Stop the thread; works are closed where they are, jobs on a server go on."""
        self._closing.set()
        self._worker.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        with self._worker:
            while not self._closing.is_set():
                with self._lock:
                    works = list(self._works.items())
                said = [self._advance(ticket, work) for ticket, (work, _) in works]
                if not any(said):
                    self._worker.rest(self._poll)
            for work, _ in self._works.values():
                work.close()

    def _advance(self, ticket: str, work: Work[str]) -> bool:
        """One piece of a work; whether it had something to say. Blender renders between two pieces."""
        renders.check()
        news = self._piece(ticket, work)
        if news is None:
            return False
        with self._lock:  # whoever reads the last letter finds the work gone
            self._mailbox.put(news)
            if news.is_final:
                del self._works[ticket]
        return True

    def _piece(self, ticket: str, work: Work[str]) -> News | None:
        try:
            step = next(work)
        except StopIteration as stop:
            return News(ticket=ticket, result=stop.value)
        except Problem as problem:
            return News(ticket=ticket, problem=problem)
        except Exception as error:  # The only broad except: one broken work must not stop the thread of all others.
            log.exception("work %s failed", ticket)
            return News(ticket=ticket, problem=Problem(f"{type(error).__name__}: {error}; this is a fault of ours"))
        return News(ticket=ticket, step=step) if step else None
