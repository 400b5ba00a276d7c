"""Exports whose version was fixed when they were submitted: whole under their name, or not there.

No owner is asked and no clock: whoever makes one fills a folder of its own beside it, and the first to be done gives
that the name. So a maker that was killed is in nobody's way, on whatever machine. Knows neither bpy nor an engine.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..wire import EXPORT_PREFIX, OWNER_FILE, BadInput, TryElsewhere, claim_version, has_ended
from .results import exported


def reserve(root: Path, name: str) -> str:
    """Keep the next version of the shot `name` from everybody else: an empty folder. Returns "SH010/e003".

    Raises `BadInput` when `root` cannot be written.
    """
    folder = claim_version(root / name, EXPORT_PREFIX)
    (folder / OWNER_FILE).unlink()
    return f"{name}/{folder.name}"


def give_up(root: Path, folder: str) -> None:
    """Let go of a reserved version of which nothing was made, and of its shot's folder if nothing else is there."""
    with contextlib.suppress(OSError):
        (root / folder).rmdir()
        (root / folder).parent.rmdir()


def expect_free(folder: Path) -> None:
    """Clear away what somebody who has ended left under the final name.

    Raises `TryElsewhere` when the one who made it may still be at work.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    record = folder / OWNER_FILE
    if not record.is_file() or not has_ended(record.read_bytes()):
        raise TryElsewhere(
            f"{folder} is not empty and no whole export, so that another process may be writing it; "
            "wait for that one, or remove the folder"
        )
    shutil.rmtree(folder.rename(_part_of(folder)))


@contextlib.contextmanager
def making(folder: Path) -> Iterator[Path]:
    """An empty folder to be filled, which becomes `folder` when that went well and goes away when it did not.

    When meanwhile somebody else has made the same export, theirs stays, and nothing is wrong.
    Raises `BadInput` when it cannot be written.
    """
    part = _part_of(folder)
    try:
        part.mkdir(parents=True)
        yield part
        _give_name(part, folder)
    except (OSError, RuntimeError, BadInput) as error:  # what is written to a folder that has gone away
        if exported(folder):
            return
        if isinstance(error, OSError):
            raise BadInput(
                f"cannot write {folder} ({error.strerror or error}); make room or make it writable"
            ) from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _give_name(part: Path, folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()  # reserved and empty; Windows renames to no folder that is there
    part.rename(folder)
    for other in folder.parent.glob(f".{folder.name}.*.part"):  # of those who were killed, or come too late
        shutil.rmtree(other, ignore_errors=True)


def _part_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
