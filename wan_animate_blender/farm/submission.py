"""What is handed to a farm: shots of one file and everything that travels with them. Knows neither bpy nor an engine.

A submission lies in a folder of its own, `<shots>/farm/f001/`: `submission.json`, a copy of the .blend as it was at
that moment, and what the engine wants. Exports and takes go where those of a window go.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from .. import wire
from ..wire.messages import Message, expect, expect_schema

FOLDER = "farm"
"""Below the folder of all shots."""
PREFIX = "f"
"""Of a submission's folder: f001, f002 …"""
SUBMISSION_FILE = "submission.json"
SENT_FILE = "sent.json"
"""Beside it, once it went somewhere."""

_FOLDER = re.compile(rf"[^/]+/{wire.EXPORT_PREFIX}[0-9]{{3,}}")


@dataclass(frozen=True, kw_only=True)
class Asset(Message):
    """Files that one thing of the .blend reads: a plate's sequence, a movie, a texture, a library, a cache …"""

    path: str
    """Absolute; of a sequence its first file."""
    what: str
    """In words for people: "plate of 'hall'", "library", "texture" …"""
    files: int
    """That are there."""
    size: int
    """Bytes of those."""
    missing: tuple[str, ...] = ()
    """Names of files that are read and are not there, frames in a sequence's gaps."""
    packed: bool = False
    """It travels inside the .blend."""


class Engine(enum.StrEnum):
    """Who runs a submission."""

    OPENJD = "openjd"
    """Whoever was given the bundle."""
    DEADLINE = "deadline"
    FLAMENCO = "flamenco"
    HERE = "here"
    """This machine, by `openjd run`."""

    @property
    def label(self) -> str:
        """For people."""
        names = {Engine.OPENJD: "OpenJD", Engine.DEADLINE: "Deadline Cloud", Engine.FLAMENCO: "Flamenco"}
        return names.get(self, "This machine")


@dataclass(frozen=True, kw_only=True)
class Sent(Message):
    """`sent.json`: where a submission went."""

    engine: Engine
    job: str = ""
    """Its id there, where it has one."""
    url: str = ""
    """Of a Flamenco Manager; only ever asked when it is the one of the preferences."""


@dataclass(frozen=True, kw_only=True)
class SubmittedShot(Message):
    """One person of one strip."""

    folder: str
    """Of its export below the folder of all shots, such as "SH010/e003": reserved when it was submitted."""
    scene: str
    strip: str
    """Its name in the scene."""
    uid: str
    """The strip's identity, by which its takes find back to it."""
    person: str
    base: str = ""
    """`folder` of the person behind, whose take is this one's plate; empty for the backmost."""
    mode: wire.Mode
    model: str
    precision: wire.Precision
    frames: int
    """Handles counted."""
    width: int
    height: int
    """Of the plate."""
    gpu_memory: int | None = None
    """Bytes that its render needs on one device; None where nobody could say."""
    seconds: float | None = None
    """That its render is expected to take on the device `estimated_on`."""
    estimated_on: str = ""
    disk: int = 0
    """Bytes that export and take will have, roughly."""

    def __post_init__(self) -> None:
        fits = _FOLDER.fullmatch(self.folder) is not None
        expect(fits, "folder", self.folder, 'a shot and its export, such as "SH010/e003"')
        wire.check_name(self.name)
        expect(self.frames > 0, f"frames of {self.folder}", self.frames, "at least 1")

    @property
    def name(self) -> str:
        """Of the shot: "SH010"."""
        return PurePosixPath(self.folder).parent.as_posix()


@dataclass(frozen=True, kw_only=True)
class Submission(Message):
    """Everything that a farm is asked for at once."""

    schema: int = wire.WIRE_VERSION
    name: str
    """For people: the file's name and the submission's, such as "edit f001"."""
    file: str
    """Name of the .blend's copy beside this."""
    blender: str
    """Version that wrote it, such as "4.5.3"."""
    shots: tuple[SubmittedShot, ...]
    """Whoever is a base comes before those in front."""
    assets: tuple[Asset, ...] = ()

    def __post_init__(self) -> None:
        expect_schema("submission", self.schema)
        expect(bool(self.shots), "shots", "empty", "at least one shot; mark a strip by setting a person on it")
        twice = sorted(name for name, times in Counter(shot.name for shot in self.shots).items() if times > 1)
        expect(not twice, "shots", f"two called {twice[0]!r}" if twice else "", "names that differ; rename one of them")
        earlier = {""}
        for shot in self.shots:
            expect(shot.base in earlier, f"base of {shot.folder}", shot.base, "a shot earlier in the submission")
            earlier.add(shot.folder)

    def find(self, folder: str) -> SubmittedShot:
        """Raises `WireError` for a folder that is not in it."""
        found = next((shot for shot in self.shots if shot.folder == folder), None)
        if found is None:
            raise wire.WireError(f"the submission {self.name!r} has no shot {folder!r}; choose one that it lists")
        return found

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence for each asset of which files are missing."""
        return tuple(
            f"{asset.what}: {len(asset.missing)} of {asset.files + len(asset.missing)} files are missing, "
            f"the first is {asset.missing[0]}"
            for asset in self.assets
            if asset.missing
        )
