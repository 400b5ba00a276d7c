"""The files that a strip reads: where they are, and whether they can be copied as they are. Knows no rendering."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import footage, timeline
from .wire import BadInput

FRAGMENT = 1 << 16
"""Bytes of a file's beginning in which its header must end."""


def files(strip: timeline.Strip) -> list[Path]:
    """The files behind `strip`, one for each frame of an image strip's footage; [] when it reads none."""
    match strip.type:
        case "IMAGE":
            folder = Path(bpy.path.abspath(strip.directory))
            return [folder / element.filename for element in strip.elements]
        case "MOVIE":
            return [Path(bpy.path.abspath(strip.filepath))]
        case "MOVIECLIP" if clip := timeline.clip(strip):
            return [Path(bpy.path.abspath(clip.filepath, library=clip.library))]
    return []


def used(strip: timeline.Strip, sources: Iterable[float] = ()) -> list[Path]:
    """Those of `files` that show at the footage's frames `sources`, in their order; by default at all that are cut."""
    found = files(strip)
    if strip.type != "IMAGE":
        return found
    if not (frames := [int(frame) for frame in sources]):
        first, end = timeline.frame_range(strip)
        frames = [int(footage.source(strip, frame)) for frame in range(first, end)]
    return [found[min(frame, len(found) - 1)] for frame in frames]


def check(strip: timeline.Strip, sources: Iterable[float] = ()) -> None:
    """Raise `BadInput` when files of the frames used (see `used`) are missing: names the first, counts them all."""
    wanted = list(dict.fromkeys(used(strip, sources)))
    there = {folder: _names(folder) for folder in {file.parent for file in wanted}}
    missing = [file for file in wanted if file.name not in there[file.parent]]
    if len(missing) == 1:
        raise BadInput(f"the strip {strip.name!r} needs {missing[0]}, which is not there; restore or relink the file")
    if missing:
        raise BadInput(
            f"the strip {strip.name!r} lacks {len(missing)} of its {len(wanted)} files, the first is {missing[0]}; "
            "restore or relink them"
        )


def _names(folder: Path) -> set[str]:
    """One look at the folder instead of one at each file: sequences are long and storage may be far away."""
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError:  # no such folder, or no permission: then its files cannot be read either
        return set()


# --- headers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """What the beginning of a picture file says about all of its pixels."""

    kind: str
    """"png" or "exr"."""
    width: int
    height: int
    bits: int
    """Of a channel: 8 or 16 whole numbers (PNG), 16 or 32 floating (EXR); 0 when channels differ or are not so."""
    channels: str
    """"L", "RGB" …, in this order; "" for anything else, as palettes, layers, parts or depths are."""


def header(file: Path) -> Header | None:
    """What `file` says of itself; None when it is neither PNG nor EXR, or broken. Read again when it has changed.

    Raises `BadInput` when it cannot be opened.
    """
    try:
        return _header(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise BadInput(f"cannot read {file} ({error.strerror}); make it readable or choose another file") from error


@functools.lru_cache(maxsize=4096)
def _header(file: Path, _modified: int) -> Header | None:
    with file.open("rb") as opened:
        start = opened.read(FRAGMENT)
    try:
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png_header(start)
        if start.startswith(b"\x76\x2f\x31\x01"):
            return _exr_header(start)
    except (struct.error, ValueError, LookupError):  # cut off, or longer than any header is
        pass
    return None


def _png_header(start: bytes) -> Header:
    """PNG specification, 11.2.2. A transparent colour (tRNS) is an alpha channel to Blender."""
    width, height, depth, colour = struct.unpack_from(">8x4x4xIIBB", start)
    channels = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}.get(colour, "")
    before_pixels = start.partition(b"IDAT")[0]
    return Header("png", width, height, depth, "" if b"tRNS" in before_pixels else channels)


def _exr_header(start: bytes) -> Header:
    """OpenEXR file layout: version and flags, then attributes as name, type, size and value."""
    single = not start[5] & 0b00011000 and not start[6] & 0b00010000  # neither deep nor of several parts
    found = dict(_exr_attributes(start))
    x0, y0, x1, y1 = struct.unpack("<4i", found["dataWindow"])
    whole = found["dataWindow"] == found["displayWindow"] and (x0, y0) == (0, 0)
    names, kinds = zip(*_exr_channels(found["channels"]), strict=True)
    channels = {"BGR": "RGB", "ABGR": "RGBA", "Y": "L"}.get("".join(names), "")
    bits = {1: 16, 2: 32}.get(kinds[0], 0) if len(set(kinds)) == 1 else 0
    return Header("exr", x1 - x0 + 1, y1 - y0 + 1, bits, channels if single and whole else "")


def _exr_attributes(start: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    while start[at]:
        name, _, kind_and_on = start[at:].partition(b"\0")
        kind, _, _ = kind_and_on.partition(b"\0")
        at += len(name) + len(kind) + 2
        (size,) = struct.unpack_from("<I", start, at)
        yield name.decode(), start[at + 4 : at + 4 + size]
        at += 4 + size


def _exr_channels(packed: bytes) -> Iterator[tuple[str, int]]:
    """Names, alphabetically, and pixel types: 0 whole numbers, 1 half, 2 float."""
    at = 0
    while packed[at]:
        end = packed.index(0, at)
        (kind,) = struct.unpack_from("<I", packed, end + 1)
        yield packed[at:end].decode(), kind
        at = end + 17
