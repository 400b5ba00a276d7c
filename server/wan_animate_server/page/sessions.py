"""Who is logged in at the page, kept in memory only, and how often a wrong token may be tried. Knows no HTTP."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..keyring import Token

LIFETIME = 12 * 3600.0
"""Seconds without a call after which a session ends."""

_MOST_SESSIONS = 1000
"""Kept at a time; the one that was used longest ago makes room."""

TRIES = 5
WINDOW = 60.0
"""Wrong tokens that one address may give within so many seconds."""

_MOST_ADDRESSES = 10_000

Clock = Callable[[], float]


@dataclass(frozen=True)
class Session:
    """One browser that gave a token."""

    token: Token
    secret: str
    """Every form carries it: what comes without it was not sent from this page."""

    def made(self, form: str) -> bool:
        """Whether a form that carries the word `form` is from this session's page."""
        return secrets.compare_digest(form.encode(), self.secret.encode())


@dataclass
class Sessions:
    """Sessions by random ids that only the browser's cookie has."""

    clock: Clock = time.monotonic
    _open: dict[str, tuple[Session, float]] = field(default_factory=dict)
    """By id, with the time of the last use; the longest unused comes first."""

    def begin(self, token: Token) -> str:
        """The id of a new session."""
        if len(self._open) >= _MOST_SESSIONS:
            del self._open[next(iter(self._open))]
        name = secrets.token_urlsafe(32)
        self._open[name] = Session(token, secrets.token_urlsafe(32)), self.clock()
        return name

    def find(self, name: str) -> Session | None:
        """The session called `name`, which lives on from now; None when there is none any more."""
        session, used = self._open.pop(name, (None, 0.0))
        if session is None or self.clock() - used > LIFETIME:
            return None
        self._open[name] = session, self.clock()
        return session

    def end(self, name: str) -> None:
        self._open.pop(name, None)


@dataclass
class Tries:
    """Wrong tokens by the address they came from."""

    clock: Clock = time.monotonic
    _wrong: dict[str, list[float]] = field(default_factory=dict)

    def wait(self, address: str) -> float:
        """Seconds until `address` may try again; 0 when it may now."""
        recent = self._recent(address)
        return recent[-TRIES] + WINDOW - self.clock() if len(recent) >= TRIES else 0.0

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        recent = self._recent(address)
        self._wrong.pop(address, None)
        if len(self._wrong) >= _MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[address] = [*recent, self.clock()]

    def _recent(self, address: str) -> list[float]:
        return [at for at in self._wrong.get(address, []) if self.clock() - at < WINDOW]
