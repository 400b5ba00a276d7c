"""What no fault may leave behind: processes of a data folder, and files that nobody needs any more."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ..serving import PATIENCE, arguments, lives


def processes(data: Path) -> list[int]:
    """Living processes with the data folder, or what is below its parent, in their command line."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in found if lives(pid) and any(str(data) in word for word in arguments(pid))]


def strays(data: Path) -> list[str]:
    """Files and folders of `data` that belong to no job and no finished work, once nothing is rendered or sent."""
    with closing(sqlite3.connect(data / "jobs.sqlite")) as connection:
        jobs = {job for (job,) in connection.execute("SELECT id FROM jobs")}
    unfinished = [p for p in data.rglob("*") if p.name.endswith(".part") or p.name.startswith(".heir-")]
    owned = list(data.rglob("owner.json"))
    unknown = [p for p in (data / "jobs").glob("*") if p.name not in jobs]
    doubled = [p for p in (data / "jobs").glob("*/*/takes/v*") if p.name != "v001"]
    previews = list(data.rglob(".preview.png"))
    return sorted(str(p.relative_to(data)) for p in {*unfinished, *owned, *unknown, *doubled, *previews})


def settled(look: Callable[[], list[str]]) -> list[str]:
    """What is still there after as long as a worker may take, on a busy machine, to notice that its server is gone."""
    end = time.monotonic() + PATIENCE
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found
