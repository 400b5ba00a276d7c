"""How a shot is rendered. Knows nothing of frames or files."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, fields

from .finish import Finish
from .messages import Message, expect


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


class Transform(enum.StrEnum):
    """How a scene-linear plate becomes what the model sees, and back."""

    UTILITY = "utility"
    """sRGB's primaries and curve: no view, no look, no exposure."""
    VIEW = "view"
    """As the edit shows it: `Shot.colour`'s exposure, look, view and gamma, and their inverse."""


class Highlights(enum.StrEnum):
    """What becomes of light above 1 in a utility transform. It changes what the model sees, so it is no `Finish`."""

    CLIP = "clip"
    SHOULDER = "shoulder"
    """A soft curve makes room for 15 times white below 1 before the model sees it, and is undone afterwards."""


@dataclass(frozen=True, kw_only=True)
class LoraUse(Message):
    """A LoRA of the server's model library, and how much of it."""

    name: str
    """Of a file in the library's folder `loras`, without its extension."""
    strength: float = 1.0

    def __post_init__(self) -> None:
        expect(
            re.fullmatch(r"[^/\\:\0]{1,128}", self.name) is not None and not self.name.startswith("."),
            "LoRA", self.name, "the name of a file in the model library's folder loras",
        )  # fmt: skip
        expect(-4.0 <= self.strength <= 4.0, "strength", self.strength, "a number from -4 to 4")


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
    region_grow: float | None = None
    """Plate pixels by which the region reaches beyond matte and body, where the shot brings no region of its own; None
    is a fortieth of the plate's short side."""
    # On, because the released way of shrinking the whole frame leaves a person in a 4K plate a few model pixels.
    roi: bool = True
    """Whether the model works on a region of interest around the person, where that shows it larger; in replace mode
    only. Otherwise on the whole frame."""
    transform: Transform = Transform.UTILITY
    highlights: Highlights = Highlights.CLIP
    """Of scene-linear plates, as `transform`."""
    finish: Finish = field(default_factory=Finish)

    def unlike(self, other: Settings) -> list[str]:
        """The fields in which the two differ."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]

    def __post_init__(self) -> None:
        expect(1 <= self.steps <= 1000, "steps", self.steps, "a number from 1 to 1000")
        expect(1.0 <= self.guidance <= 20.0, "guidance", self.guidance, "a number from 1 to 20")
        expect(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63-1")
        expect(self.overlap in (1, 5), "overlap", self.overlap, "1 or 5 frames")
        expect(
            self.segment % 4 == 1 and 5 <= self.segment <= 401,
            "segment", self.segment, "4n+1 frames from 5 to 401, such as 77",
        )  # fmt: skip
        expect(self.segment > self.overlap, "segment", self.segment, f"more frames than the overlap of {self.overlap}")
        expect(
            self.area is None or 1024 <= self.area <= 2**24, "area", self.area, "1024 to 16777216 pixels, or nothing"
        )
        expect(0.0 <= self.relight <= 2.0, "relight", self.relight, "a number from 0 to 2")
        expect(
            self.region_grow is None or 0.0 <= self.region_grow <= 4096.0,
            "region grow", self.region_grow, "0 to 4096 pixels, or nothing",
        )  # fmt: skip
        expect(
            self.transform is Transform.UTILITY or self.highlights is Highlights.CLIP,
            "highlights", self.highlights, "clip, for a view has a shoulder of its own",
        )  # fmt: skip
