"""Who has a shot made, and by whose leave. Knows neither shots nor takes.

It belongs to the shot, not to `Settings`: no pixel depends on it, and neither recipe nor hash may change with a name.
The panel, the command line and a farm pass it on with the shot folder; a take repeats it, because it stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, expect

LONGEST_BY, LONGEST_CONSENT = 200, 4000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class Provenance(Message):
    """What people say of a shot; nothing checks it but people. Empty where nothing was given."""

    by: str = ""
    """Who asked for it."""
    consent: str = ""
    """By whose leave a person and a character are shown, such as "actor: release of 3 May, file 112"."""

    def __post_init__(self) -> None:
        for what, given, most in (("by", self.by, LONGEST_BY), ("consent", self.consent, LONGEST_CONSENT)):
            expect(len(given) <= most, what, f"{len(given)} characters long", f"at most {most}")
