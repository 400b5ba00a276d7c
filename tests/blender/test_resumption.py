"""Jobs that outlive undo, the file, the window and the server, through a real server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import PREFERENCES, draw, tick_until, until_done, use
from serving import PATIENCE, Served, reserved_port, serving

from wan_animate_blender import desk, identity, ledger, panels, preferences, resumption, timeline
from wan_animate_blender.delivery import AWAY

pytestmark = pytest.mark.usefixtures("addon")

TAKE = "SH010 v001 character"


def send(plate: Any) -> str:
    """Generate, and be Blender's timer until the server has the job; the strip's uid.

    On a fast machine the take is there by then, unless the server holds its jobs.
    """
    assert bpy.ops.wan_animate.generate("EXEC_DEFAULT", True) == {"FINISHED"}
    uid = plate.wan_animate.uid
    tick_until(lambda: ledger.entries(uid))
    return uid


def close() -> None:
    """What becomes of the works when Blender is quit."""
    desk.unregister()
    desk.register()


def reopen() -> None:
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)


def resume(uid: str) -> None:
    """What Blender's timer does after a file was opened, and then until everything is done."""
    assert bpy.app.timers.is_registered(resumption.resume)
    bpy.app.timers.unregister(resumption.resume)
    resumption.resume()
    until_done(uid)


def strips() -> dict[str, Any]:
    return {strip.name: strip for strip in timeline.strips(bpy.context.scene.sequence_editor)}


def takes() -> list[str]:
    return sorted(set(strips()) - {"plate", "matte"})


# --- saving, loading, restarting ------------------------------------------------------------------


def test_a_job_is_watched_again_after_loading_and_its_take_imported(
    plate: Any, served: Served, background: Path
) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        bpy.ops.wm.save_mainfile()
        close()
        reopen()
        (entry,) = ledger.entries(uid).values()
        assert (entry.server, entry.shot, entry.is_over) == (served.url, "SH010", False)
        resumption.resume()
        assert desk.is_busy(uid)
        tick_until(lambda: (news := desk.latest.get(uid)) and news.step and news.step.job)
        assert any("queued" in line for line in draw(panels.WAN_ANIMATE_PT_strip))
    until_done(uid)
    assert takes() == [TAKE]
    assert timeline.frame_range(strips()[TAKE]) == (12, 17)
    assert [entry.is_over for entry in ledger.entries(uid).values()] == [True]


def test_a_job_that_the_file_does_not_know_of_is_found_at_the_server(
    edit: Any, plate: Any, served: Served, background: Path
) -> None:
    """Sent after the last save, by a Blender that was then killed."""
    use(served)
    identity.mark(edit, plate)
    bpy.ops.wm.save_mainfile()
    with served.paused():
        uid = send(plate)
        close()
    reopen()
    assert ledger.entries(uid) == {}
    resume(uid)
    assert takes() == [TAKE]


RESTARTED = """
import os, sys, time, bpy, addon_utils
addon_utils.enable("wan_animate_blender", default_set=True)
from wan_animate_blender import desk, resumption
bpy.context.preferences.addons["wan_animate_blender"].preferences.url = sys.argv[2]
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
resumption.resume()
while desk.tick() is not None:
    time.sleep(0.02)
bpy.ops.wm.save_mainfile()
sys.stdout.flush()
os._exit(0)
"""


def restart(served: Served) -> None:
    """Another Blender opens the file, waits for its jobs and saves it."""
    words = [sys.executable, "-c", RESTARTED, bpy.data.filepath, served.url]
    environment = {**os.environ, "WAN_ANIMATE_TOKEN": served.token}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served.token not in done.stdout + done.stderr


