"""Re-takes and extensions: what is kept is kept bit for bit, what is new is new only inside, whatever happens."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from wan_animate_blender.wire import (
    FIRST_FRAME,
    POSE_FILE,
    SHOT_FILE,
    TAKE_FILE,
    BadInput,
    Finish,
    Interrupted,
    Mode,
    Plan,
    Retake,
    Settings,
    Shot,
    Take,
    TakeState,
    file_entry,
    list_files,
)
from wan_animate_server import assembly
from wan_animate_server.pipeline import ShotRender
from wan_animate_server.progress import Progress
from wan_animate_server.render import render
from wan_animate_server.retake import RAMP, before, beneath, extended, retaken, unguided, visible, whole
from wan_animate_server.segments import Part, segment_seed
from wan_animate_server.store import SegmentStore
from wan_animate_server.video import movie_frames, read_picture

from .conftest import QUICK, make_light, relist_files, write_export, write_shot

FRAMES = 17
"""Four segments: they deliver frames 1001–1005, –1009, –1013 and –1017."""

HEAD, TAIL = 4, 8
"""Frames of the footage before and after them."""

FOOTAGE = range(HEAD, HEAD + FRAMES)

Rendered = tuple[Path, Take]


def run(
    folder: Path, *, check: Callable[[], None] = lambda: None, told: list[Progress] | None = None, **asked: Any
) -> Rendered:
    steps = render(folder, check=check, **asked)
    while True:
        try:
            now = next(steps)
            if told is not None:
                told.append(now)
        except StopIteration as end:
            return end.value, take_in(end.value)


def trimmed(root: Path, frames: range, name: str, **changes: Any) -> Path:
    """The export `name` of these frames of the footage; the first one is 1001. `changes` are fields of its `Shot`."""
    footage = write_export(root / f"footage of {name}", frames=HEAD + FRAMES + TAIL)
    folder = root / "SH010" / name
    for layer in ("plate", "matte"):
        (folder / layer).mkdir(parents=True)
        for number, i in enumerate(frames, start=1001):
            shutil.copy(footage / layer / f"{1001 + i}.png", folder / layer / f"{number}.png")
    shutil.copy(footage / "character.png", folder)
    with np.load(footage / POSE_FILE) as arrays:
        np.savez(folder / POSE_FILE, **{key: arrays[key][frames.start : frames.stop] for key in arrays})
    shot = Shot.loads((footage / SHOT_FILE).read_bytes())
    rows = tuple(replace(shot.frames[i], shot=number) for number, i in enumerate(frames, start=1001))
    said = replace(shot, frames=rows, cut_in=1001, cut_out=rows[-1].shot, files=list_files(folder))
    write_shot(folder, replace(said, **changes))
    return folder


def take_in(folder: Path) -> Take:
    return Take.loads((folder / TAKE_FILE).read_bytes())


def hashes(take: Take, number: int, shift: int = 0) -> list[str]:
    """SHA-256 of the files of a frame, layer by layer."""
    place = number + shift - take.first
    return [take.files[take.sequence(layer)[place]].sha256 for layer in take.layers]


def changed(one: Take, other: Take) -> list[int]:
    """Frames of which any layer's file differs."""
    return [n for n in range(one.first, one.last + 1) if hashes(one, n) != hashes(other, n)]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The index of every segment that a model has made, in order."""
    made: list[int] = []
    segment = ShotRender.segment

    def watched(self: ShotRender, part: Part, *given: Any) -> Any:
        made.append(part.index)
        return segment(self, part, *given)

    monkeypatch.setattr(ShotRender, "segment", watched)
    return made


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A take of the whole shot. Tests work on copies of everything around it."""
    return run(trimmed(tmp_path_factory.mktemp("first"), FOOTAGE, "e001"))


@pytest.fixture
def shot(first: Rendered, tmp_path: Path) -> Path:
    """The folder of an export of which there is one take, v001, and its stored segments."""
    shutil.copytree(first[0].parents[1], tmp_path / "SH010")
    return tmp_path / "SH010" / "e001"


# --- what is kept and what is new -----------------------------------------------------------------


