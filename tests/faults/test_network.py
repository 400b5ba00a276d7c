"""The line between client and server breaks at any byte: what arrived is kept, and nobody takes half a file for one."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_blender.client import NoAnswer, Server
from wan_animate_blender.wire import TAKE_FILE, JobState, Take, TakeState, sha256_file

from ..conftest import write_export
from ..serving import Running, serving
from .killing import write_long_export
from .leftovers import strays
from .line import Line
from .sending import ended, read

SEED = int(os.environ.get("WAN_ANIMATE_FAULTS_SEED", "1"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def line(running: Running) -> Iterator[Line]:
    with Line(running.url).open() as found:
        yield found


@pytest.mark.parametrize("run", range(4))
def test_an_upload_goes_on_where_the_line_broke(running: Running, line: Line, tmp_path: Path, run: int) -> None:
    drawn = random.Random(SEED * 100 + run)
    folder = write_long_export(tmp_path, SEED * 100 + run)
    shot = read(folder)
    ballast = shot.files["ballast.bin"]
    line.up = drawn.randrange(20_000, ballast.size)
    server = Server(line.url, running.token)
    before = len(server.jobs())
    with pytest.raises(NoAnswer):
        ended(server.submit(shot, folder))
    assert line.cuts == 1, f"seed {SEED}"
    here = running.call("HEAD", f"/v1/blobs/{ballast.sha256}")
    assert here.status_code == 200 or int(here.headers["Upload-Offset"]) <= ballast.size
    job = ended(server.submit(shot, folder))
    assert len(server.jobs()) == before + 1, "a job that was sent again is one job"
    stored = running.data / "blobs" / ballast.sha256[:2] / ballast.sha256
    assert sha256_file(stored) == ballast.sha256
    running.call("DELETE", f"/v1/jobs/{job.id}")
    running.finished(job.id)
    assert not [path for path in strays(running.data) if "incoming" in path]


def test_an_answer_that_is_lost_does_not_double_a_job(running: Running, line: Line, tmp_path: Path) -> None:
    folder = write_export(tmp_path, frames=1)
    shot = read(folder)
    running.upload(folder, shot)
    running.call("POST", "/v1/queue/pause")
    server = Server(line.url, running.token)
    before = len(server.jobs())
    line.down = 1
    with pytest.raises(NoAnswer):
        ended(server.submit(shot, folder, "a" * 32))
    assert line.cuts == 1
    job = ended(server.submit(shot, folder, "a" * 32))
    assert (job.id, len(server.jobs())) == ("a" * 32, before + 1)
    running.call("DELETE", f"/v1/jobs/{job.id}")
    running.call("POST", "/v1/queue/resume")


def test_a_download_goes_on_where_the_line_broke(
    running: Running, line: Line, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    job = running.finished(running.submit(write_export(tmp_path)).id)
    assert job.state is JobState.DONE
    drawn, server = random.Random(SEED), Server(line.url, running.token)
    size = sum(entry.size for entry in running.take(job.id).files.values())
    for _ in range(4):
        line.cuts, line.down = 0, drawn.randrange(size // 3)
        with pytest.raises(NoAnswer):
            ended(server.collect(job.id, tmp_path / "takes"))
        assert line.cuts == 1, f"seed {SEED}"
        for file in (tmp_path / "takes").rglob("*.png"):
            path = file.relative_to(tmp_path / "takes" / "v001").as_posix()
            assert sha256_file(file) == undisturbed[path], "half a file has a whole one's name"
    line.down = None
    folder = ended(server.collect(job.id, tmp_path / "takes"))
    assert folder.name == "v001"
    assert Take.loads((folder / TAKE_FILE).read_bytes()).state is TakeState.COMPLETE
    assert {path: sha256_file(folder / path) for path in undisturbed} == undisturbed
    assert not list((tmp_path / "takes").rglob("*.part"))
