"""The background thread and its mailbox, driven by works that need no server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from wan_animate_blender.session import Cancelled, News, Session, Step, Work
from wan_animate_blender.wire import BadInput, Interrupted, Problem

PATIENCE = 300.0


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(poll=0.01)
    yield session
    session.close()


def counts(steps: int) -> Work[str]:
    for number in range(steps):
        yield Step(stage="counting", progress=number / steps)
    return str(steps)


def until_cancelled(cancelled: Cancelled) -> Work[str]:
    while not cancelled.is_set():
        yield None
    raise Interrupted("stopped as asked")


def test_a_work_tells_every_step_and_then_its_result(session: Session) -> None:
    session.start("SH010", lambda _: counts(3))
    *steps, last = session.wait("SH010")
    assert [news.step.progress for news in steps if news.step] == [0, 1 / 3, 2 / 3]
    assert last == News(ticket="SH010", result="3")


def test_asking_for_news_never_blocks(session: Session) -> None:
    session.start("SH010", until_cancelled)
    assert list(session.news()) == [], "while the work still runs"
    assert session.is_busy("SH010")


def test_a_cancelled_work_ends_with_the_problem_that_says_so(session: Session) -> None:
    session.start("SH010", until_cancelled)
    session.cancel("SH010")
    (last,) = session.wait("SH010")
    assert isinstance(last.problem, Interrupted)
    assert not session.is_busy("SH010")


def test_a_work_that_only_waits_does_not_hold_up_the_others(session: Session) -> None:
    session.start("SH010", until_cancelled)
    session.start("SH020", lambda _: counts(50))
    assert [news.result for news in session.wait("SH020")][-1] == "50"
    assert session.is_busy("SH010")


def test_a_strip_that_is_being_worked_on_is_not_started_twice(session: Session) -> None:
    session.start("SH010", until_cancelled)
    with pytest.raises(BadInput, match="wait until it is done, or cancel"):
        session.start("SH010", until_cancelled)


def test_a_fault_in_one_work_leaves_the_thread_alive_for_the_next(session: Session) -> None:
    def faulty(_: Cancelled) -> Work[str]:
        yield Step(stage="dividing", progress=1 / 0)
        return ""

    session.start("SH010", faulty)
    (last,) = session.wait("SH010")
    assert isinstance(last.problem, Problem)
    assert "ZeroDivisionError" in str(last.problem)
    session.start("SH010", lambda _: counts(1))
    assert [news.result for news in session.wait("SH010")][-1] == "1"


def test_closing_lets_every_work_clean_up_and_ends_the_thread() -> None:
    begun, cleaned = threading.Event(), threading.Event()

    def tidy(cancelled: Cancelled) -> Work[str]:
        begun.set()
        try:
            yield from until_cancelled(cancelled)
        finally:
            cleaned.set()
        return ""

    session = Session(poll=0.01)
    session.start("SH010", tidy)
    assert begun.wait(PATIENCE)
    session.close()
    assert cleaned.is_set()
    assert "wan-animate" not in {thread.name for thread in threading.enumerate()}


def test_a_session_without_work_has_no_thread() -> None:
    Session().close()
    assert "wan-animate" not in {thread.name for thread in threading.enumerate()}
