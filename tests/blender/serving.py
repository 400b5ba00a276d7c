"""The server in its own environment and its own process, as beside a real Blender; jobs wait where a test says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from wan_animate_blender.wire import WIRE_HEADER

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "WAN_ANIMATE_SERVER_PYTHON"
HOLD = "hold.json"

PATIENCE = 600.0
"""Seconds that a machine may take for anything before a test gives up."""


def wait_for(there: Callable[[], object], pause: float = 0.005) -> None:
    """Look again and again until something is there."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline
        time.sleep(pause)


@dataclass(frozen=True)
class Served:
    url: str
    token_file: Path
    process: subprocess.Popen[bytes]

    @property
    def token(self) -> str:
        return self.token_file.read_text()

    def tell_queue(self, verb: str) -> None:
        """`pause` or `resume`."""
        headers = {"Authorization": f"Bearer {self.token}", WIRE_HEADER: "1"}
        requests.post(f"{self.url}/v1/queue/{verb}", headers=headers, timeout=PATIENCE).raise_for_status()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile no job begins: what is done to one that waits is done to it before any machine has rendered it."""
        self.tell_queue("pause")
        try:
            yield
        finally:
            self.tell_queue("resume")

    @contextmanager
    def holding(self, *, frames: int = 0, step: int = 0) -> Iterator[None]:
        """Meanwhile a render waits as soon as that many frames are there and the next segment has made `step` steps.

        It hears everything all the same (tests/holding). Segments that the server rendered before have no steps.
        """
        file = self.token_file.with_name(HOLD)
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"frames": frames, "step": step}))
        new.replace(file)
        try:
            yield
        finally:
            file.unlink()


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of this machine at which a server may listen, and that the system gives to nobody else meanwhile.

    One that is bound and not listened at can be bound once more by whoever says SO_REUSEADDR too, as a server does, but
    is never chosen for anybody (Linux, inet_connection_sock.c); until a server listens, callers are refused.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Served]:
    """`wan-animate serve` with its worker on `port` or a free one, data and token in `folder`."""
    if PYTHON not in os.environ:
        pytest.fail(f"set {PYTHON} to the Python of an environment in which the server is installed")
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)  # a killed one leaves it behind
    path = os.pathsep.join(map(str, (ROOT, ROOT / "server", ROOT / "tests" / "holding")))
    arguments = ["serve", "--port", str(port), "--data", str(folder / "data"), "--token-file", str(folder / "token")]
    process = subprocess.Popen(
        [os.environ[PYTHON], "-m", "wan_animate_server", *arguments, "--ready-file", str(ready), "--with-parent"],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "WAN_ANIMATE_TESTS_HOLD": str(folder / HOLD)},
    )
    try:
        wait_for(lambda: process.poll() is not None or ready.exists())
        assert process.poll() is None
        yield Served(json.loads(ready.read_text())["url"], folder / "token", process)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
