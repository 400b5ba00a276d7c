"""The server of this machine, started and stopped by buttons in the preferences."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import PREFERENCES, until_done
from serving import PYTHON, ROOT, reserved_port, wait_for

from wan_animate_blender import daemon, desk, hosting
from wan_animate_blender.client import is_loopback

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The preferences of a person whose server is installed, with everything it keeps below `tmp_path`."""
    script = tmp_path / "wan-animate"
    path = os.pathsep.join((str(ROOT), str(ROOT / "server")))
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec "{os.environ[PYTHON]}" -m wan_animate_server "$@"\n')
    script.chmod(0o755)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("WAN_ANIMATE_TOKEN", raising=False)
    monkeypatch.setattr(hosting, "_folder", lambda: tmp_path / "config")
    ours = bpy.context.preferences.addons[PREFERENCES].preferences
    with reserved_port() as port:
        ours.executable, ours.url, ours.token = str(script), f"http://127.0.0.1:{port}", ""
        yield ours
        if found := daemon.running(tmp_path / "config"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGTERM)
            wait_for(lambda: not daemon.running(tmp_path / "config"))


def started() -> str:
    assert bpy.ops.wan_animate.start_server() == {"FINISHED"}
    until_done(desk.SERVER)
    news = desk.latest[desk.SERVER]
    return str(news.problem or news.result)


def lives(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


def test_one_button_starts_a_server_that_can_be_used_at_once(here: Any, tmp_path: Path) -> None:
    url = here.url
    assert started() == f"The server runs at {url}, and goes on when Blender is quit"
    assert (here.url, is_loopback(here.url)) == (url, True)
    assert here.token == (tmp_path / "XDG_CONFIG_HOME" / "wan-animate" / "token").read_text()
    bpy.ops.wan_animate.connect()
    until_done(desk.CONNECTION)
    assert (desk.latest[desk.CONNECTION].result or "").startswith("Connected: version ")
    assert not bpy.ops.wan_animate.start_server.poll()


def test_it_outlives_blender_and_another_button_stops_it(here: Any, tmp_path: Path) -> None:
    started()
    found = daemon.running(tmp_path / "config")
    assert found
    desk.unregister()
    desk.register()
    assert lives(found.pid)
    assert os.getsid(found.pid) != os.getsid(0)
    assert bpy.ops.wan_animate.stop_server() == {"FINISHED"}
    until_done(desk.SERVER)
    assert "The server has ended" in (desk.latest[desk.SERVER].result or "")
    assert not lives(found.pid)
    assert not (tmp_path / "config" / daemon.READY).exists()
    assert not bpy.ops.wan_animate.stop_server.poll()


def test_a_process_that_only_has_the_number_of_a_server_is_not_ended(here: Any, tmp_path: Path) -> None:
    """The server was killed, and the machine gave its number to somebody else."""
    started()
    found = daemon.running(tmp_path / "config")
    assert found
    ready = tmp_path / "config" / daemon.READY
    ready.write_text(ready.read_text().replace(str(found.pid), str(os.getpid())))
    bpy.ops.wan_animate.stop_server()
    until_done(desk.SERVER)
    assert "was not started from here" in str(desk.latest[desk.SERVER].problem)
    assert lives(found.pid)
    ready.write_text(ready.read_text().replace(str(os.getpid()), str(found.pid)))


def test_a_killed_server_does_not_stand_in_the_way_of_the_next(here: Any, tmp_path: Path) -> None:
    started()
    found = daemon.running(tmp_path / "config")
    assert found
    os.kill(found.pid, signal.SIGKILL)
    wait_for(lambda: not daemon.running(tmp_path / "config"))
    assert bpy.ops.wan_animate.start_server.poll()
    assert "The server runs at" in started()


def test_a_server_that_does_not_start_says_why(here: Any) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(here.url.rsplit(":")[-1])))
        taken.listen()
        said = started()
    assert "the server ended at once: " in said
    assert "cannot be used" in said
    assert bpy.ops.wan_animate.start_server.poll()


def test_a_machine_without_the_server_is_told_what_to_do(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(daemon, "BESIDE_PATH", ())
    here.executable = ""
    with pytest.raises(RuntimeError, match="no 'wan-animate' is found on this machine; install the server"):
        bpy.ops.wan_animate.start_server()
    here.executable = str(tmp_path / "gone")
    with pytest.raises(RuntimeError, match="gone cannot be run; choose the file"):
        bpy.ops.wan_animate.start_server()


def test_the_server_is_found_where_commands_are(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(here.executable, tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert daemon.find("") == str(tmp_path / "bin" / "wan-animate")
