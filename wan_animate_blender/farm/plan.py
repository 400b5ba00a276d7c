"""What is said of a submission before it goes anywhere: its shots, who will run them, what travels. Knows no bpy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .flamenco import task_types
from .openjd import Chunk, chunks
from .outlook import Farm
from .submission import Submission, SubmittedShot

MOST_SENTENCES = 5
"""About missing files: the first of them; a person restores a folder, not a file."""
MEGABYTE, GIGABYTE = 10**6, 10**9
MEBIBYTE, GIBIBYTE = 2**20, 2**30
"""As devices count their memory."""


@dataclass(frozen=True)
class Plan:
    """A submission as it would be now."""

    submission: Submission
    runs: tuple[str, ...] = ()
    """Who will run how many of its tasks."""
    advice: tuple[str, ...] = ()
    """What will not run there, or not well."""


def summed_up(submission: Submission) -> list[str]:
    """Such as "shots: 200, frames: 24000", "files that travel: 1234, 45.6 GB", "exports and takes: 120.0 GB"."""
    shots, assets = submission.shots, submission.assets
    files, size = sum(one.files for one in assets), sum(one.size for one in assets)
    return [
        f"shots: {len(shots)}, frames: {sum(shot.frames for shot in shots)}",
        f"files that travel: {files}, {size_in_words(size)}",
        f"exports and takes: {size_in_words(sum(shot.disk for shot in shots))}",
    ]


def lacking(submission: Submission) -> list[str]:
    """A sentence for each of the first things of which files are missing."""
    sentences = submission.missing
    more = len(sentences) - MOST_SENTENCES
    return [*sentences[:MOST_SENTENCES], *([f"and more of which files are missing: {more}"] if more > 0 else [])]


def described(shot: SubmittedShot) -> list[str]:
    """Such as "120 frames", "animate-14b bf16", "14.0 GiB", "4 min"."""
    parts = [f"{shot.frames} frames", f"{shot.model} {shot.precision}"]
    if shot.gpu_memory:
        parts.append(_memory_in_words(shot.gpu_memory))
    if shot.seconds:
        parts.append(f"{max(round(shot.seconds / 60), 1)} min")
    return parts


def size_in_words(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB" if size >= GIGABYTE else f"{max(size / MEGABYTE, 0.1):.1f} MB"


def by_hosts(submission: Submission, chunk: int) -> tuple[str, ...]:
    """What a job bundle asks of the hosts that take its renders. Raises what `openjd.chunks` raises."""
    shots = Counter(_memory(one) for one in chunks(submission, chunk) for _ in one.shots)
    return tuple(f"shots for hosts with {memory}: {count}" for memory, count in shots.items())


def _memory(chunk: Chunk) -> str:
    return f"{_memory_in_words(chunk.memory * MEBIBYTE)} of GPU memory" if chunk.memory else "a GPU of any size"


def _memory_in_words(size: int) -> str:
    return f"{size / GIBIBYTE:.1f} GiB"


def by_workers(submission: Submission, farm: Farm, tag: str) -> tuple[str, ...]:
    """How many workers of a Flamenco farm take which tasks. Raises `BadInput` for a shot that is too large for all."""
    needed = task_types(submission, farm.job_type.gpu_sizes)
    return tuple(
        f"tasks of type {task_type!r}: {count}, workers that take them: {len(farm.takers(task_type, tag))}"
        for task_type, count in needed.items()
    )
