"""A render handed over to the session's private server and followed there. Knows no model, and loads none."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import requests

from wan_animate_blender.wire import (
    TAKES,
    WIRE_HEADER,
    WIRE_VERSION,
    BadInput,
    ErrorReply,
    ExitCode,
    Handed,
    Job,
    JobState,
    Problem,
    TryElsewhere,
    Unavailable,
    WireError,
)

from .progress import Progress
from .ready import VARIABLE, Ready
from .resumption import Resumption
from .shot import read
from .telling import Steps

_LOOK_SECONDS = 0.3
_ANSWER_SECONDS = 30.0
_CANCEL_SECONDS = 8.0
"""That a job which is told to stop gets for writing down what it has."""

_GONE_SECONDS = 15.0
"""In which workers end whose server is gone (docs/server.md)."""

_KINDS: dict[int, type[Problem]] = {
    ExitCode.BAD_INPUT: BadInput, ExitCode.UNAVAILABLE: Unavailable, ExitCode.BUG: Problem,
}  # fmt: skip
"""By what a job failed; all else is worth another machine."""


def handed_over(shot: Path, device: str, here: Callable[[], Steps]) -> Steps:
    """The render of the export `shot` by the session's private server, by `here` where there is none."""
    file = os.environ.get(VARIABLE)
    return through(Path(file), shot, device, here) if file else here()


class Gone(Exception):
    """The private server does not answer, or does not take the shot: it is rendered here."""


def through(file: Path, shot: Path, device: str, here: Callable[[], Steps]) -> Steps:
    """The render of the export `shot` by the server whose ready file is `file`; by `here` where that cannot be.

    Its take lies beside the export, as `here` makes it. Raises the job's own failure. Whoever closes it has the job
    stopped, which keeps what is finished.
    """
    try:
        return (yield from _Followed.begun(file, shot.resolve(), device).follow())
    except Gone as error:
        yield Progress(stage="loading the model", message=f"{error}; rendering here")
    return (yield from here())


@dataclass
class _Followed:
    """One job on a private server."""

    ready: Ready
    http: requests.Session
    shot: Path
    job: Job

    @classmethod
    def begun(cls, file: Path, shot: Path, device: str) -> _Followed:
        """Raises `Gone`."""
        if (ready := Ready.read(file)) is None or ready.process(file.resolve()) is None:
            raise Gone(f"the private server of {file} is not there")
        if not any(name.partition(":")[0] == device for name in ready.devices):
            raise Gone(f"the private server renders on {', '.join(ready.devices)} and not on {device}")
        http = requests.Session()
        http.trust_env = False  # a proxy set for the internet is not for this machine
        http.headers.update({"Authorization": f"Bearer {ready.token}", WIRE_HEADER: str(WIRE_VERSION)})
        said = _asked(http, "POST", f"{ready.url}/v1/jobs", Handed(folder=str(shot)).dumps())
        return cls(ready, http, shot, Job.from_json(said))

    def follow(self) -> Generator[Progress, None, Path]:
        """Raises `Gone` when the server ends meanwhile, its workers being gone, too."""
        workers, message = self._workers(), ""
        try:
            while not self.job.state.is_final:
                now = self._now()
                yield _told(now, "" if now.message == message else now.message)
                workers, message, self.job = workers or self._workers(), now.message, now
                time.sleep(_LOOK_SECONDS)
        except Gone:
            _wait_for_the_end_of(workers)
            raise
        except BaseException:  # this command is told to stop, and so is the job
            self._cancel()
            raise
        return self._ended()

    def _ended(self) -> Path:
        if self.job.state is JobState.DONE:
            made = Resumption(self.shot.parent / TAKES, read(self.shot), lambda: None).complete()
            if made:
                return made
        if self.job.state is JobState.CANCELLED:
            raise TryElsewhere(f"the render of {self.shot} was cancelled on the private server; start it again")
        raise _KINDS.get(self.job.code, TryElsewhere)(self.job.message or f"the take of {self.shot} is gone again")

    def _now(self) -> Job:
        return Job.from_json(_asked(self.http, "GET", f"{self.ready.url}/v1/jobs/{self.job.id}"))

    def _workers(self) -> tuple[int, ...]:
        return tuple(device["pid"] for device in _asked(self.http, "GET", f"{self.ready.url}/v1/devices"))

    def _cancel(self) -> None:
        """Ask the job to stop, and wait until it has."""
        end = time.monotonic() + _CANCEL_SECONDS
        with contextlib.suppress(Gone):
            _asked(self.http, "DELETE", f"{self.ready.url}/v1/jobs/{self.job.id}")
            while not self._now().state.is_final and time.monotonic() < end:
                time.sleep(0.1)


def _asked(http: requests.Session, method: str, url: str, body: str | None = None) -> Any:
    """The answer. Raises `Gone` for none, and for a refusal."""
    data, headers = body and body.encode(), {"Content-Type": "application/json"} if body else None
    try:
        reply = http.request(method, url, data=data, headers=headers, timeout=_ANSWER_SECONDS)
        if reply.ok:
            return reply.json()
        sentence = ErrorReply.loads(reply.content).message
    except (requests.RequestException, json.JSONDecodeError, WireError) as error:
        raise Gone(f"the private server does not answer ({type(error).__name__})") from error
    raise Gone(f"the private server refuses: {sentence}")


def _told(job: Job, message: str) -> Progress:
    """How far a job is, as a render here would say it."""
    shared = {each.name for each in fields(Progress)} & {each.name for each in fields(Job)} - {"preview"}
    said = {name: getattr(job, name) for name in shared} | {"message": message}
    return Progress(**said | {"stage": job.stage or job.state.value})


def _wait_for_the_end_of(workers: tuple[int, ...]) -> None:
    """Two must not render one take, and the worker of a server that died still looks after its own."""
    end = time.monotonic() + _GONE_SECONDS
    while any(map(_lives, workers)) and time.monotonic() < end:
        time.sleep(0.1)


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
