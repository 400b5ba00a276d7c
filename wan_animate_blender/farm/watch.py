"""Where submitted shots stand, as the folders of their exports and takes say it. Knows neither bpy nor a panel.

The folders lie on a share that may be slow, or hang: they are read in a thread that nobody waits for, and no more often
than that they are left alone nine tenths of the time.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from ..board import Board
from ..delivery import pause
from ..session import Cancelled, Step, Work
from ..standstill import Worker, renders
from ..wire import (
    OWNER_FILE,
    SHOT_FILE,
    BadInput,
    Job,
    JobState,
    Problem,
    Unavailable,
    WireError,
    has_ended,
    version_name,
    versions,
)
from . import results
from .submission import FOLDER, PREFIX, SENT_FILE, SUBMISSION_FILE, Sent, Submission, SubmittedShot

NEWEST = 1000
"""Shots that are listed: those of the last submissions."""

LOOK_SECONDS, SHARE, REST_SECONDS = 5.0, 9.0, 60.0
"""Between two looks at least; how many times as long as a look took they are left alone; and at most."""

PATIENCE_SECONDS = 10.0
"""After which folders that do not answer are said not to."""

AWAY = "the folders of the farm do not answer; still waiting for them"

SILENT_SECONDS = 75.0
"""After which a process that never raised its counter has ended, as the server's `pulse.WATCH_SECONDS`."""

_ID = re.compile(rf"farm ({PREFIX}[0-9]{{3,}}) (.+)")

T = TypeVar("T")
Voice = Callable[[Sent, Submission], Mapping[str, Job]]
"""What the engine that a submission was sent to says of its shots, by their folders; nothing where it says nothing.

Of each answer counts what no folder can know: that it waits for a worker, failed or was cancelled, and its message.
"""

_ONLY_AN_ENGINE_KNOWS = (JobState.FAILED, JobState.CANCELLED, JobState.CANCELLING, JobState.PAUSED)


def silent(_: Sent, __: Submission) -> Mapping[str, Job]:
    """An engine that cannot be asked."""
    return {}


# --- names ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """What the id of a submitted shot says."""

    submission: str
    """Folder below `farm/`, such as "f001"."""
    shot: str
    """Folder of the export below that of all shots, such as "SH010/e003"."""

    @property
    def id(self) -> str:
        return f"farm {self.submission} {self.shot}"


def place(job: str) -> Place | None:
    """Whom the id of a job is about; None for one of a server."""
    found = _ID.fullmatch(job)
    return Place(found[1], found[2]) if found else None


def submission_folder(shots: Path, name: str) -> Path:
    return shots / FOLDER / name


def read(folder: Path) -> Submission | None:
    """The submission in `folder`; None where there is none that this version understands."""
    try:
        return _submission(folder / SUBMISSION_FILE, (folder / SUBMISSION_FILE).stat().st_mtime_ns)
    except (OSError, WireError):
        return None


def sent(folder: Path) -> Sent | None:
    """Where the submission in `folder` went; None while it went nowhere."""
    try:
        return Sent.loads((folder / SENT_FILE).read_bytes())
    except (OSError, WireError):
        return None


@functools.lru_cache(maxsize=64)
def _submission(file: Path, _modified: int) -> Submission:
    return Submission.loads(file.read_bytes())


# --- takes ----------------------------------------------------------------------------------------


def newest(shots: Path, shot: str) -> results.Made | None:
    """The newest take of an export with the settings that it was submitted with; None before there is one."""
    try:
        return next(results.made(shots / shot), None)
    except BadInput:  # damaged: whoever renders it says so
        return None


# --- where a shot stands --------------------------------------------------------------------------


class Eye:
    """Looks at folders again and again, and so tells those who live, wherever they are, from those who died."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: dict[Path, tuple[bytes, float]] = {}
        """What was seen of each folder that somebody may be at work in, and since when it is the same."""

    def jobs(self, shots: Path, voice: Voice = silent, named: Collection[str] = ()) -> tuple[Job, ...]:
        """The shots of the newest submissions below `shots` and of those that are `named`, the oldest first."""
        folders = [submission_folder(shots, name) for name in _names(shots, named)]
        return tuple(job for folder in folders for job in self._submitted(shots, folder, voice))

    def _submitted(self, shots: Path, folder: Path, voice: Voice) -> Iterator[Job]:
        submission = read(folder)
        if submission is None:
            return
        created, where = (folder / SUBMISSION_FILE).stat().st_mtime, sent(folder)
        by = where.engine.label if where else ""
        seen = {shot.folder: self._seen(shots, shot) for shot in submission.shots}
        is_over = all(job.state is JobState.DONE for job in seen.values())
        said = _asked(voice, where, submission) if where and not is_over else {}
        for shot in submission.shots:
            job = replace(seen[shot.folder], strip=shot.uid, created=created, by=by)
            yield _joined(replace(job, id=Place(folder.name, shot.folder).id), said.get(shot.folder))

    def _seen(self, shots: Path, shot: SubmittedShot) -> Job:
        """As its folders say it, without a name."""
        renders.check()
        plain = Job(id="", shot=shot.name, state=JobState.QUEUED, stage="submitted")
        made = newest(shots, shot.folder)
        export = shots / shot.folder
        if made is None:
            if (export / SHOT_FILE).is_file():
                return replace(plain, stage="exported")
            running = self.is_being_made(export)
            return replace(plain, state=JobState.RUNNING, stage="exporting") if running else plain
        there = replace(plain, frames=made.frames, progress=made.frames / made.whole)
        if made.is_complete:
            return replace(there, state=JobState.DONE, stage="done", progress=1.0)
        if self.is_held(made.folder):
            return replace(there, state=JobState.RUNNING, stage="rendering")
        left = f"{made.frames} of {made.whole} frames are kept; it goes on when the farm tries it again"
        return replace(there, stage="interrupted", message=f"nobody renders {shot.name} now: {left}")

    def is_held(self, folder: Path) -> bool:
        """Whether a process that lives is at work in `folder`: it raises a counter in its owner record."""
        try:
            record = (folder / OWNER_FILE).read_bytes()
        except OSError:
            return False
        return not has_ended(record) and self._is_new(folder, record)

    def is_being_made(self, export: Path) -> bool:
        """Whether a folder that will become the export gets more and more files: it has no owner record."""
        parts = export.parent.glob(f".{export.name}.*.part")
        return any(self._is_new(part, b"%d" % sum(1 for _ in part.rglob("*"))) for part in parts)

    def _is_new(self, folder: Path, now: bytes) -> bool:
        """Whether what is seen of `folder` has changed lately; nobody's clock is trusted."""
        before = self._before.get(folder)
        if before is None or before[0] != now:
            self._before[folder] = now, self._clock()
            return True
        return self._clock() - before[1] < SILENT_SECONDS


