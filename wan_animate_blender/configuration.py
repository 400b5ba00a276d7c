"""The colour configuration that this Blender works with, packed so that a server far away has it, too.

Knows no strip and no pixel. Blender's Python has no OpenColorIO: what a configuration refers to is found in its text.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from .wire import BUILTIN, CONFIGURATION, MOST_CONFIGURATION, SPACES, BadInput, Colour, Encoding, Transform

FILE = "config.ocio"

_COMMENT = re.compile(r"^[ \t]*#.*\n", re.MULTILINE)
_WORD = r"""\s*("[^"\n]*"|'[^'\n]*'|[^,}\n]+)"""
_LUT = re.compile(r"(!<FileTransform>\s*\{?[^{}]*?\bsrc:)" + _WORD)
_SEARCH = re.compile(r"^search_path:(.*\n(?:[ \t]*-[ \t].*\n)*)", re.MULTILINE)
_ENVIRONMENT = re.compile(r"^environment:((?:.*\n)(?:[ \t]+.*\n)*)", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Packed:
    """A configuration with nothing outside itself."""

    text: str
    """Its LUTs are named as in `luts`, and nothing is searched for."""
    luts: dict[str, Path]


def source() -> Path | str:
    """The file that Blender has its colours from, or the name of one of OpenColorIO's own, such as ocio://default."""
    chosen = os.environ.get("OCIO", "")
    if chosen.startswith(BUILTIN):
        return chosen
    users = Path(bpy.utils.user_resource("DATAFILES", path="colormanagement")) / FILE
    return next((file for file in (Path(chosen), users) if file.is_file()), own())


def own() -> Path:
    """The configuration that Blender brings."""
    return Path(bpy.utils.system_resource("DATAFILES", path="colormanagement")) / FILE


def files() -> list[Path]:
    """The files of the configuration that somebody chose, its LUTs included; [] for Blender's and OpenColorIO's own.

    Raises `BadInput` where it refers to a LUT that is not there.
    """
    file = source()
    if isinstance(file, str) or file == own():
        return []
    if file.suffix == ".ocioz":
        return [file]
    return [file, *_packed(file, file.stat().st_mtime_ns).luts.values()]


def check(colour: Colour, transform: Transform) -> None:
    """Raise `BadInput` when the configuration that says what `colour` means cannot travel and has to."""
    file = source()
    if not _stays(colour, transform) and isinstance(file, Path) and file.suffix != ".ocioz":
        _packed(file, file.stat().st_mtime_ns)


def write(colour: Colour, transform: Transform, folder: Path) -> Colour:
    """`colour` as the shot in `folder` says it, with the configuration in it that it needs. Raises as `check`."""
    if _stays(colour, transform):
        return colour
    file = source()
    if isinstance(file, str):
        return replace(colour, ocio=file)
    target = folder / CONFIGURATION
    target.parent.mkdir()
    if file.suffix == ".ocioz":
        shutil.copyfile(file, target)
    else:
        _pack(_packed(file, file.stat().st_mtime_ns), target)
    return replace(colour, ocio=CONFIGURATION)


def _stays(colour: Colour, transform: Transform) -> bool:
    """Whether a server knows what `colour` means without a configuration."""
    if colour.encoding is Encoding.DISPLAY:
        return True
    return transform is Transform.UTILITY and source() == own() and colour.working_space in SPACES


def _pack(packed: Packed, target: Path) -> None:
    """The same bytes for the same configuration, so that a server gets it once for all shots."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(zipfile.ZipInfo(FILE), packed.text.encode(), zipfile.ZIP_DEFLATED)
        for name, file in sorted(packed.luts.items()):
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes(), zipfile.ZIP_DEFLATED, 1)


@functools.lru_cache(maxsize=2)
def _packed(file: Path, _changed: int) -> Packed:
    text = _COMMENT.sub("", file.read_text(encoding="utf-8"))
    places, defaults = list(_places(file, text)), _defaults(text)
    luts: dict[str, Path] = {}

    def moved(found: re.Match[str]) -> str:
        lut = _found(_expanded(_bare(found[2]), defaults), places, file)
        luts[name := _name(lut)] = lut
        return f"{found[1]} {name}"

    text = _SEARCH.sub("", _LUT.sub(moved, text))
    size = len(text) + sum(lut.stat().st_size for lut in luts.values())
    if size > MOST_CONFIGURATION:
        raise BadInput(
            f"the colour configuration {file} has {size >> 20} MB with its LUTs, at most {MOST_CONFIGURATION >> 20} MB "
            "travel with a shot; start Blender with a smaller one"
        )
    return Packed(text, luts)


def _found(name: str, places: list[Path], file: Path) -> Path:
    for place in places:
        if (path := place / name).is_file():  # no device and no pipe, wherever a link leads
            return path
    raise BadInput(
        f"the colour configuration {file} refers to the LUT {name!r}, which is in none of its folders; "
        "put it there, or start Blender with a configuration that is complete"
    )


def _name(lut: Path) -> str:
    """By its contents: two folders may have a file of one name, and no name of a file means anything to YAML."""
    return hashlib.sha256(lut.read_bytes()).hexdigest()[:32] + lut.suffix


def _places(file: Path, text: str) -> Iterator[Path]:
    """The folders in which LUTs are searched for, in their order: those that the text names lie beside the file."""
    said = _SEARCH.search(text)
    for line in said[1].splitlines() if said else ():
        path = _expanded(_bare(line.strip().removeprefix("- ")), _defaults(text))
        for part in re.findall(r"(?:[A-Za-z]:(?=[\\/]))?[^:]+", path):  # separated by colons, but for those of drives
            yield file.parent / part
    yield file.parent


def _defaults(text: str) -> dict[str, str]:
    """What the configuration gives variables that the environment does not set."""
    said = _ENVIRONMENT.search(text)
    return {name: _bare(word) for name, word in re.findall(r"(\w+):" + _WORD, said[1])} if said else {}


def _expanded(text: str, defaults: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], defaults.get(found[1], "")), text)


def _bare(word: str) -> str:
    return word.strip().strip("\"'")
