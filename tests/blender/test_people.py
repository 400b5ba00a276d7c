"""Two characters in one strip, made one after the other by a real server: who is in front stands over who is behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, read_png, write_png
from panel import until_done, use
from serving import Served
from takes import export_of, take_of

from wan_animate_blender import desk, timeline, wire
from wan_animate_blender.checks import check
from wan_animate_blender.commands import main
from wan_animate_blender.commission import frame_table
from wan_animate_blender.request import prepare, requests
from wan_animate_blender.take import Options, import_take

pytestmark = pytest.mark.usefixtures("addon")

WIDTH, HEIGHT, FRAMES = 96, 64, 9


def outline(left: int, right: int) -> Callable[[int], np.ndarray]:
    """A white box over these columns of the plate, from frame to frame one column further."""

    def paint(index: int) -> np.ndarray:
        picture = np.zeros((HEIGHT, WIDTH), np.uint8)
        picture[12:56, left + index : right + index] = 255
        return picture

    return paint


@pytest.fixture
def two(
    edit: Any, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object, tmp_path: Path
) -> Any:
    """A saved file whose strip has Anna on the left and, in front of her, Ben on the right; they overlap."""
    edit.render.resolution_x, edit.render.resolution_y = WIDTH, HEIGHT
    plate = film("plate", lambda i: noise(i, WIDTH, HEIGHT), frames=FRAMES)
    ours = plate.wan_animate
    ben = metarig.copy()
    ben.location.x += 0.5
    edit.collection.objects.link(ben)
    for channel, (name, rig, columns) in enumerate((("Anna", metarig, (18, 46)), ("Ben", ben, (40, 66))), start=2):
        film(name, outline(*columns), frames=FRAMES, channel=channel)
        person = ours.add_person()
        person.name, person.rig, person.matte, person.matte_strip, person.face = name, rig, "STRIP", name, "none"
        person.character = bpy.data.images.load(str(write_png(tmp_path / f"{name}.png", noise(channel, 40, 60))))
    ours.handles, ours.steps, ours.segment, ours.area = 0, 2, 9, WIDTH * HEIGHT
    edit.sequence_editor.active_strip = plate
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    return plate


def layer(take: Path, name: str) -> list[np.ndarray]:
    """uint8 [H, W, 3] of every frame of a take's layer."""
    files = sorted((take / name).iterdir())
    assert len(files) == FRAMES
    return [read_png(file) for file in files]


def check_takes(shots: Path) -> None:
    """Anna's take is Ben's plate, bit for bit where his alpha is 0; outside both regions the plate is what it was."""
    anna, ben = (shots / name / "takes" / "v001" for name in ("SH010", "SH010_Ben"))
    shot = wire.Shot.loads((shots / "SH010_Ben" / "e001" / wire.SHOT_FILE).read_bytes())
    assert shot.base == "SH010 v001"
    alphas = [layer(take, "matte") for take in (anna, ben)]
    pictures = [layer(take, "comp") for take in (anna, ben)]
    plates = [read_png(file) for file in sorted((shots / "SH010" / "e001" / "plate").iterdir())]
    changed = [0, 0]
    for index in range(FRAMES):
        by_anna, by_ben = (alpha[index][..., 0] > 0 for alpha in alphas)
        first, second, plate = pictures[0][index], pictures[1][index], plates[index]
        assert np.array_equal(second[~by_ben], first[~by_ben])
        assert np.array_equal(second[~by_ben & ~by_anna], plate[~by_ben & ~by_anna])
        changed[0] += (first != plate)[by_anna & ~by_ben].sum()
        changed[1] += (second != first)[by_ben & by_anna].sum()
        assert (by_anna & ~by_ben).any() and (by_ben & by_anna).any() and (~by_ben & ~by_anna).any()
    assert min(changed) > 1000


def test_two_characters_from_the_command_line(two: Any, served: Served, tmp_path: Path, capsys: Any) -> None:
    shots = tmp_path / "shots"
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(shots)]
    assert main(["generate", "--strip", "plate", *where, "--json"]) == 0
    *steps, last = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"stage"')]
    assert last["takes"] == [str(shots / name / "takes" / "v001") for name in ("SH010", "SH010_Ben")]
    check_takes(shots)
    wholes = [step["whole"] for step in steps]
    assert wholes == sorted(wholes)
    assert wholes[-1] == 1.0
    assert list(dict.fromkeys(step["person"] for step in steps)) == ["Anna (1 of 2)", "Ben (2 of 2)"]
    bpy.ops.wm.revert_mainfile()
    strips = timeline.strips(bpy.context.scene.sequence_editor)
    channels = [strips[f"{name} v001 character"].channel for name in ("SH010", "SH010_Ben")]
    assert channels == [4, 5]
    over = ["--person", "Ben", "--base", str(shots / "SH010" / "takes" / "v001")]
    assert main(["export", "--strip", "plate", "--out", str(shots), *over]) == 0
    again = [folder / wire.SHOT_FILE for folder in sorted((shots / "SH010_Ben").glob("e*"))]
    assert [file.parent.name for file in again] == ["e001", "e002"]
    assert again[0].read_bytes() == again[1].read_bytes()


