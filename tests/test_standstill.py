"""Threads that stand still while something is rendered, with real threads and no Blender."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from wan_animate_blender import session as session_module
from wan_animate_blender.farm import watch
from wan_animate_blender.session import Cancelled, Session, Step, Work
from wan_animate_blender.standstill import Standstill, Worker
from wan_animate_blender.wire import Interrupted

PATIENCE = 300.0


@pytest.fixture
def renders() -> Standstill:
    """Where nobody is hurried, whatever Python this is."""
    return Standstill(PATIENCE, needed=True)


class Counting:
    """A thread that counts its pieces, and passes the check between two of them."""

    def __init__(self, where: Standstill, piece: Callable[[], object] = lambda: None) -> None:
        self.done = 0
        self._where, self._piece, self._stop = where, piece, False
        self.more = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with Worker(self._where):
            while not self._stop:
                self._where.check()
                self._piece()
                with self.more:
                    self.done += 1
                    self.more.notify_all()

    def wait(self, pieces: int, after: int | None = None) -> None:
        """Until that many more are done than `after`, or than now."""
        end = (self.done if after is None else after) + pieces
        with self.more:
            assert self.more.wait_for(lambda: self.done >= end, PATIENCE)

    def stop(self) -> None:
        self._stop = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@contextmanager
def counting(where: Standstill, piece: Callable[[], object] = lambda: None) -> Iterator[Counting]:
    worker = Counting(where, piece)
    worker.thread.start()
    worker.wait(1)
    yield worker
    worker.stop()


def spin() -> int:
    return sum(range(10_000))


def stand(renders: Standstill, *workers: Counting, spins: int) -> None:
    """They do nothing through one render."""
    with renders.hold():
        before = [worker.done for worker in workers]
        for _ in range(spins):
            spin()
        assert [worker.done for worker in workers] == before


def test_a_worker_does_nothing_while_a_render_goes_on_and_goes_on_after_it(renders: Standstill) -> None:
    with counting(renders) as worker:
        stand(renders, worker, spins=1000)
        worker.wait(3)


def test_all_workers_stand_still_at_once(renders: Standstill) -> None:
    with counting(renders) as one, counting(renders, spin) as other:
        stand(renders, one, other, spins=100)
        one.wait(1)
        other.wait(1)


def test_between_two_renders_every_worker_does_a_piece_however_quickly_they_follow(renders: Standstill) -> None:
    with counting(renders) as one, counting(renders, spin) as other:
        with renders.hold():
            before = one.done, other.done
        for _ in range(50):
            with renders.hold():
                pass
        assert one.done - before[0] >= 50
        assert other.done - before[1] >= 50


def test_a_worker_that_rests_stands_still_when_its_rest_is_over_before_the_render(renders: Standstill) -> None:
    rested = threading.Semaphore(0)
    worker = Worker(renders)

    def run() -> None:
        with worker:
            rested.release()
            worker.rest(0.05)
            rested.release()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert rested.acquire(timeout=PATIENCE)
    with renders.hold():
        assert not rested.acquire(timeout=0.3)
    assert rested.acquire(timeout=PATIENCE)
    thread.join(PATIENCE)


def test_a_rest_ends_when_somebody_wakes_the_worker_also_before_it_began(renders: Standstill) -> None:
    worker = Worker(renders)
    worker.wake()
    worker.rest(PATIENCE)
    threading.Timer(0.05, worker.wake).start()
    worker.rest(PATIENCE)


def test_a_render_does_not_prolong_a_rest_that_was_ended_meanwhile(renders: Standstill) -> None:
    worker, over = Worker(renders), threading.Event()

    def run() -> None:
        with worker:
            worker.rest(PATIENCE)
        over.set()

    threading.Thread(target=run, daemon=True).start()
    while not renders.workers:
        spin()
    with renders.hold():
        worker.wake()
        assert not over.wait(0.1)
    assert over.wait(PATIENCE)


def test_a_worker_that_begins_while_a_render_goes_on_waits_for_its_end(renders: Standstill) -> None:
    with renders.hold():
        worker = Counting(renders)
        worker.thread.start()
        while not renders.workers:
            spin()
        assert worker.done == 0
    worker.wait(1)
    worker.stop()


def test_a_worker_that_hangs_is_waited_for_once_and_stands_still_as_soon_as_it_is_back() -> None:
    renders, answer = Standstill(0.02, needed=True), threading.Event()
    hangs = threading.Event()

    def ask() -> None:
        hangs.set()
        answer.wait()

    with counting_one(renders, ask) as worker:
        assert hangs.wait(PATIENCE)
        with renders.hold():
            assert [one.hangs for one in renders.workers.values()] == [True]
            answer.set()
            worker.wait(1, after=0)
            while not all(one.stands for one in renders.workers.values()):
                spin()
            before = worker.done
            spin()
            assert worker.done == before
        worker.wait(1)


@contextmanager
def counting_one(where: Standstill, piece: Callable[[], object]) -> Iterator[Counting]:
    """Without waiting for its first piece."""
    worker = Counting(where, piece)
    worker.thread.start()
    yield worker
    worker.stop()


def test_a_render_that_fails_lets_the_workers_go_on(renders: Standstill) -> None:
    with counting(renders) as worker:
        with pytest.raises(KeyboardInterrupt), renders.hold():
            raise KeyboardInterrupt
        worker.wait(3)


def test_who_ends_is_not_waited_for(renders: Standstill) -> None:
    with counting(renders):
        pass
    with renders.hold():
        assert not renders.workers


def test_a_thread_that_is_no_worker_passes_every_check(renders: Standstill) -> None:
    with renders.hold():
        renders.check()


def test_nobody_stands_still_where_python_knows_whose_turn_it_is() -> None:
    renders = Standstill(needed=False)
    with counting(renders) as worker, renders.hold():
        worker.wait(3)


# --- the session ----------------------------------------------------------------------------------


@pytest.fixture
def session(renders: Standstill, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(session_module, "renders", renders)
    session = Session(poll=0.01)
    yield session
    session.close()


class Talking:
    """A work with much to say."""

    def __init__(self) -> None:
        self.pieces = 0

    def __call__(self, cancelled: Cancelled) -> Work[str]:
        while not cancelled.is_set():
            self.pieces += 1
            yield Step(stage="talking", progress=0.0)
        raise Interrupted("stopped as asked")


def test_no_work_of_a_session_runs_while_a_render_goes_on(session: Session, renders: Standstill) -> None:
    works = {name: Talking() for name in ("SH010", "SH020")}
    for name, work in works.items():
        session.start(name, work)
    while not all(work.pieces for work in works.values()):
        spin()
    for _ in range(20):
        with renders.hold():
            before = [work.pieces for work in works.values()]
            for _ in range(50):
                spin()
            assert [work.pieces for work in works.values()] == before
    assert all(work.pieces > 1 for work in works.values()), "they go on between two renders"


def test_a_work_that_is_cancelled_while_it_stands_still_ends_after_the_render(
    session: Session, renders: Standstill
) -> None:
    session.start("SH010", Talking())
    with renders.hold():
        session.cancel("SH010")
        assert session.is_busy("SH010")
    *_, last = session.wait("SH010")
    assert isinstance(last.problem, Interrupted)


def test_a_session_that_stands_still_can_be_closed(session: Session, renders: Standstill) -> None:
    work = Talking()
    session.start("SH010", work)
    while not work.pieces:
        spin()
    closing = threading.Thread(target=session.close)
    with renders.hold():
        closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert "wan-animate" not in {thread.name for thread in threading.enumerate()}


# --- the folders of a farm ------------------------------------------------------------------------


def test_folders_of_a_farm_are_not_looked_at_while_a_render_goes_on(
    renders: Standstill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "renders", renders)
    looked = threading.Event()
    asking = watch.Beside().ask(looked.set, Cancelled())
    with renders.hold():
        next(asking)
        while not renders.workers:
            spin()
        assert not looked.is_set()
    assert looked.wait(PATIENCE)
