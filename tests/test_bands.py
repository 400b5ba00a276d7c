"""A file whose black rows were not compressed is, byte for byte, the one that OpenEXR writes of the whole picture."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import Format
from wan_animate_server import bands
from wan_animate_server.video import write_picture

METHODS = {Format.EXR_ZIP: OpenEXR.ZIP_COMPRESSION, Format.EXR_PIZ: OpenEXR.PIZ_COMPRESSION}
NAMES = {0: "Y", 3: "RGB", 4: "RGBA"}
WORDS = {"software": "dataWindow", "imageCounter": 1001, "framesPerSecond": Fraction(24), "wanAnimate.shot": "SH010"}

sides = st.integers(1, 140)


def at_once(picture: np.ndarray, compression: Format) -> bytes:
    file, header = io.BytesIO(), {"type": OpenEXR.scanlineimage, "compression": METHODS[compression], **WORDS}
    name = NAMES[0 if picture.ndim == 2 else picture.shape[2]]
    OpenEXR.File(header, {name: picture}).write(file)
    return file.getvalue()


@settings(deadline=None)
@given(
    sides, sides, sides, sides, st.sampled_from([(), (3,), (4,)]), st.sampled_from([np.float16, np.float32]),
    st.sampled_from(sorted(METHODS)),
)  # fmt: skip
def test_a_file_of_a_picture_that_is_black_above_and_below_is_as_if_all_of_it_were_compressed(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, one: int, other: int,
    channels: tuple[int, ...], kind: type, compression: Format,
) -> None:  # fmt: skip
    picture = np.zeros((height, width, *channels), kind)
    shown = slice(min(one, other), max(one, other))  # nothing at all where it lies below the picture
    picture[shown] = np.random.default_rng(one).normal(0, 1, picture[shown].shape)
    file = tmp_path_factory.mktemp("bands") / "1001.exr"
    write_picture(file, picture, WORDS, compression)
    assert file.read_bytes() == at_once(picture, compression)


def test_rows_that_are_black_to_the_bit_are_left_out_and_no_others() -> None:
    picture = np.zeros((100, 5, 3), np.float16)
    picture[40, 2, 1], picture[70, 0, 0] = 2.0**-24, -0.0
    assert bands.shown(picture, 16) == slice(32, 80)
    assert bands.shown(picture, 32) == slice(32, 96)
    picture[99] = np.nan
    assert bands.shown(picture, 16) == slice(32, 100)
    assert bands.shown(np.zeros((100, 5), np.float32), 16) == slice(0, 16), "OpenEXR writes no picture of no rows"


def test_black_rows_are_not_compressed_anew_for_every_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = []

    class Counted(OpenEXR.File):
        def __init__(self, header: dict[str, object], channels: dict[str, np.ndarray]) -> None:
            compressed.append(sum(len(picture) for picture in channels.values()))
            super().__init__(header, channels)

    picture = np.zeros((200, 7, 4), np.float16)
    picture[100] = 1
    write_picture(tmp_path / "1001.exr", picture)
    monkeypatch.setattr(OpenEXR, "File", Counted)
    for number in range(1002, 1005):
        write_picture(tmp_path / f"{number}.exr", picture)
    assert compressed == [16] * 3
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