def test_a_retake_changes_frames_inside_of_its_range_only_and_all_of_them(shot: Path, first: Rendered) -> None:
    folder, take = run(shot, retake=Retake(first=1007, last=1012, seed=99))
    assert (folder.name, take.version, take.state) == ("v002", 2, TakeState.COMPLETE)
    assert changed(first[1], take) == list(range(1007, 1013))
    assert (take.base, take.retake) == ("v001", Retake(first=1007, last=1012, seed=99))
    for layer in take.layers:
        assert [Path(path).stem for path in take.sequence(layer)] == [str(n) for n in range(1001, 1001 + FRAMES)]


def test_the_folder_of_a_retake_stands_alone_and_lists_exactly_what_is_in_it(shot: Path, first: Rendered) -> None:
    folder, take = run(shot, retake=Retake(first=1007, last=1009, seed=99))
    shutil.rmtree(folder.parent / "v001")
    there = list_files(folder, {TAKE_FILE})
    assert there == take.files
    assert all(path.stat().st_nlink == 1 for path in folder.rglob("*") if path.is_file())
    assert len(list(movie_frames(folder / "preview.mp4"))) == FRAMES


def test_the_take_that_a_retake_began_from_is_left_as_it_was(shot: Path, first: Rendered) -> None:
    run(shot, retake=Retake(first=1007, last=1009, seed=99))
    assert list_files(shot.parent / "takes/v001") == list_files(first[0])


def test_only_the_segments_that_a_retake_touches_are_rendered(shot: Path, rendered: list[int]) -> None:
    told: list[Progress] = []
    _, take = run(shot, told=told, retake=Retake(first=1007, last=1012, seed=99))
    assert rendered == [1, 2]
    assert max(now.segments for now in told) == 2
    amounts = [now.progress for now in told]
    assert amounts == sorted(amounts)
    frames = [now.frames for now in told]
    assert (frames[0], frames[-1]) == (0, FRAMES)
    assert next(now.frames for now in told if now.stage == "denoising") == 6, "kept frames are there before anything"
    assert [r.index for r in take.segments] == [0, 1, 2, 3, 1, 2]


def test_a_retake_with_the_seed_and_settings_of_its_take_renders_and_changes_nothing(
    shot: Path, first: Rendered, rendered: list[int]
) -> None:
    _, take = run(shot, retake=Retake(first=1007, last=1012))
    assert rendered == []
    assert changed(first[1], take) == []


def test_a_retake_of_all_frames_is_the_render_with_that_seed(shot: Path, tmp_path: Path) -> None:
    """Nothing is blended and nothing is handed over from what was there."""
    _, take = run(shot, retake=Retake(first=1001, last=1000 + FRAMES, seed=99))
    _, alone = run(trimmed(tmp_path / "alone", FOOTAGE, "e001", settings=replace(QUICK, seed=99)))
    assert [r.seed for r in take.segments[4:]] == [r.seed for r in alone.segments]
    assert [r.key for r in take.segments[4:]] == [r.key for r in alone.segments]


def raw(shot: Path, key: str) -> np.ndarray:
    segment = SegmentStore(shot.parent / "segments").get(key)
    assert segment is not None
    return segment.frames.astype(np.float64)


def delivered(folder: Path, number: int) -> np.ndarray:
    return read_picture(folder / f"generated/{number}.png").astype(np.float64) / 255


