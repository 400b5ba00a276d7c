"""The pictures that a take's `comp` is made of, found in its folder and its export's. Knows no compositor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import take
from .wire import Alpha, BadInput, Encoding, Extra, Mode, Shot, Take


@dataclass(frozen=True)
class Parts:
    """The sequences, each with one file for each frame of the shot."""

    take: Take
    shot: Shot
    plate: list[Path]
    """What the character lies over: the plate as it was exported, or the take's own background."""
    clean_plate: list[Path]
    """To be mixed in by hand; [] when there is none, and where the background has it in it already."""
    character: list[Path]
    matte: list[Path]

    @property
    def ground(self) -> str:
        """What the pictures of `plate` are called."""
        return "Background" if has_background(self.take) else "Plate"

    @property
    def is_linear(self) -> bool:
        return self.shot.colour.encoding is Encoding.LINEAR


def has_background(take: Take) -> bool:
    """Whether the comp lies over the layer `background`, in which the clean plate, and light kept on it, show.

    Otherwise that layer, where somebody asked for it, is the plate.
    """
    return take.settings.finish.alpha is Alpha.DIFFERENCE


def read(folder: Path) -> Parts:
    """Those of the take in `folder`. Raises `BadInput` when it is not complete or has no plate."""
    found = take.read(folder)
    if found.mode is not Mode.REPLACE:
        raise BadInput(
            f"{take.title(found)} has a background of its own and no plate; there is nothing to put together"
        )
    export, shot = take.exported(folder, found)
    has_ground = has_background(found)
    loose = not has_ground and shot.sequence("cleanplate")
    return Parts(
        found,
        shot,
        plate=take.pictures(found, folder, Extra.BACKGROUND) if has_ground else _exported(shot, export, "plate"),
        clean_plate=_exported(shot, export, "cleanplate") if loose else [],
        character=take.pictures(found, folder, "character"),
        matte=take.pictures(found, folder, "matte"),
    )


def _exported(shot: Shot, export: Path, layer: str) -> list[Path]:
    files = [export / path for path in shot.sequence(layer)]
    for file in files:
        if not file.is_file():
            raise BadInput(f"the export of {shot.name} is damaged: {file} is missing; export the shot again")
    return files
