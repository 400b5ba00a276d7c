"""A file and its marked strips become a submission: looked at first, then whole or not there. Knows no engine."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from .. import checks, commission, headless, plate, preferences
from ..wire import (
    EXPORT_PREFIX,
    OWNER_FILE,
    BadInput,
    Mode,
    Problem,
    claim_version,
    version_name,
    versions,
    write_atomically,
)
from . import assets, collecting, estimates, inventory, reservation
from .estimates import Estimate
from .submission import FOLDER, PREFIX, SUBMISSION_FILE, Asset, Submission, SubmittedShot

log = logging.getLogger(__name__)

BYTES_A_PIXEL = 16
"""Of export and take, roughly: plate, matte, face, character, matte and comp in 8 bits, packed as noise is."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants to submit."""

    root: Path
    """Folder of all shots, absolute."""
    strips: tuple[str, ...] = ()
    """Names; () is all that are marked."""
    scene: str = ""
    """Name of the one that they are in; empty is any."""
    edit: bool = False
    """Whether the edit is to be rendered there, so that all that it shows has to travel."""
    gpu_memory: int | None = None
    """Bytes that each render needs on one device, where somebody knows; None asks the server."""
    allow_missing: bool = False


Send = Callable[[Submission, Path], object]
"""Hands a submission in its folder to an engine, or writes there what the engine wants."""


def estimator() -> Estimate:
    """The server of the preferences, where it may be asked; it is not asked yet."""
    try:
        return estimates.of(preferences.chosen_server())
    except Problem as problem:
        log.warning("no estimate: %s", problem)
        return estimates.unknown


def _nowhere(submission: Submission, folder: Path) -> None:
    """It stays where it is."""


def look(wish: Wish, estimate: Estimate = estimates.unknown) -> Submission:
    """What would be submitted now, with all that travels and what is missing. Writes nothing, reserves nothing.

    Strips get their identities and the names of their shots. Raises `BadInput` for what no farm could make.
    """
    asked = collecting.collect(wish.root, wish.strips, wish.scene)
    for people in asked:
        checks.check_all(people)
    shots = tuple(estimate(one.settings, shot) for one, shot in _shots(asked, wish))
    needs = assets.needs([one for people in asked for one in people], edit=wish.edit)
    return Submission(
        name=f"{_stem()} {_next(wish.root / FOLDER, PREFIX)}",
        file=f"{_stem()}.blend",
        blender=bpy.app.version_string.split()[0],
        shots=shots,
        assets=inventory.taken(needs),
    )


def expect_all(submission: Submission, wish: Wish) -> None:
    """Raise `BadInput` with what is missing, unless that was allowed."""
    if submission.missing and not wish.allow_missing:
        more = f" and {len(submission.missing) - 1} more" if len(submission.missing) > 1 else ""
        raise BadInput(f"{submission.missing[0]}{more}; restore or relink them, or allow missing files")


def submit(wish: Wish, submission: Submission, send: Send = _nowhere) -> Path:
    """Make the folder of a `submission` that was just looked at, with a copy of the file as it is in memory.

    Returns it, `<root>/farm/f001`. Versions of exports are reserved, and `send` hands it to an engine; when that or
    anything else goes wrong, all of it goes away again. Raises `BadInput`, also while something is missing and that was
    not allowed.
    """
    expect_all(submission, wish)
    with _reserved(wish.root, submission) as (folder, submission):
        _save_copy(folder / submission.file)
        submission = replace(submission, assets=_with_cache(submission.assets, folder / submission.file))
        write_atomically(folder / SUBMISSION_FILE, submission.dumps().encode())
        send(submission, folder)
    return folder


def take_back(root: Path, folder: Path, submission: Submission) -> None:
    """Undo a submission that nobody took, as if it had never been made."""
    _give_up(root, folder, [shot.folder for shot in submission.shots])


# --- what is asked for --------------------------------------------------------------------------------


