"""Progress as lines that render farms read, one dialect for each kind. Knows neither shots nor where lines go."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import BadInput

LONGEST = 1000
"""Characters of a sentence in a line; what is longer is cut."""

_INVISIBLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Dialect(enum.StrEnum):
    """How an engine wants to be told."""

    OPENJD = "openjd"
    """Directives of Open Job Description 2023-09, "How Jobs Are Run", stdout/stderr messages."""
    PERCENT = "percent"
    """For people who read a log: "42 % denoising, segment 2 of 3"."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """`text` without line breaks and what nobody sees, so that no part of it can begin a line of its own."""
    plain = _INVISIBLE.sub(" ", text).strip()
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


@dataclass
class Lines:
    """Tells one work in `dialect`; what has not changed is not said again, and a percentage never falls."""

    dialect: Dialect
    write: Callable[[str], object]
    """Gets each line, without its end."""
    _percent: int = field(default=-1, init=False)
    _doing: str = field(default="", init=False)

    def tell(self, progress: float, doing: str) -> None:
        """`progress` is 0 to 1, `doing` a few words. At most one line for each whole percent and for each change."""
        doing = one_line(doing)
        percent = max(self._percent, int(100 * min(max(progress, 0.0), 1.0)))
        moved, other = percent != self._percent, doing != self._doing
        self._percent, self._doing = percent, doing
        if self.dialect is Dialect.PERCENT and (moved or other):
            self.write(f"{percent} % {doing}".rstrip())
        if self.dialect is Dialect.OPENJD and moved:
            self.write(f"openjd_progress: {percent:.1f}")
        if self.dialect is Dialect.OPENJD and other and doing:
            self.write(f"openjd_status: {doing}")

    def fail(self, sentence: str) -> None:
        """Why the work failed, where the engine has a place for it beside the log."""
        if self.dialect is Dialect.OPENJD:
            self.write(f"openjd_fail: {one_line(sentence) or 'it did not say why'}")

    def give(self, name: str, value: str) -> None:
        """Set an environment variable for all later actions of the session. Raises `BadInput` for what has no line."""
        if not value.isprintable():
            raise BadInput(f"{name} cannot be set to {value!r}; use paths without line breaks and control characters")
        if self.dialect is Dialect.OPENJD:
            self.write(f"openjd_env: {name}={value}")
