"""What lies in a data folder, and its removal: at a server's start, every hour, when room is short, or by hand.

`retention` says what goes. A job leaves the queue before its folder goes and folders go as a whole, so that whatever
stops this leaves nothing that looks like more than it is. Knows neither HTTP nor models.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from wan_animate_blender.wire import BadInput, Job, JobState

from .blobs import Blobs
from .capacity import Capacity, files, used
from .database import NoRoom
from .datafolder import DataFolder, default_data
from .jobs import Jobs
from .retention import DAY, Inode, Kind, Piece, Policy, choose
from .take import read_take

log = logging.getLogger(__name__)

Weight = tuple[int, dict[Inode, int]]
"""Bytes of files that have no other name, and of each that has."""

_EVERY_SECONDS = 3600.0
_PAUSE_SECONDS = 10.0
"""Between two rounds when room is short: looking at everything takes a while, and perhaps nothing may go."""
_GOODBYE_SECONDS = 2.0


class Upkeep:
    """The upkeep of one data folder. Only who has the folder alone (`DataFolder.alone`) may do it."""

    def __init__(self, data: DataFolder, jobs: Jobs, blobs: Blobs) -> None:
        self._data, self._jobs, self._blobs = data, jobs, blobs

    def chosen(self, policy: Policy, more: int = 0) -> list[Piece]:
        """What would go now, in order; `more` bytes are to find room, too."""
        return choose(self.stock(), policy, used=used(self._data.root), now=time.time(), more=more)

    def tidy(self, policy: Policy, more: int = 0) -> Iterator[Piece]:
        """Remove what is to go, piece by piece; what somebody has use of meanwhile stays. Raises `NoRoom`."""
        yield from (piece for piece in self.chosen(policy, more) if self._remove(piece))

    def stock(self) -> list[Piece]:
        """Everything that may go or must not, as it is now."""
        jobs, ended = self._jobs.all(), self._jobs.endings()
        waiting = [job for job in jobs if job.id not in ended]
        return [
            *(self._job(job, ended.get(job.id)) for job in jobs),
            *(piece for job in jobs for piece in self._previews(job)),
            *(_file(Kind.BLOB, path) for path in self._blobs.folder.glob("??/*")),
            *(_file(Kind.UPLOAD, path) for path in self._blobs.incoming.glob("*")),
            *self._segments({key for job in waiting for key in self._keys(job)}),
        ]

    def _job(self, job: Job, ended: float | None) -> Piece:
        own, shared = _weigh(self._data.jobs / job.id)
        previews, _ = _weigh(self._data.previews(job.id))
        fetched = _used(self._data.fetched(job.id))
        return Piece(
            kind=Kind.JOB, name=job.id, own=own - previews, shared=shared, needed=ended is None,
            used=max(ended or job.created, fetched), unfetched=job.state is JobState.DONE and not fetched,
        )  # fmt: skip

    def _previews(self, job: Job) -> Iterator[Piece]:
        folder = self._data.previews(job.id)
        if folder.is_dir():
            yield Piece(kind=Kind.PREVIEWS, name=job.id, used=_used(folder), own=_weigh(folder)[0])

    def _segments(self, needed: set[str]) -> Iterator[Piece]:
        for folder in self._data.segments.glob("[!.]*"):
            own, shared = _weigh(folder)
            yield Piece(
                kind=Kind.SEGMENT, name=folder.name, used=_used(folder), own=own, shared=shared,
                needed=folder.name in needed,
            )  # fmt: skip

    def _keys(self, job: Job) -> Iterator[str]:
        """The segments that a job has finished and goes on from, and those of the take that it begins from."""
        takes = self._data.takes(job.id, job.shot)
        for folder in (self._data.base(job.id, job.shot), *takes.glob("*")):
            if take := read_take(folder):
                yield from (segment.key for segment in take.segments)

    def _remove(self, piece: Piece) -> bool:
        """False: somebody had use of it since it was looked at."""
        if piece.kind is Kind.JOB:
            return self._remove_job(piece)
        if piece.kind is Kind.BLOB:
            return self._blobs.remove(piece.name, since=piece.used)
        path = self._path(piece)
        if _used(path) > piece.used:
            return False
        if piece.kind is Kind.UPLOAD:
            path.unlink(missing_ok=True)
        else:
            self._data.discard(path)
        return True

    def _remove_job(self, piece: Piece) -> bool:
        if not self._jobs.remove(piece.name):
            return False  # it is tried again
        self._data.remove(piece.name)
        days = (time.time() - piece.used) / DAY
        level, take = (logging.WARNING, "; nobody had fetched its take") if piece.unfetched else (logging.INFO, "")
        log.log(level, "removed, of no use for %.1f days%s", days, take, extra={"job": piece.name})
        return True

    def _path(self, piece: Piece) -> Path:
        if piece.kind is Kind.UPLOAD:
            return self._blobs.incoming / piece.name
        return self._data.previews(piece.name) if piece.kind is Kind.PREVIEWS else self._data.segments / piece.name


class Keeper:
    """The thread of a server that sees to its data folder."""

    def __init__(self, upkeep: Upkeep, policy: Policy, capacity: Capacity) -> None:
        """`capacity` says when somebody lacks room, and how much."""
        self._upkeep, self._policy, self._capacity = upkeep, policy, capacity
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the piece that is being removed; looking for more is broken off."""
        self._stopping.set()
        self._capacity.short.set()
        self._thread.join(_GOODBYE_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except (NoRoom, OSError) as error:
                log.warning("the data folder could not be tidied: %s", error)
            self._stopping.wait(_PAUSE_SECONDS)
            self._capacity.short.wait(_EVERY_SECONDS)

    def _round(self) -> None:
        count = size = 0
        for piece in self._upkeep.tidy(self._policy, self._capacity.lacking()):
            count, size = count + 1, size + bytes_of(piece)
            if self._stopping.is_set():
                break
        if count:
            log.info("removed %d pieces with %.3f GB that nobody needs", count, size / 1e9)


def clean(root: Path | None, policy: Policy, *, dry: bool) -> Iterator[Piece]:
    """What goes from the data folder `root`, or the default one, of a server that does not run; `dry` only looks.

    Raises `BadInput` when there is no such folder or a server has it, which tidies by itself.
    """
    data = DataFolder((root or default_data()).resolve())
    if not data.queue.is_file():
        raise BadInput(f"{data.root} is no data folder of a server, it has no {data.queue.name}; name one with --data")
    with data.alone():
        jobs = Jobs(data.queue)
        upkeep = Upkeep(data, jobs, Blobs(data.blobs, Capacity(data.root, None)))
        if dry:
            yield from upkeep.chosen(policy)
            return
        data.remove_strays({job.id for job in jobs.all()})
        yield from upkeep.tidy(policy)


def bytes_of(piece: Piece) -> int:
    """What a piece has; of files with several names only the last one gives them back."""
    return piece.own + sum(piece.shared.values())


def _file(kind: Kind, path: Path) -> Piece:
    try:
        own, shared = _weighed([path.stat()])
    except FileNotFoundError:  # removed, or whole meanwhile
        own, shared = 0, {}
    return Piece(kind=kind, name=path.name, used=_used(path), own=own, shared=shared)


def _weigh(folder: Path) -> Weight:
    """Bytes below `folder`."""
    return _weighed(files(str(folder)))


def _weighed(found: Iterable[os.stat_result]) -> Weight:
    own, shared = 0, {}
    for status in found:
        if status.st_nlink > 1:
            shared[status.st_dev, status.st_ino] = status.st_size
        else:
            own += status.st_size
    return own, shared


def _used(path: Path) -> float:
    """The time of a file or folder; 0 of one that is not there."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
