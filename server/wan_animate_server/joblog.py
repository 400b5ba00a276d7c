"""What a worker says while it has a job, kept beside the job for people. Knows neither queue nor HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from .progress import Progress

log = logging.getLogger(__name__)

LINES = logging.Formatter("%(asctime)s %(levelname)s %(message)s")

_MOST_BYTES = 256 << 10
"""Of one file; the file before it is kept, too, so that a job that fails again and again fills no disk."""


@contextmanager
def kept(file: Path, level: int = logging.INFO) -> Iterator[None]:
    """Append to `file` what this process logs inside the block, bugs with their traces."""
    with closing(RotatingFileHandler(file, maxBytes=_MOST_BYTES, backupCount=1, encoding="utf-8", delay=True)) as lines:
        lines.setFormatter(LINES)
        lines.setLevel(level)
        logging.getLogger().addHandler(lines)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(lines)


def told(progress: Iterable[Progress]) -> Iterator[Progress]:
    """`progress`, with a line in the log wherever another stage or segment begins."""
    last = None
    for now in progress:
        if last != (last := (now.stage, now.segment)):
            where = f" segment {now.segment} of {now.segments}" if now.segments else ""
            log.info("%s%s, %d frames are there", now.stage, where, now.frames)
        yield now


def tail(file: Path, most: int = 64 << 10) -> str:
    """The last whole lines of `file`, up to `most` bytes; empty when there are none."""
    try:
        with file.open("rb") as lines:
            start = max(file.stat().st_size - most, 0)
            lines.seek(start)
            said = lines.read()
    except FileNotFoundError:
        return ""
    if start:
        said = said.partition(b"\n")[2]
    return said.decode("utf-8", "replace")
