"""Takes, their versions and owners, and the segment store: nothing partial under a final name, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wan_animate_blender.wire import OWNER_FILE, TAKE_FILE, BadInput, Mode, Shot, Take, TakeState, owner
from wan_animate_server.ownership import part_of
from wan_animate_server.pipeline import StoredSegment
from wan_animate_server.store import SegmentStore
from wan_animate_server.take import LAYERS, TakeFolder, newest_take

SEGMENT = StoredSegment(
    frames=np.linspace(0, 1, 2 * 4 * 6 * 3, dtype=np.float16).reshape(2, 4, 6, 3),
    tail=np.float32([-1, 0, 1]).reshape(3, 1, 1, 1),
    head=np.linspace(1, 0, 4 * 6 * 3, dtype=np.float16).reshape(1, 4, 6, 3),
)


def claim(takes: Path, shot: Shot) -> TakeFolder:
    return TakeFolder.claim(takes, shot, 64, 48)


def abandon(folder: Path) -> None:
    """Make `folder` belong to a process of this machine that has ended."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (folder / OWNER_FILE).write_text(json.dumps(owner() | {"pid": dead.pid}))


def test_a_new_take_is_partial_and_lists_nothing(tmp_path: Path, shot: Shot) -> None:
    take = Take.loads((claim(tmp_path, shot).folder / TAKE_FILE).read_bytes())
    assert (take.state, take.files, take.version) == (TakeState.PARTIAL, {}, 1)
    assert (take.export, take.strip, take.first, take.last) == (shot.hash, shot.strip, 1001, 1009)


def test_a_take_lists_only_files_that_are_there(tmp_path: Path, shot: Shot) -> None:
    take = claim(tmp_path, shot)
    (take.folder / "comp/1001.png").write_bytes(b"picture")
    take.note(["comp/1001.png"])
    read = Take.loads((take.folder / TAKE_FILE).read_bytes())
    assert read.sequence("comp") == ["comp/1001.png"]
    assert read.files["comp/1001.png"].size == 7
    with pytest.raises(BadInput):
        take.note(["comp/1002.png"])


def test_a_complete_take_says_so_and_belongs_to_nobody(tmp_path: Path, shot: Shot) -> None:
    take = claim(tmp_path, shot)
    (take.folder / "preview.mp4").write_bytes(b"movie")
    take.complete(["preview.mp4"], peak_memory=5)
    read = Take.loads((take.folder / TAKE_FILE).read_bytes())
    assert (read.state, read.peak_memory) == (TakeState.COMPLETE, 5)
    assert sorted(p.name for p in take.folder.iterdir()) == sorted([*LAYERS[Mode.REPLACE], "preview.mp4", TAKE_FILE])


def test_a_complete_take_is_never_touched_again(tmp_path: Path, shot: Shot) -> None:
    claim(tmp_path, shot).complete([])
    assert claim(tmp_path, shot).folder.name == "v002"


def test_a_take_that_is_being_made_is_not_taken_away(tmp_path: Path, shot: Shot) -> None:
    claim(tmp_path, shot)
    assert claim(tmp_path, shot).folder.name == "v002"


def test_an_interrupted_take_is_continued_under_its_version(tmp_path: Path, shot: Shot) -> None:
    first = claim(tmp_path, shot)
    (first.folder / "comp" / ".1003.png.12345678.part").write_bytes(b"half")
    abandon(first.folder)
    again = claim(tmp_path, shot)
    assert again.folder == first.folder
    assert not list(again.folder.rglob("*.part")), "what the dead process left is removed"
    assert json.loads((again.folder / OWNER_FILE).read_text()).items() >= owner().items()
    again.complete([])
    assert not list(again.folder.glob(".*"))


def test_an_interrupted_take_of_another_boot_is_continued(tmp_path: Path, shot: Shot) -> None:
    first = claim(tmp_path, shot)
    (first.folder / OWNER_FILE).write_text(json.dumps(owner() | {"boot": "another"}))
    assert claim(tmp_path, shot).folder == first.folder


@pytest.mark.parametrize("theirs", [{"host": "another"}, {"pid": os.getppid()}, {"pid": "x"}])
def test_a_take_whose_owner_may_live_is_left_alone(tmp_path: Path, shot: Shot, theirs: dict[str, object]) -> None:
    first = claim(tmp_path, shot)
    (first.folder / OWNER_FILE).write_text(json.dumps(owner() | theirs))
    assert claim(tmp_path, shot).folder.name == "v002"


