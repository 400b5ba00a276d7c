"""What is done to generated frames on their way into a take. No segment depends on it, so it can be chosen anew."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from .messages import Message, expect
from .naming import Naming


class Format(enum.StrEnum):
    """The files of a take's layers. `comp` has the plate's own depth in all of them."""

    PLATE = "plate"
    """As the plate is: PNG with a character of 8 bits, or EXR compressed by ZIP."""
    PNG8 = "png8"
    PNG16 = "png16"
    """A character of 16 bits, so that a grade of it does not show the steps of 8."""
    EXR_ZIP = "exr-zip"
    EXR_PIZ = "exr-piz"
    """Another compression without loss, smaller for pictures with grain."""

    def fits(self, *, light: bool) -> bool:
        """Whether layers over a plate can be such files: EXR for scene-linear light, PNG for all else."""
        return self is Format.PLATE or light == (self in (Format.EXR_ZIP, Format.EXR_PIZ))


class Alpha(enum.StrEnum):
    """What the character's alpha is, in replace mode. It never reaches beyond the region's."""

    REGION = "region"
    """The region's own: inside of it all is shown that the model made."""
    DIFFERENCE = "difference"
    """Where the generated frame is not the clean plate. Between that and the region's edge the clean plate shows."""


class Extra(enum.StrEnum):
    """Layers of a take that are there only when asked for."""

    POSE = "pose"
    """The drawn skeleton at the size of the plate, PNG."""
    FACE = "face"
    """The picture of the face that the model saw, PNG of 512×512 pixels."""
    GENERATED = "generated"
    """The whole frame that the model made, at the size and in the numbers of the plate."""
    UNGRAINED = "ungrained"
    """The character without the plate's grain, to grade it or to give it other grain; in replace mode only."""
    BACKGROUND = "background"
    """What the character lies over: the plate, and inside the region the clean plate where the alpha is the
    character's own, with which it is always there; in replace mode only."""
    EFFECTS = "effects"
    """How many times the clean plate's light the old actor left behind himself: 1 where he did nothing. EXR, for it is
    no colour; in replace mode, of a shot that brings an effects matte."""


@dataclass(frozen=True, kw_only=True)
class Finish(Message):
    """How generated frames become layers. Another finish of the same settings renders nothing again."""

    feather: float | None = None
    """Plate pixels over which the composite's alpha falls to 0 at the region's edge; None is a fortieth of the plate's
    short side."""
    format: Format = Format.PLATE
    layers: tuple[Extra, ...] = ()
    """Beside character, matte and comp."""
    naming: Naming = field(default_factory=Naming)
    """What files are called where `wan-animate deliver` puts them; here so that it is checked before rendering."""
    # 1, though the released code has nothing like it: colours that drift from segment to segment are what users of
    # this model complain about first.
    seams: float = 1.0
    """How much of its drift of colour each segment loses, 0 to 1. It is anchored to the plate around the region in
    replace mode and to the first segment in animate mode."""

    # 0, although a character without grain looks pasted on: compositors add grain last, over all that they do, and who
    # does not composite switches it on.
    grain: float = 0.0
    """How much of the plate's grain the character is given, 0 (off) to 1 (as much as the plate has); in replace mode
    only."""
    match_sharpness: bool = False
    """Whether a character that is sharper than the plate is made as soft; in replace mode only."""
    alpha: Alpha = Alpha.REGION
    effects: float = 1.0
    """How much of the old actor's shadow and reflection, inside the effects matte that a shot may bring, falls on the
    clean plate; 0 (off) to 1."""

    def __post_init__(self) -> None:
        expect(
            self.feather is None or 0.0 <= self.feather <= 4096.0,
            "feather",
            self.feather,
            "0 to 4096 pixels, or nothing",
        )
        expect(len(set(self.layers)) == len(self.layers), "layers", ", ".join(self.layers), "each layer once")
        expect(0.0 <= self.seams <= 1.0, "seams", self.seams, "a strength from 0 (off) to 1")
        expect(0.0 <= self.grain <= 1.0, "grain", self.grain, "a strength from 0 (off) to 1")
        expect(0.0 <= self.effects <= 1.0, "effects", self.effects, "a strength from 0 (off) to 1")
