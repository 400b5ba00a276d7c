"""What an export says of itself: `shot.json`. Knows neither jobs nor takes."""

from __future__ import annotations

import enum
import hashlib
import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import PurePosixPath

from .colour import BUILTIN, Colour, Encoding
from .errors import WireError
from .finish import Format
from .folders import SHOT_FILE, FileEntry, check_name, check_path, check_paths, is_frame_of
from .lens import Lens
from .messages import WIRE_VERSION, Message, canonical, expect, expect_schema
from .provenance import Provenance
from .settings import Settings
from .timecode import Timecode

KEYPOINTS = 133
"""Points of one pose, in COCO-WholeBody order: body 17, feet 6, face 68, left hand 21, right hand 21."""

FACE_KEYPOINTS = slice(23, 91)
"""Where the 68 face points lie among the 133."""

FACE_SIZE = 512
"""Pixels of a side of a face crop."""

AUDIO_RATE = 48_000
"""Samples a second of a shot's audio, whose samples are whole numbers of 16 bits."""

FIRST_FRAME = 1001
"""The shot's number of its first head-handle frame."""


class Mode(enum.StrEnum):
    """What is made: `REPLACE` puts the character into the plate, `ANIMATE` moves it on its own background."""

    REPLACE = "replace"
    ANIMATE = "animate"


class FaceSource(enum.StrEnum):
    """Where the expression comes from."""

    RIG = "rig"
    """512×512 pictures of the rig's face, rendered by Blender."""
    PLATE = "plate"
    """Cut from the plate at the shot's face boxes."""
    DRIVING = "driving"
    """512×512 pictures of a performance strip."""
    STILL = "still"
    """One picture for all frames: an expression that does not change."""
    NONE = "none"
    """No expression is given."""

    @property
    def is_pictures(self) -> bool:
        """Whether the shot carries 512×512 pictures of the face, one for each frame."""
        return self in (FaceSource.RIG, FaceSource.DRIVING, FaceSource.STILL)


class RasterKind(enum.StrEnum):
    SOURCE = "source"
    """The strip's own pixels; its transform goes to the new strip."""
    CANVAS = "canvas"
    """What the sequencer shows."""


@dataclass(frozen=True, kw_only=True)
class FrameRow(Message):
    """One row of the frame table: the same moment in four clocks."""

    shot: int
    """Number in the shot folder; the first head-handle frame is 1001."""
    timeline: float
    """Frame of the edit."""
    source: float
    """Frame of the footage that is seen, 0 is its first; with a fraction only where the picture lies between two."""
    rig: float
    """Frame of the rig's scene at which it is evaluated."""


@dataclass(frozen=True, kw_only=True)
class Raster(Message):
    """The pixels of the plate, and where they lie in the edit."""

    kind: RasterKind
    width: int
    height: int
    matrix: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    """3×3, row by row: plate pixel (x, y down, first centre at 0.5) to canvas pixel."""

    def __post_init__(self) -> None:
        expect(1 <= self.width <= 16384, "raster width", self.width, "1 to 16384 pixels")
        expect(1 <= self.height <= 16384, "raster height", self.height, "1 to 16384 pixels")
        expect(len(self.matrix) == 9, "raster matrix", len(self.matrix), "nine numbers")


def check_format(chosen: Format, mode: Mode, encoding: Encoding) -> None:
    """Raise `WireError` when the layers of such a shot cannot be files of the `chosen` format."""
    light = mode is Mode.REPLACE and encoding is Encoding.LINEAR
    fitting = ", ".join(known for known in Format if known.fits(light=light))
    what = "a scene-linear plate" if light else "display-encoded pictures"
    expect(chosen.fits(light=light), "format", chosen, f"one that holds {what}: {fitting}")


