"""A real server process for tests, and the eyes to see what processes it has."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from wan_animate_blender.wire import SHOT_FILE, WIRE_HEADER, Job, Shot, Take

from .conftest import QUICK, command

PATIENCE = 300.0
LONG = replace(QUICK, steps=500)
"""For a job that is stopped on its way; `Running.holding` sees to it that it does not come to its end before."""

HOLDING = Path(__file__).with_name("holding")


@dataclass(frozen=True)
class Running:
    """A server process, and how to talk to it."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    data: Path
    log: Path

    def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token}", WIRE_HEADER: "1"} | more.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=PATIENCE, **more)

    @contextlib.contextmanager
    def holding(self, *, frames: int = 0, step: int = 0) -> Iterator[None]:
        """Renders wait inside the block once `frames` frames are finished and `step` steps of a segment are done.

        They hear everything meanwhile. `frames` are told with the segment after the next at the latest.
        """
        with held(self.data.parent, frames=frames, step=step):
            yield

    def upload(self, folder: Path, shot: Shot) -> None:
        for path, entry in shot.files.items():
            assert self.call("PUT", f"/v1/blobs/{entry.sha256}", data=(folder / path).read_bytes()).status_code == 201

    def submit(self, folder: Path) -> Job:
        shot = Shot.loads((folder / SHOT_FILE).read_bytes())
        self.upload(folder, shot)
        reply = self.call("POST", "/v1/jobs", data=shot.dumps().encode())
        assert reply.status_code == 201, reply.text
        return Job.loads(reply.content)

    def job(self, job: str) -> Job:
        return Job.loads(self.call("GET", f"/v1/jobs/{job}").content)

    def wait(self, job: str, until: Callable[[Job], bool]) -> Job:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.job(job)
            if until(found):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{found} after {PATIENCE} s; log:\n{self.log.read_text()}")

    def finished(self, job: str) -> Job:
        return self.wait(job, lambda now: now.state.is_final)

    def take(self, job: str) -> Take:
        return Take.loads(self.call("GET", f"/v1/jobs/{job}/take").content)

    def pictures(self, job: str) -> dict[str, str]:
        """SHA-256 of every frame of the job's take, as downloaded."""
        take = self.take(job)
        found = {}
        for path in (path for layer in take.layers for path in take.sequence(layer)):
            reply = self.call("GET", f"/v1/jobs/{job}/frames/{path}")
            assert reply.status_code == 200
            found[path] = hashlib.sha256(reply.content).hexdigest()
            assert found[path] == take.files[path].sha256
        return found

    def worker(self) -> int:
        """Process id of the worker, once it is there."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := workers(self.process.pid):
                return found[0]
            time.sleep(0.05)
        raise AssertionError("no worker")


def workers(pid: int) -> list[int]:
    """The worker processes that the process `pid` started."""
    children = [int(c) for task in Path(f"/proc/{pid}/task").glob("*") for c in (task / "children").read_text().split()]
    return [child for child in children if "wan_animate_server.worker" in arguments(child)]


def arguments(pid: int) -> list[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def lives(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def gone(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not lives(pid)


@contextlib.contextmanager
def held(folder: Path, *, frames: int = 0, step: int = 0) -> Iterator[None]:
    """As `Running.holding`, for renders of processes with the environment `waits(folder)`."""
    file, new = folder / "hold.json", folder / "hold.new"
    new.write_text(json.dumps({"frames": frames, "step": step}))
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def waits(folder: Path) -> dict[str, str]:
    """What the environment of a process needs for its renders, and its children's, to wait for `held(folder)`."""
    path = os.pathsep.join(filter(None, (str(HOLDING), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "WAN_ANIMATE_TESTS_HOLD": str(folder / "hold.json")}


@contextlib.contextmanager
def serving(folder: Path, *options: str | Path, **environment: str) -> Iterator[Running]:
    """A server on a free port with its data below `folder`; nothing of it is left at the end, even of a killed test."""
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "log.txt"
    ready.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command("serve", "--port", "0", "--data", folder / "data", "--token-file", folder / "token",
                    "--ready-file", ready, "--with-parent", *options),
            stdin=subprocess.PIPE, stdout=output, stderr=output, env=os.environ | waits(folder) | environment,
        )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while not ready.exists():
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        said = json.loads(ready.read_text())
        token = environment.get("WAN_ANIMATE_TOKEN") or (folder / "token").read_text()
        yield Running(process, said["url"], token, folder / "data", log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()
        process.communicate()
