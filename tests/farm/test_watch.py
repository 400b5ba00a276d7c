"""Where submitted shots stand, read from folders that real exports and renders left."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wan_animate_blender import board, wire
from wan_animate_blender.farm import submission, watch
from wan_animate_blender.session import Cancelled, News, Session
from wan_animate_blender.wire import Job, JobState
from wan_animate_server.ownership import release
from wan_animate_server.progress import Progress
from wan_animate_server.render import render

Make = Callable[..., Path]
SHOT = "SH010/e001"


def submitted(folder: str = SHOT, frames: int = 9, uid: str = "strip-1") -> submission.SubmittedShot:
    return submission.SubmittedShot(
        folder=folder, scene="Scene", strip="plate", uid=uid, person="hero", mode=wire.Mode.REPLACE, model="puppet",
        precision=wire.Precision.FP32, frames=frames, width=64, height=48,
    )  # fmt: skip


def submit(shots: Path, *them: submission.SubmittedShot, sent: submission.Sent | None = None) -> Path:
    """The next submission below `shots`, of one shot where none are given."""
    folder = wire.claim_version(shots / submission.FOLDER, submission.PREFIX)
    told = submission.Submission(
        name=f"edit {folder.name}", file="edit.blend", blender="4.5.3", shots=them or (submitted(),)
    )
    wire.write_atomically(folder / submission.SUBMISSION_FILE, told.dumps().encode())
    if sent:
        wire.write_atomically(folder / submission.SENT_FILE, sent.dumps().encode())
    return folder


def seen(shots: Path, eye: watch.Eye | None = None) -> Job:
    """The one shot of the one submission."""
    (job,) = (eye or watch.Eye()).jobs(shots)
    return job


def owned(folder: Path, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / wire.OWNER_FILE).write_text(json.dumps(wire.owner() | changes))


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def until_frames(progress: Iterator[Progress]) -> None:
    """Render until the first frames are listed."""
    while not next(progress).frames:
        pass


# --- states ---------------------------------------------------------------------------------------


def test_a_shot_goes_from_submitted_to_exported(tmp_path: Path, make_shot: Make) -> None:
    submit(tmp_path)
    job = seen(tmp_path)
    assert (job.id, job.shot, job.strip) == ("farm f001 SH010/e001", "SH010", "strip-1")
    assert (job.state, job.stage, job.frames) == (JobState.QUEUED, "submitted", 0)
    (tmp_path / SHOT).mkdir(parents=True)  # reserved
    assert seen(tmp_path).stage == "submitted"
    part = tmp_path / "SH010" / ".e001.0123abcd.part"
    part.mkdir()
    now = [0.0]
    eye = watch.Eye(clock=lambda: now[0])
    for file in ("a.png", "b.png"):
        (part / file).touch()
        now[0] += watch.SILENT_SECONDS
        assert (seen(tmp_path, eye).state, seen(tmp_path, eye).stage) == (JobState.RUNNING, "exporting")
    now[0] += watch.SILENT_SECONDS
    assert (seen(tmp_path, eye).state, seen(tmp_path, eye).stage) == (JobState.QUEUED, "submitted")
    make_shot()
    assert (seen(tmp_path).state, seen(tmp_path).stage) == (JobState.QUEUED, "exported")


def test_a_render_is_seen_while_it_runs_when_it_stops_and_when_it_is_whole(tmp_path: Path, make_shot: Make) -> None:
    export = make_shot()
    submit(tmp_path)
    progress = render(export, check=lambda: None)
    until_frames(progress)
    job = seen(tmp_path)
    assert (job.state, job.stage) == (JobState.RUNNING, "rendering")
    assert 0 < job.frames < 9 and job.progress == job.frames / 9
    progress.close()
    job = seen(tmp_path)
    assert (job.state, job.stage) == (JobState.QUEUED, "interrupted")
    assert job.message.startswith("nobody renders SH010 now: ") and f"{job.frames} of 9 frames are kept" in job.message
    list(render(export, check=lambda: None))
    job = seen(tmp_path)
    assert (job.state, job.stage, job.frames, job.progress) == (JobState.DONE, "done", 9, 1.0)


def half(export: Path) -> Path:
    """The folder of a take with its first frames, let go of."""
    progress = render(export, check=lambda: None)
    until_frames(progress)
    progress.close()
    made = watch.newest(export.parents[1], SHOT)
    assert made and not made.is_complete
    return made.folder


def test_a_render_whose_process_died_here_is_rendered_by_nobody(tmp_path: Path, make_shot: Make) -> None:
    folder = half(make_shot())
    submit(tmp_path)
    owned(folder)
    assert seen(tmp_path).state is JobState.RUNNING
    owned(folder, pid=dead())
    assert (seen(tmp_path).state, seen(tmp_path).stage) == (JobState.QUEUED, "interrupted")
    owned(folder, boot="before this machine was started again")
    assert (seen(tmp_path).state, seen(tmp_path).stage) == (JobState.QUEUED, "interrupted")


def test_a_process_of_another_host_lives_while_its_record_changes_whatever_its_clock_says(
    tmp_path: Path, make_shot: Make
) -> None:
    folder = half(make_shot())
    submit(tmp_path)
    now = [0.0]
    eye = watch.Eye(clock=lambda: now[0])

    def look(beat: int, seconds: float) -> JobState:
        owned(folder, host="elsewhere", beat=beat)
        now[0] += seconds
        return seen(tmp_path, eye).state

    assert look(1, 0.0) is JobState.RUNNING
    assert look(2, watch.SILENT_SECONDS) is JobState.RUNNING
    assert look(2, watch.SILENT_SECONDS / 2) is JobState.RUNNING
    assert look(2, watch.SILENT_SECONDS / 2) is JobState.QUEUED
    assert look(3, 0.0) is JobState.RUNNING


def test_an_owner_record_that_nobody_can_read_is_somebodys_while_it_changes(tmp_path: Path, make_shot: Make) -> None:
    folder = half(make_shot())
    submit(tmp_path)
    now = [0.0]
    eye = watch.Eye(clock=lambda: now[0])
    for record in ("", "[]", "{}", '{"host": "here"}', "nonsense"):
        (folder / wire.OWNER_FILE).write_text(record)
        now[0] += watch.SILENT_SECONDS
        assert seen(tmp_path, eye).state is JobState.RUNNING
    now[0] += watch.SILENT_SECONDS
    assert seen(tmp_path, eye).state is JobState.QUEUED


def test_a_take_of_other_settings_or_of_another_export_is_not_the_shots(tmp_path: Path, make_shot: Make) -> None:
    export = make_shot()
    submit(tmp_path)
    list(render(export, check=lambda: None))
    assert seen(tmp_path).state is JobState.DONE
    shot = wire.Shot.loads((export / wire.SHOT_FILE).read_bytes())
    for other in (replace(shot, settings=replace(shot.settings, seed=8)), replace(shot, cut_in=shot.cut_in + 1)):
        wire.write_atomically(export / wire.SHOT_FILE, other.dumps().encode())
        assert (seen(tmp_path).state, seen(tmp_path).stage) == (JobState.QUEUED, "exported")


def test_a_take_that_cannot_be_read_is_passed_over(tmp_path: Path, make_shot: Make) -> None:
    export = make_shot()
    submit(tmp_path)
    list(render(export, check=lambda: None))
    for name, text in (("v002", "nonsense"), ("v003", "[]"), ("v004", '{"files": {}}')):
        (export.parent / "takes" / name).mkdir()
        (export.parent / "takes" / name / wire.TAKE_FILE).write_text(text)
    assert seen(tmp_path).state is JobState.DONE


# --- submissions ----------------------------------------------------------------------------------


def test_submissions_are_listed_in_their_order_with_whom_they_were_sent_to(tmp_path: Path) -> None:
    submit(tmp_path, sent=submission.Sent(engine=submission.Engine.FLAMENCO, job="j", url="http://manager"))
    submit(tmp_path, submitted("SH010/e002"), submitted("SH020/e001"))
    jobs = watch.Eye().jobs(tmp_path)
    assert [job.id for job in jobs] == ["farm f001 SH010/e001", "farm f002 SH010/e002", "farm f002 SH020/e001"]
    assert [job.by for job in jobs] == ["Flamenco", "", ""]
    assert [watch.place(job.id) for job in jobs][2] == watch.Place("f002", "SH020/e001")
    assert watch.place("5f0c") is None


def test_only_the_newest_submissions_are_listed_and_those_that_somebody_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "NEWEST", 2)
    for _ in range(4):
        submit(tmp_path)
    names = [watch.place(job.id) for job in watch.Eye().jobs(tmp_path, named=["f001"])]
    assert [name and name.submission for name in names] == ["f001", "f003", "f004"]


def test_a_folder_without_a_submission_that_can_be_read_is_left_out(tmp_path: Path) -> None:
    assert watch.Eye().jobs(tmp_path) == ()
    (submit(tmp_path) / submission.SUBMISSION_FILE).write_text("{}")
    wire.claim_version(tmp_path / submission.FOLDER, submission.PREFIX)
    submit(tmp_path)
    assert [job.id for job in watch.Eye().jobs(tmp_path)] == ["farm f003 SH010/e001"]


def test_what_the_engine_says_of_a_failure_is_said_and_a_whole_take_is_whole_nonetheless(
    tmp_path: Path, make_shot: Make
) -> None:
    export = make_shot()
    where = submission.Sent(engine=submission.Engine.FLAMENCO, job="j-1", url="http://manager")
    submit(tmp_path, submitted(), submitted("SH020/e001"), sent=where)
    asked: list[str] = []

    def voice(one: submission.Sent, told: submission.Submission) -> dict[str, Job]:
        asked.append(one.job)
        return {
            SHOT: Job(id="", shot="SH010", state=JobState.FAILED, message="the GPU is too small"),
            "SH020/e001": Job(id="", shot="SH020", state=JobState.RUNNING, stage="loading", message="worker gpu-1"),
        }

    first, second = watch.Eye().jobs(tmp_path, voice)
    assert (first.state, first.message) == (JobState.FAILED, "the GPU is too small")
    assert (second.state, second.stage, second.message) == (JobState.RUNNING, "loading", "worker gpu-1")
    list(render(export, check=lambda: None))
    assert watch.Eye().jobs(tmp_path, voice)[0].state is JobState.DONE
    assert set(asked) == {"j-1"}


def test_an_engine_that_does_not_answer_hides_nothing_that_the_folders_say(tmp_path: Path, make_shot: Make) -> None:
    make_shot()
    submit(tmp_path, sent=submission.Sent(engine=submission.Engine.FLAMENCO, job="j-1", url="http://manager"))

    def voice(_: submission.Sent, __: submission.Submission) -> dict[str, Job]:
        raise wire.Unavailable("nothing that speaks HTTP answers")

    (job,) = watch.Eye().jobs(tmp_path, voice)
    assert (job.state, job.stage, job.message) == (JobState.QUEUED, "exported", "nothing that speaks HTTP answers")


# --- beside ---------------------------------------------------------------------------------------


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(poll=0.01)
    yield session
    session.close()


def last(session: Session, ticket: str) -> News:
    *_, news = session.wait(ticket)
    return news


class Share:
    """Folders that do not answer until they are let."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def look(self) -> tuple[Job, ...]:
        self.asked += 1
        assert self.answers.wait(60)
        return (Job(id="farm f001 SH010/e001", shot="SH010", state=JobState.QUEUED),)


