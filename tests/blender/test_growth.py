"""Takes that arrive in parts: one strip, which grows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from takes import enable_addon, export_of, take_of

from wan_animate_blender import timeline
from wan_animate_blender.growth import bring
from wan_animate_blender.take import Options, import_take
from wan_animate_blender.wire import TAKE_FILE, BadInput, Take, TakeState

UNFINISHED = Options(unfinished=True)


@pytest.fixture(autouse=True)
def addon(fresh: None) -> None:
    enable_addon()


@pytest.fixture
def plate(trimmed: Any) -> Any:
    return trimmed


class Arriving:
    """A take of which the first frames are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = Take.loads((folder / TAKE_FILE).read_bytes())
        self.apart = folder.with_name("apart")
        (folder / "character").rename(self.apart)
        (folder / "character").mkdir()

    def has(self, count: int) -> Path:
        names = self.whole.sequence("character")[:count]
        for path in names:
            if not (self.folder / path).exists():
                (self.apart / Path(path).name).rename(self.folder / path)
        state = TakeState.COMPLETE if len(names) == len(self.whole.sequence("character")) else TakeState.PARTIAL
        files = {path: self.whole.files[path] for path in names}
        (self.folder / TAKE_FILE).write_text(replace(self.whole, state=state, files=files).dumps())
        return self.folder


@pytest.fixture
def arriving(plate: Any, tmp_path: Path) -> Arriving:
    """A take of the plate with two frames of handles."""
    return Arriving(take_of(export_of(plate, tmp_path, handles=2)))


def test_an_unfinished_take_shows_the_frames_that_are_there(edit: Any, arriving: Arriving) -> None:
    (new,) = bring(edit, arriving.has(5), options=UNFINISHED)
    assert timeline.frame_range(new) == (12, 15)
    assert [new.strip_elem_from_frame(frame).filename for frame in (12, 14)] == ["1003.png", "1005.png"]


def test_its_strip_grows_to_the_whole_and_is_no_second_one(edit: Any, arriving: Arriving) -> None:
    (new,) = bring(edit, arriving.has(5), options=UNFINISHED)
    name = new.name
    for count, end in ((5, 15), (8, 18), (12, 20)):
        (again,) = bring(edit, arriving.has(count), options=UNFINISHED)
        assert (again.name, timeline.frame_range(again)) == (name, (12, end))
    assert again.strip_elem_from_frame(19).filename == "1010.png"
    assert len(timeline.strips(edit.sequence_editor)) == 2
    assert bring(edit, arriving.folder) == [again]


def test_a_strip_that_was_trimmed_meanwhile_stays_as_it_is(edit: Any, arriving: Arriving) -> None:
    (new,) = bring(edit, arriving.has(7), options=UNFINISHED)
    timeline.set_frame_range(new, 13, 15)
    bring(edit, arriving.has(12))
    assert timeline.frame_range(new) == (13, 15)


def test_a_strip_that_moved_with_its_take_grows_where_it_is(edit: Any, plate: Any, arriving: Arriving) -> None:
    (new,) = bring(edit, arriving.has(5), options=UNFINISHED)
    for strip in (plate, new):
        start = "content_start" if hasattr(strip, "content_start") else "frame_start"
        setattr(strip, start, getattr(strip, start) + 100)
    bring(edit, arriving.has(12))
    assert timeline.frame_range(new) == timeline.frame_range(plate) == (112, 120)


def test_an_unfinished_take_is_refused_where_nobody_asked_for_one(edit: Any, arriving: Arriving) -> None:
    with pytest.raises(BadInput, match="has 5 of 12 frames, character 1006 is the first one missing"):
        import_take(edit, arriving.has(5))


@pytest.mark.parametrize("count", [0, 2])
def test_a_take_without_a_frame_that_is_shown_is_refused(edit: Any, arriving: Arriving, count: int) -> None:
    with pytest.raises(BadInput, match="has 0 of 12 frames" if count == 0 else "has no frame that the strip"):
        bring(edit, arriving.has(count), options=UNFINISHED)
    assert len(timeline.strips(edit.sequence_editor)) == 1
