"""Folders that several processes may want: whose one is, and what a full disk says. Knows no content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from wan_animate_blender.wire import OWNER_FILE, BadInput, claim, has_ended, may_live, owner, write_atomically

_HEIR = ".heir-"
_BEAT, _RELEASED = "beat", "released"
"""Fields of a record that its owner changes without becoming another one."""


def record_of(folder: Path) -> bytes | None:
    """The owner's record; None when `folder` is nobody's. Raises `OSError` when it cannot be read."""
    try:
        return (folder / OWNER_FILE).read_bytes()
    except FileNotFoundError:
        return None


def claim_of(record: bytes) -> str:
    """What tells a claim from all others, however often its owner has beaten since, and when it lets go."""
    with contextlib.suppress(ValueError, AttributeError):
        lasting = {name: value for name, value in json.loads(record).items() if name not in (_BEAT, _RELEASED)}
        record = json.dumps(lasting, sort_keys=True).encode()
    return hashlib.sha256(record).hexdigest()[:16]


def named(record: bytes) -> str:
    """The owner in words."""
    try:
        said = json.loads(record)
        return f"process {said['pid']} on {said['host']}"
    except (ValueError, TypeError, KeyError):
        return "a process that does not say who it is"


def is_elsewhere(record: bytes) -> bool:
    """Whether its process is of another machine, so that nobody here can look whether it lives."""
    try:
        return bool(json.loads(record)["host"] != owner()["host"])
    except (ValueError, TypeError, KeyError):
        return False


def take_over(folder: Path, dead: bytes | None = None) -> bool:
    """Become the owner in place of a dead one. Of several processes that try, one succeeds.

    `dead` is the record of an owner who was watched for long and gave no sign of life.
    """
    try:
        record = (folder / OWNER_FILE).read_bytes()
        if not has_ended(record) and record != dead:
            return False
        # Whoever makes the folder named after the dead owner's claim inherits; makes are atomic everywhere.
        (heir := _heir(folder, record)).mkdir()
        try:
            write_atomically(folder / OWNER_FILE, json.dumps(claim()).encode())
        except OSError:  # a full disk: whoever comes when there is room may inherit
            heir.rmdir()
            raise
    except OSError:  # no owner, another heir, or a folder that is not ours to write: all mean a new version
        return False
    return True


def has_heir(folder: Path, record: bytes) -> bool:
    """Whether somebody has inherited from the owner of `record`. Raises `OSError` when nobody can tell."""
    return _heir(folder, record).exists()


def is_lost(folder: Path, record: bytes) -> bool:
    """Whether the claim of `record`, an owner's own, is his no more. Raises `OSError` when nobody can tell."""
    if has_heir(folder, record):
        return True
    found = record_of(folder)
    if found is None:
        return True
    # What an earlier owner wrote late, as one that was suspended does, is of no claim that still counts.
    return claim_of(found) != claim_of(record) and not has_heir(folder, found)


def beat(folder: Path, record: bytes, count: int) -> None:
    """Write the `record` of an owner with another count, by which it is seen from other machines that he lives."""
    write_atomically(folder / OWNER_FILE, json.dumps(json.loads(record) | {_BEAT: count}).encode())


def disown(folder: Path) -> None:
    """The folder is finished and nobody's any more."""
    (folder / OWNER_FILE).unlink(missing_ok=True)
    for heir in folder.glob(f"{_HEIR}*"):
        heir.rmdir()


def release(folder: Path) -> None:
    """Leave an unfinished folder of ours to whoever wants to go on with it, while this process does something else."""
    with contextlib.suppress(OSError):  # where it cannot be written it stays ours, and the next one is a new version
        said = json.loads((folder / OWNER_FILE).read_bytes())
        record = json.dumps(said | {_RELEASED: uuid.uuid4().hex}).encode()
        try:
            write_atomically(folder / OWNER_FILE, record)
        except OSError:  # a full disk has room in the block that the record has
            with (folder / OWNER_FILE).open("r+b") as file:
                file.write(record)


def _heir(folder: Path, record: bytes) -> Path:
    """What exists from the moment when somebody inherits from the owner of `record`."""
    return folder / f"{_HEIR}{claim_of(record)}"


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
