"""Where the add-on's own threads stand still while Blender renders. Knows neither bpy nor what the threads do.

Until Python 3.11 a process has one current thread, and Blender takes whichever it is for its own: while another one
runs Python, an operator looks a member of an overridden context up without Python's lock, and both may crash
(`BPY_context_member_get` in bpy_interface.cc, `PyThreadState_GetDict` in CPython's pystate.c). Python 3.12 gave each
thread a current one of its own; there nobody stands still.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

IS_NEEDED = sys.version_info < (3, 12)

PATIENCE_SECONDS = 0.25
"""Longest wait for a worker, which a person hardly notices. Beside one that hangs longer, as in a request that nobody
answers, is rendered: it runs no Python while it waits for the network, and little before it stands still afterwards."""


class Standstill:
    """Renders hold it one at a time; workers go on between two of them, by one piece each at least."""

    def __init__(self, patience: float = PATIENCE_SECONDS, *, needed: bool = IS_NEEDED) -> None:
        self._patience, self._needed = patience, needed
        self.lock = threading.Lock()
        self.stood = threading.Condition(self.lock)
        """Told when a worker stands still."""
        self.workers: dict[int, Worker] = {}
        """By the number of their thread."""
        self.is_held = False

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """All workers stand still in the block, but for those that hang: these are waited for once, not every time."""
        if not self._needed:
            yield
            return
        try:
            with self.lock:
                self._begin()
            yield
        finally:
            with self.lock:
                self._end()

    def check(self) -> None:
        """Stand still here while a render goes on. Nothing happens in a thread that is no worker."""
        if worker := self.workers.get(threading.get_ident()):
            with self.lock:
                worker.stand()

    def _begin(self) -> None:
        self.is_held = True
        for worker in self.workers.values():
            worker.stir.notify()
        self.stood.wait_for(lambda: all(one.stands or one.hangs for one in self.workers.values()), self._patience)
        for worker in self.workers.values():
            worker.hangs = not worker.stands

    def _end(self) -> None:
        self.is_held = False
        for worker in self.workers.values():
            worker.stands = False
            worker.stir.notify()


class Worker:
    """A thread that runs Python within `with worker:`, and passes `check` or rests often enough."""

    def __init__(self, where: Standstill) -> None:
        self._where = where
        self.stir = threading.Condition(where.lock)
        """Told when there may be no more reason to wait."""
        self.stands = self.hangs = self._is_woken = False

    def __enter__(self) -> Self:
        with self._where.lock:
            self._where.workers[threading.get_ident()] = self
            self.stand()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._where.lock:
            del self._where.workers[threading.get_ident()]
            self._where.stood.notify()

    def rest(self, seconds: float) -> None:
        """Wait for that long, or until somebody wakes this worker."""
        end = time.monotonic() + seconds
        with self._where.lock:
            self._stand_throughout()
            while not self._is_woken and (left := end - time.monotonic()) > 0:
                self.stir.wait(left)
                self._stand_throughout()
            self._is_woken = False

    def wake(self) -> None:
        """End a rest, or the next one."""
        with self._where.lock:
            self._is_woken = True
            self.stir.notify()

    def stand(self) -> None:
        """Wait for the end of the render that goes on, if one does, with the lock held. The next one may have begun."""
        self.hangs = False
        if self._where.is_held:
            self.stands = True
            self._where.stood.notify()
            self.stir.wait_for(lambda: not self.stands)

    def _stand_throughout(self) -> None:
        """Wait until no render goes on, however quickly they follow."""
        self.hangs = False
        while self._where.is_held:
            self.stand()


renders = Standstill()
"""The one of this process."""
