"""Which frame of the footage is seen when, held to what every Blender renders of frames that carry their number."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import read_png
from numbered import (
    CHANGES,
    Change,
    in_order,
    number,
    operate,
    plain,
    play_half_as_fast,
    reverse,
    shown_of,
    strobe,
    strobe_by_keyframes,
    table,
    trim,
    trim_hard,
)

from wan_animate_blender import dna, footage, plate, timeline
from wan_animate_blender.wire import BadInput, FrameRow, RasterKind

Film = Callable[..., Any]


# --- trims ----------------------------------------------------------------------------------------


def test_a_trimmed_strip_knows_its_range_its_handles_and_which_frame_is_seen_when(film: Film) -> None:
    strip = film(frames=20, first=100)
    timeline.set_frame_range(strip, 105, 117)
    assert timeline.frame_range(strip) == (105, 117)
    assert footage.handles([], strip) == (5, 3)
    assert footage.sources([], strip, (100, 105, 116, 119)) == [0, 5, 16, 19]


def test_a_strip_longer_than_its_footage_holds_the_ends_and_has_no_handles(film: Film) -> None:
    strip = film(frames=4, first=100)
    timeline.set_frame_range(strip, 97, 110)
    assert footage.handles([], strip) == (0, 0)
    assert footage.sources([], strip, (97, 100, 103, 109)) == [0, 0, 3, 3]


def test_a_hard_trim_takes_handles_away_and_keeps_the_numbers_of_the_footage(film: Film) -> None:
    strip = film(frames=20, first=100)
    trim_hard(strip, 6)
    first, _ = timeline.frame_range(strip)
    assert footage.source(strip, first) == 6
    assert footage.handles([], strip)[0] == 0


# --- every frame of numbered footage --------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_table_says_which_frame_of_a_movie_is_seen_at_every_frame(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    change(edit, numbers)
    assert shown_of(numbers, tmp_path / "out") == table(numbers)


@pytest.mark.parametrize(
    "change", [plain, reverse, strobe, trim, in_order(reverse, trim)], ids=lambda change: change.__name__
)
def test_the_table_says_it_of_a_movie_that_keeps_another_frame_rate(
    edit: bpy.types.Scene, movie: Path, tmp_path: Path, change: Change
) -> None:
    strip = add_at_own_rate(edit, movie)
    change(edit, strip)
    seen = table(strip)
    assert shown_of(strip, tmp_path / "out") == seen
    assert len(set(seen)) == len(seen) or change is strobe
    assert timeline.content(strip).end - timeline.content(strip).first == 38, "40 frames of 25 a second at 24"


def add_at_own_rate(scene: bpy.types.Scene, movie: Path) -> Any:
    """The strip as the interface adds it: as long in seconds as the movie."""
    if bpy.app.version >= (5, 0):  # whose wheel dies in the operator
        strip = timeline.strips(scene.sequence_editor).new_movie(
            name="numbers", filepath=str(movie), channel=1, frame_start=20
        )
        flag = dna.layout("Sequence").fields["flag"].offset
        ctypes.c_int.from_address(strip.as_pointer() + flag).value |= timeline.AUTO_PLAYBACK_RATE
        return strip
    window = bpy.context.window
    window.screen.areas[0].type = "SEQUENCE_EDITOR"
    with bpy.context.temp_override(window=window, area=window.screen.areas[0], scene=scene):
        bpy.ops.sequencer.movie_strip_add(
            filepath=str(movie), frame_start=20, channel=1, sound=False, use_framerate=False,
            adjust_playback_rate=True, fit_method="ORIGINAL", set_view_transform=False,
        )  # fmt: skip
    return timeline.strips_all(scene.sequence_editor)[0]


# --- image sequences, whose frames Blender tells without a render ---------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_the_table_says_which_file_of_a_sequence_is_seen_however_it_is_retimed(
    edit: bpy.types.Scene, film: Film, seed: int
) -> None:
    strip = film("numbers", frames=40, first=20)
    rng = np.random.default_rng(seed)
    for frame in sorted(rng.integers(21, 58, 3)):
        operate(edit, strip, "retiming_key_add", timeline_frame=int(frame))
    operate(edit, strip, "retiming_segment_speed_set", speed=float(rng.choice([25.0, 37.0, 50.0, 150.0, 200.0])))
    strip.use_reverse_frames, strip.strobe = bool(seed % 3 == 0), float(rng.choice([1.0, 1.5, 2.0, 3.0]))
    first, end = timeline.frame_range(strip)
    timeline.set_frame_range(strip, first + int(rng.integers(-3, 9)), end - int(rng.integers(-3, 9)))
    frames = range(timeline.frame_range(strip)[0] - 5, timeline.frame_range(strip)[1] + 5)
    assert [elements(strip).index(strip.strip_elem_from_frame(frame).filename) for frame in frames] == (
        footage.sources([], strip, frames)
    )


def elements(strip: Any) -> list[str]:
    return [element.filename for element in strip.elements]


@pytest.mark.parametrize("duration", [2, 5, 9])
def test_the_speed_changes_gradually_in_a_transition_as_the_table_says(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, duration: int
) -> None:
    operate(edit, numbers, "retiming_key_add", timeline_frame=36)
    numbers.retiming_keys[2].timeline_frame = 90
    before = table(numbers)
    select_key(numbers, 1)
    operate(edit, numbers, "retiming_transition_add", duration=duration)
    assert len(numbers.retiming_keys) == 4, "the key became the two ends of a transition"
    assert shown_of(numbers, tmp_path / "out") == table(numbers)
    assert duration < 5 or before != table(numbers)


@pytest.mark.skipif(bpy.app.version < (4, 3), reason="4.2 shortens such a transition")
def test_a_transition_from_the_first_frame_is_refused(edit: bpy.types.Scene, numbers: Any) -> None:
    operate(edit, numbers, "retiming_key_add", timeline_frame=26)
    numbers.retiming_keys[2].timeline_frame = 90
    select_key(numbers, 1)
    operate(edit, numbers, "retiming_transition_add", duration=9)
    with pytest.raises(BadInput, match="'numbers' changes its speed gradually from its first or to its last frame"):
        table(numbers)


def select_key(strip: Any, index: int) -> None:
    """What a click on a retiming key does: no operator that works without a window selects one."""
    key = dna.layout("SeqRetimingHandle")
    address = int(dna.layout("Sequence").read(strip.as_pointer(), "retiming_handles")) + index * key.size
    ctypes.c_int.from_address(address + key.fields["flag"].offset).value |= 1 << 4
    strip.show_retiming_keys = True


# --- the plate that is exported -------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(RasterKind))
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_exported_plate_shows_the_frames_that_its_rows_say_handles_included(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change, kind: RasterKind
) -> None:
    change(edit, numbers)
    first, end = timeline.frame_range(numbers)
    timeline.set_frame_range(numbers, first + 3, end - 4)
    before, after = footage.handles([], numbers)
    frames = range(first + 3 - min(before, 2), end - 4 + min(after, 2))
    rows = [
        FrameRow(shot=1001 + i, timeline=frame, source=source, rig=frame)
        for i, (frame, source) in enumerate(zip(frames, footage.sources([], numbers, frames), strict=True))
    ]
    files = plate.write(edit, numbers, rows, plate.raster(edit, numbers, kind), tmp_path / "plate")
    assert [number(read_png(file)) for file in files] == [row.source for row in rows]


# --- handles and places ---------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES[1:], ids=lambda change: change.__name__)
def test_handles_show_the_frames_that_the_table_says_and_end_with_new_ones(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    change(edit, numbers)
    first, end = timeline.frame_range(numbers)
    middle = (first + end) // 2
    timeline.set_frame_range(numbers, middle - 2, middle + 2)
    before, after = footage.handles([], numbers)
    told = table(numbers, middle - 2 - before, middle + 2 + after)
    timeline.set_frame_range(numbers, middle - 2 - before, middle + 2 + after)
    assert shown_of(numbers, tmp_path / "out") == told
    assert told[0] != told[1] and told[-1] != told[-2], "no handle shows what is held"
    behind = timeline.content(numbers)
    assert len(set(table(numbers, behind.first, behind.end))) == len(set(told)), "and all footage is in them"


@pytest.mark.parametrize(
    "change", [change for change in CHANGES if change is not strobe_by_keyframes], ids=lambda change: change.__name__
)
def test_frames_of_the_footage_are_found_again_when_a_strip_was_moved_and_trimmed(
    edit: bpy.types.Scene, numbers: Any, change: Change
) -> None:
    change(edit, numbers)
    first, end = timeline.frame_range(numbers)
    wanted = table(numbers)
    move(numbers, 31)
    timeline.set_frame_range(numbers, first + 31 + 6, end + 31 - 7)
    assert footage.place(numbers, wanted, near=first) == first + 31


def move(strip: Any, frames: int) -> None:
    name = "content_start" if hasattr(strip, "content_start") else "frame_start"
    setattr(strip, name, getattr(strip, name) + frames)


@pytest.mark.parametrize("change", [reverse, play_half_as_fast, strobe], ids=lambda change: change.__name__)
def test_frames_that_play_at_another_speed_now_have_no_place(
    edit: bpy.types.Scene, numbers: Any, change: Change
) -> None:
    wanted = table(numbers)
    change(edit, numbers)
    with pytest.raises(BadInput, match="'numbers' has been retimed or reversed since it was exported; undo that"):
        footage.place(numbers, wanted, near=20)


def test_frames_that_were_cut_off_for_good_have_no_place(edit: bpy.types.Scene, numbers: Any) -> None:
    trim_hard(numbers, 20)
    with pytest.raises(BadInput, match="'numbers' has none of the frames any more"):
        footage.place(numbers, [3, 4, 5], near=20)


def test_of_many_places_for_a_still_the_nearest_is_taken(edit: bpy.types.Scene, film: Film) -> None:
    strip = film(frames=1, first=10)
    timeline.set_frame_range(strip, 10, 60)
    assert footage.place(strip, [0.0] * 10, near=23) == 23


def test_a_strip_with_a_driver_on_its_time_is_refused(edit: bpy.types.Scene, numbers: Any) -> None:
    numbers.driver_add("strobe").driver.expression = "3"
    with pytest.raises(BadInput, match=r"'strobe' of the strip 'numbers' has a driver, whose values .* bake it"):
        table(numbers)