def _shots(
    asked: Sequence[Sequence[commission.Request]], wish: Wish
) -> Iterator[tuple[commission.Request, SubmittedShot]]:  # fmt: skip
    for people in asked:
        behind = ""
        for one in people:
            shot = _shot(one, behind, wish)
            behind = shot.folder if one.mode is Mode.REPLACE else ""
            yield one, shot


def _shot(one: commission.Request, behind: str, wish: Wish) -> SubmittedShot:
    raster = plate.raster(one.scene, one.strip, one.raster)
    frames = len(commission.frame_table(one)[0])
    return SubmittedShot(
        folder=f"{one.name}/{_next(wish.root / one.name, EXPORT_PREFIX)}",
        scene=one.scene.name,
        strip=one.strip.name,
        uid=one.uid,
        person=one.person,
        base=behind,
        mode=one.mode,
        model=one.settings.model,
        precision=one.settings.precision,
        frames=frames,
        width=raster.width,
        height=raster.height,
        gpu_memory=wish.gpu_memory,
        disk=BYTES_A_PIXEL * raster.width * raster.height * frames,
    )


def _next(parent: Path, prefix: str) -> str:
    return version_name(prefix, max(versions(parent, prefix), default=0) + 1)


def _stem() -> str:
    return Path(bpy.data.filepath).stem or "untitled"


# --- what is written ------------------------------------------------------------------------------


@contextlib.contextmanager
def _reserved(root: Path, submission: Submission) -> Iterator[tuple[Path, Submission]]:
    """A folder for `submission`, which from now on has versions that nobody else gets; neither is left on failure."""
    folder = claim_version(root / FOLDER, PREFIX)
    names, is_whole = {"": ""}, False
    try:
        for shot in submission.shots:
            names[shot.folder] = reservation.reserve(root, shot.name)
        shots = tuple(replace(one, folder=names[one.folder], base=names[one.base]) for one in submission.shots)
        yield folder, replace(submission, name=f"{_stem()} {folder.name}", shots=shots)
        (folder / OWNER_FILE).unlink()
        is_whole = True
    finally:
        if not is_whole:
            _give_up(root, folder, [name for name in names.values() if name])


def _give_up(root: Path, folder: Path, reserved: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name in reserved:
        reservation.give_up(root, name)
    with contextlib.suppress(OSError):  # other submissions are there
        folder.parent.rmdir()


def _save_copy(file: Path) -> None:
    """With the cache of its simulations, which Blender looks for beside a file of its name."""
    with _moved(file.parent):
        headless.save_copy(file)
    if cache := assets.disk_cache():
        try:
            shutil.copytree(cache, _cache_of(file), copy_function=_link)
        except OSError as error:
            raise BadInput(f"cannot copy {cache} to {file.parent} ({error}); make room there") from error


def _cache_of(file: Path) -> Path:
    return file.with_name(f"blendcache_{file.stem}")


def _with_cache(found: Sequence[Asset], file: Path) -> tuple[Asset, ...]:
    """The cache that travels is the copy's."""
    cache = str(assets.disk_cache())
    return tuple(replace(one, path=str(_cache_of(file))) if one.path == cache else one for one in found)


def _link(source: str, target: str) -> None:
    """Caches are large, and never changed where they are."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _moved(folder: Path) -> Iterator[None]:
    """Let paths that Blender forgets when it saves a copy elsewhere be right in `folder`, and as before afterwards.

    Those are the caches of simulations in folders of a person's choice, and bakes of nodes.
    """
    kept = [(cache, "filepath") for owner, cache in assets.point_caches() if cache.use_external and not owner.library]
    things = [thing for thing in bpy.data.objects if not thing.library]
    kept += [(one, "bake_directory") for thing in things for one in thing.modifiers if one.type == "NODES"]
    before = [(holder, name, getattr(holder, name)) for holder, name in kept]
    try:
        for holder, name, path in before:
            if path.startswith("//") and bpy.data.filepath:
                setattr(holder, name, bpy.path.relpath(bpy.path.abspath(path), start=str(folder)))
        yield
    finally:
        for holder, name, path in before:
            setattr(holder, name, path)
