"""Fields of Blender's own structs that its Python interface does not show. Knows no strips.

Each .blend file describes the structs in it (its SDNA), so that any Blender can read it. A file of one empty text,
written outside the user's data, hence tells where the Blender that runs keeps what. Values are only read, never set.
"""

from __future__ import annotations

import ctypes
import functools
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy

from .wire import Unavailable

POINTER = "Q"
FORMATS = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "float": "f", "double": "d"}
"""What `struct` calls the simple types; fields of other types are only stepped over."""


@dataclass(frozen=True)
class Field:
    """Where a field lies in its struct, in bytes, and how `struct` reads it ("" for what is not one number)."""

    offset: int
    format: str


@dataclass(frozen=True)
class Layout:
    """One struct of the running Blender."""

    size: int
    """Bytes from one of an array to the next."""
    fields: Mapping[str, Field]

    def read(self, address: int, name: str) -> int | float:
        """The number in the field `name` of the struct at `address`, which has to be alive."""
        field = self.fields[name]
        return struct.unpack(field.format, ctypes.string_at(address + field.offset, struct.calcsize(field.format)))[0]


@functools.cache
def layout(name: str, *fields: str) -> Layout:
    """The struct `name`. Raises `Unavailable` when the running Blender has no such struct, or not all of `fields`."""
    found = _layouts().get(name)
    if found is None or any(field not in found.fields or not found.fields[field].format for field in fields):
        raise Unavailable(
            f"Blender {bpy.app.version_string} keeps {name} in a way that this version of the add-on does not know; "
            "update the add-on, or undo what it could not read"
        )
    return found


@functools.cache
def _layouts() -> dict[str, Layout]:
    with tempfile.TemporaryDirectory(prefix="wan_animate.") as folder, bpy.data.temp_data() as data:
        file = Path(folder) / "empty.blend"
        data.libraries.write(str(file), {data.texts.new("empty")})
        return dict(parse(file.read_bytes()))


def parse(blend: bytes) -> Iterator[tuple[str, Layout]]:
    """The structs that an uncompressed .blend file describes (Blender's manual on its file format, "SDNA")."""
    text = _Reader(blend, blend.index(b"SDNANAME") + 4)
    names, types = text.strings(b"NAME"), text.strings(b"TYPE")
    sizes = text.shorts(b"TLEN", len(types))
    for _ in range(text.count(b"STRC")):
        kind, members = text.take("HH")
        fields, offset = {}, 0
        for _ in range(members):
            member, name = text.take("HH")
            plain, form, size = _field(names[name], types[member], sizes[member])
            fields[plain], offset = Field(offset, form), offset + size
        yield types[kind], Layout(offset, fields)


def _field(declared: str, kind: str, size: int) -> tuple[str, str, int]:
    """Name, format and bytes of a field declared as in C: `*keys`, `name[64]`, `(*call)()`."""
    plain, *lengths = re.findall(r"\w+", declared)
    pointer = declared.startswith(("*", "(*"))
    count = 1
    for length in lengths:
        count *= int(length)
    form = POINTER if pointer else FORMATS.get(kind, "")
    return plain, form if not lengths else "", (struct.calcsize(POINTER) if pointer else size) * count


@dataclass
class _Reader:
    """Goes through the SDNA, whose parts begin at multiples of four bytes from its start."""

    data: bytes
    at: int

    def count(self, code: bytes) -> int:
        self.at = self.data.index(code, self.at) + len(code)
        return int(self.take("i")[0])

    def strings(self, code: bytes) -> list[str]:
        found = []
        for _ in range(self.count(code)):
            end = self.data.index(b"\0", self.at)
            found.append(self.data[self.at : end].decode())
            self.at = end + 1
        return found

    def shorts(self, code: bytes, count: int) -> tuple[int, ...]:
        self.at = self.data.index(code, self.at) + len(code)
        return self.take(f"{count}H")

    def take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found
