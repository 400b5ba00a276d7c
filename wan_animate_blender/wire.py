"""What travels between Blender and the server: shots, jobs, takes, their folders and their errors.

Standard library only: both sides import this file, and neither side's
dependencies may leak into the other through it. Knows neither bpy nor HTTP.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import math
import os
import re
import socket
import types
import typing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar

WIRE_VERSION = 1
"""Raised whenever a message changes its meaning; both sides refuse another number with a sentence."""

WIRE_HEADER = "X-Wan-Animate-Wire"
"""HTTP header in which each side says its `WIRE_VERSION`."""

KEYPOINTS = 133
"""Points of one pose, in COCO-WholeBody order: body 17, feet 6, face 68, left hand 21, right hand 21."""

FACE_KEYPOINTS = slice(23, 91)
"""Where the 68 face points lie among the 133."""

FACE_SIZE = 512
"""Pixels of a side of a face crop."""

FIRST_FRAME = 1001
"""The shot's number of its first head-handle frame."""


# --- errors ---------------------------------------------------------------------------------------


class ExitCode(enum.IntEnum):
    """How every command of this product ends (the BSD sysexits where one fits)."""

    DONE = 0
    BAD_INPUT = 64
    UNAVAILABLE = 69
    BUG = 70
    TRY_ELSEWHERE = 75
    INTERRUPTED = 130
    TERMINATED = 143


class Problem(Exception):
    """Something a person can act on. Its text is one sentence: what was given, what was expected, what to do."""

    exit_code = ExitCode.BUG


class BadInput(Problem, ValueError):
    """What was given cannot be used; the same call fails again."""

    exit_code = ExitCode.BAD_INPUT


class WireError(BadInput):
    """A message or a folder does not follow the contract of this file."""


class Unavailable(Problem):
    """A model, a server or a Blender that is needed is not there."""

    exit_code = ExitCode.UNAVAILABLE


class TryElsewhere(Problem):
    """This machine cannot, another might (GPU memory)."""

    exit_code = ExitCode.TRY_ELSEWHERE


class Interrupted(Problem):
    """Somebody asked the work to stop; what was finished is kept."""

    exit_code = ExitCode.INTERRUPTED


# --- messages -------------------------------------------------------------------------------------


class Message:
    """A frozen dataclass with a JSON form that refuses what it does not know."""

    def to_json(self) -> dict[str, Any]:
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read `data` (a decoded JSON object). Raises `WireError` naming the first field that is wrong."""
        return _dataclass(cls, data, cls.__name__)

    def dumps(self) -> str:
        """The canonical text: sorted keys, so that equal messages have equal hashes."""
        return json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)

    @classmethod
    def loads(cls, text: str | bytes) -> Self:
        try:
            data = json.loads(text)
        except ValueError as error:
            raise WireError(f"{cls.__name__} is not valid JSON ({error}); write it again with this version") from error
        return cls.from_json(data)


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
    NONE = "none"
    """No expression is given."""


class RasterKind(enum.StrEnum):
    SOURCE = "source"
    """The strip's own pixels; its transform goes to the new strip."""
    CANVAS = "canvas"
    """What the sequencer shows."""


class Encoding(enum.StrEnum):
    DISPLAY = "display"
    """8 or 16 bit, display-encoded (PNG)."""
    LINEAR = "linear"
    """Half or float, scene-linear (EXR)."""


class Solver(enum.StrEnum):
    DPMPP = "dpm++"
    UNIPC = "unipc"


class Plan(enum.StrEnum):
    EVEN = "even"
    """As many segments as needed, all of one equal length 4n+1, as short as covers the shot."""
    OFFICIAL = "official"
    """Full segments, the tail padded by mirrored frames, as the released code does."""


class Precision(enum.StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, kw_only=True)
class LoraUse(Message):
    """A LoRA of the server's model library, and how much of it."""

    name: str
    """Of a file in the library's folder `loras`, without its extension."""
    strength: float = 1.0

    def __post_init__(self) -> None:
        _expect(
            re.fullmatch(r"[^/\\:\0]{1,128}", self.name) is not None and not self.name.startswith("."),
            "LoRA", self.name, "the name of a file in the model library's folder loras",
        )  # fmt: skip
        _expect(-4.0 <= self.strength <= 4.0, "strength", self.strength, "a number from -4 to 4")


