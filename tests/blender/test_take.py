"""Takes on the timeline: where they land, what they look like there, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect, noise
from numbered import operate
from takes import enable_addon, export_of, shown, take_of

from wan_animate_blender import footage, identity, timeline
from wan_animate_blender.take import import_take, summary
from wan_animate_blender.wire import TAKE_FILE, BadInput


@pytest.fixture(autouse=True)
def addon(fresh: None) -> None:
    enable_addon()


@pytest.fixture
def plate(trimmed: Any) -> Any:
    return trimmed


def test_a_take_lies_over_the_frames_that_it_was_made_from(edit: Any, plate: Any, tmp_path: Path) -> None:
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert timeline.frame_range(new) == (12, 20)
    assert new.channel == 2
    assert new.name == "SH010 v001 character"
    assert (new.blend_type, new.alpha_mode, new.color_tag) == ("ALPHA_OVER", "STRAIGHT", "COLOR_04")
    assert new.strip_elem_from_frame(12).filename == "1001.png"


def test_handles_are_there_but_trimmed(edit: Any, plate: Any, tmp_path: Path) -> None:
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path, handles=2)))
    assert timeline.frame_range(new) == (12, 20)
    assert len(new.elements) == 12
    assert new.strip_elem_from_frame(12).filename == "1003.png"
    assert footage.handles([], new) == (2, 2)


def test_a_strip_that_moved_meanwhile_takes_its_take_along(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path, handles=2))
    start = "content_start" if hasattr(plate, "content_start") else "frame_start"
    setattr(plate, start, getattr(plate, start) + 100)
    (new,) = import_take(edit, folder)
    assert timeline.frame_range(new) == timeline.frame_range(plate) == (112, 120)
    assert new.strip_elem_from_frame(112).filename == "1003.png"


@pytest.mark.parametrize("setting", [{"use_reverse_frames": True}, {"strobe": 3.0}, {}], ids=str)
def test_a_retimed_strip_that_moved_meanwhile_takes_its_take_along(
    edit: Any, plate: Any, tmp_path: Path, setting: dict[str, Any]
) -> None:
    for name, value in setting.items():
        setattr(plate, name, value)
    if not setting:
        operate(edit, plate, "retiming_segment_speed_set", speed=50.0)
    folder = take_of(export_of(plate, tmp_path, handles=2))
    start = "content_start" if hasattr(plate, "content_start") else "frame_start"
    setattr(plate, start, getattr(plate, start) + 100)
    (new,) = import_take(edit, folder)
    assert timeline.frame_range(new) == timeline.frame_range(plate)
    first, end = timeline.frame_range(new)
    assert [new.strip_elem_from_frame(frame).filename for frame in (first, end - 1)] == [
        "1003.png",
        f"{1002 + end - first}.png",
    ]


def test_a_strip_that_was_retimed_meanwhile_refuses_its_take(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path))
    plate.use_reverse_frames = True
    with pytest.raises(BadInput, match="'plate' has been retimed or reversed since it was exported; undo that"):
        import_take(edit, folder)


def test_a_strip_that_was_trimmed_meanwhile_gets_as_much_as_there_is(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path, handles=1))
    timeline.set_frame_range(plate, 10, 16)
    (new,) = import_take(edit, folder)
    assert timeline.frame_range(new) == (11, 16)
    assert new.strip_elem_from_frame(11).filename == "1001.png"
    assert summary(new) == "SH010 v001 character is on channel 2; frames of 'plate' that it lacks: 1 from 10"


def test_a_strip_that_shows_other_footage_now_is_refused(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path))
    timeline.set_frame_range(plate, 10, 12)
    with pytest.raises(BadInput, match="no frame that the strip 'plate' still shows; trim the strip back to frames 12"):
        import_take(edit, folder)
    assert len(timeline.strips(edit.sequence_editor)) == 1


def test_the_channel_is_free_for_the_handles_too(edit: Any, plate: Any, tmp_path: Path) -> None:
    title = new_effect(edit.sequence_editor, "COLOR", 2, 20, 30)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path, handles=2)))
    assert new.channel == 3
    assert (title.channel, timeline.frame_range(title)) == (2, (20, 30))


def test_the_pixels_of_take_and_plate_coincide_wherever_the_strip_was_put(
    edit: Any, plate: Any, tmp_path: Path
) -> None:
    """A take whose opaque half is the plate itself must not be seen, whatever was done to the strip."""
    way, crop = plate.transform, plate.crop
    way.scale_x, way.scale_y, way.offset_x, way.offset_y, way.rotation = 0.5, 1.5, 7, -4, 0.3
    way.origin, crop.min_x, crop.max_y, plate.use_flip_x = (0.2, 0.7), 9, 5, True
    way.filter = "NEAREST"

    def half(index: int) -> np.ndarray:
        alpha = np.zeros((48, 80, 1), np.uint8)
        alpha[:, :40] = 255
        return np.concatenate([noise(index + 2), alpha], axis=2)

    before = shown(edit, 15, tmp_path / "before.png")
    import_take(edit, take_of(export_of(plate, tmp_path), half))
    assert np.array_equal(shown(edit, 15, tmp_path / "after.png"), before)
    plate.mute = True
    alone = shown(edit, 15, tmp_path / "alone.png")
    assert 0.2 < np.any(alone, axis=2).mean() / np.any(before, axis=2).mean() < 0.8


def test_a_generated_picture_of_another_size_fills_the_canvas(edit: Any, plate: Any, tmp_path: Path) -> None:
    picture = np.full((96, 64, 3), 255, np.uint8)
    export = export_of(plate, tmp_path, mode="animate")
    (new,) = import_take(edit, take_of(export, lambda _: picture, layer="generated"))
    assert new.name == "SH010 v001 generated"
    seen = shown(edit, 15, tmp_path / "seen.png")
    assert np.all(seen[:, 40] == 255)
    assert np.flatnonzero(np.all(seen == 255, axis=(0, 2))).tolist() == list(range(24, 56))


def test_selection_playhead_and_markers_stay(edit: Any, plate: Any, tmp_path: Path) -> None:
    other = new_effect(edit.sequence_editor, "COLOR", 5, 1, 9)
    plate.select, other.select = False, True
    edit.sequence_editor.active_strip = other
    edit.frame_set(7)
    edit.timeline_markers.new("beat", frame=3)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert (plate.select, other.select, new.select) == (False, True, False)
    assert edit.sequence_editor.active_strip == other
    assert edit.frame_current == 7
    assert [(m.name, m.frame) for m in edit.timeline_markers] == [("beat", 3)]
    assert not plate.mute


def test_a_take_of_a_strip_in_a_meta_goes_into_the_same_meta(
    edit: Any, film: Callable[..., Any], tmp_path: Path
) -> None:
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=4, frame_start=10)
    plate = film()
    plate.move_to_meta(meta)
    identity.mark(edit, plate)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert [s.name for s in timeline.path(edit.sequence_editor, new.name)] == ["meta", new.name]
    assert timeline.frame_range(new) == timeline.frame_range(plate)


def test_the_next_take_lies_above_the_one_before(edit: Any, plate: Any, tmp_path: Path) -> None:
    export = export_of(plate, tmp_path)
    first, second = (import_take(edit, take_of(export))[0] for _ in range(2))
    assert (first.channel, second.channel) == (2, 3)
    assert second.name == "SH010 v002 character"


def test_the_same_take_is_not_imported_twice(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path))
    import_take(edit, folder)
    with pytest.raises(BadInput, match="SH010 v001 is in the edit already: 'SH010 v001 character' on channel 2"):
        import_take(edit, folder)


def test_a_take_of_another_strip_is_refused(edit: Any, plate: Any, film: Callable[..., Any], tmp_path: Path) -> None:
    other = film("other", channel=5)
    identity.mark(edit, other)
    with pytest.raises(BadInput, match="was made from another strip than 'other'"):
        import_take(edit, take_of(export_of(plate, tmp_path)), strip=other)


def test_a_take_whose_strip_is_gone_is_refused(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path))
    timeline.strips(edit.sequence_editor).remove(plate)
    with pytest.raises(BadInput, match="made from a strip that the scene 'Scene' does not have"):
        import_take(edit, folder)


@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_a_damaged_frame_is_named(edit: Any, plate: Any, tmp_path: Path, damage: str) -> None:
    folder = take_of(export_of(plate, tmp_path))
    frame = folder / "character" / "1004.png"
    frame.unlink() if damage == "gone" else frame.write_bytes(frame.read_bytes()[:50])
    with pytest.raises(BadInput, match=r"1004\.png is missing or truncated; fetch the take again"):
        import_take(edit, folder)
    assert len(timeline.strips(edit.sequence_editor)) == 1


def test_a_take_that_is_still_rendered_is_refused_with_what_is_missing(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path))
    text = (folder / TAKE_FILE).read_text()
    (folder / TAKE_FILE).write_text(text.replace("character/1008.png", "preview/1008.png"))
    with pytest.raises(BadInput, match="has 7 of 8 frames, character 1008 is the first one missing"):
        import_take(edit, folder)


def test_a_folder_without_a_take_is_refused(edit: Any, plate: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no take"):
        import_take(edit, tmp_path)


def test_a_take_without_its_export_is_refused(edit: Any, plate: Any, tmp_path: Path) -> None:
    export = export_of(plate, tmp_path)
    folder = take_of(export)
    (export / "shot.json").unlink()
    with pytest.raises(BadInput, match="the export that SH010 v001 was rendered from is not in"):
        import_take(edit, folder)


def test_paths_are_relative_in_a_file_that_was_saved(edit: Any, plate: Any, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert new.directory.startswith("//SH010")
    assert Path(bpy.path.abspath(new.directory), "1001.png").is_file()
