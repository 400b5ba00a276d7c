"""The panel Farm, and submitted shots in the list of jobs: what they say and do, what comes back into the edit."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import write_png
from panel import PREFERENCES, Paper, draw, tick_until, until_done
from serving import PYTHON, ROOT
from takes import export_of, take_of, whole_take_of

from wan_animate_blender import daemon, desk, identity, jobs, ledger, timeline, turns, wire
from wan_animate_blender.farm import choice, handling, openjd, panel, receiving, submission, watch
from wan_animate_blender.wire import JobState

pytestmark = pytest.mark.usefixtures("addon")

TAKE = "SH010 v001 character"


@pytest.fixture(autouse=True)
def nothing_known(addon: None) -> Iterator[None]:
    jobs.unregister()
    jobs.register()
    yield


@pytest.fixture
def shots(plate: Any, tmp_path: Path) -> Path:
    """The folder of all shots of a saved file, whose strip is marked."""
    identity.mark(bpy.context.scene, plate)
    plate.wan_animate.shot = "SH010"
    bpy.ops.wm.save_mainfile()
    return tmp_path / "wan_animate"


def shot_of(strip: Any, folder: str = "SH010/e001") -> submission.SubmittedShot:
    return submission.SubmittedShot(
        folder=folder, scene="Scene", strip=strip.name, uid=strip.wan_animate.uid, person="hero",
        mode=wire.Mode.REPLACE, model="puppet", precision=wire.Precision.FP32, frames=5, width=80, height=48,
    )  # fmt: skip


def submitted(shots: Path, *them: submission.SubmittedShot, engine: str = "openjd", **sent: str) -> Path:
    """The next submission below `shots`, as `submit` writes it."""
    folder = wire.claim_version(shots / submission.FOLDER, submission.PREFIX)
    told = submission.Submission(name=f"edit {folder.name}", file="edit.blend", blender="4.5.3", shots=them)
    wire.write_atomically(folder / submission.SUBMISSION_FILE, told.dumps().encode())
    where = submission.Sent(engine=submission.Engine(engine), **sent)
    wire.write_atomically(folder / submission.SENT_FILE, where.dumps().encode())
    return folder


def plate_now() -> Any:
    """A loaded file has strips of its own."""
    return timeline.strips(bpy.context.scene.sequence_editor)["plate"]


def takes() -> list[str]:
    strips = timeline.strips_all(bpy.context.scene.sequence_editor)
    return [strip.name for strip in strips if strip.wan_animate.take]


def expect() -> None:
    """What Blender's timer does, and then until it is done."""
    receiving.expect()
    until_done(receiving.TICKET)


def reopen() -> None:
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert bpy.app.timers.is_registered(receiving.expect)


def partial_take(export: Path, frames: int) -> Path:
    """A take of which only the first frames are there, let go of."""
    folder = take_of(export)
    take = wire.Take.loads((folder / wire.TAKE_FILE).read_bytes())
    kept = {name: entry for name, entry in take.files.items() if int(Path(name).stem) < take.first + frames}
    take = replace(take, state=wire.TakeState.PARTIAL, files=kept)
    wire.write_atomically(folder / wire.TAKE_FILE, take.dumps().encode())
    (folder / wire.OWNER_FILE).unlink()
    return folder


def completed(folder: Path) -> None:
    """Whoever goes on with it has done so."""
    take = wire.Take.loads((folder / wire.TAKE_FILE).read_bytes())
    take = replace(take, state=wire.TakeState.COMPLETE, files=wire.list_files(folder, {wire.TAKE_FILE}))
    wire.write_atomically(folder / wire.TAKE_FILE, take.dumps().encode())


def look(until: Callable[[], object]) -> None:
    """Be Blender's timer with somebody who looks at the list."""

    def seen() -> object:
        jobs.board.look()
        if not desk.is_busy(receiving.LISTING):
            jobs.follow_submitted()
        return until()

    tick_until(seen)
    desk.cancel(receiving.LISTING)
    until_done(receiving.LISTING)


# --- the list -------------------------------------------------------------------------------------


