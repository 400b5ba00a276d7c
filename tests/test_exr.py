"""EXR files: every bit of half and float, read back by FFmpeg's own decoder; and what is no such picture."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import BadInput, Format
from wan_animate_server.exr import size
from wan_animate_server.video import read_picture, write_picture

COMPRESSIONS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ")


def every_half() -> np.ndarray:
    """All 65 536 halves three times, [256, 256, 3]: infinities and NaN of all kinds among them."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    return np.stack([halves, halves[::-1], np.roll(halves, 99)], 1).reshape(256, 256, 3)


def store(path: Path, channels: dict[str, np.ndarray], **header: object) -> Path:
    OpenEXR.File({"type": OpenEXR.scanlineimage, **header}, channels).write(str(path))
    return path


def by_ffmpeg(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Float32 [H, W, channels] in the order R, G, B, A or Y, and the attributes that are words."""
    with av.open(path) as file:
        frame = next(file.decode(video=0))
    kind = np.float16 if "f16" in frame.format.name else np.float32
    planes = [np.frombuffer(p, kind).reshape(p.height, -1)[:, : p.width].astype(np.float32) for p in frame.planes]
    order = (2, 0, 1, 3) if len(planes) > 1 else (0,)
    return np.stack([planes[i] for i in order[: len(planes)]], 2), dict(frame.metadata)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_half_is_read_as_it_is_stored(tmp_path: Path, compression: str) -> None:
    picture = every_half()
    file = store(tmp_path / "a.exr", {"RGB": picture}, compression=getattr(OpenEXR, f"{compression}_COMPRESSION"))
    found = read_picture(file)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found.view(np.uint16), picture.view(np.uint16))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([np.float16, np.float32]), st.integers(0, 99))
def test_what_is_written_is_read_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, w: int, h: int, kind: type, seed: int
) -> None:
    file = tmp_path_factory.mktemp("exr") / "1001.exr"
    bits = np.dtype(kind).itemsize
    picture = np.frombuffer(np.random.default_rng(seed).bytes(w * h * 3 * bits), kind).reshape(h, w, 3)
    write_picture(file, picture)
    assert size(file) == (w, h)
    assert read_picture(file).tobytes() == picture.tobytes()


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_another_program_reads_what_is_written(tmp_path: Path, kind: type, channels: int) -> None:
    picture = np.random.default_rng(channels).normal(0, 30, (37, 53, channels)).astype(kind)
    write_picture(tmp_path / "a.exr", picture[..., 0] if channels == 1 else picture, words={"shot": "SH010"})
    found, words = by_ffmpeg(tmp_path / "a.exr")
    np.testing.assert_array_equal(found, picture.astype(np.float32))
    assert words["shot"] == "SH010"


def test_alpha_and_other_channels_are_left_out(tmp_path: Path) -> None:
    picture = every_half()
    extra = {"A": np.ones((256, 256), np.float16), "Z": np.ones((256, 256), np.float32)}
    store(tmp_path / "a.exr", {name: np.ascontiguousarray(picture[..., i]) for i, name in enumerate("RGB")} | extra)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.exr").view(np.uint16), picture.view(np.uint16))


def test_the_header_says_what_it_is_told_in_the_formats_own_types(tmp_path: Path) -> None:
    write_picture(
        tmp_path / "a.exr", np.zeros((2, 2, 3), np.float16),
        words={"framesPerSecond": Fraction(30000, 1001), "imageCounter": 1001, "software": "wan-animate"},
    )  # fmt: skip
    data = (tmp_path / "a.exr").read_bytes()
    assert b"framesPerSecond\0rational\0" + struct.pack("<IiI", 8, 30000, 1001) in data
    assert b"imageCounter\0int\0" + struct.pack("<Ii", 4, 1001) in data
    assert b"compression\0compression\0" + struct.pack("<IB", 1, 3) in data, "ZIP, 16 lines each"


def plane(kind: type = np.float16) -> np.ndarray:
    return np.zeros((6, 8), kind)


@pytest.mark.parametrize(("channels", "header", "sentence"), [
    ({"Y": plane()}, {}, "the channels Y (half), expected R, G and B, all half or all float"),
    ({"R": plane(), "G": plane(np.float32), "B": plane()}, {}, "B (half), G (float), R (half)"),
    ({name: plane(np.uint32) for name in "RGB"}, {}, "all half or all float; render it as one layer"),
    ({"L.R": plane(), "L.G": plane(), "L.B": plane()}, {}, "render it as one layer of RGB"),
    ({name: plane() for name in "RGB"}, {"dataWindow": ((2, 1), (9, 6)), "displayWindow": ((0, 0), (11, 9))},
     "holds a part of its frame or more than it; render it without crop"),
], ids=["grey", "mixed", "whole numbers", "layers", "crop"])  # fmt: skip
def test_other_layouts_are_refused_with_what_they_are(
    tmp_path: Path, channels: dict[str, np.ndarray], header: dict[str, object], sentence: str
) -> None:
    file = store(tmp_path / "1001.exr", channels, **header)
    for read in (size, read_picture):
        with pytest.raises(BadInput) as caught:
            read(file)
        assert sentence in str(caught.value)
        assert str(file) in str(caught.value)


def test_what_is_no_whole_exr_is_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = store(tmp_path / "whole.exr", {"RGB": every_half()}).read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 4000] = bytes(4000)
    cases = {
        "empty": (b"", "is not an EXR"), "text": (b"hello" * 99, "is not an EXR"),
        "head": (whole[:60], "is not an EXR"), "half": (whole[: len(whole) // 2], "ends in its middle"),
        "middle": (bytes(damaged), "is damaged"), "end": (whole[:-30], "is damaged"),
    }  # fmt: skip
    for name, (data, sentence) in cases.items():
        (tmp_path / f"{name}.exr").write_bytes(data)
        with pytest.raises(BadInput, match=rf"{name}\.exr {sentence}"):
            read_picture(tmp_path / f"{name}.exr")
    with pytest.raises(BadInput, match=r"missing\.exr is not an EXR picture that can be read"):
        read_picture(tmp_path / "missing.exr")


def test_writing_leaves_only_whole_files(tmp_path: Path) -> None:
    for side in (8, 9):  # replaces
        write_picture(tmp_path / "1001.exr", np.zeros((side, side, 3), np.float16))
    assert [p.name for p in tmp_path.iterdir()] == ["1001.exr"]
    assert size(tmp_path / "1001.exr") == (9, 9)
    with pytest.raises(BadInput, match="choose a folder that you may write to"):
        write_picture(tmp_path / "nowhere" / "1001.exr", np.zeros((8, 8, 3), np.float16))


def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of files are Unix's")
    picture = np.random.default_rng(1).normal(0, 1, (90, 160, 3)).astype(np.float16)
    few, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
    try:
        with pytest.raises(BadInput, match=r"cannot write .*1001\.exr .*File too large.*; make room there"):
            write_picture(tmp_path / "1001.exr", picture)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (few, most))
    assert not list(tmp_path.iterdir())


WRITE = """
import itertools, sys, pathlib, numpy
from wan_animate_blender.wire import Format
from wan_animate_server.video import write_picture
picture = numpy.random.default_rng(1).normal(0, 1, (400, 600, 4)).astype(numpy.float16)
for number in itertools.count(1001):
    write_picture(pathlib.Path(sys.argv[1]) / f"{number}.exr", picture, compression=Format(sys.argv[2]))
"""


@pytest.mark.parametrize("chosen", [Format.EXR_ZIP, Format.EXR_PIZ])
def test_killed_at_any_moment_writing_leaves_only_whole_files(tmp_path: Path, chosen: Format) -> None:
    for run, wanted in enumerate((1, 3, 6)):
        folder = tmp_path / str(run)
        folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", WRITE, str(folder), chosen])
        while process.poll() is None and len(list(folder.glob("[0-9]*.exr"))) < wanted:
            time.sleep(0.001)
        process.kill()
        process.wait()
        there = list(folder.glob("[0-9]*.exr"))
        assert wanted <= len(there)
        assert {size(file) for file in there} == {(600, 400)}
        assert len({file.read_bytes() for file in there}) == 1
