"""The wire: every message survives its round trip, and whatever breaks the contract is refused by name."""

from __future__ import annotations

import json
import math
import string
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_blender import wire
from wan_animate_blender.wire import (
    Colour,
    ErrorReply,
    ExitCode,
    FileEntry,
    FrameRow,
    Job,
    Message,
    Mode,
    Raster,
    Roi,
    SegmentRecord,
    Settings,
    Shot,
    Take,
    WireError,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(0, 2**53)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
part = st.text(string.ascii_letters + string.digits + "_-é ", min_size=1, max_size=9)
path = st.lists(part, min_size=1, max_size=3).map("/".join)
sha256 = st.text("0123456789abcdef", min_size=64, max_size=64)
fps = st.builds(Fraction, st.integers(1, 10**6), st.integers(1, 1001))
entry = st.builds(FileEntry, sha256=sha256, size=count)


def no_file_is_a_folder(files: dict[str, FileEntry]) -> bool:
    return not any(path.startswith(f"{other}/") for path in files for other in files)


files = st.dictionaries(path, entry, max_size=4).filter(no_file_is_a_folder)
settings = st.builds(
    Settings,
    model=name, steps=st.integers(1, 1000), guidance=st.floats(1, 20), seed=st.integers(0, 2**63 - 1),
    segment=st.integers(2, 100).map(lambda n: 4 * n + 1), overlap=st.sampled_from((1, 5)),
    precision=st.sampled_from(wire.Precision), solver=st.sampled_from(wire.Solver), plan=st.sampled_from(wire.Plan),
    area=st.none() | st.integers(1024, 2**24), prompt=st.none() | text, relight=st.floats(0, 2),
    loras=st.lists(st.builds(wire.LoraUse, name=name, strength=st.floats(-4, 4)), max_size=2).map(tuple),
)  # fmt: skip
raster = st.builds(
    Raster, kind=st.sampled_from(wire.RasterKind), width=st.integers(1, 16384), height=st.integers(1, 16384),
    matrix=st.tuples(*[finite] * 9),
)  # fmt: skip
colour = st.builds(
    Colour, encoding=st.sampled_from(wire.Encoding), working_space=text, view=text, display=text, look=text,
    exposure=st.floats(-32, 32), gamma=st.floats(0.01, 100), ocio=st.none() | st.just(wire.BUILTIN + "default"),
)  # fmt: skip


@st.composite
def lenses(draw: st.DrawFn) -> wire.Lens:
    kind = draw(st.sampled_from(wire.LensKind))
    return wire.Lens(
        kind=kind, width=draw(st.integers(1, 16384)), height=draw(st.integers(1, 16384)),
        pixel_aspect=draw(st.floats(0.1, 10)), focal=draw(st.floats(1, 9999)),
        principal=draw(st.tuples(finite, finite)),
        coefficients=draw(st.tuples(*[finite] * wire.COEFFICIENTS[kind])),
        file="lens/map.exr" if kind is wire.LensKind.STMAP else "", use=draw(st.sampled_from(wire.MapUse)),
    )  # fmt: skip


three = st.tuples(finite, finite, finite)
grades = st.just(()) | st.tuples(*[st.builds(wire.Grade, gains=three, offsets=three)] * 2)
blend = st.builds(wire.Blend, first=count, last=count, enter=count, leave=count)
retake = st.integers(0, 2**31).flatmap(
    lambda first: st.builds(
        wire.Retake, first=st.just(first), last=st.integers(first, 2**32), seed=st.none() | st.integers(0, 2**63 - 1)
    )
)
segment = st.builds(
    SegmentRecord, index=count, first=count, last=count, seed=count, key=sha256, grades=grades, execution=text,
    rendered=st.lists(count, max_size=3).map(tuple), round=count, blend=st.none() | blend,
)  # fmt: skip
seam = st.builds(
    wire.SeamRecord, frame=count, colour_before=finite, colour_after=finite, motion_before=st.none() | finite,
    motion_after=st.none() | finite,
)  # fmt: skip
job = st.builds(
    Job, id=text, shot=text, strip=text, state=st.sampled_from(wire.JobState), stage=text, progress=finite,
    segment=count, segments=count, step=count, steps=count, frames=count, seconds_left=st.none() | finite,
    message=text, created=finite,
)  # fmt: skip
take = st.builds(
    Take, shot=name, strip=text, version=count, export=sha256, state=st.sampled_from(wire.TakeState),
    mode=st.sampled_from(Mode), first=count, last=count, cut_in=count, cut_out=count, fps=fps, width=count,
    height=count, layers=st.lists(text, max_size=3).map(tuple), files=files, settings=settings,
    segments=st.lists(segment, max_size=3).map(tuple), seams=st.lists(seam, max_size=2).map(tuple),
    models=st.dictionaries(text, sha256, max_size=2), base=text, retake=st.none() | retake,
    origins=st.lists(sha256, max_size=3).map(tuple),
    versions=st.dictionaries(text, text, max_size=2), device=text, seconds=st.dictionaries(text, finite, max_size=2),
    peak_memory=st.none() | count, notes=st.lists(text, max_size=2).map(tuple),
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | finite | text, lambda x: st.lists(x, max_size=3) | st.dictionaries(text, x, max_size=3)
)
reply = st.builds(ErrorReply, error=text, message=text, missing=st.lists(sha256, max_size=3).map(tuple))


@st.composite
def shots(draw: st.DrawFn) -> Shot:
    first, length = draw(st.integers(0, 5000)), draw(st.integers(1, 6))
    rows = tuple(
        FrameRow(shot=first + i, timeline=draw(finite), source=draw(finite), rig=draw(finite)) for i in range(length)
    )
    lens = draw(st.none() | lenses())
    mapped = {lens.file: draw(entry)} if lens and lens.file else {}
    cut = sorted(draw(st.tuples(*[st.integers(first, first + length - 1)] * 2)))
    return Shot(
        name=draw(name), strip=draw(text), mode=draw(st.sampled_from(Mode)), frames=rows, cut_in=cut[0], cut_out=cut[1],
        fps=draw(fps), raster=draw(raster), colour=draw(colour), lens=lens,
        face=draw(st.sampled_from(wire.FaceSource)), character=draw(path), settings=draw(settings),
        files={**draw(files), **mapped},
    )  # fmt: skip


messages = st.one_of(shots(), take, job, settings, raster, colour, entry, segment, reply, lenses())


@given(messages)
def test_every_message_survives_its_round_trip(message: Message) -> None:
    again = type(message).loads(message.dumps())
    assert again == message
    assert again.dumps() == message.dumps()


@given(messages)
def test_a_message_is_plain_json(message: Message) -> None:
    assert json.loads(json.dumps(message.to_json(), allow_nan=False)) == message.to_json()


@given(messages, text.filter(lambda key: not key.isidentifier() or "_" not in key))
def test_a_field_that_this_version_does_not_know_is_refused_by_name(message: Message, key: str) -> None:
    known = {f.name for f in fields(message)}  # type: ignore[arg-type]
    if key not in known:
        with pytest.raises(WireError, match="does not know"):
            type(message).from_json(message.to_json() | {key: 1})


@given(messages, st.data())
def test_a_field_of_another_kind_is_refused_by_name(message: Message, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(message.to_json())))
    kinds = [[[[]]], {"a": {"b": []}}, "neither" if isinstance(getattr(message, field), bool) else True]
    wrong = data.draw(st.sampled_from(kinds))
    with pytest.raises(WireError) as caught:
        type(message).from_json(message.to_json() | {field: wrong})
    assert field in str(caught.value)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(WireError):
        Shot.loads(data)


