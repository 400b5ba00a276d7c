"""The verb `submit`: marked strips become a submission, an engine gets it, and what was found out is said. Thin."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy

from .. import preferences
from ..headless import Tell, save
from ..wire import BadInput
from . import collecting, flamenco, openjd, outlook, sending, verbs
from .submission import FOLDER, SUBMISSION_FILE, Engine, Sent, Submission
from .submit import Send, Wish, estimator, expect_all, look, submit, take_back

GIB = 2**30

ENGINES = (Engine.OPENJD.value, Engine.FLAMENCO.value)
"""Those that need no window to follow them."""


def _nothing(*_: object) -> tuple[str, ...]:
    """Where an engine wants nothing of that."""
    return ()


@dataclass(frozen=True)
class _Way:
    """How a submission goes to an engine."""

    write: Send = _nothing
    """What the engine wants in the folder; when that fails there is no submission."""
    queue: Send = _nothing
    """Afterwards; when it is refused there is none either, but one that got no answer may be queued."""
    advise: Callable[[Submission, Path], tuple[str, ...]] = _nothing
    """What will not run there, or not well."""


def submit_marked(arguments: argparse.Namespace, root: Path, tell: Tell) -> None:
    """Submit all marked strips, or those of `arguments.strip`; with `dry_run` only say what that would be."""
    way = _WAYS[Engine(arguments.engine)](arguments, root)  # an engine that is not there is found out first
    wish, before = _wish(arguments, root), _marks()
    submission = look(wish, estimator())
    advice = way.advise(submission, root / FOLDER / submission.name.rpartition(" ")[2])
    if arguments.dry_run:
        _say(submission, advice)
    expect_all(submission, wish)
    if arguments.dry_run:
        return
    if bpy.data.filepath and _marks() != before:  # else takes would not find their strips in the file
        save()
    folder = submit(wish, submission, way.write)
    submission = verbs.read(folder / SUBMISSION_FILE)
    try:
        way.queue(submission, folder)
    except BadInput:
        take_back(root, folder, submission)
        raise
    said = f"{len(submission.shots)} shots are in {folder}"
    tell("done", submission=str(folder), advice=advice, message="; ".join((said, *advice)))


def _wish(arguments: argparse.Namespace, root: Path) -> Wish:
    return Wish(
        root=root,
        strips=tuple(arguments.strip or ()),
        edit=arguments.render_edit is not None,
        gpu_memory=None if arguments.gpu_memory is None else round(arguments.gpu_memory * GIB),
        allow_missing=arguments.allow_missing,
    )


def _marks() -> list[tuple[str, ...]]:
    """What marking strips changes in the file."""
    strips = [strip.wan_animate for _, strip in collecting.marked()]
    return [(ours.uid, ours.home, ours.shot, *(person.shot for person in ours.people)) for ours in strips]


def _say(submission: Submission, advice: tuple[str, ...]) -> None:
    """The preflight as one line of JSON: the submission as it would be, and what has to be known of it."""
    said = {
        "submission": submission.to_json(),
        "files": sum(one.files for one in submission.assets),
        "size": sum(one.size for one in submission.assets),
        "missing": submission.missing,
        "advice": advice,
    }
    sys.stdout.write(f"\n{json.dumps(said)}\n")
    sys.stdout.flush()


def _openjd(arguments: argparse.Namespace, root: Path) -> _Way:
    """A job bundle in the submission's folder, and another copy of it where `--to` says."""
    target = None if arguments.to is None else Path(arguments.to).resolve()
    if target and (target / openjd.TEMPLATE_FILE).exists():
        raise BadInput(f"{target} holds a job bundle already; choose an empty folder")

    def write(submission: Submission, folder: Path) -> None:
        chunk = {} if arguments.chunk is None else {"chunk": arguments.chunk}
        edit = arguments.render_edit and arguments.render_edit.resolve()
        result = _result(arguments, submission, folder)
        options = openjd.Options(shots=root, result=result, edit=edit, device=arguments.device, **chunk)
        openjd.write(submission, folder, options)
        sending.note(Sent(engine=Engine.OPENJD), folder)
        if target:
            _copy(folder, target)

    return _Way(write)


def _copy(folder: Path, target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in (openjd.VALUES_FILE, openjd.REFERENCES_FILE, openjd.TEMPLATE_FILE):
            shutil.copyfile(folder / name, target / name)
    except OSError as error:
        raise BadInput(
            f"cannot write the job bundle to {target} ({error.strerror or error}); choose another"
        ) from error


def _flamenco(arguments: argparse.Namespace, _: Path) -> _Way:
    """A job for the Manager at `--to`, else at the address of the preferences."""
    if arguments.chunk is not None:
        raise BadInput("--chunk goes with --engine openjd; Flamenco has tasks of its own for each shot")
    url = arguments.to or preferences.chosen_manager()
    if not url:
        raise BadInput("no Flamenco Manager is chosen; give its address by --to, such as http://manager:8080")
    preferences.expect_allowed(url)
    manager = flamenco.Manager(url)
    farm = outlook.look(manager)

    def order(submission: Submission, folder: Path) -> flamenco.Order:
        edit = arguments.render_edit and arguments.render_edit.resolve()
        return flamenco.Order(
            submission=submission, folder=folder, device=arguments.device, render_edit=edit,
            save_as=_result(arguments, submission, folder),
        )  # fmt: skip

    return _Way(
        queue=lambda submission, folder: sending.note(flamenco.send(manager, order(submission, folder)), folder),
        advise=lambda submission, folder: outlook.advice(farm, order(submission, folder)),
    )


def _result(arguments: argparse.Namespace, submission: Submission, folder: Path) -> Path:
    """The .blend that the farm saves with all takes in it."""
    if arguments.save_as:
        return Path(arguments.save_as.resolve())
    return folder / f"{Path(submission.file).stem}_takes.blend"


_WAYS = {Engine.OPENJD: _openjd, Engine.FLAMENCO: _flamenco}