def test_another_blender_with_the_same_file_imports_the_take(
    plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        bpy.ops.wm.save_mainfile()
        close()
    restart(served)
    reopen()
    assert takes() == [TAKE]
    assert [entry.is_over for entry in ledger.entries(uid).values()] == [True]
    assert [folder.name for folder in (tmp_path / "wan_animate" / "SH010" / "takes").iterdir()] == ["v001"]


def test_two_blenders_with_one_file_share_the_folder_of_the_take(
    plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        bpy.ops.wm.save_mainfile()
    restart(served)
    until_done(uid)
    assert takes() == [TAKE]
    assert [folder.name for folder in (tmp_path / "wan_animate" / "SH010" / "takes").iterdir()] == ["v001"]


# --- never twice ----------------------------------------------------------------------------------


@pytest.fixture
def imported(plate: Any, served: Served, background: Path) -> str:
    """The uid of a strip whose take has been imported."""
    use(served)
    bpy.ops.ed.undo_push(message="without a window this is what makes Blender keep steps at all")
    uid = send(plate)
    until_done(uid)
    assert takes() == [TAKE]
    return uid


def test_a_take_is_not_imported_again_when_the_file_is_opened_again(imported: str) -> None:
    bpy.ops.wm.save_mainfile()
    reopen()
    resume(imported)
    assert takes() == [TAKE]


def test_a_take_that_somebody_removed_does_not_come_back(imported: str) -> None:
    timeline.strips(bpy.context.scene.sequence_editor).remove(strips()[TAKE])
    bpy.ops.wm.save_mainfile()
    reopen()
    resume(imported)
    assert takes() == []


def test_an_import_that_was_undone_does_not_come_back(imported: str) -> None:
    bpy.ops.ed.undo()
    assert takes() == []
    bpy.ops.wm.save_mainfile()
    reopen()
    resume(imported)
    assert takes() == []


def test_an_import_that_was_never_saved_comes_back_from_the_folder_that_it_has(imported: str, tmp_path: Path) -> None:
    folder = tmp_path / "wan_animate" / "SH010" / "takes"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    timeline.strips(bpy.context.scene.sequence_editor).remove(strips()[TAKE])
    strips()["plate"].wan_animate.jobs.clear()
    bpy.ops.wm.save_mainfile()
    reopen()
    resume(imported)
    assert takes() == [TAKE]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")} == before


# --- undo -----------------------------------------------------------------------------------------


def test_undo_after_generate_does_not_orphan_its_job(plate: Any, served: Served, background: Path) -> None:
    use(served)
    bpy.ops.ed.undo_push(message="without a window this is what makes Blender keep steps at all")
    with served.paused():
        uid = send(plate)
        bpy.ops.ed.undo()
        assert strips()["plate"].wan_animate.uid == uid
        assert len(ledger.entries(uid)) == 1
        bpy.ops.ed.redo()
        assert len(ledger.entries(uid)) == 1
        bpy.ops.ed.undo()
    until_done(uid)
    assert takes() == [TAKE]
    assert strips()["plate"].wan_animate.shot == "SH010"


def test_a_split_strip_does_not_wait_for_the_jobs_of_the_other(
    edit: Any, plate: Any, served: Served, background: Path
) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        right = plate.split(frame=15, split_method="SOFT")
        own = identity.mark(edit, right)
        assert ledger.entries(own) == {}
        assert len(ledger.entries(uid)) == 1
    until_done(uid)


def move(plate: Any) -> None:
    start = "content_start" if hasattr(plate, "content_start") else "frame_start"
    setattr(plate, start, getattr(plate, start) + 100)


def wrap(plate: Any) -> None:
    plate.move_to_meta(timeline.strips(plate.id_data.sequence_editor).new_meta(name="meta", channel=5, frame_start=10))


@pytest.mark.parametrize(("change", "span", "way"), [
    (lambda plate: plate.split(frame=15, split_method="SOFT"), (12, 15), [TAKE]),
    (lambda plate: plate.id_data.copy(), (12, 17), [TAKE]),
    (move, (112, 117), [TAKE]),
    (wrap, (12, 17), ["meta", TAKE]),
    (lambda plate: timeline.set_frame_range(plate, 13, 16), (13, 16), [TAKE]),
], ids=["split", "copied with its scene", "moved", "wrapped in a meta", "trimmed"])  # fmt: skip
def test_a_take_comes_to_where_its_strip_is_now_whatever_became_of_it_since_it_was_sent(
    edit: Any, plate: Any, served: Served, background: Path, change: Any, span: Any, way: list[str]
) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        change(plate)
    until_done(uid)
    assert [one.name for one in timeline.path(edit.sequence_editor, TAKE)] == way
    assert timeline.frame_range(timeline.path(edit.sequence_editor, TAKE)[-1]) == span
    everything = timeline.strips_all(edit.sequence_editor)
    assert [one.name for one in everything if one.wan_animate.take] == [TAKE]


# --- the server -----------------------------------------------------------------------------------


def test_a_server_that_is_killed_and_started_again_is_waited_for(plate: Any, background: Path, tmp_path: Path) -> None:
    with reserved_port() as port, serving(tmp_path / "server", port) as served:
        use(served)
        served.tell_queue("pause")
        uid = send(plate)
        bpy.ops.wm.save_mainfile()
        served.process.kill()
        served.process.wait()
        close()
        reopen()
        resumption.resume()
        tick_until(lambda: (news := desk.latest.get(uid)) and news.step and news.step.stage == AWAY)
        assert any(AWAY in line for line in draw(panels.WAN_ANIMATE_PT_strip))
        with serving(tmp_path / "server", port) as again:
            again.tell_queue("resume")
            until_done(uid)
    assert takes() == [TAKE]


def test_a_job_that_was_cancelled_elsewhere_is_not_waited_for_again(
    plate: Any, served: Served, background: Path
) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        (job,) = ledger.entries(uid)
        preferences.chosen_server().cancel(job)
    until_done(uid)
    assert "was cancelled" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))
    assert ledger.waiting() == {}
    bpy.ops.wm.save_mainfile()
    reopen()
    resume(uid)
    assert takes() == []


