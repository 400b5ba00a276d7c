"""What the numbers of a plate mean, and in whose words. Knows no arithmetic: the server converts them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .messages import Message, expect

CONFIGURATION = "ocio/config.ocioz"
"""Where a shot keeps the colour configuration that its names are from: a zip of config.ocio and its LUTs."""

MOST_CONFIGURATION = 512 << 20
"""Bytes of a colour configuration with all its LUTs, unpacked; Blender's own has 24 MB."""

BUILTIN = "ocio://"
"""With this begin the names of configurations that OpenColorIO brings itself, which no shot needs to carry."""

SPACES = {
    "Linear Rec.709": "lin_rec709_scene",
    "Linear Rec.2020": "lin_rec2020_scene",
    "Linear DCI-P3 D65": "lin_p3d65_scene",
    "Linear Adobe RGB": "lin_adobergb_scene",
    "ACES2065-1": "lin_ap0_scene",
    "ACEScg": "lin_ap1_scene",
}
"""What Blender's own configuration calls spaces that have a name for everybody, the Color Interop Forum's."""


class Encoding(enum.StrEnum):
    DISPLAY = "display"
    """8 or 16 bit, display-encoded (PNG)."""
    LINEAR = "linear"
    """Half or float, scene-linear (EXR)."""


@dataclass(frozen=True, kw_only=True)
class Colour(Message):
    """What the numbers in the plate mean. Only the server converts them to what the model sees."""

    encoding: Encoding = Encoding.DISPLAY
    working_space: str = "Linear Rec.709"
    """The space of scene-linear numbers, by its name in the colour configuration: the plate's own, or the edit's."""
    view: str = "Standard"
    """Of a linear plate the view by which the edit shows it. Of a display-encoded one the view through which the edit
    shows its numbers unchanged; "" when the configuration has none."""
    display: str = ""
    """That of `view`."""
    look: str = ""
    """Of a linear plate: the edit's look, "" for that which the view brings with it; likewise exposure and gamma."""
    exposure: float = 0.0
    """In stops."""
    gamma: float = 1.0
    ocio: str | None = None
    """The configuration that all names are from: `CONFIGURATION`, or one of OpenColorIO's own, `ocio://…`. None is
    Blender's own, and then `working_space` has a name for everybody."""

    def __post_init__(self) -> None:
        expect(-32.0 <= self.exposure <= 32.0, "exposure", self.exposure, "-32 to 32 stops")
        expect(0.01 <= self.gamma <= 100.0, "gamma", self.gamma, "0.01 to 100")
