"""What a report says of a take: all that it says of itself, and what was measured or looked up. Knows no HTML."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from wan_animate_blender.wire import FileEntry, Message, Settings, Shot, Take, assignments

from ..installed import RELIGHT
from ..library import LORA, LORAS, UNKNOWN_LICENCE, ManifestFile, manifests
from .plate import PlateError
from .pose import PoseError

EXPORT = "EXPORT"
"""Stands for the export's folder, which may lie elsewhere under another number by now."""


@dataclass(frozen=True, kw_only=True)
class UsedModel(Message):
    """A file of weights that made the take."""

    name: str
    sha256: str
    licence: str
    """Its SPDX name, where a manifest knows the file."""
    terms: str = ""
    """What the licence asks, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Report(Message):
    """`report.json`."""

    schema: int = 1
    take: Take
    """As `take.json`, but for the report's own files."""
    recipe: str
    """`Take.recipe`."""
    command: str
    """That makes the same pictures again of the export whose hash the take names."""
    plate_error: PlateError | None
    pose_error: PoseError | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Figures that are nothing here, and why."""
    models: tuple[UsedModel, ...]
    inputs: dict[str, FileEntry]
    """The files of the export."""
    changed: tuple[str, ...] = ()
    """Files that are not there as the take lists them, when that was looked at."""
    written: float
    """When the report was, in seconds since 1970."""

    def wrongs(self) -> tuple[str, ...]:
        """A sentence for everything that is not as it must be."""
        lost = f"{len(self.changed)} files are not as the take lists them, {min(self.changed, default='')} first; "
        advice = "fetch the take again or render it again"
        return (*((lost + advice,) if self.changed else ()), *(self.plate_error.notes() if self.plate_error else ()))


def facts(
    take: Take, exported: Shot, plate: PlateError | None, pose: PoseError | str, written: float,
    changed: tuple[str, ...] = (),
) -> Report:  # fmt: skip
    """All that is to be said of `take`, whose files were looked at; `exported` is what its export says of itself.

    `pose` is the error or why there is none.
    """
    return Report(
        take=take, recipe=take.recipe, command=command(take, exported.settings), plate_error=plate,
        pose_error=None if isinstance(pose, str) else pose, unmeasured=_unmeasured(take, plate, pose),
        models=tuple(_models(take)), inputs=dict(exported.files), changed=changed, written=written,
    )  # fmt: skip


def command(take: Take, exported: Settings) -> str:
    """The command line that renders the same again of an export with the settings `exported`."""
    words = ["wan-animate", "render", EXPORT]
    if take.retake:
        words += ["--retake", f"{take.retake.first}-{take.retake.last}"]
        words += [] if take.retake.seed is None else ["--seed", str(take.retake.seed)]
    elif take.base:
        words.append("--extend")
    words += ["--base", take.base] if take.base else []
    for assignment in assignments(exported, take.settings):
        words += ["--set", assignment]
    return shlex.join(words)


def _unmeasured(take: Take, plate: PlateError | None, pose: PoseError | str) -> dict[str, str]:
    said = {"pose_error": pose} if isinstance(pose, str) else {}
    if plate is None:
        said["plate_error"] = "the take has no comp: what was made stands on a background of its own"
    if not take.clipped.samples:
        said["clipped"] = "there is no scene-linear plate, and nothing else is clipped"
    if take.peak_memory is None:
        said["peak_memory"] = "it is counted on graphics cards only"
    return said


def _models(take: Take) -> list[UsedModel]:
    known = manifests().get(take.settings.model)
    files = {_name(file): file for file in known.files} if known else {}
    terms = known.terms if known else {}
    return [_model(name, sha256, files.get(name), terms) for name, sha256 in take.models.items()]


def _model(name: str, sha256: str, file: ManifestFile | None, terms: Mapping[str, str]) -> UsedModel:
    if file is None:
        return UsedModel(name=name, sha256=sha256, licence=UNKNOWN_LICENCE)
    return UsedModel(name=name, sha256=sha256, licence=file.licence, terms=terms.get(file.licence, ""))


def _name(file: ManifestFile) -> str:
    """What a take calls a file of a manifest: LoRAs go by their own names."""
    return f"{LORAS}/{PurePosixPath(file.path).stem}" if file.part in (RELIGHT, LORA) else file.path
