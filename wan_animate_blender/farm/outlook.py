"""What a Flamenco farm will make of a submission, told before it is sent. Knows no HTTP and no job that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .flamenco import JobType, Manager, Order, Tag, Worker, here, task_types

VARIABLES = ("blender", "blenderArgs", "wanAnimate")
"""What the script's commands name."""

REMEDY = "set task_fail_after_softfail_count: 1 in flamenco-manager.yaml"
"""Flamenco counts every worker that is not blocked as one that may try again, whatever its task types are."""

ENOUGH = 3
"""Workers with which a job outlives a first failure: the Manager fails it when one is left."""


@dataclass(frozen=True, kw_only=True)
class Farm:
    """What a Manager says about itself and its workers."""

    version: str
    job_type: JobType
    tags: tuple[Tag, ...]
    workers: tuple[Worker, ...]
    variables: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """By platform, then by name: `value`, `is_twoway`; those of the submitter's platform, too."""

    def takers(self, task_type: str, tag: str = "") -> tuple[Worker, ...]:
        """Workers that take tasks of that type, of the tag's group when one is given."""
        return tuple(one for one in self.staff(tag) if task_type in one.task_types)

    def staff(self, tag: str = "") -> tuple[Worker, ...]:
        """Workers that work or will by themselves, of the tag's group when one is given."""
        return tuple(one for one in self.workers if one.comes and (not tag or tag in one.tags))


def look(manager: Manager) -> Farm:
    """Ask a Manager for all of it. Raises `Unavailable` when it cannot take our jobs at all."""
    version, job_type = manager.version(), manager.job_type()
    workers = manager.workers()
    systems = sorted({one.platform for one in workers if one.comes} | {here()})
    return Farm(
        version=version, job_type=job_type, tags=manager.tags(), workers=workers,
        variables={system: manager.variables(system) for system in systems},
    )  # fmt: skip


def advice(farm: Farm, order: Order, system: str = "") -> tuple[str, ...]:
    """A sentence for whatever will not run, or not well; `system` is the submitter's platform, by default this one.

    Raises `BadInput` for a shot that is too large for every GPU of the farm.
    """
    needed = task_types(order.submission, farm.job_type.gpu_sizes)
    staff = farm.staff(order.tag)
    systems = sorted({worker.platform for worker in staff})
    return (
        *(sentence for task_type in needed for sentence in _hands(farm, order.tag, task_type)),
        *([_small(len(staff))] if 0 < len(staff) < ENOUGH else []),
        *(sentence for one in systems for sentence in _words(farm.variables.get(one, {}), one)),
        *(sentence for one in systems for sentence in _paths(farm, order.root, system or here(), one)),
    )


def _hands(farm: Farm, tag: str, task_type: str) -> Iterator[str]:
    number = len(farm.takers(task_type, tag))
    if number == 0:
        yield f"no worker takes tasks of type {task_type!r}; add it to task_types in the flamenco-worker.yaml of some"
    elif number == 1 and len(farm.staff(tag)) >= ENOUGH:
        yield (f"only one worker takes tasks of type {task_type!r}: where one fails there, it waits for ever for "
               f"another; {REMEDY}")  # fmt: skip


def _small(number: int) -> str:
    return (f"the farm has {number} worker{'s' * (number != 1)}: Flamenco fails a whole job there when one task fails "
            f"once; {REMEDY}")  # fmt: skip


def _words(variables: Mapping[str, Any], system: str) -> Iterator[str]:
    lacking = [name for name in VARIABLES if not variables.get(name, {}).get("value")]
    if lacking:
        yield (f"the Manager has no {' and no '.join(lacking)} for workers on {system}; add what is missing to the "
               "variables in flamenco-manager.yaml")  # fmt: skip


def _paths(farm: Farm, root: Path, submitter: str, system: str) -> Iterator[str]:
    """The Manager puts a two-way variable in place of its value, whatever the case and the slashes."""
    if system == submitter:
        return
    ours, theirs = farm.variables.get(submitter, {}), farm.variables.get(system, {})
    path = _plain(root.as_posix())
    both = [name for name, one in ours.items() if one.get("is_twoway") and theirs.get(name, {}).get("value")]
    if not any(path.startswith(_plain(str(ours[name].get("value")))) for name in both):
        yield (f"workers on {system} do not know {root.as_posix()}: add a variable with is_twoway: true and both forms "
               "of that folder to flamenco-manager.yaml")  # fmt: skip


def _plain(path: str) -> str:
    return path.replace("\\", "/").lower().rstrip("/")
