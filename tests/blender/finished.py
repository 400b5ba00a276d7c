"""Run by the server's Python: `python finished.py EXPORT` finishes noise as if a model had made it, and says the take.

The layers are the product's own, with what is said in their files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from wan_animate_server import belonging
from wan_animate_server.layering import Layering
from wan_animate_server.shot import load
from wan_animate_server.signals import ShotSignals
from wan_animate_server.take import TakeFolder


def main(export: Path) -> Path:
    shot = load(export)
    raster = shot.shot.raster
    signals = ShotSignals(shot, raster.width * raster.height)
    take = TakeFolder.claim(export.parent / "takes", shot.shot, raster.width, raster.height)
    layering, numbers = Layering(signals, take), shot.shot.numbers
    size = signals.height, signals.width, 3
    made = np.stack([np.random.default_rng(i).random(size).astype(np.float16) for i in range(len(numbers))])
    if belonging.is_lacking(None, shot.shot.settings.finish, shot.shot.mode):
        take.note(belonging=belonging.measure(signals, 0, made))
    for i, frame in enumerate(made):
        layering.write(i, frame, seed=i)
    take.complete([layering.path(layer, number) for layer in take.take.layers for number in numbers])
    return take.folder


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]))))
