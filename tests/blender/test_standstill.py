"""Real renders beside works that talk to a real server: nothing of the works runs meanwhile, and nothing crashes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import bpy
import pytest
from serving import PATIENCE, ROOT, Served, wait_for

from wan_animate_blender import shelf, stills
from wan_animate_blender.client import Server
from wan_animate_blender.session import Cancelled, Session, Step, Work
from wan_animate_blender.standstill import IS_NEEDED, renders

STILLS = 6


class Asking:
    """A work that asks a server again and again, and when Python ran on its thread."""

    def __init__(self, server: Server) -> None:
        self.asked, self.ran = 0, list[float]()
        self._server = server

    def __call__(self, cancelled: Cancelled) -> Work[str]:
        while not cancelled.is_set():
            self._server.health()
            self.asked += 1
            yield Step(stage="asking", progress=0.0)
        return ""

    def note(self, frame: FrameType, event: str, of: Any) -> None:
        """Called by Python at every call and return."""
        self.ran.append(time.monotonic())


@pytest.fixture
def asking(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """Works on a session of its own; the renders are as patient with it as a busy machine needs."""
    monkeypatch.setattr(renders, "_patience", PATIENCE)
    asking, session = Asking(Server(served.url, served.token)), Session()
    threading.setprofile(asking.note)
    session.start("asking", asking)
    threading.setprofile(None)
    wait_for(lambda: asking.asked)
    yield asking
    session.cancel("asking")
    assert [news.result for news in session.wait("asking")][-1] == ""
    session.close()


@pytest.fixture
def rendered() -> Iterator[list[float]]:
    """When renders began and ended, in turn."""
    times: list[float] = []

    def note(*_: object) -> None:
        times.append(time.monotonic())

    handlers = bpy.app.handlers.render_pre, bpy.app.handlers.render_post
    for when in handlers:
        when.append(note)
    yield times
    for when in handlers:
        when.remove(note)


@pytest.mark.skipif(not IS_NEEDED, reason="this Python knows each thread's own state")
def test_no_python_of_a_work_runs_while_a_still_is_rendered(
    asking: Asking, rendered: list[float], camera: Any, tmp_path: Path
) -> None:
    asked = []
    with stills.new_scene() as scene:
        scene.camera = camera
        stills.prepare(scene, 64, 48, "RGB")
        stills.trace(scene, samples=8)
        for number in range(STILLS):
            stills.write(scene, tmp_path / f"{number}.png")
            asked.append(asking.asked)
    assert len(rendered) == 2 * STILLS
    for began, ended in zip(rendered[::2], rendered[1::2], strict=True):
        assert not [when for when in asking.ran if began <= when <= ended]
    assert any(when < rendered[0] for when in asking.ran)
    assert asked == sorted(set(asked)), "the work goes on between two stills"


@pytest.mark.skipif(not IS_NEEDED, reason="this Python knows each thread's own state")
def test_takes_are_not_looked_for_while_a_still_is_rendered(tmp_path: Path) -> None:
    with renders.hold():
        shelf.look_again(tmp_path)
        wait_for(lambda: any(worker.stands for worker in list(renders.workers.values())))
        assert shelf.is_reading()
    wait_for(lambda: not shelf.is_reading())
    assert shelf.known(tmp_path) == ()
    shelf.close()


BESIDE = """
import os, sys, threading
from pathlib import Path
import bpy
from wan_animate_blender import stills
from wan_animate_blender.session import Session, Step

def busy(cancelled):
    kept = {}
    while not cancelled.is_set():
        for number in range(1000):
            kept[number % 100] = [str(number), {"number": number}]
        yield Step(stage="busy", progress=0.0)
    return ""

bpy.ops.wm.read_factory_settings(use_empty=True)
session = Session()
session.start("busy", busy)
with stills.new_scene() as scene:
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(scene.camera)
    stills.prepare(scene, 16, 16, "RGB")
    stills.trace(scene, samples=1)
    for _ in range(60):
        stills.write(scene, Path(sys.argv[1], "still.png"))
session.cancel("busy")
steps = sum(bool(news.step) for news in session.wait("busy"))
Path(sys.argv[1], "steps").write_text(str(steps))
os._exit(0)
"""
"""Without a standstill Blender 4.2 and 4.5 crash here at one render in sixteen."""


def test_blender_survives_many_stills_beside_a_work_that_never_rests(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", BESIDE, str(tmp_path)], env=environment, check=True, timeout=PATIENCE)
    assert int((tmp_path / "steps").read_text()) >= 60
