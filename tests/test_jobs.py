"""The durable queue: states, order, and what happens to the jobs of workers that end."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from wan_animate_blender.wire import BadInput, JobState, Shot
from wan_animate_server.jobs import DEATHS, Jobs
from wan_animate_server.progress import Pace, Progress, Stopwatch


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "jobs.sqlite")


def state(jobs: Jobs, job: str) -> JobState:
    found = jobs.get(job)
    assert found is not None
    return found.state


def test_jobs_are_claimed_in_order_of_arrival(jobs: Jobs, shot: Shot) -> None:
    for name in ("b", "a", "c"):
        jobs.add(name, shot)
    claimed = [jobs.claim("worker") for _ in range(4)]
    assert [job and job.id for job in claimed] == ["b", "a", "c", None]


def test_a_job_is_claimed_by_one_worker_only(jobs: Jobs, shot: Shot) -> None:
    for number in range(20):
        jobs.add(f"job{number}", shot)
    won: list[str] = []

    def claim_all(worker: str) -> None:
        while job := jobs.claim(worker):
            won.append(job.id)

    threads = [threading.Thread(target=claim_all, args=(f"worker{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(f"job{n}" for n in range(20))


def test_a_job_survives_the_process_that_queued_it(tmp_path: Path, shot: Shot) -> None:
    Jobs(tmp_path / "jobs.sqlite").add("a", shot)
    found = Jobs(tmp_path / "jobs.sqlite").get("a")
    assert found is not None
    assert (found.shot, found.strip, found.state) == (shot.name, shot.strip, JobState.QUEUED)


def test_a_queued_job_is_cancelled_at_once_and_never_claimed(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.cancel("a")
    assert state(jobs, "a") is JobState.CANCELLED
    assert jobs.claim("worker") is None


def test_a_running_job_is_cancelling_until_its_worker_says_so(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.claim("worker")
    jobs.cancel("a")
    assert jobs.standing("a", "worker") is JobState.CANCELLING
    assert jobs.stopping("worker") == ["a"]
    jobs.finish("a", "worker", JobState.CANCELLED)
    assert state(jobs, "a") is JobState.CANCELLED


def test_a_final_job_cannot_be_cancelled(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.claim("worker")
    jobs.finish("a", "worker", JobState.DONE)
    jobs.cancel("a")
    assert state(jobs, "a") is JobState.DONE


def test_cancelling_an_unknown_job_answers_none(jobs: Jobs) -> None:
    assert jobs.cancel("nobody") is None


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_is_tried_again_waits_behind_all_others_as_if_new(jobs: Jobs, shot: Shot, end: JobState) -> None:
    jobs.add("a", shot)
    jobs.claim("worker")
    jobs.report("a", "worker", Progress(stage="denoising", progress=0.5, frames=5, seconds_left=9.0))
    jobs.finish("a", "worker", end, "the disk is full")
    jobs.add("b", shot)
    assert jobs.retry("a")
    again = jobs.get("a")
    assert again and (again.state, again.message, again.progress) == (JobState.QUEUED, "", 0.0)
    assert (again.stage, again.seconds_left) == ("", None)
    jobs.add("c", shot)
    assert [job and job.id for job in (jobs.claim("worker") for _ in range(3))] == ["b", "a", "c"]


def test_only_a_job_that_failed_or_was_cancelled_is_tried_again(jobs: Jobs, shot: Shot) -> None:
    for job in ("a", "b", "c"):
        jobs.add(job, shot)
    jobs.claim("worker")
    jobs.claim("other")
    jobs.finish("b", "other", JobState.DONE)
    assert not any(map(jobs.retry, ("a", "b", "c", "nobody")))
    assert [state(jobs, job) for job in ("a", "b", "c")] == [JobState.RUNNING, JobState.DONE, JobState.QUEUED]


def test_a_job_that_is_tried_again_may_cost_as_many_workers_as_a_new_one(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    for attempt in (DEATHS, DEATHS):
        for _ in range(attempt):
            assert state(jobs, "a") is JobState.QUEUED
            jobs.claim("worker")
            jobs.bury("worker", "the worker died")
        assert state(jobs, "a") is JobState.FAILED
        jobs.retry("a")


def test_only_a_job_that_has_ended_is_removed(jobs: Jobs, shot: Shot) -> None:
    for job in ("a", "b"):
        jobs.add(job, shot)
    jobs.cancel("a")
    assert [jobs.remove(job) for job in ("a", "b", "nobody")] == [True, False, False]
    assert [job.id for job in jobs.all()] == ["b"]


def test_the_newest_jobs_are_the_last_that_came(jobs: Jobs, shot: Shot) -> None:
    for job in ("b", "a", "c"):
        jobs.add(job, shot)
    assert [[job.id for job in jobs.all(newest)] for newest in (0, 2, 9, None)] == [
        [], ["a", "c"], ["b", "a", "c"], ["b", "a", "c"]
    ]  # fmt: skip


def test_progress_is_what_others_read(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.claim("worker")
    halfway = Progress(
        stage="denoising", progress=0.5, segment=1, segments=2, step=3, steps=4, frames=9, seconds_left=7.5
    )
    jobs.report("a", "worker", halfway)
    job = jobs.get("a")
    assert job is not None
    assert (job.stage, job.progress, job.segment, job.segments) == ("denoising", 0.5, 1, 2)
    assert (job.step, job.steps, job.frames, job.seconds_left) == (3, 4, 9, 7.5)


def test_a_done_job_is_wholly_done_and_has_nothing_left(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.claim("worker")
    jobs.report("a", "worker", Progress(stage="writing", progress=0.9, seconds_left=1.0))
    jobs.finish("a", "worker", JobState.DONE)
    job = jobs.get("a")
    assert job is not None
    assert (job.progress, job.stage, job.seconds_left) == (1.0, "", None)


def test_a_worker_that_stops_gives_its_job_back(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.add("b", shot)
    jobs.claim("first")
    jobs.give_back("first")
    again = jobs.claim("second")
    assert again is not None
    assert again.id == "a", "a job that was given back keeps its place"


def test_a_job_that_was_being_cancelled_when_its_worker_ended_is_cancelled(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.claim("worker")
    jobs.cancel("a")
    jobs.bury("worker", "the worker died")
    assert state(jobs, "a") is JobState.CANCELLED


def test_a_worker_changes_only_jobs_that_are_still_its_own(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.claim("left over")
    jobs.give_back_all()
    jobs.claim("new")
    jobs.report("a", "left over", Progress(stage="denoising", frames=99))
    jobs.finish("a", "left over", JobState.FAILED, "not yours")
    job = jobs.get("a")
    assert job is not None
    assert (job.state, job.frames, job.message) == (JobState.RUNNING, 0, "")
    assert jobs.standing("a", "left over") is None


def test_a_job_that_keeps_killing_its_workers_fails_with_a_sentence(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    for _ in range(DEATHS):
        assert jobs.claim("worker") is not None
        jobs.bury("worker", "the worker died")
    job = jobs.get("a")
    assert job is not None
    assert job.state is JobState.FAILED
    assert "died" in job.message


def test_new_frames_forgive_earlier_deaths_but_old_ones_do_not(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    for frames in (9, 18, 27, 36):
        jobs.claim("worker")
        jobs.report("a", "worker", Progress(stage="writing", frames=frames))
        jobs.bury("worker", "the worker died")
    assert state(jobs, "a") is JobState.QUEUED
    for _ in range(DEATHS - 1):
        jobs.claim("worker")
        jobs.report("a", "worker", Progress(stage="writing", frames=36))
        jobs.bury("worker", "the worker died")
    assert state(jobs, "a") is JobState.FAILED


def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"these are no jobs, however long one reads them" * 100)
    with pytest.raises(BadInput, match="choose another data folder"):
        Jobs(tmp_path / "jobs.sqlite")


def test_a_queue_below_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="choose another data folder"):
        Jobs(tmp_path / "file" / "jobs.sqlite")


def test_jobs_of_one_shot_are_told_apart_by_their_ids(jobs: Jobs, shot: Shot) -> None:
    jobs.add("a", shot)
    jobs.add("b", replace(shot, strip="other"))
    assert [(job.id, job.strip) for job in jobs.all()] == [("a", shot.strip), ("b", "other")]


def test_a_stopwatch_books_every_second_to_a_stage() -> None:
    ticks = iter([0.0, 1.0, 3.0, 6.0])
    watch = Stopwatch(clock=lambda: next(ticks))
    assert [watch.lap("reading"), watch.lap("denoising"), watch.lap("reading")] == [1.0, 2.0, 3.0]
    assert watch.seconds == {"reading": 4.0, "denoising": 2.0}


def test_seconds_left_come_from_steps_and_from_what_lies_around_them() -> None:
    pace = Pace()
    assert pace.seconds_left(steps=8, segments=2) is None
    pace.around(3.0)
    for _ in range(4):
        pace.stepped(2.0)
    pace.around(2.0)
    pace.delivered()
    assert pace.seconds_left(steps=8, segments=2) == 8 * 2.0 + 2 * 5.0
    pace.around(3.0)
    assert pace.seconds_left(steps=8, segments=2) == 8 * 2.0 + 5.0 + 2.0, "what the segment in work took is behind us"
    assert pace.seconds_left(steps=0, segments=0) == 0
