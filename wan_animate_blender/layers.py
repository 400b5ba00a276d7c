"""What lies upon the plate: the matte, a region that an artist gives, the clean plate, shadows that are kept.

Knows neither rigs nor faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import matte, plate, timeline
from .edges import Edges
from .matte import PLAIN
from .wire import BadInput, FrameRow


@dataclass(frozen=True)
class Layers:
    """What is chosen; without anything there is nothing to check or to write."""

    matte: matte.Matte | None = None
    edges: Edges = PLAIN
    """What is done to the matte's edge."""
    region: matte.Matte | None = None
    clean_plate: timeline.Strip | None = None
    effects: matte.Matte | None = None
    """Where light is kept that the person threw on the clean plate."""
    keyed: bool = False
    """Whether the character's alpha is made from the clean plate."""

    def check_matte(self, place: matte.Place, strip: timeline.Strip, front: Sequence[bpy.types.Object]) -> None:
        """Raise `BadInput` unless the matte covers `strip`; `front` are rigs that have to hide what is behind them."""
        if self.matte:
            matte.check(self.matte, place, strip, front)

    def check_region(self, place: matte.Place, strip: timeline.Strip) -> None:
        """Raise `BadInput` unless the region covers `strip`."""
        if self.region:
            matte.check(self.region, place, strip, what="region")

    def check_clean_plate(self, place: matte.Place, strip: timeline.Strip) -> None:
        """Raise `BadInput` unless the clean plate covers `strip` with numbers of the same kind, or is not needed."""
        if self.keyed and not self.clean_plate:
            raise BadInput(
                f"the strip {strip.name!r} has no clean plate, from which an alpha by difference is made; choose one, "
                "or the alpha 'Region'"
            )
        if self.clean_plate is None:
            return
        matte.check_strip(self.clean_plate, place, strip, "clean plate")
        clean, own = (plate.colour(place.scene, one, place.raster).encoding for one in (self.clean_plate, strip))
        if clean is not own:
            raise BadInput(
                f"the clean plate {self.clean_plate.name!r} is {clean.value} and the plate {strip.name!r} {own.value}; "
                "choose a clean plate of the same kind of footage"
            )

    def check_effects(self, place: matte.Place, strip: timeline.Strip) -> None:
        """Raise `BadInput` unless the effects matte covers `strip`, and a clean plate shows that it can fall on."""
        if self.effects is None:
            return
        if not (self.keyed and self.clean_plate):
            raise BadInput(
                f"shadow and reflection of the person in {strip.name!r} fall on a clean plate that shows beside the "
                "character; choose a clean plate and the alpha 'Difference', or keep none of them"
            )
        matte.check(self.effects, place, strip, what="effects matte")

    def handles(self, scene: bpy.types.Scene, strip: timeline.Strip) -> Iterator[tuple[int, int]]:
        """Frames that each layer has before and after `strip`; nothing for those that never end."""
        clean = matte.FromStrip(self.clean_plate) if self.clean_plate else None
        for layer in filter(None, (self.matte, self.region, self.effects, clean)):
            if room := matte.handles(layer, scene, strip):
                yield room

    def write(self, place: matte.Place, rows: Sequence[FrameRow], folder: Path) -> dict[str, Iterator[Path]]:
        """The layers by what people call them; each writes its own folder below `folder` when it is gone through."""
        found: dict[str, Iterator[Path]] = {}
        if self.matte:
            found["matte"] = matte.write(self.matte, place, rows, folder / "matte", self.edges)
        if self.region:
            found["region"] = matte.write(self.region, place, rows, folder / "region")
        if self.effects:
            found["effects"] = matte.write(self.effects, place, rows, folder / "effects")
        if clean := self.clean_plate:
            raster = plate.raster(place.scene, clean, place.raster.kind)
            found["clean plate"] = plate.write(place.scene, clean, rows, raster, folder / "cleanplate")
        return found
