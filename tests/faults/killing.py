"""One run of a job during which something is killed, and what must be true of it afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from wan_animate_blender import client
from wan_animate_blender.wire import JobState, file_entry

from ..conftest import QUICK, write_export, write_shot
from ..serving import PATIENCE, Running, lives, serving
from .leftovers import processes, settled, strays
from .line import Line
from .phases import Phase, has_ended, phase_of
from .sending import ended, read

FRAMES = 17
"""Four segments."""

_BALLAST, _RATE = 1 << 20, 1.2e6
"""Bytes of a file that nothing needs but the upload, and bytes a second on the line: so an upload takes a second."""

_INSIDE = {Phase.UPLOAD: 0.8, Phase.DENOISE: 0.1, Phase.DECODE: 0.06, Phase.WRITE: 0.04, Phase.COMMIT: 0.01}
"""Seconds within which the kill comes after the phase was seen: about as long as each lasts."""


class Victim(StrEnum):
    SERVER = "server"
    WORKER = "worker"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What is to be killed, when."""

    phase: Phase
    segment: int
    """From which the phase is waited for, from 1."""
    victim: Victim
    delay: float
    """Seconds from the moment when the phase is seen to the kill."""

    @classmethod
    def drawn(cls, random: random.Random, phase: Phase, victim: Victim) -> Aim:
        segment = random.randint(0, 0 if phase is Phase.UPLOAD else 4)
        return cls(phase=phase, segment=segment, victim=victim, delay=random.uniform(0, _INSIDE[phase]))


@dataclass(frozen=True, kw_only=True)
class Hit:
    """What was killed, in the phase that stood still before the eyes of who looked."""

    phase: Phase
    segment: int
    state: JobState
    message: str


def write_long_export(root: Path, seed: int) -> Path:
    """An export of four segments with a file that takes a while to send."""
    folder = write_export(root, FRAMES, settings=replace(QUICK, seed=seed, steps=6))
    (folder / "ballast.bin").write_bytes(random.Random(seed).randbytes(_BALLAST))
    shot = read(folder)
    write_shot(folder, replace(shot, files=dict(shot.files) | {"ballast.bin": file_entry(folder / "ballast.bin")}))
    return folder


class House:
    """One data folder, the server that is started there again and again, and a slow line to it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, contextlib.ExitStack()
        self.data = folder / "data"
        self.jobs = 0
        """How many jobs it must know."""

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        left = settled(lambda: list(map(str, processes(self._folder))))
        assert not left, f"processes {left} are still there"

    def start(self) -> None:
        """Start the server; what is left of the one before is only what the one before left."""
        self._stack.close()
        self.server: Running = self._stack.enter_context(serving(self._folder))
        self.server.worker()

    def run(self, export: Path, aim: Aim, undisturbed: dict[str, str]) -> Hit | None:
        """Send a job, kill, start again, and check everything. None when the job was faster than the eye."""
        self.jobs += 1
        sender = _Sender(self, export, _RATE if aim.phase is Phase.UPLOAD else float("inf"))
        with sender.sending():
            hit = self._strike(aim)
            if aim.victim is not Victim.WORKER:
                self.start()
        job = self.server.finished(sender.job)
        assert job.state is JobState.DONE, f"{job} after {hit}"
        assert self.server.pictures(job.id) == undisturbed, f"{job} has other pictures after {hit}"
        self._check(job.id)
        return hit and replace(hit, state=job.state, message=job.message)

    def _strike(self, aim: Aim) -> Hit | None:
        if not self._seen(aim):
            return None
        time.sleep(aim.delay)
        server, worker = self.server.process.pid, self.server.worker()
        victims = {Victim.SERVER: [server], Victim.WORKER: [worker], Victim.BOTH: [server, worker]}[aim.victim]
        with _standing_still(server, worker):
            phase, segment = phase_of(self.data)
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
        for pid in victims:
            _buried(pid, self.server)
        return Hit(phase=phase, segment=segment, state=JobState.RUNNING, message="")

    def _seen(self, aim: Aim) -> bool:
        """Wait for the phase that is aimed at; False when the job ended before."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            phase, segment = phase_of(self.data)
            if phase is aim.phase and segment >= aim.segment:
                return True
            if has_ended(self.data):
                return False
        raise AssertionError(f"{aim} never came; log:\n{self.server.log.read_text()}")

    def _check(self, job: str) -> None:
        """Nothing is lost, doubled or left; then make room for the next run."""
        known = [job["id"] for job in self.server.call("GET", "/v1/jobs").json()]
        assert len(known) == self.jobs == len(set(known)), f"{len(known)} jobs, {self.jobs} were sent"
        left = settled(lambda: strays(self.data))
        assert not left, f"left behind: {left}"
        there = processes(self._folder)
        assert sorted(there) == sorted([self.server.process.pid, self.server.worker()]), f"processes {there}"
        assert self.server.call("POST", f"/v1/jobs/{job}/remove").status_code == 204
        self.jobs -= 1
        for folder in (self.data / "segments", self.data / "blobs"):  # so that the next one sends and makes all anew
            shutil.rmtree(folder)


class _Sender:
    """Sends an export as the add-on does, however often the server goes away meanwhile."""

    def __init__(self, house: House, export: Path, rate: float) -> None:
        self._house, self._export, self._rate = house, export, rate
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.job = ""

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """The job is sent when the block has ended well."""
        self._thread.start()
        yield
        self._thread.join(PATIENCE)
        assert self.job, f"the job could not be sent; log:\n{self._house.server.log.read_text()}"

    def _send(self) -> None:
        shot, key = read(self._export), client.new_key()
        end = time.monotonic() + PATIENCE
        while not self.job and time.monotonic() < end:
            server = self._house.server
            with Line(server.url, self._rate).open() as line, contextlib.suppress(client.NoAnswer):
                self.job = ended(client.Server(line.url, server.token).submit(shot, self._export, key)).id
            time.sleep(0.1)


@contextlib.contextmanager
def _standing_still(*pids: int) -> Iterator[None]:
    """Nothing moves inside the block, so that what is seen is what is killed; whoever lives goes on after it."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        while "\nState:\tT" not in Path(f"/proc/{pid}/status").read_text():
            time.sleep(0.0005)
    yield
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _buried(pid: int, server: Running) -> None:
    if pid == server.process.pid:
        server.process.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while lives(pid):
        assert time.monotonic() < end
        time.sleep(0.01)
