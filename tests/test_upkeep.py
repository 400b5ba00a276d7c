"""A real data folder over time: what is old goes, what a job needs stays, and whatever stops that leaves no half."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from wan_animate_blender.wire import ExitCode, FileEntry, JobState, Retake, SegmentRecord, Shot, TakeState
from wan_animate_server.blobs import Blobs
from wan_animate_server.capacity import Capacity, used
from wan_animate_server.datafolder import Begun, DataFolder
from wan_animate_server.jobs import Jobs
from wan_animate_server.retention import DAY, Kind, Piece, Policy
from wan_animate_server.store import SegmentStore
from wan_animate_server.take import TakeFolder
from wan_animate_server.upkeep import Keeper, Upkeep, bytes_of

from .conftest import QUICK, command, write_export
from .serving import PATIENCE, Running, serving
from .test_server import blob

OLD = 40 * DAY


class Place:
    """A data folder without a server."""

    def __init__(self, root: Path) -> None:
        self.data = DataFolder(root)
        self.jobs = Jobs(self.data.queue)
        self.blobs = Blobs(self.data.blobs, Capacity(root, None))
        self.upkeep = Upkeep(self.data, self.jobs, self.blobs)

    def queue(self, job: str, shot: Shot, folder: Path) -> None:
        for path, entry in shot.files.items():
            self.blobs.path(entry.sha256).parent.mkdir(parents=True, exist_ok=True)
            self.blobs.path(entry.sha256).write_bytes((folder / path).read_bytes())
        self.data.lay_out(job, shot, self.blobs.path)
        self.jobs.add(job, shot)

    def render(self, job: str, shot: Shot, *keys: str, whole: bool = True) -> None:
        """As a worker does it, but for the pictures: a take made of the segments `keys`."""
        self.jobs.claim("worker")
        take = TakeFolder.claim(self.data.takes(job, shot.name), shot, 64, 48)
        records = [SegmentRecord(index=i, first=1, last=2, seed=0, key=key) for i, key in enumerate(keys)]
        for key in keys:
            self.segment(key)
        take.note(segments=tuple(records))
        if whole:
            take.complete([])
            self.jobs.finish(job, "worker", JobState.DONE)
        take.leave()

    def segment(self, key: str) -> Path:
        folder = self.data.segments / key
        folder.mkdir(parents=True)
        (folder / "frames.npy").write_bytes(bytes(1000))
        return folder

    def tidy(self, policy: Policy = Policy(30)) -> list[Piece]:
        return list(self.upkeep.tidy(policy))

    def size(self) -> int:
        """Bytes that are there but for the queue's own file."""
        return sum(used(folder) for folder in self.data.root.iterdir() if folder.is_dir())

    def grow_old(self) -> None:
        make_old(self.data)


def make_old(data: DataFolder) -> None:
    """Let everything be of forty days ago."""
    then = time.time() - OLD
    with closing(sqlite3.connect(data.queue)) as connection, connection:
        connection.execute("UPDATE jobs SET ended = ended - ?", (OLD,))
    for path in (*data.blobs.rglob("*"), *data.segments.glob("*"), *data.jobs.glob("*/.*")):
        os.utime(path, (then, then))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "data")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path, frames=3)


@pytest.fixture
def shot(export: Path) -> Shot:
    return Shot.loads((export / "shot.json").read_bytes())


def kinds(pieces: list[Piece]) -> dict[Kind, int]:
    return {kind: sum(piece.kind is kind for piece in pieces) for kind in {piece.kind for piece in pieces}}


def test_what_is_old_goes_with_all_that_only_it_needed(place: Place, export: Path, shot: Shot) -> None:
    place.queue("done", shot, export)
    place.render("done", shot, "a", "b")
    assert place.tidy() == [], "nothing is old yet"
    place.grow_old()
    gone = place.tidy()
    assert kinds(gone) == {Kind.JOB: 1, Kind.BLOB: len(shot.files), Kind.SEGMENT: 2}
    assert place.jobs.all() == []
    assert place.size() == 0


@pytest.mark.parametrize("state", ["queued", "paused", "running", "cancelling"])
def test_what_a_job_needs_that_has_not_ended_stays_however_old_it_is(
    place: Place, export: Path, shot: Shot, state: str
) -> None:
    place.queue("job", shot, export)
    place.render("job", shot, "a", "b", whole=False)
    if state in ("queued", "paused"):
        place.jobs.give_back("worker")
    {"paused": place.jobs.pause, "cancelling": place.jobs.cancel}.get(state, place.jobs.get)("job")
    place.segment("other")
    place.grow_old()
    files = sorted(path for path in place.data.jobs.rglob("*") if path.is_file())
    gone = place.tidy(Policy(1, limit=1))
    assert [(piece.kind, piece.name) for piece in gone] == [(Kind.SEGMENT, "other")]
    assert (job := place.jobs.get("job")) is not None and job.state == state
    assert sorted(path for path in place.data.jobs.rglob("*") if path.is_file()) == files
    assert all(place.blobs.has(entry.sha256) for entry in shot.files.values())


