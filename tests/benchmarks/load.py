"""A server under everybody who looks at it: polls, event streams and uploads while one job runs, on two cores.

    PYTHONPATH=.:server python tests/benchmarks/load.py [--minutes 1]

200 clients ask for the job every two seconds, each over a connection of its own; 20 watch its events; in the second
round 20 files of 50 MB are uploaded meanwhile, four at a time. Then 20,000 requests more tell whether the server's
memory grows. Server, socket and queue are the real ones. Only the GPU is played: a process stands for the worker that
claims the job, and sleeps between the reports that it writes to the queue as the worker does; it computes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import psutil

from tests.conftest import write_export
from tests.serving import Running, serving
from wan_animate_blender.wire import SHOT_FILE, WIRE_HEADER, Shot
from wan_animate_server.datafolder import DataFolder
from wan_animate_server.jobs import Jobs
from wan_animate_server.progress import Progress
from wan_animate_server.roster import Condition, Roster

CLIENTS, STREAMS, UPLOADS, UPLOAD_BYTES, REQUESTS = 200, 20, 20, 50_000_000, 20_000

EVERY_SECONDS = 2.0
STEP_SECONDS = 0.25
"""Between two reports of the worker that is played."""


@dataclass
class Told:
    """What clients have seen."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    events: int = 0

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(int(share * len(self.seconds)), len(self.seconds) - 1)]


class Client:
    """One connection that is kept, as a browser or the add-on keeps it."""

    def __init__(self, server: Running) -> None:
        self._host, _, port = server.url.removeprefix("http://").partition(":")
        self._port, self._token = int(port), server.token

    async def connect(self) -> None:
        self.reader, self._writer = await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        self._writer.close()

    async def ask(self, path: str) -> None:
        """Send a request, and read no answer yet."""
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
            f"{WIRE_HEADER}: 1\r\n\r\n".encode()
        )
        await self._writer.drain()

    async def status(self, path: str) -> int:
        """The status of a whole answer with a length."""
        await self.ask(path)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line.split(":")[1] for line in head.splitlines() if line.startswith("content-length:"))
        await self.reader.readexactly(int(length))
        return int(head.split()[1])


async def poll(server: Running, path: str, told: Told, until: float) -> None:
    """Ask every two seconds, from a random moment on."""
    client = Client(server)
    await asyncio.sleep(random.uniform(0, EVERY_SECONDS))
    await client.connect()
    while time.monotonic() < until:
        began = time.monotonic()
        status = await client.status(path)
        told.seconds.append(time.monotonic() - began)
        if status != 200:
            told.errors.append(f"status {status}")
        await asyncio.sleep(EVERY_SECONDS - (time.monotonic() - began) % EVERY_SECONDS)
    client.close()


async def watch(server: Running, path: str, told: Told, until: float) -> None:
    """Read events until it is over."""
    client = Client(server)
    await client.connect()
    await client.ask(path)
    while (left := until - time.monotonic()) > 0:
        try:
            line = await asyncio.wait_for(client.reader.readline(), left)
        except TimeoutError:
            break
        if not line:
            told.errors.append("an event stream ended")
            break
        told.events += line.startswith(b"data:")
    client.close()


async def look(server: Running, job: str, seconds: float) -> Told:
    """All who poll and watch, for `seconds`."""
    told, until = Told(), time.monotonic() + seconds
    polls = [poll(server, f"/v1/jobs/{job}", told, until) for _ in range(CLIENTS)]
    watches = [watch(server, f"/v1/jobs/{job}/events", told, until) for _ in range(STREAMS)]
    for error in await asyncio.gather(*polls, *watches, return_exceptions=True):
        if error is not None:
            told.errors.append(repr(error))
    return told


