"""Where a server listens, who vouches for it there and what it is called. Knows no requests.

On this machine's loopback nobody listens in. Everywhere else a token would travel in the open, so TLS is demanded:
this server's own, or that of a proxy which is named, and then nobody but that proxy is served.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wan_animate_blender.wire import BadInput, Unavailable

from .gate import Names

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """Where to listen. Raises `BadInput` for what would send tokens in the open."""

    host: str = LOOPBACK
    """Name or address of this machine, or 0.0.0.0."""
    port: int = 0
    """0 takes a free one."""
    certificate: Path | None = None
    key: Path | None = None
    """PEM files of TLS."""
    proxy: str | None = None
    """Name or address of the proxy that speaks TLS instead."""
    names: tuple[str, ...] = ()
    """Under which clients ask, besides the machine's own."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise BadInput("TLS takes two files, one of which is not given; give both --tls-cert and --tls-key")
        if self.certificate and self.key:
            _check_pair(self.certificate, self.key)
        if not (self.is_local or self.certificate or self.proxy):
            raise BadInput(
                f"the address {self.host} can be reached from elsewhere, where tokens must not travel in the open; "
                "give --tls-cert and --tls-key, or name the proxy that speaks TLS for this server with --behind-proxy"
            )

    @property
    def address(self) -> str:
        return _addresses(self.host)[0]

    @property
    def is_local(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def known_as(self) -> Names:
        own = () if self.is_local else (self.host, socket.gethostname(), socket.getfqdn())
        return Names(frozenset(name.lower() for name in (*self.names, *own)), self.is_local)

    @property
    def proxies(self) -> frozenset[str]:
        """Addresses of the proxy; empty where there is none."""
        return frozenset(_addresses(self.proxy)) if self.proxy else frozenset()

    def url(self, door: socket.socket) -> str:
        """Where a client on this machine finds it."""
        host = self.host if not self._is_wildcard else (*self.names, socket.gethostname())[0]
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{door.getsockname()[1]}"

    @contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """A socket that is bound to it. Raises `Unavailable`."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        # Named as TCP, because asyncio turns Nagle's algorithm off only then: else every small answer waits 40 ms for
        # the other side's delayed acknowledgement.
        with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as door:
            if os.name == "posix":  # elsewhere it would let two servers have one port
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind((self.address, self.port))
            except (OSError, OverflowError) as error:
                raise Unavailable(
                    f"port {self.port} of {self.host} cannot be used ({error}); choose another one with --port, or 0"
                ) from error
            yield door

    @property
    def _is_wildcard(self) -> bool:
        return ipaddress.ip_address(self.address).is_unspecified


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadInput(f"nobody knows a machine called {host!r} ({error}); give a name or an address") from error
    return [str(place[4][0]) for place in found]


def _check_pair(certificate: Path, key: Path) -> None:
    """Raise `BadInput` unless both files can be read and belong together."""
    try:
        # A key with a password would ask for it at a terminal that a server does not have.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{certificate} and {key} are no certificate and key for TLS ({error}); give PEM files that belong "
            "together, the key without a password"
        ) from error