def test_folders_that_hang_are_said_to_and_stop_nobody_else(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 0.0)
    ours, share, beside = board.Board(), Share(), watch.Beside()
    monkeypatch.setattr(board, "ATTENTION_SECONDS", 1e6)
    ours.look()
    session.start("farm", lambda cancelled: watch.follow(ours, beside, share.look, cancelled))
    assert next(session.wait("farm")).step
    assert ours.hindrance == watch.AWAY
    session.start("another", lambda _: iter_done())
    assert last(session, "another").result == "done"
    share.answers.set()
    assert next(session.wait("farm")).step
    assert ([job.shot for job in ours.submitted], ours.hindrance) == (["SH010"], "")
    session.cancel("farm")
    assert last(session, "farm").result == ""


def iter_done() -> watch.Work[str]:
    yield None
    return "done"


def test_folders_that_hang_are_not_asked_a_second_time_meanwhile(session: Session) -> None:
    share, beside = Share(), watch.Beside()
    given_up = Cancelled()
    first = beside.ask(share.look, given_up)
    next(first)
    given_up.set()
    with pytest.raises(StopIteration) as end:
        next(first)
    assert end.value.value is None
    session.start("second", lambda cancelled: counted(beside.ask(share.look, cancelled)))
    assert beside.is_busy
    share.answers.set()
    assert last(session, "second").result == "1"
    assert share.asked == 2


