"""Which of the files that are read are there, and how large they are: one look at each folder. Knows no bpy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .submission import Asset

_NUMBER = re.compile(r"[0-9]+(?=[^0-9]*$)")


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one thing of the .blend reads, whether it is there or not."""

    what: str
    """In words for people."""
    files: tuple[Path, ...] = ()
    """Absolute, in their order. A folder stands for all that is in it."""
    packed: int | None = None
    """Bytes inside the .blend; then no file is read."""
    nowhere: bool = False
    """It is only in this window's memory, and in no file and no .blend."""


def taken(needs: Iterable[Need]) -> tuple[Asset, ...]:
    """What travels: an asset for each sequence, file and folder that is needed, told by the first that needs it."""
    disk, seen = _Disk(), set[Path]()
    assets: list[Asset] = []
    for need in needs:
        if need.packed is not None or need.nowhere:
            assets.append(_inside(need))
            continue
        new = [file for file in dict.fromkeys(map(_plain, need.files)) if file not in seen]
        seen.update(new)
        assets += [disk.asset(need.what, group) for group in _sequences(new)]
    return tuple(assets)


def _plain(file: Path) -> Path:
    """Without "..": one file has one name."""
    return Path(os.path.normpath(file))


def _inside(need: Need) -> Asset:
    if need.nowhere:
        return Asset(path="", what=need.what, files=0, size=0, missing=("it is saved nowhere; pack or save it",))
    return Asset(path="", what=need.what, files=1, size=need.packed or 0, packed=True)


def _sequences(files: Iterable[Path]) -> Iterator[list[Path]]:
    """Files whose names differ only in their last number belong together."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        groups.setdefault((file.parent, _NUMBER.sub("#", file.name)), []).append(file)
    yield from groups.values()


class _Disk:
    """What is in folders, each read once: sequences are long and storage may be far away."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, int]] = {}

    def asset(self, what: str, files: list[Path]) -> Asset:
        sizes = {file: self._size(file) for file in files}
        there = [file for file in files if sizes[file] is not None]
        if there and len(files) == 1 and files[0].is_dir():
            inside = [path.stat().st_size for path in files[0].rglob("*") if path.is_file()]
            return Asset(path=str(files[0]), what=what, files=len(inside), size=sum(inside))
        return Asset(
            path=str((there or files)[0]),
            what=what,
            files=len(there),
            size=sum(size for size in sizes.values() if size),
            missing=tuple(file.name for file in files if sizes[file] is None),
        )

    def _size(self, file: Path) -> int | None:
        if file.parent not in self._folders:
            self._folders[file.parent] = _sizes(file.parent)
        return self._folders[file.parent].get(file.name)


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of what is in `folder`, {} where it cannot be read; links that lead nowhere are not there."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if Path(entry.path).exists()}
    except OSError:
        return {}
