"""Matte and region before anything is sent: what the settings ask for, and what is shown over the preview."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, write_png
from panel import draw

import wan_animate_blender
from wan_animate_blender import commission, grey, masking, matte, pose, preview, region
from wan_animate_blender.edges import Edges
from wan_animate_blender.request import request
from wan_animate_blender.wire import BadInput, Raster

Film = Callable[..., Any]


@pytest.fixture
def strip(
    edit: bpy.types.Scene, film: Film, metarig: bpy.types.Object, camera: bpy.types.Object, tmp_path: Path
) -> Iterator[Any]:
    """A plate of 80×48 pixels from frame 10 to 21, in which the metarig's ball is the person."""
    wan_animate_blender.register()
    strip = film("plate")
    edit.sequence_editor.active_strip = strip
    strip.wan_animate.add_person()
    person = strip.wan_animate.person
    person.rig, person.character = (
        metarig,
        bpy.data.images.load(str(write_png(tmp_path / "hero.png", noise(1, 60, 80)))),
    )
    yield strip
    wan_animate_blender.unregister()


def asked(strip: Any) -> commission.Request:
    return request(bpy.context.scene, strip, Path())


# --- what the settings ask for --------------------------------------------------------------------


def test_each_matte_of_the_panel_is_the_one_that_is_exported(strip: Any, film: Film) -> None:
    person, other = strip.wan_animate.person, film("other", channel=2)
    people, mask = bpy.data.collections.new("people"), bpy.data.masks.new("mask")
    person.matte_collection, person.matte_mask, person.matte_strip = people, mask, "other"
    person.motion_blur, person.matte_channel = True, "alpha"
    found = {}
    for person.matte in ("RIG", "COLLECTION", "MASK", "STRIP", "ALPHA"):
        found[person.matte] = asked(strip).matte
    assert found == {
        "RIG": matte.FromRig(motion_blur=True),
        "COLLECTION": matte.FromCollection(people, motion_blur=True),
        "MASK": matte.FromMask(mask),
        "STRIP": matte.FromStrip(other, matte.Channel.ALPHA),
        "ALPHA": matte.FromStrip(strip, matte.Channel.ALPHA),
    }


def test_edges_and_region_of_the_panel_are_asked_for(strip: Any, film: Film) -> None:
    person, ours = strip.wan_animate.person, strip.wan_animate
    plain = asked(strip)
    assert (plain.edges, plain.region, plain.clean_plate, plain.effects) == (Edges(), None, None, None)
    assert (plain.settings.region_grow, plain.settings.finish.feather) == (None, None)
    wide, empty = film("wide", channel=2), film("empty", channel=3)
    person.matte_grow, person.matte_feather, person.region, person.region_strip = -2.0, 3.0, "STRIP", "wide"
    person.region_grow, person.region_feather, ours.clean_plate = 0.0, 7.5, "empty"
    found = asked(strip)
    assert (found.edges, found.region, found.clean_plate) == (Edges(-2.0, 3.0), matte.FromStrip(wide), empty)
    assert (found.settings.region_grow, found.settings.finish.feather) == (0.0, 7.5)


@pytest.mark.parametrize(
    ("region", "clean", "effects", "sentence"),
    [
        ("STRIP", "", "NONE", "no strip is chosen as region; choose one, or the region 'Automatic'"),
        ("MASK", "", "NONE", "no mask is chosen as region"),
        ("AUTO", "", "MASK", "no mask is chosen for shadow and reflection; choose one, or 'None'"),
        ("AUTO", "gone", "NONE", "the clean plate 'gone' is no strip of the scene 'Scene'; choose another, or none"),
    ],
)
def test_what_is_not_chosen_or_gone_is_said(strip: Any, region: str, clean: str, effects: str, sentence: str) -> None:
    strip.wan_animate.person.region, strip.wan_animate.clean_plate = region, clean
    strip.wan_animate.person.effects = effects
    with pytest.raises(BadInput, match=sentence):
        asked(strip)


# --- one frame, before anything is sent -----------------------------------------------------------


def test_the_preview_is_what_the_export_writes(strip: Any, tmp_path: Path) -> None:
    wanted = replace(asked(strip), edges=Edges(grow=1.5))
    found = preview.look(wanted, 14)
    rows, _, _ = commission.frame_table(wanted)
    (row,) = [row for row in rows if row.timeline == 14]
    place = matte.Place(wanted.scene, Raster(kind=wanted.raster, width=80, height=48), commission.view(wanted))
    (file,) = matte.write(wanted.matte, place, [row], tmp_path / "matte", wanted.edges)
    assert found.matte.any()
    assert np.array_equal(found.matte, grey.read(file))
    (keypoints,) = pose.keypoints(place.view, [row.rig])
    assert np.array_equal(found.region, region.around(found.matte, keypoints, None))
    assert (found.region[found.matte >= 8] == 255).all()
    assert found.region.sum() > 3 * (found.matte > 0).sum() * 255  # of the metarig only the head is a mesh