@given(anything)
def test_json_that_is_no_shot_is_refused_and_nothing_else(data: Any) -> None:
    with pytest.raises(WireError):
        Shot.from_json(data)


def test_a_missing_field_is_named(shot: Shot) -> None:
    data = shot.to_json()
    del data["raster"]
    with pytest.raises(WireError, match="raster"):
        Shot.from_json(data)


@pytest.mark.parametrize(("change", "word"), [
    ({"steps": 0}, "steps"), ({"steps": 1001}, "steps"), ({"guidance": 0.5}, "guidance"), ({"seed": -1}, "seed"),
    ({"seed": 2**63}, "seed"), ({"segment": 76}, "segment"), ({"segment": 405}, "segment"),
    ({"segment": 5, "overlap": 5}, "segment"), ({"overlap": 2}, "overlap"), ({"area": 100}, "area"),
])  # fmt: skip
def test_settings_outside_their_range_are_refused_by_name(change: dict[str, Any], word: str) -> None:
    with pytest.raises(WireError, match=word):
        replace(Settings(), **change)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(number: float) -> None:
    with pytest.raises(WireError, match="guidance"):
        Settings.loads(json.dumps({"guidance": number}))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"width": 0}, "region of interest"),
        ({"block": 15}, "block"),
        ({"x": (1,)}, "places"),
        ({"y": (0, -1)}, "places"),
    ],
)
def test_a_region_of_interest_that_is_none_is_refused_by_name(change: dict[str, Any], word: str) -> None:
    roi = Roi(width=96, height=80, block=17, x=(3, 4), y=(0, 0))
    assert Roi.loads(roi.dumps()) == roi
    with pytest.raises(WireError, match=word):
        replace(roi, **change)


