"""Job bundles handed on: to this machine with `openjd run`, to AWS Deadline Cloud with `deadline`. Knows no submission.

Both are command-line programs of their own, which the person has installed; neither is needed to write a bundle. What
they say is kept beside the bundle. No scheduler: `openjd run` does one step after the other, and all that is added
here is that it goes on behind a shot that failed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..daemon import BESIDE_PATH
from ..session import Cancelled, Step, Work
from ..wire import BadInput, Interrupted, Unavailable
from .openjd import IMPORT_STEP, TEMPLATE_FILE, VALUES_FILE

OPENJD, DEADLINE = "openjd", "deadline"
"""Names of the programs; of the packages openjd-cli and deadline."""
LOGS = {OPENJD: "openjd.log", DEADLINE: "deadline.log"}

LONGEST_TEMPLATE = 1_000_000
"""Characters that Deadline Cloud's CreateJob takes (its service model of 2023-10-12: JobTemplate)."""

STOP_SECONDS = 90.0
"""Until `openjd run` has ended the running task, which may put its state on the disk, and stopped the warm model."""

_INSTALL = {
    OPENJD: "install it with 'pip install openjd-cli' beside wan-animate, or send the bundle to a farm",
    DEADLINE: "install it with 'pip install deadline', or send the bundle to the farm by hand",
}
_STAMP = re.compile(r"[0-9:.]+\t")
_NEXT_SHOT = re.compile(r"Shot\(STRING\) = (.+)")
_FAILED_SHOT = re.compile(r"ERROR executing action: 'Run Step '[^']*' with Task parameters '.*'Shot': '([^']+)'")
"""As openjd-cli 0.8 says them, behind the time since it began."""
_PROGRESS = re.compile(r"openjd_progress: ([0-9]+(?:\.[0-9]+)?)")
_STATUS = re.compile(r"openjd_status: (.*)")
_REASON = re.compile(r"openjd_fail: (.*)")
"""As Open Job Description has tasks say them."""
_JOB = re.compile(r"\bjob-[0-9a-f]{32}\b")
_LOGIN = re.compile(r'"status":\s*"(\w+)"')
_MISSING = re.compile(r"Missing '--(farm|queue)-id'")
"""As deadline 0.60 says them."""

Json = dict[str, Any]


def find(program: str, beside: str = "") -> str:
    """The executable of `program`: beside the executable `beside`, else where commands are. Raises `Unavailable`."""
    places = [str(Path(beside).parent)] if beside else []
    places += [os.environ.get("PATH", ""), *(str(Path(place).expanduser()) for place in BESIDE_PATH)]
    found = shutil.which(program, path=os.pathsep.join(places))
    if found is None:
        raise Unavailable(f"'{program}' is not found on this machine; {_INSTALL[program]}")
    return found


# --- on this machine ------------------------------------------------------------------------------


def run_here(executable: str, folder: Path, cancelled: Cancelled) -> Work[str]:
    """Export, render and import the bundle in `folder` on this machine; says what became of it.

    A shot that fails loses those in front of it and no other; all that is there is imported. Run again, it makes only
    what is missing. Raises `Unavailable` naming the shots that failed, `Interrupted` when it was cancelled.
    """
    values = {each["name"]: each["value"] for each in _read(folder / VALUES_FILE)["parameterValues"]}
    ours = json.dumps({name: value for name, value in values.items() if ":" not in name})
    steps = _read(folder / TEMPLATE_FILE)["steps"]
    run = _Run([executable, "run", str(folder / TEMPLATE_FILE), "-p", ours], folder / LOGS[OPENJD], steps)
    for step in steps:
        yield from run.do(step, cancelled)
    if run.lost:
        raise Unavailable(run.lost_in_words)
    return f"{len(run.shots)} shots are rendered, and imported into {values['ResultFile']}"


class _Run:
    """A bundle while it runs here: what has ended, who was lost, and what the running session says."""

    def __init__(self, line: list[str], log: Path, steps: list[Json]) -> None:
        self._line, self._log = line, log
        self.shots = {task["Shot"] for step in steps for task in _tasks(step)}
        self.lost: dict[str, str] = {}
        """Folder of each shot that failed, and why."""
        self._tasks, self._ended = sum(max(len(_tasks(step)), 1) for step in steps), 0
        self._shot, self._whole = "", 0.0
        self._begin_session("")

    def _begin_session(self, stage: str) -> None:
        self._ended += bool(self._shot)
        self._stage, self._shot, self._progress, self._reason, self._failed = stage, "", 0.0, "", ""

    def do(self, step: Json, cancelled: Cancelled) -> Work[None]:
        """All tasks of a step in one session, and those behind a task that failed in another one."""
        left = self._left(step)
        while left or not _tasks(step):
            self._begin_session(step["name"])
            chosen = ["--tasks", json.dumps(left)] if left else []
            line = [*self._line, "--step", step["name"], "--no-run-dependencies", *chosen]
            if not (yield from _follow(line, self._log, self._hear, cancelled)):
                return
            if not self._failed:
                self._fail()
                return
            self.lost[self._failed] = self._reason or f"its log is {self._log}"
            left = left[[task["Shot"] for task in left].index(self._failed) + 1 :]

    def _left(self, step: Json) -> list[dict[str, str]]:
        """Its tasks without shots that failed, and without those in front of them."""
        for task in _tasks(step):
            if (base := task.get("Base")) in self.lost:
                self.lost[task["Shot"]] = f"{base} behind it failed"
        return [task for task in _tasks(step) if task["Shot"] not in self.lost]

    def _fail(self) -> None:
        """End all unless the import ended badly because of shots that are lost: those are named with their reasons."""
        if not self.lost or self._stage != IMPORT_STEP:
            raise Unavailable(f"{self._stage} failed: {self._reason or 'without a word'}; its log is {self._log}")

    def _hear(self, said: str) -> Step | None:
        words = _STAMP.sub("", said, count=1)
        doing = ""
        if found := _NEXT_SHOT.fullmatch(words):
            self._ended, self._progress, self._shot = self._ended + bool(self._shot), 0.0, found[1]
        elif found := _PROGRESS.fullmatch(words):
            self._progress = min(float(found[1]) / 100, 1.0)
        elif found := _STATUS.fullmatch(words):
            doing = found[1]
        else:
            self._hear_of_an_end(words)
            return None
        self._whole = max(self._whole, min((self._ended + self._progress) / self._tasks, 1.0))
        return Step(stage=self._stage, progress=self._whole, message=f"{self._shot} {doing}".strip())

    def _hear_of_an_end(self, words: str) -> None:
        if found := _REASON.fullmatch(words):
            self._reason = found[1]
        if found := _FAILED_SHOT.search(words):
            self._failed = found[1]

    @property
    def lost_in_words(self) -> str:
        named = "; ".join(f"{shot}: {why}" for shot, why in list(self.lost.items())[:5])
        more = f"; and {len(self.lost) - 5} more" if len(self.lost) > 5 else ""
        return (
            f"{len(self.lost)} of {len(self.shots)} shots failed ({named}{more}); the others are imported, "
            "and running it again makes only what is missing"
        )