@dataclass(frozen=True, kw_only=True)
class Settings(Message):
    """How a shot is rendered. Defaults are the released model's, unless a comment says why not."""

    model: str = "puppet"
    precision: Precision = Precision.FP32
    steps: int = 20
    solver: Solver = Solver.DPMPP
    guidance: float = 1.0
    """Classifier-free guidance; above 1 every step costs two forwards."""
    seed: int = 0
    segment: int = 77
    """Frames of a segment at most, 4n+1."""
    # 5, not the released default 1: with one frame of context the motion's speed is unknown at each
    # join, and seams are what users of this model complain about most.
    overlap: int = 5
    """Frames of temporal guidance handed from segment to segment, 1 or 5."""
    plan: Plan = Plan.EVEN
    area: int | None = None
    """Pixels of a generated frame (width times height); None is the model's own."""
    prompt: str | None = None
    """None is the prompt that the model was trained with."""
    relight: float = 1.0
    """Strength of the model's relighting LoRA; in replace mode only."""
    loras: tuple[LoraUse, ...] = ()

    def __post_init__(self) -> None:
        _expect(1 <= self.steps <= 1000, "steps", self.steps, "a number from 1 to 1000")
        _expect(1.0 <= self.guidance <= 20.0, "guidance", self.guidance, "a number from 1 to 20")
        _expect(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63-1")
        _expect(self.overlap in (1, 5), "overlap", self.overlap, "1 or 5 frames")
        _expect(
            self.segment % 4 == 1 and 5 <= self.segment <= 401,
            "segment", self.segment, "4n+1 frames from 5 to 401, such as 77",
        )  # fmt: skip
        _expect(self.segment > self.overlap, "segment", self.segment, f"more frames than the overlap of {self.overlap}")
        _expect(
            self.area is None or 1024 <= self.area <= 2**24, "area", self.area, "1024 to 16777216 pixels, or nothing"
        )
        _expect(0.0 <= self.relight <= 2.0, "relight", self.relight, "a number from 0 to 2")


@dataclass(frozen=True, kw_only=True)
class FrameRow(Message):
    """One row of the frame table: the same moment in four clocks."""

    shot: int
    """Number in the shot folder; the first head-handle frame is 1001."""
    timeline: float
    """Frame of the edit."""
    source: float
    """Frame of the footage, 0 is its first."""
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
        _expect(1 <= self.width <= 16384, "raster width", self.width, "1 to 16384 pixels")
        _expect(1 <= self.height <= 16384, "raster height", self.height, "1 to 16384 pixels")
        _expect(len(self.matrix) == 9, "raster matrix", len(self.matrix), "nine numbers")


@dataclass(frozen=True, kw_only=True)
class Colour(Message):
    """What the numbers in the plate mean. Only the server converts them to what the model sees."""

    encoding: Encoding = Encoding.DISPLAY
    working_space: str = "Linear Rec.709"
    view: str = "Standard"
    ocio: str | None = None
    """Path of the colour configuration inside the shot folder when it is not Blender's own."""


@dataclass(frozen=True, kw_only=True)
class FileEntry(Message):
    """One file of a shot or take folder, as it must be found again."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        _expect(
            re.fullmatch(r"[0-9a-f]{64}", self.sha256) is not None, "sha256", self.sha256, "64 lower-case hex digits"
        )
        _expect(self.size >= 0, "size", self.size, "a number of bytes")


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
    raster: Raster
    colour: Colour = field(default_factory=Colour)
    lens: str = "none"
    face: FaceSource = FaceSource.NONE
    character: str = "character.png"
    settings: Settings = field(default_factory=Settings)
    files: dict[str, FileEntry]

    def __post_init__(self) -> None:
        _expect_schema("shot", self.schema)
        check_name(self.name)
        _expect(len(self.frames) > 0, "frames", "an empty frame table", "one row for each frame")
        numbers = [row.shot for row in self.frames]
        consecutive = list(range(numbers[0], numbers[0] + len(numbers)))
        _expect(numbers == consecutive, "frames", numbers[:5], "consecutive shot numbers")
        _expect(
            numbers[0] <= self.cut_in <= self.cut_out <= numbers[-1],
            "cut", f"{self.cut_in}-{self.cut_out}", f"a range inside {numbers[0]}-{numbers[-1]}",
        )  # fmt: skip
        _expect(self.fps > 0, "fps", self.fps, "a fraction above 0")
        for path in (*self.files, self.character):
            check_path(path)

    @property
    def numbers(self) -> range:
        """Shot numbers of all frames, handles included."""
        return range(self.frames[0].shot, self.frames[-1].shot + 1)

    def sequence(self, folder: str) -> list[str]:
        """Paths of the frames in `folder` ("plate", "matte" …), one for each of `numbers`; [] when it has none.

        Raises `WireError` naming the first frame that is missing when it has only some.
        """
        found = {int(p.stem): str(p) for p in map(PurePosixPath, self.files) if _is_frame_of(p, folder)}
        missing = [n for n in self.numbers if n not in found]
        if found and missing:
            raise WireError(
                f"the shot {self.name} has {len(found)} of {len(self.numbers)} {folder} frames, "
                f"{folder}/{missing[0]} is the first one missing; export the shot again"
            )
        return [found[n] for n in self.numbers] if found else []

    @property
    def hash(self) -> str:
        """SHA-256 of the export: of everything that `shot.json` says, files included by their hashes."""
        return hashlib.sha256(self.dumps().encode()).hexdigest()


class JobState(enum.StrEnum):
    """Where a job stands. `QUEUED → RUNNING → DONE | FAILED | CANCELLED`, with `CANCELLING` on the way to the last."""

    QUEUED = "queued"
    """Waiting for a worker; also after an interruption, from where it will go on at the segment it reached."""
    RUNNING = "running"
    """A worker has it."""
    CANCELLING = "cancelling"
    """Somebody asked it to stop and its worker has not yet."""
    DONE = "done"
    """Its take is complete."""
    FAILED = "failed"
    """Its message says why."""
    CANCELLED = "cancelled"
    """It was stopped; finished segments are kept."""

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Job(Message):
    """A render in a server's queue, as it stands now."""

    id: str
    shot: str
    strip: str = ""
    state: JobState
    stage: str = ""
    """What is being done, in one or two words for people: "denoising", "decoding" …"""
    progress: float = 0.0
    """0 to 1."""
    segment: int = 0
    segments: int = 0
    step: int = 0
    steps: int = 0
    frames: int = 0
    """Frames of the take that can be fetched already."""
    seconds_left: float | None = None
    message: str = ""
    """Why it failed, or what is worth knowing."""
    created: float = 0.0
    """Seconds since 1970."""


class TakeState(enum.StrEnum):
    PARTIAL = "partial"
    """Being rendered, or interrupted: only the frames that are listed are there."""
    COMPLETE = "complete"


@dataclass(frozen=True, kw_only=True)
class SegmentRecord(Message):
    """One segment of a take: which frames it delivered, and what they depend on."""

    index: int
    first: int
    last: int
    """Shot numbers of the frames it delivered, inclusive."""
    seed: int
    key: str
    """SHA-256 of everything it depends on; also the name of its folder in the segment store."""


@dataclass(frozen=True, kw_only=True)
class Take(Message):
    """`take.json`: everything needed to use the take, and to render it again."""

    schema: int = WIRE_VERSION
    shot: str
    strip: str = ""
    version: int
    export: str
    """`Shot.hash` of what it was rendered from."""
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
    """Folders with one picture for each frame: "character", "matte", "comp", "generated"."""
    files: dict[str, FileEntry]
    settings: Settings
    segments: tuple[SegmentRecord, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    """Name of each weights file and its SHA-256."""
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time of each stage."""
    peak_memory: int | None = None
    """Bytes on the device, where it can be measured."""
    notes: tuple[str, ...] = ()
    """What a person must know before using it, such as "weights are random"."""

    def __post_init__(self) -> None:
        _expect_schema("take", self.schema)
        check_name(self.shot)
        for path in self.files:
            check_path(path)

    def sequence(self, layer: str) -> list[str]:
        """Paths of the frames of `layer` that are there, in order."""
        found = [p for p in map(PurePosixPath, self.files) if _is_frame_of(p, layer)]
        return [str(p) for p in sorted(found, key=lambda p: int(p.stem))]


@dataclass(frozen=True, kw_only=True)
class ErrorReply(Message):
    """Body of every HTTP answer that is not a success."""

    error: str
    """A word for programs: "unauthorised", "bad-shot", "missing-blobs", "wire-version", "not-found" …"""
    message: str
    """A sentence for people."""
    missing: tuple[str, ...] = ()
    """SHA-256 of the blobs to upload before the shot can be queued."""


# --- folders --------------------------------------------------------------------------------------

SHOT_FILE = "shot.json"
TAKE_FILE = "take.json"
POSE_FILE = "pose.npz"
OWNER_FILE = "owner.json"
TAKES = "takes"
SEGMENTS = "segments"
EXPORT_PREFIX, TAKE_PREFIX = "e", "v"


def frame_name(number: int, extension: str) -> str:
    """`frame_name(1001, "png")` is "1001.png"."""
    return f"{number:04d}.{extension}"


def check_name(name: str) -> str:
    """A shot's name that is safe as a folder's on every system. Raises `WireError`."""
    _expect(
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is not None and not name.endswith("."),
        "shot name", name, "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit",
    )  # fmt: skip
    return name


def check_path(path: str) -> str:
    """A relative POSIX path that stays inside its folder. Raises `WireError`."""
    parts = path.split("/")
    safe = path and "\\" not in path and ":" not in path and "\0" not in path
    _expect(
        bool(safe) and not any(part in ("", ".", "..") for part in parts),
        "path", path, "a relative path with forward slashes that stays inside its folder",
    )  # fmt: skip
    return path


def claim_version(parent: Path, prefix: str) -> Path:
    """Make and own the next free `<prefix>NNN` in `parent`, by an atomic mkdir, and leave an owner record in it.

    Two processes never get the same folder. Raises `BadInput` when `parent` cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = max(versions(parent, prefix), default=0)
        while True:
            number += 1
            folder = parent / version_name(prefix, number)
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                break
        write_atomically(folder / OWNER_FILE, json.dumps(owner()).encode())
    except OSError as error:
        raise BadInput(
            f"cannot write to {parent} ({error.strerror or error}); choose a folder that you may write to"
        ) from error
    return folder


def version_name(prefix: str, number: int) -> str:
    """`version_name("v", 3)` is "v003"."""
    return f"{prefix}{number:03d}"


def versions(parent: Path, prefix: str) -> list[int]:
    """Numbers of the versions in `parent`, ascending."""
    numbered = re.compile(re.escape(prefix) + r"([0-9]{3,})")
    names = [p.name for p in parent.iterdir()] if parent.is_dir() else []
    return sorted(int(match[1]) for match in map(numbered.fullmatch, names) if match)


def owner() -> dict[str, str | int]:
    """Who claims a folder: host, process and boot, so that a stale owner is recognised without trusting clocks."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": _boot_id()}


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # Windows, macOS: the node's address at least tells hosts of one name apart
        return f"{uuid.getnode():x}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` never holds half of it, whatever stops this process."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(path: Path) -> FileEntry:
    """The entry of a file that is there and complete."""
    return FileEntry(sha256=sha256_file(path), size=path.stat().st_size)


def list_files(folder: Path, except_for: Iterable[str] = ()) -> dict[str, FileEntry]:
    """Entries of all files below `folder` by relative POSIX path, without hidden ones and `except_for`."""
    left_out = {OWNER_FILE, *except_for}
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = {p.relative_to(folder).as_posix(): p for p in found}
    return {name: file_entry(p) for name, p in names.items() if name not in left_out}


# --- the face box ---------------------------------------------------------------------------------

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels; x1 and y1 are the first outside."""


def face_box(points: Sequence[Sequence[float]], width: int, height: int) -> Box | None:
    """The box of a face crop around the 68 face `points` (x, y …) in a frame of `width`×`height` pixels.

    The released preprocessing's rule (`get_face_bboxes`, scale 1.3): the points' box grown to 1.3 times its area,
    sideways alike, upwards three times as much as downwards, cut to the frame. None when nothing of it is inside.
    """
    xs = [float(p[0]) for p in points]
    ys = [float(p[1]) for p in points]
    if not xs or any(map(math.isnan, (*xs, *ys))):
        return None
    grow = 1.3**0.5 - 1
    sideways = (max(xs) - min(xs)) * grow / 2
    upright = (max(ys) - min(ys)) * grow / 4
    x0, x1 = max(min(xs) - sideways, 0), min(max(xs) + sideways, width)
    y0, y1 = max(min(ys) - 3 * upright, 0), min(max(ys) + upright, height)
    box = int(x0), int(y0), int(x1), int(y1)
    return box if box[0] < box[2] and box[1] < box[3] else None


# --- reading and writing JSON ---------------------------------------------------------------------

M = TypeVar("M")

_FRACTION = re.compile(r"[0-9]{1,9}/[1-9][0-9]{0,8}")
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _expect(fits: bool, what: str, given: object, expected: str) -> None:
    if not fits:
        raise WireError(f"{what} is {given}, expected {expected}")


def _expect_schema(what: str, given: int) -> None:
    if given != WIRE_VERSION:
        newer = "this software" if given > WIRE_VERSION else f"what wrote the {what}"
        raise WireError(f"the {what} is of wire version {given}, expected {WIRE_VERSION}; update {newer}")


def _is_frame_of(path: PurePosixPath, folder: str) -> bool:
    return len(path.parts) == 2 and path.parts[0] == folder and path.stem.isascii() and path.stem.isdigit()


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_json()
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value


def _dataclass(kind: type[M], data: Any, where: str) -> M:
    if not isinstance(data, dict):
        raise WireError(f"{where} is {_shown(data)}, expected an object")
    hints = typing.get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind)}  # type: ignore[arg-type]
    if strangers := sorted(map(str, data.keys() - known.keys())):
        raise WireError(f"{where} has a field {strangers[0]!r} that this version does not know; update the older side")
    values = {name: _value(known[name], item, f"{where}.{name}") for name, item in data.items()}
    try:
        return kind(**values)
    except TypeError as error:  # a field without default is absent
        raise WireError(f"{where} is incomplete: {error}") from error


