"""What a hostile client may send to a server, and what it gets for it; then the server is as it was before.

One server for the whole table. Slow and half-open connections are opened first and looked at last.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import struct
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import numpy as np
import pytest

from wan_animate_blender.wire import WIRE_HEADER, ErrorReply, JobState
from wan_animate_server import patience
from wan_animate_server.exr import PIXELS
from wan_animate_server.keyring import NamedTokens

from .conftest import make_light, relist_files, write_export
from .hostile import HOSTILE, NAME, NO_TOKEN, ask, send
from .serving import PATIENCE, Running, lives, serving

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc")

HALF_OPEN = 300
"""Connections that say nothing, beside everything else."""

GROWTH = 200 << 20
"""Bytes by which the server may have grown after the whole table: malloc keeps what one large picture needed."""


@dataclass(frozen=True)
class Target:
    """The server, and what a hostile client may know of it."""

    server: Running
    job: str
    """A done one, of the owner."""
    revoked: str
    expired: str
    memory: int
    slow: dict[str, socket.socket]
    """Connections that were opened before all others, and what each does."""

    def fill(self, text: str) -> bytes:
        known = {
            "TOKEN": self.server.token, "JOB": self.job, "REVOKED": self.revoked, "EXPIRED": self.expired,
            "HOST": self.server.url.removeprefix("http://"), "NOBODY": uuid.uuid4().hex,
        }  # fmt: skip
        for word, value in known.items():
            text = text.replace(f"<{word}>", value)
        return text.encode("latin-1")

    def dial(self) -> socket.socket:
        host, port = self.server.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE)

    def answer(self, sent: bytes, method: str = "GET") -> tuple[int, bytes]:
        """Status and body of the first answer; status 0 where the connection just ends."""
        with self.dial() as line:
            with contextlib.suppress(OSError):  # it may hang up before everything is said
                line.sendall(sent)
            return received(line, method)


def received(line: socket.socket, method: str = "GET") -> tuple[int, bytes]:
    reply = HTTPResponse(line, method=method)
    try:
        reply.begin()
        return reply.status, reply.read()
    except (HTTPException, OSError):
        return 0, b""


def memory(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- the server -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("abuse")
    with serving(folder) as server:
        tokens = NamedTokens(folder / "token")
        revoked, expired = tokens.add("revoked"), tokens.add("expired", days=0)
        assert server.call("GET", "/v1/jobs", token=revoked).status_code == 200
        tokens.revoke("revoked")
        job = server.submit(write_export(folder, frames=5))
        assert server.finished(job.id).state is JobState.DONE
        known = Target(server, job.id, revoked, expired, memory(server.process.pid), {})
        with contextlib.ExitStack() as lines:
            slow = {name: lines.enter_context(known.dial()) for name in SLOW}
            silent = [lines.enter_context(known.dial()) for _ in range(HALF_OPEN)]
            for name, text in SLOW.items():
                slow[name].sendall(known.fill(text))
            assert len(silent) == HALF_OPEN
            yield replace(known, slow=slow)


SLOW = {
    "half a head": f"GET /v1/jobs HTTP/1.1\r\nHost: <HOST>\r\n{WIRE_HEADER}:",
    "half a body": ask("PUT", f"/v1/blobs/{'e' * 64}", "Content-Length: 1000000\r\n") + "a few bytes",
    "half a chunk": ask("POST", "/v1/jobs", "Transfer-Encoding: chunked\r\n") + "ff\r\nonly this",
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_gets_its_answer(target: Target, name: str) -> None:
    status, text = HOSTILE[name]
    method = text.split(" ", 1)[0]
    given, body = target.answer(target.fill(text), method)
    assert given == status, body
    if status >= 400:
        said = ErrorReply.loads(body)
        assert said.error and said.message and "\n" not in said.message and len(said.message) < 600
        assert target.server.token not in body.decode() and str(target.server.data) not in body.decode()


# --- more than one request ------------------------------------------------------------------------


def test_a_refused_body_is_read_no_further_than_a_little(target: Target) -> None:
    """Somebody without a token sends and sends: the server hangs up."""
    head = ask("PUT", f"/v1/blobs/{NAME}", "Content-Length: 4000000000\r\n", NO_TOKEN)
    with target.dial() as line:
        line.sendall(target.fill(head))
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 400 << 20:
                sent += line.send(bytes(1 << 20))
    assert sent < 100 << 20


def test_requests_in_one_breath_are_answered_one_by_one(target: Target) -> None:
    last = ask("GET", "/v1/health", "Connection: close\r\n")
    sent = target.fill(ask("GET", "/v1/health") + ask("GET", "/v1/jobs/<NOBODY>") + last)
    with target.dial() as line:
        line.sendall(sent)
        got = b"".join(iter(lambda: line.recv(65536), b""))
    assert [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]


def test_a_request_inside_a_body_is_not_a_request(target: Target) -> None:
    inner = ask("DELETE", "/v1/jobs/<JOB>")
    with target.dial() as line:
        line.sendall(target.fill(send("POST", "/v1/jobs", target.fill(inner).decode("latin-1"))))
        assert received(line)[0] == 422
    assert target.server.job(target.job).state is JobState.DONE


def test_a_link_in_a_take_leads_nowhere(target: Target) -> None:
    """Whoever can write into the data folder may not read all the rest of the machine by the server."""
    frame = next(target.server.data.glob("jobs/*/SH010/takes/v001/comp/1001.png"))
    stranger, kept = frame.with_name("stranger.png"), frame.with_name("kept")
    stranger.symlink_to(target.server.data.parent / "token")
    frame.rename(kept)
    frame.symlink_to(target.server.data.parent / "token")
    try:
        for path in ("comp/stranger.png", "comp/1001.png"):
            reply = target.server.call("GET", f"/v1/jobs/{target.job}/frames/{path}")
            assert (reply.status_code, target.server.token in reply.text) == (404, False)
        assert target.server.token not in target.server.call("GET", f"/v1/jobs/{target.job}/take.tar").text
    finally:
        kept.replace(frame)
    assert target.server.call("GET", f"/v1/jobs/{target.job}/frames/comp/1001.png").status_code == 200


def png(width: int, height: int) -> bytes:
    """A file of some hundred bytes that says that it is a picture of `width`×`height` pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(9999))),
              (b"IEND", b"")]  # fmt: skip
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0" + frame + b"\xff\xd9"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


BOMBS = {
    "PNG": png(60_000, 60_000), "PNG, a line": png(2**31 - 1, 1), "JPEG": jpeg(65_500, 65_500),
    "BMP": bmp(40_000, 40_000), "BMP below zero": bmp(-5, 40), "no picture": b"GIF89a" + bytes(99), "nothing": b"",
    "PNM": b"P6 60000 60000 255\n" + bytes(99), "HDR": b"#?RADIANCE\n\n-Y 60000 +X 60000\n" + bytes(99),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_picture_that_unpacks_to_gigabytes_is_not_unpacked(target: Target, kind: str) -> None:
    bomb = BOMBS[kind]
    name = hashlib.sha256(bomb).hexdigest()
    assert target.server.call("PUT", f"/v1/blobs/{name}", data=bomb).status_code == 201
    before = memory(target.server.process.pid)
    reply = target.server.call("GET", f"/v1/blobs/{name}/faces")
    assert (reply.status_code, ErrorReply.loads(reply.content).error) == (422, "bad-picture")
    assert memory(target.server.process.pid) - before < 64 << 20


def pose(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def array(shape: tuple[int, ...], data: bytes) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return head.getvalue() + data


def exr_that_says(folder: Path, width: int) -> None:
    """The plate's first frame, its header changed."""
    make_light(folder)
    file = folder / "plate/1001.exr"
    data = file.read_bytes()
    for window in (b"dataWindow\0box2i\0", b"displayWindow\0box2i\0"):
        at = data.index(window) + len(window) + 4 + 8
        data = data[:at] + struct.pack("<ii", width, width) + data[at + 8 :]
    file.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "poses packed a thousandfold": lambda f: (f / "pose.npz").write_bytes(
        pose({"keypoints.npy": array((20_000_000,), bytes(80_000_000))})),
    "poses larger than they are": lambda f: (f / "pose.npz").write_bytes(
        pose({"keypoints.npy": array((1 << 40, 133, 3), bytes(99))})),
    "poses beside a bomb": lambda f: (f / "pose.npz").write_bytes(
        pose({"keypoints.npy": array((1, 133, 3), bytes(1596)), "more.npy": bytes(90_000_000)})),
    "poses that are objects": lambda f: np.savez(f / "pose.npz", keypoints=np.array([{}], object)),
    "a plate that says it is huge": lambda f: (f / "plate/1001.png").write_bytes(png(60_000, 60_000)),
    "a character that says it is huge": lambda f: (f / "character.png").write_bytes(png(60_000, 60_000)),
    "light that says it is huge": lambda f: exr_that_says(f, 1_000_000_000),
}  # fmt: skip


def test_shots_whose_files_are_bombs_fail_with_a_sentence_and_harm_nobody(target: Target, tmp_path: Path) -> None:
    jobs = {}
    for what, damage in DAMAGE.items():
        folder = write_export(tmp_path / what.replace(" ", "-"), frames=1)
        damage(folder)
        relist_files(folder)
        jobs[what] = target.server.submit(folder).id
    worker = target.server.worker()
    for what, job in jobs.items():
        ended = target.server.finished(job)
        assert ended.state is JobState.FAILED, what
        assert ended.message and "bug" not in ended.message, f"{what}: {ended.message}"
    assert target.server.worker() == worker, "the worker is the same process as before"
    assert memory(worker) < 2 << 30


def test_the_largest_picture_that_is_decoded_fits_into_memory() -> None:
    assert PIXELS * 8 <= 1 << 30


# --- slow ones ------------------------------------------------------------------------------------


def test_half_open_connections_keep_nobody_out(target: Target) -> None:
    assert target.server.call("GET", "/v1/jobs").status_code == 200


def test_of_too_many_connections_the_idle_ones_go(target: Target) -> None:
    with contextlib.ExitStack() as lines:
        for _ in range(patience.MOST + 50):
            lines.enter_context(target.dial())
        assert target.server.call("GET", "/v1/jobs").status_code == 200


@pytest.mark.parametrize("name", SLOW)
def test_a_connection_that_is_slow_is_left(target: Target, name: str) -> None:
    """Opened before all other tests of this file, so that nobody waits for its time here."""
    line = target.slow[name]
    line.settimeout(PATIENCE)
    with contextlib.suppress(ConnectionResetError):
        got = line.recv(65536)
        assert not got or got.startswith(b"HTTP/1.1 408 "), got
        while got:
            got = line.recv(65536)
    kept, end = None, time.monotonic() + PATIENCE
    while name == "half a body" and kept != "11":  # the server hears a moment after the client that it is over
        assert time.monotonic() < end, f"{kept} bytes of the upload are kept"
        reply = target.server.call("HEAD", f"/v1/blobs/{'e' * 64}")
        assert reply.status_code == 404
        kept = reply.headers["Upload-Offset"]


# --- afterwards -----------------------------------------------------------------------------------


def test_after_all_that_the_server_is_as_it_was(target: Target) -> None:
    server = target.server
    assert lives(server.process.pid)
    assert server.call("GET", "/v1/health").json()["alive"] is True
    assert server.pictures(target.job)
    assert memory(server.process.pid) - target.memory < GROWTH
    log = server.log.read_text()
    assert "Traceback" not in log and "ERROR" not in log, log
    assert all(secret not in log for secret in (server.token, target.revoked, target.expired))
    assert not list(server.data.parent.rglob("passwd")) and not list(server.data.rglob("authorized_keys"))
