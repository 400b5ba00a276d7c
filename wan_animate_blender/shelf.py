"""The takes that lie in a shot's folder, and what was noted about them. Reads beside the main thread. Knows no strips.

A note lies beside its take as `takes/v001.txt`: take folders are never written again, and anybody can read it.
"""

from __future__ import annotations

import functools
import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .standstill import Worker, renders
from .take import name_of
from .wire import (
    REPORT_FILE,
    TAKE_FILE,
    TAKE_PREFIX,
    TAKES,
    BadInput,
    Take,
    TakeState,
    WireError,
    version_name,
    versions,
    write_atomically,
)

FRESH_SECONDS = 2.0
"""How old an answer may be before a folder is looked at again."""


@dataclass(frozen=True)
class Listed:
    """One take of a folder."""

    folder: Path
    take: str
    """What no other take is called: its strip, export and version."""
    version: int
    is_complete: bool
    frames: int
    """That it will have."""
    date: float
    """When it was last written, in seconds of the epoch."""
    told: tuple[str, ...]
    """What the server wants to be known of it."""
    note: str


@dataclass(frozen=True)
class _Answer:
    when: float
    found: tuple[Listed, ...]


_answers: dict[Path, _Answer] = {}
_reading: dict[Path, Future[tuple[Listed, ...]]] = {}
_pool: ThreadPoolExecutor | None = None


def known(shot: Path) -> tuple[Listed, ...] | None:
    """What was last found in the folder of a shot; None before anything was. Does not read, so drawing may ask."""
    _gather()
    return _answers[shot].found if shot in _answers else None


def is_stale(shot: Path) -> bool:
    return shot not in _answers or time.monotonic() - _answers[shot].when > FRESH_SECONDS


def look_again(shot: Path) -> None:
    """Have the folder read beside this thread."""
    global _pool
    if shot not in _reading:
        _pool = _pool or ThreadPoolExecutor(1, thread_name_prefix="wan-animate-shelf")
        _reading[shot] = _pool.submit(_read_beside, shot)


def is_reading() -> bool:
    _gather()
    return bool(_reading)


def _gather() -> None:
    for shot, reading in list(_reading.items()):
        if reading.done():
            _answers[shot] = _Answer(time.monotonic(), reading.result())
            del _reading[shot]


def close() -> None:
    """Forget everything, and end the thread."""
    global _pool
    if _pool:
        _pool.shutdown(cancel_futures=True)
    _pool = None
    _reading.clear()
    _answers.clear()


def _read_beside(shot: Path) -> tuple[Listed, ...]:
    with Worker(renders):
        return read(shot)


def read(shot: Path) -> tuple[Listed, ...]:
    """The takes in the folder of a shot, the newest first. Folders without a take that can be read are left out."""
    takes = shot / TAKES
    found = (_listed(takes / version_name(TAKE_PREFIX, number)) for number in reversed(versions(takes, TAKE_PREFIX)))
    return tuple(one for one in found if one)


def _listed(folder: Path) -> Listed | None:
    renders.check()
    try:
        date = (folder / TAKE_FILE).stat().st_mtime_ns
        take, complete, frames, version, told = _told(folder / TAKE_FILE, date)
        return Listed(folder, take, version, complete, frames, date / 1e9, told, note(folder))
    except (OSError, ValueError, WireError):  # being made, or of another version: no take that could be used
        return None


@functools.lru_cache(maxsize=1024)
def _told(file: Path, _modified: int) -> tuple[str, bool, int, int, tuple[str, ...]]:
    """The little of `take.json` that is shown: checking its long list of files takes a hundred times as long."""
    told = json.loads(file.read_bytes())
    take = Take.from_json({**told, "files": {}, "segments": []} if isinstance(told, dict) else told)
    return name_of(take), take.state is TakeState.COMPLETE, take.last - take.first + 1, take.version, take.notes


# --- reports ---------------------------------------------------------------------------------------


def report_of(folder: Path) -> Path:
    """The report of the take in `folder` as a page: the one that was made later beside it, else its own.

    Raises `BadInput` when there is none.
    """
    for page in (folder.with_name(f"{folder.name}_{REPORT_FILE}"), folder / REPORT_FILE):
        if page.is_file():
            return page.resolve()
    raise BadInput(f"{folder} has no report; it is not complete, or older than reports: run 'wan-animate report' on it")


# --- notes ----------------------------------------------------------------------------------------


def note(folder: Path) -> str:
    """What was noted about the take in `folder`; "" when nothing was."""
    try:
        return _note_file(folder).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def write_note(folder: Path, text: str) -> None:
    """Note `text` about the take in `folder`; "" removes the note. Raises `BadInput` when that cannot be written."""
    file, text = _note_file(folder), text.strip()
    try:
        if text:
            write_atomically(file, f"{text}\n".encode())
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write {file} ({error.strerror or error}); make its folder writable") from error


def _note_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.txt")
