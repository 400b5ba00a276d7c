"""The panel Farm, and submitted shots in the list of jobs: what they say and do, what comes back into the edit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import PREFERENCES, draw, tick_until, until_done
from takes import export_of, take_of, whole_take_of

from wan_animate_blender import desk, identity, jobs, ledger, timeline, turns, wire
from wan_animate_blender.farm import handling, receiving, submission, watch
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
