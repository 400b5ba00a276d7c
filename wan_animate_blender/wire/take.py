"""What a render says of itself: `take.json`. Knows no jobs."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import PurePosixPath

from .belonging import Belonging
from .clipped import Clipped
from .folders import FileEntry, check_name, check_path, is_frame_of
from .messages import WIRE_VERSION, Message, expect_schema
from .provenance import Provenance
from .retake import Blend, Retake
from .roi import Roi
from .seam import Grade, SeamRecord
from .settings import Settings
from .shot import Mode


class TakeState(enum.StrEnum):
    PARTIAL = "partial"
    """Being rendered, or interrupted: only the frames that are listed are there."""
    COMPLETE = "complete"


@dataclass(frozen=True, kw_only=True)
class SegmentRecord(Message):
    """One segment of a take: which frames it delivered, and what they depend on.

    Of several records with one `index` the later lies over the earlier, seen as much as its `blend` says.
    """

    index: int
    first: int
    last: int
    """Shot numbers of the frames it delivered, inclusive."""
    seed: int
    key: str
    """SHA-256 of everything it depends on; also the name of its folder in the segment store."""
    execution: str = ""
    """What computed it: number type, device and threads, on which rounding depends."""
    rendered: tuple[int, ...] = ()
    """Shot numbers of all frames that it was rendered with, in order; past the shot's end they run back and forth."""
    round: int = 0
    """0 of the shot's first render; every re-take and every extension is one more."""
    blend: Blend | None = None
    """None: nothing lies beneath it."""
    grades: tuple[Grade, ...] = ()
    """What anchors its colours at its first and at its last frame, in a straight line between; given to its frames in
    the strength of `finish.seams`. A re-take keeps it."""


@dataclass(frozen=True, kw_only=True)
class Take(Message):
    """`take.json`: everything needed to use the take, and to render it again."""

    schema: int = WIRE_VERSION
    shot: str
    strip: str = ""
    job: str = ""
    """Id of the job that it was fetched from, by which it is known where it was fetched before."""
    version: int
    export: str
    """`Shot.hash` of what it was rendered from."""
    base: str = ""
    """The take that its other frames were copied from, as "v003"; "" when all of them were rendered for it."""
    retake: Retake | None = None
    """What of `base` was made anew; None of an extension, which has all frames of `base` and more."""
    state: TakeState
    mode: Mode
    first: int
    last: int
    cut_in: int
    cut_out: int
    fps: Fraction
    width: int
    height: int
    layers: tuple[str, ...]
    """Folders with one picture for each frame: "character", "matte", "comp", "generated", "pose", "face". The last one
    shows the whole picture."""
    files: dict[str, FileEntry]
    origins: tuple[str, ...] = ()
    """For each frame a SHA-256 of all that was exported for it, by which an extension knows it again."""
    settings: Settings
    provenance: Provenance = field(default_factory=Provenance)
    """As its shot says it."""
    roi: Roi | None = None
    """Which part of each plate the model worked on; None is the whole picture."""
    segments: tuple[SegmentRecord, ...] = ()
    seams: tuple[SeamRecord, ...] = ()
    """One for each segment but the first."""
    belonging: Belonging | None = None
    """How the plate differs from what was made; None where nothing of that was asked for."""
    models: dict[str, str] = field(default_factory=dict)
    """Name of each weights file and its SHA-256."""
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time of each stage."""
    clipped: Clipped = field(default_factory=Clipped)
    finished: float = 0.0
    """When its last frame was written, in seconds since 1970; 0 before."""
    peak_memory: int | None = None
    """Bytes on the device, where it can be measured."""
    notes: tuple[str, ...] = ()
    """What a person must know before using it, such as "weights are random"."""

    def __post_init__(self) -> None:
        expect_schema("take", self.schema)
        check_name(self.shot)
        for path in self.files:
            check_path(path)

    @property
    def recipe(self) -> str:
        """SHA-256 of what makes the same pictures again: settings, export, models and what was taken anew."""
        said = {"settings": self.settings.to_json(), "export": self.export, "models": self.models}
        if self.retake and self.retake.seed not in (None, self.settings.seed):  # else the shot's own pictures come back
            said["retake"] = self.retake.to_json()
        return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def sequence(self, layer: str) -> list[str]:
        """Paths of the frames of `layer` that are there, in order."""
        found = [p for p in map(PurePosixPath, self.files) if is_frame_of(p, layer)]
        return [str(p) for p in sorted(found, key=lambda p: int(p.stem))]