async def hammer(server: Running, job: str, count: int) -> list[int]:
    """Ask `count` times, eight at once; returns the bytes that the server holds, tenth by tenth."""
    held, server_process = [], psutil.Process(server.process.pid)
    clients = [Client(server) for _ in range(8)]
    for client in clients:
        await client.connect()

    async def turn(client: Client, times: int) -> None:
        for _ in range(times):
            assert await client.status(f"/v1/jobs/{job}") == 200

    for _ in range(10):
        await asyncio.gather(*(turn(client, count // 80) for client in clients))
        held.append(server_process.memory_info().rss)
    return held


def upload(server: Running, sent: Synchronized[int]) -> None:
    """Send files of 50 MB, four at a time; in a process of its own, so that it is only the server that it holds up."""

    def send(number: int) -> None:
        data = random.Random(number).randbytes(UPLOAD_BYTES)
        reply = server.call("PUT", f"/v1/blobs/{hashlib.sha256(data).hexdigest()}", data=data)
        assert reply.status_code == 201, reply.text
        with sent.get_lock():
            sent.value += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(UPLOADS)))


def play_worker(data: Path) -> None:
    """Claim the one job and report as the worker does, computing nothing."""
    jobs = Jobs(DataFolder(data).queue)
    roster = Roster(jobs.database)
    roster.sign_on("played", "cpu", os.getpid(), "a GPU that sleeps", ("puppet",))
    while (job := jobs.claim("played")) is None:
        time.sleep(0.05)
    step = 0
    while True:
        step += 1
        now = Progress(stage="denoising", segment=1, segments=4, step=step, steps=100_000, progress=step / 1e6)
        jobs.report(job.id, "played", now)
        for _ in range(2):  # the worker looks whether it is to stop, every tenth of a second
            jobs.standing(job.id, "played")
            time.sleep(STEP_SECONDS / 2)
        if step % 4 == 0:
            roster.beat("played", Condition(memory=1, free=1, loaded=""))


@contextmanager
def stage(folder: Path) -> Iterator[tuple[Running, str]]:
    """A server whose one job is in the hands of the played worker; the real one stands still."""
    with serving(folder / "server") as server:
        psutil.Process(server.worker()).suspend()
        export = write_export(folder, frames=1)
        shot = Shot.loads((export / SHOT_FILE).read_bytes())
        server.upload(export, shot)
        played = subprocess.Popen([sys.executable, __file__, "--play", server.data], env=os.environ)
        try:
            job = server.call("POST", "/v1/jobs", data=shot.dumps().encode()).json()["id"]
            server.wait(job, lambda now: now.step > 0)
            yield server, job
        finally:
            played.kill()
            played.wait()
            psutil.Process(server.worker()).resume()


def measure(seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="load-") as folder, stage(Path(folder)) as (server, job):
        process = psutil.Process(server.process.pid)
        for what, uploading in (("polls and events", False), ("the same with uploads", True)):
            sent = multiprocessing.Value("i", 0)
            sender = multiprocessing.Process(target=upload, args=(server, sent))
            before, began = sum(process.cpu_times()[:2]), time.monotonic()
            if uploading:
                sender.start()
            told = asyncio.run(look(server, job, seconds))
            cores = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)
            if uploading:
                sender.join()
            waits = " | ".join(f"{told.percentile(share) * 1e3:.0f}" for share in (0.5, 0.99, 1.0))
            say(
                f"| {what} | {len(told.seconds)} | {waits} | {told.events} | {len(told.errors)} | {cores:.2f} "
                f"| {sent.value} |"
            )
            for error in sorted(set(told.errors))[:5]:
                say(error)
        asyncio.run(hammer(server, job, 2_000))  # what is made once is made
        held = asyncio.run(hammer(server, job, REQUESTS))
        growth = (max(held) - held[0]) / held[0]
        say(f"\nmemory over {REQUESTS} requests: {held[0] / 1e6:.1f} to {max(held) / 1e6:.1f} MB, {growth:+.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        play_worker(arguments.play)
    load = os.getloadavg()[0]
    say("| with | polls | median ms | p99 ms | worst ms | events | errors | server's cores | uploads |")
    say("|---|---|---|---|---|---|---|---|---|")
    measure(60 * arguments.minutes)
    say(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} processors")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