@dataclass(frozen=True, kw_only=True)
class Shot(Message):
    """`shot.json`: everything a render needs to know, beside the files that it names."""

    schema: int = WIRE_VERSION
    name: str
    strip: str = ""
    """Identity of the strip it came from, so that its takes find the way back."""
    mode: Mode
    frames: tuple[FrameRow, ...]
    cut_in: int
    cut_out: int
    """First and last shot number inside the edit, inclusive; what lies outside are handles."""
    fps: Fraction
    timecode: str = ""
    """Of the first frame, as the footage counts it at `fps`; "" where the footage has none."""
    raster: Raster
    colour: Colour = field(default_factory=Colour)
    base: str = ""
    """The take whose `comp` is this shot's plate, as "SH010 v003": people behind this one are in it already."""
    lens: Lens | None = None
    """None: a straight one, or pixels that were straightened."""
    face: FaceSource = FaceSource.NONE
    character: str = "character.png"
    audio: str = ""
    """What the edit sounds like over all frames, handles included; "" is silence."""
    settings: Settings = field(default_factory=Settings)
    provenance: Provenance = field(default_factory=Provenance)
    files: dict[str, FileEntry]

    def __post_init__(self) -> None:
        expect_schema("shot", self.schema)
        check_name(self.name)
        expect(len(self.frames) > 0, "frames", "an empty frame table", "one row for each frame")
        numbers = [row.shot for row in self.frames]
        consecutive = list(range(numbers[0], numbers[0] + len(numbers)))
        expect(numbers == consecutive, "frames", numbers[:5], "consecutive shot numbers")
        expect(
            numbers[0] <= self.cut_in <= self.cut_out <= numbers[-1],
            "cut", f"{self.cut_in}-{self.cut_out}", f"a range inside {numbers[0]}-{numbers[-1]}",
        )  # fmt: skip
        expect(self.fps > 0, "fps", self.fps, "a fraction above 0")
        check_paths(self.files)
        check_path(self.character)
        expect(SHOT_FILE not in self.files, "files", SHOT_FILE, "all files but the one that lists them")
        if self.colour.ocio is not None and not self.colour.ocio.startswith(BUILTIN):
            expect(self.colour.ocio in self.files, "colour configuration", self.colour.ocio, "one of the shot's files")
        if self.timecode:
            Timecode.read(self.timecode, self.fps)
        self.settings.finish.naming.check(self.name, self.numbers)
        check_format(self.settings.finish.format, self.mode, self.colour.encoding)
        expect(not self.audio or self.audio in self.files, "audio", repr(self.audio), "one of the shot's files")
        if self.lens and self.lens.file:
            expect(self.lens.file in self.files, "ST-map of the lens", repr(self.lens.file), "one of the shot's files")

    @property
    def numbers(self) -> range:
        """Shot numbers of all frames, handles included."""
        return range(self.frames[0].shot, self.frames[-1].shot + 1)

    def timecode_of(self, i: int) -> Timecode | None:
        """Of the footage that frame `i`, counted from 0, shows; None where it has none."""
        if not self.timecode:
            return None
        later = math.floor(self.frames[i].source) - math.floor(self.frames[0].source)
        return Timecode.read(self.timecode, self.fps).later(later)

    def sequence(self, folder: str) -> list[str]:
        """Paths of the frames in `folder` ("plate", "matte" …), one for each of `numbers`; [] when it has none.

        Raises `WireError` naming the first frame that is missing when it has only some.
        """
        found = {int(p.stem): str(p) for p in map(PurePosixPath, self.files) if is_frame_of(p, folder)}
        missing = [n for n in self.numbers if n not in found]
        if found and missing:
            raise WireError(
                f"the shot {self.name} has {len(found)} of {len(self.numbers)} {folder} frames, "
                f"{folder}/{missing[0]} is the first one missing; export the shot again"
            )
        return [found[n] for n in self.numbers] if found else []

    @property
    def hash(self) -> str:
        """SHA-256 of the export: of all that `shot.json` says, files included by their hashes, but `settings` and
        `provenance`.

        How it is rendered can be chosen anew for every take, which says it; a name or a consent that is put right
        afterwards leaves the takes of an export what they are.
        """
        said = {key: value for key, value in self.to_json().items() if key not in ("settings", "provenance")}
        return hashlib.sha256(canonical(said).encode()).hexdigest()