@pytest.mark.parametrize("given", ["", ".hidden", "a/b", "a\\b", "..", "a b", "ümlaut", "x" * 65, "dot.", "a\0"])
def test_names_that_are_no_folder_everywhere_are_refused(given: str) -> None:
    with pytest.raises(WireError, match="shot name"):
        wire.check_name(given)


@pytest.mark.parametrize("given", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\\b", "C:x", "a\0b"])
def test_paths_that_leave_their_folder_are_refused(given: str, shot: Shot) -> None:
    with pytest.raises(WireError, match="path"):
        replace(shot, files={given: FileEntry(sha256="0" * 64, size=1)})
    with pytest.raises(WireError, match="path"):
        replace(shot, character=given)


@pytest.mark.parametrize("given", ["24", "24/0", "-24/1", "1.5/1", "24/1 ", 24])
def test_a_frame_rate_that_is_no_fraction_is_refused(given: object, shot: Shot) -> None:
    with pytest.raises(WireError, match="fps"):
        Shot.from_json(shot.to_json() | {"fps": given})


def test_frames_that_do_not_follow_each_other_are_refused(shot: Shot) -> None:
    with pytest.raises(WireError, match="consecutive"):
        replace(shot, frames=(shot.frames[0], shot.frames[2]))


def test_a_cut_outside_the_frames_is_refused(shot: Shot) -> None:
    with pytest.raises(WireError, match="cut"):
        replace(shot, cut_in=shot.cut_in - 1)


@pytest.mark.parametrize(("change", "word"), [
    ({"focal": 0.0}, "focal length of the lens"),
    ({"coefficients": (0.1,)}, "division coefficients is 1, expected 2"),
    ({"file": "lens/map.exr"}, "expected no file"),
    ({"pixel_aspect": 0.0}, "pixel aspect of the lens"),
    ({"kind": wire.LensKind.STMAP, "coefficients": ()}, "expected a file"),
])  # fmt: skip
def test_a_lens_that_no_picture_can_have_is_refused(change: dict[str, Any], word: str) -> None:
    whole = {"kind": wire.LensKind.DIVISION, "width": 64, "height": 48, "focal": 70.0, "coefficients": (0.1, 0.0)}
    wire.Lens(**whole)
    with pytest.raises(WireError, match=word):
        wire.Lens(**whole | change)


@pytest.mark.parametrize(("schema", "who"), [(0, "what wrote the shot"), (2, "this software")])
def test_another_wire_version_says_which_side_is_older(schema: int, who: str, shot: Shot) -> None:
    with pytest.raises(WireError, match=f"update {who}"):
        Shot.from_json(shot.to_json() | {"schema": schema})


def test_the_hash_of_a_shot_changes_with_every_part_of_it_but_how_it_is_rendered(shot: Shot) -> None:
    files = shot.files | {"character.png": FileEntry(sha256="0" * 64, size=1)}
    others = [replace(shot, strip="b"), replace(shot, files=files)]
    assert len({shot.hash, *(other.hash for other in others)}) == 3
    assert replace(shot, settings=Settings(seed=1)).hash == shot.hash
    assert Shot.loads(shot.dumps()).hash == shot.hash


def test_a_sequence_names_the_first_frame_that_is_missing(shot: Shot) -> None:
    files = {path: entry for path, entry in shot.files.items() if path != "plate/1004.png"}
    with pytest.raises(WireError, match="8 of 9 plate frames, plate/1004"):
        replace(shot, files=files).sequence("plate")
    assert shot.sequence("plate")[0] == "plate/1001.png"
    assert shot.sequence("face") == []


def test_two_claims_never_get_the_same_version(tmp_path: Path) -> None:
    claimed = [wire.claim_version(tmp_path, wire.TAKE_PREFIX).name for _ in range(3)]
    assert claimed == ["v001", "v002", "v003"]


def test_a_version_after_the_thousandth_is_still_the_next(tmp_path: Path) -> None:
    (tmp_path / "v1000").mkdir()
    assert wire.claim_version(tmp_path, wire.TAKE_PREFIX).name == "v1001"


def test_an_atomic_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    wire.write_atomically(tmp_path / "a", b"old")
    with pytest.raises(TypeError):
        wire.write_atomically(tmp_path / "a", "no bytes")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_hidden_and_left_out_files_are_not_listed(tmp_path: Path) -> None:
    for path in ("plate/1001.png", ".hidden", "owner.json", "shot.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    assert list(wire.list_files(tmp_path, {"shot.json"})) == ["plate/1001.png"]


def test_a_face_box_grows_three_times_as_much_upwards_as_downwards() -> None:
    box = wire.face_box([(100, 100), (200, 200)], 1000, 1000)
    grow = (1.3**0.5 - 1) * 100
    assert box == (int(100 - grow / 2), int(100 - 3 * grow / 4), int(200 + grow / 2), int(200 + grow / 4))


@pytest.mark.parametrize("points", [[], [(math.nan, 1)], [(-50, -50), (-10, -10)]])
def test_a_face_that_is_not_in_the_frame_has_no_box(points: list[tuple[float, float]]) -> None:
    assert wire.face_box(points, 100, 100) is None


@pytest.mark.parametrize(("problem", "code"), [
    (wire.BadInput, 64), (WireError, 64), (wire.Unavailable, 69), (wire.TryElsewhere, 75), (wire.Interrupted, 130),
    (wire.Problem, 70),
])  # fmt: skip
def test_every_problem_ends_with_its_exit_code(problem: type[wire.Problem], code: int) -> None:
    assert problem("why").exit_code == ExitCode(code) == code


def told(**changes: Any) -> str:
    row = {"shot": 1001, "timeline": 1.0, "source": 0.0, "rig": 1.0}
    raster = {"kind": "source", "width": 8, "height": 8}
    return json.dumps({
        "name": "a", "mode": "animate", "frames": [row], "cut_in": 1001, "cut_out": 1001, "fps": "24/1",
        "raster": raster, "files": {},
    } | changes)  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), [
    ("[" * 100_000, "not valid JSON"), ("[" * 20 + "]" * 20, "more than 16 levels deep"),
    (told(cut_in=2**63), "64 bits"), (told(cut_out=-(2**63)), "64 bits"),
    (told(frames=[{"shot": 1001, "timeline": 10**400, "source": 0, "rig": 0}]), "finite"),
    (told(strip="\ud800"), "whole characters"), (told(files={"\udfff": {"sha256": "0" * 64, "size": 1}}), "whole"),
])  # fmt: skip
def test_what_no_message_needs_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(WireError, match=sentence) as caught:
        Shot.loads(text)
    assert str(caught.value).encode(), "the sentence itself can be sent"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("path", ["a\nb", "a\x7f", "x" * 256, "é" * 128, "y/" * 512 + "z", "shot.json", "pose.npz/x"])
def test_a_file_that_cannot_lie_beside_the_others_is_refused(path: str) -> None:
    entry = {"sha256": "0" * 64, "size": 1}
    Shot.loads(told(files={"pose.npz": entry, "é" * 127: entry}))
    with pytest.raises(WireError):
        Shot.loads(told(files={"pose.npz": entry, path: entry}))
