"""What a server has to render with: its devices and its models. Knows no job's content."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message


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
