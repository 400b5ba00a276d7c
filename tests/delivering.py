"""A take whose frames no model made, delivered as one segment, and the eyes to see what is in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wan_animate_blender.wire import FIRST_FRAME, Take
from wan_animate_server.delivery import Delivery
from wan_animate_server.pipeline import Decoded
from wan_animate_server.segments import Part
from wan_animate_server.signals import ShotSignals
from wan_animate_server.take import TakeFolder
from wan_animate_server.video import EXR, read_picture


def delivered(signals: ShotSignals, made: np.ndarray[Any, np.dtype[np.float16]]) -> Path:
    """The folder of a take whose one segment is `made` [n, h, w, 3]."""
    raster, frames = signals.shot.shot.raster, range(len(made))
    take = TakeFolder.claim(signals.shot.folder.parent / "takes", signals.shot.shot, raster.width, raster.height)
    part = Part(0, tuple(frames), frames, seed=1, key="a" * 64)
    with Delivery.into(take, take.folder / "preview.mp4", signals, lambda: None) as delivery:
        delivery.start(Decoded(0, 1, part, 0, made, made[:0], reused=False))
    take.complete([])
    return take.folder


def said(folder: Path) -> Take:
    return Take.loads((folder / "take.json").read_bytes())


def layer(folder: Path, name: str, i: int = 0) -> np.ndarray[Any, Any]:
    """Samples of frame `i` as they are stored; a PNG character with its alpha."""
    (path,) = (folder / name).glob(f"{FIRST_FRAME + i}.*")
    if name != "character" or path.suffix == EXR:
        return read_picture(path)
    return cv2.cvtColor(cv2.imread(str(path), -1), cv2.COLOR_BGRA2RGBA)