def _names(shots: Path, named: Collection[str]) -> list[str]:
    """Of the newest submissions, until they have `NEWEST` shots together, and those that are `named`."""
    numbers = versions(shots / FOLDER, PREFIX)
    newer, count = set(named), 0
    for name in (version_name(PREFIX, number) for number in reversed(numbers)):
        if count >= NEWEST:
            break
        found = read(submission_folder(shots, name))
        count += len(found.shots) if found else 0
        newer.add(name)
    return sorted(newer, key=lambda name: int(name.removeprefix(PREFIX)))


def _asked(voice: Voice, where: Sent, submission: Submission) -> Mapping[str, Job]:
    """What the engine says; why it says nothing, of each shot, where it does not answer."""
    try:
        return voice(where, submission)
    except Problem as problem:
        silence = Job(id="", shot="", state=JobState.QUEUED, message=str(problem))
        return {shot.folder: silence for shot in submission.shots}


def _joined(job: Job, said: Job | None) -> Job:
    """What the folders and the engine say together: a whole take is whole whatever an engine thinks of it."""
    if said is None or job.state is JobState.DONE:
        return job
    message = said.message or job.message
    if said.state in _ONLY_AN_ENGINE_KNOWS or (job.state, said.state) == (JobState.QUEUED, JobState.RUNNING):
        return replace(job, state=said.state, stage=said.stage, message=message)
    return replace(job, message=message)


# --- beside ---------------------------------------------------------------------------------------


class Beside:
    """Does what may hang in a thread that nobody waits for, one thing at a time."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def ask(self, question: Callable[[], T], cancelled: Cancelled) -> Work[T | None]:
        """The answer; None when somebody cancelled before it came. Raises what the question raises."""
        while self.is_busy:
            if cancelled.is_set():
                return None
            yield None
        answers: list[T | Problem] = []
        self._thread = threading.Thread(target=_answer, args=(question, answers), name="wan-animate-farm", daemon=True)
        mine = self._thread
        mine.start()
        while mine.is_alive():
            if cancelled.is_set():
                return None
            yield None
        if not answers:
            raise Problem("the folders of the farm could not be read; this is a fault of ours, the log says more")
        if isinstance(answers[0], Problem):
            raise answers[0]
        return answers[0]

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


def _answer(question: Callable[[], T], answers: list[T | Problem]) -> None:
    with Worker(renders):
        try:
            answers.append(question())
        except OSError as error:
            sentence = f"the folders of the farm cannot be read ({error}); see that they are reachable"
            answers.append(Unavailable(sentence))
        except Problem as problem:
            answers.append(problem)


def follow(board: Board, beside: Beside, look: Callable[[], tuple[Job, ...]], cancelled: Cancelled) -> Work[str]:
    """Look again and again while somebody looks at the board; a step says that something is new."""
    while board.is_looked_at and not cancelled.is_set():
        before, began = (board.submitted, board.hindrance), time.monotonic()
        asking = beside.ask(look, cancelled)
        try:
            answer = yield from _patiently(board, asking, cancelled)
            board.submitted, board.hindrance = board.submitted if answer is None else answer, ""
        except Problem as problem:
            board.hindrance = str(problem)
        if before != (board.submitted, board.hindrance):
            yield Step(stage="listed", progress=1.0)
        took = time.monotonic() - began
        yield from pause(min(max(LOOK_SECONDS, SHARE * took), REST_SECONDS), cancelled)
    return ""


def _patiently(board: Board, asking: Work[T], cancelled: Cancelled) -> Work[T | None]:
    """The answer, however long it takes while somebody looks; meanwhile the board says why there is none."""
    end = time.monotonic() + PATIENCE_SECONDS
    while board.is_looked_at and not cancelled.is_set():
        try:
            next(asking)
        except StopIteration as stop:
            return cast(T, stop.value)
        late = time.monotonic() > end and board.hindrance != AWAY
        if late:
            board.hindrance = AWAY
        yield Step(stage="listed", progress=1.0) if late else None
    return None
