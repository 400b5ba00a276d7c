"""The verb: from a strip and a rig to a complete shot folder, and nothing else changed in Blender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_sound, noise, read_png, write_png

from wan_animate_blender import character, matte, timeline, wire
from wan_animate_blender.checks import check
from wan_animate_blender.commission import Request, RigTime, frame_table
from wan_animate_blender.edges import Edges
from wan_animate_blender.export import Progress, export
from wan_animate_blender.wire import Alpha, BadInput, FaceSource, Finish, Mode, RasterKind, Settings


def load(file: Path) -> bpy.types.Image:
    return bpy.data.images.load(str(file))


@pytest.fixture
def request_(
    edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object, tmp_path: Path
) -> Request:
    """A trimmed strip with a matte strip over it, to be replaced by what the metarig does."""
    strip = film("plate", frames=16, first=10)
    timeline.set_frame_range(strip, 14, 20)
    disc = film("disc", lambda i: np.full((48, 80, 3), 10 * i, np.uint8), frames=16, first=10, channel=2)
    return Request(
        scene=edit, strip=strip, root=tmp_path / "shots", name="SH010", uid="strip-1", handles=2, rig=metarig,
        character=load(write_png(tmp_path / "hero.png", noise(1, 60, 80))), matte=matte.FromStrip(disc),
        face=FaceSource.PLATE, settings=wire.Settings(steps=4),
    )  # fmt: skip


def finish(request: Request) -> tuple[list[Progress], Path]:
    steps, generator = [], export(request)
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return steps, end.value


def test_an_export_is_a_complete_shot_folder(request_: Request) -> None:
    steps, folder = finish(request_)
    shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
    assert folder == request_.root / "SH010" / "e001"
    assert (shot.name, shot.strip, shot.mode, shot.fps) == ("SH010", "strip-1", Mode.REPLACE, Fraction(24))
    assert [row.shot for row in shot.frames] == list(range(1001, 1011))
    assert [row.timeline for row in shot.frames] == list(range(12, 22))
    assert [row.source for row in shot.frames] == list(range(2, 12))
    assert [row.rig for row in shot.frames] == list(range(3, 13))
    assert (shot.cut_in, shot.cut_out) == (1003, 1008)
    assert len(shot.sequence("plate")) == len(shot.sequence("matte")) == 10
    assert shot.files == wire.list_files(folder, {wire.SHOT_FILE})
    assert [step.done for step in steps] == list(range(1, 31))
    assert {step.total for step in steps} == {30}
    for i, name in enumerate(shot.sequence("plate")):
        assert np.array_equal(read_png(folder / name), noise(i + 2))
    for i, name in enumerate(shot.sequence("matte")):
        assert (read_png(folder / name) == 10 * (i + 2)).all()
    assert (folder / shot.character).read_bytes() == character.path(request_.character).read_bytes()
    pose = np.load(folder / wire.POSE_FILE)
    assert pose["keypoints"].shape == (10, 133, 3)
    assert pose["face_box"].shape == (10, 4)


def test_a_shot_says_who_has_it_made_and_by_whose_leave_and_is_the_same_export(request_: Request) -> None:
    given = wire.Provenance(by="Ada", consent="release of 3 May")
    shots = [
        wire.Shot.loads((finish(asked)[1] / wire.SHOT_FILE).read_bytes())
        for asked in (replace(request_, provenance=given), request_)
    ]
    assert [shot.provenance for shot in shots] == [given, wire.Provenance()]
    assert shots[0].hash == shots[1].hash


def test_exporting_again_makes_the_next_version(request_: Request) -> None:
    folders = [finish(request_)[1] for _ in range(2)]
    assert [folder.name for folder in folders] == ["e001", "e002"]
    shots = [wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes()) for folder in folders]
    assert shots[0].hash == shots[1].hash
    assert b"tEXt" not in (folders[0] / shots[0].sequence("matte")[0]).read_bytes()


def test_a_strip_that_is_trimmed_longer_exports_the_frames_that_it_had_as_they_were(request_: Request) -> None:
    """By which a server knows them again, and renders the new ones only."""
    request = replace(request_, handles=1)
    shots, poses, folders = [], [], []
    for start, end in ((15, 18), (14, 20)):
        timeline.set_frame_range(request.strip, start, end)
        folders.append(finish(request)[1])
        shots.append(wire.Shot.loads((folders[-1] / wire.SHOT_FILE).read_bytes()))
        poses.append(np.load(folders[-1] / wire.POSE_FILE))
    old, new = shots
    assert len(new.frames) == len(old.frames) + 3
    for i, row in enumerate(old.frames):
        (place,) = [k for k, other in enumerate(new.frames) if other.source == row.source]
        for layer in ("plate", "matte"):
            one, other = old.sequence(layer)[i], new.sequence(layer)[place]
            assert old.files[one] == new.files[other]
        np.testing.assert_array_equal(poses[0]["keypoints"][i], poses[1]["keypoints"][place])
    assert old.files[old.character] == new.files[new.character]


def test_the_rigs_face_is_rendered_for_every_frame(request_: Request) -> None:
    request = replace(request_, face=FaceSource.RIG, mode=Mode.ANIMATE, matte=None, handles=0)
    timeline.set_frame_range(request.strip, 14, 16)
    steps, folder = finish(request)
    shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
    assert [step.what for step in steps] == ["pose", "pose", "plate", "plate", "face", "face"]
    assert [read_png(folder / name).shape for name in shot.sequence("face")] == [(512, 512, 3)] * 2
    assert shot.sequence("matte") == []
    assert np.isfinite(np.load(folder / wire.POSE_FILE)["face_box"]).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rig_time": RigTime.SOURCE, "rig_start": 101.5}, [101.5 + i for i in range(2, 12)]),
        ({"rig_time": RigTime.TIMELINE}, list(range(12, 22))),
        ({"handles": 100}, list(range(1, 17))),
    ],
)
def test_the_rig_follows_the_footage_or_the_edit(
    request_: Request, changes: dict[str, Any], expected: list[float]
) -> None:
    rows, cut_in, cut_out = frame_table(replace(request_, **changes))
    assert [row.rig for row in rows] == expected
    assert [rows[number - 1001].timeline for number in (cut_in, cut_out)] == [14, 19]


def test_the_frame_rate_stays_an_exact_fraction(request_: Request) -> None:
    request_.scene.render.fps, request_.scene.render.fps_base = 24, 1.001
    _, folder = finish(request_)
    assert wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes()).fps == Fraction(24000, 1001)


# --- what lies upon the plate ---------------------------------------------------------------------


def test_an_artists_region_and_a_clean_plate_are_exported_for_the_same_frames(
    request_: Request, film: Callable[..., Any]
) -> None:
    wide = film("wide", lambda i: np.full((48, 80, 3), 5 * i, np.uint8), frames=15, first=11, channel=3)
    empty = film("empty", lambda i: noise(i + 50), frames=16, first=10, channel=4)
    request = replace(request_, handles=5, region=matte.FromStrip(wide), clean_plate=empty)
    steps, folder = finish(request)
    shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
    assert [row.source for row in shot.frames] == list(range(1, 15))  # the region begins a frame later
    assert [step.done for step in steps] == list(range(1, 5 * 14 + 1))
    assert steps[-1].total == 5 * 14
    for i, name in enumerate(shot.sequence("region")):
        assert (read_png(folder / name) == 5 * i).all()
    for i, name in enumerate(shot.sequence("cleanplate")):
        assert np.array_equal(read_png(folder / name), noise(i + 51))


def test_edges_change_the_matte_and_not_the_region(request_: Request, film: Callable[..., Any]) -> None:
    spot = np.zeros((48, 80, 3), np.uint8)
    spot[20:30, 30:50] = 255
    both = matte.FromStrip(film("spot", lambda _: spot, frames=16, first=10, channel=3))
    request = replace(request_, matte=both, region=both, edges=Edges(grow=3.0), handles=0)
    folder = finish(request)[1]
    shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
    assert np.array_equal(read_png(folder / shot.sequence("region")[0]), spot)
    assert (read_png(folder / shot.sequence("matte")[0])[25, 27:53] == 255).all()


def test_a_shadow_that_is_kept_is_exported_for_the_same_frames(request_: Request, film: Callable[..., Any]) -> None:
    lying = film("lying", lambda i: np.full((48, 80, 3), 5 * i, np.uint8), frames=14, first=12, channel=3)
    empty = film("empty", lambda i: noise(i + 50), frames=16, first=10, channel=4)
    keyed = Settings(finish=Finish(alpha=Alpha.DIFFERENCE))
    request = replace(
        request_, handles=5, effects=matte.FromStrip(lying), clean_plate=empty, settings=keyed
    )  # fmt: skip
    folder = finish(request)[1]
    shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
    assert shot.frames[0].timeline == 12, "it begins two frames later than the plate"
    for i, name in enumerate(shot.sequence("effects")):
        assert (read_png(folder / name) == 5 * i).all()
    off = replace(keyed, finish=replace(keyed.finish, effects=0.0))
    assert not (finish(replace(request, settings=off))[1] / "effects").exists()


def test_a_shadow_without_a_clean_plate_to_fall_on_is_said(request_: Request, film: Callable[..., Any]) -> None:
    lying, empty = (film(name, frames=16, first=10, channel=c) for c, name in ((3, "lying"), (4, "empty")))
    request = replace(request_, effects=matte.FromStrip(lying), clean_plate=empty)
    (sentence,) = check(request)
    assert "choose a clean plate and the alpha 'Difference', or keep none of them" in sentence
    keyed = replace(request, settings=Settings(finish=Finish(alpha=Alpha.DIFFERENCE)))
    assert not check(keyed)
    short = film("short", frames=2, first=14, channel=5)
    (sentence,) = check(replace(keyed, effects=matte.FromStrip(short)))
    assert "the effects matte 'short' covers frames 14 to 15" in sentence
    assert not check(replace(request, mode=Mode.ANIMATE))


def test_animating_needs_neither_matte_nor_region_nor_clean_plate(request_: Request, film: Callable[..., Any]) -> None:
    short = film("short", frames=2, first=14, channel=3)
    request = replace(request_, mode=Mode.ANIMATE, region=matte.FromStrip(short), clean_plate=short, handles=0)
    assert check(request) == []
    folder = finish(request)[1]
    assert not [each for each in ("matte", "region", "cleanplate") if (folder / each).exists()]


def test_a_region_or_clean_plate_that_does_not_fit_is_said(request_: Request, film: Callable[..., Any]) -> None:
    short = film("short", frames=2, first=14, channel=3)
    (sentence,) = check(replace(request_, region=matte.FromStrip(short)))
    assert "the region 'short' covers frames 14 to 15 and the plate 'plate' 14 to 19; let the region cover" in sentence
    (sentence,) = check(replace(request_, clean_plate=short))
    assert "the clean plate 'short' covers frames 14 to 15" in sentence


def test_an_alpha_by_difference_asks_for_a_clean_plate(request_: Request, film: Callable[..., Any]) -> None:
    settings = Settings(finish=Finish(alpha=Alpha.DIFFERENCE))
    (sentence,) = check(replace(request_, settings=settings))
    assert "has no clean plate, from which an alpha by difference is made; choose one" in sentence
    assert not check(replace(request_, settings=settings, clean_plate=film("empty", frames=6, first=14, channel=3)))
    assert not check(replace(request_, settings=settings, mode=Mode.ANIMATE))


# --- what is left behind --------------------------------------------------------------------------


def everything() -> dict[str, list[str]]:
    """Names of all datablocks of the file, by kind."""
    kinds = [name for name, kind in bpy.data.bl_rna.properties.items() if kind.type == "COLLECTION"]
    return {kind: [block.name for block in getattr(bpy.data, kind)] for kind in kinds}


def as_it_stands(scene: bpy.types.Scene) -> dict[str, object]:
    """What an export has no business to change."""
    render = scene.render
    return {
        "blocks": everything(),
        "frame": (scene.frame_current, scene.frame_subframe, scene.frame_start, scene.frame_end),
        "camera": scene.camera.name,
        "render": {name: str(getattr(render, name)) for name in render.bl_rna.properties.keys()},  # noqa: SIM118
        "image": {name: str(getattr(render.image_settings, name)) for name in ("file_format", "color_mode")},
        "view": (scene.view_settings.view_transform, scene.view_settings.look),
        "engine": (scene.cycles.samples, scene.cycles.device, scene.world),
        "strips": [
            (s.name, s.channel, s.mute, s.select, timeline.frame_range(s), s.transform.scale_x, len(s.modifiers))
            for s in timeline.strips_all(scene.sequence_editor)
        ],
        "active": (bpy.context.scene.name, bpy.context.object.name, bpy.context.object.mode),
    }


def test_nothing_else_changes_in_the_file(request_: Request) -> None:
    scene = request_.scene
    bpy.ops.mesh.primitive_cube_add(size=0.5)
    bpy.context.object.parent = request_.rig
    mask = bpy.data.masks.new("outline")
    mask.layers.new()
    scene.frame_set(7, subframe=0.25)
    before = as_it_stands(scene)
    timeline.set_frame_range(request_.strip, 14, 15)
    changed = as_it_stands(scene)
    assert changed != before  # the comparison sees strips
    for source in (matte.FromRig(), matte.FromMask(mask), request_.matte):
        finish(replace(request_, matte=source, handles=0, face=FaceSource.RIG, raster=RasterKind.CANVAS))
        assert as_it_stands(scene) == changed


@pytest.mark.parametrize("steps", [1, 12, 25])
def test_a_cancelled_export_leaves_no_folder_and_no_scene(request_: Request, steps: int) -> None:
    before = as_it_stands(request_.scene)
    generator = export(request_)
    for _ in range(steps):
        next(generator)
    generator.close()
    assert as_it_stands(request_.scene) == before
    assert not list(request_.root.rglob("e*"))


def test_an_export_that_fails_half_way_leaves_no_folder(request_: Request) -> None:
    generator = export(request_)
    for _ in range(12):
        next(generator)
    for file in (request_.root.parent / "plate").iterdir():
        file.unlink()
    with pytest.raises(OSError, match="No such file"):
        for _ in generator:
            pass
    assert not list(request_.root.rglob("e*"))


# --- bad input ------------------------------------------------------------------------------------


def refusal(request: Request) -> str:
    """The sentence with which `request` is refused, by the preflight and by the export alike; nothing is written."""
    sentences = check(request)
    with pytest.raises(BadInput) as problem:
        next(export(request))
    assert str(problem.value) == sentences[0]
    assert not request.root.is_dir() or not list(request.root.rglob("e*"))
    return sentences[0]


def test_a_good_request_has_nothing_against_it(request_: Request) -> None:
    assert check(request_) == []


def test_a_strip_without_picture_is_refused(request_: Request, tmp_path: Path) -> None:
    sound = new_sound(request_.scene.sequence_editor, tmp_path / "a.wav", channel=5)
    assert refusal(replace(request_, strip=sound)).startswith("the strip 'dialog' is sound and has no picture")


def test_a_missing_rig_is_refused(request_: Request) -> None:
    assert refusal(replace(request_, rig=None)) == "no rig is chosen; choose the armature that moves the character"


def test_a_rig_that_no_map_fits_is_refused(request_: Request) -> None:
    request_.rig.data = bpy.data.armatures.new("bare")
    assert refusal(request_).startswith("no bone map fits the rig 'metarig': the best one, guessed, finds 0 of 12")


def test_a_missing_camera_is_refused(request_: Request) -> None:
    request_.scene.camera = None
    assert refusal(request_).startswith("the scene 'Scene' has no camera; add the one that filmed the plate")


def test_a_missing_matte_is_refused_where_a_person_is_replaced(request_: Request) -> None:
    assert refusal(replace(request_, matte=None)).startswith("no matte is chosen, and replacing a person needs one")
    assert check(replace(request_, matte=None, mode=Mode.ANIMATE)) == []


def test_a_character_that_is_not_there_is_refused(request_: Request, tmp_path: Path) -> None:
    file = tmp_path / "hero.png"
    file.unlink()
    assert refusal(request_) == f"the character picture {file} is not there; choose a picture of the character"


def test_a_character_that_is_no_picture_is_refused(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "hero.txt").write_text("a tall woman in a red coat")
    sentence = refusal(replace(request_, character=load(tmp_path / "hero.txt")))
    assert sentence.startswith("the character hero.txt is no picture")


@pytest.mark.parametrize("broken", [b"a tall woman in a red coat", b""])
def test_a_character_picture_with_other_contents_or_cut_off_is_refused(
    request_: Request, tmp_path: Path, broken: bytes
) -> None:
    (tmp_path / "hero2.png").write_bytes(broken or (tmp_path / "hero.png").read_bytes()[:3000])
    sentence = refusal(replace(request_, character=load(tmp_path / "hero2.png")))
    assert sentence == "the character picture hero2.png cannot be read; save it again as PNG or choose another file"


def test_a_name_that_is_no_folder_name_is_refused(request_: Request) -> None:
    assert refusal(replace(request_, name="../SH010")).startswith("shot name is ../SH010, expected 1 to 64 letters")


def test_a_folder_that_cannot_be_written_is_refused(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    request = replace(request_, root=tmp_path / "file" / "shots")
    assert refusal(request) == f"cannot write to {request.root}; choose a folder that you may write to"


def test_all_that_is_wrong_is_said_at_once_and_each_once(request_: Request) -> None:
    sentences = check(replace(request_, rig=None, name="", character=None))
    assert len(sentences) == len(set(sentences)) == 3
