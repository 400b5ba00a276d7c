"""A fresh Blender for each test, the little films that tests need, and an end that Blender's wheel survives."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numbered
import numpy as np
import pytest
from footage import noise, write_png
from installed import build, install, launcher
from serving import Served, serving
from takes import enable_addon

from wan_animate_blender import desk, identity, timeline

Paint = Callable[[int], np.ndarray]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Factory settings without any scene content: what one test leaves behind, the next one does not see."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    yield


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without tearing Python down: there the wheel of 4.2 crashes and the one of 4.5 hangs for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(STATUS, 1))


STATUS = pytest.StashKey[int]()


# --- edits ----------------------------------------------------------------------------------------


@pytest.fixture
def edit() -> bpy.types.Scene:
    """A scene with a sequencer of 80×48 pixels at 24 frames a second."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 80, 48
    scene.sequence_editor_create()
    return scene


@pytest.fixture
def film(edit: bpy.types.Scene, tmp_path: Path) -> Callable[..., Any]:
    """`film(name, paint, frames=12, first=10, channel=1)` adds an image strip whose frame i is `paint(i)`."""

    def make(name: str = "plate", paint: Paint = noise, frames: int = 12, first: int = 10, channel: int = 1) -> Any:
        files = [write_png(tmp_path / name / f"{i:04d}.png", paint(i)) for i in range(frames)]
        return timeline.new_image_sequence(edit.sequence_editor, name, files, first, channel)

    return make


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames at 25 a second that carry their number."""
    return numbered.movie(tmp_path_factory.mktemp("numbered"))


@pytest.fixture
def numbers(edit: bpy.types.Scene, movie: Path) -> Any:
    """The numbered movie at frame 20 of a scene of 24 frames a second, frame for frame."""
    strips = timeline.strips(edit.sequence_editor)
    return strips.new_movie(name="numbers", filepath=str(movie), channel=1, frame_start=20)


@pytest.fixture
def trimmed(edit: bpy.types.Scene, film: Callable[..., Any]) -> Any:
    """A plate of 12 frames from frame 10, of which the edit shows 12 to 19, marked. Wants the add-on to be enabled."""
    strip = film()
    timeline.set_frame_range(strip, 12, 20)
    identity.mark(edit, strip)
    return strip


# --- rigs -----------------------------------------------------------------------------------------


@pytest.fixture
def metarig() -> bpy.types.Object:
    """Rigify's human metarig with a ball for a head, which drifts to its left and waves from frame 1 to 25."""
    import addon_utils  # found only once bpy has been imported

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    rig = bpy.context.object
    arm = rig.pose.bones["upper_arm.L"]
    arm.rotation_mode = "XYZ"
    for frame, place, turn in ((1, -0.4, 0.0), (25, 0.6, 1.2)):
        rig.location.x, arm.rotation_euler.z = place, turn
        rig.keyframe_insert("location", frame=frame)
        arm.keyframe_insert("rotation_euler", frame=frame)
    bpy.ops.mesh.primitive_ico_sphere_add(radius=0.16, location=(0, -0.06, 1.86))
    head = bpy.context.object
    head.name, head.parent = "head", rig
    bpy.context.view_layer.objects.active = rig
    return rig


@pytest.fixture
def camera(edit: bpy.types.Scene) -> bpy.types.Object:
    """The scene's camera: five metres in front of the metarig, a little above, looking at its chest."""
    lens = bpy.data.cameras.new("camera")
    thing = bpy.data.objects.new("camera", lens)
    edit.collection.objects.link(thing)
    thing.location, thing.rotation_euler = (0.3, -5.0, 1.6), (1.48, 0.02, 0.05)
    lens.lens = 32.0
    edit.camera = thing
    return thing


# --- a file that is ready -------------------------------------------------------------------------


@pytest.fixture
def addon(fresh: None) -> Iterator[None]:
    enable_addon()
    yield
    desk.unregister()


@pytest.fixture
def unsaved(
    addon: None, edit: Any, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object,
    tmp_path: Path,
) -> Any:  # fmt: skip
    """A file that was never saved. Its active strip, five frames from 12, is ready to be generated."""
    strip = film("plate", frames=9, first=10)
    matte = film("matte", lambda i: np.full((48, 80), 255 * (i % 2), np.uint8), frames=9, first=10, channel=2)
    for one in (strip, matte):
        timeline.set_frame_range(one, 12, 17)
    ours = strip.wan_animate
    person = ours.add_person()
    person.rig, person.matte, person.matte_strip, person.face = metarig, "STRIP", "matte", "none"
    person.character = bpy.data.images.load(str(write_png(tmp_path / "hero.png", noise(99, 40, 60))))
    ours.handles, ours.steps, ours.segment, ours.area = 0, 1, 9, 80 * 48
    edit.sequence_editor.active_strip = strip
    return strip


@pytest.fixture
def plate(unsaved: Any, tmp_path: Path) -> Any:
    """The strip that is ready, in a saved file."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    return unsaved


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture(scope="module")
def blender(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An executable of this Blender in which the extension is installed, and its environment."""
    folder = tmp_path_factory.mktemp("blender")
    return launcher(folder), install(build(folder), folder / "resources")


@pytest.fixture
def background(blender: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Let exports run in that executable; yields the folder for temporary files."""
    monkeypatch.setenv("BLENDER_USER_RESOURCES", blender[1]["BLENDER_USER_RESOURCES"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    before, bpy.app.binary_path = bpy.app.binary_path, str(blender[0])
    yield tmp_path / "tmp"
    bpy.app.binary_path = before
