"""A small Flamenco Worker: takes tasks of its types from the small Manager, runs their commands as the real one does.

internal/worker of Flamenco: `blender-render` is `{exe} {exeArgs} {argsBefore} {blendfile} {args}`, `exec` is
`{exe} {args}`; no shell, standard error with standard output, each line into the log behind "pid=… > ".
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .manager import FakeManager


@dataclass
class Labourer:
    fake: FakeManager
    task_types: tuple[str, ...]
    variables: Mapping[str, str]
    """What the Manager puts in place of {names} for it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    """Names of the tasks that it took, in their order."""

    def work(self, job: str) -> None:
        """Take tasks until there is none that it could do."""
        while (task := self._next(job)) is not None:
            self.ran.append(task["name"])
            self.fake.stand(task["name"], "active")
            log: list[str] = []
            code = next((code for command in task["commands"] if (code := self._run(command, log))), 0)
            self.fake.stand(task["name"], "failed" if code else "completed", *log)

    def _next(self, job: str) -> dict[str, Any] | None:
        tasks = self.fake.tasks[job]
        done = {task["name"] for task in tasks if task["status"] == "completed"}
        mine = [task for task in tasks if task["status"] == "queued" and task["task_type"] in self.task_types]
        return next((task for task in mine if set(task["after"]) <= done), None)

    def _run(self, command: dict[str, Any], log: list[str]) -> int:
        given = {key: self._expanded(value) for key, value in command["parameters"].items()}
        before = [*shlex.split(given.get("exeArgs", "")), *given.get("argsBefore", [])]
        file = [given["blendfile"]] if "blendfile" in given else []
        words = [given["exe"], *before, *file, *given["args"]]
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, cwd=Path.cwd().anchor, check=False, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log += done.stdout.splitlines()
        return done.returncode

    def _expanded(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._expanded(one) for one in value]
        for name, variable in self.variables.items():
            value = value.replace("{" + name + "}", variable)
        return value
