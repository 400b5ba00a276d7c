"""farm/standing.py: a Manager's tasks and logs as lines of the job list."""

from __future__ import annotations

from wan_animate_blender import wire
from wan_animate_blender.farm.standing import standing
from wan_animate_blender.wire import JobState

from .manager import FakeManager, submitted
from .submitted import shot, submission

FRONT = (shot("SH010/e003"), shot("SH010_bob/e001", base="SH010/e003"))


def test_a_shot_goes_from_waiting_over_exporting_and_rendering_to_done(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake)

    def now() -> tuple[JobState, str, float]:
        found = standing(manager, job, whole).shots["SH010/e003"]
        return found.state, found.stage, found.progress

    assert now() == (JobState.QUEUED, "waiting", 0.0)
    fake.stand("export SH010/e003", "active", "42 % exporting the plate")
    assert now() == (JobState.RUNNING, "exporting the plate", 0.0)
    fake.stand("export SH010/e003", "completed")
    assert now() == (JobState.QUEUED, "exported", 0.0)
    fake.stand("render SH010/e003", "active")
    assert now() == (JobState.RUNNING, "rendering", 0.0)
    fake.stand("render SH010/e003", "active", "7 %", "41 % denoising, segment 1 of 3", "42 % denoising, segment 2 of 3")
    assert now() == (JobState.RUNNING, "denoising, segment 2 of 3", 0.42)
    fake.stand("render SH010/e003", "completed")
    assert now() == (JobState.DONE, "done", 1.0)


def test_our_own_lines_are_understood(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake)
    fake.stand("export SH010/e003", "completed")
    said: list[str] = []
    lines = wire.Lines(wire.Dialect.PERCENT, said.append)
    lines.tell(0.123, "denoising, segment 1 of 3")
    lines.tell(0.456, "decoding")
    fake.stand("render SH010/e003", "active", *said)
    found = standing(manager, job, whole).shots["SH010/e003"]
    assert (found.progress, found.stage) == (0.45, "decoding")


def test_a_shot_that_failed_says_why_in_the_words_of_its_process(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake, *FRONT)
    fake.jobs[job]["status"] = "failed"
    fake.stand("export SH010/e003", "completed")
    fake.stand("render SH010/e003", "failed", "3 % loading", "wan-animate: the GPU has 8 GB; use a larger one", "")
    found = standing(manager, job, whole)
    behind, front = found.shots["SH010/e003"], found.shots["SH010_bob/e001"]
    assert (behind.state, behind.message) == (JobState.FAILED, "wan-animate: the GPU has 8 GB; use a larger one")
    assert (front.state, front.message) == (
        JobState.FAILED, "it was not begun, as the job had failed before; retry the job"
    )  # fmt: skip
    assert found.status == "failed" and found.importing is not None and found.importing.state is JobState.FAILED


def test_a_failure_without_a_log_points_to_the_page(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake)
    fake.task("export SH010/e003")["status"] = "failed"
    found = standing(manager, job, whole).shots["SH010/e003"]
    assert found.message == "exporting failed; its log is on the job's page"


def test_a_shot_that_waits_for_another_worker_says_what_that_must_take(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake)
    fake.stand("export SH010/e003", "completed")
    fake.stand("render SH010/e003", "soft-failed", "wan-animate: no memory")
    found = standing(manager, job, whole).shots["SH010/e003"]
    assert found.state is JobState.QUEUED and found.message == (
        "rendering failed on one worker (wan-animate: no memory) and waits for another that takes 'wan-gpu-24g'; "
        "where there is none, cancel the job and retry it"
    )


def test_a_cancelled_job_is_retried_with_what_it_had_finished(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake)
    fake.stand("export SH010/e003", "completed")
    fake.stand("render SH010/e003", "active", "42 % denoising")
    fake.jobs[job]["status"] = "cancel-requested"
    assert standing(manager, job, whole).shots["SH010/e003"].state is JobState.CANCELLING
    manager.cancel(job)
    assert standing(manager, job, whole).shots["SH010/e003"].state is JobState.CANCELLED
    manager.retry(job)
    found = standing(manager, job, whole)
    assert (found.status, found.shots["SH010/e003"].stage) == ("queued", "exported")


def test_paused_tasks_and_words_of_a_later_flamenco_wait(fake: FakeManager) -> None:
    manager, job, whole = submitted(fake)
    fake.task("export SH010/e003")["status"] = "paused"
    assert standing(manager, job, whole).shots["SH010/e003"].state is JobState.PAUSED
    fake.task("export SH010/e003")["status"] = "pondering"
    assert standing(manager, job, whole).shots["SH010/e003"].state is JobState.QUEUED


def test_no_more_logs_are_asked_for_than_somebody_reads(fake: FakeManager) -> None:
    shots = [shot(f"SH{number:03d}/e001") for number in range(100)]
    manager, job, whole = submitted(fake, *shots)
    for one in shots[:-1]:
        fake.task(f"export {one.folder}")["status"] = "failed"
    fake.stand(f"export {shots[-1].folder}", "active", "5 % writing the plate")
    found = standing(manager, job, whole)
    assert sum("logtail" in path for path in fake.asked) == 40
    assert found.shots[shots[-1].folder].stage == "writing the plate"


def test_a_job_of_somebody_else_has_no_shots_of_ours(fake: FakeManager) -> None:
    manager, job, _ = submitted(fake)
    found = standing(manager, job, submission(shot("OTHER/e001")))
    assert found.shots == {}
