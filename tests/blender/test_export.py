"""The verb: from a strip and a rig to a complete shot folder, and nothing else changed in Blender."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, read_png, write_png

from wan_animate_blender import matte, timeline, wire
from wan_animate_blender.export import Progress, Request, export
from wan_animate_blender.wire import FaceSource, Mode


@pytest.fixture
def request_(
    edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object, tmp_path: Path
) -> Request:
    """A trimmed strip with a matte strip over it, to be replaced by what the metarig does."""
    strip = film("plate", frames=16, first=10)
    timeline.set_frame_range(strip, 14, 20)
    disc = film("disc", lambda i: np.full((48, 80, 3), 10 * i, np.uint8), frames=16, first=10, channel=2)
    return Request(
        scene=edit, strip=strip, root=tmp_path / "shots", name="SH010", uid="strip-1", handles=2, rig=metarig,
        character=write_png(tmp_path / "hero.png", noise(1, 60, 80)), matte=matte.FromStrip(disc),
        face=FaceSource.PLATE, settings=wire.Settings(steps=4),
    )  # fmt: skip


def finish(request: Request) -> tuple[list[Progress], Path]:
    steps, generator = [], export(request)
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return steps, end.value


def test_an_export_is_a_complete_shot_folder(request_: Request) -> None:
    steps, folder = finish(request_)
    shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
    assert folder == request_.root / "SH010" / "e001"
    assert (shot.name, shot.strip, shot.mode, shot.fps) == ("SH010", "strip-1", Mode.REPLACE, Fraction(24))
    assert [row.shot for row in shot.frames] == list(range(1001, 1011))
    assert [row.timeline for row in shot.frames] == list(range(12, 22))
    assert [row.source for row in shot.frames] == list(range(2, 12))
    assert [row.rig for row in shot.frames] == list(range(3, 13))
    assert (shot.cut_in, shot.cut_out) == (1003, 1008)
    assert len(shot.sequence("plate")) == len(shot.sequence("matte")) == 10
    assert shot.files == wire.list_files(folder, {wire.SHOT_FILE})
    assert [step.done for step in steps] == list(range(1, 31))
    assert {step.total for step in steps} == {30}
    for i, name in enumerate(shot.sequence("plate")):
        assert np.array_equal(read_png(folder / name), noise(i + 2))
    for i, name in enumerate(shot.sequence("matte")):
        assert (read_png(folder / name) == 10 * (i + 2)).all()
    assert (folder / shot.character).read_bytes() == request_.character.read_bytes()
    pose = np.load(folder / wire.POSE_FILE)
    assert pose["keypoints"].shape == (10, 133, 3)
    assert pose["face_box"].shape == (10, 4)
