"""The timecode of footage, as far as Blender knows it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import pytest
from serving import PYTHON

from wan_animate_blender import footage, timeline

WRITE = """
import sys, av, numpy
with av.open(sys.argv[1], "w") as file:
    if sys.argv[2]:
        file.metadata["timecode"] = sys.argv[2]
    stream = file.add_stream("mpeg2video", rate=24)
    stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
    for grey in range(0, 120, 10):
        file.mux(stream.encode(av.VideoFrame.from_ndarray(numpy.full((480, 640, 3), grey, numpy.uint8))))
    file.mux(stream.encode())
"""


@pytest.fixture
def movie(edit: bpy.types.Scene, tmp_path: Path) -> Callable[[str], Any]:
    """`movie(timecode)` adds a strip of twelve frames that says it, written by FFmpeg."""

    def make(timecode: str) -> Any:
        file = tmp_path / "reel.mxf"
        subprocess.run([os.environ[PYTHON], "-c", WRITE, file, timecode], check=True)
        strips = timeline.strips(edit.sequence_editor)
        return strips.new_movie(name="reel", filepath=str(file), channel=1, frame_start=10)

    return make


def test_a_frame_of_a_movie_has_the_timecode_that_its_file_counts(movie: Callable[[str], Any]) -> None:
    strip = movie("01:02:03:20")
    assert footage.timecode(strip, Fraction(24), 0.0) == "01:02:03:20"
    assert footage.timecode(strip, Fraction(24), 5.0) == "01:02:04:01"


def test_at_another_rate_than_the_edits_there_is_none(movie: Callable[[str], Any]) -> None:
    assert footage.timecode(movie("01:02:03:20"), Fraction(25), 0.0) == ""


def test_footage_that_counts_nothing_has_none(film: Callable[..., Any]) -> None:
    assert footage.timecode(film(), Fraction(24), 0.0) == ""
