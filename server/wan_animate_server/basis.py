"""The take that a new one is built upon: found, checked, known again frame by frame, copied. Knows no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from wan_animate_blender.wire import (
    TAKE_PREFIX,
    BadInput,
    Retake,
    SeamRecord,
    SegmentRecord,
    Shot,
    Take,
    TakeState,
    version_name,
    versions,
    write_atomically,
)

from .take import layers_of, read_take


@dataclass(frozen=True, eq=False)
class Basis:
    """A complete take, and where its frames lie in the new one."""

    folder: Path
    take: Take
    moved: int = 0
    """What its shot numbers are higher by in the new take."""

    @property
    def kept(self) -> range:
        """The shot numbers of its frames in the new take."""
        return range(self.take.first + self.moved, self.take.last + 1 + self.moved)

    @property
    def segments(self) -> tuple[SegmentRecord, ...]:
        """Its segments in the numbers of the new take."""
        return tuple(_moved(record, self.moved) for record in self.take.segments)

    @property
    def seams(self) -> tuple[SeamRecord, ...]:
        """Its joins in the numbers of the new take."""
        return tuple(replace(seam, frame=seam.frame + self.moved) for seam in self.take.seams)

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        return {layer: self.take.sequence(layer) for layer in self.take.layers}

    def copy(self, layer: str, number: int, to: Path) -> None:
        """Copy the file of frame `number` of the new take. Raises `BadInput` where it is not what the take lists."""
        path = self._paths[layer][number - self.kept.start]
        try:
            data = (self.folder / path).read_bytes()
        except OSError as error:
            raise BadInput(
                f"{path} of the take {self.folder} cannot be read ({error.strerror}); fetch it again"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.take.files[path].sha256:
            raise BadInput(
                f"{path} of the take {self.folder} is not what it lists; fetch the take again, or render anew"
            )
        try:
            write_atomically(to, data)
        except OSError as error:
            raise BadInput(f"cannot write {to} ({error.strerror or error}); make room there") from error


def find(takes: Path, base: Path | None) -> Basis:
    """The take in `base`, or the newest complete one below `takes`. Raises `BadInput`."""
    folder = base or newest_complete(takes)
    take = read_take(folder)
    if take is None:
        raise BadInput(f"there is no take in {folder} that this version can read; give the folder of one, such as v003")
    if take.state is not TakeState.COMPLETE:
        raise BadInput(f"the take {folder} is not complete; render it to its end first, or give another base")
    if not take.origins or not all(record.rendered for record in take.segments):
        raise BadInput(f"the take {folder} was made by a version that could not build on takes; render the shot anew")
    return Basis(folder, take)


def check_retake(basis: Basis, shot: Shot, retake: Retake, origins: tuple[str, ...]) -> None:
    """Raise `BadInput` where `retake` cannot be made upon `basis` of `shot`, whose frames have these `origins`."""
    if basis.take.export != shot.hash:
        raise BadInput(
            f"the take {basis.folder} was not rendered from this export of {shot.name}; give the export that it was "
            "rendered from, or --extend where this one only has more frames"
        )
    _check_settings(basis, shot)
    if basis.take.origins != origins:
        raise BadInput(
            f"this version would show the model other pictures of {shot.name} than that which made {basis.folder}; "
            "render the shot anew"
        )
    _check_layers(basis, shot)
    first, last = shot.numbers[0], shot.numbers[-1]
    if retake.first < first or retake.last > last:
        raise BadInput(
            f"{retake.first}-{retake.last} is not inside {first}-{last}, the frames of {shot.name}; give some of those"
        )


def extension(basis: Basis, shot: Shot, origins: Sequence[str]) -> Basis:
    """`basis` moved to where its frames lie in `shot`, whose frames have these `origins`. Raises `BadInput`."""
    take, old = basis.take, basis.take.origins
    _check_settings(basis, shot)
    _check_layers(basis, shot)
    places = (i for i in range(len(origins) - len(old) + 1) if tuple(origins[i : i + len(old)]) == old)
    if (place := next(places, None)) is None:
        raise BadInput(_unlike(basis, set(origins)))
    if len(origins) == len(old):
        raise BadInput(f"this export of {shot.name} has no frame that {basis.folder} lacks; trim the strip longer")
    return replace(basis, moved=shot.numbers[place] - take.first)


def _check_settings(basis: Basis, shot: Shot) -> None:
    if different := basis.take.settings.unlike(shot.settings):
        raise BadInput(
            f"the settings of {basis.folder} and of this render differ in {', '.join(different)}; give both the same"
        )


def _check_layers(basis: Basis, shot: Shot) -> None:
    if basis.take.layers != layers_of(shot):
        raise BadInput(
            f"the take {basis.folder} has the layers {', '.join(basis.take.layers)}, this version makes "
            f"{', '.join(layers_of(shot))} of {shot.name}; render the shot anew"
        )


def newest_complete(takes: Path) -> Path:
    """The folder of the highest version below `takes` that is complete. Raises `BadInput` when there is none."""
    folders = [takes / version_name(TAKE_PREFIX, number) for number in reversed(versions(takes, TAKE_PREFIX))]
    for folder in folders:
        if (take := read_take(folder)) and take.state is TakeState.COMPLETE:
            return folder
    raise BadInput(f"there is no complete take in {takes} to build upon; render the whole shot first")


def _unlike(basis: Basis, there: set[str]) -> str:
    """What is said where an export does not have all frames of the take as they were."""
    take = basis.take
    lacking = [take.first + i for i, origin in enumerate(take.origins) if origin not in there]
    if not lacking:
        return f"the frames of {basis.folder} are in another order in this export; render it anew"
    which = f"{len(lacking)} of its {len(take.origins)} frames, {lacking[0]} first,"
    return (
        f"this export does not have all of {basis.folder} as it was: {which} are gone or have another plate, pose, "
        "matte, face or character; trim the strip no shorter than it was, or render the export anew"
    )


def _moved(record: SegmentRecord, by: int) -> SegmentRecord:
    return replace(
        record, first=record.first + by, last=record.last + by, rendered=tuple(n + by for n in record.rendered),
        blend=record.blend and record.blend.moved(by),
    )  # fmt: skip
