"""How many bytes a folder holds, and how many it may. Knows neither uploads nor jobs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_COUNT_SECONDS = 60.0
_FULL_SECONDS = 2.0
"""Between two countings: of a folder with room, where what comes in is added meanwhile, and of a full one, in which
somebody may have made room."""


class Capacity:
    """What is in `root` and below it, against `limit` bytes; None is no limit. For several threads."""

    def __init__(self, root: Path, limit: int | None) -> None:
        self.root, self.limit = root, limit
        self.short = threading.Event()
        """Set when something did not fit, for whoever makes room."""
        self._lacking = 0
        self._lock = threading.Lock()
        self._used, self._counted = 0, float("-inf")

    def has_room(self, more: int) -> bool:
        """Whether `more` bytes fit, too."""
        if self.limit is None:
            return True
        with self._lock:
            age = time.monotonic() - self._counted
            if age > _COUNT_SECONDS or (self._used + more > self.limit and age > _FULL_SECONDS):
                self._used, self._counted = used(self.root), time.monotonic()
            if self._used + more <= self.limit:
                return True
            self._lacking = max(self._lacking, more)
        self.short.set()
        return False

    def lacking(self) -> int:
        """The most bytes that were refused since somebody asked this."""
        with self._lock:
            lacking, self._lacking = self._lacking, 0
        self.short.clear()
        return lacking

    def note(self, more: int) -> None:
        """`more` bytes have come in."""
        with self._lock:
            self._used += more


def used(root: Path) -> int:
    """Bytes of all files below `root`; one with several names counts once."""
    return sum({(at.st_dev, at.st_ino): at.st_size for at in files(str(root))}.values())


def files(folder: str) -> Iterator[os.stat_result]:
    """All that are below `folder`, links not followed; nothing of what is removed meanwhile."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:  # removed meanwhile
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files(entry.path)
            else:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
