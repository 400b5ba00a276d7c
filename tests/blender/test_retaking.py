"""Frames of a take made anew from the panel, through a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import draw, frames, listed, until_done, use
from serving import Served

from wan_animate_blender import desk, jobs, preferences, retaking, stacking, take, timeline
from wan_animate_blender.wire import TAKE_FILE, Take

pytestmark = pytest.mark.usefixtures("addon")

CUT = range(1001, 1010)


@pytest.fixture
def made(plate: Any, served: Served, background: Path, tmp_path: Path) -> Path:
    """The first take of a strip of nine frames in segments of five, imported and chosen in the list."""
    use(served)
    plate.wan_animate.segment, plate.wan_animate.overlap = 5, "1"
    for name in ("plate", "matte"):
        timeline.set_frame_range(timeline.strips(bpy.context.scene.sequence_editor)[name], 10, 19)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    listed(plate)
    return tmp_path / "wan_animate" / "SH010" / "takes" / "v001"


def test_frames_that_are_made_anew_arrive_as_the_next_take_above_the_old_one(plate: Any, made: Path) -> None:
    assert bpy.ops.wan_animate.retake(first=1007, last=1009, seed=7) == {"FINISHED"}
    assert desk.is_busy(plate.wan_animate.uid)
    until_done(plate.wan_animate.uid)
    old, new = frames(made), frames(made.with_name("v002"))
    assert {number for number in CUT if old[number] != new[number]} == {1007, 1008, 1009}
    strips = timeline.strips(bpy.context.scene.sequence_editor)
    above, below = strips["SH010 v002 character"], strips["SH010 v001 character"]
    assert above.channel > below.channel
    assert (above.mute, below.mute) == (False, True)
    assert listed(plate) == ["SH010 v002", "SH010 v001"]
    job = Take.loads((made.with_name("v002") / TAKE_FILE).read_bytes()).job
    assert (preferences.chosen_server().job(job).retake.first, plate.wan_animate.jobs[job].is_over) == (1007, True)


def test_a_done_job_of_the_list_can_be_made_anew_in_part(plate: Any, made: Path) -> None:
    jobs.board.jobs = preferences.chosen_server().jobs()
    bpy.context.window_manager.wan_animate_jobs.scope = "FILE"
    jobs._fill()
    assert bpy.ops.wan_animate.job_retake.poll()
    assert bpy.ops.wan_animate.job_retake(first=1001, last=1002, seed=7) == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    old, new = frames(made), frames(made.with_name("v002"))
    assert {number for number in CUT if old[number] != new[number]} == {1001, 1002}


def test_a_job_that_the_server_has_no_more_says_what_to_do(plate: Any, made: Path) -> None:
    server = preferences.chosen_server()
    server.remove(Take.loads((made / TAKE_FILE).read_bytes()).job)
    bpy.ops.wan_animate.retake(first=1007, last=1009, seed=7)
    until_done(plate.wan_animate.uid)
    assert "generate the strip again" in str(desk.latest[plate.wan_animate.uid].problem)
    assert [folder.name for folder in made.parent.iterdir()] == ["v001"]


def test_frames_that_the_take_does_not_have_are_refused(plate: Any, made: Path) -> None:
    bpy.ops.wan_animate.retake(first=1, last=2, seed=7)
    until_done(plate.wan_animate.uid)
    assert "expected frames of 1001-1009" in str(desk.latest[plate.wan_animate.uid].problem)
    with pytest.raises(RuntimeError, match="the first no later"):
        bpy.ops.wan_animate.retake(first=1009, last=1001, seed=7)


def test_the_dialog_begins_with_the_preview_range_or_what_is_around_the_playhead(plate: Any, made: Path) -> None:
    scene, old = bpy.context.scene, take.read(made)
    scene.frame_set(10)
    assert retaking.span(scene, old) == (1001, 1009)  # half a second is more than nine frames
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 12, 14
    assert retaking.span(scene, old) == (1003, 1005)
    timeline.strips(scene.sequence_editor).remove(timeline.strips(scene.sequence_editor)["SH010 v001 character"])
    assert retaking.span(scene, old) == (1001, 1009)


def test_the_panel_offers_it_and_is_grey_while_the_strip_is_worked_on(plate: Any, made: Path) -> None:
    assert "wan_animate.retake" in draw(stacking.WAN_ANIMATE_PT_takes)
    bpy.ops.wan_animate.retake(first=1007, last=1009, seed=7)
    assert not bpy.ops.wan_animate.retake.poll()
    until_done(plate.wan_animate.uid)
    assert bpy.ops.wan_animate.retake.poll()


def test_a_take_that_no_job_has_made_says_what_to_do(plate: Any, made: Path) -> None:
    told = Take.loads((made / TAKE_FILE).read_bytes()).to_json() | {"job": ""}
    (made / TAKE_FILE).write_bytes(Take.from_json(told).dumps().encode())
    with pytest.raises(RuntimeError, match="not made by a server's job"):
        bpy.ops.wan_animate.retake(first=1007, last=1009, seed=7)
