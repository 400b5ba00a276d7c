"""What the model is shown of a shot: reference, pose, face, plate and mask, frame by frame, at the model's size.

Knows shots and pictures; no network and no sampler. Implements `pipeline.Signals`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import FaceSource, Mode, Roi

from .. import region as regions
from .. import window as windows
from ..shot import LoadedShot
from ..video import Picture, read_grey, to_8bit
from . import extent, face, hull, pose

# Mask and alpha of one frame need the same region and matte; a whole segment of them would be gigabytes at 4K.
_KEPT = 8

_UNSEEN = ("face", "cleanplate", "effects")
"""Pictures that are looked at in another way, or never shown to the model."""


class ShotSignals:
    """The signals of one shot for a model that works at `area` pixels a frame. Frames are numbered from 0.

    `width` and `height` are the model's, multiples of 16; a frame's window leads from them to the picture that is
    delivered: the plate in replace mode, the model's own frame in animate mode.
    """

    def __init__(self, shot: LoadedShot, area: int, through: Sequence[windows.Window] = ()) -> None:
        self.shot = shot
        self._area = area
        self.mode = shot.shot.mode
        self.frames = len(shot.shot.frames)
        self.windows = tuple(through) or _windows(shot, area)
        """Which part of the delivered picture the model's is, for each frame; all of one size."""
        self.width, self.height = self.windows[0].fit.width, self.windows[0].fit.height
        self._regions = shot.sequences["region"]
        self.region: Callable[[int], Picture] = functools.lru_cache(_KEPT)(self._region)
        self.matte: Callable[[int], Picture] = functools.lru_cache(_KEPT)(shot.matte)

    def digest(self, frames: Sequence[int]) -> str:
        """SHA-256 of everything that the signals of `frames` depend on, in their order, wherever they lie in a shot."""
        exported = [[*self._exported(i), *self._face(i)] for i in frames]
        seen = [(self.windows[i].x, self.windows[i].y, *dataclasses.astuple(self.windows[i].fit)) for i in frames]
        return _sha256({"shared": self._shared, "frames": exported, "windows": seen})

    def origin(self, i: int) -> str:
        """SHA-256 of what was exported of frame `i`, wherever it lies in a shot and a window in it.

        A face that is seen in the plate or on the rig is no part of it: its box is averaged with the neighbours', and
        so it is another one when a strip that ended there is trimmed longer.
        """
        chosen = self.shot.shot.face in (FaceSource.DRIVING, FaceSource.STILL)
        face = self._face(i) if chosen else []
        return _sha256({"shared": self._shared, "frame": [*self._exported(i), *face]})

    def going_on(self, roi: Roi | None, kept: range) -> ShotSignals:
        """The same signals through the windows of a take, as `roi` tells: its frames are `kept`, the others go on."""
        if self.mode is Mode.ANIMATE:
            return self
        raster = self.shot.shot.raster
        if roi is None:
            fit = regions.Fit.choose(raster.width, raster.height, self._area)
            return ShotSignals(self.shot, self._area, windows.whole(self.frames, fit))
        fit = regions.Fit(roi.width, roi.height, roi.block)
        there = [windows.Window(raster.width, raster.height, x, y, fit) for x, y in zip(roi.x, roi.y, strict=True)]
        return ShotSignals(self.shot, self._area, windows.go_on(there, kept.start, extent.boxes(self.shot)))

    @functools.cached_property
    def _shared(self) -> dict[str, Any]:
        """What all frames have in common."""
        shot = self.shot.shot
        return {
            "mode": shot.mode,
            "face": shot.face,
            "character": shot.files[shot.character].sha256,
            "plate": [shot.raster.width, shot.raster.height],
            "space": self.shot.space.facts if self.shot.space else None,
        }

    def _exported(self, i: int) -> list[Any]:
        """What was exported for frame `i` but its face: which frame of the footage it is, keypoints and pictures."""
        shot = self.shot
        keypoints = hashlib.sha256(shot.keypoints[i].tobytes()).hexdigest()
        pictures = {layer: self._picture(layer, i) for layer in shot.sequences if layer not in _UNSEEN}
        return [shot.shot.frames[i].source, keypoints, pictures]

    def _face(self, i: int) -> list[Any]:
        return [hashlib.sha256(self.shot.face_box[i].tobytes()).hexdigest(), self._picture("face", i)]

    def _picture(self, layer: str, i: int) -> str | None:
        """The SHA-256 of an exported picture."""
        paths = self.shot.sequences[layer]
        return self.shot.shot.files[paths[i]].sha256 if paths else None

    @property
    def roi(self) -> Roi | None:
        """The windows as a take tells of them; None where they are the whole picture."""
        window = self.windows[0]
        if window.is_whole:
            return None
        return Roi(
            width=window.fit.plate_width, height=window.fit.plate_height, block=window.fit.block,
            x=tuple(each.x for each in self.windows), y=tuple(each.y for each in self.windows),
        )  # fmt: skip

    def reference(self) -> Picture:
        """The character picture, whole and centred on black: uint8 [H, W, 3]."""
        height, width = self.shot.character.shape[:2]
        return regions.Letterbox(width, height, self.width, self.height).picture(self.shot.character)

    def pose(self, index: int) -> Picture:
        """The drawn skeleton: uint8 [H, W, 3]."""
        return pose.draw(self._points(index), self.width, self.height)

    def face(self, index: int) -> Picture:
        """The expression: uint8 [512, 512, 3], black when there is none."""
        source = self.shot.shot.face
        if source.is_pictures:
            return self.shot.face(index)
        if source is FaceSource.PLATE:
            return face.crop(self.shot.plate(index), self.shot.face_box[index])
        return face.absent()

    def plate(self, index: int) -> Picture:
        """The plate at the model's size, the old person still in it: uint8 [H, W, 3]. Replace mode only."""
        return self.windows[index].picture(self.shot.plate(index))

    @property
    def has_clean(self) -> bool:
        """Whether the shot brings the plate without the people."""
        return bool(self.shot.sequences["cleanplate"])

    def clean(self, index: int) -> regions.Floats:
        """The plate without the people, at the model's size: float32 [H, W, 3], 0..1. The model never sees it."""
        seen = self.shot.seen(self.shot.stored_clean(index))
        return np.asarray(self.windows[index].picture(seen), np.float32) / np.float32(255)

    def mask(self, index: int) -> regions.Floats:
        """What is made anew: float32 [H, W], 1 there and 0 elsewhere. Replace mode only."""
        window = self.windows[index]
        return regions.model_mask(window.crop(self.region(index)), window.fit)

    def alpha(self, index: int) -> Picture:
        """The region's compositing alpha at the plate's size: uint8 [H, W], 0 outside the region. Replace mode only.

        Nothing here cuts the character out.
        """
        return regions.alpha(self.region(index), self.matte(index), self.shot.shot.settings.finish.feather)

    def _points(self, index: int) -> npt.NDArray[np.float64]:
        """The keypoints [133, 3] on the model's picture.

        In animate mode the whole plate is letterboxed into it, as the released preprocessing does without retargeting.
        """
        keypoints = self.shot.keypoints[index]
        if self.mode is Mode.REPLACE:
            return self.windows[index].points(keypoints)
        raster = self.shot.shot.raster
        return regions.Letterbox(raster.width, raster.height, self.width, self.height).points(keypoints)

    def _region(self, index: int) -> Picture:
        """Where new pixels may appear, at the plate's size: the shot folder's own picture wins over the estimate.

        Nowhere outside the window, which holds all of it but where a take's windows go on and somebody runs away.
        """
        raster = self.shot.shot.raster
        if self._regions:
            found = to_8bit(read_grey(self.shot.folder / self._regions[index]))
        else:
            body = hull.draw(self.shot.keypoints[index], raster.width, raster.height)
            found = regions.region(self.matte(index), body, self.shot.shot.settings.region_grow)
        return self.windows[index].cut(found)


def _windows(shot: LoadedShot, area: int) -> tuple[windows.Window, ...]:
    raster, frames = shot.shot.raster, len(shot.shot.frames)
    if shot.shot.mode is Mode.ANIMATE:
        height, width = shot.character.shape[:2]
        fit = regions.Fit(*regions.own_size(width, height, area), block=regions.BLOCK)
        return windows.whole(frames, fit)
    fit = regions.Fit.choose(raster.width, raster.height, area)
    if fit.block == regions.BLOCK or not shot.shot.settings.roi:
        return windows.whole(frames, fit)
    return windows.follow(extent.boxes(shot), raster.width, raster.height, area)


def _sha256(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
