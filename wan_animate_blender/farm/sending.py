"""A submission goes to whoever runs it, in the session's thread. Knows neither bpy nor a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..session import Cancelled, Step, Work
from ..wire import BadInput, Interrupted, Job, JobState, Settings, write_atomically
from . import deadline, flamenco, outlook
from .estimates import Estimate
from .submission import SENT_FILE, Engine, Sent, Submission, SubmittedShot
from .watch import Beside, Place


def note(sent: Sent, folder: Path) -> None:
    """Say in the submission's `folder` where it went."""
    write_atomically(folder / SENT_FILE, sent.dumps().encode())


def fresh(folder: Path, submission: Submission, engine: Engine) -> tuple[Job, ...]:
    """The shots of a submission that was made just now, as they will stand in the list of jobs."""
    return tuple(
        Job(id=Place(folder.name, shot.folder).id, shot=shot.name, strip=shot.uid, state=JobState.QUEUED,
            stage="submitted", by=engine.label)
        for shot in submission.shots
    )  # fmt: skip


Asked = Sequence[tuple[Settings, SubmittedShot]]
"""The shots of a submission with all settings of their renders."""
Hear = Callable[[Submission, outlook.Farm | None], None]


def consider(
    beside: Beside, submission: Submission, asked: Asked, estimate: Estimate, url: str, hear: Hear, cancelled: Cancelled
) -> Work[str]:  # fmt: skip
    """Ask a server what the renders of `submission` need, and the Manager at `url`, if there is one, who takes them.

    Raises what `outlook.look` raises.
    """
    yield Step(stage="asking", progress=0.0)

    def question() -> tuple[Submission, outlook.Farm | None]:
        shots = tuple(estimate(settings, shot) for settings, shot in asked)
        return replace(submission, shots=shots), outlook.look(flamenco.Manager(url)) if url else None

    if answer := (yield from beside.ask(question, cancelled)):
        hear(*answer)
        farm = answer[1]
        return f"Flamenco {farm.version} answers" if farm else f"shots that were looked at: {len(asked)}"
    return "nobody was asked to the end"


def to_flamenco(
    beside: Beside, url: str, order: flamenco.Order, take_back: Callable[[], None], cancelled: Cancelled
) -> Work[str]:  # fmt: skip
    """Queue a submission at a Manager. `take_back` undoes the submission when it is refused.

    When no answer comes the Manager may have it nonetheless, so that all stays as it is; hence nobody can cancel it
    once it was asked.
    """
    yield Step(stage="submitting", progress=0.0)
    if cancelled.is_set():
        take_back()
        raise Interrupted("nothing was submitted")
    try:
        sent = yield from beside.ask(lambda: flamenco.send(flamenco.Manager(url), order), Cancelled())
    except BadInput:
        take_back()
        raise
    if sent:
        note(sent, order.folder)
    return f"Flamenco has queued {order.submission.name!r}"


def to_deadline(executable: str, folder: Path, cancelled: Cancelled) -> Work[str]:
    """Queue the bundle in `folder`. Raises what `deadline.submit` raises."""
    job = yield from deadline.submit(executable, folder, cancelled)
    note(Sent(engine=Engine.DEADLINE, job=job), folder)
    return f"Deadline Cloud has it as {job}"
