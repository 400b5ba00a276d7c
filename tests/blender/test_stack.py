"""The takes of a strip: which is seen, compared, kept and removed, what is noted, and how quickly they are listed."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect, noise
from panel import PREFERENCES, Paper
from serving import wait_for
from takes import enable_addon, export_of, over, person, shown, take_of, whole_take_of

from wan_animate_blender import desk, identity, listing, shelf, stack, stacking, timeline
from wan_animate_blender.take import Options, import_take
from wan_animate_blender.wire import REPORT_FILE, TAKE_FILE, BadInput, Take, file_entry


@pytest.fixture(autouse=True)
def addon(fresh: None) -> Any:
    enable_addon()
    yield
    desk.unregister()
    shelf.close()


@pytest.fixture
def plate(edit: bpy.types.Scene, film: Callable[..., Any], tmp_path: Path) -> Any:
    """A marked plate of 12 frames from frame 10, of which the edit shows 12 to 19, and the folder of shots."""
    bpy.context.preferences.addons[PREFERENCES].preferences.shots = str(tmp_path / "shots")
    strip = film()
    timeline.set_frame_range(strip, 12, 20)
    identity.mark(edit, strip)
    strip.wan_animate.shot = "SH010"
    edit.sequence_editor.active_strip = strip
    return strip


@pytest.fixture
def three(edit: Any, plate: Any, tmp_path: Path) -> list[Any]:
    """The strips of three takes, the oldest first."""
    export = export_of(plate, tmp_path / "shots")
    return [import_take(edit, take_of(export))[0] for _ in range(3)]


def seen(strips: list[Any]) -> list[bool]:
    return [not strip.mute for strip in strips]


def entries(edit: Any, plate: Any) -> list[stack.Entry]:
    return stack.of(edit, plate, "SH010")


def listed(edit: Any, strip: Any) -> list[Any]:
    """The rows of the panel's list once everything has been read."""
    listing.show(edit, strip)
    wait_for(lambda: listing.fill() is None)
    return list(bpy.context.window_manager.wan_animate_takes.rows)


# --- what is seen ---------------------------------------------------------------------------------


def test_a_new_take_is_seen_and_the_older_ones_are_not(edit: Any, plate: Any, three: list[Any]) -> None:
    assert seen(three) == [False, False, True]
    assert [strip.channel for strip in three] == [2, 3, 4]
    assert [entry.version for entry in entries(edit, plate)] == [3, 2, 1]
    assert [entry.title for entry in entries(edit, plate)] == ["SH010 v003", "SH010 v002", "SH010 v001"]


def test_a_pinned_take_stays_in_sight(edit: Any, plate: Any, three: list[Any], tmp_path: Path) -> None:
    assert bpy.ops.wan_animate.pin_take(take=three[2].wan_animate.take) == {"FINISHED"}
    (new,) = import_take(edit, take_of(tmp_path / "shots" / "SH010" / "e001"))
    assert seen([*three, new]) == [False, False, True, True]


def test_a_muted_plate_stays_muted_and_its_takes_are_not_shown_unasked(
    edit: Any, plate: Any, three: list[Any], tmp_path: Path
) -> None:
    plate.mute = True
    three[2].mute = True
    import_take(edit, take_of(tmp_path / "shots" / "SH010" / "e001"))
    assert seen([plate, *three]) == [False] * 4


def test_solo_shows_one_take_alone(edit: Any, plate: Any, three: list[Any]) -> None:
    stack.pin(entries(edit, plate)[0], True)
    assert bpy.ops.wan_animate.solo_take(take=three[0].wan_animate.take) == {"FINISHED"}
    assert seen(three) == [True, False, False]


def test_solo_leaves_matte_and_comp_muted(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = whole_take_of(export_of(plate, tmp_path / "shots"))
    new = import_take(edit, folder, options=Options(beside=("matte", "comp")))
    stack.solo(entries(edit, plate), new[0].wan_animate.take)
    assert seen(new) == [True, False, False]


def test_a_and_b_change_places_there_and_back(edit: Any, plate: Any, three: list[Any]) -> None:
    for expected in ([False, True, False], [False, False, True], [False, True, False]):
        assert bpy.ops.wan_animate.compare_takes() == {"FINISHED"}
        assert seen(three) == expected
    bpy.ops.wan_animate.solo_take(take=three[0].wan_animate.take)
    bpy.ops.wan_animate.compare_takes()
    assert seen(three) == [False, False, True]


def test_the_plate_alone_and_back(edit: Any, plate: Any, three: list[Any]) -> None:
    bpy.ops.wan_animate.solo_take(take=three[1].wan_animate.take)
    for expected in ([False] * 3, [False, True, False], [False] * 3):
        assert bpy.ops.wan_animate.compare_takes(against="PLATE") == {"FINISHED"}
        assert seen(three) == expected
        assert not plate.mute


def test_a_and_b_of_one_take_are_it_and_the_plate(edit: Any, plate: Any, tmp_path: Path) -> None:
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path / "shots")))
    for expected in (False, True, False):
        bpy.ops.wan_animate.compare_takes()
        assert new.mute is not expected


