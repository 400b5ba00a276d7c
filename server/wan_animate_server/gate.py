"""What is asked of every request before anybody looks who sent it, and said in every answer. Knows no routes.

A web page that somebody looks at beside Blender must reach nothing here: not under this machine's name (`Origin`), not
under a name of its own that leads to this machine (`Host`, against DNS rebinding), and not by being asked whether it
may (`OPTIONS`: there is no CORS).
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .keyring import Keyring
from .refusals import Refusal, answer

log = logging.getLogger(__name__)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_ONCE = ("authorization", "content-length", "content-range", "content-type", "host", "origin", "x-wan-animate-wire")
"""Headers of which two are a trick: a proxy may look at the one and this server at the other."""

_TOKEN_WORDS = re.compile(r"(access_?|auth_?)?token|api_?key|authorization|bearer|secret|password", re.IGNORECASE)

_RANGE = re.compile(rb"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})")

HEAD_BYTES = 16 << 10
"""Of all headers of a request."""

_KEPT_OUT = (401, 403, 421)
_TELL_SECONDS = 10.0

_LONGEST = 2048
"""Bytes of an address; the longest is that of a frame, some 200."""

_SAID = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
"""In every answer whose route says nothing else; the page has a policy of its own."""


@dataclass(frozen=True)
class Names:
    """Under which names this server is asked."""

    given: frozenset[str]
    """By its owner and its machine, in lower case."""
    is_local: bool
    """Whether it listens on this machine only."""

    def fit(self, host: str) -> bool:
        """Whether a request for `host`, a name or address without port, is meant for this server.

        Elsewhere than on loopback any address will do: only names lead where their owner likes.
        """
        return host in LOOPBACK_NAMES or host in self.given or (not self.is_local and _is_address(host))


@dataclass
class Tally:
    """Who was kept out, in a line now and then: nobody fills a disk by knocking."""

    _count: int = 0
    _told: float = float("-inf")

    def note(self, client: tuple[str, int] | None, status: int) -> None:
        self._count += 1
        if time.monotonic() - self._told >= _TELL_SECONDS:
            peer = client[0] if client else "somebody"
            log.warning("kept out %d requests since last told, the last from %s (%d)", self._count, peer, status)
            self._count, self._told = 0, time.monotonic()


@dataclass(frozen=True)
class Gate:
    """An ASGI application before another one."""

    behind: ASGIApp
    names: Names
    keys: Keyring
    proxies: frozenset[str] = frozenset()
    """Addresses that alone may ask, because they speak TLS for this server. Empty: everybody may."""
    turned_away: Tally = field(default_factory=Tally)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.behind(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] in _KEPT_OUT:
                    self.turned_away.note(scope["client"], message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in _SAID.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self.check(scope)
        except Refusal as refusal:
            await answer(refusal)(scope, receive, sent)
        else:
            await self.behind({**scope, "headers": list(filter(_is_plain, scope["headers"]))}, receive, sent)

    def check(self, scope: Scope) -> None:
        """Raise `Refusal` for a request that no honest client sends."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST:
            raise Refusal(414, "too-long", f"the address has more than {_LONGEST} bytes; none of this server has")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
            raise Refusal(
                431, "too-long", f"the headers have more than {HEAD_BYTES} bytes; no client of this server's has"
            )
        if scope["http_version"] not in ("1.0", "1.1"):
            raise Refusal(505, "bad-request", f"this server speaks HTTP/1.1, not HTTP/{scope['http_version'][:9]}")
        self._check_sender(scope)
        if scope["method"] == "OPTIONS":
            raise Refusal(405, "wrong-method", "pages of other servers may ask nothing here; there is no CORS")
        if any(map(self._is_token, _texts(scope))) or any(map(_TOKEN_WORDS.fullmatch, _fields(scope))):
            sentence = "a token has no place in an address, which ends up in logs; send it as Authorization: Bearer"
            raise Refusal(400, "token-in-address", sentence)

    def _check_sender(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope["client"] else ""
        if self.proxies and peer not in self.proxies | set(LOOPBACK_NAMES):
            raise Refusal(403, "not-the-proxy", "this server talks to its proxy only; ask that one")
        headers = Headers(scope=scope)
        for name in _ONCE:
            if len(headers.getlist(name)) > 1:
                raise Refusal(400, "doubled-header", f"the header {name} is there more than once; send it once")
        if "transfer-encoding" in headers and "content-length" in headers:
            raise Refusal(400, "doubled-header", "the body has two lengths, chunked and Content-Length; send one")
        self._check_names(headers)

    def _check_names(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self.names.fit(_bare(host)):
            sentence = f"this server is not called {host[:80]!r}; its owner may name it so with --name"
            raise Refusal(421, "other-host", sentence)
        if (origin := headers.get("origin")) is not None:
            self._check_origin(origin, host, headers.get("sec-fetch-site", ""))

    def _check_origin(self, origin: str, host: str, site: str) -> None:
        # Forms of a page that names no referrer have the origin "null"; the browser still says whose they are, in a
        # header that no page can write.
        if origin == "null" and site == "same-origin":
            return
        with suppress(ValueError):
            place = urlsplit(origin)
            if place.netloc.lower() == host.lower():
                return
            if self.proxies and place.hostname in self.names.given:  # it may ask under another name than it was asked
                return
        raise Refusal(403, "other-origin", f"a page of {origin[:80]!r} may ask nothing here")

    def _is_token(self, text: str) -> bool:
        return bool(text) and self.keys.knows(text)


def _is_plain(header: tuple[bytes, bytes]) -> bool:
    """Not so many pieces of a file at once, or none: a server may take no notice of a range (RFC 9110, 14.2)."""
    return header[0] != b"range" or _RANGE.fullmatch(header[1]) is not None


def _bare(host: str) -> str:
    """A host without its port; "" for what is none."""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::\d{1,5})?", host.lower())
    return (found[1] or found[2]).removesuffix(".") if found else ""


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _query(scope: Scope) -> str:
    return bytes(scope["query_string"]).decode("latin-1")


def _fields(scope: Scope) -> Iterator[str]:
    return (name for name, _ in parse_qsl(_query(scope), keep_blank_values=True))


def _texts(scope: Scope) -> Iterator[str]:
    """All of an address that might be a token."""
    yield from str(scope["path"]).split("/")
    yield unquote(_query(scope))
    for pair in parse_qsl(_query(scope), keep_blank_values=True):
        yield from pair
