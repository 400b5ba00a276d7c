"""How long a connection may take, and how many there may be. Knows HTTP's bytes, and nothing of what they ask for.

uvicorn waits for ever for a header that comes byte by byte, for a body that never ends and for a reader that does not
read; a few hundred such connections and nobody else gets in. Numbers are far from what an honest client on a bad line
does, and no token is needed to be held to them.
"""

from __future__ import annotations

import asyncio
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from wan_animate_blender.wire import ErrorReply

MOST = 512
"""Connections at once. Of more, the one that has waited longest without asking anything goes."""

HEAD_SECONDS = 10.0
"""What the head of a request may take."""

BODY_SECONDS, BODY_BYTES = 15.0, 15 << 10
"""In each such while, so much of a body must come, unless it is this server that cannot keep up."""

UNREAD_SECONDS = 60.0
"""After which a client that takes nothing of its answer is left."""

UNWANTED_BYTES = 8 << 20
"""Of a body that are swallowed after the answer, twice what the add-on sends at once, so that it hears the answer."""


class Connection(H11Protocol):
    """One connection, as uvicorn makes it, with clocks."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _came = 0
    """Bytes of the body since the last look, or since the answer."""
    _since = 0.0
    """When it began to wait for a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > MOST:
            self._make_room()
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        was = self.conn.their_state
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY and self._came > UNWANTED_BYTES:
            self.transport.close()
        elif self.conn.their_state is not was or self._deadline is None:
            self._follow()

    def on_response_complete(self) -> None:
        self._came, self._since = 0, self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        """As every other answer that is no success; what h11 knows of the reason is the error that is being handled."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if self.cycle:  # whoever works on it has nobody to answer any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(status, "bad-request", f"this is no HTTP that is spoken here ({error}); look at the request")
        self.transport.close()

    @property
    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self, status: int, word: str, sentence: str) -> None:
        body = ErrorReply(error=word, message=sentence).dumps().encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _follow(self) -> None:
        """Set the clock for what is waited for now."""
        self._stop_clock()
        if self.conn.their_state is h11.IDLE:
            self._wait_for_head()
        elif self.conn.their_state is h11.SEND_BODY:
            self._came = 0
            self._deadline = self.loop.call_later(BODY_SECONDS, self._look_at_body)

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up_head)

    def _give_up_head(self) -> None:
        if self.is_idle and self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            if self.conn.trailing_data[0]:
                self._refuse(408, "too-slow", f"the head of the request did not come within {HEAD_SECONDS:.0f} s")
            self.transport.close()

    def _look_at_body(self) -> None:
        is_slow = self._came < BODY_BYTES and not self.flow.read_paused
        if self.conn.their_state is h11.SEND_BODY and is_slow:
            self.transport.abort()
            return
        self._follow()

    def _make_room(self) -> None:
        """Close the connection that has waited longest; this one, when all others are being answered."""
        waiting = (other for other in self.connections if isinstance(other, Connection) and other.is_idle)
        oldest = min(waiting, key=lambda other: other._since, default=self)
        oldest.transport.abort()

    def _stop_clock(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