def test_a_retake_that_waits_keeps_what_it_begins_from_when_the_job_before_goes(
    place: Place, export: Path, shot: Shot
) -> None:
    place.queue("first", shot, export)
    place.render("first", shot, "a", "b")
    (folder,) = place.data.takes("first", shot.name).iterdir()
    first = place.jobs.get("first")
    assert first is not None
    place.data.lay_out_retake("again", shot.name, place.data.export("first", shot.name), Begun(folder, ()))
    place.jobs.add_retake("again", first, Retake(first=1001, last=1001), by="")
    place.segment("other")
    place.grow_old()
    gone = place.tidy()
    assert {(piece.kind, piece.name) for piece in gone} == {(Kind.JOB, "first"), (Kind.SEGMENT, "other")}
    assert {path.name for path in place.data.segments.iterdir()} == {"a", "b"}
    export = place.data.export("again", shot.name)
    assert all((export / path).stat().st_size == entry.size for path, entry in shot.files.items())


def test_a_job_that_is_tried_again_meanwhile_stays(place: Place, export: Path, shot: Shot) -> None:
    place.queue("job", shot, export)
    place.jobs.cancel("job")
    place.grow_old()
    going = place.upkeep.tidy(Policy(30))
    place.jobs.retry("job")
    assert not [piece for piece in going if piece.kind is Kind.JOB]
    chosen = place.upkeep.chosen(Policy(30))
    assert chosen == [] and place.data.export("job", shot.name).is_dir()


def test_a_blob_and_a_segment_that_somebody_uses_meanwhile_stay(place: Place, export: Path, shot: Shot) -> None:
    place.queue("job", shot, export)
    place.jobs.cancel("job")
    place.segment("a")
    place.grow_old()
    going = place.upkeep.tidy(Policy(30))
    assert next(going).kind is Kind.JOB
    asked = next(iter(shot.files.values()))
    assert place.blobs.missing([asked]) == (), "a client was just told that this one is here"
    assert SegmentStore(place.data.segments).has("a")
    rest = list(going)
    assert kinds(rest) == {Kind.BLOB: len({e.sha256 for e in shot.files.values()}) - 1}
    assert place.blobs.has(asked.sha256) and (place.data.segments / "a").is_dir()