def _value(hint: Any, data: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _value(next(a for a in arguments if a is not types.NoneType), data, where)
    if origin is tuple:
        _expect(isinstance(data, list | tuple), where, _shown(data), "a list")
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is dict:
        _expect(isinstance(data, dict), where, _shown(data), "an object")
        return {str(key): _value(arguments[1], item, f"{where}[{key!r}]") for key, item in data.items()}
    if is_dataclass(hint):
        return _dataclass(typing.cast(type, hint), data, where)
    return _scalar(hint, data, where)


def _scalar(hint: Any, data: Any, where: str) -> Any:
    if hint is Fraction:
        fits = isinstance(data, str) and _FRACTION.fullmatch(data) is not None
        _expect(fits, where, _shown(data), 'a fraction such as "24/1"')
        return Fraction(data)
    if issubclass(hint, enum.Enum):
        choices = [member.value for member in hint]
        _expect(isinstance(data, str) and data in choices, where, _shown(data), "one of " + ", ".join(choices))
        return hint(data)
    accepted = (int, float) if hint is float else hint
    fits = isinstance(data, accepted) and (hint is bool) == isinstance(data, bool)
    _expect(fits, where, _shown(data), _WORDS[hint])
    if hint is float:
        _expect(abs(data) < float("inf"), where, data, "a finite number")
        return float(data)
    return data


def _shown(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
