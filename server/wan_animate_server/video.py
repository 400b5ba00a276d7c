"""Pictures and movies on disk: frames in, frames out. Knows no shot, no take and no model."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from PIL import Image

from wan_animate_blender.wire import AUDIO_RATE, BadInput, Format, whole_file

from . import exr, png

Picture = npt.NDArray[Any]
"""[H, W, 3] RGB, [H, W, 4] RGBA or [H, W] grey. uint8 or uint16: display-encoded, the whole range of its type, straight
alpha (PNG). float16 or float32: scene-linear, without bounds, premultiplied (EXR)."""

EXR = ".exr"
"""How names of files with scene-linear pictures end."""

SMALL = 1920
"""Pixels of the longer side of a preview: all that is looked at, and a long shot of larger ones would fill memory."""

_KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""All that the add-on sends; OpenCV would take many more for pictures, each a decoder that a stranger may try."""

_MOST_BYTES = exr.PIXELS * 8
"""Of a file of the largest picture, not packed at all."""

Image.MAX_IMAGE_PIXELS = exr.PIXELS  # Pillow's own limit would be in the way of large plates

# Preview quality: visually clean, and a second of 720p still below a megabyte.
_CRF = "18"
_BIT_RATE = 192_000  # two channels of AAC that nobody hears a difference in
_LAYOUTS = {1: "mono", 2: "stereo"}
# ITU-T H.273 code points: what a player must know to show the preview's colours as they are here.
_BT709, _LIMITED = 1, 1


def read_picture(path: Path) -> Picture:
    """The samples of a picture file as stored: [H, W, 3] RGB, uint8 or uint16, of an EXR file float16 or float32.

    Grey is repeated to three channels; an alpha channel is left out, colours stay as stored. Orientation tags are
    ignored, as Blender ignores them. Raises `BadInput` when the file is not there, not a picture or cut short.
    """
    if path.suffix == EXR:
        return exr.read(path)
    return _rgb(_decode(path, cv2.IMREAD_UNCHANGED))


def read_character(path: Path) -> Picture:
    """A reference picture as a person sees it: uint8 [H, W, 3] RGB, upright, transparent parts on black.

    Black because that is what surrounds the picture when it is letterboxed. Raises `BadInput` as `read_picture` does.
    """
    stored = to_8bit(_decode(path, cv2.IMREAD_UNCHANGED))
    if stored.ndim == 3 and stored.shape[2] == 4:
        alpha = stored[..., 3:].astype(np.uint16)
        return _rgb(((stored[..., :3] * alpha + 127) // 255).astype(np.uint8))
    return _rgb(_decode(path, cv2.IMREAD_COLOR))


def read_grey(path: Path) -> Picture:
    """A matte or region as stored, [H, W]; of a colour picture its luma. Raises `BadInput` as `read_picture`."""
    if path.suffix == EXR:
        return exr.read_grey(path)
    stored = _decode(path, cv2.IMREAD_UNCHANGED)
    return stored if stored.ndim == 2 else cv2.cvtColor(_rgb(stored), cv2.COLOR_RGB2GRAY)


def to_8bit(picture: Picture) -> Picture:
    """uint8 or uint16 samples as uint8, to the nearest."""
    if picture.dtype == np.uint8:
        return picture
    return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)


def write_picture(
    path: Path, picture: Picture, words: exr.Words = MappingProxyType({}), compression: Format = Format.EXR_ZIP
) -> None:  # fmt: skip
    """Write a `Picture` as PNG or EXR, as its samples are, losslessly and under its final name only when complete.

    The file says `words` of it. Raises `BadInput` when the folder cannot be written.
    """
    try:
        with whole_file(path) as part:
            if picture.dtype.kind == "f":
                exr.write(part, picture, words, compression)
            else:
                part.write_bytes(png.encoded(picture, words))
    except OSError as error:
        raise _unwritable(path, error) from error


def small(picture: Picture) -> Picture:
    """[H, W, 3] of any type at a preview's size, each pixel the mean of those that it covers; never enlarged."""
    height, width = picture.shape[:2]
    scale = SMALL / max(height, width)
    if scale >= 1:
        return picture
    samples = picture.astype(np.float32) if picture.dtype == np.float16 else picture  # OpenCV knows no halves
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA))


