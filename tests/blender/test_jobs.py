"""The list of jobs: what it says of each, and what can be done with it, through a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from panel import PREFERENCES, Paper, draw, look_until, tick_until, until_done, use
from serving import Served

from wan_animate_blender import desk, jobs, ledger, panels, preferences, timeline
from wan_animate_blender.wire import Job, JobState

pytestmark = pytest.mark.usefixtures("addon")

TAKE = "SH010 v001 character"


@pytest.fixture(autouse=True)
def nothing_known(addon: None) -> Iterator[None]:
    jobs.unregister()
    jobs.register()
    yield


def settle(uid: str) -> None:
    """Stop looking, and be Blender's timer until nothing is going on."""
    desk.cancel(jobs.TICKET)
    until_done(uid)


def selected() -> Job:
    job = jobs.board.find(jobs.board.selected)
    assert job
    return job


def send(plate: Any, **settings: Any) -> str:
    """Generate, and wait until the job is in the list; the strip's uid."""
    for name, value in settings.items():
        setattr(plate.wan_animate, name, value)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    uid = plate.wan_animate.uid
    look_until(lambda: (known := ledger.entries(uid)) and jobs.board.selected in known)
    return uid


def names() -> set[str]:
    return {strip.name for strip in timeline.strips(bpy.context.scene.sequence_editor)} - {"plate", "matte"}


# --- what it says ---------------------------------------------------------------------------------


