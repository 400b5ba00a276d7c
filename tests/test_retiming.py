"""How a strip counts frames, without any Blender: what the arithmetic says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_blender.retiming import Clock, Key, nearest

HALF_SPEED = (Key(0, 0.0), Key(80, 1.0))


def test_a_strip_without_keys_counts_frame_for_frame_and_holds_its_ends() -> None:
    clock = Clock(first=10, last=49, frames=40)
    assert [clock.index(frame) for frame in (0, 10, 11, 49, 99)] == [0, 0, 1, 39, 39]


def test_a_reversed_strip_counts_back_from_its_last_frame() -> None:
    clock = Clock(first=10, last=49, frames=40, reverse=True)
    assert [clock.index(frame) for frame in (10, 11, 49)] == [39, 38, 0]


def test_a_strobe_holds_every_third_frame() -> None:
    clock = Clock(first=0, last=39, frames=40, strobe=3)
    assert [clock.index(frame) for frame in range(7)] == [0, 0, 0, 3, 3, 3, 6]


def test_keys_lie_behind_the_last_frame_since_5_0_and_on_it_before() -> None:
    new = Clock(first=0, last=79, frames=40, keys=HALF_SPEED)
    old = Clock(first=0, last=80, frames=40, keys=HALF_SPEED, old=True)
    assert new.index(40) == 20.0
    assert old.index(40) == pytest.approx(19.5)


def test_two_keys_of_the_same_moment_freeze_the_picture() -> None:
    clock = Clock(first=0, last=99, frames=80, keys=(Key(0, 0.0), Key(40, 0.5), Key(60, 0.5), Key(100, 1.0)))
    assert {clock.index(frame) for frame in range(40, 61)} == {40.0}


@given(st.integers(2, 30), st.floats(0.2, 0.45) | st.floats(0.55, 0.8))
def test_a_transition_joins_both_speeds_without_a_jump(length: int, middle: float) -> None:
    fast, slow = middle / 50, (1 - middle) / 50
    keys = (
        Key(0, 0.0),
        Key(50 - length, middle - length * fast, eases=True),
        Key(50 + length, middle + length * slow),
        Key(100, 1.0),
    )
    clock = Clock(first=0, last=99, frames=1000, keys=keys)
    steps = [clock.index(frame + 1) - clock.index(frame) for frame in range(99)]
    quick, low = max(fast, slow) * 1000, min(fast, slow) * 1000
    assert all(low - 0.05 <= step <= quick + 0.05 for step in steps)


@given(st.integers(0, 10_000))
def test_halves_are_shown_as_the_frame_after_them(whole: int) -> None:
    assert nearest(whole + 0.5) == whole + 1
    assert nearest(whole + 0.25) == whole
