"""Loaded by every Python with this folder on its path: a render waits where a file says, so that no test races with it.

`serving.Hold` writes the file. Only renders are held: between two of its checks a render stands still as in a step that
takes very long, and everything that asks it to stop is heard.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

FILE = Path(os.environ.get("WAN_ANIMATE_TESTS_HOLD", "nowhere"))
"""`{"frames": F, "step": S}`: renders wait once they have told of F finished frames and of S steps of a segment."""


def is_held(now: Any) -> bool:
    """Whether a render that has told `now` is to wait."""
    try:
        wanted = json.loads(FILE.read_text())
    except FileNotFoundError:
        return False
    return now is not None and now.progress < 1 and now.frames >= wanted["frames"] and now.step >= wanted["step"]


def hold_renders() -> None:
    """Put the wait into the one render, before anybody has taken hold of it."""
    from wan_animate_server import render as room  # only here: it loads torch

    render = room.render

    def held(*given: Any, check: Callable[[], None], **more: Any) -> Generator[Any, None, Any]:
        told: list[Any] = [None]

        def patient() -> None:
            check()
            while is_held(told[0]):
                time.sleep(0.01)
                check()

        steps = render(*given, check=patient, **more)
        while True:
            try:
                told[0] = next(steps)
            except StopIteration as end:
                return end.value
            yield told[0]

    room.render = held


if {"wan_animate_server.worker", "render"} & set(sys.orig_argv):
    hold_renders()
