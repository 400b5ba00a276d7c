"""A take that goes on after its strip was trimmed longer, through a real server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import draw, frames, listed, until_done, use
from serving import Served

from wan_animate_blender import desk, extending, preferences, request, stacking, timeline
from wan_animate_blender.wire import TAKE_FILE, BadInput, Take

pytestmark = pytest.mark.usefixtures("addon")


def trim(first: int, end: int) -> None:
    for name in ("plate", "matte"):
        timeline.set_frame_range(timeline.strips(bpy.context.scene.sequence_editor)[name], first, end)


@pytest.fixture
def made(plate: Any, served: Served, background: Path, tmp_path: Path) -> Path:
    """The first take of five frames of a strip in segments of five, imported and chosen in the list."""
    use(served)
    plate.wan_animate.segment, plate.wan_animate.overlap = 5, "1"
    trim(10, 15)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    listed(plate)
    return tmp_path / "wan_animate" / "SH010" / "takes" / "v001"


def test_a_strip_that_was_trimmed_longer_gets_its_new_frames_and_keeps_the_old(plate: Any, made: Path) -> None:
    trim(10, 19)
    assert "wan_animate.extend" in draw(stacking.WAN_ANIMATE_PT_takes)
    assert bpy.ops.wan_animate.extend() == {"FINISHED"}
    assert not bpy.ops.wan_animate.extend.poll()
    until_done(plate.wan_animate.uid)
    old, new = frames(made), frames(made.with_name("v002"))
    assert {number: new[number] for number in old} == old
    assert sorted(new) == list(range(1001, 1010))
    take = Take.loads((made.with_name("v002") / TAKE_FILE).read_bytes())
    assert [segment.round for segment in take.segments] == [0, 1], "one segment was rendered"
    strips = timeline.strips(bpy.context.scene.sequence_editor)
    above, below = strips["SH010 v002 character"], strips["SH010 v001 character"]
    assert above.channel > below.channel
    assert (above.mute, below.mute) == (False, True)
    assert timeline.frame_range(above) == (10, 19)
    assert listed(plate) == ["SH010 v002", "SH010 v001"]


def test_what_cannot_be_an_extension_is_said_before_anything_is_exported(plate: Any, made: Path) -> None:
    with pytest.raises(RuntimeError, match="shows no frame that SH010 v001 lacks; trim it longer"):
        bpy.ops.wan_animate.extend()
    trim(10, 19)
    plate.wan_animate.steps = 3
    with pytest.raises(RuntimeError, match="differ in steps; set them as they were"):
        bpy.ops.wan_animate.extend()
    plate.wan_animate.steps = 1
    told = Take.loads((made / TAKE_FILE).read_bytes())
    for change, sentence in (({"job": ""}, "not made by a server's job"), ({"state": "partial"}, "is not complete")):
        (made / TAKE_FILE).write_bytes(Take.from_json(told.to_json() | change).dumps().encode())
        with pytest.raises(RuntimeError, match=sentence):
            bpy.ops.wan_animate.extend()
    assert [folder.name for folder in made.parents[1].glob("e*")] == ["e001"]


def test_a_job_that_the_server_has_no_more_is_said_before_anything_is_exported(plate: Any, made: Path) -> None:
    preferences.chosen_server().remove(Take.loads((made / TAKE_FILE).read_bytes()).job)
    trim(10, 19)
    assert bpy.ops.wan_animate.extend() == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    assert "generate the strip again" in str(desk.latest[plate.wan_animate.uid].problem)
    assert [folder.name for folder in made.parents[1].glob("e*")] == ["e001"]


def test_the_others_of_a_strip_go_on_from_their_newest_whole_takes(plate: Any, tmp_path: Path) -> None:
    first = request.requests(bpy.context.scene, plate, tmp_path)[0]
    other = replace(first, name="SH010_Ben")
    takes = tmp_path / "SH010_Ben" / "takes"
    told = {
        "strip": "",
        "mode": "replace",
        "export": "",
        "width": 80,
        "height": 48,
        "fps": "24/1",
        "files": {},
        "layers": [],
    }
    for number, state in enumerate(("complete", "partial"), start=1):
        said = {
            "shot": other.name, "version": number, "state": state, "job": f"job{number}", "first": 1001, "last": 1003,
            "cut_in": 1001, "cut_out": 1003, "settings": other.settings.to_json(),
        }  # fmt: skip
        (takes / f"v{number:03d}").mkdir(parents=True)
        (takes / f"v{number:03d}" / TAKE_FILE).write_bytes(Take.from_json(told | said).dumps().encode())
    (takes / "v003").mkdir()
    chosen = Take.from_json(told | said | {"shot": first.name, "state": "complete", "job": "chosen"})
    assert extending.begun([other, first], chosen) == {"SH010_Ben": "job1", first.name: "chosen"}
    with pytest.raises(BadInput, match="of nobody on the strip any more"):
        extending.begun([other], chosen)
