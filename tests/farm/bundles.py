"""Submissions without a Blender, and job bundles read as OpenJD's own library reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from openjd.model import DocumentType, JobTemplate, decode_job_template, document_string_to_object

from wan_animate_blender import wire
from wan_animate_blender.farm import openjd
from wan_animate_blender.farm.submission import Submission, SubmittedShot

SHOTS = PurePosixPath("/jobs/ridge/shots")
FOLDER = SHOTS / "farm" / "f001"
OPTIONS = openjd.Options(shots=SHOTS, result=FOLDER / "edit_takes.blend")

SHOT = SubmittedShot(
    folder="SH010/e001", scene="Edit", strip="plate", uid="one", person="Ann", mode=wire.Mode.REPLACE,
    model="wan-animate-14b", precision=wire.Precision.BF16, frames=200, width=1920, height=1080,
)  # fmt: skip


def named(name: str, **changes: Any) -> SubmittedShot:
    """The shot `name`, as its first export."""
    return replace(SHOT, folder=f"{name}/e001", uid=name, **changes)


def submission(shots: Iterable[SubmittedShot], **changes: Any) -> Submission:
    plain = Submission(name="edit f001", file="edit.blend", blender="4.5.3", shots=tuple(shots))
    return replace(plain, **changes)


def many(count: int) -> Submission:
    """Shots one after the other; every fifth stands in front of the one before it."""
    names = [f"SH{10 * number:05d}" for number in range(1, count + 1)]
    bases = ["" if number % 5 else f"{names[number - 2]}/e001" for number in range(1, count + 1)]
    return submission(named(name, base=base) for name, base in zip(names, bases, strict=True))


def decoded(template: dict[str, Any]) -> JobTemplate:
    """As a farm reads the file's text, without any extension. Raises for what the specification does not allow."""
    return decode_job_template(template=document_string_to_object(document=json.dumps(template), document_type=JSON))


JSON = DocumentType.JSON


def graph(template: dict[str, Any]) -> dict[str, tuple[list[dict[str, str]], list[str]]]:
    """Of each step its tasks' values and the steps that it waits for."""
    found = {}
    for step in template["steps"]:
        columns = step.get("parameterSpace", {}).get("taskParameterDefinitions", [])
        rows = zip(*(column["range"] for column in columns), strict=True)
        tasks = [dict(zip((column["name"] for column in columns), row, strict=True)) for row in rows]
        found[step["name"]] = tasks, [one["dependsOn"] for one in step.get("dependencies", [])]
    return found


def written(folder: Path, shots: Iterable[SubmittedShot], options: openjd.Options | None = None) -> Path:
    """A bundle below `folder`; returns its own folder."""
    bundle = folder / "shots" / "farm" / "f001"
    bundle.mkdir(parents=True)
    asked = submission(shots)
    (bundle / "submission.json").write_text(asked.dumps(), encoding="utf-8")
    chosen = options or openjd.Options(shots=folder / "shots", result=bundle / "edit_takes.blend", device="cpu")
    openjd.write(asked, bundle, chosen)
    return bundle


def step(template: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in template["steps"] if one["name"] == name]
    return dict(found)


def parameter(bundle: dict[str, Any], name: str) -> Any:
    (found,) = [one["value"] for one in bundle["parameterValues"] if one["name"] == name]
    return found