def counted(asking: watch.Work[tuple[Job, ...] | None]) -> watch.Work[str]:
    return str(len((yield from asking) or ()))


def test_nobody_is_asked_while_nobody_looks(session: Session) -> None:
    share = Share()
    session.start("farm", lambda cancelled: watch.follow(board.Board(), watch.Beside(), share.look, cancelled))
    assert (last(session, "farm").result, share.asked) == ("", 0)


@pytest.mark.parametrize(
    ("problem", "said"),
    [(OSError("stale file handle"), "cannot be read (stale file handle)"), (wire.Unavailable("no network"), "no net")],
)
def test_what_goes_wrong_is_said_and_looked_at_again(
    problem: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_SECONDS", "SHARE"):
        monkeypatch.setattr(watch, name, 0.0)
    monkeypatch.setattr(board, "ATTENTION_SECONDS", 1e6)
    ours, answers = board.Board(), iter([problem, (Job(id="", shot="SH010", state=JobState.QUEUED),)])

    def look() -> tuple[Job, ...]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ours.look()
    steps = filter(None, watch.follow(ours, watch.Beside(), look, Cancelled()))
    assert next(steps).stage == "listed"
    assert said in ours.hindrance
    assert next(steps).stage == "listed"
    assert ([job.shot for job in ours.submitted], ours.hindrance) == (["SH010"], "")


def test_a_look_at_shots_reads_a_take_only_when_it_was_written_anew(
    tmp_path: Path, make_shot: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = make_shot()
    submit(tmp_path)
    list(render(export, check=lambda: None))
    eye = watch.Eye()
    assert seen(tmp_path, eye).state is JobState.DONE
    read: list[Path] = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self) or plain(self))
    assert seen(tmp_path, eye).state is JobState.DONE
    assert [file.name for file in read] == [submission.SENT_FILE]


def test_what_was_let_go_of_is_nobodys(tmp_path: Path) -> None:
    owned(tmp_path)
    assert watch.Eye().is_held(tmp_path)
    release(tmp_path)
    assert not watch.Eye().is_held(tmp_path)
    (tmp_path / wire.OWNER_FILE).unlink()
    assert not watch.Eye().is_held(tmp_path)