@pytest.fixture(scope="module")
def animated(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A take whose frames are what the model made, but for their 8 bits. One segment of 13 frames, then another."""
    settings = replace(QUICK, segment=17, finish=Finish(seams=0.0))
    return run(write_export(tmp_path_factory.mktemp("animated"), frames=25, mode=Mode.ANIMATE, settings=settings))


def test_inside_the_ramps_old_and_new_are_mixed_more_and_more_and_between_them_all_is_new(
    animated: Rendered, tmp_path: Path
) -> None:
    shutil.copytree(animated[0].parents[1], tmp_path / "SH010")
    shot = tmp_path / "SH010" / "e001"
    folder, take = run(shot, retake=Retake(first=1003, last=1011, seed=99))
    assert changed(animated[1], take) == list(range(1003, 1012))
    old, new = take.segments[0], take.segments[-1]
    assert new.blend is not None and (new.index, new.first) == (old.index, old.first)
    shares = []
    for number in range(1003, 1012):
        under, over = (raw(shot, record.key)[number - old.first] for record in (old, new))
        telling = np.abs(over - under) > 0.05
        share = ((delivered(folder, number) - under)[telling] / (over - under)[telling]).mean()
        assert share == pytest.approx(new.blend.weight(number), abs=0.03)
        shares.append(new.blend.weight(number))
    assert 0 < shares[0] < shares[1] < shares[2] < 1
    assert shares == [*shares[:3], 1.0, 1.0, 1.0, *reversed(shares[:3])]


def test_a_retake_that_begins_with_a_segment_goes_on_from_the_kept_frames_without_a_ramp(shot: Path) -> None:
    _, take = run(shot, retake=Retake(first=1006, last=1011, seed=99))
    blend = take.segments[-1].blend
    assert blend is not None
    assert (blend.first, blend.last, blend.enter, blend.leave) == (1006, 1011, 0, 2)
    _, take = run(shot, retake=Retake(first=1015, last=1017, seed=99))
    blend = take.segments[-1].blend
    assert blend is not None and (blend.enter, blend.leave) == (1, 0)


def test_scene_linear_frames_are_kept_bit_for_bit_and_what_was_clipped_is_said(tmp_path: Path) -> None:
    folder = make_light(write_export(tmp_path, frames=9), "ACEScg")
    _, take = run(folder)
    _, again = run(folder, retake=Retake(first=1002, last=1004, seed=99))
    assert changed(take, again) == [1002, 1003, 1004]
    assert again.notes == take.notes


# --- re-takes of re-takes -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
def test_a_retake_may_begin_in_the_frames_that_are_handed_over(tmp_path: Path, mode: Mode) -> None:
    folder = write_export(tmp_path, FRAMES, mode, settings=replace(QUICK, segment=9, overlap=5, steps=1))
    _, whole_take = run(folder)
    join = whole_take.seams[0].frame
    _, again = run(folder, retake=Retake(first=join - 2, last=FIRST_FRAME + FRAMES - 1, seed=9))
    assert [seam.frame for seam in again.seams] == [seam.frame for seam in whole_take.seams]
    assert again.seams != whole_take.seams, "the joins of the new frames are judged anew"


def test_a_retake_of_a_retake_keeps_what_that_made(shot: Path, first: Rendered, rendered: list[int]) -> None:
    _, second = run(shot, retake=Retake(first=1003, last=1008, seed=99))
    rendered.clear()
    folder, third = run(shot, retake=Retake(first=1008, last=1011, seed=5))
    assert (folder.name, third.base) == ("v003", "v002")
    assert changed(second, third) == [1008, 1009, 1010, 1011]
    assert rendered == [1, 2]
    assert [(r.index, r.round) for r in third.segments] == [
        (0, 0),
        (1, 0),
        (2, 0),
        (3, 0),
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 2),
    ]
    assert [hashes(third, n) for n in range(1003, 1008)] == [hashes(second, n) for n in range(1003, 1008)]


def test_a_take_can_be_built_upon_that_is_not_the_newest(shot: Path, first: Rendered) -> None:
    run(shot, retake=Retake(first=1003, last=1008, seed=99))
    _, third = run(shot, retake=Retake(first=1012, last=1014, seed=5), base=shot.parent / "takes/v001")
    assert third.base == "v001"
    assert changed(first[1], third) == [1012, 1013, 1014]


def test_a_retake_upon_blended_frames_is_handed_them_as_they_are_seen_and_never_through_fewer_bits(
    shot: Path, monkeypatch: pytest.MonkeyPatch, rendered: list[int]
) -> None:
    """Frame 1009, the last of the second segment, is a mix of two; the third segment begins with it."""
    _, second = run(shot, retake=Retake(first=1004, last=1009, seed=99))
    old, new = (r for r in second.segments if r.index == 1)
    assert new.blend is not None and 0 < new.blend.weight(1009) < 1
    given: list[np.ndarray] = []
    known = ShotRender.known

    def watched(self: ShotRender, frames: list[int], tail: np.ndarray) -> Any:
        given.append(tail)
        return known(self, frames, tail)

    monkeypatch.setattr(ShotRender, "known", watched)
    asked = Retake(first=1010, last=1012, seed=5)
    _, third = run(shot, retake=asked)
    under, over = (SegmentStore(shot.parent / "segments").get(r.key) for r in (old, new))
    assert under is not None and over is not None
    np.testing.assert_array_equal(given[0], under.tail + np.float32(new.blend.weight(1009)) * (over.tail - under.tail))
    shutil.rmtree(shot.parent / "segments")
    rendered.clear()
    _, again = run(shot, retake=asked, base=shot.parent / "takes/v002")
    assert changed(third, again) == []
    assert sorted(rendered) == [0, 0, 1, 1, 2, 2], (
        "both of each of the first two, and the third under and over its ramp"
    )


# --- the segment store ----------------------------------------------------------------------------


def test_segments_that_the_store_has_lost_are_rendered_again_to_the_same_retake(
    shot: Path, rendered: list[int]
) -> None:
    asked = Retake(first=1011, last=1012, seed=99)
    _, expected = run(shot, retake=asked)
    rendered.clear()
    shutil.rmtree(shot.parent / "segments")
    told: list[Progress] = []
    _, take = run(shot, told=told, retake=asked, base=shot.parent / "takes/v001")
    assert rendered == [0, 1, 2], "the third needs the tail of the second, and that of the first"
    assert changed(expected, take) == []
    assert [r.key for r in take.segments] == [r.key for r in expected.segments]
    assert max(now.segments for now in told) == 3
    amounts = [now.progress for now in told]
    assert amounts == sorted(amounts)


def test_lost_segments_under_a_ramp_are_rendered_again_to_the_same_retake_of_a_retake(
    shot: Path, rendered: list[int]
) -> None:
    run(shot, retake=Retake(first=1003, last=1008, seed=99))
    asked = Retake(first=1007, last=1012, seed=5)
    _, expected = run(shot, retake=asked)
    shutil.rmtree(shot.parent / "segments")
    rendered.clear()
    _, take = run(shot, retake=asked, base=shot.parent / "takes/v002")
    assert changed(expected, take) == []
    assert sorted(rendered) == sorted([0, 0, 1, 1, 2, 1, 2])


def test_a_lost_segment_that_would_become_another_is_refused_before_anything_is_made(
    shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(shot.parent / "segments")
    monkeypatch.setattr(assembly, "_code_digest", lambda: "another version")
    with pytest.raises(BadInput, match="no longer stored, and this software, device, model or export would not make"):
        run(shot, retake=Retake(first=1007, last=1012, seed=99))


# --- interruptions --------------------------------------------------------------------------------


def test_an_interrupted_retake_goes_on_under_its_version_to_the_same_bits(shot: Path, rendered: list[int]) -> None:
    asked = Retake(first=1007, last=1016, seed=99)

    def check() -> None:
        if rendered == [1, 2, 3]:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        run(shot, check=check, retake=asked)
    partial = take_in(shot.parent / "takes/v002")
    assert (partial.state, partial.base, partial.retake) == (TakeState.PARTIAL, "v001", asked)
    assert partial.files
    for path, entry in partial.files.items():
        assert file_entry(shot.parent / "takes/v002" / path) == entry
    rendered.clear()
    folder, take = run(shot, retake=asked)
    assert (folder.name, rendered) == ("v002", [3])
    _, undisturbed = run(shot, retake=asked, base=shot.parent / "takes/v001")
    assert changed(undisturbed, take) == []


@pytest.mark.parametrize(
    "asked",
    [{}, {"retake": Retake(first=1007, last=1016, seed=98)}, {"retake": Retake(first=1007, last=1015, seed=99)}],
)
def test_an_interrupted_retake_is_not_continued_by_another_render(shot: Path, asked: dict[str, Any]) -> None:
    def check() -> None:
        if (shot.parent / "takes/v002").is_dir():
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        run(shot, check=check, retake=Retake(first=1007, last=1016, seed=99))
    folder, take = run(shot, **asked)
    assert (folder.name, take.retake) == ("v003", asked.get("retake"))


# --- extensions -----------------------------------------------------------------------------------


def extended_by(shot: Path, head: int, tail: int, name: str = "e002", **changes: Any) -> Path:
    """A second export of the same strip, trimmed longer at its ends. Its first frame is 1001 again."""
    return trimmed(shot.parents[1], range(HEAD - head, HEAD + FRAMES + tail), name, **changes)


def test_an_extension_at_the_tail_renders_the_new_frames_only_and_goes_on_from_the_kept_ones(
    shot: Path, first: Rendered, monkeypatch: pytest.MonkeyPatch, rendered: list[int]
) -> None:
    given: list[np.ndarray] = []
    known = ShotRender.known

    def watched(self: ShotRender, frames: list[int], tail: np.ndarray) -> Any:
        given.append(tail)
        return known(self, frames, tail)

    monkeypatch.setattr(ShotRender, "known", watched)
    folder, take = run(extended_by(shot, 0, 4), base=first[0])
    assert (folder.name, take.base, take.retake) == ("v002", "v001", None)
    assert (take.first, take.last) == (1001, 1000 + FRAMES + 4)
    assert rendered == [4]
    assert [hashes(take, n) for n in range(1001, 1001 + FRAMES)] == [
        hashes(first[1], n) for n in range(1001, 1001 + FRAMES)
    ]
    assert take.segments[:4] == first[1].segments
    assert (take.segments[4].first, take.segments[4].last, take.segments[4].round) == (1018, 1021, 1)
    stored = SegmentStore(shot.parent / "segments").get(first[1].segments[-1].key)
    assert stored is not None
    np.testing.assert_array_equal(given[0], stored.tail)
    assert not [note for note in take.notes if "knew nothing" in note]


def test_an_extension_at_the_head_keeps_the_old_frames_under_their_new_numbers_and_names_the_join(
    shot: Path, first: Rendered, rendered: list[int]
) -> None:
    _, take = run(extended_by(shot, 4, 0), base=first[0])
    assert rendered == [4]
    for number in range(1001, 1001 + FRAMES):
        assert hashes(take, number, shift=4) == hashes(first[1], number)
    assert "frame 1005 begins a segment that knew nothing of the frames before it; look at that join" in take.notes
    assert [r.key for r in take.segments[:4]] == [r.key for r in first[1].segments]
    assert [r.first for r in take.segments] == [1005, 1010, 1014, 1018, 1001]
    assert take.sequence("comp") == [f"comp/{n}.png" for n in range(1001, 1001 + FRAMES + 4)]


def test_an_extended_take_can_be_taken_again_at_its_joins_and_after_its_store_was_lost(
    shot: Path, first: Rendered, rendered: list[int]
) -> None:
    export = extended_by(shot, 2, 3)
    _, longer = run(export, base=first[0])
    asked = Retake(first=1018, last=1021, seed=99)
    _, expected = run(export, retake=asked)
    assert expected.base == "v002"
    assert changed(longer, expected) == [1018, 1019, 1020, 1021]
    shutil.rmtree(shot.parent / "segments")
    rendered.clear()
    _, take = run(export, retake=asked, base=shot.parent / "takes/v002")
    assert changed(expected, take) == []
    assert set(rendered) == {0, 1, 2, 3, 5}, "not the head"
    assert [r.key for r in take.segments] == [r.key for r in expected.segments]


def test_an_extension_that_was_interrupted_goes_on(shot: Path, first: Rendered, rendered: list[int]) -> None:
    export = extended_by(shot, 0, 8)

    def check() -> None:
        if rendered == [4, 5]:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        run(export, check=check, base=first[0])
    assert len(take_in(shot.parent / "takes/v002").sequence("comp")) >= FRAMES
    rendered.clear()
    folder, take = run(export, base=first[0])
    assert (folder.name, rendered, take.state) == ("v002", [5], TakeState.COMPLETE)


# --- refusals -------------------------------------------------------------------------------------


def test_a_retake_of_nothing_is_refused(shot: Path) -> None:
    shutil.rmtree(shot.parent / "takes")
    with pytest.raises(BadInput, match=r"there is no complete take in .*takes to build upon"):
        run(shot, retake=Retake(first=1007, last=1009))
    assert not (shot.parent / "takes").exists()


@pytest.mark.parametrize(("start", "stop"), [(999, 1005), (1015, 1018), (5, 9)])
def test_frames_outside_of_the_shot_are_refused(shot: Path, start: int, stop: int) -> None:
    with pytest.raises(BadInput, match=f"{start}-{stop} is not inside 1001-1017, the frames of SH010"):
        run(shot, retake=Retake(first=start, last=stop))
    assert not (shot.parent / "takes/v002").exists()


def test_a_take_of_another_export_is_refused_for_a_retake(shot: Path) -> None:
    with pytest.raises(BadInput, match=r"was not rendered from this export of SH010; .*--extend"):
        run(extended_by(shot, 0, 4), retake=Retake(first=1007, last=1009))


def test_a_take_that_is_not_complete_or_not_there_is_refused(shot: Path) -> None:
    def check() -> None:
        if (shot.parent / "takes/v002").is_dir():
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        run(shot, check=check, retake=Retake(first=1007, last=1016, seed=99))
    for name, sentence in (("v002", "is not complete"), ("v007", "there is no take in .*v007")):
        with pytest.raises(BadInput, match=sentence):
            run(shot, retake=Retake(first=1007, last=1009), base=shot.parent / "takes" / name)


def test_a_take_of_an_earlier_version_is_refused(shot: Path) -> None:
    file = shot.parent / "takes/v001" / TAKE_FILE
    file.write_text(replace(take_in(file.parent), origins=()).dumps(), encoding="utf-8")
    with pytest.raises(BadInput, match="made by a version that could not build on takes"):
        run(shot, retake=Retake(first=1007, last=1009))


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_frame_of_the_base_is_named_and_not_copied(shot: Path, damage: str) -> None:
    path = shot.parent / "takes/v001/comp/1003.png"
    data = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(data[:-1] + b"x")
    with pytest.raises(BadInput, match=r"comp/1003.png of the take .*v001"):
        run(shot, retake=Retake(first=1007, last=1009))
    assert take_in(shot.parent / "takes/v002").state is TakeState.PARTIAL
    assert not (shot.parent / "takes/v002/comp/1003.png").exists()


def test_an_extension_that_adds_nothing_is_refused(shot: Path, first: Rendered) -> None:
    with pytest.raises(BadInput, match=r"has no frame that .*v001 lacks; trim the strip longer"):
        run(extended_by(shot, 0, 0), base=first[0])


def test_an_extension_that_lost_or_changed_frames_is_refused(shot: Path, first: Rendered) -> None:
    export = trimmed(shot.parents[1], range(HEAD + 2, HEAD + FRAMES + 4), "e002")
    with pytest.raises(BadInput, match="2 of its 17 frames, 1001 first, are gone or have another plate"):
        run(export, base=first[0])
    export = extended_by(shot, 0, 4, name="e003")
    (export / "matte/1008.png").write_bytes((export / "matte/1007.png").read_bytes())
    relist_files(export)
    with pytest.raises(BadInput, match="1 of its 17 frames, 1008 first, are gone or have another plate, pose, matte"):
        run(export, base=first[0])


def test_an_extension_with_other_settings_is_refused_by_their_names(shot: Path, first: Rendered) -> None:
    export = extended_by(shot, 0, 4, settings=replace(QUICK, steps=3, finish=Finish(feather=2.0)))
    with pytest.raises(BadInput, match=r"the settings of .*v001 and of this render differ in steps, finish"):
        run(export, base=first[0])


# --- plans: every frame once ----------------------------------------------------------------------


PLANNED = st.builds(
    Settings, segment=st.integers(2, 8).map(lambda n: 4 * n + 1), overlap=st.sampled_from([1, 5]),
    plan=st.sampled_from(list(Plan)), seed=st.integers(0, 9),
)  # fmt: skip


def seen(parts: list[Part], frame: int) -> float:
    """How much of a frame is covered by all parts, painted one over the other."""
    share = 0.0
    for part in parts:
        if frame in part.shown:
            share = share + part.weight(frame) * (1 - share) if part.blend else 1.0
    return share


def well_made(parts: list[Part], frames: int) -> None:
    """What holds for the parts of any take."""
    assert [seen(parts, frame) for frame in range(frames)] == [1.0] * frames
    for part in parts:
        assert len(part.rendered) % 4 == 1
        assert set(part.rendered) <= set(range(frames))
        rendered = dict(zip(range(part.rendered[0], part.keep.stop), part.rendered, strict=False))
        assert [rendered[frame] for frame in part.keep] == list(part.keep)
        layers = visible(before(parts, part), part.handed)
        assert bool(layers) == bool(part.handed)
        assert all(layer.keep.stop == part.keep.start for layer in layers)


@given(st.integers(1, 120), PLANNED, st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), max_size=4))
@effort(max_examples=300, deadline=None)
def test_however_often_a_take_is_taken_again_every_frame_is_delivered_once_and_changes_inside_only(
    frames: int, settings: Settings, ranges: list[tuple[int, int]]
) -> None:
    parts = list(whole(frames, settings))
    well_made(parts, frames)
    for seed, (start, length) in enumerate(ranges, start=10):
        asked = range(start % frames, min(start % frames + length % frames + 1, frames))
        made = retaken(parts, asked, frames, seed)
        assert [frame for part in made for frame in part.shown] == list(asked)
        latest = {part.index: part for part in parts}
        for part in made:
            assert (part.keep, part.rendered) == (latest[part.index].keep, latest[part.index].rendered)
            assert part.seed == segment_seed(seed, part.index)
            assert beneath([*parts, *made], part) == [old for old in parts if old.index == part.index]
            assert [part.weight(frame) for frame in (asked.start - 1, asked.stop)] == [0.0, 0.0]
            assert all(0 < part.weight(frame) <= 1 for frame in part.shown)
        untouched = [part for part in latest.values() if not set(part.keep) & set(asked)]
        assert {part.index for part in untouched}.isdisjoint(part.index for part in made)
        parts += made
        well_made(parts, frames)


@given(st.integers(1, 200), st.integers(0, 199), st.integers(1, 200))
@effort(deadline=None)
def test_a_ramp_never_takes_more_than_a_third_of_the_range(frames: int, start: int, length: int) -> None:
    assume(start < frames)
    asked = range(start, min(start + length, frames))
    (part, *_) = retaken(whole(frames, Settings(segment=401)), asked, frames, 1)
    assert part.blend is not None
    weights = [part.weight(frame) for frame in asked]
    assert sum(weight < 1 for weight in weights) <= 2 * min(RAMP, len(asked) // 3)
    assert sum(weight == 1 for weight in weights) * 3 >= len(asked)
    steps = np.diff([0.0, *weights, 0.0])
    if len(asked) >= 3 * RAMP and start > 0 and asked.stop < frames:
        assert np.abs(steps).max() < 1.6 / RAMP


@given(st.integers(1, 60), PLANNED, st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**16))
@effort(max_examples=300, deadline=None)
def test_an_extension_renders_the_new_frames_once_and_hands_on_the_kept_ones(
    frames: int, settings: Settings, head: int, tail: int, seed: int
) -> None:
    assume(head or tail)
    total, kept = head + frames + tail, range(head, head + frames)
    old = [Part.of(part.record(1001), 1001 - head) for part in whole(frames, settings)]
    old += retaken(old, range(head + seed % frames, head + seed % frames + 1), total, seed)
    made = extended(old, kept, total, settings)
    assert sorted(frame for part in made for frame in part.shown) == [*range(head), *range(kept.stop, total)]
    assert {part.index for part in made}.isdisjoint(part.index for part in old)
    assert len({part.index for part in made}) == len(made)
    well_made([*old, *made], total)
    starts = {head} if head else set()
    assert set(unguided([*old, *made])) == starts
    if tail:
        following = next(part for part in made if part.keep.start == kept.stop)
        assert len(following.handed) in (1, settings.overlap)
        assert before([*old, *made], following)[-1].keep.stop == kept.stop


@given(st.integers(1, 100), PLANNED, st.integers(0, 10**6))
@effort(deadline=None)
def test_a_part_comes_back_from_its_record_under_any_numbering(frames: int, settings: Settings, first: int) -> None:
    parts = list(whole(frames, settings))
    parts += retaken(parts, range(frames), frames, 3)
    assert [Part.of(part.record(first), first) for part in parts] == parts
