"""Processes that never outlive the demo: each leads a group of its own, and the whole group is ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

TOKEN_VARIABLE = "WAN_ANIMATE_TOKEN"
"""A person's own; the demo's server has a token of its own."""

Child = subprocess.Popen[str]
Said = dict[str, Any]
"""One JSON line of a child: its "stage", mostly its "progress", when it failed a "message"."""


@contextmanager
def child(command: list[str], output: IO[str] | int, variables: Mapping[str, str], grace: float) -> Iterator[Child]:
    """A process whose whole group is gone when the block is left, however it is left.

    It is asked to stop as by Ctrl-C, and has `grace` seconds for that. Its standard input is a pipe into which nobody
    writes: it ends when this process does, even by SIGKILL.
    """
    environment = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE} | dict(variables)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment,
        encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with _undisturbed():
            _end(process, grace)
            if process.stdin:
                process.stdin.close()


def _end(process: Child, grace: float) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    with contextlib.suppress(ProcessLookupError):  # nobody of the group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C stop the tidying up half way."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def said(process: Child, log: IO[str]) -> Iterator[Said]:
    """The JSON lines of `process` until it closes its output; everything it prints goes to `log`."""
    for line in process.stdout or ():
        log.write(line)
        log.flush()
        # Blender's own buffer may end in the middle of a line of its own, right before one of ours
        _, brace, rest = line.partition('{"stage"')
        if brace:
            yield json.loads(brace + rest)
