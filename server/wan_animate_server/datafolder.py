"""Where a server keeps what: its queue, uploads, jobs and finished segments. Knows neither HTTP nor models."""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from wan_animate_blender.wire import (
    EXPORT_PREFIX,
    SEGMENTS,
    SHOT_FILE,
    TAKE_FILE,
    TAKES,
    BadInput,
    Shot,
    check_path,
    version_name,
    write_atomically,
)


def default_data() -> Path:
    """Where a server keeps its data unless it is told: in the user's data folder."""
    return platformdirs.user_data_path("wan-animate", appauthor=False)


@dataclass(frozen=True)
class Begun:
    """A finished take that a job goes on from."""

    take: Path
    files: Collection[str]
    """Those that it lists."""


@dataclass(frozen=True)
class DataFolder:
    """One server's data. Nobody else writes below `root`."""

    root: Path
    in_place: bool = False
    """Takes of shots that are handed over are made beside their exports, and not here."""

    @property
    def queue(self) -> Path:
        return self.root / "jobs.sqlite"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def segments(self) -> Path:
        """One store for all jobs: a shot that comes again finds what was rendered for it before."""
        return self.root / SEGMENTS

    @property
    def trash(self) -> Path:
        """Where folders are on their way out: whatever lies here is nobody's."""
        return self.root / "trash"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other servers out of the data folder, by a lock that no killed process leaves behind.

        Raises `BadInput` when somebody else has it.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # plates are nobody else's business
            lock = sqlite3.connect(self.root / "server.lock", timeout=0, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"the data folder {self.root} is used by another server or cannot be written ({error}); "
                "choose another one with --data"
            ) from error
        try:
            yield
        finally:
            lock.close()

    def export(self, job: str, shot: str) -> Path:
        return self.jobs / job / shot / version_name(EXPORT_PREFIX, 1)

    def takes(self, job: str, shot: str) -> Path:
        return self.jobs / job / shot / TAKES

    def base(self, job: str, shot: str) -> Path:
        """Of a re-take or an extension: the take that it begins from, safe from being removed with its own job."""
        return self.jobs / job / shot / "base"

    def base_of(self, job: str, shot: str) -> Path | None:
        """`base` of a job that begins from a take, None of any other."""
        base = self.base(job, shot)
        return base if base.is_dir() else None

    def log(self, job: str) -> Path:
        """What workers said while they had `job`. Hidden, as no shot's name is."""
        return self.jobs / job / ".log.txt"

    def previews(self, job: str) -> Path:
        """Small pictures of frames that somebody looked at."""
        return self.jobs / job / ".previews"

    def fetched(self, job: str) -> Path:
        """A file that tells by its time when somebody last fetched something of the finished take."""
        return self.jobs / job / ".fetched"

    def lay_out(self, job: str, shot: Shot, blob: Callable[[str], Path], begun: Begun | None = None) -> None:
        """Make the shot folder of `job` from blobs by their SHA-256, by hard links where the disk has them.

        An extension goes on from what was `begun`. The folder appears whole or not at all. Raises `OSError`.
        """
        with self._appearing(job) as part:
            folder = part / self.export(job, shot.name).relative_to(self.jobs / job)
            folder.mkdir(parents=True)
            for path, entry in shot.files.items():
                _link(blob(entry.sha256), folder / check_path(path))
            write_atomically(folder / SHOT_FILE, shot.dumps().encode())
            if begun:
                self._link_base(part, job, shot.name, begun)

    def lay_out_empty(self, job: str, shot: str, begun: Begun | None = None) -> None:
        """Make the folder of a `job` whose export lies elsewhere. Raises `OSError`."""
        with self._appearing(job) as part:
            (part / shot).mkdir(parents=True)
            if begun:
                self._link_base(part, job, shot, begun)

    def lay_out_retake(self, job: str, shot: str, export: Path | None, begun: Begun) -> None:
        """Make the folder of a `job` that makes frames of `begun` anew, and of `export` where that is here.

        It appears whole or not at all, and needs neither of the two any more. Raises `OSError`.
        """
        with self._appearing(job) as part:
            self._link_base(part, job, shot, begun)
            if export:
                _link_all(export, part / self.export(job, shot).relative_to(self.jobs / job))

    def _link_base(self, part: Path, job: str, shot: str, begun: Begun) -> None:
        base = part / self.base(job, shot).relative_to(self.jobs / job)
        base.mkdir(parents=True)
        for path in (TAKE_FILE, *begun.files):
            _link(begun.take / check_path(path), base / path)

    @contextmanager
    def _appearing(self, job: str) -> Iterator[Path]:
        """A folder that becomes the one of `job` when the block ends well."""
        part = self.jobs / f".{job}.part"
        try:
            part.mkdir(parents=True)
            yield part
            part.rename(self.jobs / job)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def remove(self, job: str) -> None:
        """Remove the folder of `job`; what cannot be removed now is a stray at the next start."""
        self.discard(self.jobs / job)

    def discard(self, folder: Path) -> None:
        """Remove a folder: at once it is not there any more, and if this breaks off, the rest goes at the next start.

        Where one of its files is in use and the system does not let it go, what can be removed of it is.
        """
        away = self.trash / uuid.uuid4().hex
        with suppress(OSError):
            self.trash.mkdir(exist_ok=True)
            folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)

    def remove_strays(self, known: Collection[str]) -> None:
        """Remove folders of jobs that are not in the queue, because the server was killed in between."""
        shutil.rmtree(self.trash, ignore_errors=True)
        for folder in self.jobs.glob("*"):
            if folder.name not in known:
                self.remove(folder.name)


def _link_all(source: Path, target: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file():
            _link(file, target / file.relative_to(source))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, a file system without links, or too many of them
        shutil.copyfile(source, target)
