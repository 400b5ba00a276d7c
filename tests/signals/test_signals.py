"""What a shot shows the model: each picture of the right size and source, and a digest that tells shots apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import FaceSource, Finish, FrameRow, Mode, Raster, RasterKind, Settings
from wan_animate_server import shot
from wan_animate_server.region import Fit, Letterbox, alpha, model_mask
from wan_animate_server.signals import ShotSignals, pose
from wan_animate_server.video import write_picture

from ..conftest import make_large

Make = Callable[..., Path]

SMALL = 32 * 32
"""An area at which the 64×48 plates of these shots are shrunk."""


def signals(folder: Path, area: int = 10**6) -> ShotSignals:
    return ShotSignals(shot.load(folder), area)


def test_every_picture_has_the_models_size(make_shot: Make) -> None:
    shown = signals(make_shot(frames=3), SMALL)
    size = (shown.height, shown.width)
    assert (shown.mode, shown.frames, size) == (Mode.REPLACE, 3, (32, 32))
    assert shown.reference().shape == shown.pose(0).shape == shown.plate(0).shape == (*size, 3)
    assert shown.reference().dtype == shown.pose(0).dtype == shown.plate(0).dtype == np.uint8
    assert (shown.mask(0).shape, shown.mask(0).dtype) == (size, np.float32)
    assert shown.face(0).shape == (512, 512, 3)


def test_at_its_own_size_the_model_sees_the_plates_own_samples(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    np.testing.assert_array_equal(signals(folder).plate(1), shot.load(folder).plate(1))


def test_the_pose_is_drawn_at_the_models_size_from_the_shots_keypoints(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    shown = signals(folder, SMALL)
    scale = shown.windows[1].fit.scale
    keypoints = shot.load(folder).keypoints[1].astype(np.float64) * [scale, scale, 1]
    np.testing.assert_array_equal(shown.pose(1), pose.draw(keypoints, 32, 32))
    assert (shown.pose(0) != shown.pose(1)).any()


def test_the_reference_is_the_letterboxed_character(make_shot: Make) -> None:
    folder = make_shot(frames=1)
    expected = Letterbox(60, 80, 64, 48).picture(shot.load(folder).character)
    np.testing.assert_array_equal(signals(folder).reference(), expected)


def test_without_a_face_source_the_face_is_black(make_shot: Make) -> None:
    assert not signals(make_shot(frames=1, face=FaceSource.NONE)).face(0).any()


def test_a_face_from_the_plate_is_the_box_of_that_frame(make_shot: Make) -> None:
    folder = make_shot(frames=2, face=FaceSource.PLATE)
    expected = cv2.resize(shot.load(folder).plate(1)[8:20, 20:34], (512, 512))
    np.testing.assert_array_equal(signals(folder).face(1), expected)


def test_a_face_from_the_rig_is_the_rendered_picture(make_shot: Make, relist: Callable[[Path], None]) -> None:
    folder = make_shot(frames=1, face=FaceSource.RIG)
    rendered = np.random.default_rng(3).integers(0, 255, (512, 512, 3), np.uint8)
    (folder / "face").mkdir()
    write_picture(folder / "face" / "1001.png", rendered)
    relist(folder)
    np.testing.assert_array_equal(signals(folder).face(0), rendered)


def test_the_alpha_covers_the_old_person_and_stays_inside_the_region(make_shot: Make) -> None:
    folder = make_shot(frames=2)
    shown, matte = signals(folder), shot.load(folder).matte(1)
    assert (shown.alpha(1)[matte == 255] == 255).all()
    assert not shown.alpha(1)[shown.region(1) == 0].any()
    assert (shown.mask(1)[shown.region(1) > 0] == 1).all()
    assert (shown.region(1)[shown.pose(1).any(axis=-1)] == 255).all()


def test_another_region_needs_no_other_export(make_shot: Make, tmp_path: Path) -> None:
    usual = signals(make_shot(frames=1))
    wide = signals(
        make_shot(frames=1, root=tmp_path / "wide", settings=Settings(region_grow=9.0, finish=Finish(feather=4.0)))
    )
    assert wide.digest([0]) == usual.digest([0])  # of what was exported
    assert wide.region(0).sum() > usual.region(0).sum()
    np.testing.assert_array_equal(wide.alpha(0), alpha(wide.region(0), usual.matte(0), 4.0))
    assert not wide.alpha(0)[wide.region(0) == 0].any()


def test_a_tall_hat_is_inside_the_region_and_the_frame_cuts_it(make_shot: Make, relist: Callable[[Path], None]) -> None:
    """A character with a higher head than the actor's: neither a chopped hat nor the actor's rest may be left."""
    folder = make_shot(frames=1, settings=Settings(region_grow=2.0))
    keypoints = np.zeros((1, 133, 3), np.float32)
    keypoints[0, [0, 1, 2, 3, 4, 5, 6]] = [
        (32, 6, 1), (33, 5, 1), (31, 5, 1), (35, 6, 1), (29, 6, 1), (38, 14, 1), (26, 14, 1),
    ]  # fmt: skip
    keypoints[0, 23:91] = (32, 8, 1)
    keypoints[0, 31] = (32, -9, 1)  # the top of a hat, out of the frame
    np.savez(folder / "pose.npz", keypoints=keypoints)
    relist(folder)
    shown = signals(folder)
    found, matte = shown.region(0), shown.matte(0)
    assert found.shape == (48, 64)
    assert (found[0, 28:37] == 255).all()
    assert (found[2:9, 28:37] == 255).all()
    assert (found[matte >= 8] == 255).all()
    assert (shown.alpha(0)[matte == 255] == 255).all()


def test_a_region_in_the_shot_folder_wins(make_shot: Make, relist: Callable[[Path], None]) -> None:
    folder = make_shot(frames=1)
    drawn = np.zeros((48, 64), np.uint8)
    drawn[10:40, 30:60] = 255
    (folder / "region").mkdir()
    write_picture(folder / "region" / "1001.png", drawn)
    relist(folder)
    shown = signals(folder)
    np.testing.assert_array_equal(shown.region(0), drawn)
    np.testing.assert_array_equal(shown.alpha(0), alpha(drawn, shot.load(folder).matte(0)))


def test_animate_mode_takes_its_size_from_the_character_and_needs_no_plate(make_shot: Make) -> None:
    shown = signals(make_shot(frames=2, mode=Mode.ANIMATE), area=96 * 128)
    assert (shown.width, shown.height) == (96, 128)  # the character is 60×80
    assert shown.reference().all(axis=-1).all()  # and fills it
    frame = np.random.default_rng(0).random((128, 96, 3)).astype(np.float16)
    np.testing.assert_array_equal(shown.windows[0].back(frame), frame)


def test_animate_mode_letterboxes_the_pose_into_the_characters_frame(make_shot: Make) -> None:
    folder = make_shot(frames=1, mode=Mode.ANIMATE)
    shown = signals(folder, area=96 * 128)
    keypoints = Letterbox(64, 48, 96, 128).points(shot.load(folder).keypoints[0])
    np.testing.assert_array_equal(shown.pose(0), pose.draw(keypoints, 96, 128))
    rows = np.flatnonzero(shown.pose(0).any(axis=(1, 2)))
    assert rows[0] >= 28  # the plate's 96×72 pixels lie in the middle of 128 rows
    assert rows[-1] < 100


def test_the_digest_is_the_same_for_the_same_shot_elsewhere(make_shot: Make, tmp_path: Path) -> None:
    here, there = make_shot(frames=2), make_shot(frames=2, root=tmp_path / "elsewhere")
    assert signals(here).digest([0, 1]) == signals(there).digest([0, 1])
    assert len(signals(here).digest([0, 1])) == 64


def test_a_frame_is_known_again_by_its_digest_in_a_longer_shot_and_under_another_number(
    make_shot: Make, tmp_path: Path
) -> None:
    short = signals(make_shot(frames=2))
    rows = tuple(FrameRow(shot=1101 + i, timeline=50.0 + i, source=float(i), rig=1.0 + i) for i in range(3))
    folder = make_shot(frames=3, root=tmp_path / "long")
    loaded = shot.load(folder)
    longer = ShotSignals(replace(loaded, shot=replace(loaded.shot, frames=rows, cut_in=1101, cut_out=1103)), SMALL * 4)
    assert [longer.digest([i]) for i in (0, 1)] == [ShotSignals(short.shot, SMALL * 4).digest([i]) for i in (0, 1)]
    assert len({longer.digest(frames) for frames in ([0], [1], [0, 1], [1, 0], [0, 0])}) == 5


def test_a_frame_is_known_again_whose_face_box_was_averaged_with_other_neighbours(
    make_shot: Make, relist: Callable[[Path], None]
) -> None:
    def told(face: FaceSource, change: str) -> tuple[str, str]:
        loaded = shot.load(folder)
        keypoints, face_box = loaded.keypoints.copy(), loaded.face_box.copy()
        {"box": face_box, "pose": keypoints, "nothing": face_box[:0]}[change][..., 0] += 1
        shown = replace(loaded, shot=replace(loaded.shot, face=face), keypoints=keypoints, face_box=face_box)
        made = ShotSignals(shown, SMALL)
        return made.origin(0), made.digest([0])

    folder = make_shot(frames=1)
    for face, known in ((FaceSource.PLATE, True), (FaceSource.RIG, True), (FaceSource.DRIVING, False)):
        before, after, posed = (told(face, change) for change in ("nothing", "box", "pose"))
        assert (before[0] == after[0]) is known
        assert before[1] != after[1]
        assert posed[0] != before[0] and posed[1] != before[1]


def test_a_changed_frame_changes_its_own_digest_only(make_shot: Make, relist: Callable[[Path], None]) -> None:
    folder = make_shot(frames=2)
    before = signals(folder)
    matte = cv2.imread(str(folder / "matte/1002.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(folder / "matte/1002.png"), 255 - matte)
    relist(folder)
    assert signals(folder).digest([0]) == before.digest([0])
    assert signals(folder).digest([1]) != before.digest([1])
    assert signals(folder).origin(0) == before.origin(0)
    assert signals(folder).origin(1) != before.origin(1)


@pytest.mark.parametrize("changed", ["plate/1002.png", "matte/1001.png", "character.png", "pose.npz"])
def test_any_changed_file_changes_the_digest(make_shot: Make, relist: Callable[[Path], None], changed: str) -> None:
    folder = make_shot(frames=2)
    before = signals(folder).digest([0, 1])
    if changed == "pose.npz":
        loaded = shot.load(folder)
        np.savez(folder / changed, keypoints=loaded.keypoints + np.float32([1, 0, 0]), face_box=loaded.face_box)
    else:
        picture = cv2.imread(str(folder / changed), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(folder / changed), 255 - picture)
    relist(folder)
    assert signals(folder).digest([0, 1]) != before


def test_geometry_and_face_source_change_the_digest_and_settings_do_not(make_shot: Make, tmp_path: Path) -> None:
    base = signals(make_shot(frames=1))
    wide = Raster(kind=RasterKind.SOURCE, width=64, height=48, matrix=(2.0, 0, 0, 0, 2, 0, 0, 0, 1))
    others = [
        signals(make_shot(frames=1, root=tmp_path / "face", face=FaceSource.PLATE)),
        signals(make_shot(frames=1, root=tmp_path / "mode", mode=Mode.ANIMATE)),
        ShotSignals(shot.load(make_shot(frames=1, root=tmp_path / "area")), SMALL),
    ]
    assert len({each.digest([0]) for each in (base, *others)}) == 4
    assert signals(make_shot(frames=1, root=tmp_path / "raster", raster=wide)).digest([0]) == base.digest([0])


# --- a large plate --------------------------------------------------------------------------------

AREA = 96 * 96


def test_on_a_large_plate_every_picture_is_of_the_frames_own_window(make_shot: Make) -> None:
    folder = make_large(make_shot(frames=13, face=FaceSource.PLATE), (40, 150), (30, 4))
    loaded, shown = shot.load(folder), signals(folder, AREA)
    assert shown.windows[0].x < shown.windows[-1].x
    for i in (0, 6, 12):
        window = shown.windows[i]
        x, y, fit = window.x, window.y, window.fit
        part = np.s_[y : y + fit.plate_height, x : x + fit.plate_width]
        np.testing.assert_array_equal(shown.plate(i), fit.picture(loaded.plate(i)[part]))
        keypoints = (loaded.keypoints[i].astype(np.float64) - [x, y, 0]) * [fit.scale, fit.scale, 1]
        np.testing.assert_array_equal(shown.pose(i), pose.draw(keypoints, shown.width, shown.height))
        np.testing.assert_array_equal(shown.mask(i), model_mask(shown.region(i)[part], fit))
        assert np.count_nonzero(shown.region(i)) == np.count_nonzero(shown.region(i)[part])
        assert (cv2.dilate(shown.mask(i), np.ones((3, 3)))[shown.pose(i).any(axis=-1)] == 1).all()
        x0, y0, x1, y1 = loaded.face_box[i].astype(int)
        np.testing.assert_array_equal(shown.face(i), cv2.resize(loaded.plate(i)[y0:y1, x0:x1], (512, 512)))
    np.testing.assert_array_equal(
        shown.reference(), Letterbox(60, 80, shown.width, shown.height).picture(loaded.character)
    )


def test_a_large_plate_is_seen_whole_by_choice(make_shot: Make, tmp_path: Path) -> None:
    on = signals(make_large(make_shot(frames=2), (40, 150)), AREA)
    off = signals(make_large(make_shot(frames=2, root=tmp_path / "off", settings=Settings(roi=False)), (40, 150)), AREA)
    assert on.roi and on.roi.width < 640
    assert off.roi is None
    np.testing.assert_array_equal(off.plate(0), Fit.choose(640, 360, AREA).picture(off.shot.plate(0)))
    assert off.windows[0].fit.block > 2 * on.windows[0].fit.block


def test_another_window_is_another_digest(make_shot: Make, tmp_path: Path) -> None:
    changes = [Settings(), Settings(roi=False), Settings(region_grow=40.0)]
    made = [
        make_large(make_shot(frames=2, root=tmp_path / str(i), settings=each), (40, 150))
        for i, each in enumerate(changes)
    ]
    shown = [signals(folder, AREA) for folder in made]
    assert len({json.dumps(each.shot.shot.to_json()["files"]) for each in shown}) == 1
    assert len({each.digest(range(2)) for each in shown}) == 3


@pytest.mark.parametrize(("area", "grow"), [(10**6, None), (SMALL, 100.0)])
def test_a_small_plate_and_a_person_who_fills_the_frame_are_seen_as_without_a_region_of_interest(
    make_shot: Make, tmp_path: Path, area: int, grow: float | None
) -> None:
    here = signals(make_shot(frames=2, settings=Settings(region_grow=grow)), area)
    there = signals(make_shot(frames=2, root=tmp_path / "off", settings=Settings(region_grow=grow, roi=False)), area)
    assert here.roi is None
    assert here.windows == there.windows
    assert here.digest(range(2)) == there.digest(range(2))
    np.testing.assert_array_equal(here.plate(1), there.plate(1))
    np.testing.assert_array_equal(here.mask(1), there.mask(1))
    np.testing.assert_array_equal(here.pose(1), there.pose(1))


def test_animate_mode_knows_no_region_of_interest(make_shot: Make) -> None:
    shown = signals(make_large(make_shot(frames=2, mode=Mode.ANIMATE), (40, 150)), AREA)
    assert shown.roi is None
    assert shown.windows[0].is_whole
