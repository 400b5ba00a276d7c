"""joblog.py: what a worker said while it had a job."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from wan_animate_server import joblog
from wan_animate_server.progress import Progress

log = logging.getLogger("somebody")


@pytest.fixture(autouse=True)
def everything_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_only_what_is_said_inside_is_kept_and_traces_too(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    log.info("before")
    with joblog.kept(file):
        log.info("inside")
        try:
            raise KeyError("why")
        except KeyError:
            log.exception("a bug")
    log.info("after")
    said = joblog.tail(file)
    assert "INFO inside\n" in said and "KeyError: 'why'" in said
    assert "before" not in said and "after" not in said


def test_another_attempt_adds_to_the_log(tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        with joblog.kept(tmp_path / "log.txt"):
            log.info("%s", attempt)
    assert joblog.tail(tmp_path / "log.txt").split()[3::4] == ["first", "second"]


def test_a_talkative_job_fills_no_disk(tmp_path: Path) -> None:
    with joblog.kept(tmp_path / "log.txt"):
        for i in range(4000):
            log.info("line %d %s", i, "x" * 200)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * (256 << 10)
    assert "line 3999" in joblog.tail(tmp_path / "log.txt")


def test_the_tail_begins_with_a_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("first line\nsecond line\nthird line\n", encoding="utf-8")
    assert joblog.tail(file, most=18) == "third line\n"
    assert joblog.tail(tmp_path / "none") == ""


def test_every_stage_and_segment_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    steps = [
        Progress(stage="denoising", segment=n, segments=2, step=i, frames=5 * n - 5) for n in (1, 2) for i in (1, 2)
    ]
    assert list(joblog.told(steps)) == steps
    assert caplog.messages == [
        "denoising segment 1 of 2, 0 frames are there",
        "denoising segment 2 of 2, 5 frames are there",
    ]
