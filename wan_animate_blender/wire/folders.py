"""Names of folders and files, and how they come to be whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import BadInput
from .messages import Message, expect, shown

SHOT_FILE = "shot.json"
TAKE_FILE = "take.json"
REPORT_FILE = "report.html"
POSE_FILE = "pose.npz"
AUDIO_FILE = "audio.wav"
OWNER_FILE = "owner.json"
TAKES = "takes"
SEGMENTS = "segments"
EXPORT_PREFIX, TAKE_PREFIX = "e", "v"

LONGEST_NAME, LONGEST_PATH = 255, 1024
"""Bytes of a file's name and characters of a relative path, which every system can still open."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:]")
"""Characters with another meaning in a path somewhere, and those that nobody sees."""


@dataclass(frozen=True, kw_only=True)
class FileEntry(Message):
    """One file of a shot or take folder, as it must be found again."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        expect(
            re.fullmatch(r"[0-9a-f]{64}", self.sha256) is not None, "sha256", self.sha256, "64 lower-case hex digits"
        )
        expect(self.size >= 0, "size", self.size, "a number of bytes")


def frame_name(number: int, extension: str) -> str:
    """`frame_name(1001, "png")` is "1001.png"."""
    return f"{number:04d}.{extension}"


def check_name(name: str) -> str:
    """A shot's name that is safe as a folder's on every system. Raises `WireError`."""
    expect(
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is not None and not name.endswith("."),
        "shot name", name, "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit",
    )  # fmt: skip
    return name


def check_path(path: str) -> str:
    """A relative POSIX path that stays inside its folder. Raises `WireError`."""
    parts = path.split("/")
    short = all(len(part.encode()) <= LONGEST_NAME for part in parts) and len(path) <= LONGEST_PATH
    expect(
        short and not any(part in ("", ".", "..") for part in parts) and not _UNSAFE.search(path),
        "path", shown(path), "a relative path with forward slashes that stays inside its folder",
    )  # fmt: skip
    return path


def check_paths(paths: Iterable[str]) -> None:
    """Paths of files that can lie in one folder together. Raises `WireError`."""
    files = set(map(check_path, paths))
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    expect(not files & folders, "path", shown(min(files & folders, default="")), "a file, not a folder of others")


def claim_version(parent: Path, prefix: str) -> Path:
    """Make and own the next free `<prefix>NNN` in `parent`, by an atomic mkdir, and leave an owner record in it.

    Two processes never get the same folder. Raises `BadInput` when `parent` cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = max(versions(parent, prefix), default=0)
        while True:
            number += 1
            folder = parent / version_name(prefix, number)
            if claim_folder(folder):
                break
    except OSError as error:
        raise BadInput(
            f"cannot write to {parent} ({error.strerror or error}); choose a folder that you may write to"
        ) from error
    return folder


def claim_folder(folder: Path) -> bool:
    """Make and own `folder`, by an atomic mkdir, and leave an owner record in it. False when it is there already.

    Raises `OSError` when it cannot be written.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    write_atomically(folder / OWNER_FILE, json.dumps(claim()).encode())
    return True


def version_name(prefix: str, number: int) -> str:
    """`version_name("v", 3)` is "v003"."""
    return f"{prefix}{number:03d}"


def versions(parent: Path, prefix: str) -> list[int]:
    """Numbers of the versions in `parent`, ascending."""
    numbered = re.compile(re.escape(prefix) + r"([0-9]{3,})")
    names = [p.name for p in parent.iterdir()] if parent.is_dir() else []
    return sorted(int(match[1]) for match in map(numbered.fullmatch, names) if match)


def owner() -> dict[str, str | int]:
    """Who claims a folder: host, process and boot, so that a stale owner is recognised without trusting clocks."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": _boot_id()}


def claim() -> dict[str, str | int]:
    """An owner record of this process that tells its claim from all others, its own earlier ones included."""
    return owner() | {"claim": uuid.uuid4().hex}


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # Windows, macOS: the node's address at least tells hosts of one name apart
        return f"{uuid.getnode():x}"


def may_live(pid: int) -> bool:
    """False when the process `pid` of this machine has certainly ended."""
    if os.name != "posix":
        return True  # os.kill would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def has_ended(record: bytes) -> bool:
    """Whether the process of an owner record has certainly ended, or let go of what it owned."""
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


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when the block ends well: `path` never holds half of it, whatever stops this.

    The disk has all of it before it gets its name.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` never holds half of it, whatever stops this process."""
    with whole_file(path) as part:
        part.write_bytes(data)


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(path: Path) -> FileEntry:
    """The entry of a file that is there and complete."""
    return FileEntry(sha256=sha256_file(path), size=path.stat().st_size)


def list_files(folder: Path, except_for: Iterable[str] = ()) -> dict[str, FileEntry]:
    """Entries of all files below `folder` by relative POSIX path, without hidden ones and `except_for`."""
    left_out = {OWNER_FILE, *except_for}
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = {p.relative_to(folder).as_posix(): p for p in found}
    return {name: file_entry(p) for name, p in names.items() if name not in left_out}


def is_frame_of(path: PurePosixPath, folder: str) -> bool:
    return len(path.parts) == 2 and path.parts[0] == folder and path.stem.isascii() and path.stem.isdigit()