def test_submitted_shots_stand_in_the_list_of_jobs_with_their_engine(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate), engine="flamenco", job="j-1", url="http://manager:8080")
    look(lambda: jobs.board.submitted)
    (row,) = bpy.context.window_manager.wan_animate_jobs.rows
    assert (row.name, row.title, row.state, row.words) == ("farm f001 SH010/e001", "SH010", "queued", "submitted")
    drawn = draw(turns.WAN_ANIMATE_PT_turn)
    assert drawn == ["Submitted as f001 to Flamenco"]


def test_the_list_says_how_far_a_shot_is(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    export = export_of(plate, shots)
    look(lambda: [job.stage for job in jobs.board.submitted] == ["exported"])
    folder = partial_take(export, 2)
    look(lambda: [job.frames for job in jobs.board.submitted] == [2])
    assert "2 of 5 frames are kept" in " ".join(draw(jobs.WAN_ANIMATE_PT_jobs))
    completed(folder)
    look(lambda: [job.state for job in jobs.board.submitted] == [JobState.DONE])


def test_folders_that_hang_are_said_to_in_the_list_and_stop_no_other_work(
    plate: Any, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let, eye = threading.Event(), watch.Eye()

    class Hanging:
        def jobs(self, *words: Any) -> tuple[wire.Job, ...]:
            assert let.wait(300)
            return eye.jobs(*words)

    monkeypatch.setattr(receiving, "_eye", Hanging())
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 0.0)
    submitted(shots, shot_of(plate))
    jobs.board.look()
    jobs.follow_submitted()
    tick_until(lambda: jobs.board.hindrance)
    assert "The folders of the farm do not answer" in " ".join(draw(jobs.WAN_ANIMATE_PT_jobs))
    desk.start("another", lambda _: iter(()))
    tick_until(lambda: not desk.is_busy("another"))
    let.set()
    look(lambda: jobs.board.submitted)
    assert jobs.board.hindrance == ""


def select(plate: Any, shots: Path, **job: Any) -> None:
    """One submitted shot in the list."""
    told = {"state": JobState.RUNNING, **job}
    jobs.board.submitted = (wire.Job(id="farm f001 SH010/e001", shot="SH010", strip=plate.wan_animate.uid, **told),)
    jobs._fill()


BUTTONS = ("cancel", "retry", "import", "reveal", "report", "remove", "retake", "pause", "resume", "prefer")


@pytest.mark.parametrize(("job", "offered"), [
    ({"by": "OpenJD"}, {"reveal", "report"}),
    ({"by": "Flamenco"}, {"reveal", "report", "cancel"}),
    ({"by": "Flamenco", "state": JobState.FAILED}, {"reveal", "report", "retry"}),
    ({"by": "Deadline Cloud", "state": JobState.FAILED}, {"reveal", "report"}),
    ({"by": "OpenJD", "frames": 2}, {"reveal", "report", "import"}),
    ({"by": "OpenJD", "frames": 5, "state": JobState.DONE}, {"reveal", "report", "import"}),
    ({"by": "Flamenco", "state": JobState.PAUSED}, {"reveal", "report", "cancel"}),
])  # fmt: skip
def test_only_what_the_engine_offers_can_be_done(
    plate: Any, shots: Path, job: dict[str, Any], offered: set[str]
) -> None:
    select(plate, shots, **job)
    assert {name for name in BUTTONS if getattr(bpy.ops.wan_animate, f"job_{name}").poll()} == offered


def test_a_grey_button_says_who_takes_the_order() -> None:
    job = wire.Job(id="farm f001 SH010/e001", shot="SH010", state=JobState.RUNNING, by="Deadline Cloud")
    assert handling.why_not(job) == "Deadline Cloud has SH010, and takes such orders where it is watched"
    assert handling.why_not(replace(job, by="")).startswith("No farm yet has SH010")
    assert handling.only_a_server(job) == "A farm has SH010, not the server"


def test_only_the_manager_of_the_preferences_is_ever_asked(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate), engine="flamenco", job="j-1", url="http://127.0.0.1:9")
    bpy.context.preferences.addons[PREFERENCES].preferences.manager = "http://127.0.0.1:10"
    look(lambda: jobs.board.submitted)
    message = jobs.board.submitted[0].message
    assert "was sent to the Manager at http://127.0.0.1:9, and the preferences name http://127.0.0.1:10" in message
    bpy.ops.wan_animate.job_cancel()
    ticket = "job farm f001 SH010/e001"
    until_done(ticket)
    assert "the preferences name http://127.0.0.1:10" in str(desk.latest[ticket].problem)


