"""The panel of bones: points are assigned to bones by hand, and that is kept, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from armatures import append, build, move
from panel import draw
from people import FAMILIES, Stick

from wan_animate_blender import armature, bones, commission, pose, preferences, preflight, rigs
from wan_animate_blender.request import request
from wan_animate_blender.rigs import assignment

pytestmark = pytest.mark.usefixtures("addon")

ELBOW = {"point": "elbow.L", "bone": "mixamorig:LeftHand", "along": 0.5}


@pytest.fixture
def person(edit: bpy.types.Scene, film: Callable[..., Any], camera: bpy.types.Object, tmp_path: Path) -> Any:
    """The one person of the active strip, on a moving Mixamo rig."""
    edit.sequence_editor.active_strip = film("plate")
    person = edit.sequence_editor.active_strip.wan_animate.add_person()
    person.rig = build("Hero", FAMILIES["Mixamo"][1])
    move(person.rig)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    return active()


def active() -> Any:
    """The person as Blender has it now: after loading, what was known of it before is gone."""
    scene = bpy.context.scene
    return scene.sequence_editor.active_strip.wan_animate.person


def seen() -> pose.View:
    """What an export of the active strip would look at."""
    scene = bpy.context.scene
    return commission.view(request(scene, scene.sequence_editor.active_strip, preferences.shots_folder()))


def wrong_with_the_rig() -> str | None:
    scene = bpy.context.scene
    return preflight.look(scene, scene.sequence_editor.active_strip).get("rig")


def test_an_assigned_point_is_read_off_its_bone_in_the_export(person: Any) -> None:
    (before,) = pose.keypoints(seen(), [9.0])
    assert bpy.ops.wan_animate.assign_bone(**ELBOW) == {"FINISHED"}
    (after,) = pose.keypoints(seen(), [9.0])
    changed = [point for i, point in enumerate(rigs.ORDER) if not np.array_equal(before[i], after[i])]
    assert changed == ["elbow.L"]
    assert json.loads(person.bones) == {"|Hero": {"elbow.L": "mixamorig:LeftHand@0.5"}}


def test_one_point_or_all_can_be_reset(person: Any) -> None:
    for point in ("elbow.L", "nose"):
        bpy.ops.wan_animate.assign_bone(point=point, bone="mixamorig:Head")
    bpy.ops.wan_animate.reset_bones(point="nose")
    assert list(person.assignment()) == ["elbow.L"]
    bpy.ops.wan_animate.reset_bones()
    assert person.bones == ""


def test_a_bone_that_the_rig_does_not_have_is_refused(person: Any) -> None:
    with pytest.raises(RuntimeError, match="the rig 'Hero' has no bone 'wing'; choose one of its bones"):
        bpy.ops.wan_animate.assign_bone(point="elbow.L", bone="wing")
    assert person.bones == ""


def test_every_rig_of_a_person_keeps_its_own_assignment(person: Any) -> None:
    bpy.ops.wan_animate.assign_bone(**ELBOW)
    hero, person.rig = person.rig, build("Other", FAMILIES["VRoid"][1])
    assert person.assignment() == {}
    bpy.ops.wan_animate.assign_bone(point="nose", bone="J_Bip_C_Head", along=1.0)
    person.rig = hero
    assert list(person.assignment()) == ["elbow.L"]


@pytest.mark.parametrize("overridden", [False, True], ids=["linked", "overridden"])
def test_the_assignment_of_a_linked_rig_survives_saving_and_loading(
    overridden: bool, person: Any, tmp_path: Path
) -> None:
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {person.rig})
    rig = append(tmp_path / "library.blend", "Hero", link=True)
    person.rig = rig.override_create(remap_local_usages=True) if overridden else rig
    bpy.ops.wan_animate.assign_bone(**ELBOW)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "edit.blend"))
    assert (active().rig.library is None) is overridden
    assert list(json.loads(active().bones)) == ["library.blend|Hero"]
    assert seen().fit.spots["elbow.L"] == rigs.Spot("mixamorig:LeftHand", 0.5)


def test_a_hopeless_rig_is_refused_until_its_limbs_are_assigned(person: Any) -> None:
    person.rig = build("stumps", [Stick(f"stump{i}", "", (i, i % 3, 1), (i, i % 3, 1.1)) for i in range(12)])
    assert "finds 0 of 12 limb joints and lacks Left Shoulder, Right Shoulder" in wrong_with_the_rig()
    assert "assign them by hand" in wrong_with_the_rig()
    for i, point in enumerate(rigs.LIMBS):
        assert wrong_with_the_rig()
        bpy.ops.wan_animate.assign_bone(point=point, bone=f"stump{i}")
    assert wrong_with_the_rig() is None


def test_a_bone_that_was_renamed_since_is_told_where_the_rig_is_chosen(person: Any) -> None:
    bpy.ops.wan_animate.assign_bone(point="nose", bone="mixamorig:Head", along=1.0)
    person.rig.data.bones["mixamorig:Head"].name = "Kopf"
    assert wrong_with_the_rig().startswith(
        "Nose is assigned to the bone 'mixamorig:Head', which the rig 'Hero' does not"
    )
    assert wrong_with_the_rig() in " ".join(draw(bones.WAN_ANIMATE_PT_bones))


@pytest.mark.parametrize("text", ["{", "[]", '{"|Hero": 3}', '{"|Hero": {"wing": "x"}}', '{"|Hero": {"nose": 4}}'])
def test_a_damaged_text_is_told_and_can_be_reset(text: str, person: Any) -> None:
    person.bones = text
    assert "reset the bones" in " ".join(draw(bones.WAN_ANIMATE_PT_bones))
    bpy.ops.wan_animate.reset_bones()
    assert person.bones == ""


# --- files --------------------------------------------------------------------------------------------


def test_a_saved_map_gives_another_rig_the_same_points(person: Any, tmp_path: Path) -> None:
    bpy.ops.wan_animate.assign_bone(**ELBOW)
    wanted = seen().fit.spots
    assert bpy.ops.wan_animate.save_bone_map(filepath=str(tmp_path / "studio")) == {"FINISHED"}
    assert rigs.read(tmp_path / "studio.toml").name == "studio"
    person.rig = build("Heroine", FAMILIES["Mixamo"][1])
    assert seen().fit.spots != wanted
    assert bpy.ops.wan_animate.load_bone_map(filepath=str(tmp_path / "studio.toml")) == {"FINISHED"}
    assert seen().fit.spots == wanted
    assert list(person.assignment()) == ["elbow.L"]  # what was found anyway is not assigned


def test_a_studios_own_map_of_a_whole_family_can_be_loaded(person: Any, tmp_path: Path) -> None:
    """In the format of the maps that come with the add-on, sides and prefixes included."""
    family = [Stick(f"st_{bone.name}", bone.parent and f"st_{bone.parent}", bone.head, bone.tail)
              for bone in FAMILIES["Unreal and MPFB game engine"][1]]  # fmt: skip
    shuffled = dict(zip(("upperarm", "lowerarm", "hand", "thigh", "calf", "foot"), "abcdef", strict=True))
    for i, bone in enumerate(family):
        name, parent = bone.name, bone.parent
        for word, letter in shuffled.items():
            name, parent = (text.replace(f"st_{word}_", f"st_{letter}_") for text in (name, parent))
        family[i] = Stick(name, parent, bone.head, bone.tail)
    person.rig = build("creature", family)
    file = tmp_path / "studio.toml"
    points = zip(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"), "abcdef", strict=True)
    lines = "\n".join(f'{point} = ["none_{{side}}", "{letter}_{{side}}"]' for point, letter in points)
    file.write_text(f'name = "Studio"\nprefixes = ["st_"]\nsides = {{ L = "l", R = "r" }}\n[points]\n{lines}\n')
    bpy.ops.wan_animate.load_bone_map(filepath=str(file))
    assert seen().fit.spots["wrist.R"] == rigs.Spot("st_c_r")
    assert wrong_with_the_rig() is None


def test_a_map_of_another_family_is_refused(person: Any, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(rigs.write("Other", {"elbow.L": rigs.Spot("J_Bip_L_LowerArm")}))
    with pytest.raises(RuntimeError, match="the rig 'Hero' has none of the bones of 'Other'; load a map of its own"):
        bpy.ops.wan_animate.load_bone_map(filepath=str(file))
    assert person.bones == ""


def test_a_folder_that_is_not_there_is_refused(person: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"cannot write to .*x\.toml \(No such file or directory\); choose another"):
        bpy.ops.wan_animate.save_bone_map(filepath=str(tmp_path / "gone" / "x.toml"))


# --- panel --------------------------------------------------------------------------------------------


def test_the_panel_shows_family_score_groups_and_gaps(person: Any) -> None:
    drawn = draw(bones.WAN_ANIMATE_PT_bones)
    assert drawn[0] == "Mixamo, fits to 98%"
    assert [name for name in drawn if name in rigs.GROUPS] == list(rigs.GROUPS)
    assert drawn[drawn.index("Body") + 1] == "13 of 18"  # nose, eyes and ears have no bones
    assert drawn[drawn.index("Left Hand") + 1] == "all"
    assert drawn[drawn.index("Face") + 1] == "0 of 68"
    assert {"Left Elbow", "Right Big Toe", "Right Little Finger Tip"} <= set(drawn)


def test_the_panel_can_reset_what_was_assigned_and_nothing_else(person: Any) -> None:
    assert draw(bones.WAN_ANIMATE_PT_bones).count("wan_animate.reset_bones") == 1
    bpy.ops.wan_animate.assign_bone(**ELBOW)
    assert draw(bones.WAN_ANIMATE_PT_bones).count("wan_animate.reset_bones") == 2


def test_drawing_the_panel_again_finds_nothing_out_again(person: Any) -> None:
    known = bones._look(active())
    assert bones._look(active()) is known
    bpy.ops.wan_animate.assign_bone(**ELBOW)
    assert bones._look(active()).fit.spots["elbow.L"].bone == ELBOW["bone"]


def test_a_key_is_the_same_wherever_the_library_lies(tmp_path: Path, person: Any) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        bpy.data.libraries.write(str(tmp_path / folder / "library.blend"), {person.rig})
    keys = {armature.key(append(tmp_path / folder / "library.blend", "Hero", link=True)) for folder in ("a", "b")}
    assert keys == {"library.blend|Hero"}
    assert assignment.of('{"library.blend|Hero": {"nose": "Head@1"}}', *keys) == {"nose": rigs.Spot("Head", 1.0)}