def test_without_an_active_strip_the_one_at_the_playhead_is_meant(edit: Any, plate: Any, three: list[Any]) -> None:
    edit.sequence_editor.active_strip = None
    edit.frame_set(15)
    assert bpy.ops.wan_animate.compare_takes(against="PLATE") == {"FINISHED"}
    assert seen(three) == [False] * 3
    edit.frame_set(40)
    with pytest.raises(RuntimeError, match="no strip with takes is active or at the playhead"):
        bpy.ops.wan_animate.compare_takes(against="PLATE")


def test_an_active_take_stands_for_its_strip(edit: Any, plate: Any, three: list[Any]) -> None:
    edit.sequence_editor.active_strip = three[2]
    bpy.ops.wan_animate.compare_takes()
    assert seen(three) == [False, True, False]


# --- the edit goes on -----------------------------------------------------------------------------


def test_a_removed_take_leaves_its_files_and_the_effects(edit: Any, plate: Any, tmp_path: Path) -> None:
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 6, 12, 20, plate)
    folder = whole_take_of(export_of(plate, tmp_path / "shots"))
    new = import_take(edit, folder, options=Options(use_in_effects=True))
    assert blur.input_1 == new[1]
    assert bpy.ops.wan_animate.remove_take(take=new[0].wan_animate.take) == {"FINISHED"}
    assert sorted(strip.name for strip in timeline.strips(edit.sequence_editor)) == ["gaussian_blur", "plate"]
    assert blur.input_1 == plate
    assert timeline.frame_range(blur) == (12, 20)
    assert (folder / TAKE_FILE).is_file()
    import_take(edit, folder)


def test_pieces_of_a_cut_take_are_one_take(edit: Any, plate: Any, three: list[Any]) -> None:
    split_all(edit, 16)
    assert [len(entry.strips) for entry in entries(edit, plate)] == [2, 2, 2]
    stack.solo(entries(edit, plate), three[0].wan_animate.take)
    assert np.array_equal(
        [[not strip.mute for strip in entry.strips] for entry in entries(edit, plate)],
        [[False] * 2, [False] * 2, [True] * 2],
    )


def split_all(scene: Any, frame: int) -> None:
    for strip in list(timeline.strips(scene.sequence_editor)):
        assert strip.split(frame, "SOFT")


def test_a_part_of_a_strip_inherits_the_takes_that_lie_within_it(
    edit: Any, plate: Any, three: list[Any], tmp_path: Path
) -> None:
    """The right half becomes a shot of its own: its first take replaces what is left of the old one there."""
    split_all(edit, 16)
    half = next(s for s in timeline.strips(edit.sequence_editor) if s.channel == 1 and s != plate)
    identity.mark(edit, half)
    half.wan_animate.shot = "SH020"
    (new,) = import_take(edit, take_of(export_of(half, tmp_path / "shots", name="SH020")))
    assert timeline.frame_range(new) == (16, 20)
    found = stack.of(edit, half, "SH020")
    assert [entry.title for entry in found] == ["SH020 v001", "SH010 v003", "SH010 v002", "SH010 v001"]
    assert [entry.is_shown for entry in found] == [True, False, False, False]
    assert stack.shown(entries(edit, plate)) == three[2].wan_animate.take
    assert seen(three) == [False, False, True]


@pytest.mark.parametrize("times", [1, 2])
def test_an_import_is_undone_and_redone_in_one_step(edit: Any, plate: Any, tmp_path: Path, times: int) -> None:
    title = new_effect(edit.sequence_editor, "COLOR", 2, 14, 30)
    folder = whole_take_of(export_of(plate, tmp_path / "shots"))
    for name in ("first", "second"):
        bpy.ops.ed.undo_push(message=name)
    before = state(edit)
    assert title.channel == 2
    bpy.ops.wan_animate.import_take(directory=str(folder), make_room=True, matte=True, comp=True, use_in_effects=True)
    bpy.ops.ed.undo_push(message="import")
    after = state(edit)
    assert len(after) == len(before) + 3
    for _ in range(times):
        bpy.ops.ed.undo()
        assert state(bpy.context.scene) == before
        bpy.ops.ed.redo()
        assert state(bpy.context.scene) == after


