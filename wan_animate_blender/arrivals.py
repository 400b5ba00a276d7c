"""Folders into which takes of jobs are fetched: found again, begun, and at every moment true. Knows no server."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

from .wire import (
    TAKE_FILE,
    TAKE_PREFIX,
    FileEntry,
    Take,
    TakeState,
    WireError,
    claim_version,
    sha256_file,
    version_name,
    versions,
    write_atomically,
)


def fetched(takes: Path, job: str) -> Path | None:
    """The first folder below `takes` with what was fetched of `job` before."""
    for folder in (takes / version_name(TAKE_PREFIX, number) for number in versions(takes, TAKE_PREFIX)):
        with contextlib.suppress(OSError, WireError):  # not ours to read, such as another release's
            if Take.loads((folder / TAKE_FILE).read_bytes()).job == job:
                return folder
    return None


def begin(takes: Path, take: Take) -> Path:
    """A new version that says of what it will be, or the one that another Blender began for the same job meanwhile."""
    folder = claim_version(takes, TAKE_PREFIX)
    note(folder, replace(take, state=TakeState.PARTIAL, files={}))
    first = fetched(takes, take.job) or folder
    if first != folder:
        shutil.rmtree(folder, ignore_errors=True)
    return first


def note(folder: Path, take: Take) -> None:
    """Write what is there of `take`, under the version that was free here."""
    local = replace(take, version=int(folder.name.removeprefix(TAKE_PREFIX)))
    write_atomically(folder / TAKE_FILE, local.dumps().encode())


def is_here(file: Path, entry: FileEntry) -> bool:
    return file.is_file() and file.stat().st_size == entry.size and sha256_file(file) == entry.sha256
