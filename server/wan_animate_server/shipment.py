"""A finished take → copies under the names that a client wants, none of them half, none written over.

Knows neither models nor HTTP.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

from wan_animate_blender.wire import (
    BadInput,
    FileEntry,
    Message,
    Naming,
    SegmentRecord,
    Take,
    TakeState,
    sha256_file,
    write_atomically,
)

from .take import read_take


@dataclass(frozen=True, kw_only=True)
class Shipment(Message):
    """The JSON file beside what was delivered: what it is, how it was made, and what must be found again."""

    shot: str
    version: int
    export: str
    recipe: str
    """`Take.recipe`."""
    naming: Naming
    fps: Fraction
    first: int
    last: int
    """Numbers of the delivered frames, inclusive."""
    cut_in: int
    cut_out: int
    """Those inside the edit; the others are handles."""
    layers: tuple[str, ...]
    segments: tuple[SegmentRecord, ...]
    """With the take's own numbers."""
    models: dict[str, str]
    versions: dict[str, str]
    notes: tuple[str, ...]
    files: dict[str, FileEntry]
    """By their paths beside this file."""


def naming_of(folder: Path, **given: Any) -> Naming:
    """How the take in `folder` was meant to be called, but for what is `given`; None is not."""
    own = _complete(folder).settings.finish.naming
    wanted = {name: value for name, value in given.items() if value is not None}
    return replace(own if "convention" not in wanted else replace(own, template=""), **wanted)


def deliver(folder: Path, to: Path, naming: Naming, layers: Sequence[str] = ()) -> Path:
    """Copy every frame of `layers`, by default all, of the take in `folder` to `to`; returns the JSON file.

    The take is not changed and shares no file with what is delivered. What an interrupted delivery left is kept; any
    other file in the way, and a take that is not complete or not as it was written, raise `BadInput` before anything
    is copied, or with the take's damaged file.
    """
    take = _complete(folder)
    chosen = tuple(layers) or take.layers
    names = {path: name for layer in chosen for path, name in _names(take, layer, naming)}
    sheet = to / f"{naming.title(take.shot, take.version)}.json"
    left = [(path, to / name) for path, name in names.items() if not _is_there(sheet, to / name, take.files[path])]
    try:
        for path, target in left:
            _copy(folder / path, target, take.files[path])
        files = {name: take.files[path] for path, name in names.items()}
        write_atomically(sheet, _shipment(take, naming, chosen, files).dumps().encode())
    except OSError as error:
        raise BadInput(
            f"cannot write to {to} ({error.strerror or error}); choose a folder that you may write to"
        ) from error
    return sheet


def _complete(folder: Path) -> Take:
    take = read_take(folder)
    if take is None:
        raise BadInput(f"{folder} holds no take; give a folder such as SH010/takes/v001")
    if take.state is not TakeState.COMPLETE:
        raise BadInput(f"the take {folder} is not complete; render the shot again, which goes on where it stopped")
    return take


def _names(take: Take, layer: str, naming: Naming) -> Iterator[tuple[str, str]]:
    """Path in the take and path of delivery of each frame. Raises `BadInput` when the take has no such layer."""
    if layer not in take.layers:
        raise BadInput(f"the take has no layer {layer}; choose of {', '.join(take.layers)}")
    for path in take.sequence(layer):
        file = PurePosixPath(path)
        number = naming.delivered(int(file.stem), take.first)
        yield path, naming.path(take.shot, layer, take.version, number) + file.suffix


def _is_there(sheet: Path, target: Path, entry: FileEntry) -> bool:
    """Whether an interrupted delivery of the same take left `target`. Raises `BadInput` for anything else there."""
    if sheet.exists():
        raise BadInput(f"{sheet} is there: this version was delivered before; deliver to another folder")
    if not target.exists():
        return False
    if target.is_file() and target.stat().st_size == entry.size and sha256_file(target) == entry.sha256:
        return True
    raise BadInput(f"{target} is there and is something else; nothing is written over, deliver to another folder")


def _copy(source: Path, target: Path, entry: FileEntry) -> None:
    """Copy a file of the take to where nothing is; it appears whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with source.open("rb") as read, part.open("wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())
        if sha256_file(part) != entry.sha256:
            raise BadInput(f"{source} is not as it was rendered; fetch the take again, or render it again")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _shipment(take: Take, naming: Naming, layers: tuple[str, ...], files: dict[str, FileEntry]) -> Shipment:
    first, last, cut_in, cut_out = (
        naming.delivered(number, take.first) for number in (take.first, take.last, take.cut_in, take.cut_out)
    )
    return Shipment(
        shot=take.shot, version=take.version, export=take.export, recipe=take.recipe, naming=naming, fps=take.fps,
        first=first, last=last, cut_in=cut_in, cut_out=cut_out, layers=layers, segments=take.segments,
        models=take.models, versions=take.versions, notes=take.notes, files=files,
    )  # fmt: skip
