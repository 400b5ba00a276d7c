"""A shot sent by the add-on's own client."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from wan_animate_blender.client import Server
from wan_animate_blender.wire import SHOT_FILE, Job, Shot

from ..serving import Running

T = TypeVar("T")


def ended(parts: Generator[float, None, T]) -> T:
    """Do all of what the client does in parts; returns what it returns."""
    while True:
        try:
            next(parts)
        except StopIteration as stop:
            result: T = stop.value
            return result


def read(export: Path) -> Shot:
    return Shot.loads((export / SHOT_FILE).read_bytes())


def sent(running: Running, export: Path) -> Job:
    return ended(Server(running.url, running.token).submit(read(export), export))
