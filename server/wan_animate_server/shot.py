"""Shot folders, checked completely before a model is spent on them. Knows neither models nor HTTP."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import (
    FACE_SIZE,
    KEYPOINTS,
    POSE_FILE,
    SHOT_FILE,
    Alpha,
    BadInput,
    Encoding,
    Extra,
    FaceSource,
    FileEntry,
    Mode,
    Shot,
    Timecode,
    overridden,
    sha256_file,
)

from . import exr
from .colour import Space
from .video import Picture, read_character, read_grey, read_picture, to_8bit

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

LAYERS = ("plate", "matte", "region", "face", "cleanplate", "effects")
"""What may be exported for every frame."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"

_POSE_ROOM = 1 << 16
"""Bytes of headers in the file of poses, and of arrays beside them."""

_ARRAYS: Any = np.lib.format  # typed from numpy 2 on
_HEADERS = {(1, 0): _ARRAYS.read_array_header_1_0, (2, 0): _ARRAYS.read_array_header_2_0}


@dataclass(frozen=True, eq=False)
class LoadedShot:
    """A shot whose files are all there and unchanged. Pictures are read when asked for, by index from 0."""

    folder: Path
    shot: Shot
    keypoints: Floats
    """[N, 133, 3]: x, y in plate pixels, confidence 0 to 1; NaN where a point lies behind the camera."""
    face_box: Floats
    """[N, 4]: x0, y0, x1, y1 in plate pixels; NaN where none was exported."""
    character: Pixels
    """[H, W, 3] RGB, as the user chose it."""
    sequences: dict[str, tuple[str, ...]]
    """Paths of the frames of each of `LAYERS`; empty where the shot has none."""
    space: Space | None
    """What the numbers of a scene-linear plate mean; None where it is display-encoded."""

    def plate(self, i: int) -> Pixels:
        """RGB [H, W, 3] in the raster's size, 8 bit. Raises `BadInput` where the picture cannot be decoded."""
        return self.seen(self.stored_plate(i))

    def seen(self, picture: Picture) -> Pixels:
        """The plate, or a layer of a take over it, [H, W, 3], as the model and a person see it: 8 bit, 0 to 255."""
        return self.space.seen(picture) if self.space and picture.dtype.kind == "f" else to_8bit(picture)

    def stored_plate(self, i: int) -> Picture:
        """The plate with the bits that the file has: uint8 or uint16, scene-linear float16 or float32."""
        return self._checked("plate", i, read_picture(self._path("plate", i)))

    def stored_clean(self, i: int) -> Picture:
        """The plate without the people, with the bits that the file has. Raises `BadInput`."""
        return self._checked("cleanplate", i, read_picture(self._path("cleanplate", i)))

    def timecode(self, i: int) -> Timecode | None:
        """What the footage counts at frame `i`; the plate's own header knows it better than the export."""
        own = exr.timecode(self._path("plate", i), self.shot.fps) if self.space and self.sequences["plate"] else None
        return own or self.shot.timecode_of(i)

    def matte(self, i: int) -> Pixels:
        """Grey [H, W] in the raster's size, 8 bit, white = the person to remove. Raises `BadInput`."""
        return self._checked("matte", i, to_8bit(read_grey(self._path("matte", i))))

    def effects(self, i: int) -> Pixels:
        """Grey [H, W] like the matte, white = where light is kept that the old person threw. Raises `BadInput`."""
        return self._checked("effects", i, to_8bit(read_grey(self._path("effects", i))))

    def face(self, i: int) -> Pixels:
        """RGB [512, 512, 3], 8 bit. Raises `BadInput`."""
        return self._checked("face", i, to_8bit(read_picture(self._path("face", i))))

    def _path(self, layer: str, i: int) -> Path:
        return self.folder / self.sequences[layer][i]

    def _checked(self, layer: str, i: int, picture: Picture) -> Picture:
        _expect_size(self.sequences[layer][i], picture.shape[1::-1], picture_size(self.shot, layer))
        return picture


class Damaged(BadInput):
    """A file of a shot is not the one that was exported, which had the hash `sha256`."""

    def __init__(self, sentence: str, sha256: str) -> None:
        super().__init__(sentence)
        self.sha256 = sha256


