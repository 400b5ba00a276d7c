"""What the player of a job plays: the plate and the layers of its newest take, frame by frame. Knows no HTTP."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wan_animate_blender.wire import TAKE_FILE, FileEntry, Shot, Take

from .. import shot as shots
from ..colour import Space
from ..take import newest_take, read_take

PLATE = "plate"

_NO_PICTURES = {"matte"}
"""Layers that say something of pixels, and are nothing to look at."""

Row = tuple[str | None, ...]
"""The SHA-256 of each frame of the shot in order; None where the frame is not there."""


@dataclass(frozen=True)
class Reel:
    """All pictures of a job that there are by now."""

    fps: float
    first: int
    """Shot number of the first frame."""
    cut: tuple[int, int]
    """First and last shot number inside the edit, inclusive."""
    take: str
    """The name of the take's folder, such as "v002"; empty while there is none."""
    layers: dict[str, Row]
    """The plate first, where the shot has one."""
    files: dict[str, tuple[Path, str]]
    """By SHA-256: a folder, and the path of a picture in it."""
    space: Space | None
    """What the numbers of scene-linear files mean."""


def wind(export: Path, takes: Path) -> Reel:
    """The shot in `export` and its newest take below `takes`, as they are now. Raises `BadInput` for a bad shot."""
    folder = newest_take(takes)
    return _wound(export, folder, _written(folder / TAKE_FILE) if folder else 0)


@functools.lru_cache(maxsize=16)
def _wound(export: Path, folder: Path | None, _: int) -> Reel:
    """Kept, because a player asks for one frame after the other of what can be a message of megabytes."""
    shot = shots.read(export)
    take = read_take(folder) if folder else None
    layers: dict[str, Row] = {}
    files: dict[str, tuple[Path, str]] = {}
    for layer, root, listed, paths in _sequences(export, shot, folder, take):
        layers[layer] = _row(shot.numbers, listed, paths)
        files.update({listed[path].sha256: (root, path) for path in paths})
    return Reel(
        fps=float(shot.fps), first=shot.numbers[0], cut=(shot.cut_in, shot.cut_out), layers=layers, files=files,
        take=folder.name if folder and take else "", space=shots.space(shot, export),
    )  # fmt: skip


def _sequences(
    export: Path, shot: Shot, folder: Path | None, take: Take | None
) -> Iterable[tuple[str, Path, dict[str, FileEntry], list[str]]]:
    """Each layer's name, the folder that its files are in, how they are listed and which they are."""
    if plate := shot.sequence(PLATE):
        yield PLATE, export, shot.files, plate
    if folder and take:
        for layer in (layer for layer in reversed(take.layers) if layer not in _NO_PICTURES):
            yield layer, folder, take.files, take.sequence(layer)


def _row(numbers: range, listed: dict[str, FileEntry], paths: list[str]) -> Row:
    found = {int(PurePosixPath(path).stem): listed[path].sha256 for path in paths}
    return tuple(found.get(number) for number in numbers)


def _written(file: Path) -> int:
    """When `file` was written, in nanoseconds; 0 when it is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
