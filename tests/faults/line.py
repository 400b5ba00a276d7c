"""A line between client and server that is slow, or breaks at a given byte: a TCP proxy of a few dozen lines."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 16 << 10


@dataclass
class Line:
    """Forwards every connection to `target`, an address such as http://127.0.0.1:8188; `url` is this end of it."""

    target: str
    rate: float = float("inf")
    """Bytes a second towards the server."""
    up: int | None = None
    """Bytes towards the server after which the next connection that reaches them is cut, once; None for never."""
    down: int | None = None
    """The same from the server."""
    cuts: int = 0
    _ends: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        host, port = self._door.getsockname()
        return f"http://{host}:{port}"

    @contextlib.contextmanager
    def open(self) -> Iterator[Line]:
        with socket.create_server(("127.0.0.1", 0)) as self._door:
            threading.Thread(target=self._accept, daemon=True).start()
            try:
                yield self
            finally:
                self._door.shutdown(socket.SHUT_RDWR)
                for end in self._ends:
                    _hang_up(end)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the door was closed
            while True:
                client, _ = self._door.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        at = urlsplit(self.target)
        try:
            server = socket.create_connection((str(at.hostname), int(at.port or 0)))
        except OSError:  # nobody there: the client finds its connection closed
            _hang_up(client)
            return
        self._ends += [client, server]
        threading.Thread(target=self._forward, args=(client, server, "up"), daemon=True).start()
        threading.Thread(target=self._forward, args=(server, client, "down"), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, way: str) -> None:
        passed = 0
        with contextlib.suppress(OSError):  # an end that closes ends both
            while data := source.recv(_PIECE):
                limit: int | None = getattr(self, way)
                if limit is not None and passed + len(data) >= limit:
                    target.sendall(data[: limit - passed])
                    setattr(self, way, None)
                    self.cuts += 1
                    break
                target.sendall(data)
                passed += len(data)
                if way == "up":
                    time.sleep(len(data) / self.rate)
        _hang_up(source)
        _hang_up(target)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # hung up already
        end.shutdown(socket.SHUT_RDWR)
    end.close()