# --- takes come into the edit ---------------------------------------------------------------------


def test_a_whole_take_of_a_submitted_shot_is_imported_once_when_the_file_is_opened(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    receiving.remember(shots, watch.Eye().jobs(shots))
    bpy.ops.wm.save_mainfile()
    whole_take_of(export_of(plate, shots))
    reopen()
    expect()
    assert takes() == [TAKE]
    assert timeline.frame_range(timeline.strips(bpy.context.scene.sequence_editor)[TAKE]) == (12, 17)
    expect()
    assert takes() == [TAKE]
    bpy.ops.wm.save_mainfile()
    reopen()
    expect()
    assert takes() == [TAKE]


def test_a_submission_that_the_file_does_not_know_of_is_found(plate: Any, shots: Path) -> None:
    """Submitted after the last save, by a Blender that was then killed."""
    submitted(shots, shot_of(plate))
    reopen()
    assert ledger.submitted() == {}
    expect()
    assert {job: one.is_over for job, one in ledger.submitted().items()} == {"farm f001 SH010/e001": False}
    assert takes() == []
    whole_take_of(export_of(plate_now(), shots))
    expect()
    assert takes() == [TAKE]
    assert [one.is_over for one in ledger.submitted().values()] == [True]


def test_the_file_is_looked_at_again_while_a_take_is_expected_and_no_longer(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    reopen()
    bpy.app.timers.unregister(receiving.expect)
    expect()
    assert bpy.app.timers.is_registered(receiving.expect)
    bpy.app.timers.unregister(receiving.expect)
    whole_take_of(export_of(plate_now(), shots))
    expect()
    assert not bpy.app.timers.is_registered(receiving.expect)


def test_a_take_that_somebody_removed_or_undid_does_not_come_back(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    whole_take_of(export_of(plate, shots))
    bpy.ops.ed.undo_push(message="without a window this is what makes Blender keep steps at all")
    expect()
    assert takes() == [TAKE]
    bpy.ops.ed.undo()
    assert takes() == []
    expect()
    assert takes() == []
    bpy.ops.wm.save_mainfile()
    reopen()
    expect()
    assert takes() == []


def test_undo_does_not_let_a_strip_forget_that_it_was_submitted(plate: Any, shots: Path) -> None:
    bpy.ops.ed.undo_push(message="without a window this is what makes Blender keep steps at all")
    submitted(shots, shot_of(plate))
    receiving.remember(shots, watch.Eye().jobs(shots))
    bpy.ops.ed.undo_push(message="something else")
    bpy.ops.ed.undo()
    assert list(ledger.submitted()) == ["farm f001 SH010/e001"]


def test_a_take_that_is_in_the_edit_already_is_not_imported_again(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    folder = whole_take_of(export_of(plate, shots))
    bpy.ops.wan_animate.import_take(directory=str(folder))
    assert takes() == [TAKE]
    expect()
    assert takes() == [TAKE]


def test_nothing_is_imported_by_itself_where_that_is_off(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    whole_take_of(export_of(plate, shots))
    bpy.context.preferences.addons[PREFERENCES].preferences.imports = False
    expect()
    assert takes() == []


def test_what_is_there_is_imported_by_hand_and_grows_when_the_rest_comes(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    folder = partial_take(export_of(plate, shots), 2)
    look(lambda: jobs.board.submitted)
    assert bpy.ops.wan_animate.job_import() == {"FINISHED"}
    until_done("job farm f001 SH010/e001")
    strip = timeline.strips(bpy.context.scene.sequence_editor)[TAKE]
    assert timeline.frame_range(strip) == (12, 14)
    expect()
    assert timeline.frame_range(strip) == (12, 14)
    completed(folder)
    expect()
    assert timeline.frame_range(strip) == (12, 17)
    assert takes() == [TAKE]


def test_a_shot_without_a_frame_says_so_when_it_is_imported(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    select(plate, shots, frames=1)
    bpy.ops.wan_animate.job_import()
    ticket = "job farm f001 SH010/e001"
    until_done(ticket)
    assert "SH010 has no take yet" in str(desk.latest[ticket].problem)


def test_a_submitted_strip_is_no_job_that_a_server_is_asked_for(plate: Any, shots: Path) -> None:
    submitted(shots, shot_of(plate))
    receiving.remember(shots, watch.Eye().jobs(shots))
    assert ledger.waiting() == {}
    assert len(ledger.submitted()) == 1


def test_another_file_is_not_disturbed_by_takes_of_the_one_before(plate: Any, tmp_path: Path) -> None:
    other, shots = str(tmp_path / "other.blend"), tmp_path / "wan_animate"
    bpy.ops.wm.save_as_mainfile(filepath=other, copy=True)
    identity.mark(bpy.context.scene, plate)
    submitted(shots, shot_of(plate))
    whole_take_of(export_of(plate, shots))
    receiving.expect()
    bpy.ops.wm.open_mainfile(filepath=other)
    until_done(receiving.TICKET)
    assert (ledger.uids(), takes()) == (set(), [])


# --- the panel ------------------------------------------------------------------------------------


def drawn() -> str:
    return " | ".join(draw(panel.WAN_ANIMATE_PT_farm))


def rows() -> dict[str, str]:
    return {row.name: row.words for row in choice.chosen().rows}


def check() -> None:
    assert bpy.ops.wan_animate.farm_check() == {"FINISHED"}
    until_done(panel.TICKET)


def lose_a_texture(tmp_path: Path) -> None:
    """A material reads a file that is not there any more."""
    file = write_png(tmp_path / "cloth.png", np.zeros((4, 4, 3), np.uint8))
    cloth = bpy.data.images.load(str(file))
    material = bpy.data.materials.new("cloth")
    material.use_fake_user = True
    if material.node_tree is None:  # always there since 5.0
        material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = cloth
    file.unlink()


def test_a_check_lists_the_shots_and_all_that_travels_and_writes_nothing(plate: Any, tmp_path: Path) -> None:
    choice.chosen().gpu_memory = 14
    check()
    assert rows() == {"SH010": "5 frames, puppet fp32, 14.0 GiB"}
    row = choice.chosen().rows[0]
    line: list[str] = []
    panel.WAN_ANIMATE_UL_farm.draw_item(None, None, Paper(line), choice.chosen(), row, 0, choice.chosen(), "active")
    assert line == ["SH010", "5 frames, puppet fp32, 14.0 GiB"]
    said = drawn()
    assert "Shots: 1, frames: 5" in said
    assert "Files that travel: " in said and "MB" in said
    assert "Shots for hosts with 14.0 GiB of" in said
    assert "allow_missing" not in said
    assert not (tmp_path / "wan_animate").exists()


def test_a_check_tells_what_renders_are_expected_to_need_and_so_does_the_submission(
    plate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server says of it is `estimates`' own."""

    def estimate(settings: wire.Settings, shot: submission.SubmittedShot) -> submission.SubmittedShot:
        return replace(shot, gpu_memory=settings.steps * 2**30, seconds=240.0, estimated_on="a GPU")

    monkeypatch.setattr(panel, "_of_the_server", lambda: estimate)
    plate.wan_animate.steps = 3
    check()
    assert rows() == {"SH010": "5 frames, puppet fp32, 3.0 GiB, 4 min"}
    bpy.ops.wan_animate.farm_export()
    told = watch.read(tmp_path / "wan_animate" / "farm" / "f001")
    assert told and (told.shots[0].gpu_memory, told.shots[0].seconds) == (3 * 2**30, 240.0)


def test_without_a_marked_strip_a_check_says_so(edit: Any, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    with pytest.raises(RuntimeError, match="no strip is marked for Wan Animate"):
        bpy.ops.wan_animate.farm_check()


def test_only_selected_strips_are_submitted_where_that_is_chosen(edit: Any, plate: Any) -> None:
    choice.chosen().scope = "SELECTED"
    edit.copy()  # a strip of the same name is in another scene, and no one selected it here
    plate.select = False
    with pytest.raises(RuntimeError, match="no selected strip is marked"):
        bpy.ops.wan_animate.farm_check()
    plate.select = True
    check()
    assert list(rows()) == ["SH010"]


def test_nothing_goes_anywhere_while_files_are_missing_unless_that_is_allowed(plate: Any, tmp_path: Path) -> None:
    lose_a_texture(tmp_path)
    check()
    said = drawn()
    assert "1 of 1 files are missing" in said.replace(" | ", " ") and "allow_missing" in said
    with pytest.raises(RuntimeError, match="or allow missing files"):
        bpy.ops.wan_animate.farm_export()
    assert not (tmp_path / "wan_animate").exists()
    choice.chosen().allow_missing = True
    assert bpy.ops.wan_animate.farm_export() == {"FINISHED"}
    assert (tmp_path / "wan_animate" / "farm" / "f001" / openjd.TEMPLATE_FILE).is_file()


def test_a_bundle_is_written_and_its_shots_stand_in_the_list(plate: Any, tmp_path: Path) -> None:
    assert bpy.ops.wan_animate.farm_export() == {"FINISHED"}
    folder = tmp_path / "wan_animate" / "farm" / "f001"
    told = watch.read(folder)
    assert told and [shot.folder for shot in told.shots] == ["SH010/e001"]
    assert {openjd.TEMPLATE_FILE, openjd.VALUES_FILE, openjd.REFERENCES_FILE, told.file} <= {
        file.name for file in folder.iterdir()
    }
    values = {
        one["name"]: one["value"] for one in json.loads((folder / openjd.VALUES_FILE).read_text())["parameterValues"]
    }
    assert Path(values["ResultFile"]) == folder / "edit_takes.blend"
    assert bpy.data.filepath == str(tmp_path / "edit.blend")
    assert list(ledger.submitted()) == ["farm f001 SH010/e001"]
    look(lambda: jobs.board.submitted)
    assert jobs.board.submitted[0].by == "OpenJD"
    assert bpy.ops.wan_animate.farm_export() == {"FINISHED"}
    assert list(ledger.submitted()) == ["farm f001 SH010/e001", "farm f002 SH010/e002"]


def test_a_take_of_a_bundle_comes_back_to_the_strip(plate: Any, tmp_path: Path) -> None:
    bpy.ops.wan_animate.farm_export()
    bpy.ops.wm.save_mainfile()
    (tmp_path / "wan_animate" / "SH010" / "e001").rmdir()
    whole_take_of(export_of(plate, tmp_path / "wan_animate"))
    reopen()
    expect()
    assert takes() == [TAKE]


def test_programs_that_are_not_installed_grey_their_buttons_and_say_so(
    plate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(daemon, "BESIDE_PATH", ())
    panel._sought.cache_clear()
    assert not bpy.ops.wan_animate.farm_deadline.poll()
    assert not bpy.ops.wan_animate.farm_run.poll()
    assert "pip install deadline" in panel.WAN_ANIMATE_OT_farm_deadline.why_not()
    assert "pip install openjd-cli" in panel.WAN_ANIMATE_OT_farm_run.why_not()
    panel._sought.cache_clear()
    assert bpy.ops.wan_animate.farm_export.poll()


SAYS_NOTHING = """#!/bin/sh
echo "openjd_progress: 40.0"
while [ ! -e "{go}" ]; do sleep 0.05; done
"""


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
def test_what_runs_here_is_seen_and_can_be_stopped(plate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openjd run` itself is tests/farm's; this is what the panel shows of a program that takes its time."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("wan-animate", "openjd"):
        (bin_ / name).write_text(SAYS_NOTHING.format(go=tmp_path / "go"))
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    panel._sought.cache_clear()
    assert bpy.ops.wan_animate.farm_run() == {"FINISHED"}
    tick_until(lambda: (news := desk.latest.get(panel.TICKET)) and news.step and news.step.progress > 0)
    assert "Export_001" in drawn()
    assert not bpy.ops.wan_animate.farm_run.poll()
    assert panel._why_not() == panel.BUSY
    assert bpy.ops.wan_animate.farm_cancel() == {"FINISHED"}
    until_done(panel.TICKET)
    assert "Stopped; what was finished is kept" in drawn().replace(" | ", " ")
    assert not bpy.ops.wan_animate.farm_cancel.poll()
    values = (tmp_path / "wan_animate" / "farm" / "f001" / openjd.VALUES_FILE).read_text()
    assert str(bin_ / "wan-animate") in values


# --- Flamenco -------------------------------------------------------------------------------------

MANAGER = """
import platform, sys, time
from tests.farm.manager import FakeManager, serving, variable, worker
here = platform.system().lower()
staff = [worker("one", "blender", "wan-gpu", system=here), worker("two", "blender", system=here, tags=("t-1",))]
words = {here: {name: variable(name) for name in ("blender", "blenderArgs", "wanAnimate")}}
with serving(FakeManager(workers=staff, tags=[{"id": "t-1", "name": "night"}], variables=words)) as manager:
    print(manager.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def manager() -> Iterator[str]:
    """The small Manager of tests/farm in a process of its own; its address, in the preferences."""
    python = os.environ.get(PYTHON, "")
    has = subprocess.run([python or "false", "-c", "import quickjs"], capture_output=True)
    if has.returncode:
        pytest.skip(f"{PYTHON} has no quickjs, in which the Manager runs the job type")
    path = os.pathsep.join([str(ROOT), str(ROOT / "server")])
    process = subprocess.Popen(
        [python, "-c", MANAGER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert process.stdout and process.stdin
    url = process.stdout.readline().strip()
    bpy.context.preferences.addons[PREFERENCES].preferences.manager = url
    choice.chosen().engine = "flamenco"
    yield url
    process.stdin.close()
    process.wait()


def test_a_check_says_what_flamencos_workers_can_take_and_warns_of_small_farms(plate: Any, manager: str) -> None:
    assert not bpy.ops.wan_animate.farm_flamenco.poll()
    assert panel.WAN_ANIMATE_OT_farm_flamenco.why_not().startswith("Press Check first")
    check()
    said = drawn().replace(" | ", " ")
    assert "Tasks of type 'blender': 2, workers that take them: 2" in said
    assert "Tasks of type 'wan-gpu': 1, workers that take them: 1" in said
    assert "the farm has 2 workers" in said.lower() and "task_fail_after_softfail_count: 1" in said
    assert "Flamenco 3.7 answers" in said
    choice.chosen().tag = "t-1"
    check()
    assert "Tasks of type 'wan-gpu': 1, workers that take them: 0" in drawn().replace(" | ", " ")


def test_a_submission_goes_to_flamenco_and_is_watched_cancelled_and_tried_again_there(
    plate: Any, manager: str, tmp_path: Path
) -> None:
    check()
    assert bpy.ops.wan_animate.farm_flamenco() == {"FINISHED"}
    until_done(panel.TICKET)
    assert "Flamenco has queued 'edit f001'" in drawn().replace(" | ", " ")
    assert choice.chosen().sent.startswith(f"{manager}/app/jobs/")
    assert bpy.ops.wan_animate.farm_open.poll()
    where = watch.sent(tmp_path / "wan_animate" / "farm" / "f001")
    assert where and (where.engine, where.url) == (submission.Engine.FLAMENCO, manager)
    look(lambda: [(job.by, job.state) for job in jobs.board.submitted] == [("Flamenco", JobState.QUEUED)])
    bpy.ops.wan_animate.job_cancel()
    look(lambda: [job.state for job in jobs.board.submitted] == [JobState.CANCELLED])
    bpy.ops.wan_animate.job_retry()
    look(lambda: [job.state for job in jobs.board.submitted] == [JobState.QUEUED])


def test_what_flamenco_refuses_leaves_nothing_behind(plate: Any, manager: str, tmp_path: Path) -> None:
    choice.chosen().gpu_memory = 900
    check()
    assert "A shot needs" in drawn().replace(" | ", " ")
    bpy.ops.wan_animate.farm_flamenco()
    until_done(panel.TICKET)
    assert "refuses the job: SH010/e001 needs 966.4 GB" in str(desk.latest[panel.TICKET].problem)
    assert not (tmp_path / "wan_animate" / "farm").exists()


def test_the_job_type_is_saved_where_somebody_wants_it(plate: Any, tmp_path: Path) -> None:
    assert bpy.ops.wan_animate.farm_job_type(directory=str(tmp_path)) == {"FINISHED"}
    assert "JOB_TYPE" in (tmp_path / "wan_animate_shots.js").read_text()
    with pytest.raises(RuntimeError, match="choose a folder that you may write to"):
        bpy.ops.wan_animate.farm_job_type(directory=str(tmp_path / "nowhere"))


def test_without_a_manager_the_button_says_where_to_enter_it(plate: Any) -> None:
    choice.chosen().engine = "flamenco"
    assert "in the preferences" in panel.WAN_ANIMATE_OT_farm_flamenco.why_not()
    check()
    assert not bpy.ops.wan_animate.farm_open.poll()
