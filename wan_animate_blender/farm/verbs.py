"""The verbs that a worker of a farm runs: `export --shot` and `import --submission`. Nothing is done twice.

Knows no engine: shots come by the names of their exports' folders, and only files tell how far they are.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from .. import checks, commission, export, identity, take, timeline
from ..headless import Tell, exporting, run, save, save_copy
from ..session import Cancelled
from ..wire import EXPORT_PREFIX, TAKE_FILE, BadInput, Unavailable, check_name, overridden
from . import collecting, edit, reservation, results
from .submission import Submission, SubmittedShot

IMPORTING = 0.1
"""Share of an import in the whole, where the edit is rendered afterwards."""


# --- export ---------------------------------------------------------------------------------------


def export_shot(arguments: argparse.Namespace, root: Path, tell: Tell) -> None:
    """Make the export `arguments.shot`, such as "SH010/e003", unless it is there."""
    folder = root / _checked(arguments.shot)
    asked = collecting.find(folder.parent.name, root)
    if shot := results.exported(folder):
        _expect_own(shot.strip, asked, folder)
        tell("done", export=str(folder), message=f"{arguments.shot} was exported before")
        return
    settings = overridden(asked.settings, arguments.set)
    asked = replace(asked, settings=settings, base=_base(arguments.base, root, arguments.shot))
    checks.check_all([asked])
    reservation.expect_free(folder)
    with reservation.making(folder) as part:
        run(exporting(_filled(asked, part), Cancelled()), tell)
    tell("done", export=str(folder), message=arguments.shot)


def _checked(shot: str) -> PurePosixPath:
    path = PurePosixPath(shot)
    if len(path.parts) != 2 or not re.fullmatch(rf"{EXPORT_PREFIX}[0-9]{{3,}}", path.name):
        raise BadInput(f"the shot is {shot!r}, expected one with its export, such as SH010/e003")
    check_name(path.parent.name)
    return path


def _expect_own(uid: str, asked: commission.Request, folder: Path) -> None:
    if uid != asked.uid:
        raise BadInput(
            f"{folder} was exported from another strip than {asked.strip.name!r}; submit the file again, "
            "or choose another folder of all shots"
        )


def _filled(asked: commission.Request, folder: Path) -> Generator[export.Progress, None, Path]:
    yield from export.fill(asked, folder)
    return folder


def _base(given: Path | None, root: Path, shot: str) -> Path | None:
    """The take that is the plate: `given` itself, or the newest of the export that it names."""
    if given is None or (given / TAKE_FILE).is_file():
        return given and given.resolve()
    found = results.newest(root / _checked(given.as_posix()))
    if found is None:
        raise Unavailable(f"{given.as_posix()} has no complete take yet, which is the plate of {shot}; render it first")
    return found


# --- import ---------------------------------------------------------------------------------------


def import_submission(arguments: argparse.Namespace, tell: Tell) -> None:
    """Import the newest complete take of each shot of `arguments.submission` that is there, and save.

    Raises `Unavailable` for those that are not, and `BadInput` for those that cannot be; after all others are saved.
    """
    submission = read(arguments.submission)
    root = arguments.out.resolve() if arguments.out else arguments.submission.resolve().parents[2]
    whole = IMPORTING if arguments.render_edit else 1.0
    strips: list[str] = []
    lacking: list[str] = []
    refused: list[str] = []
    for done, shot in enumerate(submission.shots, 1):
        try:
            strips += [one.name for one in _imported(shot, root)]
        except Unavailable:
            lacking.append(shot.folder)
        except BadInput as problem:
            refused.append(f"{shot.folder}: {problem}")
        tell("importing", progress=whole * done / len(submission.shots), message=shot.name)
    if arguments.save_as:
        save_copy(arguments.save_as.resolve())
    elif strips:
        save()
    _expect_all(submission, lacking, refused)
    if arguments.render_edit:
        _render_edit(submission, arguments.render_edit.resolve(), tell)
    tell("done", strips=strips, message=f"{len(submission.shots)} shots are in the edit, {len(strips)} strips are new")


def read(file: Path) -> Submission:
    """Raises `BadInput` for what is none."""
    try:
        return Submission.loads(file.read_bytes())
    except OSError as error:
        raise BadInput(
            f"cannot read the submission {file} ({error.strerror or error}); choose a submission.json"
        ) from error


def _imported(shot: SubmittedShot, root: Path) -> list[timeline.Strip]:
    """The new strips of a shot; [] when its take is in the edit already. Raises `Unavailable` without a take."""
    folder = results.newest(root / shot.folder)
    if folder is None:
        raise Unavailable(f"{shot.folder} has no complete take")
    found = identity.find(shot.uid)
    if found is None:
        raise BadInput(f"the file has no strip {shot.strip!r} that it was submitted from; open the submitted file")
    scene, _ = found
    name = take.name_of(take.read(folder))
    if name in [one.wan_animate.take for one in timeline.strips_all(scene.sequence_editor)]:
        return []
    return take.import_take(scene, folder)


def _expect_all(submission: Submission, lacking: list[str], refused: list[str]) -> None:
    """Raise what is said when not all of them are in the edit; all others are, and are saved."""
    count = len(submission.shots)
    others = f"the other {count - len(lacking) - len(refused)} of {count} shots are in the edit"
    missing = f"{len(lacking)} shots have no complete take yet, the first is {lacking[0]}" if lacking else ""
    if refused:
        more = f"; {missing}" if missing else ""
        raise BadInput(f"{len(refused)} shots cannot be imported, the first is {refused[0]}{more}; {others}")
    if missing:
        raise Unavailable(f"{missing}; {others}; render those that are missing and import again")


def _render_edit(submission: Submission, folder: Path, tell: Tell) -> None:
    """Render each scene of which a strip was submitted, whole."""
    scenes = list({found[0].name: found[0] for shot in submission.shots if (found := identity.find(shot.uid))}.values())
    for number, scene in enumerate(scenes):
        for share in edit.render(scene, folder / edit.folder_of(scene)):
            progress = IMPORTING + (1 - IMPORTING) * (number + share) / len(scenes)
            tell("rendering the edit", progress=progress, message=scene.name)
