"""`wan-animate serve`: the HTTP door, the queue and the worker's supervisor as one process on this machine."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from wan_animate_blender.wire import WIRE_HEADER, WIRE_VERSION, BadInput, write_atomically

from .app import create_app
from .blobs import Blobs
from .datafolder import DataFolder, default_data
from .gate import HEAD_BYTES, Gate
from .handover import Handover
from .jobs import Jobs
from .keyring import Keyring, own_secret, token_path
from .listening import Place
from .patience import Connection
from .retention import Policy
from .supervisor import TOKEN_VARIABLE, Limits, Supervisor
from .upkeep import Keeper, Upkeep
from .visits import Visits

log = logging.getLogger(__name__)

_WEAK = 32
"""Characters below which a secret that somebody thought up must not guard a door to a network."""

_GOODBYE_SECONDS = 2
"""Time that open answers, such as event streams, get when the server stops."""


def serve(
    *,
    place: Place,
    data: Path | None,
    token_file: Path | None,
    ready_file: Path | None,
    devices: Sequence[str],
    limits: Limits,
    roots: Sequence[Path],
    until: Callable[[Jobs], None] | None,
    policy: Policy,
    log_requests: bool,
    in_place: bool = False,
) -> None:
    """Serve until a signal says stop; then the worker's job is back in the queue and no process is left.

    `policy` says what is kept; `ready_file` is written when requests are answered: {"url", "token_file", "pid"}.
    There is one worker for each of `devices`. Shot folders below `roots` may be handed over instead of uploaded, and
    with `in_place` their takes are made beside them. The server also stops when `until` returns, which is called in a
    thread of its own. Raises `BadInput` or `Unavailable` when that cannot be.
    """
    folder = DataFolder((data or default_data()).resolve(), in_place)
    secret, token = os.environ.get(TOKEN_VARIABLE, "").strip() or None, token_path(token_file)
    keys = Keyring(token, secret)
    if not place.is_local and len(secret or own_secret(token)) < _WEAK:
        raise BadInput(f"the token has fewer than {_WEAK} characters; delete the token file, and a good one is made")
    with folder.alone(), place.listening() as door:
        jobs = Jobs(folder.queue)
        folder.remove_strays({job.id for job in jobs.all()})
        supervisor = Supervisor(folder, jobs, devices, limits)
        app = create_app(folder, jobs, keys, policy.limit, Handover.below(roots))
        server = _Server(
            _config(Visits(app) if log_requests else app, place, keys),
            place.url(door),
            None if secret else token,
            ready_file,
        )
        blobs: Blobs = app.state.desk.blobs
        keeper = Keeper(Upkeep(folder, jobs, blobs), policy, blobs.capacity)
        supervisor.start()
        keeper.start()
        if until:
            threading.Thread(target=server.end_after, args=(lambda: until(jobs),), daemon=True).start()
        try:
            server.run(sockets=[door])
        finally:
            supervisor.stop()
            keeper.stop()
            if ready_file:
                ready_file.unlink(missing_ok=True)


def _config(app: ASGIApp, place: Place, keys: Keyring) -> uvicorn.Config:
    """How `app` is served: behind the gate, by patient connections, with nothing that uvicorn would log or guess."""
    if place.proxies:  # it says who asks; nobody else is believed
        app = ProxyHeadersMiddleware(app, trusted_hosts=list(place.proxies))  # type: ignore[assignment, arg-type]
    return uvicorn.Config(
        Gate(app, place.known_as, keys, place.proxies), http=Connection, ws="none", proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES, ssl_certfile=place.certificate,
        ssl_keyfile=place.key and str(place.key), log_config=None, access_log=False, server_header=False,
        headers=[(WIRE_HEADER, str(WIRE_VERSION))], timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )  # fmt: skip


def parent_ends(_: Jobs) -> None:
    """Return when the pipe closes that the parent holds as standard input, as it does when the parent is gone."""
    while os.read(sys.stdin.fileno(), 1):  # not through sys.stdin, whose lock would break the interpreter's end
        pass


class _Server(uvicorn.Server):
    """Says where it is as soon as it answers."""

    def __init__(self, config: uvicorn.Config, url: str, token: Path | None, ready_file: Path | None) -> None:
        """`token` is the owner's file; None when the environment has it."""
        super().__init__(config)
        self._url, self._token, self._ready_file = url, token, ready_file

    def end_after(self, wait: Callable[[], None]) -> None:
        """Stop when `wait` returns."""
        wait()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        file = None if self._token is None else str(self._token)
        log.info("listening at %s, the token is in %s", self._url, file or f"${TOKEN_VARIABLE}")
        if self._ready_file:
            ready = {"url": self._url, "token_file": file, "pid": os.getpid()}
            write_atomically(self._ready_file, json.dumps(ready).encode())
