"""Jobs for Blender Studio's Flamenco: a submission as one, and what its Manager answers. Knows neither bpy nor threads.

The REST API is that of Flamenco's OpenAPI document, /api/v3 of versions 3.7 and later; docs/flamenco.md says what a
farm needs.
"""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import wire
from .submission import SUBMISSION_FILE, Engine, Sent, Submission
from .transport import BUSY, Answer, Transport

JOB_TYPE = "wan-animate-shots"
"""As a Manager calls it: the script's name with dashes."""
SCRIPT = Path(__file__).with_name("wan_animate_shots.js")
"""To be put into the folder `scripts` beside the Manager."""
OLDEST = (3, 7)
"""From this version on a Manager reads its scripts when they are asked for."""
ANY_GPU = "wan-gpu"
"""Task type of a shot whose memory nobody knows."""

SECONDS, SUBMITTING = 20.0, 180.0
"""Longest wait for an answer; for that to a job, of which a Manager first stores all tasks."""
WORKERS = 500
"""Asked for their task types at most."""
GIGABYTE = 10**9
"""As GPUs are sold."""

_API = "/api/v3"
_WHERE = re.compile(r" at (\S+ \()?[^\s()]*\.js:[0-9]+:.*", re.DOTALL)
"""What goja puts behind the text of an error."""


@dataclass(frozen=True, kw_only=True)
class JobType:
    """Our script as the Manager has it."""

    etag: str
    """Changes with its settings; a job that was made for another is refused."""
    gpu_sizes: tuple[int, ...]
    """GB, ascending: those for which there are task types."""
    version: str


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A group of workers, to which a job can be limited."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker process; a host with several GPUs has several."""

    name: str
    status: str
    """Flamenco's word: "awake", "asleep", "offline" …"""
    platform: str
    """ "linux", "windows", "darwin"."""
    task_types: tuple[str, ...]
    tags: tuple[str, ...] = ()
    """Ids."""

    @property
    def comes(self) -> bool:
        """Whether it works now or will by itself."""
        return self.status not in ("offline", "error")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody wants a Manager to do with a submission."""

    submission: Submission
    folder: Path
    """The submission's, `<shots>/farm/f001`; absolute."""
    device: str = "cuda"
    save_as: Path | None = None
    """File for the edit with all takes in it; None saves the submission's copy in place."""
    render_edit: Path | None = None
    """Folder into which the edit is rendered; None renders none."""
    priority: int = 50
    """0 to 100; what has more comes first."""
    tag: str = ""
    """Id of the `Tag` whose workers may work on it; empty for all."""

    @property
    def root(self) -> Path:
        """The folder of all shots."""
        return self.folder.parents[1]


def task_type_of(gpu_memory: int | None, sizes: tuple[int, ...]) -> str:
    """Of a render that needs `gpu_memory` bytes: what the script says. Raises `BadInput` when no size is enough."""
    if not gpu_memory:
        return ANY_GPU
    enough = [size for size in sizes if size * GIGABYTE >= gpu_memory]
    if not enough:
        raise wire.BadInput(
            f"a shot needs {gpu_memory / GIGABYTE:.1f} GB on one GPU and the largest of this farm has {max(sizes)}; "
            "render it at a smaller size or precision"
        )
    return f"{ANY_GPU}-{enough[0]}g"


def task_types(submission: Submission, sizes: tuple[int, ...]) -> dict[str, int]:
    """How many tasks there will be of each type. Raises `BadInput` for a shot that is too large for every GPU."""
    renders = Counter(task_type_of(shot.gpu_memory, sizes) for shot in submission.shots)
    return {"blender": len(submission.shots) + 1, **dict(sorted(renders.items()))}


def job_of(order: Order, job_type: JobType, system: str = "") -> dict[str, Any]:
    """The body of a POST to /jobs. `system` is where the paths are valid, as `here` says it; by default here.

    The Manager itself puts its two-way variables into settings that begin with their values.
    """
    shots = [
        {"folder": shot.folder, "base": shot.base, "gpu": shot.gpu_memory or 0} for shot in order.submission.shots
    ]  # fmt: skip
    settings = {
        "submission": (order.folder / SUBMISSION_FILE).as_posix(),
        "shots_root": order.root.as_posix(),
        "shots": json.dumps(shots),
        "device": order.device,
        "save_as": order.save_as.as_posix() if order.save_as else "",
        "render_edit": order.render_edit.as_posix() if order.render_edit else "",
        "gpu_sizes": " ".join(map(str, job_type.gpu_sizes)),
        "version": job_type.version,
        "blendfile": (order.folder / order.submission.file).as_posix(),
    }
    job = {
        "name": order.submission.name,
        "type": JOB_TYPE,
        "type_etag": job_type.etag,
        "priority": order.priority,
        "submitter_platform": system or here(),
        "settings": settings,
    }
    return job | ({"worker_tag": order.tag} if order.tag else {})


