"""Where a job stands, as its files and its queue tell somebody who looks from outside. Asks no server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import TAKE_FILE, Take, TakeState, WireError

_FINAL = "('done', 'failed', 'cancelled')"


class Phase(StrEnum):
    """What is lost when everything ends now."""

    UPLOAD = "upload"
    """A blob is on its way in, or the job's folder is being made of them."""
    DENOISE = "denoise"
    DECODE = "decode"
    WRITE = "write"
    """Pictures lie in the take's folder, whole or in part, that the take does not list yet."""
    COMMIT = "commit"
    """A segment is being stored, the take's list written, or the queue not told yet that the take is complete."""
    OTHER = "other"
    """Between those: checking, loading, conditioning, waiting."""


AIMED = (Phase.UPLOAD, Phase.DENOISE, Phase.DECODE, Phase.WRITE, Phase.COMMIT)


def phase_of(data: Path) -> tuple[Phase, int]:
    """The phase that the data folder of a server with one unfinished job is in, and the job's segment, from 1."""
    stage, segment, job = _told(data)
    takes = sorted((data / "jobs" / job).glob("*/takes/v*")) if job else []
    if _is_committing(data, takes[-1:]):
        return Phase.COMMIT, segment
    if not job:
        return (Phase.UPLOAD if _is_uploading(data) else Phase.OTHER), segment
    if takes and _is_writing(takes[-1]):
        return Phase.WRITE, segment
    return {"denoising": Phase.DENOISE, "decoding": Phase.DECODE}.get(stage, Phase.OTHER), segment


def has_ended(data: Path) -> bool:
    """Whether a job of the queue has."""
    return bool(_asked(data, f"SELECT id FROM jobs WHERE state IN {_FINAL}"))


def _told(data: Path) -> tuple[str, int, str]:
    """Stage, segment and id of the job that has not ended."""
    found = _asked(data, f"SELECT stage, segment, id FROM jobs WHERE state NOT IN {_FINAL}")
    return found[0] if found else ("", 0, "")


def _asked(data: Path, query: str) -> list[Any]:
    try:
        with closing(sqlite3.connect(f"file:{data / 'jobs.sqlite'}?mode=ro", uri=True, timeout=0.1)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []


def _is_uploading(data: Path) -> bool:
    return any((data / "blobs" / "incoming").glob("*.part")) or any((data / "jobs").glob(".*.part"))


def _is_committing(data: Path, takes: list[Path]) -> bool:
    if any((data / "segments").glob(".*.part")):
        return True
    for folder in takes:
        take = _take(folder)
        if any(folder.glob(f".{TAKE_FILE}.*.part")) or (take is not None and take.state is TakeState.COMPLETE):
            return True
    return False


def _is_writing(folder: Path) -> bool:
    take = _take(folder)
    there = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    return take is not None and not there <= take.files.keys()


def _take(folder: Path) -> Take | None:
    try:
        return Take.loads((folder / TAKE_FILE).read_bytes())
    except (FileNotFoundError, WireError):
        return None
