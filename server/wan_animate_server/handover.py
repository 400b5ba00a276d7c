"""Shot folders that lie on this machine already and are handed over instead of uploaded. Knows no HTTP and no job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wan_animate_blender.wire import SHOT_FILE, BadInput, Shot, check_path

from .shot import read


@dataclass(frozen=True)
class Handover:
    """The folders, links resolved, below which everything may be read."""

    roots: tuple[Path, ...] = ()

    @classmethod
    def below(cls, roots: Iterable[Path]) -> Self:
        """Raises `BadInput` for a root that is no folder."""
        found = []
        for root in roots:
            if not root.is_dir():
                raise BadInput(f"the root {root} is no folder; give one that is there with --root")
            found.append(root.resolve())
        return cls(tuple(found))

    def take(self, folder: str) -> tuple[Path, Shot]:
        """The export in `folder`, an absolute path, and what it says of itself.

        Raises `BadInput` when the folder, or a file that it names, lies or leads outside the roots, is not there or has
        another size than it says. Hashes are checked when the job begins, as those of every shot.
        """
        place = Path(folder)
        if "\0" in folder or not place.is_absolute():
            raise BadInput(f"the folder is {folder[:200]!r}, expected an absolute path")
        # One sentence for all that is outside, there or not: nobody learns what lies where he may not look.
        refused = BadInput(
            f"the folder {folder[:200]!r} is no shot folder below a root of this server; upload the shot"
        )
        try:
            place = place.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise refused from error
        if not place.is_dir() or not self._covers(place):
            raise refused
        if not stays(place, place / SHOT_FILE):
            raise refused
        shot = read(place)
        for path, entry in shot.files.items():
            if not stays(place, place / check_path(path)):
                raise BadInput(f"the file {path} of {place} is not there or leads out of the folder; export it again")
            if (size := (place / path).stat().st_size) != entry.size:
                raise BadInput(f"the file {path} of {place} has {size} bytes, expected {entry.size}; export it again")
        return place, shot

    def _covers(self, place: Path) -> bool:
        return any(place.is_relative_to(root) for root in self.roots)


NOTHING_HANDED_OVER = Handover()


def stays(folder: Path, file: Path) -> bool:
    """Whether `file` is a file whose links do not lead out of `folder`."""
    try:
        return file.is_file() and file.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError):
        return False
