"""What a render would take, asked before there is a shot: its measures in, a forecast out. Knows no HTTP.

Networks are built for it, without numbers, in a process of its own: a server that only answers has no use for torch.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass, field

from wan_animate_blender.wire import (
    FACE_SIZE,
    BadInput,
    ExitCode,
    Extra,
    Forecast,
    Format,
    Mode,
    Problem,
    Unavailable,
    Wanted,
)

log = logging.getLogger(__name__)

_KEPT = 256
"""Forecasts; an edit has fewer kinds of shots."""

_SECONDS = 120.0
"""After which a forecast is given up; the released model's largest take a few."""


@dataclass
class Estimates:
    """The last forecasts. For one thread at a time."""

    _known: OrderedDict[str, Forecast] = field(default_factory=OrderedDict, init=False)

    def ask(self, wanted: Wanted) -> Forecast:
        """Raises `BadInput` or `Unavailable` for what cannot be forecast."""
        key = wanted.dumps()
        if key not in self._known:
            self._known[key] = _computed(key)
        self._known.move_to_end(key)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[key]


def _computed(wanted: str) -> Forecast:
    command = [sys.executable, "-m", "wan_animate_server.estimate"]
    try:
        done = subprocess.run(command, input=wanted.encode(), capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"no forecast within {_SECONDS:.0f} s; ask for a smaller area or shorter segments") from error
    if done.returncode == ExitCode.DONE:
        return Forecast.loads(done.stdout)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode in (ExitCode.BAD_INPUT, ExitCode.UNAVAILABLE):
        raise (BadInput if done.returncode == ExitCode.BAD_INPUT else Unavailable)(said)
    log.error("a forecast failed by a bug: %s", said)
    raise Unavailable(f"the forecast failed (exit code {done.returncode}); the server's log tells more")


def disk_of(wanted: Wanted, width: int, height: int) -> int:
    """Bytes of the files of a render whose model pictures are `width`×`height`, as if nothing could be compressed.

    Each frame: plate and matte (4 channels), the face's crop, the take's layers in the depth of its format, and the
    finished segment's half floats with the 32-bit ones that it hands on.
    """
    finish = wanted.settings.finish
    depth = 1 if finish.format is Format.PNG8 else 2
    own = 8 if wanted.mode is Mode.REPLACE else 3  # character RGBA, matte, comp; or what was generated
    layers = own + sum(1 if layer is Extra.EFFECTS else 3 for layer in finish.layers)
    plate, model = wanted.width * wanted.height, width * height
    overlap = wanted.settings.overlap / wanted.settings.segment
    each = plate * (4 + layers) * depth + 3 * FACE_SIZE**2 + round(3 * model * (2 + 6 * overlap))
    return wanted.frames * each


def compute(wanted: Wanted) -> Forecast:
    """Raises `Unavailable` for an unknown model."""
    from . import forecast as forecasts  # these load torch, which only the process that computes needs
    from . import region
    from .installed import sizes_of
    from .placement import Residence

    settings, sizes = wanted.settings, sizes_of(wanted.settings.model)
    area = settings.area or sizes.area
    if wanted.mode is Mode.ANIMATE:
        width, height = region.own_size(wanted.width, wanted.height, area)
    else:
        fit = region.Fit.choose(wanted.width, wanted.height, area)
        width, height = fit.width, fit.height
    found = forecasts.forecast(sizes, settings, wanted.frames, width, height)
    memory = {residence.value: found.needed(residence) for residence in Residence}
    device = next((name for name, precision in forecasts.RATES if precision is settings.precision), "")
    return Forecast(
        segments=found.segments, length=found.length, width=width, height=height, memory=memory,
        least=min(memory.values()), device=device, seconds=found.seconds(device, settings.precision),
        disk=disk_of(wanted, width, height),
    )  # fmt: skip


def main() -> int:
    """A `Wanted` on standard input, a `Forecast` on standard output, or one sentence on standard error."""
    try:
        sys.stdout.write(compute(Wanted.loads(sys.stdin.buffer.read())).dumps())
    except Problem as error:
        sys.stderr.write(str(error))
        return error.exit_code
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