def state(scene: Any) -> list[Any]:
    strips = timeline.strips_all(scene.sequence_editor)
    return sorted((s.name, s.channel, timeline.frame_range(s), s.mute, s.wan_animate.take) for s in strips)


def test_takes_in_a_copied_scene_do_not_reach_into_the_other_one(
    edit: Any, plate: Any, three: list[Any], tmp_path: Path
) -> None:
    other = edit.copy()
    copy = timeline.strips(other.sequence_editor)["plate"]
    identity.mark(other, copy)
    copy.wan_animate.shot = "SH020"
    (new,) = import_take(other, take_of(export_of(copy, tmp_path / "shots", name="SH020")))
    assert new.id_data == other
    found = stack.of(other, copy, "SH020")
    assert [(entry.title, entry.is_shown) for entry in found] == [
        ("SH020 v001", True), ("SH010 v003", False), ("SH010 v002", False), ("SH010 v001", False),
    ]  # fmt: skip
    assert seen(three) == [False, False, True]
    assert [entry.title for entry in entries(edit, plate)] == ["SH010 v003", "SH010 v002", "SH010 v001"]


def test_the_newest_take_is_what_is_seen(edit: Any, plate: Any, tmp_path: Path) -> None:
    """The older one, which is of another picture, leaves nothing behind."""
    export = export_of(plate, tmp_path / "shots", handles=2)
    import_take(edit, take_of(export))
    import_take(edit, whole_take_of(export))
    assert np.array_equal(shown(edit, 15, tmp_path / "seen.png"), over(noise(5), person(5)))


# --- the list -------------------------------------------------------------------------------------


def test_the_list_has_what_is_in_the_edit_and_what_lies_in_the_folder(
    edit: Any, plate: Any, three: list[Any], tmp_path: Path
) -> None:
    folder = take_of(tmp_path / "shots" / "SH010" / "e001")
    rows = listed(edit, plate)
    assert [row.name for row in rows] == ["SH010 v004", "SH010 v003", "SH010 v002", "SH010 v001"]
    assert [row.strip for row in rows] == ["", *(strip.name for strip in reversed(three))]
    assert [bool(row.state) for row in rows] == [True] * 4
    assert bpy.ops.wan_animate.import_take(directory=rows[0].folder) == {"FINISHED"}
    assert Path(rows[0].folder) == folder
    assert listed(edit, plate)[0].strip == "SH010 v004 character"


def test_a_take_from_elsewhere_is_listed(edit: Any, plate: Any, tmp_path: Path) -> None:
    import_take(edit, take_of(export_of(plate, tmp_path / "another")))
    (row,) = listed(edit, plate)
    assert (row.name, row.folder, row.state) == ("SH010 v001", "", "elsewhere")


def test_a_take_that_is_being_rendered_or_broken_is_told_apart(
    edit: Any, plate: Any, three: list[Any], tmp_path: Path
) -> None:
    takes = tmp_path / "shots" / "SH010" / "takes"
    text = (takes / "v002" / TAKE_FILE).read_text()
    (takes / "v002" / TAKE_FILE).write_text(text.replace('"complete"', '"partial"'))
    (takes / "v004").mkdir()
    (takes / "v005").mkdir()
    (takes / "v005" / TAKE_FILE).write_text("{")
    states = [row.state for row in listed(edit, plate)]
    assert len(states) == 3
    assert states[1] == "unfinished"


def test_a_note_lies_beside_its_take(edit: Any, plate: Any, three: list[Any], tmp_path: Path) -> None:
    row = listed(edit, plate)[1]
    row.note = "hands are better – keep"
    file = tmp_path / "shots" / "SH010" / "takes" / "v002.txt"
    assert file.read_text(encoding="utf-8") == "hands are better – keep\n"
    shelf.close()
    assert [row.note for row in listed(edit, plate)] == ["", "hands are better – keep", ""]
    listed(edit, plate)[1].note = ""
    assert not file.exists()


def test_a_note_that_cannot_be_written_is_refused(plate: Any, three: list[Any], tmp_path: Path) -> None:
    (tmp_path / "shots" / "SH010" / "takes" / "v001.txt").mkdir()
    with pytest.raises(BadInput, match=r"cannot write .*v001\.txt"):
        shelf.write_note(tmp_path / "shots" / "SH010" / "takes" / "v001", "good")


