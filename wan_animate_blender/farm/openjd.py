"""A submission as a job bundle: OpenJD's template, its values, the files it reads. Knows neither bpy nor any one farm.

Written for the base of the specification, jobtemplate-2023-09, without extensions, so that every farm that speaks
OpenJD takes it (https://github.com/OpenJobDescription/openjd-specifications/wiki/2023-09-Template-Schemas); hence
amounts of memory are literal numbers and shots are literal lists. The three files are those of
https://docs.aws.amazon.com/deadline-cloud/latest/developerguide/build-job-bundle.html. No line passes through a shell.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .. import wire
from .submission import SUBMISSION_FILE, Asset, Submission, SubmittedShot

TEMPLATE_FILE = "template.json"
VALUES_FILE = "parameter_values.json"
REFERENCES_FILE = "asset_references.json"

IMPORT_STEP = "Import"

MOST_VALUES = 1024
"""Of a task parameter, by the specification."""
LONGEST_VALUE = 1024
"""Characters of a job parameter's value, by the specification."""
LONGEST_NAME = 128
"""Characters of a job's name, by the specification."""

FLUSH_SECONDS = 30
"""From SIGTERM to SIGKILL: three times what a render takes to put its state on the disk."""
EXPORT_SECONDS, IMPORT_SECONDS, ENTER_SECONDS, EXIT_SECONDS = 4 * 3600, 24 * 3600, 1800, 120
SHORTEST_RENDER, SLOWNESS = 6 * 3600, 10
"""A render is ended only when it takes longer than this, and this many times longer than was expected."""

BLENDER_NEEDS = {"amount.worker.vcpu": 2, "amount.worker.memory": 4096}
RENDER_NEEDS = {"amount.worker.vcpu": 2, "amount.worker.memory": 8192}
"""MiB of the host: a 4K render has 2.2 GB beside its weights, which are mapped from their files (performance.md)."""

_SYSTEMS = {"cuda": ["linux", "windows"]}
"""Where a device exists, unless everywhere."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a bundle's job reads and writes, with what, and how it is cut into steps."""

    shots: PurePath
    """Folder of all shots, absolute."""
    result: PurePath
    """The .blend that the import saves: the submitted one with its takes."""
    edit: PurePath | None = None
    """Folder for the finished edit's frames; None renders none."""
    blender: str = "blender"
    wan_animate: str = "wan-animate"
    device: str = "cuda"
    chunk: int = 10
    """Shots of a pair of steps at most: these share one warm model, and wait for each other."""

    def __post_init__(self) -> None:
        if not 1 <= self.chunk <= MOST_VALUES:
            raise wire.BadInput(f"the chunk is {self.chunk} shots, expected 1 to {MOST_VALUES}; 10 suits most farms")


@dataclass(frozen=True)
class Chunk:
    """Shots that one pair of steps exports and renders: of one model, one need of memory and one depth of base."""

    number: int
    shots: tuple[SubmittedShot, ...]

    @property
    def export(self) -> str:
        return f"Export_{self.number:03d}"

    @property
    def render(self) -> str:
        return f"Render_{self.number:03d}"

    @property
    def steps(self) -> tuple[str, str]:
        """All that whoever reads a take has to wait for: job attachments bring what steps have made that are named."""
        return self.export, self.render

    @property
    def memory(self) -> int | None:
        """MiB of one device that each render needs, rounded up; None where nobody could say."""
        return _mebibytes(self.shots[0].gpu_memory)

    @property
    def in_words(self) -> str:
        names = [shot.name for shot in self.shots]
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{_count(self.shots)}: {listed}"


