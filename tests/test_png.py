"""PNG files: samples and words as another program, Pillow, reads them."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wan_animate_blender.wire import Timecode
from wan_animate_server.png import encoded
from wan_animate_server.video import read_picture, write_picture


def noise(*shape: int, depth: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, np.iinfo(depth).max, shape, depth, endpoint=True)


@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["grey", "colour", "alpha"])
def test_another_program_reads_the_samples_and_every_word(channels: tuple[int, ...]) -> None:
    words = {
        "framesPerSecond": Fraction(30000, 1001), "imageCounter": 1001, "software": "wan-animate 1.0",
        "timeCode": Timecode.read("01:00:00;02", Fraction(30000, 1001)), "wanAnimate.models": "ab  a\ncd  b",
    }  # fmt: skip
    picture = noise(17, 23, *channels)
    with Image.open(io.BytesIO(encoded(picture, words))) as file:
        file.load()
        np.testing.assert_array_equal(np.asarray(file), picture)
        assert file.text == {
            "framesPerSecond": "30000/1001", "imageCounter": "1001", "Software": "wan-animate 1.0",
            "timeCode": "01:00:00;02", "wanAnimate.models": "ab  a\ncd  b",
        }  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_words_may_be_in_any_script(said: str) -> None:
    with Image.open(io.BytesIO(encoded(noise(2, 2), {"wanAnimate.shot": said}))) as file:
        assert file.text["wanAnimate.shot"] == said


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_16_bits_keep_every_one_with_words_in_the_file(tmp_path: Path, channels: tuple[int, ...]) -> None:
    picture = noise(31, 9, *channels, depth=np.uint16)
    write_picture(tmp_path / "a.png", picture, words={"imageCounter": 7})
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found[..., 0] if not channels else found, picture)


def test_pixels_do_not_depend_on_what_is_said() -> None:
    picture = noise(40, 30, 3)
    quiet, talking = encoded(picture, {}), encoded(picture, {"imageCounter": 1001})
    assert quiet[:33] == talking[:33]
    assert talking.endswith(quiet[33:])