STATES = [
    (Job(id="a", shot="SH010", state=JobState.QUEUED), "queued"),
    (Job(id="a", shot="SH010", state=JobState.RUNNING, stage="denoising", segment=2, segments=3, seconds_left=250.0),
     "denoising, segment 2 of 3, 4 min left"),
    (Job(id="a", shot="SH010", state=JobState.RUNNING, stage="decoding", seconds_left=9.4), "decoding, 9 s left"),
    (Job(id="a", shot="SH010", state=JobState.CANCELLING, stage="denoising"), "denoising"),
    (Job(id="a", shot="SH010", state=JobState.CANCELLED), "cancelled"),
    (Job(id="a", shot="SH010", state=JobState.DONE, segment=3, segments=3), "done"),
    (Job(id="a", shot="SH010", state=JobState.FAILED, message="the disk is full"), "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("job", "words"), STATES, ids=[words for _, words in STATES])
def test_each_state_has_its_words(job: Job, words: str) -> None:
    ours = bpy.context.window_manager.wan_animate_jobs
    jobs.board.jobs = (job,)
    ours.scope = "ALL"
    (row,) = ours.rows
    drawn: list[str] = []
    jobs.WAN_ANIMATE_UL_jobs.draw_item(None, None, Paper(drawn), ours, row, 0, ours, "active")
    assert drawn[0] == "SH010"
    assert words in drawn[1]
    assert (row.title, row.words, jobs.board.selected) == ("SH010", words, "a")
    assert [line for line in draw(jobs.WAN_ANIMATE_PT_jobs) if "disk" in line] == ["The disk is full"] * bool(
        job.message
    )


def test_the_list_is_of_this_file_or_of_all(plate: Any) -> None:
    ours = bpy.context.window_manager.wan_animate_jobs
    plate.wan_animate.uid = "ours"
    states = [("a", "ours"), ("b", "theirs"), ("c", "ours")]
    jobs.board.jobs = tuple(Job(id=name, shot="SH010", strip=strip, state=JobState.DONE) for name, strip in states)
    ours.scope = "ALL"
    assert [row.name for row in ours.rows] == ["c", "b", "a"]
    ours.active = 1
    assert jobs.board.selected == "b"
    ours.scope = "FILE"
    assert [row.name for row in ours.rows] == ["c", "a"]
    assert jobs.board.selected == "a"


def test_what_is_selected_stays_so_when_others_come(plate: Any) -> None:
    ours = bpy.context.window_manager.wan_animate_jobs
    jobs.board.jobs = tuple(Job(id=name, shot="SH010", state=JobState.DONE) for name in "ab")
    ours.scope = "ALL"
    ours.active = 1
    jobs.board.jobs += (Job(id="c", shot="SH020", state=JobState.QUEUED),)
    jobs._fill()
    assert (jobs.board.selected, ours.active) == ("a", 2)


def test_a_server_that_is_away_is_said_to_be_tried_again(plate: Any) -> None:
    settings = bpy.context.preferences.addons[PREFERENCES].preferences
    settings.url, settings.token = "http://127.0.0.1:9", "a-token"
    look_until(lambda: jobs.board.problem)
    assert "The server does not answer; trying again" in " ".join(draw(jobs.WAN_ANIMATE_PT_jobs))
    desk.cancel(jobs.TICKET)
    until_done(jobs.TICKET)


def test_nobody_is_asked_while_nobody_looks(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    use(served)
    jobs.follow()
    until_done(jobs.TICKET)
    assert jobs.board.version == ""


# --- what can be done -----------------------------------------------------------------------------


def test_a_job_is_seen_while_it_is_made_and_cancelled(plate: Any, served: Served, background: Path) -> None:
    use(served)
    with served.holding(step=1):
        uid = send(plate, steps=2)
        look_until(lambda: jobs.board.picture.data and "job" in jobs._previews["job"])
        assert jobs._previews["job"]["job"].image_size[0] > 0
        look_until(lambda: "picture" in draw(jobs.WAN_ANIMATE_PT_jobs))
        tick_until(lambda: any("denoising" in line for line in draw(panels.WAN_ANIMATE_PT_strip)))
        assert not bpy.ops.wan_animate.job_retry.poll()
        assert not bpy.ops.wan_animate.job_remove.poll()
        cancel(uid)
    settle(uid)


def cancel(uid: str) -> None:
    """Cancel the selected job, which is the strip's, and wait until that is known everywhere."""
    assert bpy.ops.wan_animate.job_cancel() == {"FINISHED"}
    look_until(lambda: selected().state is JobState.CANCELLED and not desk.is_busy(uid))
    assert "was cancelled" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))
    assert not bpy.ops.wan_animate.job_cancel.poll()
    assert ledger.waiting() == {}


def test_a_job_that_was_cancelled_is_tried_again(plate: Any, served: Served, background: Path) -> None:
    use(served)
    with served.paused():
        uid = send(plate)
        assert not bpy.ops.wan_animate.job_import.poll()
        cancel(uid)
    assert bpy.ops.wan_animate.job_retry() == {"FINISHED"}
    tick_until(names)
    settle(uid)
    assert names() == {TAKE}


def test_a_failed_job_says_why_and_is_tried_again(plate: Any, served: Served, background: Path) -> None:
    use(served)
    uid = send(plate, model="nobody", steps=1)
    look_until(lambda: selected().state is JobState.FAILED and not desk.is_busy(uid))
    assert "nobody" in " ".join(draw(jobs.WAN_ANIMATE_PT_jobs))
    (job,) = ledger.entries(uid)
    with served.paused():
        bpy.ops.wan_animate.job_retry()
        tick_until(lambda: desk.is_busy(uid))
    settle(uid)
    assert "could not render SH010" in str(desk.latest[uid].problem)
    assert list(ledger.entries(uid)) == [job]


def test_what_is_there_is_imported_while_the_rest_is_rendered_and_grows(
    plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    plate.wan_animate.segment, plate.wan_animate.overlap = 5, "1"
    strips = timeline.strips(bpy.context.scene.sequence_editor)
    for name in ("plate", "matte"):
        timeline.set_frame_range(strips[name], 10, 19)
    with served.holding(frames=1, step=1):
        uid = send(plate)
        look_until(lambda: selected().frames)
        assert bpy.ops.wan_animate.job_import() == {"FINISHED"}
        tick_until(lambda: TAKE in names())
        assert timeline.frame_range(strips[TAKE]) == (10, 15)
        assert desk.is_busy(uid)
    tick_until(lambda: not desk.is_busy(uid))
    settle(uid)
    assert names() == {TAKE}
    assert timeline.frame_range(strips[TAKE]) == (10, 19)
    assert [folder.name for folder in (tmp_path / "wan_animate" / "SH010" / "takes").iterdir()] == ["v001"]
    assert [entry.is_over for entry in ledger.entries(uid).values()] == [True]


def test_a_job_that_is_removed_is_in_no_list_and_its_take_stays(plate: Any, served: Served, background: Path) -> None:
    use(served)
    uid = send(plate, steps=1)
    look_until(lambda: selected().state is JobState.DONE and not desk.is_busy(uid))
    job = jobs.board.selected
    assert bpy.ops.wan_animate.job_remove() == {"FINISHED"}
    look_until(lambda: jobs.board.find(job) is None)
    settle(uid)
    assert job not in [row.name for row in bpy.context.window_manager.wan_animate_jobs.rows]
    assert job not in [one.id for one in preferences.chosen_server().jobs()]
    assert names() == {TAKE}


def test_the_report_says_all_but_secrets(plate: Any, served: Served) -> None:
    use(served)
    settings = bpy.context.preferences.addons[PREFERENCES].preferences
    settings.url = settings.url.replace("//", "//somebody:password@")
    job = Job(id="a", shot="SH010", state=JobState.FAILED, message="the disk is full")
    text = jobs.report(job)
    said = json.loads(text)
    assert said["message"] == "the disk is full"
    assert Job.from_json(said["job"]) == job
    assert said["blender"] == bpy.app.version_string
    assert {"wan-animate", "wire", "python", "system"} <= said.keys()
    assert said["server"]["host"] == "127.0.0.1"
    assert not [secret for secret in (served.token, "somebody", "password") if secret in text]


def test_every_button_of_the_list_has_a_tooltip_and_a_reason() -> None:
    operators = [kind for kind in jobs.classes if issubclass(kind, bpy.types.Operator)]
    assert len(operators) == 6
    for kind in operators:
        assert kind.bl_description and kind.bl_label
        assert not kind.poll(SimpleNamespace())
