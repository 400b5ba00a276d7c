"""A small Flamenco Manager on a real socket: runs the real script, refuses what its OpenAPI document does not know."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import quickjs

from wan_animate_blender.farm.flamenco import Manager, job_of
from wan_animate_blender.farm.submission import Submission, SubmittedShot

from . import script
from .submitted import order

UNKNOWN = "00000000-0000-0000-0000-000000000000"
"""Id of nothing."""
JOB_FIELDS: dict[str, type] = {
    "name": str, "type": str, "type_etag": str, "priority": int, "settings": dict, "metadata": dict,
    "submitter_platform": str, "storage": dict, "worker_tag": str, "initial_status": str,
}  # fmt: skip
JOB_REQUIRED = {"name", "type", "priority", "submitter_platform"}
STATUS_FIELDS: dict[str, type] = {"status": str, "reason": str}
JOB_STATUSES = {"active", "canceled", "completed", "failed", "paused", "queued", "cancel-requested", "requeueing",
                "under-construction"}  # fmt: skip
SETTING_TYPES: dict[str, type] = {"string": str, "int32": int, "float": float, "bool": bool}


@dataclass
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class Refused(Exception):
    """With the status and the message of an `Error` object."""


def worker(name: str, *task_types: str, status: str = "awake", system: str = "linux", tags: tuple[str, ...] = ()
           ) -> dict[str, Any]:  # fmt: skip
    return {
        "id": str(uuid.uuid4()), "name": name, "status": status, "version": "3.7", "can_restart": False,
        "ip_address": "127.0.0.1", "platform": system, "supported_task_types": list(task_types),
        "tags": [{"id": tag, "name": tag} for tag in tags],
    }  # fmt: skip


def variable(value: str, is_twoway: bool = False) -> dict[str, Any]:
    return {"value": value, "is_twoway": is_twoway}


@dataclass
class FakeManager:
    version: str = "3.7"
    workers: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    variables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    instead: dict[str, Reply | Callable[[], Reply]] = field(default_factory=dict)
    """By "METHOD path" behind /api/v3: what is answered in place of the truth."""
    asked: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """What no document allows and was asked nonetheless."""
    url: str = ""

    def reply(self, method: str, path: str, body: bytes, kind: str) -> Reply:
        self.asked.append(f"{method} {path}")
        other = self.instead.get(f"{method} {path}")
        if other is not None:
            return other() if callable(other) else other
        try:
            return self._routed(method, path, self._object(body, kind) if body else {})
        except Refused as refused:
            status, message = refused.args
            return Reply(status, {"code": status, "message": message})

    def task(self, name: str) -> dict[str, Any]:
        return next(task for tasks in self.tasks.values() for task in tasks if task["name"] == name)

    def stand(self, name: str, status: str, *log: str) -> None:
        """Let a task stand so, its worker having written these lines."""
        task = self.task(name)
        task["status"] = status
        lines = [f"2026-11-22T10:00:0{n % 10}Z pid=4711 > {line}" for n, line in enumerate(log)]
        self.logs[task["id"]] = "\n".join(["going to run:", *lines, ""])

    def _routed(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        for (verb, pattern), answer in ROUTES.items():
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return answer(self, body, *found.groups())
        self.strange.append(f"{method} {path} is not documented")
        raise Refused(404, "Not Found")

    def _object(self, body: bytes, kind: str) -> dict[str, Any]:
        said = json.loads(body)
        self._demand(kind == "application/json", f"a body of type {kind}")
        self._demand(isinstance(said, dict), "a body that is no object")
        return dict(said)

    def _demand(self, fits: bool, what: str) -> None:
        if not fits:
            self.strange.append(what)
            raise Refused(400, f"invalid format: {what}")

    def _checked(self, body: dict[str, Any], known: dict[str, type], required: set[str]) -> None:
        for key, value in body.items():
            self._demand(key in known and type(value) is known[key], f"field {key} is {value!r}")
        self._demand(required <= body.keys(), f"fields {sorted(required - body.keys())} are missing")

    def about(self) -> dict[str, Any]:
        described = script.job_type()
        etag = hashlib.sha1(json.dumps(described, sort_keys=True).encode()).hexdigest()
        return {"name": "wan-animate-shots", "etag": etag, **described}

    def compiled(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        self._checked(body, JOB_FIELDS, JOB_REQUIRED)
        about = self.about()
        if body.get("type_etag", about["etag"]) != about["etag"]:
            raise Refused(412, "rejecting job because its settings are outdated, refresh the job type")
        settings = body.get("settings", {})
        known = {one["key"]: SETTING_TYPES[one["type"]] for one in about["settings"]}
        self._checked(settings, known, {one["key"] for one in about["settings"] if one.get("required")})
        try:
            return script.tasks(
                {key: self._twoway(value, body["submitter_platform"]) for key, value in settings.items()}
            )
        except quickjs.JSException as error:
            thrown = str(error).splitlines()[0]
            raise Refused(400, f"{thrown} at expect (wan_animate_shots.js:71:11(9))") from error

    def _twoway(self, value: str, system: str) -> str:
        """A value that begins with that of a two-way variable names it instead, whatever case and slashes."""
        for name, one in self.variables.get(system, {}).items():
            plain, start = value.replace("\\", "/").lower(), one["value"].replace("\\", "/").lower()
            if one["is_twoway"] and plain.startswith(start):
                return "{" + name + "}" + value[len(start) :]
        return value

    # --- answers --------------------------------------------------------------

    def check(self, body: dict[str, Any]) -> Reply:
        self.compiled(body)
        return Reply(204)

    def submit(self, body: dict[str, Any]) -> Reply:
        made, job = self.compiled(body), str(uuid.uuid4())
        stamp = {"created": "2026-11-22T10:00:00Z", "updated": "2026-11-22T10:00:00Z"}
        self.jobs[job] = {**body, **stamp, "id": job, "status": "queued", "activity": ""}
        self.tasks[job] = [
            {"id": str(uuid.uuid4()), "name": task["name"], "status": "queued", "priority": 50, "index_in_job": place,
             "task_type": task["type"], "updated": stamp["updated"], "commands": task["commands"],
             "after": task["after"]}
            for place, task in enumerate(made)
        ]  # fmt: skip
        return Reply(200, self.jobs[job])

    def known(self, job: str) -> dict[str, Any]:
        if job not in self.jobs:
            raise Refused(404, f"job {job!r} not found")
        return self.jobs[job]

    def set_status(self, body: dict[str, Any], job: str) -> Reply:
        self._checked(body, STATUS_FIELDS, set(STATUS_FIELDS))
        self._demand(body["status"] in JOB_STATUSES, f"status {body['status']!r}")
        found, status = self.known(job), body["status"]
        if (found["status"], status) == ("completed", "cancel-requested"):
            raise Refused(422, "this status change is not valid")
        later = {"cancel-requested": "canceled", "requeueing": "queued"}[status]
        found["status"] = later
        for task in self.tasks[job]:
            task["status"] = task["status"] if task["status"] == "completed" else later
        return Reply(204)

    def delete(self, _: dict[str, Any], job: str) -> Reply:
        self.known(job)
        del self.jobs[job]
        return Reply(204)

    def tail(self, _: dict[str, Any], task: str) -> Reply:
        log = self.logs.get(task)
        return Reply(204) if log is None else Reply(200, log.encode(), {"Content-Type": "text/plain"})

    def one_worker(self, _: dict[str, Any], wanted: str) -> Reply:
        found = [one for one in self.workers if one["id"] == wanted]
        if not found:
            raise Refused(404, "worker not found")
        return Reply(200, found[0])

    def all_workers(self, _: dict[str, Any]) -> Reply:
        shown = ("id", "name", "status", "version", "can_restart")
        return Reply(200, {"workers": [{key: one[key] for key in shown} for one in self.workers]})


ID = "([0-9a-f-]{36})"
ROUTES: dict[tuple[str, str], Callable[..., Reply]] = {
    ("GET", "/version"): lambda m, _: Reply(
        200, {"version": m.version, "shortversion": m.version, "name": "Farm", "git": ""}
    ),
    ("GET", "/jobs/type/wan-animate-shots"): lambda m, _: Reply(200, m.about()),
    ("GET", "/worker-mgt/tags"): lambda m, _: Reply(200, {"tags": m.tags}),
    ("GET", "/worker-mgt/workers"): FakeManager.all_workers,
    ("GET", f"/worker-mgt/workers/{ID}"): FakeManager.one_worker,
    ("GET", "/configuration/variables/workers/(\\w+)"): lambda m, _, system: Reply(200, m.variables.get(system, {})),
    ("POST", "/jobs/check"): FakeManager.check,
    ("POST", "/jobs"): FakeManager.submit,
    ("GET", f"/jobs/{ID}"): lambda m, _, job: Reply(200, m.known(job)),
    ("DELETE", f"/jobs/{ID}"): FakeManager.delete,
    ("GET", f"/jobs/{ID}/tasks"): lambda m, _, job: Reply(200, {"tasks": m.tasks[m.known(job)["id"]]}),
    ("POST", f"/jobs/{ID}/setstatus"): FakeManager.set_status,
    ("GET", f"/tasks/{ID}/logtail"): FakeManager.tail,
}


@contextlib.contextmanager
def serving(manager: FakeManager) -> Iterator[FakeManager]:
    """Let it answer on a port of its own, until the end."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.removeprefix("/api/v3")
            reply = manager.reply(self.command, path, body, self.headers.get("Content-Type", ""))
            data = reply.data
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):  # a client that has had enough
                self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 (the names that http.server calls)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        manager.url = f"http://127.0.0.1:{server.server_port}"
        yield manager
        server.shutdown()


def submitted(fake: FakeManager, *shots: SubmittedShot) -> tuple[Manager, str, Submission]:
    """A client, and the id of a job that it has just sent with these shots."""
    manager, wanted = Manager(fake.url), order(*shots)
    return manager, manager.submit(job_of(wanted, manager.job_type())), wanted.submission
