"""Timecodes: counted as SMPTE ST 12-1 counts, there and back."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_blender.wire import Timecode, WireError

FILM, PAL, NTSC, FAST = Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)
counts = st.one_of(
    st.tuples(st.sampled_from([Fraction(24), FILM, PAL, NTSC, FAST, Fraction(60)]), st.just(False)),
    st.tuples(st.sampled_from([NTSC, FAST]), st.just(True)),
)


@given(counts, st.integers(0, 23 * 3600 * 24))
def test_what_is_written_is_read(count: tuple[Fraction, bool], frame: int) -> None:
    timecode = Timecode(count[0], frame, count[1])
    assert Timecode.read(str(timecode), count[0]) == timecode


@given(counts, st.integers(0, 10**6), st.integers(0, 10**6))
def test_later_frames_are_called_later(count: tuple[Fraction, bool], frame: int, more: int) -> None:
    now, then = Timecode(count[0], frame, count[1]), Timecode(count[0], frame, count[1]).later(more)
    assert then.later(-more) == now
    assert (now.fields < then.fields) == (more > 0)


@pytest.mark.parametrize(("fps", "start", "frames", "end"), [
    (PAL, "00:59:59:24", 1, "01:00:00:00"),
    (FILM, "01:00:00:00", 24 * 60, "01:01:00:00"),
    (NTSC, "00:00:59;29", 1, "00:01:00;02"),
    (NTSC, "00:09:59;29", 1, "00:10:00;00"),
    (NTSC, "00:00:59:29", 1, "00:01:00:00"),
    (FAST, "00:00:59;59", 1, "00:01:00;04"),
    (NTSC, "00:00:00;00", 107892, "01:00:00;00"),
    (NTSC, "23:59:59;29", 1, "00:00:00;00"),
    (PAL, "00:00:00:00", -1, "23:59:59:24"),
])  # fmt: skip
def test_minutes_hours_and_days_turn_over(fps: Fraction, start: str, frames: int, end: str) -> None:
    assert str(Timecode.read(start, fps).later(frames)) == end


def test_an_hour_of_drop_frame_is_an_hour_by_the_clock() -> None:
    frames = Timecode.read("01:00:00;00", NTSC).frame
    assert abs(frames / NTSC - 3600) < 0.005


@pytest.mark.parametrize(("text", "fps"), [
    ("1:00:00:00", PAL), ("01:00:00", PAL), ("", PAL), ("01:00:00.00", PAL), ("01:00:60:00", PAL),
    ("01:00:00:25", PAL), ("00:01:00;00", NTSC), ("01:00:00;00", PAL), ("24:00:00:00", PAL), ("01:00:00:30", NTSC),
])  # fmt: skip
def test_what_is_never_counted_is_refused(text: str, fps: Fraction) -> None:
    with pytest.raises(WireError, match="timecode is"):
        Timecode.read(text, fps)
