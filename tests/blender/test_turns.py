"""Whose turn it is: what the list of jobs says of a queue, and how jobs are put aside and preferred there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import draw, look_until, until_done, use
from serving import Served

from wan_animate_blender import desk, jobs, preferences, turns
from wan_animate_blender.wire import Job, JobState

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def held(plate: Any, served: Served, background: Path) -> Iterator[str]:
    """The id of the strip's job, selected in the list, on a server that begins none."""
    use(served)
    bpy.context.window_manager.wan_animate_jobs.scope = "FILE"
    with served.paused():
        assert bpy.ops.wan_animate.generate() == {"FINISHED"}
        look_until(lambda: len(plate.wan_animate.jobs) and jobs.selected())
        yield jobs.board.selected
        preferences.chosen_server().cancel(jobs.board.selected)
        desk.cancel(jobs.TICKET)
        until_done(plate.wan_animate.uid)


def state_of(job: str) -> JobState:
    return preferences.chosen_server().job(job).state


def pressed(button: Callable[..., set[str]], job: str, **how: Any) -> Job:
    """The job as the list knows it after the button was pressed."""
    assert button(**how) == {"FINISHED"}
    look_until(lambda: not desk.is_busy(f"job {job}"))
    found = jobs.selected()
    assert found and found.id == job
    return found


def test_a_job_is_put_aside_and_goes_on_from_the_list(held: str) -> None:
    assert bpy.ops.wan_animate.job_pause.poll() and not bpy.ops.wan_animate.job_resume.poll()
    assert "wan_animate.job_pause" in draw(turns.WAN_ANIMATE_PT_turn)
    assert pressed(bpy.ops.wan_animate.job_pause, held).state is state_of(held) is JobState.PAUSED
    assert bpy.ops.wan_animate.job_resume.poll() and not bpy.ops.wan_animate.job_pause.poll()
    assert "wan_animate.job_resume" in draw(turns.WAN_ANIMATE_PT_turn)
    assert pressed(bpy.ops.wan_animate.job_resume, held).state is state_of(held) is JobState.QUEUED


def test_a_job_is_preferred_and_put_behind_within_what_priorities_are(held: str) -> None:
    assert "Number 1 in the queue" in " ".join(draw(turns.WAN_ANIMATE_PT_turn))
    assert pressed(bpy.ops.wan_animate.job_prefer, held, by=10).priority == 10
    assert "priority 10" in " ".join(draw(turns.WAN_ANIMATE_PT_turn))
    assert pressed(bpy.ops.wan_animate.job_prefer, held, by=1000).priority == 100
    assert pressed(bpy.ops.wan_animate.job_prefer, held, by=-1000).priority == -100


STANDINGS = [
    (Job(id="a", shot="SH010", state=JobState.QUEUED, place=2, priority=-10, by="Ada"),
     ["number 2 in the queue", "priority -10", "sent by Ada"]),
    (Job(id="a", shot="SH010", state=JobState.RUNNING, by="Ada"), ["sent by Ada"]),
    (Job(id="a", shot="SH010", state=JobState.RUNNING), []),
]  # fmt: skip


@pytest.mark.parametrize(("job", "words"), STANDINGS)
def test_where_a_job_stands_among_others_is_said(job: Job, words: list[str]) -> None:
    assert turns.standing(job) == words


def test_a_job_that_has_ended_has_no_turn() -> None:
    jobs.board.jobs = (Job(id="a", shot="SH010", state=JobState.DONE),)
    bpy.context.window_manager.wan_animate_jobs.scope = "ALL"
    assert draw(turns.WAN_ANIMATE_PT_turn) == []
    for operator in ("job_pause", "job_resume", "job_prefer"):
        assert not getattr(bpy.ops.wan_animate, operator).poll()
