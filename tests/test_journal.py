"""What a server logs: readable or as JSON, each line about a job with its id, and nothing that is nobody's business."""

from __future__ import annotations

import datetime
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_blender.wire import BadInput, JobState
from wan_animate_server import journal

from .conftest import write_export
from .serving import serving

log = logging.getLogger("somebody")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """`journal.keep` sets up the whole process; afterwards it is as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


def said(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_line_of_json_has_all_that_is_known_and_nothing_else(file: Path) -> None:
    journal.keep(as_json=True, file=file)
    log.info("two\nlines and %s", "ü")
    with journal.about("j1"):
        log.warning("inside")
        thread = threading.Thread(target=log.info, args=("in a thread of it",))
        thread.start()
        thread.join()
    log.error("by hand", extra={"job": "j2"})
    first, *about, last = said(file)
    assert first.keys() == {"time", "level", "logger", "message"} and first["message"] == "two\nlines and ü"
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(first["time"])
    assert abs(age.total_seconds()) < 60
    assert [line["job"] for line in about] == ["j1", "j1"] and about[0]["level"] == "WARNING"
    assert (last["job"], last["level"], last["logger"]) == ("j2", "ERROR", "somebody")


def test_a_bug_has_its_trace_in_its_line(file: Path) -> None:
    journal.keep(as_json=True, file=file)
    try:
        raise KeyError("why")
    except KeyError:
        log.exception("a bug")
    (line,) = said(file)
    assert line["message"] == "a bug" and "KeyError: 'why'" in line["trace"]


def test_people_read_the_same_without_json(file: Path) -> None:
    journal.keep(as_json=False, file=file)
    log.info("nothing special")
    with journal.about("j1"):
        log.info("inside")
    first, second = file.read_text().splitlines()
    assert first.endswith(" INFO nothing special") and second.endswith(" INFO job j1: inside")


def test_what_a_worker_says_is_logged_as_it_said_it_and_all_else_too(file: Path) -> None:
    journal.keep(as_json=True, file=file)
    try:
        raise KeyError("why")
    except KeyError:
        record = log.makeRecord("worker.room", logging.ERROR, "", 1, "50 %s", ("%",), True, extra={"job": "j1"})
        record.exc_info = None
        record.exc_text = "the trace"
    line = journal.JsonLines().format(record).encode()
    journal.relay([line + b"\n", b"\n", b"a library's \xff words 100 %\n", b'{"time": 3}\n', b"[]\n"], "worker cpu")
    first, *rest = said(file)
    assert first == json.loads(line) | {"who": "worker cpu"}
    assert [more["message"] for more in rest] == ["a library's \ufffd words 100 %", '{"time": 3}', "[]"]
    assert {(more["level"], more["who"]) for more in rest} == {("WARNING", "worker cpu")}


def test_a_file_is_turned_over_and_so_many_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_MOST_BYTES", 1000)
    journal.keep(as_json=False, file=file)
    for i in range(200):
        log.info("line %d %s", i, "x" * 80)
    assert sorted(path.name for path in file.parent.iterdir()) == ["log.txt", *(f"log.txt.{n}" for n in range(1, 6))]
    assert all(path.stat().st_size <= 1000 for path in file.parent.iterdir())
    assert "line 199" in file.read_text()


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="name another --log-file"):
        journal.keep(as_json=False, file=tmp_path / "nowhere" / "log.txt")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_server_says_of_each_line_which_job_it_is_about_and_nothing_secret(tmp_path: Path, file: Path) -> None:
    with serving(tmp_path / "server", "--log-json", "--log-requests", "--log-file", file) as running:
        job = running.submit(write_export(tmp_path, frames=5)).id
        running.wait(job, lambda now: now.state is JobState.RUNNING)
        os.kill(running.worker(), signal.SIGKILL)
        assert running.finished(job).state is JobState.DONE
        assert running.call("GET", f"/v1/jobs?newest=1&why={running.token[::-1]}").status_code == 200
        assert running.call("GET", "/v1/jobs/Zm9yZ2Vk").status_code == 404
        assert running.call("GET", f"/v1/{running.token[::-1]}").status_code == 404
    lines = said(file)
    about = [line for line in lines if line.get("job") == job]
    assert {"rendering SH010", "done"} <= {line["message"] for line in about if line.get("who") == "worker cpu"}
    assert any("denoising" in line["message"] for line in about)
    assert any("is started again" in line["message"] for line in about)
    requests = [line for line in lines if line["logger"].endswith("visits")]
    assert any(line["message"].startswith("PUT /v1/blobs/{sha256} by owner: 201 in") for line in requests)
    assert any("job" in line and line["message"].startswith("GET /v1/jobs/{job} by owner: 200") for line in requests)
    assert not [line for line in requests if "404" in line["message"] and "job" in line]
    whole = file.read_text() + running.log.read_text()
    assert "Zm9yZ2Vk" not in whole and running.token not in whole and running.token[::-1] not in whole
    assert "why=" not in whole


def test_without_options_people_read_what_workers_say_and_no_requests(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as running:
        job = running.submit(write_export(tmp_path, frames=1)).id
        running.finished(job)
    told = running.log.read_text()
    assert f" INFO worker cpu job {job}: done\n" in told and "/v1/" not in told
