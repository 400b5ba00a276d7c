"""JSON over HTTP to one address of a studio's network, and a sentence for what can go wrong. Knows no engine."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any, NoReturn
from urllib.parse import urlsplit

from .. import wire

LONGEST_ANSWER = 32 << 20
"""Bytes; all tasks of a job with a thousand shots are one of them."""
CHUNK = 1 << 16
BUSY = 503


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, whole, whatever its status says."""

    status: int
    body: bytes
    retry_after: str = ""
    """Seconds, as the other side wrote them."""

    def json(self) -> Any:
        """Raises `ValueError` for what is no JSON."""
        try:
            return json.loads(self.body or b"null")
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class _Staying(urllib.request.HTTPRedirectHandler):
    """Nothing is sent on to an address that nobody has chosen."""

    def http_error_302(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Message) -> NoReturn:
        host, elsewhere = urlsplit(req.full_url).netloc, wire.one_line(str(headers["Location"]), 200)
        raise wire.Unavailable(f"{host} sends on to {elsewhere}; give that address if it is meant")

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Transport:
    """One address. Not for use by several threads at once."""

    def __init__(self, url: str, seconds: float) -> None:
        """`seconds` is the longest wait for a whole answer. Raises `BadInput` for what is no address of a server."""
        self.url = checked_url(url)
        self._seconds = seconds
        # No proxy: it leads out of the studio, and what is asked lies inside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Staying)

    def ask(self, method: str, path: str, body: Any = None, seconds: float | None = None) -> Answer:
        """Send `body` as JSON. Raises `Unavailable` when no whole answer comes within `seconds`, or it is too long."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Accept": "application/json"}, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        patience = seconds or self._seconds
        try:
            return self._answer(request, patience)
        except TimeoutError as error:
            raise wire.Unavailable(self._late(patience)) from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise wire.Unavailable(self._late(patience)) from error
            raise wire.Unavailable(f"nothing that speaks HTTP answers at {self.url} ({said(error)}); start it, or "
                                   "correct the address") from error  # fmt: skip

    def _answer(self, request: urllib.request.Request, seconds: float) -> Answer:
        until = time.monotonic() + seconds
        try:
            reply = self._opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:  # an answer, too
            reply = error
        with reply:
            body = b"".join(self._chunks(reply, until))
            return Answer(status=reply.status, body=body, retry_after=reply.headers.get("Retry-After") or "")

    def _chunks(self, reply: Any, until: float) -> Iterator[bytes]:
        size = 0
        while chunk := reply.read1(CHUNK):
            size += len(chunk)
            if size > LONGEST_ANSWER:
                raise wire.Unavailable(f"the answer of {self.url} is longer than {LONGEST_ANSWER >> 20} MiB; check "
                                       "whether the address is that of a farm's Manager")  # fmt: skip
            if time.monotonic() > until:  # one byte now and then never ends the wait for a next one
                raise TimeoutError
            yield chunk

    def _late(self, seconds: float) -> str:
        return f"{self.url} gave no whole answer within {seconds:g} s; look whether it works, then try again"


def checked_url(url: str) -> str:
    """`url` without a slash at its end. Raises `BadInput` unless it is http or https and has no secrets in it."""
    url, expected = url.strip(), "expected one such as http://manager:8080"
    if "@" in url:  # what stands before it must not be repeated
        raise wire.BadInput(f"the Manager's address has a name or password in it, {expected}")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address, a name that no network has
        good = False
    if not good or parts.query or parts.fragment or not re.fullmatch("[!-~]+", url):
        raise wire.BadInput(f"the Manager's address is {url!r}, {expected}")
    return url.rstrip("/")


def said(error: Exception) -> str:
    """What an error of the network means, in the system's own words."""
    cause = getattr(error, "reason", None) or error
    return wire.one_line(str(getattr(cause, "strerror", None) or cause) or type(cause).__name__, 200)
