"""A rig that lives in another file, linked or overridden: exported as if it were here, also by a background Blender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import read_png
from panel import until_done, use
from serving import Served

from wan_animate_blender import desk, wire
from wan_animate_blender.commands import main

pytestmark = pytest.mark.usefixtures("addon")


def read(export: Path) -> tuple[np.ndarray, np.ndarray]:
    """The poses and mattes of an export: [N, 133, 3] and uint8 [N, H, W, 3]."""
    shot = wire.Shot.loads((export / wire.SHOT_FILE).read_bytes())
    mattes = [read_png(export / name) for name in shot.sequence("matte")]
    return np.load(export / wire.POSE_FILE)["keypoints"], np.array(mattes)


@pytest.fixture
def local(plate: Any, tmp_path: Path) -> Path:
    """The export of a rig of this file, whose head makes the matte; the file lies in the folder "edits"."""
    plate.wan_animate.person.matte = "RIG"
    (tmp_path / "edits").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edits" / "edit.blend"))
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    mattes = read(tmp_path / "edits" / "wan_animate" / "SH010" / "e001")[1]
    assert mattes.max() == 255 and mattes.min() == 0
    return tmp_path / "edits" / "wan_animate" / "SH010"


def move_out(folder: Path) -> Path:
    """Write the rig with its head to a library of its own, and take them out of this file."""
    rig, head = bpy.data.objects["metarig"], bpy.data.objects["head"]
    people = bpy.data.collections.new("people")
    bpy.context.scene.collection.children.link(people)
    for thing in (rig, head):
        people.objects.link(thing)
    folder.mkdir()
    bpy.data.libraries.write(str(folder / "people.blend"), {people})
    bpy.data.collections.remove(people)
    bpy.data.batch_remove([rig, head, rig.data, head.data, rig.animation_data.action])
    return folder / "people.blend"


def link(library: Path) -> Any:
    with bpy.data.libraries.load(str(library), link=True, relative=True) as (_, wanted):
        wanted.collections = ["people"]
    bpy.context.scene.collection.children.link(wanted.collections[0])
    assert bpy.data.libraries[0].filepath == "//../assets/people.blend"
    return wanted.collections[0]


def link_and_override(library: Path) -> Any:
    scene = bpy.context.scene
    linked = link(library)
    own = linked.override_hierarchy_create(scene, scene.view_layers[0])
    if linked.name in scene.collection.children:
        scene.collection.children.unlink(linked)
    return own


@pytest.mark.parametrize("bring", [link, link_and_override])
def test_a_linked_rig_is_exported_as_if_it_were_here(
    plate: Any, local: Path, tmp_path: Path, served: Served, background: Path, bring: Any
) -> None:
    people = bring(move_out(tmp_path / "assets"))
    rig = people.all_objects["metarig"]
    assert (rig.library or rig.override_library.reference.library) == bpy.data.libraries[0]
    plate.wan_animate.person.rig = rig
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    use(served)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    assert desk.latest[plate.wan_animate.uid].problem is None
    expected = read(local / "e001")
    for version in ("e002", "e003"):
        for found, wanted in zip(read(local / version), expected, strict=True):
            assert np.array_equal(found, wanted)


def test_an_overridden_rig_may_be_animated_here(plate: Any, local: Path, tmp_path: Path) -> None:
    people = link_and_override(move_out(tmp_path / "assets"))
    rig = people.all_objects["metarig"]
    plate.wan_animate.person.rig = rig
    rig.delta_location.x = 0.2
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    before, after = (read(local / version)[0] for version in ("e001", "e002"))
    assert (after[..., 0] > before[..., 0] + 1).all()


def test_a_library_that_is_not_there_is_said_to_be_so(plate: Any, local: Path, tmp_path: Path, capsys: Any) -> None:
    library = move_out(tmp_path / "assets")
    plate.wan_animate.person.rig = link(library).all_objects["metarig"]
    bpy.ops.wm.save_mainfile()
    library.unlink()
    bpy.ops.wm.revert_mainfile()
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("'metarig' is linked from //../assets/people.blend, where it is not found; restore")


def test_a_mesh_whose_library_is_not_there_is_said_to_be_so(plate: Any, local: Path, tmp_path: Path) -> None:
    """The rig is here, what it moves is not: the matte would be of nothing."""
    bpy.data.libraries.write(str(tmp_path / "mesh.blend"), {bpy.data.objects["head"].data})
    with bpy.data.libraries.load(str(tmp_path / "mesh.blend"), link=True) as (_, wanted):
        wanted.meshes = [bpy.data.objects["head"].data.name]
    bpy.data.objects["head"].data = wanted.meshes[0]
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    bpy.ops.wm.save_mainfile()
    (tmp_path / "mesh.blend").unlink()
    bpy.ops.wm.revert_mainfile()
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.BAD_INPUT
