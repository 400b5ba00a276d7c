"""The warm model of one session on a farm: a server that is started, left alone and ended. Knows no jobs' content.

It listens on this machine only, renders shots where they lie, and is nobody's who cannot read its ready file. It goes
when it is told to, when nobody has wanted anything for long, and when whoever runs the session has ended; its data
folder goes with it. Nothing of it holds on to what the starting command's output goes to.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from wan_animate_blender.wire import BadInput, Dialect, ExitCode, Lines, Problem, Unavailable

from . import journal, starter
from .jobs import Jobs
from .ready import MODULE, VARIABLE, Ready
from .starter import Starter
from .supervisor import TOKEN_VARIABLE, Limits

log = logging.getLogger(__name__)

IDLE_SECONDS = 900.0

_LOOK_SECONDS = 0.5
_START_SECONDS, _STOP_SECONDS = 300.0, 20.0


def start_or_stop(is_over: bool, file: Path | None, devices: Sequence[str], roots: Sequence[Path]) -> None:
    """What the command line asks for. Raises `BadInput` without a ready file, by which such a server is known."""
    if file is None:
        raise BadInput("a private server is known by its ready file; give one with --ready-file")
    if is_over:
        stop(file)
    else:
        start(file, devices, roots)


def start(file: Path, devices: Sequence[str], roots: Sequence[Path]) -> None:
    """Start a server, unless that of `file` lives, and return when it answers; tells the session where it is.

    Raises what keeps it from answering.
    """
    file = file.resolve()
    found = Ready.read(file)
    if not (found and found.process(file)):
        file.unlink(missing_ok=True)
        _begin(file, devices, roots)
    Lines(Dialect.OPENJD, _say).give(VARIABLE, str(file))


def stop(file: Path) -> None:
    """End the server of `file` and return when it is gone; what it was rendering is kept. One that is gone is fine."""
    file = file.resolve()
    found = Ready.read(file)
    if found and (process := found.process(file)):
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
    file.unlink(missing_ok=True)


def _begin(file: Path, devices: Sequence[str], roots: Sequence[Path]) -> None:
    owner = starter.of_session()
    command = [sys.executable, "-m", MODULE, "--ready-file", str(file), "--starter", str(owner.pid if owner else 0)]
    command += [f"--device={device}" for device in devices] + [f"--root={root.resolve()}" for root in roots]
    apart = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    notes = file.with_name(f"{file.name}.log")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with notes.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                creationflags=apart,
            )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"no server can be started beside {file} ({error.strerror or error})") from error
    try:
        _wait_for(file, process, notes)
    except BaseException:  # also when this command is told to stop: nothing is left behind
        process.terminate()
        raise


def _wait_for(file: Path, process: subprocess.Popen[bytes], notes: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while Ready.read(file) is None:
        if process.poll() is not None:
            said = notes.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise Unavailable(f"the private server ended at once: {said[-1] if said else 'it said nothing'}")
        if time.monotonic() > end:
            raise Unavailable(f"the private server does not answer after {_START_SECONDS:.0f} s; its log is {notes}")
        time.sleep(0.05)


# --- the server's process -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Session:
    """What a private server lives for."""

    file: Path
    ready: Path
    """What the server itself writes when it answers."""
    token: str
    devices: tuple[str, ...]
    starter: Starter | None

    def ends(self, jobs: Jobs) -> None:
        """Tell where the server is as soon as it answers, and return when it is wanted no more."""
        while not self.ready.exists():
            time.sleep(0.02)
        url = json.loads(self.ready.read_bytes())["url"]
        Ready(url=url, token=self.token, pid=os.getpid(), devices=self.devices).write(self.file)
        wanted = time.monotonic()
        while time.monotonic() - wanted < IDLE_SECONDS:
            time.sleep(_LOOK_SECONDS)
            if self.starter and not self.starter.lives:
                log.info("whoever ran the session has ended")
                return
            queue = jobs.queue()
            if queue.waiting or queue.running:
                wanted = time.monotonic()
        log.info("nobody has wanted anything for %.0f s", IDLE_SECONDS)


def main() -> int:
    """The process that `start` starts."""
    from .listening import Place  # only here: who starts or stops such a server needs no HTTP
    from .retention import Policy
    from .serve import serve

    parser = argparse.ArgumentParser(prog=MODULE, description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--starter", type=int, required=True)
    parser.add_argument("--device", action="append", required=True)
    parser.add_argument("--root", type=Path, action="append", default=[])
    given = parser.parse_args()
    owner = Starter.of(given.starter)
    journal.keep(as_json=False)
    signal.signal(signal.SIGTERM, _stop)
    data = Path(tempfile.mkdtemp(prefix="wan-animate-"))
    os.environ[TOKEN_VARIABLE] = token = secrets.token_urlsafe(32)
    session = _Session(
        file=given.ready_file, ready=data / "ready.json", token=token, devices=tuple(given.device), starter=owner
    )
    try:
        if given.starter and owner is None:
            return ExitCode.DONE  # the session was over before this began
        serve(
            place=Place("127.0.0.1", 0, None, None, None, ()), data=data / "data", token_file=data / "token",
            ready_file=session.ready, devices=given.device, roots=given.root, until=session.ends, limits=Limits(),
            log_requests=False, policy=Policy(None, None), in_place=True,
        )  # fmt: skip
    except Problem as error:
        log.error("%s", error)
        return error.exit_code
    finally:
        given.ready_file.unlink(missing_ok=True)
        shutil.rmtree(data, ignore_errors=True)
    return ExitCode.DONE


def _stop(*_: object) -> None:
    raise SystemExit(ExitCode.TERMINATED)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