def test_two_characters_from_the_panel(
    two: Any, served: Served, background: Path, tmp_path: Path
) -> None:  # fmt: skip
    use(served)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    until_done(two.wan_animate.uid)
    news = desk.latest[two.wan_animate.uid]
    assert news.problem is None
    assert news.result == "SH010 v001 character is on channel 4; SH010_Ben v001 character is on channel 5"
    check_takes(tmp_path / "wan_animate")
    assert list(background.iterdir()) == []


def test_what_was_finished_stays_when_the_next_one_fails(two: Any, served: Served, tmp_path: Path, capsys: Any) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    (shots / "SH010_Ben").write_text("a file, where Ben's exports should go")
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(shots)]
    assert main(["generate", "--strip", "plate", *where]) == wire.ExitCode.BAD_INPUT
    message = capsys.readouterr().err
    assert message.startswith("Ben: cannot write to ")
    assert message.endswith("; what was made of Anna stays\n")
    bpy.ops.wm.revert_mainfile()
    assert "SH010 v001 character" in timeline.strips(bpy.context.scene.sequence_editor)


def test_several_people_are_exported_one_by_one(two: Any, capsys: Any) -> None:
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.BAD_INPUT
    assert "has several people; choose one of Anna, Ben by --person" in capsys.readouterr().err
    assert main(["export", "--strip", "plate", "--person", "Cleo"]) == wire.ExitCode.BAD_INPUT
    assert "has 0 people called 'Cleo'" in capsys.readouterr().err


# --- a take as plate ------------------------------------------------------------------------------


def other_raster(strip: Any, _: Path) -> None:
    strip.wan_animate.raster = "canvas"


def other_strip(strip: Any, _: Path) -> None:
    strip.wan_animate.uid = "another"


def longer(strip: Any, _: Path) -> None:
    timeline.set_frame_range(strip, 10, 19)


def without_frame(_: Any, take: Path) -> None:
    (take / "comp" / "1003.png").unlink()


def without_record(_: Any, take: Path) -> None:
    (take / wire.TAKE_FILE).unlink()


@pytest.mark.parametrize(("change", "sentence"), [
    (without_record, "holds no take"),
    (other_strip, "was made from another strip than 'plate'"),
    (longer, "covers frames 12 to 16 and the strip 'plate' 10 to 18"),
    (without_frame, "1003.png is missing or truncated"),
    (other_raster, "has 80×48 pixels of the source and the strip 'plate' now 80×48 pixels of the canvas"),
])  # fmt: skip
def test_a_take_that_cannot_be_the_plate_is_refused_with_a_sentence(
    edit: Any, plate: Any, tmp_path: Path, change: Callable[[Any, Path], object], sentence: str
) -> None:
    (request,) = prepare(edit, plate, tmp_path / "shots")
    take = take_of(export_of(plate, tmp_path / "shots"), layer="comp")
    assert check(replace(request, base=take)) == []
    change(plate, take)
    (request,) = requests(edit, plate, tmp_path / "shots")
    assert any(sentence in one for one in check(replace(request, base=take)))


def test_handles_are_those_that_the_take_has(edit: Any, plate: Any, tmp_path: Path) -> None:
    plate.wan_animate.handles = 3
    timeline.set_frame_range(timeline.strips(edit.sequence_editor)["matte"], 10, 19)
    (request,) = prepare(edit, plate, tmp_path / "shots")
    assert len(frame_table(request)[0]) == 9
    take = take_of(export_of(plate, tmp_path / "shots", handles=1), layer="comp")
    rows, cut_in, cut_out = frame_table(replace(request, base=take))
    assert [row.timeline for row in rows] == list(range(11, 18))
    assert (cut_in, cut_out) == (1002, 1006)


def test_a_take_lies_above_those_of_the_people_behind_wherever_there_is_room(
    edit: Any, plate: Any, tmp_path: Path
) -> None:
    plate.wan_animate.add_person().name = "Ben"
    prepare(edit, plate, tmp_path / "shots")
    takes = [take_of(export_of(plate, tmp_path / "shots", name=name)) for name in ("SH010", "SH010_Ben")]
    (behind,) = import_take(edit, takes[0])
    behind.channel = 7
    (front,) = import_take(edit, takes[1])
    assert (behind.channel, front.channel) == (7, 8)


def test_the_next_take_of_the_person_behind_stays_below_the_one_in_front(
    edit: Any, plate: Any, tmp_path: Path
) -> None:  # fmt: skip
    plate.wan_animate.add_person().name = "Ben"
    prepare(edit, plate, tmp_path / "shots")
    exports = [export_of(plate, tmp_path / "shots", name=name) for name in ("SH010", "SH010_Ben")]
    behind, front = (import_take(edit, take_of(export))[0] for export in exports)
    (again,) = import_take(edit, take_of(exports[0]), options=Options(make_room=True))
    assert behind.channel < again.channel < front.channel
    assert (behind.mute, again.mute, front.mute) == (True, False, False)