def picture_size(shot: Shot, layer: str) -> tuple[int, int]:
    """Width and height of the pictures of `layer`."""
    return (FACE_SIZE, FACE_SIZE) if layer == "face" else (shot.raster.width, shot.raster.height)


def load(folder: Path, overrides: Iterable[str] = ()) -> LoadedShot:
    """Read and check the shot in `folder`, with other settings than it says where `overrides` are given (NAME=VALUE).

    Raises `BadInput` with a sentence about the first thing that is wrong.
    """
    shot = read(folder)
    shot = replace(shot, settings=overridden(shot.settings, overrides))
    check_layers(shot)
    for path, entry in shot.files.items():
        _check_file(folder, path, entry)
    sequences = {layer: tuple(shot.sequence(layer)) for layer in LAYERS}
    is_linear = shot.colour.encoding is Encoding.LINEAR
    for layer, paths in sequences.items():
        for path in paths:
            check = _check_exr if is_linear and layer in ("plate", "cleanplate") else _check_png
            check(folder, path, picture_size(shot, layer))
    keypoints, face_box = _read_pose(folder, shot)
    return LoadedShot(
        folder, shot, keypoints, face_box, read_character(folder / shot.character), sequences, space(shot, folder)
    )


def read(folder: Path) -> Shot:
    """`shot.json` of `folder`. Raises `BadInput`."""
    try:
        return Shot.loads((folder / SHOT_FILE).read_bytes())
    except OSError as error:
        raise BadInput(
            f"{folder} has no readable {SHOT_FILE} ({error.strerror}); give the folder of an export, such as SH010/e001"
        ) from error


def check_layers(shot: Shot) -> None:
    """Raise `BadInput` when `shot` does not list what its mode and its face source need, without reading any file.

    The same for a plate in a colour space that is not known, unless the shot brings a configuration that knows it.
    """
    if shot.colour.ocio not in shot.files:
        space(shot, Path())
    for layer, reason in _needed_layers(shot).items():
        if not shot.sequence(layer):
            raise BadInput(
                f"the shot {shot.name} has no {layer} frames, {reason} needs one for each of its {len(shot.frames)} "
                f"frames; choose where the {layer} comes from and export again"
            )
    _check_effects(shot)
    for path in (POSE_FILE, shot.character):
        if path not in shot.files:
            raise BadInput(f"the shot {shot.name} does not list {path}, every shot needs it; export the shot again")


def keeps_effects(shot: Shot) -> bool:
    """Whether light that the old actor threw is to be kept."""
    return shot.mode is Mode.REPLACE and shot.settings.finish.effects > 0 and bool(shot.sequence("effects"))


def _check_effects(shot: Shot) -> None:
    if keeps_effects(shot) and shot.settings.finish.alpha is not Alpha.DIFFERENCE:
        raise BadInput(
            f"the shot {shot.name} has an effects matte and an alpha by {shot.settings.finish.alpha}, under which "
            "nothing of the clean plate shows that a shadow could fall on; choose the alpha by difference, or the "
            "effects 0"
        )


def space(shot: Shot, folder: Path) -> Space | None:
    """The colour space of the scene-linear plate of the shot in `folder`. Raises `BadInput` when it is not known."""
    if shot.colour.encoding is Encoding.DISPLAY:
        return None
    return Space.of(shot.colour, folder, shot.settings.transform, shot.settings.highlights)


def _needed_layers(shot: Shot) -> dict[str, str]:
    needed = {"plate": "replace mode", "matte": "replace mode"} if shot.mode is Mode.REPLACE else {}
    if shot.mode is Mode.REPLACE and shot.settings.finish.alpha is Alpha.DIFFERENCE:
        needed["cleanplate"] = "an alpha by difference"
    if keeps_effects(shot):
        needed["cleanplate"] = "an effects matte"
    if shot.mode is Mode.REPLACE and Extra.EFFECTS in shot.settings.finish.layers:
        needed["effects"] = "the layer effects"
    if shot.face.is_pictures:
        needed["face"] = f"an expression from the {shot.face.value}"
    if shot.face is FaceSource.PLATE:
        needed.setdefault("plate", "an expression from the plate")
    return needed


