"""Take folders: what a render leaves behind, at every moment true. Knows neither models nor HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import (
    TAKE_FILE,
    TAKE_PREFIX,
    Alpha,
    Extra,
    Mode,
    Retake,
    Shot,
    Take,
    TakeState,
    WireError,
    claim_version,
    file_entry,
    version_name,
    versions,
    write_atomically,
)

from .ownership import disown, take_over, writing
from .pulse import Pulse

log = logging.getLogger(__name__)

PREVIEW_FILE = ".preview.png"
"""The newest look at what the model is making; hidden, because it is no part of the take."""

LAYERS = {Mode.REPLACE: ("character", "matte", "comp"), Mode.ANIMATE: ("generated",)}
"""The pictures that every take has; the last one is what its preview shows."""

_OVER_A_PLATE = (Extra.UNGRAINED, Extra.BACKGROUND, Extra.EFFECTS)
"""Those that only a composite has."""


def layers_of(shot: Shot) -> tuple[str, ...]:
    """The pictures of a take of `shot`: what was asked for, then what every take has."""
    own, finish = LAYERS[shot.mode], shot.settings.finish
    asked = [*finish.layers]
    if finish.alpha is Alpha.DIFFERENCE and Extra.BACKGROUND not in asked:
        asked.append(Extra.BACKGROUND)  # else nobody could put the comp together again
    if shot.mode is Mode.ANIMATE:
        asked = [extra for extra in asked if extra not in _OVER_A_PLATE]
    return (*(extra.value for extra in asked if extra not in own), *own)


class TakeFolder:
    """One take while it is made. `take.json` lists at every moment only what is there and complete."""

    def __init__(self, folder: Path, take: Take, earlier: tuple[str, ...] = ()) -> None:
        """`earlier` are the ways of execution by which an interrupted attempt made segments."""
        self.folder = folder
        self.pulse = Pulse(folder)
        """Beats while the take is made; what is written asks it whether the folder still is this process's."""
        self.take = take
        self.earlier = earlier

    @classmethod
    def claim(
        cls,
        takes: Path,
        shot: Shot,
        width: int,
        height: int,
        *,
        base: str = "",
        retake: Retake | None = None,
        ours: Path | None = None,
    ) -> TakeFolder:
        """The next version below `takes`, or the newest one when it is the interrupted take of the same export.

        `base` and `retake` are what the take will say; an interrupted one goes on only where it says the same. `ours`
        is a folder that this process has claimed for it already. Raises `BadInput` when `takes` cannot be written.
        """
        folder = ours or _unfinished(takes, shot, base, retake) or claim_version(takes, TAKE_PREFIX)
        _remove_parts(folder)
        interrupted = read_take(folder)
        take = Take(
            shot=shot.name, strip=shot.strip, version=int(folder.name.removeprefix(TAKE_PREFIX)), export=shot.hash,
            base=base, retake=retake, state=TakeState.PARTIAL, mode=shot.mode, first=shot.numbers[0],
            last=shot.numbers[-1], cut_in=shot.cut_in, cut_out=shot.cut_out, fps=shot.fps, width=width, height=height,
            layers=layers_of(shot), files={}, settings=shot.settings, provenance=shot.provenance,
        )  # fmt: skip
        made = cls(folder, take, executions(interrupted) if interrupted else ())
        with writing(folder):
            for layer in take.layers:
                (folder / layer).mkdir(exist_ok=True)
        made.note()
        return made

    def note(self, files: Iterable[str] = (), **changes: Any) -> None:
        """List `files`, which are complete, change fields of the take, and write `take.json`.

        Raises `Lost` where somebody else goes on with the take, `BadInput` where it cannot be written.
        """
        self.pulse.look()
        with writing(self.folder):
            listed = self.take.files | {path: file_entry(self.folder / path) for path in files}
            self.take = replace(self.take, files=listed, **changes)
            write_atomically(self.folder / TAKE_FILE, self.take.dumps().encode())

    def complete(self, files: Iterable[str], **changes: Any) -> None:
        """The last call: the take is whole, and nobody's any more."""
        self.pulse.look()
        (self.folder / PREVIEW_FILE).unlink(missing_ok=True)
        self.take = completed(self.take)
        self.note(files, **changes)
        self.pulse.stop()
        disown(self.folder)

    def leave(self) -> None:
        """Called when its making ends, however it does: what is not whole is left to whoever goes on with it."""
        if self.take.state is TakeState.PARTIAL:
            self.pulse.release()


def executions(take: Take) -> tuple[str, ...]:
    """The ways by which segments of `take` were computed, each once."""
    return tuple(dict.fromkeys(segment.execution for segment in take.segments if segment.execution))


def completed(take: Take) -> Take:
    """What `take`, all of whose frames are there, says of itself in the end."""
    return replace(take, state=TakeState.COMPLETE, notes=(*take.notes, *_mixture(take)))


def _mixture(take: Take) -> tuple[str, ...]:
    """Says it when the take was not computed in one way: it differs by rounding from one that was."""
    ways = executions(take)
    return (f"mixed: its segments were computed by {'; by '.join(ways)}",) if len(ways) > 1 else ()


def read_take(folder: Path) -> Take | None:
    """`take.json` of `folder`; None when there is none that this version understands."""
    try:
        return Take.loads((folder / TAKE_FILE).read_bytes())
    except (OSError, WireError):
        return None


def newest_take(takes: Path) -> Path | None:
    """The folder of the highest version below `takes`."""
    numbers = versions(takes, TAKE_PREFIX)
    return takes / version_name(TAKE_PREFIX, numbers[-1]) if numbers else None


def _unfinished(takes: Path, shot: Shot, base: str, retake: Retake | None) -> Path | None:
    """The newest take when it is a partial one of this very work whose maker is gone; it is ours from then on."""
    folder = newest_take(takes)
    if not folder or is_whole(folder) or not is_of(folder, shot, base, retake) or not take_over(folder):
        return None
    return folder


def is_of(folder: Path, shot: Shot, base: str = "", retake: Retake | None = None) -> bool:
    """Whether `folder` is a take of this very work, or one whose maker has not said yet of what it is."""
    if not (folder / TAKE_FILE).exists():
        return True
    take = read_take(folder)
    if take is None:
        return False
    return (take.export, take.settings, take.base, take.retake) == (shot.hash, shot.settings, base, retake)


def is_whole(folder: Path) -> bool:
    """Whether `folder` is a complete take."""
    take = read_take(folder)
    return take is not None and take.state is TakeState.COMPLETE


def _remove_parts(folder: Path) -> None:
    """Remove what a killed process left unfinished in a folder that is ours."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)