def write(submission: Submission, folder: Path, options: Options) -> None:
    """Put the three files into the submission's `folder`, each whole or not at all.

    Raises `BadInput` for a path or a name that the specification has no room for, or that cannot be written.
    """
    files = {
        VALUES_FILE: values(submission, folder, options),
        REFERENCES_FILE: references(submission, folder, options),
        TEMPLATE_FILE: template(submission, options),  # last: whoever sees it sees the bundle
    }
    try:
        for name, content in files.items():
            wire.write_atomically(folder / name, json.dumps(content, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise wire.BadInput(
            f"cannot write the bundle to {folder} ({error.strerror or error}); choose a folder that you may write to"
        ) from error


# --- what is run ----------------------------------------------------------------------------------


def template(submission: Submission, options: Options) -> Json:
    """The job: a pair of steps for each chunk of shots, and one that imports what all of them have made."""
    cut = chunks(submission, options.chunk)
    homes = {shot.folder: chunk for chunk in cut for shot in chunk.shots}
    steps = [step for chunk in cut for step in (_export(chunk, homes), _render(chunk, options))]
    what = _printable(f"{_count(submission.shots)} of {submission.file}, Blender {submission.blender}")
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": _job_name(submission.name),
        "description": f"Wan Animate: {what}. Every task can be run again: what is finished is not made twice.",
        "parameterDefinitions": _definitions(options),
        "steps": [*steps, _import(cut, options)],
    }


def chunks(submission: Submission, most: int) -> list[Chunk]:
    """All shots, in their order within each chunk; chunks of those behind come before chunks of those in front."""
    depths = {"": -1}
    alike: dict[tuple[int, int | None, str, str], list[SubmittedShot]] = {}
    for shot in submission.shots:
        depths[shot.folder] = depths[shot.base] + 1
        kind = (depths[shot.folder], _mebibytes(shot.gpu_memory), shot.model, shot.precision.value)
        alike.setdefault(kind, []).append(shot)
    ordered = sorted(alike.items(), key=lambda item: item[0][0])
    cut = [tuple(shots[at : at + most]) for _, shots in ordered for at in range(0, len(shots), most)]
    return [Chunk(number, shots) for number, shots in enumerate(cut, 1)]


def _count(shots: Sequence[SubmittedShot]) -> str:
    return f"{len(shots)} shot{'s' * (len(shots) > 1)}"


def _mebibytes(size: int | None) -> int | None:
    return None if size is None else -(-size // 2**20)


def _export(chunk: Chunk, homes: dict[str, Chunk]) -> Json:
    bases = {homes[shot.base] for shot in chunk.shots if shot.base}
    behind = sorted(step for base in bases for step in base.steps)
    base = ["--base", "{{Task.Param.Base}}"] if behind else []
    shot = ["--shot", "{{Task.Param.Shot}}", "--out", "{{Param.Shots}}"]
    return {
        "name": chunk.export,
        "description": f"Blender writes plate, skeleton and matte of {chunk.in_words}",
        **_depending(behind),
        "parameterSpace": _space(chunk, bases=bool(behind)),
        "hostRequirements": _needs(BLENDER_NEEDS),
        "script": _script(_blender("export", *shot, *base), EXPORT_SECONDS),
    }


def _render(chunk: Chunk, options: Options) -> Json:
    folder = "{{Param.Shots}}/{{Task.Param.Shot}}"
    line = ["{{Param.WanAnimate}}", "render", folder, "--resume", "--device", "{{Param.Device}}"]
    expected = max(shot.seconds or 0.0 for shot in chunk.shots)
    return {
        "name": chunk.render,
        "description": f"{_models(chunk)} renders {chunk.in_words}",
        **_depending([chunk.export]),
        "parameterSpace": _space(chunk, bases=False),
        "hostRequirements": _needs(RENDER_NEEDS | _gpu(chunk, options.device), _SYSTEMS.get(options.device)),
        "stepEnvironments": [_warm_model()],
        "script": _script([*line, "--progress", "openjd"], max(SHORTEST_RENDER, round(SLOWNESS * expected))),
    }


def _import(cut: list[Chunk], options: Options) -> Json:
    edit = ["--render-edit", "{{Param.EditFolder}}"] if options.edit else []
    line = ["--submission", "{{Param.Submission}}", "--out", "{{Param.Shots}}", "--save-as", "{{Param.ResultFile}}"]
    return {
        "name": IMPORT_STEP,
        "description": "Blender puts all takes on strips above their plates and saves the result beside the submission",
        **_depending([step for chunk in cut for step in chunk.steps]),
        "hostRequirements": _needs(BLENDER_NEEDS),
        "script": _script(_blender("import", *line, *edit), IMPORT_SECONDS),
    }


def _blender(verb: str, *words: str) -> list[str]:
    """Scripts may run, because rigs whose drivers are Python stand still without: who submits may run anything."""
    start = ["{{Param.Blender}}", "--enable-autoexec", "-b", "{{Param.SceneFile}}", "--python-exit-code", "3"]
    return [*start, "--command", "wan_animate", verb, *words, "--progress", "openjd"]


def _warm_model() -> Json:
    ready = ["--ready-file", "{{Session.WorkingDirectory}}/wan-animate.json"]
    begin = ["{{Param.WanAnimate}}", "serve", "--private", *ready, "--device", "{{Param.Device}}"]
    return {
        "name": "WarmModel",
        "description": "One server for all renders that this worker takes in a row: the weights are loaded once",
        "script": {
            "actions": {
                "onEnter": _action([*begin, "--root", "{{Param.Shots}}"], ENTER_SECONDS),
                "onExit": _action(["{{Param.WanAnimate}}", "serve", "--stop", *ready], EXIT_SECONDS),
            }
        },
    }


def _script(line: list[str], seconds: int) -> Json:
    return {"actions": {"onRun": _action(line, seconds)}}


def _action(line: list[str], seconds: int) -> Json:
    stop = {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": FLUSH_SECONDS}
    return {"command": line[0], "args": line[1:], "timeout": seconds, "cancelation": stop}


def _depending(steps: list[str]) -> Json:
    return {"dependencies": [{"dependsOn": step} for step in steps]} if steps else {}


def _space(chunk: Chunk, *, bases: bool) -> Json:
    columns = {"Shot": [shot.folder for shot in chunk.shots]}
    if bases:
        columns["Base"] = [shot.base for shot in chunk.shots]
    definitions = [{"name": name, "type": "STRING", "range": range_} for name, range_ in columns.items()]
    return {"taskParameterDefinitions": definitions, **({"combination": "(Shot, Base)"} if bases else {})}


def _needs(amounts: dict[str, int], systems: list[str] | None = None) -> Json:
    attributes = {"attributes": [{"name": "attr.worker.os.family", "anyOf": systems}]} if systems else {}
    return {"amounts": [{"name": name, "min": least} for name, least in amounts.items()], **attributes}


def _gpu(chunk: Chunk, device: str) -> dict[str, int]:
    if device == "cpu":
        return {}
    memory = {} if chunk.memory is None else {"amount.worker.gpu.memory": chunk.memory}
    return {"amount.worker.gpu": 1, **memory}


def _models(chunk: Chunk) -> str:
    first = chunk.shots[0]
    return f"{first.model} in {first.precision.value}"


# --- what a person may change ---------------------------------------------------------------------


def _definitions(options: Options) -> list[Json]:
    """Of the job's parameters, as a submitter's window shows them. Paths are typed, so that farms map them."""
    return [
        _path("SceneFile", "FILE", "IN", "Scene", "The .blend as it was submitted"),
        _path("Submission", "FILE", "IN", "Submission", "submission.json: which shots, from which strips"),
        _path("Shots", "DIRECTORY", "OUT", "Folder of all shots", "Exports and takes go below it, a folder a shot"),
        _path("ResultFile", "FILE", "OUT", "Result", "The .blend that is saved with all takes on strips"),
        *([_path("EditFolder", "DIRECTORY", "OUT", "Edit", "Where the edit's frames go")] if options.edit else []),
        _text("Blender", "Blender on the workers", options.blender, "With the add-on installed and enabled"),
        _text("WanAnimate", "wan-animate on the workers", options.wan_animate, "With the model's files beside it"),
        _text("Device", "Device", options.device, "cuda or cpu; what hosts must have was written for this one"),
    ]


def _text(name: str, label: str, default: str, description: str) -> Json:
    shown = {"control": "LINE_EDIT", "label": label}
    return {"name": name, "type": "STRING", "default": default, "description": description, "userInterface": shown}


def _path(name: str, kind: str, flow: str, label: str, description: str) -> Json:
    file = "CHOOSE_INPUT_FILE" if flow == "IN" else "CHOOSE_OUTPUT_FILE"
    shown = {"control": file if kind == "FILE" else "CHOOSE_DIRECTORY", "label": label}
    typed = {"name": name, "type": "PATH", "objectType": kind, "dataFlow": flow}
    return {**typed, "description": description, "userInterface": shown}


def values(submission: Submission, folder: PurePath, options: Options) -> Json:
    """What the parameters are for this submission, and how Deadline Cloud is to deal with tasks that fail.

    One shot's failure says nothing of the others', so that as many may fail as there are; and what a worker has
    refused twice, a third will refuse.
    """
    given = {
        "SceneFile": str(folder / submission.file),
        "Submission": str(folder / SUBMISSION_FILE),
        "Shots": str(options.shots),
        "ResultFile": str(options.result),
        **({"EditFolder": str(options.edit)} if options.edit else {}),
        "Blender": options.blender,
        "WanAnimate": options.wan_animate,
        "Device": options.device,
    }
    for name, value in given.items():
        if len(value) > LONGEST_VALUE or value != _printable(value):
            raise wire.BadInput(f"{name} is {wire.shown(value)}, expected at most {LONGEST_VALUE} printable characters")
    farm = {"deadline:maxFailedTasksCount": 2 * len(submission.shots) + 1, "deadline:maxRetriesPerTask": 2}
    return {"parameterValues": [{"name": name, "value": value} for name, value in {**given, **farm}.items()]}


def _job_name(name: str) -> str:
    """`name` as a job may be called: a pair of braces would be read as the beginning of an expression."""
    return re.sub(r"([{}])(?=\1)", r"\1 ", _printable(name)[:LONGEST_NAME])[:LONGEST_NAME] or "Wan Animate"


def _printable(text: str) -> str:
    """Without what OpenJD allows in no name: control characters, and halves of characters from odd file names."""
    whole = text.encode(errors="replace").decode()
    return "".join(sign for sign in whole if unicodedata.category(sign) != "Cc")


# --- what travels ---------------------------------------------------------------------------------


def references(submission: Submission, folder: PurePath, options: Options) -> Json:
    """The files that a farm without shared storage has to bring to its workers, and the folders it brings back."""
    found = [path for asset in submission.assets for path in _files(asset)]
    ours = [folder / submission.file, folder / SUBMISSION_FILE]
    back = [options.shots, options.result.parent, *([options.edit] if options.edit else [])]
    return {
        "assetReferences": {
            "inputs": {
                "filenames": sorted({str(path) for path in (*ours, *(p for p in found if not Path(p).is_dir()))}),
                "directories": sorted({str(path) for path in found if Path(path).is_dir()}),
            },
            "outputs": {"directories": sorted({str(path) for path in back})},
            "referencedPaths": [],
        }
    }


def _files(asset: Asset) -> Iterator[Path]:
    """Paths of those that are there; of a sequence only those of its own name, never its whole folder."""
    first = Path(asset.path)
    if asset.packed or not asset.files:
        return
    if asset.files == 1 or first.is_dir():
        yield first
        return
    numbered = re.compile(re.sub(r"[0-9]+(?=[^0-9]*$)", "[0-9]+", re.escape(first.name)))
    yield from (path for path in first.parent.iterdir() if numbered.fullmatch(path.name))