def _check_file(folder: Path, path: str, entry: FileEntry) -> None:
    try:
        size = (folder / path).stat().st_size
        if size != entry.size:
            raise Damaged(
                f"{path} of the shot {folder} has {size} bytes, {entry.size} were exported; "
                "it was cut off on its way, copy or export the shot again", entry.sha256,
            )  # fmt: skip
        if sha256_file(folder / path) != entry.sha256:
            raise Damaged(
                f"{path} of the shot {folder} is not the file that was exported; export the shot again", entry.sha256
            )
    except OSError as error:
        raise BadInput(
            f"{path} of the shot {folder} cannot be read ({error.strerror}); copy or export the shot again"
        ) from error


def _check_png(folder: Path, path: str, size: tuple[int, int]) -> None:
    """Find a PNG that was already truncated or of another size when it was exported, without decoding it."""
    with (folder / path).open("rb") as file:
        head = file.read(24)
        if not head.startswith(_PNG_START) or len(head) < 24:
            raise BadInput(f"{path} of the shot {folder} is not a PNG picture; export the shot again")
        file.seek(-min(12, (folder / path).stat().st_size), 2)
        if not file.read().endswith(_PNG_END):
            raise BadInput(f"{path} of the shot {folder} ends in its middle; render that frame and export again")
    _expect_size(path, struct.unpack(">II", head[16:24]), size)


def _check_exr(folder: Path, path: str, size: tuple[int, int]) -> None:
    _expect_size(path, exr.size(folder / path), size)


def _expect_size(path: str, given: tuple[int, ...], expected: tuple[int, int]) -> None:
    if tuple(given) != expected:
        raise BadInput(
            f"{path} is {given[0]}×{given[1]} pixels, expected {expected[0]}×{expected[1]}; export the shot again"
        )


def _read_pose(folder: Path, shot: Shot) -> tuple[Floats, Floats]:
    frames = len(shot.frames)
    try:
        _expect_as_large_as_told(folder / POSE_FILE, frames)
        with np.load(folder / POSE_FILE, allow_pickle=False) as arrays:
            keypoints = np.asarray(arrays["keypoints"], np.float32)
            boxes = np.asarray(arrays["face_box"], np.float32) if "face_box" in arrays else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"{POSE_FILE} of the shot {folder} is damaged; expected plain arrays, 'keypoints' among them, export again"
        ) from error
    face_box = np.full((frames, 4), np.nan, np.float32) if boxes is None else boxes
    _expect_shape("keypoints", keypoints, (frames, KEYPOINTS, 3), "poses")
    _expect_shape("face_box", face_box, (frames, 4), "face boxes")
    confidence = keypoints[..., 2]
    if not ((confidence >= 0) & (confidence <= 1)).all() or np.isnan(keypoints[confidence > 0]).any():
        raise BadInput(
            f"{POSE_FILE} of the shot {folder} has a confidence outside 0 to 1, or a point without a place that "
            "claims to be seen; export the shot again"
        )
    return keypoints, face_box


def _expect_as_large_as_told(path: Path, frames: int) -> None:
    """Raise `ValueError` for an archive that unpacks to more than the poses of `frames` frames could be.

    A few kilobytes can be packed zeros for terabytes, and an array's header can ask for memory that no data fills.
    """
    most = _POSE_ROOM + frames * KEYPOINTS * 3 * np.dtype(np.float64).itemsize
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > 2 * most:
            raise ValueError("it unpacks to more than poses of its frames")
        for member in archive.infolist():
            with archive.open(member) as file:
                read = _HEADERS.get(_ARRAYS.read_magic(file))
                if read is None:
                    raise ValueError(f"{member.filename} is no array of a version that poses have")
                shape, _, kind = read(file)
            if math.prod(shape) * kind.itemsize > member.file_size:
                raise ValueError(f"{member.filename} says that it is larger than it is")


def _expect_shape(name: str, array: Floats, expected: tuple[int, ...], what: str) -> None:
    if array.ndim == len(expected) and array.shape[1:] == expected[1:] and len(array) != expected[0]:
        raise BadInput(f"{POSE_FILE} has {len(array)} {what}, the shot has {expected[0]} frames; export the shot again")
    if array.shape != expected:
        raise BadInput(f"{name} in {POSE_FILE} has the shape {array.shape}, expected {expected}; export the shot again")
