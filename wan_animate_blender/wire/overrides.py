"""Settings written as NAME=VALUE, alike on every command line: `steps=4`, `finish.layers=pose,face`. Knows no shot."""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from .messages import Message, expect
from .settings import Settings


def overridden(settings: Settings, assignments: Iterable[str]) -> Settings:
    """`settings` with some fields set anew; where one is named twice, the last counts.

    Lists are parted by commas: `finish.layers=pose,face`, `loras=costume 0.6, light`. Nothing after the sign is the
    default of a field that may be left open: `area=`. Raises `WireError` for a name that there is not, and for what
    does not fit, all assignments taken together.
    """
    data = settings.to_json()
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        expect(bool(sign), "setting", repr(assignment), "NAME=VALUE, such as steps=4")
        name = name.strip()
        expect(name in _HINTS, "setting", repr(name), "one of " + ", ".join(_HINTS))
        *groups, field = name.split(".")
        place = data
        for group in groups:
            place = place[group]
        place[field] = _read(_HINTS[name], text.strip())
    return Settings.from_json(data)


def assignments(settings: Settings, wanted: Settings) -> list[str]:
    """What `overridden` needs to make `wanted` of `settings`: one for each field that differs."""
    pairs = {name: (_value(settings, name), _value(wanted, name)) for name in SETTING_NAMES}
    return [f"{name}={_text(new)}" for name, (old, new) in pairs.items() if new != old]


def _value(settings: Settings, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), settings)


def _text(value: Any) -> str:
    """A value as it is written after the sign."""
    if isinstance(value, Message):
        return " ".join(map(_text, vars(value).values()))
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)


def _leaves(kind: type[Message], prefix: str = "") -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    for field in fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from _leaves(typing.cast(type[Message], hint), f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hint


_HINTS: dict[str, Any] = dict(_leaves(Settings))
SETTING_NAMES = tuple(_HINTS)
"""Of all settings, those of a group as "finish.seams"."""


def _read(hint: Any, text: str) -> Any:
    """`text` as the JSON of a field of this type; what cannot be read stays a text, which the field then refuses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _read(next(a for a in arguments if a is not types.NoneType), text) if text else None
    if origin is tuple:
        return [_item(arguments[0], item.strip()) for item in text.split(",") if item.strip()]
    return _plain(text) if hint in (int, float, bool) else text


def _item(hint: Any, text: str) -> Any:
    """One of a list: a value, or a message whose fields are given in their order, such as "costume 0.6"."""
    if not is_dataclass(hint):
        return _read(hint, text)
    hints = list(typing.get_type_hints(hint).items())
    words = text.split()
    expect(len(words) <= len(hints), "item of a list", repr(text), " and ".join(name for name, _ in hints))
    return {name: _read(kind, word) for (name, kind), word in zip(hints, words, strict=False)}


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
