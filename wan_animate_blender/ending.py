"""How a command comes to its end before its time: by a signal, or because nobody wants it any more. No shots here."""

from __future__ import annotations

import _thread
import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, Self

import bpy

from .background import PREFIX
from .session import Cancelled
from .standstill import Worker, renders
from .wire import BadInput, ExitCode


class Ended(KeyboardInterrupt):
    """A signal has asked for the end. Never a `SystemExit`: in a callback, Blender would take it at its word."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED


class Ending:
    """What a signal asks for, raised where it arrives, and again by `check`.

    Without it Blender would die at once and leave half an export behind; and what is raised while Blender is in a
    callback of its own is lost.
    """

    def __init__(self) -> None:
        self._ended: Ended | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, _handler(handler))

    def check(self) -> None:
        """Raise `Ended` when a signal has asked for it."""
        if self._ended:
            raise self._ended

    def _end(self, number: int, _: object) -> NoReturn:
        for each in self._before:
            signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the clearing up
        self._ended = Ended(number)
        raise self._ended


def _handler(before: Any) -> Any:
    """What a signal did before: None stands for a handler that Blender set before Python was there, which nobody can
    have back."""
    return signal.SIG_DFL if before is None else before


@contextlib.contextmanager
def interruptible(cancelled: Cancelled) -> Iterator[None]:
    """Let the first Ctrl-C set `cancelled`, so that the server is told, and the second one end this at once."""

    def ask(*_: object) -> None:
        cancelled.set()
        signal.signal(signal.SIGINT, before)

    before = _handler(signal.signal(signal.SIGINT, ask))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def while_wanted() -> Iterator[None]:
    """Over a temporary copy: end when the standard input does, for then the Blender that wanted this is gone.

    The copy's folder goes away with it. Raises `BadInput` over any other file.
    """
    folder = Path(bpy.data.filepath).parent
    if not folder.name.startswith(PREFIX):
        raise BadInput(f"{bpy.data.filepath} is no temporary copy; leave --temporary to the panel")
    alone = threading.Event()

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)
        with Worker(renders):
            alone.set()
            _thread.interrupt_main(signal.SIGTERM)

    threading.Thread(target=watch, name="wan-animate-wanted", daemon=True).start()
    try:
        yield
    finally:
        if alone.is_set():
            shutil.rmtree(folder, ignore_errors=True)
