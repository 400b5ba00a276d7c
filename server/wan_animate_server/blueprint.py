"""What a render makes and what it keeps: the whole shot, some frames of a take, or those that a take lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wan_animate_blender.wire import Retake, Shot

from . import basis as bases
from . import retake as parts
from .basis import Basis
from .segments import Part
from .signals import ShotSignals
from .take import TakeFolder


@dataclass(frozen=True, kw_only=True, eq=False)
class Blueprint:
    """The parts of a take before it is made."""

    signals: ShotSignals
    """What drives the shot: where `basis` has frames, through its windows."""
    first: int
    """Number of the shot's first frame; parts count from there."""
    origins: tuple[str, ...]
    """As `Take.origins`."""
    made: tuple[Part, ...]
    """To be rendered, in the order of their frames."""
    base: tuple[Part, ...] = ()
    """Those of `basis`, which are there."""
    basis: Basis | None = None
    retake: Retake | None = None

    def claim(self, takes: Path, shot: Shot, width: int, height: int, ours: Path | None = None) -> TakeFolder:
        """The folder of the take, `ours` if it is claimed already; it says what it is built upon. Raises `BadInput`."""
        if self.basis is None:
            take = TakeFolder.claim(takes, shot, width, height, ours=ours)
            take.note(origins=self.origins)
            return take
        take = TakeFolder.claim(takes, shot, width, height, base=self.basis.folder.name, retake=self.retake)
        take.note(
            origins=self.origins, segments=self.basis.segments, seams=self.basis.seams,
            belonging=self.basis.take.belonging,
        )  # fmt: skip
        return take

    def notes(self, models: Mapping[str, str]) -> tuple[str, ...]:
        """What a person must know of it whose new frames are made with the weights `models`."""
        said = [
            f"frame {self.first + frame} begins a segment that knew nothing of the frames before it; look at that join"
            for frame in parts.unguided((*self.base, *self.made))
        ]
        if self.basis and self.basis.take.models != models:
            said.append(f"the frames that were kept are of other weights; {self.basis.folder.name} names them")
        if self.basis and self.basis.moved:
            said.append(
                f"the files of frames that were kept are those of {self.basis.folder.name}, its numbers in them"
            )
        return tuple(said)


def whole(signals: ShotSignals) -> Blueprint:
    """Every frame of the shot."""
    shot = signals.shot.shot
    made = parts.whole(signals.frames, shot.settings)
    return Blueprint(signals=signals, first=shot.numbers[0], origins=_origins(signals), made=made)


def retake(signals: ShotSignals, basis: Basis, asked: Retake) -> Blueprint:
    """The frames of `asked`; the others are kept. Raises `BadInput`."""
    shot, origins = signals.shot.shot, _origins(signals)
    bases.check_retake(basis, shot, asked, origins)
    first = shot.numbers[0]
    base = _parts(basis, first)
    frames = range(asked.first - first, asked.last + 1 - first)
    seed = shot.settings.seed if asked.seed is None else asked.seed
    made = parts.retaken(base, frames, signals.frames, seed)
    signals = signals.going_on(basis.take.roi, range(signals.frames))
    return Blueprint(
        signals=signals, first=first, origins=origins, made=made, base=base, basis=basis, retake=asked
    )  # fmt: skip


def extension(signals: ShotSignals, basis: Basis) -> Blueprint:
    """The frames that `basis` lacks. Raises `BadInput`."""
    shot, origins = signals.shot.shot, _origins(signals)
    basis = bases.extension(basis, shot, origins)
    first = shot.numbers[0]
    base = _parts(basis, first)
    kept = range(basis.kept.start - first, basis.kept.stop - first)
    made = parts.extended(base, kept, signals.frames, shot.settings)
    signals = signals.going_on(basis.take.roi, kept)
    return Blueprint(signals=signals, first=first, origins=origins, made=made, base=base, basis=basis)


def _parts(basis: Basis, first: int) -> tuple[Part, ...]:
    return tuple(Part.of(record, first) for record in basis.segments)


def _origins(signals: ShotSignals) -> tuple[str, ...]:
    return tuple(map(signals.origin, range(signals.frames)))
