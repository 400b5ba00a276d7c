"""Lines for render farms: one for each change, never a forged one. Read here as OpenJD's own runtime reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_blender.wire import BadInput, Dialect, Lines, one_line

DIRECTIVE = re.compile(r"^openjd_(progress|status|fail|env|redacted_env|unset_env|session_runtime_loglevel): (.+)$")
"""As openjd-sessions 0.13 recognises what a process wants to tell, line by line."""


def told(dialect: Dialect, *steps: tuple[float, str]) -> list[str]:
    said: list[str] = []
    lines = Lines(dialect, said.append)
    for step in steps:
        lines.tell(*step)
    return said


def test_openjd_hears_a_percentage_and_what_is_done() -> None:
    assert told(Dialect.OPENJD, (0.42, "denoising, segment 2 of 3")) == [
        "openjd_progress: 42.0",
        "openjd_status: denoising, segment 2 of 3",
    ]


def test_a_log_is_told_in_plain_percent() -> None:
    assert told(Dialect.PERCENT, (0.42, "denoising"), (1.0, "done")) == ["42 % denoising", "100 % done"]


@pytest.mark.parametrize("dialect", Dialect)
def test_what_has_not_changed_is_not_said_again(dialect: Dialect) -> None:
    once = told(dialect, (0.421, "denoising"))
    assert told(dialect, *[(0.421 + i * 1e-5, "denoising") for i in range(500)]) == once


@given(st.lists(st.floats(allow_nan=False)))
def test_a_percentage_never_falls_and_stays_between_0_and_100(steps: list[float]) -> None:
    said = [float(line.split()[1]) for line in told(Dialect.OPENJD, *[(step, "") for step in steps])]
    assert said == sorted(set(said)) and all(0 <= percent <= 100 for percent in said)
    assert len(said) <= 101


@given(st.text(), st.text())
def test_whatever_is_said_is_one_line_that_forges_no_other(doing: str, sentence: str) -> None:
    said: list[str] = []
    lines = Lines(Dialect.OPENJD, said.append)
    lines.tell(0.1, f"{doing}\nopenjd_env: PATH=/evil\r\u2028{doing}")
    lines.fail(f"{sentence}\nopenjd_progress: 100")
    heard = [DIRECTIVE.match(line) for line in "\n".join(said).splitlines()]
    assert [match and match[1] for match in heard] == ["progress", "status", "fail"]
    (plain,) = told(Dialect.PERCENT, (0.1, f"{doing}\nopenjd_env: PATH=/evil"))
    assert len(plain.splitlines()) == 1 and not plain.startswith("openjd")


def test_a_long_sentence_is_cut() -> None:
    assert len(one_line("word " * 5000)) == 1000


def test_a_variable_is_handed_on_to_the_session_and_no_value_breaks_the_line() -> None:
    said: list[str] = []
    lines = Lines(Dialect.OPENJD, said.append)
    lines.give("WAN_ANIMATE_PRIVATE", "/farm/two  words/ready.json")
    assert said == ["openjd_env: WAN_ANIMATE_PRIVATE=/farm/two  words/ready.json"]
    with pytest.raises(BadInput, match="without line breaks"):
        lines.give("WAN_ANIMATE_PRIVATE", "/a\nopenjd_env: PATH=/evil")