def test_open_report_shows_the_page_of_the_take_or_a_later_one_beside_it(
    edit: Any, plate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url, *_, **__: opened.append(url))
    folder = take_of(export_of(plate, tmp_path / "shots"))
    listed(edit, plate)
    with pytest.raises(RuntimeError, match="has no report"):
        bpy.ops.wan_animate.open_report()
    for page in (folder / REPORT_FILE, folder.with_name(f"{folder.name}_{REPORT_FILE}")):
        page.write_text("<p>")
        assert bpy.ops.wan_animate.open_report() == {"FINISHED"}
        assert opened.pop() == page.resolve().as_uri()
    assert "wan_animate.open_report" in draw()


def test_a_report_is_no_take_and_no_layer(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path / "shots"))
    for page in (folder / REPORT_FILE, folder.with_name(f"{folder.name}_{REPORT_FILE}")):
        page.write_text("<p>")
    take = Take.loads((folder / TAKE_FILE).read_bytes())
    files = {**take.files, REPORT_FILE: file_entry(folder / REPORT_FILE)}
    (folder / TAKE_FILE).write_text(replace(take, files=files).dumps(), encoding="utf-8")
    assert [Path(row.folder).name for row in listed(edit, plate)] == ["v001"]
    assert len(import_take(edit, folder)) == 1


def test_build_comp_makes_a_scene_and_a_script(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = whole_take_of(export_of(plate, tmp_path / "shots", layers={"plate": noise}))
    listed(edit, plate)
    assert bpy.ops.wan_animate.build_comp(nuke=True) == {"FINISHED"}
    assert "SH010 v001 comp" in bpy.data.scenes
    assert folder.with_name("SH010_v001.nk").is_file()


# --- speed ----------------------------------------------------------------------------------------


class Rows(Paper):
    """Draws the rows that a list shows at once, too."""

    def template_list(self, kind: str, _: str, data: Any, name: str, of: Any, active: str, **how: Any) -> None:
        super().template_list(kind, _, data, name, of, active, **how)
        for index, item in list(enumerate(getattr(data, name)))[:10]:
            stacking.WAN_ANIMATE_UL_takes.draw_item(None, bpy.context, self, data, item, 0, of, active, index)


def draw() -> list[str]:
    drawn: list[str] = []
    stacking.WAN_ANIMATE_PT_takes.draw(SimpleNamespace(layout=Rows(drawn)), bpy.context)
    return drawn


def test_the_panel_shows_the_list_and_what_can_be_done(edit: Any, plate: Any, three: list[Any]) -> None:
    assert draw() == ["The takes are being looked for"]
    listed(edit, plate)
    drawn = draw()
    assert drawn[0] == "rows"
    assert [name for name in drawn if name.startswith("SH010")] == ["SH010 v003", "SH010 v002", "SH010 v001"]
    for name in ("solo_take", "pin_take", "compare_takes", "build_comp", "remove_take"):
        assert f"wan_animate.{name}" in drawn


def test_a_list_that_has_not_changed_is_not_drawn_again(
    edit: Any, plate: Any, three: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(edit, plate)
    redrawn: list[None] = []
    monkeypatch.setattr(desk, "redraw", lambda: redrawn.append(None))
    listing.fill()
    assert redrawn == []
    bpy.ops.wan_animate.remove_take(take=three[0].wan_animate.take)
    assert len(redrawn) == 1


def test_the_panel_of_a_big_edit_is_drawn_from_what_is_known(
    edit: Any, plate: Any, three: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 strips and 200 takes; reading folders while drawing fails. The cost: tests/benchmarks/sidebar.py."""
    strips = timeline.strips(edit.sequence_editor)
    for number in range(1000):
        new_effect(edit.sequence_editor, "COLOR", 10 + number % 100, number // 100 * 20 + 1, number // 100 * 20 + 20)
    takes = Path(bpy.path.abspath(three[0].directory)).parents[1]
    for number in range(4, 201):
        (takes / f"v{number:03d}").mkdir()
        (takes / f"v{number:03d}" / TAKE_FILE).write_text(
            (takes / "v003" / TAKE_FILE).read_text().replace('"version": 3', f'"version": {number}')
        )
    assert len(listed(edit, plate)) == 200
    assert len(strips) == 1004
    for name in ("open", "stat", "scandir", "listdir"):
        monkeypatch.setattr(os, name, None)
    drawn = draw()
    monkeypatch.undo()
    assert len([name for name in drawn if name.startswith("SH010")]) == 10
