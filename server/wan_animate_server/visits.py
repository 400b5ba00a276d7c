"""A line in the log for each request, for whoever wants that. Knows routes by their patterns alone.

Nothing that a client wrote gets into the line: of the address it has the route's pattern, and the job only where there
is one. So it can hold no token and no query, not even one in the wrong place.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)


class Visits:
    """`app`, with what it was asked in the log once it has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 0, time.monotonic()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            _tell(scope, status, time.monotonic() - started)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    """A `status` of 0 is an answer that never began."""
    pattern = getattr(scope.get("route"), "path", "an address that is none")
    by = scope.get("state", {}).get("name", "nobody known")
    extra: dict[str, Any] = {}
    if 200 <= status < 400 and "job" in scope.get("path_params", {}):
        extra["job"] = scope["path_params"]["job"]
    method = scope["method"] if scope["method"] in _METHODS else "another method"
    log.info("%s %s by %s: %d in %.0f ms", method, pattern, by, status, seconds * 1000, extra=extra)


_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
