"""The server in its own environment and its own process, as beside a real Blender."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "WAN_ANIMATE_SERVER_PYTHON"


@dataclass(frozen=True)
class Served:
    url: str
    token_file: Path
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":")[-1])

    @property
    def token(self) -> str:
        return self.token_file.read_text()


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Served]:
    """`wan-animate serve` with its worker on `port` or a free one, data and token in `folder`."""
    if PYTHON not in os.environ:
        pytest.fail(f"set {PYTHON} to the Python of an environment in which the server is installed")
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)  # a killed one leaves it behind
    arguments = ["serve", "--port", str(port), "--data", str(folder / "data"), "--token-file", str(folder / "token")]
    process = subprocess.Popen(
        [os.environ[PYTHON], "-m", "wan_animate_server", *arguments, "--ready-file", str(ready), "--with-parent"],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "server")))},
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Served(json.loads(ready.read_text())["url"], folder / "token", process)
    finally:
        process.terminate()
        process.wait(15)
