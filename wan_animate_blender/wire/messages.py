"""Frozen dataclasses as JSON, and back with a sentence for whatever does not fit. Knows none of the messages."""

from __future__ import annotations

import enum
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any, Self, TypeVar

from .errors import WireError

WIRE_VERSION = 1
"""Raised whenever a message changes its meaning; both sides refuse another number with a sentence."""

DEEPEST = 16
"""Levels of lists and objects in a message at most; a shot has six."""

WHOLE = 2**63
"""Whole numbers lie below it, on either side of 0, as in every database and array."""

M = TypeVar("M")

_FRACTION = re.compile(r"[0-9]{1,9}/[1-9][0-9]{0,8}")
_HALF = re.compile("[\ud800-\udfff]")
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def expect(fits: bool, what: str, given: object, expected: str) -> None:
    if not fits:
        raise WireError(f"{what} is {given}, expected {expected}")


def expect_schema(what: str, given: int) -> None:
    if given != WIRE_VERSION:
        newer = "this software" if given > WIRE_VERSION else f"what wrote the {what}"
        raise WireError(f"the {what} is of wire version {given}, expected {WIRE_VERSION}; update {newer}")


class Message:
    """A frozen dataclass with a JSON form that refuses what it does not know."""

    def to_json(self) -> dict[str, Any]:
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read `data` (a decoded JSON object). Raises `WireError` naming the first field that is wrong."""
        return _dataclass(cls, data, cls.__name__)

    def dumps(self) -> str:
        """The canonical text: sorted keys, so that equal messages have equal hashes."""
        return canonical(self.to_json())

    @classmethod
    def loads(cls, text: str | bytes) -> Self:
        """Read JSON. Raises `WireError`, also for what would cost more time or stack than any message does."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WireError(f"{cls.__name__} is not valid JSON ({error}); write it again with this version") from error
        _expect_flat(data, cls.__name__)
        return cls.from_json(data)


def canonical(data: Any) -> str:
    """The one text of decoded JSON: sorted keys, no number that JSON does not have."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


def plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_json()
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value


def _expect_flat(data: Any, where: str) -> None:
    level = [data]
    for _ in range(DEEPEST):
        lists = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level = [child for children in lists for child in children]
    expect(not level, where, f"more than {DEEPEST} levels deep", "a message of this version")


def _dataclass(kind: type[M], data: Any, where: str) -> M:
    if not isinstance(data, dict):
        raise WireError(f"{where} is {shown(data)}, expected an object")
    hints = typing.get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind)}  # type: ignore[arg-type]
    if strangers := sorted(map(str, data.keys() - known.keys())):
        raise WireError(f"{where} has a field {strangers[0]!r} that this version does not know; update the older side")
    values = {name: _value(known[name], item, f"{where}.{name}") for name, item in data.items()}
    try:
        return kind(**values)
    except TypeError as error:  # a field without default is absent
        raise WireError(f"{where} is incomplete: {error}") from error


def _value(hint: Any, data: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _value(next(a for a in arguments if a is not types.NoneType), data, where)
    if origin is tuple:
        expect(isinstance(data, list | tuple), where, shown(data), "a list")
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is dict:
        expect(isinstance(data, dict), where, shown(data), "an object")
        items = {_scalar(str, key, f"a key of {where}"): item for key, item in data.items()}
        return {key: _value(arguments[1], item, f"{where}[{key!r}]") for key, item in items.items()}
    if is_dataclass(hint):
        return _dataclass(typing.cast(type, hint), data, where)
    return _scalar(hint, data, where)


def _scalar(hint: Any, data: Any, where: str) -> Any:
    if hint is Fraction:
        fits = isinstance(data, str) and _FRACTION.fullmatch(data) is not None
        expect(fits, where, shown(data), 'a fraction such as "24/1"')
        return Fraction(data)
    if issubclass(hint, enum.Enum):
        choices = [member.value for member in hint]
        expect(isinstance(data, str) and data in choices, where, shown(data), "one of " + ", ".join(choices))
        return hint(data)
    accepted = (int, float) if hint is float else hint
    fits = isinstance(data, accepted) and (hint is bool) == isinstance(data, bool)
    expect(fits, where, shown(data), _WORDS[hint])
    if hint is float:
        expect(abs(data) <= sys.float_info.max, where, shown(data), "a finite number")
        return float(data)
    if hint is int:
        expect(abs(data) < WHOLE, where, shown(data), "a whole number of 64 bits")
    if hint is str:  # JSON can write halves of a character that no file name and no text can hold
        expect(not _HALF.search(data), where, shown(data), "whole characters")
    return data


def shown(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, default=str).encode(errors="backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."