def _tasks(step: Json) -> list[dict[str, str]]:
    """Values of a step's task parameters, task by task; none where a step has none."""
    columns = step.get("parameterSpace", {}).get("taskParameterDefinitions", [])
    names = [column["name"] for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(column["range"] for column in columns), strict=True)]


# --- on Deadline Cloud ----------------------------------------------------------------------------


def submit(executable: str, folder: Path, cancelled: Cancelled) -> Work[str]:
    """Upload the bundle in `folder` and queue it on the farm that `deadline` is set up for; the job's id.

    Raises `Unavailable` when nobody is logged in, no farm is chosen or it does not answer, `BadInput` for too large a
    job.
    """
    length = len((folder / TEMPLATE_FILE).read_text(encoding="utf-8"))
    if length > LONGEST_TEMPLATE:
        raise BadInput(
            f"the job's template has {length:,} characters, expected at most {LONGEST_TEMPLATE:,}, which is all that "
            "Deadline Cloud takes; put more shots into a chunk, or submit the scenes one by one"
        )
    log, heard = folder / LOGS[DEADLINE], list[str]()
    yield from _follow([executable, "auth", "status"], log, heard.append, cancelled)
    status = _LOGIN.search("\n".join(heard))
    if status is None or status[1] != "AUTHENTICATED":
        given = status[1].lower().replace("_", " ") if status else "no answer"
        raise Unavailable(f"nobody is logged in to Deadline Cloud ({given}); log in with 'deadline auth login'")
    return (yield from _create(executable, folder, log, cancelled))


def _create(executable: str, folder: Path, log: Path, cancelled: Cancelled) -> Work[str]:
    heard: list[str] = []

    def hear(line: str) -> Step:
        heard.append(line)
        return Step(stage="submitting", progress=0.0, message=line)

    words = [executable, "bundle", "submit", str(folder), "--yes", "--submitter-name", "Wan Animate for Blender"]
    code = yield from _follow(words, log, hear, cancelled)
    if missing := next((_MISSING.search(line) for line in heard if _MISSING.search(line)), None):
        what = missing[1]
        raise Unavailable(
            f"no {what} is chosen for Deadline Cloud; choose one with 'deadline config set defaults.{what}_id ID'"
        )
    found = _JOB.findall("\n".join(heard))
    if code or not found:
        last = next((line.strip() for line in reversed(heard) if line.strip()), "it said nothing")
        raise Unavailable(f"Deadline Cloud did not take the job: {last}; all that was said is in {log}")
    return str(found[-1])


# --- both -----------------------------------------------------------------------------------------


def _read(path: Path) -> Json:
    try:
        return cast(Json, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path} ({error}); write the bundle again") from error


def _follow(line: list[str], log: Path, hear: Callable[[str], Step | None], cancelled: Cancelled) -> Work[int]:
    """Run a program to its end, tell what it says as steps, append it to `log`; its exit code.

    Ends it when nobody wants it any more, and raises `Interrupted` then.
    """
    with log.open("ab") as output, log.open("rb") as said:
        said.seek(0, os.SEEK_END)
        process = _begin(line, output.fileno())
        try:
            code = None
            while code is None:
                if cancelled.is_set():
                    raise Interrupted("stopped; what was finished is kept, and running it again goes on from there")
                code = process.poll()  # before reading, so that its last words are read
                yield from filter(None, map(hear, _new_lines(said)))
                yield None
            return code
        finally:
            _end(process)


def _begin(line: list[str], output: int) -> subprocess.Popen[bytes]:
    """A process that signals for this one do not reach."""
    apart = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    quiet = {**os.environ, "DEADLINE_CLOUD_TELEMETRY_OPT_OUT": "true", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    try:
        return subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=quiet, start_new_session=True,
            creationflags=apart,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"{line[0]} cannot be run ({error.strerror or error}); install it again") from error


def _new_lines(said: BinaryIO) -> Iterator[str]:
    """Whole lines since the last call; the rest of a line stays for the next one."""
    while line := said.readline():
        if not line.endswith(b"\n"):
            said.seek(-len(line), os.SEEK_CUR)
            return
        yield line.decode(errors="replace").rstrip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """`openjd run` ends its running task and the warm model when it is asked to; then it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
