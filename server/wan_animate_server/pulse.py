"""The sign of life of whoever owns a folder, seen from other machines without trusting any clock. Knows no content.

The owner raises a counter in his record. Whoever wants the folder watches that record for many beats: where it changes
the owner lives, where it does not his machine has died, and the folder has an heir. Only durations on one machine are
measured, so that clocks may differ. An owner that was suspended meanwhile finds its heir before it writes again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from wan_animate_blender.wire import TryElsewhere

from .ownership import beat, is_lost, named, record_of, release

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0

WATCH_SECONDS = 75.0
"""Many beats, and longer than a client of NFS may show an old directory entry (nfs(5): acdirmax, 60 s)."""

_LOOK_SECONDS = 0.25


class Lost(TryElsewhere):
    """Somebody else goes on with what this process thought to own."""


class Pulse:
    """Beats for one folder inside a `with` block. What it raises, it raises where the owner asks, not in its thread."""

    def __init__(self, folder: Path) -> None:
        """Of a folder that this process has just claimed. Raises `Lost` when it is nobody's already."""
        self._folder = folder
        self._record = record_of(folder) or b""
        self._beats = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost, self._failing = not self._record, False
        self._looked = time.monotonic()
        self.check()

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"pulse of {self._folder}", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Beat no more: returns when nothing is being written."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def check(self) -> None:
        """Raise `Lost` when the folder has an heir. Costs nothing between two beats."""
        if time.monotonic() - self._looked > BEAT_SECONDS:
            self.look()
        elif self._lost:
            self._leave()

    def look(self) -> None:
        """The same, certain at this moment; storage that does not answer says nothing of who owns what."""
        self._lost = self._lost or self._tried(lambda: is_lost(self._folder, self._record))
        self._looked = time.monotonic()
        if self._lost:
            self._leave()

    def release(self) -> None:
        """Leave the folder, unfinished, to whoever wants to go on with it, unless that has happened."""
        self.stop()
        if not self._lost and not self._tried(lambda: is_lost(self._folder, self._record)):
            release(self._folder)

    def _run(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                self.look()
            except Lost as error:
                log.warning("%s", error)
                return
            self._tried(self._beat)

    def _beat(self) -> bool:
        self._beats += 1
        beat(self._folder, self._record, self._beats)
        self._failing = False
        return True

    def _tried(self, action: Callable[[], bool]) -> bool:
        """What `action` returns; False, and a line in the log for the first of several times, where it cannot."""
        try:
            return action()
        except OSError as error:
            if not self._failing:
                log.warning("cannot show in %s that its owner lives (%s); trying on", self._folder, error)
            self._failing = True
            return False

    def _leave(self) -> None:
        record = record_of(self._folder)
        heir = f"{named(record)} goes on with it" if record else "it was finished or removed"
        raise Lost(f"{self._folder} is not this process's any more, {heir}; nothing more was written")


def lives(folder: Path, record: bytes | None, check: Callable[[], None]) -> bool:
    """Watch an owner on another machine: True as soon as his `record` is not what it was; False after a long while.

    `check` is called often and ends the watch by raising.
    """
    end = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        check()
        time.sleep(_LOOK_SECONDS)
        if record_of(folder) != record:
            return True
    return False
