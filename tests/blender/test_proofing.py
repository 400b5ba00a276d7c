"""The test frame: one frame at three strengths of relight, through a real export and a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import pytest
from footage import read_png
from panel import draw, tick_until, until_done, use
from serving import Served, wait_for

from wan_animate_blender import desk, preferences, proof, proofing, timeline
from wan_animate_blender.commands import main
from wan_animate_blender.wire import SHOT_FILE, ExitCode, JobState, Shot

pytestmark = pytest.mark.usefixtures("addon")


@pytest.mark.parametrize(("now", "wanted"), [(14, range(12, 17)), (12, range(12, 15)), (16, range(14, 17))])
def test_the_shortest_piece_around_the_playhead_is_rendered(now: int, wanted: range) -> None:
    assert proof.frames(now, 12, 17) == wanted
    assert len(proof.frames(1000, 1, 5000)) == 5


def test_an_export_of_some_frames_has_only_those(plate: Any, tmp_path: Path) -> None:
    plate.wan_animate.handles = 2
    assert main(["export", "--strip", "plate", "--only", "13", "16"]) == ExitCode.DONE
    shot = Shot.loads((tmp_path / "wan_animate" / "SH010" / "e001" / SHOT_FILE).read_bytes())
    assert [row.timeline for row in shot.frames] == [13, 14, 15]
    assert (shot.cut_in, shot.cut_out) == (1001, 1003)


def made(uid: str) -> dict[float, Path]:
    return proofing._made[uid].pictures


def test_the_frame_at_the_playhead_is_shown_at_three_strengths_and_one_is_used(
    edit: Any, plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    edit.frame_current = 15
    before = {job.id for job in preferences.chosen_server().jobs()}
    assert bpy.ops.wan_animate.test_frame() == {"FINISHED"}
    uid = plate.wan_animate.uid
    assert "starting" in " ".join(draw(proofing.WAN_ANIMATE_PT_test_frame))
    until_done(f"proof {uid}")
    news = desk.latest[f"proof {uid}"]
    assert news.problem is None
    pictures = made(uid)
    assert list(pictures) == [0.0, 0.5, 1.0]
    assert all(read_png(file).shape[:2] == (48, 80) for file in pictures.values())
    drawn = draw(proofing.WAN_ANIMATE_PT_test_frame)
    assert [drawn.count(what) for what in ("picture", "wan_animate.use_relight")] == [3, 3]
    assert proofing._previews["proofs"][f"{uid} 0.5"].image_size[0] > 0
    assert bpy.ops.wan_animate.use_relight(relight=0.5) == {"FINISHED"}
    assert plate.wan_animate.relight == 0.5
    # nothing of it stays: no take, no strip, no export, no job
    assert {strip.name for strip in timeline.strips(edit.sequence_editor)} == {"plate", "matte"}
    assert not (tmp_path / "wan_animate").exists()
    assert {job.id for job in preferences.chosen_server().jobs()} == before
    folder = Path(proofing._made[uid].folder.name)
    assert sorted(background.iterdir()) == [folder]
    proofing.unregister()
    assert not folder.exists()
    proofing.register()


def test_it_can_be_cancelled_and_the_server_renders_none_of_it(
    edit: Any, plate: Any, served: Served, background: Path
) -> None:
    use(served)
    edit.frame_current = 15
    known = {job.id for job in preferences.chosen_server().jobs()}
    plate.wan_animate.steps = 2
    with served.holding(step=1):
        bpy.ops.wan_animate.test_frame()
        ticket = f"proof {plate.wan_animate.uid}"
        tick_until(lambda: (news := desk.latest.get(ticket)) and news.step and news.step.job and news.step.job.step)
        assert not bpy.ops.wan_animate.test_frame.poll()
        assert bpy.ops.wan_animate.cancel_test_frame() == {"FINISHED"}
        until_done(ticket)
        wait_for(lambda: all(job.state.is_final for job in preferences.chosen_server().jobs()))
    left = [job for job in preferences.chosen_server().jobs() if job.id not in known]
    assert all(job.state is JobState.CANCELLED for job in left)
    assert made(plate.wan_animate.uid) == {}


def test_the_playhead_has_to_be_on_the_strip(edit: Any, plate: Any) -> None:
    edit.frame_current = 3
    assert not bpy.ops.wan_animate.test_frame.poll()
    assert proofing._why_not(bpy.context) == "Move the playhead onto the strip"
    edit.frame_current = 12
    assert bpy.ops.wan_animate.test_frame.poll()


def test_a_second_test_takes_the_place_of_the_first(edit: Any, plate: Any, served: Served, background: Path) -> None:
    use(served)
    for frame in (12, 16):
        edit.frame_current = frame
        bpy.ops.wan_animate.test_frame()
        until_done(f"proof {plate.wan_animate.uid}")
        pictures = made(plate.wan_animate.uid)
        assert all(file.exists() for file in pictures.values())
    assert len(list(background.iterdir())) == 1
    assert len(proofing._previews["proofs"]) == 3