def test_a_kill_between_row_and_folder_leaves_a_stray_that_the_next_start_removes(
    place: Place, export: Path, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.queue("job", shot, export)
    place.jobs.cancel("job")
    place.segment("a")
    place.grow_old()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("shutil.rmtree", killed)
        place.tidy()
    assert place.jobs.all() == [], "the row goes first: no job without its folder is ever seen"
    assert not (place.data.jobs / "job").exists(), "the folder goes as a whole"
    again = Place(place.data.root)
    again.data.remove_strays(())
    again.tidy()
    assert again.size() == 0


def test_half_an_upload_goes_after_a_day_and_previews_too(place: Place, export: Path, shot: Shot) -> None:
    place.queue("job", shot, export)
    for age, name in ((0.5, "new"), (2, "old")):
        part = place.blobs.incoming / f"{name}.part"
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(bytes(10))
        os.utime(part, (time.time() - age * DAY,) * 2)
    previews = place.data.previews("job")
    previews.mkdir()
    (previews / "a.jpg").write_bytes(bytes(10))
    os.utime(previews, (time.time() - 2 * DAY,) * 2)
    gone = place.tidy(Policy())
    assert {(piece.kind, piece.name, bytes_of(piece)) for piece in gone} == {
        (Kind.UPLOAD, "old.part", 10), (Kind.PREVIEWS, "job", 10)
    }  # fmt: skip
    assert not previews.exists() and [path.name for path in place.blobs.incoming.iterdir()] == ["new.part"]


def test_room_is_made_below_the_limit_without_what_nobody_fetched(place: Place, export: Path, shot: Shot) -> None:
    for job in ("fetched", "dear"):
        place.queue(job, shot, export)
        place.render(job, shot, f"of-{job}")
    place.data.fetched("fetched").touch()
    place.grow_old()
    gone = place.tidy(Policy(None, limit=1))
    assert [(p.kind, p.name) for p in gone] == [
        (Kind.SEGMENT, "of-dear"), (Kind.SEGMENT, "of-fetched"), (Kind.JOB, "fetched")
    ]  # fmt: skip
    assert [job.id for job in place.jobs.all()] == ["dear"]


def test_the_keeper_makes_room_when_there_is_none_and_ends(place: Place) -> None:
    capacity = Capacity(place.data.root, 500)
    keeper = Keeper(place.upkeep, Policy(None, limit=500), capacity)
    keeper.start()
    segment = place.segment("a")
    os.utime(segment, (1, 1))
    assert not capacity.has_room(1)
    try:
        end = time.monotonic() + PATIENCE
        while segment.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        keeper.stop()


def test_jobs_of_the_version_before_count_as_ended_when_their_file_was_migrated(tmp_path: Path, shot: Shot) -> None:
    jobs = Jobs(tmp_path / "jobs.sqlite")
    jobs.add("old", shot)
    jobs.cancel("old")
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        for column in ("ended", "code"):
            connection.executescript(f"DROP TRIGGER IF EXISTS ending; ALTER TABLE jobs DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 2")
    before = int(time.time())
    assert before <= Jobs(tmp_path / "jobs.sqlite").endings()["old"] <= time.time()


# --- a server ---------------------------------------------------------------------------------------


def cleaned(running: Running, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("clean", "--data", running.data, "--json", *options), capture_output=True, text=True, timeout=PATIENCE
    )


def test_a_server_removes_what_is_old_and_the_job_that_waited_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    with serving(tmp_path / "server") as running:
        short = running.submit(write_export(tmp_path / "other", frames=1, settings=replace(QUICK, seed=3)))
        assert running.finished(short.id).state is JobState.DONE
        assert running.take(short.id).state is TakeState.COMPLETE
        running.call("POST", "/v1/queue/pause")
        waits = running.submit(write_export(tmp_path))
        said = cleaned(running)
        assert said.returncode == ExitCode.BAD_INPUT and "used by another server" in said.stderr
        assert DataFolder(running.data).fetched(short.id).exists()
    make_old(DataFolder(running.data))
    dry = [json.loads(line) for line in cleaned(running, "--older-than", "30", "--dry-run").stdout.splitlines()]
    assert {row["name"] for row in dry[:-1] if row["kind"] == "job"} == {short.id}
    assert dry[-1]["dry_run"] and dry[-1]["pieces"] == len(dry) - 1
    with serving(tmp_path / "server", "--keep-days", "30") as again:
        end = time.monotonic() + PATIENCE
        while again.call("GET", f"/v1/jobs/{short.id}").status_code != 404 and time.monotonic() < end:
            time.sleep(0.05)
        again.call("POST", "/v1/queue/resume")
        assert again.finished(waits.id).state is JobState.DONE
        assert again.pictures(waits.id) == undisturbed
        names = {path.name for path in again.data.glob("jobs/*")}
    assert names == {waits.id}
    rest = cleaned(again, "--older-than", "0")
    assert rest.returncode == ExitCode.DONE, rest.stderr
    assert not list(again.data.glob("jobs/*")) and not list(again.data.glob("segments/*"))
    assert not list(again.data.glob("blobs/??/*"))


def test_an_upload_that_did_not_fit_finds_room_that_was_made_for_it(tmp_path: Path) -> None:
    first, second = blob(600_000, 1), blob(600_000, 2)
    with serving(tmp_path / "server", "--store-limit", "0.001") as running:
        assert running.call("PUT", first[1], data=first[0]).status_code == 201
        assert running.call("PUT", second[1], data=second[0]).status_code == 507, "what just came is not thrown out"
        path = Blobs(running.data / "blobs", Capacity(running.data, None)).path(hashlib.sha256(first[0]).hexdigest())
        then = time.time() - DAY
        os.utime(path, (then, then))
        end = time.monotonic() + PATIENCE
        while running.call("PUT", second[1], data=second[0]).status_code != 201:
            assert time.monotonic() < end
            time.sleep(0.5)
        assert not path.exists()


def test_a_folder_that_is_no_servers_is_not_cleaned(tmp_path: Path) -> None:
    done = subprocess.run(
        command("clean", "--data", tmp_path, "--older-than", "0"), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == ExitCode.BAD_INPUT and "no data folder" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_blob_is_forgotten_only_when_nobody_used_it_since(tmp_path: Path) -> None:
    blobs, data = Blobs(tmp_path, Capacity(tmp_path, None)), b"x"
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.begin(sha256, 0, 1)
    blobs.append(sha256, data)
    blobs.finish(sha256)
    os.utime(blobs.path(sha256), (100, 100))
    assert not blobs.remove(sha256, since=99)
    assert blobs.missing([FileEntry(sha256=sha256, size=1)]) == ()
    assert not blobs.remove(sha256, since=100)
    assert blobs.remove(sha256, since=time.time() + 1) and not blobs.has(sha256)