def test_nobody_else_is_asked_because_a_file_says_so(edit: Any, plate: Any, served: Served, background: Path) -> None:
    """A file may come from anywhere, and the token is the preferences' server's."""
    use(served)
    with served.paused():
        uid = send(plate)
        close()
    plate.wan_animate.jobs[0].server = "http://127.0.0.1:9"
    resumption.resume()
    assert not desk.is_busy(uid)
    said = " ".join(draw(panels.WAN_ANIMATE_PT_strip))
    assert "jobs of this strip are at http://127.0.0.1:9" in said
    until_done(uid)
    assert takes() == []


def test_without_a_token_the_panel_says_why_nothing_is_fetched(
    plate: Any, served: Served, background: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(served)
    with served.paused():
        send(plate)
        close()
    bpy.context.preferences.addons[PREFERENCES].preferences.token = ""
    monkeypatch.delenv(preferences.TOKEN_VARIABLE, raising=False)
    resumption.resume()
    assert "No token is given" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))


def test_a_file_of_which_nothing_was_made_asks_nobody(plate: Any) -> None:
    resumption.resume()
    assert not desk.is_busy(resumption.TICKET)


def test_takes_stay_at_the_server_where_importing_is_off(plate: Any, served: Served, background: Path) -> None:
    use(served)
    settings = bpy.context.preferences.addons[PREFERENCES].preferences
    settings.imports = False
    with served.paused():
        uid = send(plate)
        bpy.ops.wm.save_mainfile()
        close()
    reopen()
    resume(uid)
    assert takes() == []
    assert "import it from the list of jobs" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))
    assert len(ledger.waiting()[uid]) == 1
    settings.imports = True
    resumption.resume()
    until_done(uid)
    assert takes() == [TAKE]


# --- secrets --------------------------------------------------------------------------------------


def test_the_token_is_in_no_file_and_no_log(
    plate: Any, served: Served, background: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(served)
    bpy.context.preferences.filepaths.use_file_compression = False
    with caplog.at_level("DEBUG"):
        until_done(send(plate))
    bpy.ops.wm.save_mainfile()
    secret = served.token.encode()
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        with contextlib.suppress(OSError):
            assert secret not in file.read_bytes(), file
    assert caplog.records
    assert served.token not in caplog.text
