"""The way to a server, step by step, so that the one that fails can be named. Knows neither bpy nor jobs."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import requests

from .client import CONNECT_SECONDS, Health, Server, is_loopback
from .session import Step, Work
from .wire import BadInput, Problem, Unavailable

DOORS = {"http": 80, "https": 443}
"""Ports where an address names none."""


START_SECONDS = 15.0
"""How long a worker may take to start and tell of its models."""


@dataclass(frozen=True)
class Check:
    """One step of the way."""

    name: str
    """As people are told: "name", "connection" …"""
    run: Callable[[], object]
    """Raises the `Problem` of this step."""


def walk(server: Server) -> Work[str]:
    """Go the whole way to `server`, a step at a time; what it is. Raises the problem of the first step that fails,
    with the step's name before it."""
    checks = list(_checks(server))
    for number, check in enumerate(checks):
        yield Step(stage=check.name, progress=number / len(checks))
        try:
            check.run()
        except Problem as problem:
            raise type(problem)(f"{check.name}: {problem}") from problem
    yield Step(stage="models", progress=1.0)
    health = yield from _with_models(server)
    return f"Connected: version {health.version}, models {', '.join(health.models)}"


def _checks(server: Server) -> Iterator[Check]:
    parts = urlsplit(server.url)
    if not _proxy(server.url):  # else name, connection and certificate are the proxy's affair
        yield Check("name", lambda: _resolve(parts))
        yield Check("connection", lambda: _connect(parts).close())
        if parts.scheme == "https":
            yield Check("TLS", lambda: _shake_hands(parts))
    yield Check("HTTP", server.alive)
    yield Check("token and wire version", server.health)


def _proxy(url: str) -> str | None:
    return None if is_loopback(url) else requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))


def _place(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or DOORS[parts.scheme]


def _resolve(parts: SplitResult) -> None:
    host, port = _place(parts)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(
            f"nobody knows a machine called {host!r} ({error.strerror or error}); correct the address"
        ) from error


def _connect(parts: SplitResult) -> socket.socket:
    host, port = _place(parts)
    try:
        return socket.create_connection((host, port), CONNECT_SECONDS)
    except TimeoutError as error:
        raise Unavailable(
            f"{host} does not answer at port {port}; look whether it is on, and whether a firewall is between"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"{host} lets nobody in at port {port} ({error.strerror or error}); start the server with "
            "'wan-animate serve', or correct the port"
        ) from error


def _shake_hands(parts: SplitResult) -> None:
    """With the certificates that requests trusts."""
    context = ssl.create_default_context(
        cafile=os.environ.get("REQUESTS_CA_BUNDLE") or requests.utils.DEFAULT_CA_BUNDLE_PATH
    )
    try:
        with _connect(parts) as line, context.wrap_socket(line, server_hostname=parts.hostname):
            pass
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"the certificate of {parts.hostname} is not trusted ({error.verify_message}); use an address whose is"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"{parts.hostname} does not speak TLS there ({error.strerror or error}); does the address begin with http:?"
        ) from error


def _with_models(server: Server) -> Work[Health]:
    """What the server says of itself when its worker has told it of a model."""
    end = time.monotonic() + START_SECONDS
    while not (health := server.health()).models:
        if time.monotonic() > end:
            raise BadInput("models: the server has none to render with; look at 'wan-animate models' on its machine")
        yield None
    return health
