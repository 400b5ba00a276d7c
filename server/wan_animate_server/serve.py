"""`wan-animate serve`: the HTTP door, the queue and the worker's supervisor as one process on this machine."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import uvicorn

from wan_animate_blender.wire import WIRE_HEADER, WIRE_VERSION, BadInput, Unavailable, write_atomically

from .app import create_app
from .datafolder import DataFolder
from .jobs import Jobs
from .supervisor import TOKEN_VARIABLE, Supervisor

log = logging.getLogger(__name__)

HOST = "127.0.0.1"

_NAME = "wan-animate"
_GOODBYE_SECONDS = 2
"""Time that open answers, such as event streams, get when the server stops."""


@dataclass(frozen=True)
class Token:
    """Who has it may use the server. `file` is None when it came by the environment."""

    secret: str
    file: Path | None


def serve(*, port: int, data: Path | None, token_file: Path | None, ready_file: Path | None, device: str) -> None:
    """Serve until a signal says stop; then the worker's job is back in the queue and no process is left.

    `port` 0 takes a free one; `ready_file` is written when requests are answered: {"url", "token_file", "pid"}.
    Raises `BadInput` or `Unavailable` when that cannot be.
    """
    folder = DataFolder((data or platformdirs.user_data_path(_NAME, appauthor=False)).resolve())
    token = find_token(token_file)
    with _alone(folder), _listening(port) as door:
        jobs = Jobs(folder.queue)
        folder.remove_strays({job.id for job in jobs.all()})
        supervisor = Supervisor(folder, jobs, device)
        config = uvicorn.Config(
            create_app(folder, jobs, token.secret), log_config=None, access_log=False, server_header=False,
            headers=[(WIRE_HEADER, str(WIRE_VERSION))], timeout_graceful_shutdown=_GOODBYE_SECONDS,
        )  # fmt: skip
        server = _Server(config, _url(door), token, ready_file)
        supervisor.start()
        try:
            server.run(sockets=[door])
        finally:
            supervisor.stop()
            if ready_file:
                ready_file.unlink(missing_ok=True)


def find_token(file: Path | None) -> Token:
    """The token of the environment, of `file`, or of the user's configuration; made at first use, for its owner only.

    Raises `BadInput` when the file can be neither read nor written, or is empty.
    """
    if given := os.environ.get(TOKEN_VARIABLE, "").strip():
        return Token(given, None)
    path = file or platformdirs.user_config_path(_NAME, appauthor=False) / "token"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_token(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the token file {path} cannot be used ({error}); name another one with --token-file") from error
    if not secret:
        raise BadInput(f"the token file {path} is empty; delete it, and a new token is made")
    return Token(secret, path)


def _create_token(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32))


class _Server(uvicorn.Server):
    """Says where it is as soon as it answers."""

    def __init__(self, config: uvicorn.Config, url: str, token: Token, ready_file: Path | None) -> None:
        super().__init__(config)
        self._url, self._token, self._ready_file = url, token, ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        file = None if self._token.file is None else str(self._token.file)
        log.info("listening at %s, the token is in %s", self._url, file or f"${TOKEN_VARIABLE}")
        if self._ready_file:
            ready = {"url": self._url, "token_file": file, "pid": os.getpid()}
            write_atomically(self._ready_file, json.dumps(ready).encode())


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    # Named as TCP, because asyncio turns Nagle's algorithm off only then: else every small answer waits 40 ms for the
    # other side's delayed acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as door:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise Unavailable(f"port {port} cannot be used ({error}); choose another one with --port, or 0") from error
        yield door


def _url(door: socket.socket) -> str:
    return f"http://{HOST}:{door.getsockname()[1]}"


@contextmanager
def _alone(data: DataFolder) -> Iterator[None]:
    """Keep other servers out of the data folder, by a lock that no killed process leaves behind."""
    try:
        data.root.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(data.root / "server.lock", timeout=0, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
    except (OSError, sqlite3.Error) as error:
        raise BadInput(
            f"the data folder {data.root} is used by another server or cannot be written ({error}); "
            "choose another one with --data"
        ) from error
    try:
        yield
    finally:
        lock.close()
