"""Folders that several processes may want: whose one is, and what a full disk says. Knows no content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from wan_animate_blender.wire import OWNER_FILE, BadInput, may_live, owner, write_atomically

_HEIR = ".heir-"


def take_over(folder: Path) -> bool:
    """Become the owner in place of a dead one. Of several processes that try, one succeeds."""
    try:
        record = (folder / OWNER_FILE).read_bytes()
        if not _is_stale(record):
            return False
        # Whoever makes the folder named after the dead owner's record inherits; makes are atomic everywhere.
        (folder / f"{_HEIR}{hashlib.sha256(record).hexdigest()[:16]}").mkdir()
        write_atomically(folder / OWNER_FILE, json.dumps(owner()).encode())
    except OSError:  # no owner, another heir, or a folder that is not ours to write: all mean a new version
        return False
    return True


def disown(folder: Path) -> None:
    """The folder is finished and nobody's any more."""
    (folder / OWNER_FILE).unlink(missing_ok=True)
    for heir in folder.glob(f"{_HEIR}*"):
        heir.rmdir()


def release(folder: Path) -> None:
    """Leave an unfinished folder to whoever wants to go on with it, while this process does something else."""
    record = json.dumps(owner() | {"released": uuid.uuid4().hex}).encode()
    with contextlib.suppress(OSError):  # where it cannot be written it stays ours, and the next one is a new version
        try:
            write_atomically(folder / OWNER_FILE, record)
        except OSError:  # a full disk has room in the block that the record has
            with (folder / OWNER_FILE).open("r+b") as file:
                file.write(record)


def part_of(folder: Path, name: str) -> Path:
    """A path in `folder` for something of this process that will be called `name`, made by nobody else.

    Its owner is in its own name: a record inside would be missing until it is written, and be left when it is whole.
    """
    return folder / f".{name}.{uuid.uuid4().hex[:8]}.{_mark(owner())}.part"


def is_orphan(part: Path) -> bool:
    """Whether the process that made `part` has certainly ended."""
    found = re.search(r"\.([0-9a-f]{8})-([0-9a-f]{8})-([0-9]+)\.part$", part.name)
    if found is None:
        return False
    host, boot, _ = _mark(owner()).split("-")
    return found[1] == host and (found[2] != boot or not may_live(int(found[3])))


def _mark(owner: Mapping[str, str | int]) -> str:
    """An owner in a few characters that may be in a file's name."""
    host, boot = (hashlib.sha256(str(owner[what]).encode()).hexdigest()[:8] for what in ("host", "boot"))
    return f"{host}-{boot}-{owner['pid']}"


def _is_stale(record: bytes) -> bool:
    """Whether the process of an owner record has certainly ended, or let go of it."""
    try:
        theirs = json.loads(record)
        host, boot, pid = theirs["host"], theirs["boot"], int(theirs["pid"])
    except (ValueError, TypeError, KeyError):
        return False
    if "released" in theirs:
        return True
    ours = owner()
    if host != ours["host"]:
        return False  # nobody can tell from here
    return bool(boot != ours["boot"]) or not may_live(pid)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what a full or forbidden disk says into a sentence."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"cannot write to {folder} ({error.strerror or error}); make room there or choose a folder that you may "
            "write to, finished segments are kept"
        ) from error