def test_a_region_that_grows_less_is_shown_smaller_and_a_drawn_one_as_it_is(strip: Any, film: Film) -> None:
    wanted = asked(strip)
    usual = preview.look(wanted, 14)
    tight = preview.look(replace(wanted, settings=replace(wanted.settings, region_grow=0.0)), 14)
    assert tight.region.sum() < usual.region.sum()
    wide = film("wide", lambda i: np.full((48, 80, 3), 10 * i, np.uint8), channel=2)
    assert (preview.look(replace(wanted, region=matte.FromStrip(wide)), 14).region == 40).all()


def test_looking_moves_nothing_of_the_users(strip: Any, metarig: bpy.types.Object) -> None:
    scene = bpy.context.scene
    scene.frame_set(14)
    metarig["speed"] = 1.0
    metarig.keyframe_insert('["speed"]', frame=14)
    camera = scene.camera
    camera.data.keyframe_insert("lens", frame=14)
    camera.data.lens, metarig["speed"], metarig.location.x = 77.0, 2.5, 0.321  # none of them is keyed yet
    metarig.pose.bones["upper_arm.L"].rotation_euler.z = 0.123
    kinds = [name for name, kind in bpy.data.bl_rna.properties.items() if kind.type == "COLLECTION"]
    before = {kind: [block.name for block in getattr(bpy.data, kind)] for kind in kinds}
    preview.look(asked(strip), 17)
    assert scene.frame_current == 14
    assert metarig.pose.bones["upper_arm.L"].rotation_euler.z == pytest.approx(0.123)
    assert (camera.data.lens, metarig["speed"], metarig.location.x) == (77.0, 2.5, pytest.approx(0.321))
    assert {kind: [block.name for block in getattr(bpy.data, kind)] for kind in kinds} == before


def test_the_tint_is_red_where_the_person_goes_and_blue_where_else_pixels_may_become_new() -> None:
    person, wide = (np.array([row], np.uint8) for row in ((0, 0, 255, 128), (0, 255, 255, 255)))
    tint = preview.Preview(1, person, wide, np.eye(3)).tint()[0]
    assert tint[0, 3] == 0
    assert np.allclose(tint[1], preview.RENEWED)
    assert np.allclose(tint[2], preview.REMOVED)
    assert np.allclose(tint[3], (np.array(preview.REMOVED) + preview.RENEWED) / 2, atol=0.01)


def test_the_operator_shows_the_current_frame_until_another_is_looked_at(strip: Any) -> None:
    scene = bpy.context.scene
    scene.frame_set(14)
    assert bpy.ops.wan_animate.preview_matte() == {"FINISHED"}
    assert masking.shown(scene, strip).frame == 14
    scene.frame_set(15)
    assert masking.shown(scene, strip) is None


def test_the_operator_says_what_is_wrong(strip: Any) -> None:
    bpy.context.scene.frame_set(500)
    with pytest.raises(RuntimeError, match="is exported from frame 10 to 21 and the current frame is 500"):
        bpy.ops.wan_animate.preview_matte()
    strip.wan_animate.person.matte = "STRIP"
    with pytest.raises(RuntimeError, match="no matte is chosen"):
        bpy.ops.wan_animate.preview_matte()
    strip.wan_animate.mode = "animate"
    assert not bpy.ops.wan_animate.preview_matte.poll()


def test_the_panel_asks_only_for_what_goes_with_the_matte(strip: Any) -> None:
    person = strip.wan_animate.person
    assert "motion_blur" in draw(masking.WAN_ANIMATE_PT_matte)
    person.matte, person.region = "STRIP", "MASK"
    drawn = draw(masking.WAN_ANIMATE_PT_matte)
    assert "matte_channel" in drawn
    assert "region_mask" in drawn
    assert not {"motion_blur", "region_grow", "effects_mask", "effects_strip"} & set(drawn)
    person.effects = "STRIP"
    assert "effects_strip" in draw(masking.WAN_ANIMATE_PT_matte)


def test_where_a_shadow_lies_is_asked_for(strip: Any, film: Film) -> None:
    person, lying, mask = strip.wan_animate.person, film("lying", channel=2), bpy.data.masks.new("lying")
    person.effects_strip, person.effects_mask = "lying", mask
    found = {}
    for person.effects in ("NONE", "MASK", "STRIP"):
        found[person.effects] = asked(strip).effects
    assert found == {"NONE": None, "MASK": matte.FromMask(mask), "STRIP": matte.FromStrip(lying)}
