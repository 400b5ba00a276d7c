"""A finished take as the plate of the person in front of it: so each person stands before those that are done.

Knows folders of takes, nothing of rigs or of rendering.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import take, timeline
from .wire import BadInput, Colour, FrameRow, Mode, Raster, Shot, frame_name

LAYER = "comp"
"""The layer of a take that shows the whole picture."""


@dataclass(frozen=True)
class Base:
    """The pictures of a take where they lie on the timeline now."""

    title: str
    """As `Shot.base` says it: "SH010 v003"."""
    export: Path
    """The folder of `shot`."""
    shot: Shot
    """What the take was rendered from: its pixels and colours are the plate's."""
    first: int
    """Frame of the timeline of the first of `files`."""
    files: tuple[Path, ...]
    """One for each frame, handles included."""

    @property
    def end(self) -> int:
        """The first frame of the timeline after the last of `files`."""
        return self.first + len(self.files)


def read(folder: Path, strip: timeline.Strip, uid: str, raster: Raster) -> Base:
    """The take in `folder` as plate of `strip`, whose identity is `uid`.

    Raises `BadInput` when it is not complete, of another strip, of other pixels, or does not cover the strip.
    """
    found = take.read(folder)
    title = take.title(found)
    if found.strip != uid:
        raise BadInput(f"{title} was made from another strip than {strip.name!r}; choose a take of this one")
    if found.mode is not Mode.REPLACE:
        raise BadInput(f"{title} has a background of its own and no plate in it; choose a take that replaces a person")
    export, shot = take.exported(folder, found)
    if _size(shot.raster) != _size(raster):
        raise BadInput(
            f"{title} has {_words(shot.raster)} and the strip {strip.name!r} now {_words(raster)}; "
            "generate the people behind again"
        )
    base = Base(title, export, shot, take.place(strip, shot), tuple(take.pictures(found, folder, LAYER)))
    first, end = timeline.frame_range(strip)
    if base.first > first or base.end < end:
        raise BadInput(
            f"{title} covers frames {base.first} to {base.end - 1} and the strip {strip.name!r} {first} to {end - 1}; "
            "generate the people behind again"
        )
    return base


def _size(raster: Raster) -> tuple[str, int, int]:
    """What of a raster its pictures depend on; the way to the canvas is the strip's."""
    return raster.kind, raster.width, raster.height


def _words(raster: Raster) -> str:
    return f"{raster.width}×{raster.height} pixels of the {raster.kind}"


def write(base: Base, rows: Sequence[FrameRow], folder: Path) -> Iterator[Path]:
    """Copy the picture of each row to `folder/<shot number>` byte for byte."""
    folder.mkdir()
    for row in rows:
        file = base.files[int(row.timeline) - base.first]
        yield Path(shutil.copyfile(file, folder / frame_name(row.shot, file.suffix[1:])))


def write_configuration(base: Base, folder: Path) -> Colour:
    """Copy the colour configuration of the take's shot into the shot `folder`, if it has one; what it says of both."""
    colour = base.shot.colour
    if colour.ocio in base.shot.files:
        (folder / colour.ocio).parent.mkdir()
        shutil.copyfile(base.export / colour.ocio, folder / colour.ocio)
    return colour
