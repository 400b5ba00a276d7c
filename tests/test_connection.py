"""The way to a server, broken at each of its steps by a real listener."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_blender import client, connection
from wan_animate_blender.client import Server
from wan_animate_blender.wire import BadInput, Problem, Unavailable
from wan_animate_server import app as app_module
from wan_animate_server.datafolder import DataFolder
from wan_animate_server.jobs import Jobs
from wan_animate_server.roster import Roster

from .serving import PATIENCE
from .test_client import TOKEN, free_port, serving


def go(url: str, token: str = TOKEN) -> tuple[list[str], str | Problem]:
    """The steps that were tried, and how it ended."""
    steps = connection.walk(Server(url, token))
    tried = []
    try:
        while True:
            step = next(steps)
            tried.extend([step.stage] if step else [])
    except StopIteration as end:
        return tried, str(end.value)
    except Problem as problem:
        return tried, problem


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path / "data") as url:
        yield url


@contextlib.contextmanager
def listening(answer: bytes) -> Iterator[int]:
    """Somebody who says the same to everybody; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the door was shut
                while True:
                    line, _ = door.accept()
                    with line:
                        line.settimeout(PATIENCE)
                        with contextlib.suppress(TimeoutError):
                            line.recv(4096)
                            line.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield door.getsockname()[1]


def test_the_whole_way_ends_with_what_the_server_has(url: str, tmp_path: Path) -> None:
    roster = Roster(Jobs(DataFolder(tmp_path / "data").queue).database)
    roster.sign_on("worker", "cpu", 1, "a processor", ("puppet", "wan-animate-14b"))
    tried, said = go(url)
    assert tried == ["name", "connection", "HTTP", "token and wire version", "models"]
    assert isinstance(said, str)
    assert said.startswith("Connected: version ")
    assert said.endswith("models puppet, wan-animate-14b")


def test_a_name_that_nobody_knows() -> None:
    tried, said = go("http://nowhere.invalid:8188")
    assert (tried, type(said)) == (["name"], Unavailable)
    assert str(said).startswith("name: nobody knows a machine called 'nowhere.invalid'")


def test_a_door_that_is_shut() -> None:
    tried, said = go(f"http://127.0.0.1:{free_port()}")
    assert (tried[-1], type(said)) == ("connection", Unavailable)
    assert str(said).startswith("connection: 127.0.0.1 lets nobody in at port")


def test_a_machine_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full lets nobody in and turns nobody away, as a firewall does."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)
    with socket.socket() as door, contextlib.ExitStack() as waiting:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(4):
            line = waiting.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex(door.getsockname())
        tried, said = go(f"http://127.0.0.1:{door.getsockname()[1]}")
    assert tried[-1] == "connection"
    assert "look whether it is on" in str(said)


def test_plain_http_where_tls_was_asked_for(url: str) -> None:
    tried, said = go(url.replace("http:", "https:"))
    assert tried[-1] == "TLS"
    assert "TLS: 127.0.0.1 does not speak TLS there" in str(said)


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as door, context.wrap_socket(door, server_side=True) as safe:

        def serve() -> None:
            for _ in ("connection", "TLS"):  # each of them is broken off by the other side
                with contextlib.suppress(OSError):
                    safe.accept()[0].close()

        threading.Thread(target=serve, daemon=True).start()
        tried, said = go(f"https://127.0.0.1:{safe.getsockname()[1]}")
    assert tried[-1] == "TLS"
    assert "TLS: the certificate of 127.0.0.1 is not trusted (self" in str(said)


def test_something_else_that_speaks_http() -> None:
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello") as port:
        tried, said = go(f"http://127.0.0.1:{port}")
    assert tried[-1] == "HTTP"
    assert "is not a Wan Animate server" in str(said)


def test_a_wrong_token(url: str) -> None:
    tried, said = go(url, "wrong")
    assert (tried[-1], type(said)) == ("token and wire version", BadInput)
    assert "does not accept this token" in str(said)
    assert "wrong;" not in str(said)


def test_the_token_is_not_shown_before_it_is_known_who_answers(url: str) -> None:
    seen: list[str | None] = []
    server = Server(url, TOKEN)
    send = server._http.send

    def watch(request, **more):  # type: ignore[no-untyped-def]
        seen.append(request.headers.get("Authorization"))
        return send(request, **more)

    server._http.send = watch  # type: ignore[method-assign]
    server.alive()
    assert seen == [None]
    server.health()
    assert seen[1] == f"Bearer {TOKEN}"


def test_another_release(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "WIRE_VERSION", 2)
    tried, said = go(url)
    assert tried[-1] == "token and wire version"
    assert "speaks wire version 2, this add-on speaks 1" in str(said)


def test_a_server_without_models(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "START_SECONDS", 0.1)
    tried, said = go(url)
    assert (tried[-1], type(said)) == ("models", BadInput)
    assert "models: the server has none to render with" in str(said)


def test_a_proxy_that_is_in_between_is_left_to_find_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        tried, said = go("http://render.invalid:8188")
    assert tried == ["HTTP"]
    assert isinstance(said, client.NoAnswer)
