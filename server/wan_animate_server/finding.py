"""What `wan-animate doctor` finds: one line each. Knows nothing of what is looked at."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """How something stands."""

    OK = "ok"
    NOTE = "note"
    """It works, but somebody may want it otherwise."""
    PROBLEM = "problem"
    """Something that is needed is missing."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str
    """In a word or two."""
    state: State
    said: str
    """What was found."""
    advice: str = ""
    """What to do; "" where nothing need be done."""


def ok(about: str, said: str) -> Finding:
    return Finding(about, State.OK, said)


def note(about: str, said: str, advice: str = "") -> Finding:
    return Finding(about, State.NOTE, said, advice)


def problem(about: str, said: str, advice: str) -> Finding:
    return Finding(about, State.PROBLEM, said, advice)
