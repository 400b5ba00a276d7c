"""A finished take as one tar stream, made while it is sent: no temporary file, no compression. Knows no HTTP."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from wan_animate_blender.wire import TAKE_FILE, Take

_PIECE = 1 << 20
"""Bytes that are read at once."""

_END = bytes(2 * tarfile.BLOCKSIZE)


def length(folder: Path, take: Take) -> int:
    """Bytes of the stream, so that whoever receives it can tell whether it is whole. Raises `OSError`."""
    return sum(len(_head(path, size)) + size + _gap(size) for path, size in _members(folder, take)) + len(_END)


def pieces(folder: Path, take: Take) -> Iterator[bytes]:
    """`take.json` first, then every file that it lists. Raises `OSError` when the take is removed meanwhile."""
    for path, size in _members(folder, take):
        yield _head(path, size)
        with (folder / path).open("rb") as file:
            while data := file.read(_PIECE):
                yield data
        yield bytes(_gap(size))
    yield _END


def _members(folder: Path, take: Take) -> Iterator[tuple[str, int]]:
    yield TAKE_FILE, (folder / TAKE_FILE).stat().st_size
    for path, entry in sorted(take.files.items()):
        yield path, entry.size


def _head(path: str, size: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT)


def _gap(size: int) -> int:
    """Zeros after a file: tar counts in blocks."""
    return -size % tarfile.BLOCKSIZE
