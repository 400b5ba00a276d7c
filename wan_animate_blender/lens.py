"""How a lens bends a picture: points and pictures to plate pixels and back. Knows neither Blender nor files.

A lens is given by one function that bends or straightens points; the other direction is found by Newton's method. All
points are plate pixels, y down, the first pixel's centre at (0.5, 0.5). *Straight* points are those of a camera without
distortion, *bent* ones those of the plate. The four models are those of Blender's motion tracking (libmv,
distortion_models.h); tests/blender/test_lens.py holds them to its Movie Distortion node.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import wire
from .wire import BadInput, LensKind, MapUse

Points = npt.NDArray[np.float64]
"""[n, 2] = x, y."""
Bend = Callable[[Points], Points]
P = TypeVar("P", bound=np.generic)

GRID = 4
"""Pixels between the points that are straightened one by one for `warp`: between them the bend is a straight line to
some 1e-3 of a pixel."""
FARTHEST, STEEPEST = 4.0, 8.0
"""How far models are followed, in distances of the plate's farthest corner, and how much they may magnify. Beyond, and
where they turn back upon themselves (a polynomial does, sooner or later), they go on evenly: so nothing from far
outside lands in the picture."""
EXACT, ATTEMPTS = 1e-6, 60
"""Pixels by which an inverted point may miss; steps after which it is left as near as it came."""


@dataclass(frozen=True)
class Lens:
    """A lens as it draws on a plate of `width`×`height` pixels."""

    message: wire.Lens
    """How `shot.json` says it. An ST-map's `file` is the one in the shot folder."""
    width: int
    height: int
    bend: Bend
    """Straight points to bent ones, or the other way round where the model or map is given so."""
    straightens: bool
    """Whether `bend` goes the other way round."""

    def distort(self, points: npt.ArrayLike) -> Points:
        """Straight `points` [n, 2] as the plate shows them. NaN stays NaN, and is where an ST-map says nothing."""
        given = np.asarray(points, np.float64)
        return _invert(self.bend, given) if self.straightens else self.bend(given)

    def undistort(self, points: npt.ArrayLike) -> Points:
        """Points [n, 2] of the plate as a camera without distortion would see them; the inverse of `distort`."""
        given = np.asarray(points, np.float64)
        return self.bend(given) if self.straightens else _invert(self.bend, given)

    @functools.cached_property
    def frame(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in whole straight pixels of what a render must cover so that the plate can be made of it.

        May begin below 0 (overscan).
        """
        return self.straight((0, 0, self.width, self.height))

    def straight(self, box: Sequence[float]) -> tuple[int, int, int, int]:
        """The straight pixels that a box x0, y0, x1, y1 of the plate is made of."""
        x0, y0, x1, y1 = box
        across, down = np.append(np.arange(x0, x1, GRID), x1), np.append(np.arange(y0, y1, GRID), y1)
        edges = [(x, y) for x in across for y in (y0, y1)] + [(x, y) for x in (x0, x1) for y in down]
        found = self.undistort(edges)
        (left, top), (right, bottom) = np.nanmin(found, axis=0), np.nanmax(found, axis=0)
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def warp(self, picture: npt.NDArray[P]) -> npt.NDArray[P]:
        """Bend a render of exactly `frame` [h, w] or [h, w, c] onto the plate's pixels [H, W(, c)], bilinearly."""
        x0, y0, x1, y1 = self.frame
        if picture.shape[:2] != (y1 - y0, x1 - x0):
            raise ValueError(f"the picture is {picture.shape[1]}×{picture.shape[0]}, expected {x1 - x0}×{y1 - y0}")
        at, right, down = self._samples
        if picture.ndim == 3:
            right, down = right[..., None], down[..., None]
        flat = picture.reshape(-1, *picture.shape[2:])
        corners = (flat[at + step].astype(np.float32) for step in (0, 1, x1 - x0, x1 - x0 + 1))
        a, b, c, d = corners
        upper, lower = a + (b - a) * right, c + (d - c) * right
        mixed = upper + (lower - upper) * down
        whole = np.rint(mixed) if np.issubdtype(picture.dtype, np.integer) else mixed
        bent: npt.NDArray[P] = whole.astype(picture.dtype)
        return bent

    @functools.cached_property
    def _samples(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """For each plate pixel: the upper left of the four render pixels around it, and how far to the next ones."""
        x0, y0, x1, y1 = self.frame
        nodes, x_weights = _between(self.width)
        rows, y_weights = _between(self.height)
        grid = np.stack(np.meshgrid(nodes, rows), axis=-1)
        straight = self.undistort(grid.reshape(-1, 2)).reshape(grid.shape) - (x0 + 0.5, y0 + 0.5)
        x, y = (y_weights @ np.nan_to_num(straight[..., i]) @ x_weights.T for i in (0, 1))
        left, top = np.clip(np.floor(x), 0, x1 - x0 - 2), np.clip(np.floor(y), 0, y1 - y0 - 2)
        at = (top * (x1 - x0) + left).astype(np.intp)
        return at, np.clip(x - left, 0, 1).astype(np.float32), np.clip(y - top, 0, 1).astype(np.float32)


def _between(size: int) -> tuple[Points, Points]:
    """Nodes every `GRID` pixels along a side, and the weights [size, nodes] that lead from them to pixel centres."""
    nodes = np.append(np.arange(0, size, GRID), size).astype(np.float64)
    centres = np.arange(size) + 0.5
    left = np.minimum(np.arange(size) // GRID, len(nodes) - 2)
    along = (centres - nodes[left]) / (nodes[left + 1] - nodes[left])
    weights = np.zeros((size, len(nodes)))
    weights[np.arange(size), left], weights[np.arange(size), left + 1] = 1 - along, along
    return nodes, weights


def _invert(bend: Bend, wanted: Points) -> Points:
    """The points that `bend` takes to `wanted`, by Newton's method; steps that lead away from them are halved."""
    found, missing = wanted, wanted - bend(wanted)
    step = _newton(bend, found, missing)
    for _ in range(ATTEMPTS):
        trial = found + step
        left = wanted - bend(trial)
        nearer = _square(left) < _square(missing)
        found, missing = np.where(nearer, trial, found), np.where(nearer, left, missing)
        if not np.nanmax(np.abs(missing), initial=0.0) > EXACT:
            break
        step = np.where(nearer, _newton(bend, found, missing), step / 2)
    return found


def _newton(bend: Bend, points: Points, missing: Points) -> Points:
    """The step from `points` that makes up for `missing` where `bend` is straight."""
    aside = 0.5
    bent = bend(points)
    dx, dy = (bend(points + way) - bent for way in ((aside, 0.0), (0.0, aside)))
    area = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        right = (missing[:, 0] * dy[:, 1] - missing[:, 1] * dy[:, 0]) / area
        down = (missing[:, 1] * dx[:, 0] - missing[:, 0] * dx[:, 1]) / area
    found: Points = np.stack([right, down], axis=1) * aside
    return found


# --- the models of a clip -------------------------------------------------------------------------


def from_clip(clip: Any, width: int, height: int) -> Lens:
    """The lens that a movie clip (`bpy.types.MovieClip`) was solved with, on a plate of `width`×`height` pixels.

    Raises `BadInput` when the clip is of another shape than the plate.
    """
    camera = clip.tracking.camera
    principal = camera.principal_point_pixels
    wide, high = clip.size
    kind = LensKind(camera.distortion_model.lower())
    message = wire.Lens(
        kind=kind,
        width=wide,
        height=high,
        pixel_aspect=camera.pixel_aspect,
        focal=camera.focal_length_pixels,
        principal=(principal[0], high - principal[1]),
        coefficients=_coefficients(camera, kind),
    )
    return from_message(message, width, height)


def _coefficients(camera: Any, kind: LensKind) -> tuple[float, ...]:
    prefix = "" if kind is LensKind.POLYNOMIAL else f"{kind}_"
    names = {
        LensKind.POLYNOMIAL: ("k1", "k2", "k3"),
        LensKind.DIVISION: ("k1", "k2"),
        LensKind.NUKE: ("k1", "k2", "p1", "p2"),  # Blender has the last two since 5.0
        LensKind.BROWN: ("k1", "k2", "k3", "k4", "p1", "p2"),
    }[kind]
    return tuple(getattr(camera, prefix + name, 0.0) for name in names)


@functools.lru_cache(maxsize=4)
def from_message(message: wire.Lens, width: int, height: int) -> Lens:
    """The lens of a model, on a plate of `width`×`height` pixels. Raises `BadInput` when that has another shape."""
    _check_shape("clip", message, width, height)
    scale = np.array([width / message.width, height / message.height])
    centre = np.array(message.principal) * scale
    unit = _unit(message) * np.array([1.0, -message.pixel_aspect]) * scale  # the models' y points up
    corners = np.array([(x, y) for x in (0, width) for y in (0, height)])
    corner = np.linalg.norm((corners - centre) / unit, axis=1).max()
    model = functools.partial(_MODELS[message.kind], k=message.coefficients)
    reach = _reach(model, FARTHEST * corner)

    def bend(points: Points) -> Points:
        normal = (points - centre) / unit
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.minimum(1.0, reach / np.linalg.norm(normal, axis=1, keepdims=True))
        bent: Points = centre + model(normal * inside) / inside * unit
        return bent

    return Lens(message, width, height, bend, straightens=message.kind is LensKind.NUKE)


def _check_shape(what: str, message: wire.Lens, width: int, height: int) -> None:
    if abs(message.width * height / (message.height * width) - 1) > 0.01:
        raise BadInput(
            f"the {what} of the lens is {message.width}×{message.height} and the plate {width}×{height} pixels, "
            f"expected the same shape; choose the {what} that was made of this plate"
        )


def _unit(message: wire.Lens) -> float:
    """Pixels across of the length 1 in the model."""
    if message.kind is LensKind.NUKE:
        return max(message.width, message.height / message.pixel_aspect) / 2
    return message.focal


def _reach(model: Bend, farthest: float) -> float:
    """Distance from the axis up to which `model` leads outwards, and not too fast, in all directions."""
    radii = np.linspace(0, farthest, 2048)
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    directions = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        lengths = np.array([model(radii[:, None] * way) @ way for way in directions])
    slopes = np.diff(lengths, axis=1) / radii[1]
    tame = ((slopes > 0) & (slopes < STEEPEST)).all(axis=0)
    return float(radii[-1] if tame.all() else radii[max(int(np.argmin(tame)), 1)])


def _square(points: Points) -> Points:
    squares: Points = (points * points).sum(axis=1, keepdims=True)
    return squares


def _polynomial(points: Points, k: Sequence[float]) -> Points:
    r2 = _square(points)
    return points * (1 + r2 * (k[0] + r2 * (k[1] + r2 * k[2])))


def _division(points: Points, k: Sequence[float]) -> Points:
    r2 = _square(points)
    return points / (1 + r2 * (k[0] + r2 * k[1]))


def _nuke(points: Points, k: Sequence[float]) -> Points:
    """The one that straightens; the last two coefficients are those of an anamorphic lens."""
    r2, crosswise = _square(points), (points * points)[:, ::-1]
    return points / (1 + r2 * (k[0] + r2 * k[1]) + crosswise * k[2:4])


def _brown(points: Points, k: Sequence[float]) -> Points:
    r2, tangent = _square(points), np.array(k[4:6])
    radial = 1 + r2 * (k[0] + r2 * (k[1] + r2 * (k[2] + r2 * k[3])))
    bent: Points = points * (radial + 2 * (points @ tangent)[:, None]) + r2 * tangent
    return bent


_MODELS = {
    LensKind.POLYNOMIAL: _polynomial,
    LensKind.DIVISION: _division,
    LensKind.NUKE: _nuke,
    LensKind.BROWN: _brown,
}


# --- ST-maps --------------------------------------------------------------------------------------


def from_map(values: npt.NDArray[np.floating[Any]], use: MapUse, file: str, width: int, height: int) -> Lens:
    """The lens that an ST-map says: `values` [h, w, 2], top row first, are u to the right and v upwards, 0–1.

    A pixel that is black or not finite says nothing. `file` is the map's place in the shot folder. Half floats leave an
    ST-map of 2,048 pixels one pixel of doubt at its right and upper sides. Raises `BadInput` for what is no ST-map.
    """
    high, wide = values.shape[:2]
    message = wire.Lens(kind=LensKind.STMAP, width=wide, height=high, file=file, use=use)
    _check_shape("ST-map", message, width, height)
    places = np.where((values == 0).all(axis=2, keepdims=True), np.nan, values).astype(np.float64)
    places = np.stack([places[..., 0] * width, (1 - places[..., 1]) * height], axis=2)
    _check_map(places, file, width, height)

    def bend(points: Points) -> Points:
        column, row = points[:, 0] * wide / width - 0.5, points[:, 1] * high / height - 0.5
        return _look_up(places, column, row)

    return Lens(message, width, height, bend, straightens=use is MapUse.DISTORT)


def _look_up(places: Points, column: Points, row: Points) -> Points:
    """Bilinear, and along the same straight lines beyond the borders."""
    high, wide = places.shape[:2]
    known = np.isfinite(column) & np.isfinite(row)
    left = np.clip(np.floor(np.where(known, column, 0)), 0, wide - 2).astype(np.intp)
    top = np.clip(np.floor(np.where(known, row, 0)), 0, high - 2).astype(np.intp)
    x, y = (column - left)[:, None], (row - top)[:, None]
    upper = places[top, left] * (1 - x) + places[top, left + 1] * x
    lower = places[top + 1, left] * (1 - x) + places[top + 1, left + 1] * x
    between: Points = upper * (1 - y) + lower * y
    return between


def _check_map(places: Points, file: str, width: int, height: int) -> None:
    high, wide = places.shape[:2]
    if min(high, wide) >= 2 and np.isfinite(places).all(axis=2).mean() > 0.5:
        right, down = np.diff(places[..., 0], axis=1), np.diff(places[..., 1], axis=0)
        straight = np.nanmedian(right) * wide / width, np.nanmedian(down) * high / height
        if all(0.5 < along < 2 for along in straight):
            return
    raise BadInput(
        f"{file} is no ST-map: its red does not grow from 0 at the left to 1 at the right, or its green not from 0 at "
        "the bottom to 1 at the top; choose a map of absolute coordinates"
    )
