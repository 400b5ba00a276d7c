"""What a server has to render with, and what a render would take there. Knows no job's content."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, expect
from .settings import Settings
from .shot import Mode

MOST_FRAMES, MOST_PIXELS = 100_000, 16_384
"""That a forecast is made for, and of a side of the plate."""


@dataclass(frozen=True, kw_only=True)
class Device(Message):
    """A worker and what it renders on, by its last sign of life."""

    name: str
    """As the server was told: "cuda:0", "cpu"."""
    title: str
    """What its maker calls it."""
    worker: str
    pid: int
    """The worker's process."""
    job: str = ""
    """Id of the job that it has; "" while it waits for one."""
    memory: int | None = None
    """Bytes of the device, of the host where it is the CPU; None before the first look."""
    free: int | None = None
    loaded: str = ""
    """The model in memory and where its weights lie, as "puppet fp32 resident"."""
    age: float
    """Seconds since the worker's last sign of life."""


@dataclass(frozen=True, kw_only=True)
class KnownModel(Message):
    """A model that this version of the server can render with, when its files are there."""

    name: str
    title: str
    installed: bool
    lacking: tuple[str, ...] = ()
    """Parts whose files are not there: "transformer", "vae", "relight" … Only needed ones make it not installed."""
    loras: tuple[str, ...] = ()
    """Names of the LoRAs that a job may ask for: the model's own, and what lies in the library."""


@dataclass(frozen=True, kw_only=True)
class Queue(Message):
    """The queue as a whole."""

    paused: bool
    """No waiting job is begun; what runs goes on."""
    waiting: int
    """Jobs that are queued."""
    running: int
    """Jobs that a worker has."""


@dataclass(frozen=True, kw_only=True)
class Wanted(Message):
    """A render of which only its measures are known."""

    settings: Settings
    mode: Mode = Mode.REPLACE
    frames: int
    """Handles counted."""
    width: int
    height: int
    """Of the plate; of the character's picture where that gives the frame its shape."""

    def __post_init__(self) -> None:
        expect(1 <= self.frames <= MOST_FRAMES, "frames", self.frames, f"1 to {MOST_FRAMES}")
        for name, size in (("width", self.width), ("height", self.height)):
            expect(16 <= size <= MOST_PIXELS, name, size, f"16 to {MOST_PIXELS} pixels")


@dataclass(frozen=True, kw_only=True)
class Forecast(Message):
    """What a render would take: computed, not measured."""

    segments: int
    length: int
    """Frames of each."""
    width: int
    height: int
    """Of the model's pictures."""
    memory: dict[str, int]
    """Bytes of device memory by where weights lie: "resident", "hot", "streamed"."""
    least: int
    """Bytes of the smallest device that does it."""
    device: str = ""
    """What `seconds` are of: a device whose speed was measured; "" when there is none for this precision."""
    seconds: float | None = None
    """Without reading files and writing frames."""
    disk: int
    """Bytes of export, take and finished segments at the most: as if no picture could be compressed."""
