"""Pictures and movies: what is written is read back, whole or not at all, and what cannot be read is said so."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import BadInput
from wan_animate_server.video import (
    Preview,
    movie_frames,
    read_character,
    read_grey,
    read_picture,
    to_8bit,
    write_picture,
)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([np.uint8, np.uint16]))
def test_png_keeps_every_sample_of_both_depths(
    tmp_path_factory: pytest.TempPathFactory, w: int, h: int, dtype: type
) -> None:
    folder = tmp_path_factory.mktemp("png")
    colour, grey = noise(h, w, 3, dtype=dtype), noise(h, w, dtype=dtype)
    write_picture(folder / "1001.png", colour)
    write_picture(folder / "1002.png", grey)
    np.testing.assert_array_equal(read_picture(folder / "1001.png"), colour)
    np.testing.assert_array_equal(read_grey(folder / "1002.png"), grey)
    np.testing.assert_array_equal(read_picture(folder / "1002.png"), np.dstack([grey] * 3))


def test_the_first_channel_is_red(tmp_path: Path) -> None:
    """Read by another library than the one that wrote it."""
    write_picture(tmp_path / "red.png", np.full((4, 4, 4), (250, 10, 20, 128), np.uint8))
    with av.open(tmp_path / "red.png") as file:
        assert next(file.decode(video=0)).to_ndarray(format="rgba")[0, 0].tolist() == [250, 10, 20, 128]


def test_alpha_leaves_a_plates_colours_as_they_are_stored(tmp_path: Path) -> None:
    rgba = noise(9, 7, 4)
    write_picture(tmp_path / "a.png", rgba)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), rgba[..., :3])


def test_what_is_transparent_in_a_character_picture_is_black(tmp_path: Path) -> None:
    rgba = np.full((2, 3, 4), (200, 100, 50, 255), np.uint8)
    rgba[0, 0, 3], rgba[0, 1, 3] = 0, 51
    write_picture(tmp_path / "cutout.png", rgba)
    found = read_character(tmp_path / "cutout.png")
    assert found[0].tolist() == [[0, 0, 0], [40, 20, 10], [200, 100, 50]]


def test_a_character_from_a_phone_stands_upright(tmp_path: Path) -> None:
    """Orientation 6 in the Exif block: turn a quarter clockwise."""
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    block = b"Exif\0\0" + tiff
    jpeg = cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))[1].tobytes()
    exif = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    (tmp_path / "phone.jpg").write_bytes(jpeg[:2] + exif + jpeg[2:])
    assert read_character(tmp_path / "phone.jpg").shape == (40, 20, 3)
    assert read_picture(tmp_path / "phone.jpg").shape == (20, 40, 3)


def test_a_16_bit_character_is_8_bit_for_the_model(tmp_path: Path) -> None:
    write_picture(tmp_path / "deep.png", np.full((3, 3, 3), 40000, np.uint16))
    assert read_character(tmp_path / "deep.png").tolist() == np.full((3, 3, 3), 156).tolist()


def test_16_bit_samples_become_8_bit_to_the_nearest() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8bit(every), np.rint(every / 257).astype(np.uint8))
    np.testing.assert_array_equal(to_8bit(np.arange(256, dtype=np.uint16) * 257), np.arange(256, dtype=np.uint8))


@pytest.mark.parametrize("name", ["plate 1001.png", "Ключ-図-é.png"])
def test_names_may_hold_anything_that_the_system_allows(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / name, noise(5, 6, 3))
    np.testing.assert_array_equal(read_picture(tmp_path / name), noise(5, 6, 3))


@pytest.mark.parametrize("read", [read_picture, read_character, read_grey])
def test_what_is_no_whole_picture_is_refused_in_one_sentence(tmp_path: Path, read: object) -> None:
    write_picture(tmp_path / "whole.png", noise(64, 64, 3))
    whole = (tmp_path / "whole.png").read_bytes()
    cases = {"empty.png": b"", "text.png": b"hello\n" * 50, "cut.png": whole[: len(whole) // 2], "end.png": whole[:-30]}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=f"{name} is not a picture that can be read, or is cut short"):
            read(tmp_path / name)  # type: ignore[operator]
    for name in ("missing.png", "."):
        with pytest.raises(BadInput, match="cannot read the picture"):
            read(tmp_path / name)  # type: ignore[operator]


def test_writing_leaves_only_whole_files(tmp_path: Path) -> None:
    write_picture(tmp_path / "1001.png", noise(8, 8, 3))
    write_picture(tmp_path / "1001.png", noise(9, 9, 3))  # replaces
    assert [p.name for p in tmp_path.iterdir()] == ["1001.png"]
    assert read_picture(tmp_path / "1001.png").shape == (9, 9, 3)
    with pytest.raises(BadInput, match="choose a folder that you may write to"):
        write_picture(tmp_path / "nowhere" / "1001.png", noise(8, 8, 3))


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 48), (64, 49), (33, 17)])
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001)])
def test_a_preview_has_every_frame_its_rate_and_its_colours(
    tmp_path: Path, width: int, height: int, fps: Fraction
) -> None:
    colours = [(200, 40, 90), (20, 220, 30), (10, 30, 240), (128, 128, 128), (255, 255, 255), (0, 0, 0)] * 4
    with Preview(tmp_path / "preview.mp4", fps) as preview:
        for colour in colours:
            preview.add(np.full((height, width, 3), colour, np.uint8))
    frames = list(movie_frames(tmp_path / "preview.mp4"))
    with av.open(tmp_path / "preview.mp4") as movie:
        assert movie.streams.video[0].average_rate == fps
    assert len(frames) == len(colours)
    assert frames[0].shape == (height + height % 2, width + width % 2, 3)
    assert max(np.abs(f.astype(int) - c).max() for f, c in zip(frames, colours, strict=True)) <= 6
    assert [p.name for p in tmp_path.iterdir()] == ["preview.mp4"]


def test_a_preview_plays_everywhere_while_it_downloads(tmp_path: Path) -> None:
    with Preview(tmp_path / "p.mp4", Fraction(25)) as preview:
        for _ in range(10):
            preview.add(noise(48, 64, 3))
    with av.open(tmp_path / "p.mp4") as movie:
        context = movie.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, limited
    data = (tmp_path / "p.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_an_interrupted_preview_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "p.mp4").write_bytes(b"the last one")
    with pytest.raises(KeyboardInterrupt), Preview(tmp_path / "p.mp4", Fraction(25)) as preview:
        preview.add(noise(48, 64, 3))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["p.mp4"]
    assert (tmp_path / "p.mp4").read_bytes() == b"the last one"


def test_a_preview_without_frames_is_no_file(tmp_path: Path) -> None:
    with Preview(tmp_path / "p.mp4", Fraction(25)):
        pass
    assert not list(tmp_path.iterdir())


def test_a_preview_into_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="choose a folder"), Preview(tmp_path / "nowhere" / "p.mp4", Fraction(25)):
        pass


def test_what_is_no_movie_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a movie")
    for name in ("text.mp4", "missing.mp4"):
        with pytest.raises(BadInput, match="give an MP4 or MOV file"):
            list(movie_frames(tmp_path / name))


def test_sound_alone_is_no_movie(tmp_path: Path) -> None:
    with av.open(tmp_path / "sound.wav", "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    with pytest.raises(BadInput, match="no pictures in it"):
        list(movie_frames(tmp_path / "sound.wav"))
