"""The Flamenco job type in QuickJS, between the documented author API and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import quickjs

from wan_animate_blender.farm import flamenco


def engine() -> quickjs.Context:
    """A fresh one; only for the thread that asked for it."""
    context = quickjs.Context()
    context.eval(Path(__file__).with_name("author.js").read_text("utf-8"))
    context.eval(flamenco.SCRIPT.read_text("utf-8"))
    return context


def job_type() -> dict[str, Any]:
    """What the script says about itself."""
    said: dict[str, Any] = json.loads(engine().get("jobType")())
    return said


def tasks(chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """What compileJob makes of settings. Raises `quickjs.JSException` with what it throws."""
    made: list[dict[str, Any]] = json.loads(engine().get("compiled")(json.dumps(chosen)))
    return made
