"""What has become of a submitted shot, as the folders tell it: its export and its takes. Knows no bpy, no engine."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..wire import (
    SHOT_FILE,
    TAKE_FILE,
    TAKE_PREFIX,
    TAKES,
    BadInput,
    Settings,
    Shot,
    Take,
    TakeState,
    WireError,
    version_name,
    versions,
)

REMEMBERED = 4000
"""Files that are not read again while they are what they were."""


@dataclass(frozen=True)
class Made:
    """A take of a submitted shot."""

    folder: Path
    is_complete: bool
    frames: int
    """That are there."""
    whole: int
    """That it will have."""


def exported(folder: Path) -> Shot | None:
    """What the export in `folder` says of itself; None while it is not whole. Raises `BadInput` when it is damaged."""
    file = folder / SHOT_FILE
    try:
        return Shot.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"cannot read {file} ({error.strerror or error}); make it readable") from error


def made(folder: Path) -> Iterator[Made]:
    """Takes of the export in `folder` with the settings that it was submitted with, the newest first.

    None while the export is not whole. Raises as `exported` does.
    """
    wanted, takes = _wanted(folder), folder.parent / TAKES
    for number in reversed(versions(takes, TAKE_PREFIX)) if wanted else ():
        found = _read(takes / version_name(TAKE_PREFIX, number))
        if found and found[0] == wanted:
            yield found[1]


def newest(folder: Path) -> Path | None:
    """The folder of the newest take that is complete; None while there is none. Raises as `exported` does."""
    return next((one.folder for one in made(folder) if one.is_complete), None)


def _wanted(folder: Path) -> tuple[str, Settings] | None:
    try:
        modified = (folder / SHOT_FILE).stat().st_mtime_ns
    except OSError:  # `exported` says why, where it is not that there is nothing
        modified = 0
    return _identity(folder, modified)


@functools.lru_cache(maxsize=REMEMBERED)
def _identity(folder: Path, _modified: int) -> tuple[str, Settings] | None:
    shot = exported(folder)
    return (shot.hash, shot.settings) if shot else None


def _read(folder: Path) -> tuple[tuple[str, Settings], Made] | None:
    try:
        return _take(folder / TAKE_FILE, (folder / TAKE_FILE).stat().st_mtime_ns)
    except (OSError, ValueError, WireError):  # being made, or of another version: none that could be imported here
        return None


@functools.lru_cache(maxsize=REMEMBERED)
def _take(file: Path, _modified: int) -> tuple[tuple[str, Settings], Made]:
    """The little of `take.json` that is shown: checking its long lists takes a hundred times as long."""
    told = json.loads(file.read_bytes())
    if not isinstance(told, dict) or not isinstance(told.get("files"), dict):
        raise WireError(f"{file} is no take; render the shot again")
    take = Take.from_json({**told, "files": {}, "segments": [], "seams": [], "origins": []})
    there = sum(name.startswith(f"{take.layers[-1]}/") for name in told["files"])
    found = Made(file.parent, take.state is TakeState.COMPLETE, there, take.last - take.first + 1)
    return (take.export, take.settings), found
