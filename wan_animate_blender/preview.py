"""Matte and region of one frame as they would be exported, for people to look at before anything is sent.

Nothing of the user's is moved: the 3D scene is looked at in a copy. Draws nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import commission, grey, matte, plate, pose, region, stills, unkeyed
from .edges import Grey
from .wire import BadInput, FrameRow

REMOVED, RENEWED = (1.0, 0.1, 0.1, 0.55), (0.1, 0.45, 1.0, 0.35)
"""Colours of what is removed, and of what else may become new."""


@dataclass(frozen=True, eq=False)
class Preview:
    """One frame of the edit."""

    frame: int
    matte: Grey
    """uint8 [H, W] of the plate's pixels, white is the person to remove."""
    region: Grey
    """uint8 [H, W], white is where new pixels may appear."""
    matrix: np.ndarray
    """3×3: plate pixels to those of the canvas, y down."""

    def tint(self) -> np.ndarray:
        """What to lay over the plate: float32 [H, W, 4], top row first, straight alpha."""
        person = self.matte[..., None] / np.float32(255)
        new = np.maximum(self.region[..., None] / np.float32(255) - person, 0)
        share = person / np.maximum(person + new, 1e-6)
        colour = share * np.array(REMOVED, np.float32) + (1 - share) * np.array(RENEWED, np.float32)
        colour[..., 3:] *= person + new
        return np.ascontiguousarray(colour)


def look(request: commission.Request, frame: int) -> Preview:
    """Matte and region of `request` at `frame` of the edit. Raises `BadInput` when one of them cannot be made."""
    if request.matte is None:
        raise BadInput("no matte is chosen; choose where the person to be replaced is")
    row = _row(request, frame)
    raster = plate.raster(request.scene, request.strip, request.raster)
    view = commission.view(request)
    pose.check(view)
    matte.check(request.matte, matte.Place(request.scene, raster, view), request.strip, request.front)
    with unkeyed.kept(), stills.copy_of(view.scene) as copy, tempfile.TemporaryDirectory() as folder:
        place = matte.Place(request.scene, raster, replace(view, scene=copy))
        pose.set_time(copy, row.rig)
        person = _read(matte.write(request.matte, place, [row], Path(folder) / "matte", request.edges))
        if request.region:
            matte.check(request.region, place, request.strip, what="region")
            wide = _read(matte.write(request.region, place, [row], Path(folder) / "region"))
        else:
            (keypoints,) = pose.keypoints(place.view, [row.rig])
            wide = region.around(person, keypoints, request.settings.region_grow)
    return Preview(frame, person, wide, np.array(raster.matrix).reshape(3, 3))


def _row(request: commission.Request, frame: int) -> FrameRow:
    rows, _, _ = commission.frame_table(request)
    for row in rows:
        if row.timeline == frame:
            return row
    raise BadInput(
        f"the strip {request.strip.name!r} is exported from frame {rows[0].timeline:g} to {rows[-1].timeline:g} and "
        f"the current frame is {frame}; go to one of its frames"
    )


def _read(files: Iterator[Path]) -> Grey:
    (file,) = files
    picture = grey.read(file)
    return (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture
