"""What has become of a submitted shot, as the folders tell it: its export, its newest take. Knows no bpy, no engine."""

from __future__ import annotations

from pathlib import Path

from ..wire import (
    SHOT_FILE,
    TAKE_FILE,
    TAKE_PREFIX,
    TAKES,
    BadInput,
    Shot,
    Take,
    TakeState,
    WireError,
    version_name,
    versions,
)


def exported(folder: Path) -> Shot | None:
    """What the export in `folder` says of itself; None while it is not whole. Raises `BadInput` when it is damaged."""
    said = _read(folder / SHOT_FILE)
    return None if said is None else Shot.loads(said)


def newest(folder: Path) -> Path | None:
    """The folder of the newest complete take of the export in `folder`; None while there is none. Raises as above."""
    shot, takes = exported(folder), folder.parent / TAKES
    for number in reversed(versions(takes, TAKE_PREFIX)) if shot else ():
        found = takes / version_name(TAKE_PREFIX, number)
        if shot and _is_whole(found, shot):
            return found
    return None


def _is_whole(folder: Path, shot: Shot) -> bool:
    said = _read(folder / TAKE_FILE)
    try:
        take = None if said is None else Take.loads(said)
    except WireError:  # of another version: none that could be imported here
        return False
    return take is not None and take.export == shot.hash and take.state is TakeState.COMPLETE


def _read(file: Path) -> bytes | None:
    """None while it is not there. Raises `BadInput` when it cannot be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"cannot read {file} ({error.strerror or error}); make it readable") from error