def test_an_interrupted_take_of_another_export_is_left_alone(tmp_path: Path, shot: Shot) -> None:
    abandon(claim(tmp_path, shot).folder)
    other = replace(shot, settings=replace(shot.settings, seed=8))
    assert claim(tmp_path, other).folder.name == "v002"


def test_of_several_heirs_one_inherits(tmp_path: Path, shot: Shot) -> None:
    first = claim(tmp_path, shot)
    abandon(first.folder)
    record = (first.folder / OWNER_FILE).read_bytes()
    heir = claim(tmp_path, shot)
    (first.folder / OWNER_FILE).write_bytes(record)  # what a second process read before the first one inherited
    assert heir.folder == first.folder
    assert claim(tmp_path, shot).folder.name == "v002"


def test_a_take_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, shot: Shot) -> None:
    (tmp_path / "takes").touch()
    with pytest.raises(BadInput, match="choose a folder that you may write to"):
        claim(tmp_path / "takes", shot)


def test_the_newest_take_is_the_highest_number(tmp_path: Path) -> None:
    assert newest_take(tmp_path) is None
    for name in ("v009", "v010", "v002", "vault"):
        (tmp_path / name).mkdir()
    assert newest_take(tmp_path) == tmp_path / "v010"


def test_a_stored_segment_comes_back_bit_for_bit(tmp_path: Path) -> None:
    SegmentStore(tmp_path).put("key", SEGMENT)
    found = SegmentStore(tmp_path).get("key")
    assert found is not None
    assert found.frames.dtype == np.float16
    assert found.tail.dtype == np.float32
    assert np.array_equal(found.frames, SEGMENT.frames)
    assert np.array_equal(found.tail, SEGMENT.tail)
    assert np.array_equal(found.head, SEGMENT.head)


def test_an_unknown_segment_is_none(tmp_path: Path) -> None:
    assert SegmentStore(tmp_path).get("key") is None


@pytest.mark.parametrize("file", ["frames.npy", "tail.npy", "files.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_segment_counts_as_absent(tmp_path: Path, file: str, damage: str) -> None:
    store = SegmentStore(tmp_path)
    store.put("key", SEGMENT)
    path = tmp_path / "key" / file
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(data[:-5] if damage == "truncated" else data[:-5] + bytes(5))
    assert store.get("key") is None
    store.put("key", SEGMENT)
    assert store.get("key") is not None


def test_a_segment_as_an_earlier_version_stored_it_counts_as_absent(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path)
    store.put("key", SEGMENT)
    (tmp_path / "key" / "head.npy").unlink()
    listing = tmp_path / "key" / "files.json"
    listing.write_text(json.dumps({k: v for k, v in json.loads(listing.read_text()).items() if k != "head.npy"}))
    assert store.get("key") is None
    store.put("key", SEGMENT)
    assert store.get("key") is not None


def test_storing_a_segment_twice_keeps_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path)
    store.put("key", SEGMENT)
    store.put("key", SEGMENT)
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_what_a_dead_process_half_stored_is_removed_and_what_a_living_one_stores_is_not(tmp_path: Path) -> None:
    living, dead = part_of(tmp_path, "key"), subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    theirs = living.with_name(living.name.replace(f"-{os.getpid()}.", f"-{dead.pid}."))
    elsewhere = theirs.with_name(re.sub(r"\w{8}-", "00000000-", theirs.name, count=1))
    strange = tmp_path / ".key.part"
    for folder in (living, theirs, elsewhere, strange):
        folder.mkdir()
    SegmentStore(tmp_path)
    assert set(tmp_path.iterdir()) == {living, elsewhere, strange}, "from here nobody sees another machine's processes"


def test_a_full_or_vanished_store_is_one_sentence(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path / "segments")
    shutil.rmtree(tmp_path / "segments")
    (tmp_path / "segments").touch()
    with pytest.raises(BadInput, match="make room there"):
        store.put("key", SEGMENT)
    with pytest.raises(BadInput, match="make room there"):
        SegmentStore(tmp_path / "segments")
