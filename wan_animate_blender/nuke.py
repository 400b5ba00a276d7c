"""A take as a script for Nuke: the same picture from the same files as `comp` makes in Blender. Knows no scenes.

A script is a list of nodes that take their inputs from a stack and put themselves on it; the last one put there is the
first input (B of a Merge). Files are named from where the script lies, so that the shot's folder can be moved.
"""

from __future__ import annotations

from pathlib import Path

from . import assembly, take
from .assembly import Parts
from .wire import BadInput, version_name, write_atomically

HERE = r"\[file dirname \[value root.name]]"
"""The script's folder, as Nuke finds it when it reads a file."""

GRID = 110

Knobs = dict[str, str | int | float]


def write(folder: Path) -> Path:
    """Write the script of the take in `folder` beside it, as `SH010_v001.nk`; returns the file.

    Frame 1001 is the shot's first, its range is the cut. Raises `BadInput` as `assembly.read` does, and when the folder
    of the takes cannot be written.
    """
    parts = assembly.read(folder)
    file = folder.parent / f"{parts.take.shot}_{version_name('v', parts.take.version)}.nk"
    try:
        write_atomically(file, script(parts, file.parent).encode())
    except OSError as error:
        raise BadInput(
            f"cannot write {file} ({error.strerror or error}); make the folder of the takes writable"
        ) from error
    return file


def script(parts: Parts, home: Path) -> str:
    """What the file says when it lies in the folder `home`."""
    return "\n".join([_root(parts), *_character(parts, home), *_background(parts, home), *_merged(parts), ""])


def _root(parts: Parts) -> str:
    found = parts.take
    size = f"{found.width} {found.height} 0 0 {found.width} {found.height} 1 {found.shot}"
    knobs: Knobs = {
        "inputs": 0, "first_frame": found.cut_in, "last_frame": found.cut_out, "lock_range": "true",
        "frame": found.cut_in, "fps": float(found.fps), "format": _quoted(size), "label": _quoted(take.title(found)),
    }  # fmt: skip
    return _node("Root", knobs)


def _character(parts: Parts, home: Path) -> list[str]:
    """The character's own colours with the matte for alpha, then premultiplied."""
    nodes = [_read("Matte", parts.matte, parts, home, (2, 0)), _read("Character", parts.character, parts, home, (1, 0))]
    if parts.is_linear:
        nodes.append(_node("Unpremult", _placed("Straight", (1, 1))))
    copied: Knobs = {"inputs": 2, "from0": "rgba.red", "to0": "rgba.alpha"}
    nodes.append(_node("Copy", copied | _placed("CharacterInMatte", (1, 2))))
    nodes.append(_node("Premult", _placed("Premultiplied", (1, 3))))
    return nodes


def _background(parts: Parts, home: Path) -> list[str]:
    """The plate, and what is behind the person: not seen until `which` is raised.

    The background of a take has that in it already.
    """
    plate = _read(parts.ground, parts.plate, parts, home, (0, 0))
    if not parts.clean_plate:
        return [plate]
    clean = _read("CleanPlate", parts.clean_plate, parts, home, (-1, 0))
    dissolve: Knobs = {"inputs": 2, "which": 0}
    return [clean, plate, _node("Dissolve", dissolve | _placed("CleanPlateOverPlate", (0, 1)))]


def _merged(parts: Parts) -> list[str]:
    over: Knobs = {"inputs": 2, "operation": "over"}
    nodes = [_node("Merge2", over | _placed(f"CharacterOver{parts.ground}", (0, 4)))]
    if not parts.is_linear:  # put together in the numbers of the files, then made light
        light: Knobs = {"colorspace_in": "sRGB", "colorspace_out": "linear"}
        nodes.append(_node("Colorspace", light | _placed("ToLight", (0, 5))))
    return nodes


def _read(name: str, files: list[Path], parts: Parts, home: Path, place: tuple[int, int]) -> str:
    """A sequence with the numbers that its files hold."""
    first, last = parts.take.first, parts.take.last
    pattern = f"{_relative(files[0].parent, home)}/%04d{files[0].suffix}"
    knobs: Knobs = {
        "inputs": 0, "file": f'"{HERE}/{pattern}"', "first": first, "last": last, "origfirst": first,
        "origlast": last, "origset": "true", "on_error": "black", "raw": "true",
    }  # fmt: skip
    return _node("Read", knobs | _placed(name, place))


def _relative(folder: Path, home: Path) -> str:
    """The way from `home` to `folder`, which is in the same shot's folder."""
    shot = home.parent
    return folder.relative_to(home).as_posix() if folder.is_relative_to(home) else (
        f"../{folder.relative_to(shot).as_posix()}"
    )  # fmt: skip


def _placed(name: str, place: tuple[int, int]) -> Knobs:
    return {"name": name, "xpos": place[0] * GRID, "ypos": place[1] * GRID}


def _node(kind: str, knobs: Knobs) -> str:
    return "\n".join([f"{kind} {{", *(f" {name} {value}" for name, value in knobs.items()), "}"])


def _quoted(text: str) -> str:
    return f'"{text}"'
