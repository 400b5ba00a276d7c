"""What the frames of a take are called where they are delivered: by template, checked before anything is rendered.

Knows no folder and no take.
"""

from __future__ import annotations

import enum
import re
import string
from dataclasses import dataclass
from types import MappingProxyType

from .messages import Message, expect


class Convention(enum.StrEnum):
    """Whose rules names follow. docs/delivery.md shows each."""

    PLAIN = "plain"
    """As the take's own folder."""
    FROM_1001 = "1001"
    """One folder for each layer and version, its first frame is 1001."""
    BLENDER_STUDIO = "blender-studio"
    NETFLIX = "netflix"


@dataclass(frozen=True)
class _Rules:
    template: str
    first: int | None = None
    """The number of a take's first frame; None keeps the shot's numbers."""
    lower: bool = False
    """Whether names are in lower case."""
    digits: range = range(4, 7)
    """How many a frame's number may have."""
    between: str = "_"
    """What parts of a name are joined by."""


# studio.blender.org, "Naming conventions": lower case, no gaps, `-v001` on what is generated, frames of six digits.
# Netflix, "VFX Plate Naming" (partnerhelp 360055781274): AGM_104_065_010_PL01_v001.1001.exr, four digits.
_RULES = MappingProxyType({
    Convention.PLAIN: _Rules("{shot}_{version}/{layer}/{frame}"),
    Convention.FROM_1001: _Rules("{shot}_{layer}_{version}/{shot}_{layer}_{version}.{frame}", first=1001),
    Convention.BLENDER_STUDIO: _Rules("{shot}-{layer}-{version}/{frame:06}", lower=True, between="-"),
    Convention.NETFLIX: _Rules(
        "{show}_{sequence}_{shot}_{layer}_{version}/{show}_{sequence}_{shot}_{layer}_{version}.{frame}",
        digits=range(4, 5),
    ),
})  # fmt: skip

_NAMED, _COUNTED = ("show", "sequence", "shot", "layer"), {"version": 3, "frame": 4}
"""The fields of a template; those that are counted have so many digits where the template does not say."""

_SAFE = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What Windows does not let a file be called."""

_LONGEST = 200
"""Letters of one name: 255 is what file systems hold, and an unfinished file is called longer for a while."""


@dataclass(frozen=True, kw_only=True)
class Naming(Message):
    """A convention, and what it needs to know beside the take."""

    convention: Convention = Convention.PLAIN
    template: str = ""
    """Instead of the convention's own, by its rules; "" is its own. Folders are parted by "/", the ending follows."""
    show: str = ""
    sequence: str = ""
    shot: str = ""
    """The shot's code where it is not the name of the shot."""
    first: int | None = None
    """The number of the take's first frame, handles included; None is the convention's."""

    def __post_init__(self) -> None:
        expect(self.first is None or 0 <= self.first < 10**6, "first frame", self.first, "0 to 999999")
        self._check_template()

    def path(self, shot: str, layer: str, version: int, number: int) -> str:
        """Of the file of one frame, without its ending: a relative path with forward slashes. `number` is delivered.

        Raises `WireError` for a name that the convention, or a file system, does not allow.
        """
        path = "".join(
            literal + (self._filled(field, spec or "", shot, layer, version, number) if field else "")
            for literal, field, spec, _ in string.Formatter().parse(self._template)
        )
        for name in path.split("/"):
            self._check_name(name)
        return path

    def title(self, shot: str, version: int) -> str:
        """What the whole delivery is called."""
        said = [self.show, self.sequence, self.shot or shot, f"v{version:03d}"]
        name = self._rules.between.join(part for part in said if part)
        name = name.lower() if self._rules.lower else name
        self._check_name(name)
        return name

    def delivered(self, number: int, first: int) -> int:
        """The number under which frame `number` of a take that begins with `first` is delivered."""
        start = self._rules.first if self.first is None else self.first
        return number if start is None else number - first + start

    def check(self, shot: str, numbers: range) -> None:
        """Raise `WireError` when the takes of `shot`, which has frames of these `numbers`, cannot be called so."""
        self.title(shot, 1)
        for number in (numbers[0], numbers[-1]):
            self.path(shot, "character", 1, self.delivered(number, numbers[0]))

    @property
    def _rules(self) -> _Rules:
        return _RULES[self.convention]

    @property
    def _template(self) -> str:
        return self.template or self._rules.template

    def _check_template(self) -> None:
        try:
            pieces = list(string.Formatter().parse(self._template))
        except ValueError:
            pieces = []
        fields = [field for _, field, _, _ in pieces if field is not None]
        known = all(field in (*_NAMED, *_COUNTED) for field in fields)
        plain = all(
            not conversion and (not spec or (field in _COUNTED and re.fullmatch("0[1-9]", spec)))
            for _, field, spec, conversion in pieces
        )
        needed = all(field in fields for field in ("layer", *_COUNTED)) and pieces[-1][1] == "frame"
        expect(
            bool(pieces) and known and plain and needed, "naming template", repr(self._template),
            "one with {layer} and {version} that ends with {frame}; others are {show}, {sequence} and {shot}",
        )  # fmt: skip
        for _, field, spec, _ in pieces:
            self._check_digits(field or "", int(spec or _COUNTED.get(field or "", 0)))
        for field in ("show", "sequence"):
            given = getattr(self, field)
            expect(bool(given) or field not in fields, field, "not given", f"one, for {self.convention} names have it")

    def _check_digits(self, field: str, digits: int) -> None:
        allowed = {"frame": self._rules.digits, "version": range(3, 5)}.get(field)
        if allowed:
            either = " to ".join(map(str, sorted({allowed[0], allowed[-1]})))
            expect(digits in allowed, f"digits of the {field}", digits, f"{either} in {self.convention} names")

    def _filled(self, field: str, spec: str, shot: str, layer: str, version: int, number: int) -> str:
        if field not in _COUNTED:
            named = {"show": self.show, "sequence": self.sequence, "shot": self.shot or shot, "layer": layer}[field]
            return named.lower() if self._rules.lower else named
        count, digits = {"version": version, "frame": number}[field], int(spec or _COUNTED[field])
        expect(0 <= count < 10**digits, field, count, f"a number of {digits} digits")
        return f"{'v' if field == 'version' else ''}{count:0{digits}d}"

    def _check_name(self, name: str) -> None:
        case = "lower-case letters" if self._rules.lower else "letters"
        expect(
            _SAFE.fullmatch(name) is not None and len(name) <= _LONGEST and not _DEVICES.fullmatch(name)
            and not (self._rules.lower and name != name.lower()),
            "delivered name", repr(name), f"1 to {_LONGEST} {case}, digits, '.', '_' or '-', no '.' at its ends",
        )  # fmt: skip
