"""The pictures that a take's `comp` is made of, found in its folder and its export's. Knows no compositor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import take
from .wire import BadInput, Encoding, Mode, Shot, Take


@dataclass(frozen=True)
class Parts:
    """The sequences, each with one file for each frame of the shot."""

    take: Take
    shot: Shot
    plate: list[Path]
    clean_plate: list[Path]
    """[] when there is none."""
    character: list[Path]
    matte: list[Path]

    @property
    def is_linear(self) -> bool:
        return self.shot.colour.encoding is Encoding.LINEAR


def read(folder: Path) -> Parts:
    """Those of the take in `folder`. Raises `BadInput` when it is not complete or has no plate."""
    found = take.read(folder)
    if found.mode is not Mode.REPLACE:
        raise BadInput(
            f"{take.title(found)} has a background of its own and no plate; there is nothing to put together"
        )
    export, shot = take.exported(folder, found)
    return Parts(
        found,
        shot,
        plate=_exported(shot, export, "plate"),
        clean_plate=_exported(shot, export, "cleanplate") if shot.sequence("cleanplate") else [],
        character=take.pictures(found, folder, "character"),
        matte=take.pictures(found, folder, "matte"),
    )


def _exported(shot: Shot, export: Path, layer: str) -> list[Path]:
    files = [export / path for path in shot.sequence(layer)]
    for file in files:
        if not file.is_file():
            raise BadInput(f"the export of {shot.name} is damaged: {file} is missing; export the shot again")
    return files