class Preview:
    """An H.264 movie for looking at, written frame by frame; it appears under its name when the block ends well.

    `with Preview(path, fps) as preview: preview.add(frame)`. The first frame sets the size; odd sizes gain a repeated
    last column or row, because 4:2:0 needs even ones. Playable while it downloads (`faststart`). `sound` has what is
    heard during each frame, int16 [n, channels] at `AUDIO_RATE`, one channel or two; it becomes AAC.
    """

    def __init__(self, path: Path, fps: Fraction, sound: Iterator[npt.NDArray[np.int16]] = iter(())) -> None:
        self._path, self._fps, self._sound, self._samples = path, fps, sound, 0
        self._part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        self._stream: Any = None
        self._voice: Any = None

    def __enter__(self) -> Self:
        try:
            self._part.touch()  # PyAV opens it only at the first frame
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._movie = av.open(self._part, "w", format="mp4", options={"movflags": "+faststart"})
        return self

    def add(self, frame: Picture) -> None:
        """Append uint8 [H, W, 3] RGB; every frame has the first one's size."""
        height, width = frame.shape[:2]
        even = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        heard = next(self._sound, None)
        if self._stream is None:
            self._stream = self._open_stream(width + width % 2, height + height % 2)
            if heard is not None:
                layout = _LAYOUTS[heard.shape[1]]
                self._voice = self._movie.add_stream("aac", rate=AUDIO_RATE, layout=layout, bit_rate=_BIT_RATE)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even, np.uint8), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        self._movie.mux(self._stream.encode(picture))
        if heard is not None:
            self._hear(heard)

    def _hear(self, samples: npt.NDArray[np.int16]) -> None:
        sound = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=_LAYOUTS[samples.shape[1]])
        sound.sample_rate, sound.pts, sound.time_base = AUDIO_RATE, self._samples, Fraction(1, AUDIO_RATE)
        self._samples += len(samples)
        self._movie.mux(self._voice.encode(sound))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close(whole=kind is None and self._stream is not None)
        except (OSError, FFmpegError) as problem:
            if kind is None:
                raise _unwritable(self._path, problem) from problem
            # Else what went wrong before is what a person must hear, and this disk has said it already.

    def _close(self, *, whole: bool) -> None:
        try:
            if whole:
                for stream in filter(None, (self._stream, self._voice)):
                    self._movie.mux(stream.encode())
            self._movie.close()
            if whole:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def _open_stream(self, width: int, height: int) -> Any:
        stream: Any = self._movie.add_stream("libx264", rate=self._fps, options={"crf": _CRF, "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        return stream


def movie_frames(path: Path) -> Iterator[Picture]:
    """All frames of a movie's first video stream in order, uint8 [H, W, 3] RGB, one in memory at a time.

    Raises `BadInput` when the file is not a movie, or when decoding stops at a damaged place.
    """
    with _movie(path) as (movie, stream):
        try:
            for frame in movie.decode(stream):
                yield frame.to_ndarray(format="rgb24")
        except FFmpegError as error:
            raise BadInput(f"the movie {path} is damaged ({error.strerror}); give one that plays to its end") from error


@contextmanager
def _movie(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        movie = av.open(path)
    except (OSError, FFmpegError) as error:
        raise BadInput(f"cannot read the movie {path} ({error.strerror or error}); give an MP4 or MOV file") from error
    with movie:
        if not movie.streams.video:
            raise BadInput(f"{path} has no pictures in it; give a movie with a video stream")
        yield movie, movie.streams.video[0]


def _unwritable(path: Path, error: OSError | FFmpegError) -> BadInput:
    return BadInput(
        f"cannot write {path} ({error.strerror or error}); make room there, or choose a folder that you may write to"
    )


def _decode(path: Path, how: int) -> Picture:
    """What OpenCV reads from `path`, in its BGR order."""
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise BadInput(f"{path} has {size} bytes, more than any picture; give a PNG or JPEG file")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read the picture {path} ({error.strerror}); check that it is there") from error
    _expect_reasonable(path, data)
    # Through memory, because OpenCV's own file names know only ASCII on Windows.
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    if stored is None:
        raise BadInput(f"{path} is not a picture that can be read, or is cut short; give a whole PNG or JPEG file")
    if stored.dtype not in (np.uint8, np.uint16):
        raise BadInput(f"{path} holds {stored.dtype} samples, expected 8 or 16 bit; give a PNG file")
    return stored


def _expect_reasonable(path: Path, data: bytes) -> None:
    """Look into a picture's header before anybody decodes it: a few kilobytes can be packed black for gigabytes."""
    try:
        with Image.open(io.BytesIO(data), formats=_KINDS) as picture:
            width, height = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise BadInput(
            f"{path} is not a picture that can be read, or is cut short; give a whole PNG or JPEG file"
        ) from error
    if width * height > exr.PIXELS:
        raise BadInput(f"{path} is {width}×{height} pixels, expected at most {exr.PIXELS}; give a smaller picture")


def _rgb(stored: Picture) -> Picture:
    codes = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
    return cv2.cvtColor(stored, codes[2 if stored.ndim == 2 else stored.shape[2]])
