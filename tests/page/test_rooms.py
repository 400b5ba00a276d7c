"""The page's rooms without a browser: sessions, tries, words and pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import BadInput, Job, JobState, Shot
from wan_animate_server.colour import Space
from wan_animate_server.jobs import Jobs
from wan_animate_server.keyring import Token
from wan_animate_server.page import pictures, sessions, words
from wan_animate_server.page.look import Look
from wan_animate_server.page.sessions import LIFETIME, TRIES, WINDOW, Sessions, Tries
from wan_animate_server.roster import Roster
from wan_animate_server.video import write_picture

TOKEN = Token(name="owner", sha256="0" * 64, created=0.0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_lives_as_long_as_it_is_used() -> None:
    clock = Clock()
    kept = Sessions(clock)
    name = kept.begin(TOKEN)
    for _ in range(3):
        clock.now += LIFETIME * 0.9
        assert kept.find(name) is not None
    clock.now += LIFETIME * 1.1
    assert kept.find(name) is None


def test_sessions_and_their_forms_are_strangers_to_each_other() -> None:
    kept = Sessions()
    one, two = (kept.find(kept.begin(TOKEN)) for _ in range(2))
    assert one and two and one.made(one.secret) and not one.made(two.secret) and not one.made("")
    assert kept.find("") is None and kept.find("ü") is None
    assert not one.made("ü")


def test_the_oldest_session_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MOST_SESSIONS", 2)
    kept = Sessions()
    first, second = kept.begin(TOKEN), kept.begin(TOKEN)
    kept.find(first)
    third = kept.begin(TOKEN)
    assert [kept.find(name) is not None for name in (first, second, third)] == [True, False, True]


def test_an_address_waits_after_too_many_wrong_tokens_and_no_other_does() -> None:
    clock = Clock()
    tries = Tries(clock)
    for _ in range(TRIES):
        assert tries.wait("a") == 0
        tries.failed("a")
        clock.now += 1
    assert tries.wait("a") == WINDOW - TRIES
    assert tries.wait("b") == 0
    clock.now += WINDOW - TRIES
    assert tries.wait("a") == 0


def test_nobody_is_shown_anything_older_than_what_somebody_saw(tmp_path: Path, shot: Shot) -> None:
    jobs = Jobs(tmp_path / "jobs.sqlite")
    look = Look(jobs, Roster(jobs.database))
    jobs.add("a", shot)
    assert [job.state for job in look.fresh().jobs] == [JobState.QUEUED]
    jobs.cancel("a")
    assert [job.state for job in look.fresh().jobs] == [JobState.CANCELLED]
    assert [job.state for job in look.recent().jobs] == [JobState.CANCELLED]


@pytest.mark.parametrize(("seconds", "said"), [
    (None, ""), (0.4, "0 s left"), (59.4, "59 s left"), (60, "1 min 00 s left"), (267, "4 min 20 s left"),
    (3599.6, "1 h 00 min left"), (7510, "2 h 05 min left"), (400_000, "111 h 06 min left"),
])  # fmt: skip
def test_what_is_left_is_said_as_exactly_as_it_is_known(seconds: float | None, said: str) -> None:
    assert words.left(seconds) == said


def test_every_state_has_a_word() -> None:
    assert {words.standing(Job(id="j", shot="s", state=state)) for state in JobState} == set(words.STANDING.values())


def test_what_is_wide_is_made_small_and_only_once(tmp_path: Path) -> None:
    picture = np.zeros((540, 1920, 3), np.uint8)
    picture[:, 960:] = (250, 100, 20)
    write_picture(tmp_path / "wide.png", picture)
    kept = pictures.small(tmp_path / "wide.png", None, tmp_path / "kept" / "wide.jpg")
    found = cv2.imread(str(kept))[..., ::-1]
    assert found.shape == (270, 960, 3)
    assert np.abs(found[100, 700].astype(int) - (250, 100, 20)).max() < 6
    (tmp_path / "wide.png").unlink()
    assert pictures.small(tmp_path / "wide.png", None, kept) == kept


def test_what_is_transparent_lies_over_black(tmp_path: Path) -> None:
    picture = np.full((32, 32, 4), 200, np.uint8)
    picture[:, 16:, 3] = 0
    write_picture(tmp_path / "character.png", picture)
    found = cv2.imread(str(pictures.small(tmp_path / "character.png", None, tmp_path / "kept.jpg")))
    assert found[:, 20:].max() < 8 and abs(int(found[16, 4, 0]) - 200 * 200 // 255) < 5


def test_light_is_shown_through_its_space_whatever_it_holds(tmp_path: Path) -> None:
    light = np.full((32, 64, 3), 0.18, np.float32)
    light[:8, :8] = np.nan
    light[24:, 56:] = 1e30
    write_picture(tmp_path / "plate.exr", light)
    space = Space.named("Linear Rec.709")
    found = cv2.imread(str(pictures.small(tmp_path / "plate.exr", space, tmp_path / "kept.jpg")))
    assert abs(int(found[16, 32, 0]) - 118) < 4, "18 % grey is 118 of 255 in sRGB"
    assert found[2:6, 2:6].max() < 30 and found[26:30, 58:62].min() > 230


def test_a_damaged_picture_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(BadInput, match=r"broken\.png"):
        pictures.small(tmp_path / "broken.png", None, tmp_path / "kept" / "broken.jpg")
    assert not (tmp_path / "kept").exists()
