"""Shot folders: a complete one is read as it was written, and every kind of damage is one clear sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import SHOT_FILE, BadInput, Colour, Encoding, FaceSource, Mode, Shot, list_files
from wan_animate_server.shot import load
from wan_animate_server.signals import ShotSignals
from wan_animate_server.video import write_picture

from .conftest import HEIGHT, WIDTH, Make, make_light, relist_files, write_shot


def complaint(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence, "an error is one sentence"
    return sentence


def rewrite_pose(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "pose.npz", **arrays)
    relist_files(folder)


def test_a_complete_shot_is_read_as_it_was_written(make_shot: Make) -> None:
    shot = load(make_shot(frames=3))
    assert shot.keypoints.shape == (3, 133, 3)
    assert shot.face_box.tolist() == [[20, 8, 34, 20]] * 3
    assert shot.character.shape == (80, 60, 3)
    for i in range(3):
        on_disk = cv2.cvtColor(cv2.imread(str(shot.folder / f"plate/{1001 + i}.png")), cv2.COLOR_BGR2RGB)
        assert np.array_equal(shot.plate(i), on_disk)
        assert shot.matte(i).shape == (HEIGHT, WIDTH)


def test_a_16_bit_plate_keeps_its_bits_and_is_8_bit_for_the_model(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    deep = np.full((HEIGHT, WIDTH, 3), 257 * 100 + 1, np.uint16)
    cv2.imwrite(str(folder / "plate/1001.png"), deep)
    relist_files(folder)
    shot = load(folder)
    assert np.array_equal(shot.stored_plate(0), deep)
    assert np.array_equal(shot.plate(0), np.full((HEIGHT, WIDTH, 3), 100, np.uint8))


def test_animate_mode_needs_neither_plate_nor_matte(make_shot: Make) -> None:
    folder = make_shot(frames=2, mode=Mode.ANIMATE)
    for path in [*folder.glob("plate/*"), *folder.glob("matte/*")]:
        path.unlink()
    relist_files(folder)
    assert not any(load(folder).sequences.values())


def test_a_folder_without_a_shot_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in complaint(tmp_path)
    assert "shot.json" in complaint(tmp_path)


def test_a_shot_that_is_not_json_is_refused(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    (folder / SHOT_FILE).write_text("{")
    assert "not valid JSON" in complaint(folder)


def test_a_shot_of_another_wire_version_says_who_must_be_updated(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    data = json.loads((folder / SHOT_FILE).read_text())
    (folder / SHOT_FILE).write_text(json.dumps(data | {"schema": 99}))
    assert "wire version 99, expected 1; update this software" in complaint(folder)


def test_a_missing_frame_is_named(make_shot: Make) -> None:
    folder = make_shot(frames=5)
    (folder / "plate/1003.png").unlink()
    assert "plate/1003.png" in complaint(folder)


def test_a_frame_that_was_never_exported_is_named(make_shot: Make) -> None:
    folder = make_shot(frames=5)
    (folder / "matte/1004.png").unlink()
    relist_files(folder)
    assert "4 of 5 matte frames, matte/1004 is the first one missing" in complaint(folder)


def test_a_frame_cut_off_on_its_way_is_named(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    path = folder / "plate/1002.png"
    path.write_bytes(path.read_bytes()[:-100])
    assert "plate/1002.png" in complaint(folder)
    assert "cut off" in complaint(folder)


def test_a_frame_that_was_truncated_before_the_export_is_named(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    path = folder / "plate/1002.png"
    path.write_bytes(path.read_bytes()[:-100])
    relist_files(folder)
    assert "plate/1002.png" in complaint(folder)
    assert "ends in its middle" in complaint(folder)


def test_a_frame_that_changed_after_the_export_is_named(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    path = folder / "matte/1003.png"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert "matte/1003.png" in complaint(folder)
    assert "not the file that was exported" in complaint(folder)


def test_a_frame_that_is_no_png_is_named(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    (folder / "plate/1001.png").write_text("hello")
    relist_files(folder)
    assert "plate/1001.png" in complaint(folder)
    assert "not a PNG" in complaint(folder)


def test_a_frame_whose_middle_is_damaged_is_found_when_it_is_read(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    path = folder / "plate/1001.png"
    data = bytearray(path.read_bytes())
    data[60:-60] = bytes(len(data) - 120)
    path.write_bytes(data)
    relist_files(folder)
    with pytest.raises(BadInput, match=r"plate/1001\.png"):
        load(folder).plate(0)


def test_a_frame_of_another_size_is_named_with_both_sizes(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    cv2.imwrite(str(folder / "plate/1002.png"), np.zeros((10, 20, 3), np.uint8))
    relist_files(folder)
    assert f"plate/1002.png is 20×10 pixels, expected {WIDTH}×{HEIGHT}" in complaint(folder)


def test_replace_mode_without_a_matte_says_what_to_choose(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    for path in folder.glob("matte/*"):
        path.unlink()
    relist_files(folder)
    assert "has no matte frames, replace mode needs one for each of its 2 frames" in complaint(folder)


@pytest.mark.parametrize(("face", "layer"), [(FaceSource.RIG, "face"), (FaceSource.PLATE, "plate")])
def test_an_expression_needs_the_pictures_it_comes_from(make_shot: Make, face: FaceSource, layer: str) -> None:
    folder = make_shot(frames=2, mode=Mode.ANIMATE, face=face)
    for path in [*folder.glob("plate/*"), *folder.glob("matte/*")]:
        path.unlink()
    relist_files(folder)
    assert f"has no {layer} frames, an expression from the {face}" in complaint(folder)


def test_a_face_picture_of_another_size_is_refused(make_shot: Make) -> None:
    folder = make_shot(frames=1, face=FaceSource.RIG)
    (folder / "face").mkdir()
    cv2.imwrite(str(folder / "face/1001.png"), np.zeros((256, 256, 3), np.uint8))
    relist_files(folder)
    assert "face/1001.png is 256×256 pixels, expected 512×512" in complaint(folder)


def test_as_many_poses_as_frames_are_needed(make_shot: Make) -> None:
    folder = make_shot(frames=4)
    rewrite_pose(folder, keypoints=np.zeros((3, 133, 3), np.float32))
    assert "3 poses, the shot has 4 frames" in complaint(folder)


def test_as_many_face_boxes_as_frames_are_needed(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    rewrite_pose(folder, keypoints=np.zeros((2, 133, 3), np.float32), face_box=np.zeros((5, 4), np.float32))
    assert "5 face boxes, the shot has 2 frames" in complaint(folder)


def test_poses_of_another_number_of_points_are_refused(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    rewrite_pose(folder, keypoints=np.zeros((2, 17, 3), np.float32))
    assert "shape (2, 17, 3), expected (2, 133, 3)" in complaint(folder)


def test_a_pose_file_without_keypoints_is_refused(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    rewrite_pose(folder, points=np.zeros((2, 133, 3), np.float32))
    assert "'keypoints' among them" in complaint(folder)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 but no more", b"\x93NUMPY"])
def test_a_damaged_pose_file_is_refused(make_shot: Make, data: bytes) -> None:
    folder = make_shot(frames=2)
    (folder / "pose.npz").write_bytes(data)
    relist_files(folder)
    assert "pose.npz" in complaint(folder)


def test_a_pose_file_with_python_objects_is_refused_unread(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    rewrite_pose(folder, keypoints=np.array([{"a": 1}], object))
    assert "pose.npz" in complaint(folder)


def test_points_behind_the_camera_are_nan_without_confidence(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    points = np.ones((1, 133, 3), np.float32)
    points[0, 3] = (np.nan, np.nan, 0)
    rewrite_pose(folder, keypoints=points)
    assert np.isnan(load(folder).keypoints[0, 3, 0])
    points[0, 3, 2] = 1
    rewrite_pose(folder, keypoints=points)
    assert "claims to be seen" in complaint(folder)


@pytest.mark.parametrize("confidence", [-0.1, 1.5, np.nan])
def test_a_confidence_outside_0_to_1_is_refused(make_shot: Make, confidence: float) -> None:
    folder = make_shot(frames=1)
    points = np.ones((1, 133, 3), np.float32)
    points[0, 0, 2] = confidence
    rewrite_pose(folder, keypoints=points)
    assert "confidence" in complaint(folder)


def test_a_shot_without_boxes_has_nan_for_each(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    rewrite_pose(folder, keypoints=np.zeros((2, 133, 3), np.float32))
    assert np.isnan(load(folder).face_box).all()


@pytest.mark.parametrize("data", [b"", b"this is no picture", b"\x89PNG\r\n\x1a\n and then nothing"])
def test_a_character_that_is_no_picture_is_refused(make_shot: Make, data: bytes) -> None:
    folder = make_shot(frames=1)
    (folder / "character.png").write_bytes(data)
    relist_files(folder)
    assert "character.png" in complaint(folder)


def test_a_character_that_is_not_listed_is_refused(make_shot: Make) -> None:
    folder = make_shot(frames=1, character="hero.png")
    assert "does not list hero.png" in complaint(folder)


def test_a_character_may_be_a_jpeg(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    cv2.imwrite(str(folder / "hero.jpeg"), np.full((30, 20, 3), 128, np.uint8))
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(shot, character="hero.jpeg", files=list_files(folder, {SHOT_FILE})))
    assert load(folder).character.shape == (30, 20, 3)


# --- scene-linear plates --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_scene_linear_plate_keeps_its_bits_and_is_8_bit_for_the_model(make_shot: Make, kind: type) -> None:
    folder = make_shot(frames=1)
    was = load(folder).plate(0)
    shot = load(make_light(folder, kind=kind))
    stored = shot.stored_plate(0)
    assert stored.dtype == kind
    assert np.isnan(stored[0, :3]).all() and np.isposinf(stored[0, 3:6]).all() and (stored[0, 6:9] == -0.25).all()
    assert shot.plate(0).dtype == np.uint8
    assert np.array_equal(shot.plate(0)[10:], was[10:])
    assert shot.plate(0)[0, :9, 0].tolist() == [0] * 3 + [255] * 3 + [0] * 3
    assert (shot.plate(0)[1:10] == 255).mean() > 0.8, "the lamp is white"


def test_a_colour_space_that_is_not_known_is_refused_before_files_are_read(make_shot: Make) -> None:
    folder = make_shot(frames=1, colour=Colour(encoding=Encoding.LINEAR, working_space="Mine"))
    assert "colour space 'Mine', which this server does not know; convert it to ACEScg" in complaint(folder)


def test_a_linear_plate_that_is_no_exr_is_refused(make_shot: Make) -> None:
    folder = make_shot(frames=1, colour=Colour(encoding=Encoding.LINEAR))
    assert "plate/1001.png is not an EXR picture" in complaint(folder)


def test_a_linear_frame_of_another_size_is_named_with_both_sizes(make_shot: Make) -> None:
    folder = make_light(make_shot(frames=2))
    write_picture(folder / "plate/1002.exr", np.zeros((10, 20, 3), np.float16))
    relist_files(folder)
    assert f"plate/1002.exr is 20×10 pixels, expected {WIDTH}×{HEIGHT}" in complaint(folder)


def test_a_linear_frame_that_was_truncated_before_the_export_is_named(make_shot: Make) -> None:
    folder = make_light(make_shot(frames=2))
    path = folder / "plate/1002.exr"
    path.write_bytes(path.read_bytes()[:2000])
    relist_files(folder)
    assert "plate/1002.exr ends in its middle; render that frame" in complaint(folder)


def test_an_expression_is_cut_from_a_linear_plate_too(make_shot: Make) -> None:
    folder = make_shot(frames=1, mode=Mode.ANIMATE, face=FaceSource.PLATE)
    expected = ShotSignals(load(folder), WIDTH * HEIGHT).face(0)
    found = ShotSignals(load(make_light(folder)), WIDTH * HEIGHT).face(0)
    assert np.array_equal(found[200:], expected[200:]), "below the lamp"
    assert not np.array_equal(found, expected)
