"""What the server makes of a shot's colours, beside a real Blender: reads a question, says how much was lost.

Runs in the server's environment; knows nothing of Blender.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from wan_animate_blender.wire import Colour, Transform
from wan_animate_server.colour import Space
from wan_animate_server.video import read_picture


def main(folder: Path) -> None:
    """`folder` has colour.json and light.exr, and perhaps shown.png, which is what Blender shows of it."""
    asked = json.loads((folder / "colour.json").read_text())
    colour, light = Colour.from_json(asked["colour"]), read_picture(folder / "light.exr")
    space = Space.of(colour, folder, Transform(asked["transform"]))
    seen, returned = space.seen(light), space.light(space.shown(light))
    again = np.abs(space.seen(returned).astype(int) - seen)
    dimmed = np.abs(returned - light).max(axis=2) / light.max(axis=2)
    said: dict[str, object] = {"again": int(again.max()), "dimmed": float(np.percentile(dimmed, 95))}
    if (folder / "shown.png").exists():
        off = np.abs(read_picture(folder / "shown.png").astype(int) - seen)
        said["off"] = [int(off.max()), float(off.mean())]
    sys.stdout.write(json.dumps(said))


main(Path(sys.argv[1]))
