"""What the render of a shot folder would take, for a person or for a program, before any weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import Settings, TryElsewhere

from .forecast import Forecast, choose, device_name, forecast, memory_of
from .installed import sizes_of
from .placement import Residence
from .shot import load
from .signals import ShotSignals
from .weights import find_device

LIES = {
    Residence.RESIDENT: "all weights of the transformer stay on the device",
    Residence.HOT: "weights that a segment needs once wait on the host, the others stay on the device",
    Residence.STREAMED: "weights of the transformer are streamed from the host, block by block",
}


@dataclass(frozen=True)
class Plan:
    """A forecast for one device."""

    settings: Settings
    needs: Forecast
    device: str
    memory: int | None
    """Bytes on the device; None where all memory is the host's."""

    @property
    def residence(self) -> Residence | None:
        """Where weights will lie; None when the shot does not fit."""
        try:
            return choose(self.needs, self.memory)
        except TryElsewhere:
            return None

    @property
    def seconds(self) -> float | None:
        """Estimated; None for a device that was not measured."""
        return self.needs.seconds(self.device, self.settings.precision)

    def check(self) -> None:
        """Raise `TryElsewhere` when the shot does not fit."""
        choose(self.needs, self.memory)

    def to_json(self) -> dict[str, Any]:
        needs = self.needs
        stages = [
            {
                "name": s.name,
                "times": s.times,
                "flop": s.cost.total,
                "bytes": s.peak(self.residence or Residence.STREAMED),
            }
            for s in needs.stages
        ]
        return {
            "model": self.settings.model, "precision": self.settings.precision, "width": needs.width,
            "height": needs.height, "frames": needs.frames, "segments": needs.segments, "length": needs.length,
            "tokens": needs.tokens, "device": self.device, "memory": self.memory, "residence": self.residence,
            "weights": needs.weights, "needed": {residence: needs.needed(residence) for residence in Residence},
            "stages": stages, "estimated_seconds": self.seconds,
        }  # fmt: skip

    def told(self) -> str:
        """For a person."""
        return "\n".join([*self._shape(), "", *self._stages(), "", *self._memory(), self._time()])

    def _shape(self) -> list[str]:
        needs, settings = self.needs, self.settings
        return [
            f"{settings.model}, {settings.precision}: {needs.frames} frames of {needs.width}×{needs.height}",
            f"segments: {needs.segments} of {needs.length} frames, {needs.tokens} tokens each; {settings.steps} steps",
        ]

    def _stages(self) -> list[str]:
        rows = [f"{'stage':<8} {'times':>6} {'TFLOP each':>11} {'GB beside the weights':>22}"]
        for stage in self.needs.stages:
            size = stage.peak(self.residence or Residence.STREAMED) / 1e9
            rows.append(f"{stage.name:<8} {stage.times:>6} {stage.cost.total / 1e12:>11.1f} {size:>22.1f}")
        return rows

    def _memory(self) -> list[str]:
        needs = self.needs
        rows = [f"{needs.needed(r) / 1e9:6.1f} GB when {LIES[r]}" for r in Residence]
        if self.memory is None:
            return [*rows, f"{self.device}: everything lies in the host's memory"]
        chosen = "it does not fit" if self.residence is None else LIES[self.residence]
        return [*rows, f"{self.device} with {self.memory / 1e9:.1f} GB: {chosen}"]

    def _time(self) -> str:
        if self.seconds is None:
            return f"no estimate of the time: the speed of {self.device} was not measured"
        return f"about {self.seconds:.0f} s, an estimate: counted operations over the device's measured rates"


def plan(folder: Path, device: str, memory: int | None = None, overrides: Iterable[str] = ()) -> Plan:
    """The plan of the shot in `folder` on `device`, or on one like it with `memory` bytes free.

    `overrides` are as those of `render`. Raises what `shot.load`, `find_device` and `sizes_of` raise.
    """
    shot = load(folder, overrides)
    settings, place = shot.shot.settings, find_device(device)
    sizes = sizes_of(settings.model)
    signals = ShotSignals(shot, settings.area or sizes.area)
    needs = forecast(sizes, settings, signals.frames, signals.width, signals.height)
    return Plan(settings, needs, device_name(place), memory_of(place) if memory is None else memory)
