"""Where reports lie: in a take when it is rendered, beside it when somebody asks later. Knows no figures.

Take folders are never written again, so a later report is a file of its own, as notes are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from wan_animate_blender.wire import (
    EXPORT_PREFIX,
    REPORT_FILE,
    BadInput,
    Shot,
    Take,
    TakeState,
    file_entry,
    version_name,
    versions,
    write_atomically,
)

from ..shot import LoadedShot, load, read
from ..take import read_take
from . import plate, pose
from .facts import Report, facts
from .paper import html
from .pictures import pairs, thumbnails

JSON_FILE = "report.json"


def write(folder: Path, take: Take, shot: LoadedShot, check: Callable[[], None]) -> Report:
    """Write both files into the folder of `take`, which was just rendered of `shot`.

    `check` is called for each frame and stops it by raising. Raises `BadInput` and `OSError`.
    """
    report = _facts(folder, take, shot, read(shot.folder), check)
    _write(report, folder, shot, folder / REPORT_FILE, folder / JSON_FILE)
    return report


def write_beside(folder: Path, export: Path | None = None) -> tuple[Path, Report]:
    """Write the report of the complete take in `folder` as it is now beside it, such as `takes/v001_report.html`.

    `export` is what it was rendered from, by default found beside `takes`. Returns the HTML file. Raises `BadInput`.
    """
    folder = folder.resolve()
    take = _complete(folder)
    shot = load(export or _export_of(folder, take))
    if shot.shot.hash != take.export:
        raise BadInput(f"{folder} was not rendered from {shot.folder}; give the export that it was rendered from")
    changed = tuple(path for path in take.files if not _is_as_listed(folder, take, path))
    report = _facts(folder, take, shot, shot.shot, lambda: None, changed)
    page, figures = (folder.with_name(f"{folder.name}_{name}") for name in (REPORT_FILE, JSON_FILE))
    try:
        _write(report, folder, shot, page, figures)
    except OSError as error:
        raise BadInput(f"cannot write {page} ({error.strerror or error}); make its folder writable") from error
    return page, report


def _facts(
    folder: Path, take: Take, shot: LoadedShot, exported: Shot, check: Callable[[], None],
    changed: tuple[str, ...] = (),
) -> Report:  # fmt: skip
    """With all that is measured on the files of `take` in `folder`."""
    touched = plate.measure(folder, take, shot, check)
    posed = pose.measure(folder, take, shot, check)
    return facts(take, exported, touched, posed, time.time(), changed)


def _write(report: Report, folder: Path, shot: LoadedShot, page: Path, figures: Path) -> None:
    take = report.take
    text = html(report, [*thumbnails(folder, take, shot)], [*pairs(folder, take, shot)])
    write_atomically(page, text.encode())
    write_atomically(figures, report.dumps().encode())


def _complete(folder: Path) -> Take:
    take = read_take(folder)
    if take is None or take.state is not TakeState.COMPLETE:
        raise BadInput(f"{folder} holds no complete take; give a folder such as SH010/takes/v001")
    return take


def _export_of(folder: Path, take: Take) -> Path:
    """The newest export beside the folder of takes that `take` was rendered from."""
    shots = folder.parents[1]
    for number in reversed(versions(shots, EXPORT_PREFIX)):
        found = shots / version_name(EXPORT_PREFIX, number)
        if _may_be(take, found):
            return found
    raise BadInput(f"the export of {folder} is not in {shots}; give its folder by --shot")


def _may_be(take: Take, export: Path) -> bool:
    try:
        return read(export).hash == take.export
    except BadInput:  # not written to its end, or by another version
        return False


def _is_as_listed(folder: Path, take: Take, path: str) -> bool:
    try:
        return file_entry(folder / path) == take.files[path]
    except OSError:
        return False
