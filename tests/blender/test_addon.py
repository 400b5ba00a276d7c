"""What an artist touches: settings on strips, identities, the panel and its operators, and the work behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import PREFERENCES, draw, until_done, use
from serving import Served
from takes import enable_addon, export_of, take_of

from wan_animate_blender import desk, identity, panels, preflight, timeline, wire
from wan_animate_blender.request import prepare, request, requests
from wan_animate_blender.take import import_take

pytestmark = pytest.mark.usefixtures("addon")


# --- settings -------------------------------------------------------------------------------------


def crowd(strip: Any) -> Any:
    """Two people on `strip`, Ben before Anna, who points to everything that can be pointed to."""
    ours = strip.wan_animate
    for name in ("Anna", "Ben"):
        ours.add_person().name = name
    anna = ours.people["Anna"]
    anna.rig = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    anna.matte_mask, anna.character = bpy.data.masks.new("outline"), bpy.data.images.new("hero", 8, 8)
    anna.rig_scene, anna.matte_collection = bpy.data.scenes.new("set"), bpy.data.collections.new("people")
    ours.people["Ben"].rig = anna.rig
    ours.mode, ours.steps, ours.prompt = "animate", 7, "a dancer"
    return ours


def told(strip: Any) -> list[Any]:
    """What `strip` says of itself and its people, things by their names."""
    ours = strip.wan_animate
    said: list[Any] = [(ours.mode, ours.steps, ours.prompt, ours.active_person)]
    for person in ours.people:
        things = person.rig, person.matte_mask, person.character, person.rig_scene, person.matte_collection
        said.append((person.name, [thing and thing.name for thing in things]))
    return said


CROWD = [
    ("animate", 7, "a dancer", 1),
    ("Anna", ["rig", "outline", "hero", "set", "people"]),
    ("Ben", ["rig", None, None, None, None]),
]


def strip_now(name: str = "plate") -> Any:
    """The strip as Blender has it after loading or undoing: what was known of it before is no longer there."""
    return timeline.strips(bpy.data.scenes["Scene"].sequence_editor)[name]


def test_what_is_set_on_a_strip_survives_save_and_load(film: Callable[..., Any], tmp_path: Path) -> None:
    crowd(film())
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "edit.blend"))
    assert told(strip_now()) == CROWD


def test_people_can_be_undone_and_redone(film: Callable[..., Any]) -> None:
    ours = crowd(film())
    bpy.ops.ed.undo_push(message="two people")
    ours.people.remove(0)
    ours.people[0].rig, ours.active_person = None, 0
    bpy.ops.ed.undo_push(message="one of them")
    after = told(strip_now())
    assert after == [("animate", 7, "a dancer", 0), ("Ben", [None] * 5)]
    bpy.ops.ed.undo()
    assert told(strip_now()) == CROWD
    bpy.ops.ed.redo()
    assert told(strip_now()) == after


@pytest.mark.parametrize("copied", ["scene", "split"])
def test_a_copy_of_a_strip_has_people_of_its_own(edit: Any, film: Callable[..., Any], copied: str) -> None:
    strip = film()
    rig = crowd(strip).people["Anna"].rig
    before = rig.users
    copy = timeline.strips(edit.copy().sequence_editor)["plate"] if copied == "scene" else strip.split(15, "SOFT")
    assert told(copy) == told(strip) == CROWD
    assert rig.users == before + 2
    copy.wan_animate.people.remove(0)
    copy.wan_animate.people[0].rig = None
    assert told(strip) == CROWD
    assert rig.users == before


def test_what_a_strip_points_to_may_be_renamed_and_removed(film: Callable[..., Any]) -> None:
    anna = crowd(film()).people["Anna"]
    bpy.data.masks["outline"].name = "actor"
    assert anna.matte_mask.name == "actor"
    bpy.data.masks.remove(bpy.data.masks["actor"])
    assert anna.matte_mask is None


def test_nothing_set_is_what_the_model_was_released_with(film: Callable[..., Any]) -> None:
    ours = film().wan_animate
    assert ours.settings() == wire.Settings()
    ours.roi = False
    assert ours.settings() == wire.Settings(roi=False)


@pytest.mark.parametrize(("text", "asked"), [
    ("", ()),
    ("lightx2v 1.2, costume", (("lightx2v", 1.2), ("costume", 1.0))),
    (" costume -0.5 ,", (("costume", -0.5),)),
])  # fmt: skip
def test_loras_are_names_with_strengths(plate: Any, text: str, asked: tuple[tuple[str, float], ...]) -> None:
    plate.wan_animate.loras = text
    assert plate.wan_animate.settings().loras == tuple(wire.LoraUse(name=n, strength=s) for n, s in asked)


@pytest.mark.parametrize(("text", "sentence"), [
    ("costume much", "expected a number"),
    ("costume 1 2", "'costume 1 2', expected name and strength"),
    ("costume 99", "expected a number from -4 to 4"),
    ("../secret 1", "expected the name of a file"),
])  # fmt: skip
def test_loras_that_are_not_understood_are_one_sentence(plate: Any, text: str, sentence: str) -> None:
    plate.wan_animate.loras = text
    with pytest.raises(wire.BadInput, match=sentence):
        plate.wan_animate.settings()


def test_settings_that_no_model_takes_are_named(plate: Any) -> None:
    plate.wan_animate.segment = 78
    assert "segment is 78, expected 4n+1 frames" in preflight.why_not(bpy.context)


def test_the_rig_is_looked_for_in_the_scene_that_it_is_in(edit: Any, plate: Any, tmp_path: Path) -> None:
    stage = bpy.data.scenes.new("stage")
    rig = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    stage.collection.objects.link(rig)
    plate.wan_animate.person.rig = rig
    assert request(edit, plate, tmp_path).rig_scene == stage


# --- identity -------------------------------------------------------------------------------------


def test_a_strip_keeps_its_identity_when_it_is_renamed(edit: Any, film: Callable[..., Any]) -> None:
    strip = film()
    uid = identity.mark(edit, strip)
    strip.name = "actor"
    assert identity.mark(edit, strip) == uid
    assert identity.find(uid) == (edit, strip)


def test_a_copied_scene_has_strips_of_its_own(edit: Any, film: Callable[..., Any]) -> None:
    """What copying and splitting do too: everything on the strip is there twice."""
    strip = film()
    strip.wan_animate.shot = "SH010"
    uid = identity.mark(edit, strip)
    other = edit.copy()
    copy = timeline.strips(other.sequence_editor)["plate"]
    assert copy.wan_animate.uid == uid
    assert identity.find(uid) == (edit, strip)
    own = identity.mark(other, copy)
    assert own != uid
    assert (copy.wan_animate.parent, copy.wan_animate.shot) == (uid, "")
    assert identity.mark(edit, strip) == uid
    assert identity.find(own) == (other, copy)


def test_a_split_strip_is_two_strips(edit: Any, film: Callable[..., Any]) -> None:
    strip = film()
    uid = identity.mark(edit, strip)
    right = strip.split(frame=15, split_method="SOFT")
    assert right.wan_animate.uid == uid
    assert identity.mark(edit, right) != uid
    assert right.wan_animate.parent == uid
    assert identity.mark(edit, strip) == uid


def test_shots_are_numbered_around_what_is_there(edit: Any, film: Callable[..., Any], tmp_path: Path) -> None:
    first, second = film(), film("other", channel=2)
    first.wan_animate.shot = "SH010"
    (tmp_path / "SH020").mkdir()
    second.wan_animate.add_person()
    assert request(edit, second, tmp_path).name == "SH030"


# --- people ---------------------------------------------------------------------------------------


def names(strip: Any) -> list[str]:
    return [*strip.wan_animate.people.keys(), strip.wan_animate.person.name]


def test_the_first_person_is_there_as_soon_as_a_strip_was_looked_at(edit: Any, film: Callable[..., Any]) -> None:
    strip = film()
    edit.sequence_editor.active_strip = strip
    assert strip.wan_animate.person is None
    preflight.look(edit, strip)
    assert names(strip) == ["Person 1", "Person 1"]
    assert "rig" in draw(panels.WAN_ANIMATE_PT_strip)


def test_people_are_added_in_front_moved_and_removed(plate: Any) -> None:
    assert not bpy.ops.wan_animate.remove_person.poll()
    for _ in range(2):
        assert bpy.ops.wan_animate.add_person() == {"FINISHED"}
    assert names(plate) == ["Person 1", "Person 2", "Person 3", "Person 3"]
    bpy.ops.wan_animate.move_person(forwards=False)
    assert names(plate) == ["Person 1", "Person 3", "Person 2", "Person 3"]
    bpy.ops.wan_animate.move_person(forwards=False)
    assert bpy.ops.wan_animate.move_person(forwards=False) == {"CANCELLED"}
    assert names(plate) == ["Person 3", "Person 1", "Person 2", "Person 3"]
    bpy.ops.wan_animate.move_person(forwards=True)
    bpy.ops.wan_animate.remove_person()
    assert names(plate) == ["Person 1", "Person 2", "Person 1"]


def test_one_person_alone_is_no_list_and_several_are(plate: Any) -> None:
    assert "people" not in draw(panels.WAN_ANIMATE_PT_strip)
    bpy.ops.wan_animate.add_person()
    assert "people" in draw(panels.WAN_ANIMATE_PT_strip)


def test_shots_of_people_keep_their_names_whatever_becomes_of_the_order(edit: Any, plate: Any, tmp_path: Path) -> None:
    ours = plate.wan_animate
    ours.people[0].name = "Zoë"
    ours.add_person().name = "Ben Ö."
    assert [one.name for one in prepare(edit, plate, tmp_path)] == ["SH010", "SH010_Ben"]
    ours.people.move(1, 0)
    ours.people[0].name, ours.people[1].name = "Anna", "Ben"
    ours.add_person().name = "Ben!"
    said = [(one.person, one.name) for one in prepare(edit, plate, tmp_path)]
    assert said == [("Anna", "SH010_Ben"), ("Ben", "SH010"), ("Ben!", "SH010_Ben2")]
    ours.shot = "SH030"
    assert [one.name for one in prepare(edit, plate, tmp_path)] == ["SH030", "SH030_Ben", "SH030_Ben2"]


def test_whoever_is_in_front_hides_the_others(edit: Any, plate: Any, tmp_path: Path) -> None:
    ours = plate.wan_animate
    rigs = [ours.person.rig, *(bpy.data.objects.new(n, bpy.data.armatures.new(n)) for n in ("b", "c"))]
    for rig in rigs[1:]:
        ours.add_person().rig = rig
    assert [one.front for one in requests(edit, plate, tmp_path)] == [(rigs[1], rigs[2]), (rigs[2],), ()]


@pytest.mark.parametrize(("change", "about", "sentence"), [
    (lambda ours: setattr(ours.people[1], "rig", None), "people", "Ben: no rig is chosen"),
    (lambda ours: setattr(ours.people[1], "name", "Anna"), "settings", "two people are called 'Anna'; rename one"),
    (lambda ours: setattr(ours, "mode", "animate"), "settings", "a background of its own, and here are 2 people"),
])  # fmt: skip
def test_what_is_wrong_with_people_that_are_not_shown_is_said(
    plate: Any, change: Any, about: str, sentence: str
) -> None:
    ours = plate.wan_animate
    anna = ours.person
    anna.name = "Anna"
    ben = ours.add_person()
    ben.name = "Ben"
    for field in ("rig", "character", "matte", "matte_strip", "face"):
        setattr(ours.people[1], field, getattr(ours.people[0], field))
    ours.active_person = 0
    assert preflight.problems(bpy.context) == {}
    change(ours)
    assert sentence in (preflight.problems(bpy.context) or {})[about]
    assert sentence.lower() in " ".join(draw(panels.WAN_ANIMATE_PT_strip)).lower()


# --- what stands in the way -----------------------------------------------------------------------


def test_generate_is_ready_when_everything_is_set(plate: Any) -> None:
    assert preflight.why_not(bpy.context) == ""
    assert bpy.ops.wan_animate.generate.poll()


def test_without_a_strip_generate_says_so(edit: Any) -> None:
    assert preflight.why_not(bpy.context) == "No strip is selected; click the strip of the plate"
    assert not bpy.ops.wan_animate.generate.poll()


def test_a_take_is_not_generated_again(edit: Any, plate: Any, tmp_path: Path) -> None:
    identity.mark(edit, plate)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    edit.sequence_editor.active_strip = new
    assert "is a take; click the strip that it was made from" in preflight.why_not(bpy.context)


@pytest.mark.parametrize(("change", "about", "sentence"), [
    (lambda ours: setattr(ours.person, "rig", None), "rig", "no rig is chosen"),
    (lambda ours: setattr(ours.person, "character", None), "character", "no picture of the character is chosen"),
    (lambda ours: setattr(ours.person, "matte_strip", "gone"), "matte", "no matte is chosen"),
    (lambda ours: setattr(ours.person, "matte", "MASK"), "matte", "no matte is chosen"),
    (lambda ours: setattr(ours, "shot", "SH 10"), "shot", "shot name is SH 10"),
])  # fmt: skip
def test_each_problem_stands_beside_its_field(plate: Any, change: Any, about: str, sentence: str) -> None:
    change(plate.wan_animate)
    assert sentence in (preflight.problems(bpy.context) or {})[about]
    assert sentence in preflight.why_not(bpy.context)


def test_a_character_that_is_no_picture_is_said_to_be_so(plate: Any, tmp_path: Path) -> None:
    (tmp_path / "hero.png").write_text("not a picture")
    assert "hero.png cannot be read" in (preflight.problems(bpy.context) or {})["character"]


def test_animate_needs_no_matte(plate: Any) -> None:
    plate.wan_animate.mode, plate.wan_animate.person.matte = "animate", "MASK"
    assert preflight.why_not(bpy.context) == ""


def test_an_unsaved_file_has_no_folder_for_shots(edit: Any, film: Callable[..., Any]) -> None:
    edit.sequence_editor.active_strip = film()
    assert "never saved; save it, or set another folder" in preflight.why_not(bpy.context)


# --- the panel ------------------------------------------------------------------------------------


def test_the_panel_shows_what_has_to_be_chosen_and_then_generate(plate: Any) -> None:
    drawn = draw(panels.WAN_ANIMATE_PT_strip)
    wanted = ["plate", "mode", "rig", "character", "matte", "matte_strip", "face", "wan_animate.generate"]
    assert [name for name in drawn if name in wanted] == wanted
    assert "wan_animate.import_take" in drawn


def test_a_sentence_stands_under_the_field_that_it_is_about(plate: Any) -> None:
    plate.wan_animate.person.rig = None
    drawn = draw(panels.WAN_ANIMATE_PT_strip)
    assert "No rig is chosen" in drawn[drawn.index("rig") + 1]


def our_panels() -> list[type]:
    found = [kind for kind in bpy.types.Panel.__subclasses__() if kind.__name__.startswith("WAN_ANIMATE_")]
    assert panels.WAN_ANIMATE_PT_strip in found
    return found


NOT_SET = ("rna_type", "name", "people")


def test_every_setting_can_be_reached_and_has_a_tooltip(plate: Any) -> None:
    plate.wan_animate.person.use_rig_start = True
    groups = plate.wan_animate, plate.wan_animate.person, plate.wan_animate.finish
    drawn = {name for group in groups for panel in our_panels() for name in drawn_for_all(panel, group)}
    settings = [p for group in groups for p in group.bl_rna.properties if p.identifier not in NOT_SET]
    visible = [p for p in settings if not p.is_hidden]
    assert {p.identifier for p in visible} <= drawn
    assert all(p.description for p in visible)


def drawn_for_all(panel: type, group: Any) -> Iterator[str]:
    """What `panel` draws for every choice in `group`: some bring fields of their own."""
    for choice in (p for p in group.bl_rna.properties if p.type == "ENUM" and not p.is_enum_flag):
        before = getattr(group, choice.identifier)
        for item in choice.enum_items:
            setattr(group, choice.identifier, item.identifier)
            yield from draw(panel)
        setattr(group, choice.identifier, before)


def test_panels_are_in_the_sidebar_of_sequencer_and_preview() -> None:
    for panel in our_panels():
        place = panel.bl_space_type, panel.bl_region_type, panel.bl_category
        assert place == ("SEQUENCE_EDITOR", "UI", "Wan Animate")


def test_news_are_drawn_where_a_sequencer_is_shown() -> None:
    """The wheel has a window without a screen's pixels; its areas can be given to the sequencer all the same."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    enable_addon()
    areas = bpy.context.window_manager.windows[0].screen.areas
    areas[0].type = "SEQUENCE_EDITOR"
    desk.redraw()
    assert areas[0].type == "SEQUENCE_EDITOR"


# --- the work -------------------------------------------------------------------------------------


def test_the_connection_is_tested_without_waiting_for_it(served: Served) -> None:
    use(served)
    assert bpy.ops.wan_animate.connect() == {"FINISHED"}
    until_done(desk.CONNECTION)
    assert (desk.latest[desk.CONNECTION].result or "").startswith("Connected: version ")


def test_a_wrong_token_is_told_by_the_test_of_the_connection(served: Served) -> None:
    use(served)
    bpy.context.preferences.addons[PREFERENCES].preferences.token = "wrong"
    bpy.ops.wan_animate.connect()
    until_done(desk.CONNECTION)
    assert "does not accept this token" in str(desk.latest[desk.CONNECTION].problem)


def test_another_machine_is_not_asked_without_online_access() -> None:
    preferences = bpy.context.preferences.addons[PREFERENCES].preferences
    preferences.url, preferences.token = "http://192.0.2.1:8188", "a-token"
    with pytest.raises(RuntimeError, match="online access is off"):
        bpy.ops.wan_animate.connect()


def test_import_refuses_with_a_sentence(edit: Any, plate: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="holds no take"):
        bpy.ops.wan_animate.import_take(directory=str(tmp_path))
