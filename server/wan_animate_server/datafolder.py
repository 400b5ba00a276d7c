"""Where a server keeps what: its queue, uploads, jobs and finished segments. Knows neither HTTP nor models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from wan_animate_blender.wire import (
    EXPORT_PREFIX,
    SEGMENTS,
    SHOT_FILE,
    TAKES,
    Shot,
    check_path,
    version_name,
    write_atomically,
)


@dataclass(frozen=True)
class DataFolder:
    """One server's data. Nobody else writes below `root`."""

    root: Path

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

    def export(self, job: str, shot: str) -> Path:
        return self.jobs / job / shot / version_name(EXPORT_PREFIX, 1)

    def takes(self, job: str, shot: str) -> Path:
        return self.jobs / job / shot / TAKES

    def lay_out(self, job: str, shot: Shot, blob: Callable[[str], Path]) -> None:
        """Make the shot folder of `job` from blobs by their SHA-256, by hard links where the disk has them.

        It appears whole or not at all. Raises `OSError`.
        """
        part = self.jobs / f".{job}.part"
        folder = part / self.export(job, shot.name).relative_to(self.jobs / job)
        try:
            folder.mkdir(parents=True)
            for path, entry in shot.files.items():
                target = folder / check_path(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(blob(entry.sha256), target)
            write_atomically(folder / SHOT_FILE, shot.dumps().encode())
            part.rename(self.jobs / job)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def remove(self, job: str) -> None:
        """Remove the folder of `job`; what cannot be removed now is a stray at the next start."""
        shutil.rmtree(self.jobs / job, ignore_errors=True)

    def remove_strays(self, known: Collection[str]) -> None:
        """Remove folders of jobs that are not in the queue, because the server was killed in between."""
        for folder in self.jobs.glob("*"):
            if folder.name not in known:
                self.remove(folder.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, a file system without links, or too many of them
        shutil.copyfile(source, target)