def here() -> str:
    """This platform in Flamenco's words: "linux", "windows", "darwin"."""
    return platform.system().lower()


def script_version() -> str:
    """Of the script that this add-on brings."""
    found = re.search(r'key: "version",[^}]*?default: "(\w+)"', SCRIPT.read_text(encoding="utf-8"))
    if found is None:
        raise wire.Unavailable(f"{SCRIPT.name} of this add-on has no version; install the add-on again")
    return found[1]


def save_script(folder: Path) -> Path:
    """Copy our script into `folder`, from where somebody brings it to the Manager. Raises `BadInput`."""
    copy = folder / SCRIPT.name
    try:
        wire.write_atomically(copy, SCRIPT.read_bytes())
    except OSError as error:
        raise wire.BadInput(
            f"cannot write to {folder} ({error.strerror or error}); choose a folder that you may write to"
        ) from error
    return copy


class Manager:
    """A Flamenco Manager at one address. Not for use by several threads at once."""

    def __init__(self, url: str, seconds: float = SECONDS, submitting: float = SUBMITTING) -> None:
        """Raises `BadInput` when `url` is no address or has a password in it."""
        self._http = Transport(url, seconds)
        self.url = self._http.url
        self._submitting = submitting

    def version(self) -> str:
        """Raises `Unavailable` when no Flamenco answers, or one that is older than 3.7."""
        short = str(self._get("/version", "version").get("shortversion"))
        numbers = re.match(r"([0-9]{1,6})\.([0-9]{1,6})", short)
        if numbers is None:
            raise wire.Unavailable(f"the Manager at {self.url} says its version is {wire.one_line(short, 40)!r}; "
                                   "use Flamenco 3.7 or later")  # fmt: skip
        if (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise wire.Unavailable(f"the Manager at {self.url} is Flamenco {short}, expected 3.7 or later; update it")
        return short

    def job_type(self) -> JobType:
        """Raises `Unavailable` when the Manager has not our script, or that of another version of this add-on."""
        found = self._ask("GET", f"{_API}/jobs/type/{JOB_TYPE}")
        if found.status == 404:
            raise wire.Unavailable(f"the Manager at {self.url} has no job type {JOB_TYPE!r}; {_INSTALL}")
        said = self._object(found, "settings")
        settings = {str(one.get("key")): one for one in _objects(said["settings"])}
        version = str(settings.get("version", {}).get("default"))
        if version != script_version():
            raise wire.Unavailable(self._other_script())
        sizes = re.findall(r"[0-9]{1,6}", str(settings.get("gpu_sizes", {}).get("default")))
        if not sizes:
            raise wire.Unavailable(self._other_script())
        return JobType(etag=str(said.get("etag", "")), version=version, gpu_sizes=tuple(sorted(map(int, sizes))))

    def tags(self) -> tuple[Tag, ...]:
        """Groups of workers, by name."""
        found = _objects(self._get("/worker-mgt/tags", "tags")["tags"])
        tags = (Tag(id=str(one.get("id")), name=wire.one_line(str(one.get("name")), 100)) for one in found)
        return tuple(sorted(tags, key=lambda tag: tag.name))

    def workers(self) -> tuple[Worker, ...]:
        """All that the Manager knows, also those that are switched off."""
        found = _objects(self._get("/worker-mgt/workers", "workers")["workers"])
        return tuple(self._worker(str(one.get("id"))) for one in found[:WORKERS])

    def variables(self, system: str) -> dict[str, dict[str, Any]]:
        """By name: `value` and `is_twoway` of the variables for workers on `system`, such as "linux"."""
        found = self._get(f"/configuration/variables/workers/{_part(system)}")
        return {str(name): one for name, one in found.items() if isinstance(one, dict)}

    def submit(self, job: dict[str, Any]) -> str:
        """Let the Manager check `job`, then queue it; its id. Raises `BadInput` with what its script refuses."""
        self._accepted(self._ask("POST", f"{_API}/jobs/check", job, self._submitting))
        try:
            made = self._ask("POST", f"{_API}/jobs", job, self._submitting)
        except wire.Unavailable as error:
            raise wire.Unavailable(f"{error}; the job may be there already, look at {self.url}/app/jobs") from error
        self._accepted(made)
        return str(self._object(made, "id")["id"])

    def cancel(self, job: str) -> None:
        """Ask all workers to stop; finished segments are kept."""
        self._set_status(job, "cancel-requested", "cancelled in Blender")

    def retry(self, job: str) -> None:
        """Queue again what failed or was cancelled; finished segments are found again."""
        self._set_status(job, "requeueing", "queued again in Blender")

    def remove(self, job: str) -> None:
        """Let the Manager forget `job` and its logs; exports and takes stay."""
        self._done(self._ask("DELETE", f"{_API}/jobs/{_part(job)}"), job)

    def job(self, job: str) -> dict[str, Any]:
        """As the Manager describes it: `status`, `activity` … Raises `BadInput` when it does not know it."""
        path = f"{_API}/jobs/{_part(job)}"
        return self._object(self._done(self._ask("GET", path), job), "status")

    def tasks(self, job: str) -> list[dict[str, Any]]:
        """Its tasks: `id`, `name`, `status`, `task_type` …"""
        path = f"{_API}/jobs/{_part(job)}/tasks"
        return _objects(self._object(self._done(self._ask("GET", path), job), "tasks")["tasks"])

    def log_tail(self, task: str) -> str:
        """The last lines of a task's log; empty while there is none."""
        answer = self._ask("GET", f"{_API}/tasks/{_part(task)}/logtail")
        return answer.text if answer.status == 200 else ""

    def page(self, job: str) -> str:
        """Address of the job for a browser."""
        return f"{self.url}/app/jobs/{_part(job)}"

    def _worker(self, worker: str) -> Worker:
        found = self._get(f"/worker-mgt/workers/{_part(worker)}", "supported_task_types")
        return Worker(
            name=wire.one_line(str(found.get("name")), 100),
            status=str(found.get("status")),
            platform=str(found.get("platform")),
            task_types=tuple(map(str, _items(found["supported_task_types"]))),
            tags=tuple(str(tag.get("id")) for tag in _objects(found.get("tags"))),
        )

    def _set_status(self, job: str, status: str, reason: str) -> None:
        path = f"{_API}/jobs/{_part(job)}/setstatus"
        self._done(self._ask("POST", path, {"status": status, "reason": reason}), job)

    def _accepted(self, answer: Answer) -> None:
        if answer.status == 412:
            raise wire.Unavailable(self._other_script())
        if answer.status == 400:
            reason = _WHERE.sub("", self._reason(answer)).removeprefix("Error: ")
            raise wire.BadInput(f"the Manager at {self.url} refuses the job: {reason}")
        self._expect_success(answer)

    def _done(self, answer: Answer, job: str) -> Answer:
        if answer.status == 404:
            raise wire.BadInput(f"the Manager at {self.url} knows no job {job!r}; it was removed there, submit again")
        if answer.status == 422:
            raise wire.BadInput(f"the Manager at {self.url} cannot do that with a job that stands as this one; look "
                                f"at {self.page(job)}")  # fmt: skip
        return self._expect_success(answer)

    def _get(self, path: str, *fields: str) -> dict[str, Any]:
        return self._object(self._expect_success(self._ask("GET", _API + path)), *fields)

    def _ask(self, method: str, path: str, body: Any = None, seconds: float | None = None) -> Answer:
        answer = self._http.ask(method, path, body, seconds)
        if answer.status == BUSY:
            after = f" in {answer.retry_after} s" if answer.retry_after.isdecimal() else ""
            raise wire.Unavailable(f"the Manager at {self.url} is busy; try again{after}")
        return answer

    def _expect_success(self, answer: Answer) -> Answer:
        if not 200 <= answer.status < 300:
            raise wire.Unavailable(f"the Manager at {self.url} answers {answer.status}: {self._reason(answer)}; "
                                   "look into its log")  # fmt: skip
        return answer

    def _object(self, answer: Answer, *fields: str) -> dict[str, Any]:
        self._expect_success(answer)
        try:
            said = answer.json()
        except ValueError as error:
            raise wire.Unavailable(self._no_flamenco()) from error
        if not isinstance(said, dict) or not set(fields) <= said.keys():
            raise wire.Unavailable(self._no_flamenco())
        return said

    def _reason(self, answer: Answer) -> str:
        try:
            said = answer.json()
        except ValueError:
            said = answer.text
        message = said.get("message") if isinstance(said, dict) else said
        return wire.one_line(str(message or "no reason given"), 600)

    def _no_flamenco(self) -> str:
        return f"what answers at {self.url} is no Flamenco Manager of version 3.7 or later; correct the address"

    def _other_script(self) -> str:
        return f"the Manager at {self.url} has another version of the job type {JOB_TYPE!r}; {_INSTALL}"


_INSTALL = "press Save Job Type…, put the file into the folder 'scripts' beside flamenco-manager, then press Refresh"


def send(manager: Manager, order: Order) -> Sent:
    """Queue a submission, and say where it went. Raises what `version`, `job_type` and `submit` raise."""
    manager.version()
    job = manager.submit(job_of(order, manager.job_type()))
    return Sent(engine=Engine.FLAMENCO, job=job, url=manager.url)


def _objects(said: Any) -> list[dict[str, Any]]:
    """The objects of a list; what is none is not ours to understand."""
    return [one for one in _items(said) if isinstance(one, dict)]


def _items(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []  # Go says null for an empty list


def _part(name: str) -> str:
    """Of an address, whatever is in it."""
    return quote(name, safe="", errors="replace")
