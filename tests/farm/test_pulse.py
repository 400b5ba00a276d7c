"""The sign of life of an owner: whoever beats lives, whoever does not has heirs, and no clock is asked."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from pathlib import Path

import pytest

from wan_animate_blender.wire import OWNER_FILE, claim, claim_folder, owner
from wan_animate_server import ownership, pulse
from wan_animate_server.ownership import beat, disown, record_of, release, take_over
from wan_animate_server.pulse import Lost, Pulse, lives

from .hosts import until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that this process owns."""
    assert claim_folder(tmp_path / "v001")
    return tmp_path / "v001"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.01)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches others for no longer than one look."""
    monkeypatch.setattr(pulse, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(pulse, "_LOOK_SECONDS", 0.01)


def record(folder: Path) -> bytes:
    found = record_of(folder)
    assert found is not None
    return found


def count(folder: Path) -> int:
    return int(json.loads(record(folder)).get("beat", 0))


def test_an_owner_beats_while_he_works_and_not_after(folder: Path, fast: None) -> None:
    before = json.loads(record(folder))
    with (beating := Pulse(folder)):
        until(lambda: count(folder) >= 3)
        beating.check()
    last = record(folder)
    assert {k: v for k, v in json.loads(last).items() if k != "beat"} == before
    time.sleep(0.05)
    assert record(folder) == last


def test_whoever_beats_lives_and_is_seen_to_at_his_next_beat(folder: Path, fast: None) -> None:
    with Pulse(folder):
        assert lives(folder, record(folder), lambda: None)


def test_whoever_does_not_beat_for_long_is_dead(folder: Path, impatient: None) -> None:
    assert not lives(folder, record(folder), lambda: None)


@pytest.mark.parametrize("when", [0.0, 4e9])
def test_when_a_record_was_written_by_whose_clock_does_not_matter(folder: Path, impatient: None, when: float) -> None:
    os.utime(folder / OWNER_FILE, (when, when))
    seen = record(folder)
    assert not lives(folder, seen, lambda: None)
    beat(folder, seen, 1)
    os.utime(folder / OWNER_FILE, (when, when))  # a later beat with the same time
    assert lives(folder, seen, lambda: None)


def test_a_watch_is_stopped_by_whoever_watches(folder: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lives(folder, record(folder), stop)


def test_an_owner_who_was_watched_in_vain_has_one_heir(folder: Path) -> None:
    dead = record(folder)
    assert not take_over(folder), "his process lives, as far as anybody here can tell"
    assert take_over(folder, dead)
    (folder / OWNER_FILE).write_bytes(dead)  # what a second heir saw before the first one wrote
    assert not take_over(folder, dead)


def test_an_owner_who_beats_during_the_last_look_is_not_robbed(folder: Path) -> None:
    seen = record(folder)
    beat(folder, seen, 1)
    assert not take_over(folder, seen)


def test_an_owner_with_an_heir_is_told_before_he_writes_again(folder: Path) -> None:
    suspended = Pulse(folder)
    take_over(folder, record(folder))
    with pytest.raises(Lost, match=f"process {os.getpid()} on .* goes on with it; nothing more was written"):
        suspended.look()
    with pytest.raises(Lost):
        suspended.check()
    heir = record(folder)
    suspended.release()
    assert record(folder) == heir


def test_whoever_wakes_up_asks_at_the_first_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suspended = Pulse(folder)
    take_over(folder, record(folder))
    suspended.check()  # a moment ago all was well, and nobody inherits within a moment
    monkeypatch.setattr(pulse, "BEAT_SECONDS", -1.0)  # as if longer than a beat had passed
    with pytest.raises(Lost):
        suspended.check()


def test_what_an_earlier_owner_wrote_late_harms_nobody(folder: Path) -> None:
    theirs = record(folder)
    assert take_over(folder, theirs)
    ours = Pulse(folder)
    beat(folder, theirs, 7)  # suspended between his look and his write
    ours.look()
    assert not take_over(folder, record(folder)), "his claim counts no more, whatever is in the record"
    release(folder)
    assert not take_over(folder), "nor can he let go of what is not his"
    ours.look()


def test_a_folder_that_was_finished_meanwhile_is_not_made_again(folder: Path) -> None:
    suspended = Pulse(folder)
    take_over(folder, record(folder))
    disown(folder)
    with pytest.raises(Lost, match="it was finished or removed"):
        suspended.look()


def test_a_moment_in_which_nothing_can_be_written_costs_a_line_in_the_log_and_no_take(
    folder: Path, fast: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []
    write = ownership.write_atomically

    def refused(path: Path, data: bytes) -> None:
        tries.append(1)
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(ownership, "write_atomically", refused)
    with caplog.at_level(logging.WARNING), (beating := Pulse(folder)):
        until(lambda: len(tries) > 5)
        beating.check()
        monkeypatch.setattr(ownership, "write_atomically", write)
        until(lambda: count(folder) > 5)
        beating.check()
    assert [("Read-only" in line, "trying on" in line) for line in caplog.messages] == [(True, True)]


def test_an_owner_who_let_go_is_inherited_from_at_once(folder: Path) -> None:
    Pulse(folder).release()
    assert take_over(folder)
    assert json.loads(record(folder)).keys() == claim().keys()
    assert json.loads(record(folder)).items() >= owner().items()
