"""What an artist touches: settings on strips, identities, the panel and its operators, and the work behind them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, write_png
from installed import build, install, launcher
from serving import Served, serving
from takes import enable_addon, export_of, take_of

from wan_animate_blender import desk, identity, panels, preflight, timeline, wire
from wan_animate_blender.request import request
from wan_animate_blender.take import import_take

PREFERENCES = "wan_animate_blender"


@pytest.fixture(autouse=True)
def addon(fresh: None) -> Iterator[None]:
    enable_addon()
    yield
    desk.unregister()


@pytest.fixture
def plate(
    edit: Any, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object, tmp_path: Path
) -> Any:
    """A saved file whose active strip, five frames from 12, is ready to be generated."""
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
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    return strip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served


def use(served: Served) -> None:
    preferences = bpy.context.preferences.addons[PREFERENCES].preferences
    preferences.url, preferences.token = served.url, served.token


def until_done(ticket: str, seconds: float = 60.0) -> list[float]:
    """Be Blender's timer until the work is over; how long each tick took."""
    ticks, deadline = [], time.monotonic() + seconds
    while True:
        began = time.monotonic()
        again = desk.tick()
        ticks.append(time.monotonic() - began)
        if again is None:
            return ticks
        assert time.monotonic() < deadline, desk.latest.get(ticket)
        time.sleep(0.02)


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
    assert film().wan_animate.settings() == wire.Settings()


@pytest.mark.parametrize(("text", "asked"), [
    ("", ()),
    ("lightx2v 1.2, costume", (("lightx2v", 1.2), ("costume", 1.0))),
    (" costume -0.5 ,", (("costume", -0.5),)),
])  # fmt: skip
def test_loras_are_names_with_strengths(plate: Any, text: str, asked: tuple[tuple[str, float], ...]) -> None:
    plate.wan_animate.loras = text
    assert plate.wan_animate.settings().loras == tuple(wire.LoraUse(name=n, strength=s) for n, s in asked)


@pytest.mark.parametrize("text", ["costume much", "costume 1 2", "costume 99", "../secret 1"])
def test_loras_that_are_not_understood_are_one_sentence(plate: Any, text: str) -> None:
    plate.wan_animate.loras = text
    with pytest.raises(wire.BadInput, match="such as: costume"):
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


class Paper:
    """Takes the place of a layout: refuses what Blender's would refuse, and remembers what was drawn."""

    def __init__(self, drawn: list[str]) -> None:
        self.drawn = drawn

    def _part(self, **_: Any) -> Paper:
        return Paper(self.drawn)

    row = column = _part

    def prop(self, data: Any, name: str) -> None:
        assert name in data.bl_rna.properties.keys()  # noqa: SIM118
        self.drawn.append(name)

    def template_ID(self, data: Any, name: str, *, open: str, text: str) -> None:  # noqa: N802
        self.prop(data, name)

    def label(self, *, text: str, icon: str) -> None:
        assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        self.drawn.append(text)

    def operator(self, name: str, *, icon: str, text: str = "") -> None:
        assert hasattr(bpy.types, name.replace("wan_animate.", "WAN_ANIMATE_OT_"))
        assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        self.drawn.append(name)

    def progress(self, *, factor: float, text: str) -> None:
        self.drawn.append(f"{factor:.2f} {text}")


class Sidebar:
    """Of the context, what a panel needs of a window that is not there."""

    width, ui_scale = 300, 1.0


def draw(panel: type) -> list[str]:
    """What a panel draws of the active strip."""
    drawn: list[str] = []

    class Context:
        region, scene = Sidebar, bpy.context.scene

        class preferences:
            system = Sidebar

    class Itself:
        layout = Paper(drawn)

    panel.draw(Itself, Context)
    return drawn


def test_the_panel_shows_what_has_to_be_chosen_and_then_generate(plate: Any) -> None:
    drawn = draw(panels.WAN_ANIMATE_PT_strip)
    wanted = ["plate", "mode", "rig", "character", "matte", "matte_strip", "face", "wan_animate.generate"]
    assert [name for name in drawn if name in wanted] == wanted
    assert "wan_animate.import_take" in drawn


def test_a_sentence_stands_under_the_field_that_it_is_about(plate: Any) -> None:
    plate.wan_animate.person.rig = None
    drawn = draw(panels.WAN_ANIMATE_PT_strip)
    assert "no rig is chosen" in drawn[drawn.index("rig") + 1]


NOT_SET = ("rna_type", "name", "people")


def test_every_setting_can_be_reached_and_has_a_tooltip(plate: Any) -> None:
    plate.wan_animate.person.use_rig_start = True
    drawn = set(draw(panels.WAN_ANIMATE_PT_advanced))
    for matte in ("COLLECTION", "MASK", "STRIP"):
        plate.wan_animate.person.matte = matte
        drawn |= set(draw(panels.WAN_ANIMATE_PT_strip))
    for face in panels.FACE_FIELDS:
        plate.wan_animate.person.face = face
        drawn |= set(draw(panels.WAN_ANIMATE_PT_strip))
    groups = plate.wan_animate, plate.wan_animate.person
    settings = [p for group in groups for p in group.bl_rna.properties if p.identifier not in NOT_SET]
    visible = [p for p in settings if not p.is_hidden]
    assert {p.identifier for p in visible} <= drawn
    assert all(p.description for p in visible)


def test_panels_are_in_the_sidebar_of_sequencer_and_preview() -> None:
    for panel in (panels.WAN_ANIMATE_PT_strip, panels.WAN_ANIMATE_PT_advanced):
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


def test_generate_brings_a_take_onto_the_timeline(edit: Any, plate: Any, served: Served, tmp_path: Path) -> None:
    use(served)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    uid = plate.wan_animate.uid
    assert "is being worked on" in preflight.why_not(bpy.context)
    assert any("starting" in line for line in draw(panels.WAN_ANIMATE_PT_strip))
    ticks = until_done(uid)
    assert desk.latest[uid].problem is None
    new = timeline.strips(edit.sequence_editor)["SH010 v001 character"]
    assert (new.channel, timeline.frame_range(new)) == (3, (12, 17))
    assert "SH010 v001 character is on channel 3" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))
    assert max(ticks) < 0.5
    assert preflight.why_not(bpy.context) == ""


def test_the_arrival_of_a_take_is_one_step_to_undo(plate: Any, served: Served) -> None:
    use(served)
    bpy.ops.ed.undo_push(message="without a window this is what makes Blender keep steps at all")
    bpy.ops.wan_animate.generate("EXEC_DEFAULT", True)
    uid = plate.wan_animate.uid
    until_done(uid)
    assert names_of_strips() == {"plate", "matte", "SH010 v001 character"}
    bpy.ops.ed.undo()
    assert names_of_strips() == {"plate", "matte"}
    assert identity.find(uid) is not None
    bpy.ops.ed.redo()
    assert names_of_strips() == {"plate", "matte", "SH010 v001 character"}


def names_of_strips() -> set[str]:
    return {strip.name for strip in timeline.strips(bpy.context.scene.sequence_editor)}


def test_a_server_that_is_not_running_is_told_in_the_panel(plate: Any) -> None:
    preferences = bpy.context.preferences.addons[PREFERENCES].preferences
    preferences.url, preferences.token = "http://127.0.0.1:9", "a-token"
    bpy.ops.wan_animate.generate()
    until_done(plate.wan_animate.uid)
    assert "no server answers" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))


def test_import_refuses_with_a_sentence(edit: Any, plate: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="holds no take"):
        bpy.ops.wan_animate.import_take(directory=str(tmp_path))


# --- in a Blender of its own ----------------------------------------------------------------------


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


def test_the_export_of_a_window_runs_beside_it(
    edit: Any, plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    began = time.monotonic()
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    assert time.monotonic() - began < 1.0
    assert not (tmp_path / "wan_animate").exists()
    ticks = until_done(plate.wan_animate.uid)
    assert desk.latest[plate.wan_animate.uid].problem is None
    assert len(ticks) > 10
    assert max(ticks) < 0.5
    assert timeline.strips(edit.sequence_editor)["SH010 v001 character"].channel == 3
    assert list(background.iterdir()) == []


def test_a_change_that_was_not_saved_is_exported_and_stays_unsaved(
    plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    before = (tmp_path / "edit.blend").read_bytes()
    plate.wan_animate.seed = 4711
    bpy.ops.wan_animate.generate()
    written = tmp_path / "wan_animate" / "SH010" / "e001" / wire.SHOT_FILE
    deadline = time.monotonic() + 60
    while not written.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    bpy.ops.wan_animate.cancel()
    until_done(plate.wan_animate.uid)
    shot = wire.Shot.loads(written.read_bytes())
    assert (shot.settings.seed, shot.strip) == (4711, plate.wan_animate.uid)
    assert (tmp_path / "edit.blend").read_bytes() == before


def test_cancel_ends_the_background_blender_and_leaves_nothing(
    plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    plate.wan_animate.person.face = "rig"  # rendered after the plate, which gives the time to cancel
    bpy.ops.wan_animate.generate()
    exports = tmp_path / "wan_animate" / "SH010"
    deadline = time.monotonic() + 30
    while not list(exports.glob("e*/plate/*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert bpy.ops.wan_animate.cancel() == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    assert isinstance(desk.latest[plate.wan_animate.uid].problem, wire.Interrupted)
    assert list(exports.iterdir()) == []
    assert list(background.iterdir()) == []
    assert "export.blend" not in os.popen("ps ax -o args").read()


def test_a_background_blender_without_the_addon_is_said_to_be_so(
    plate: Any, served: Served, background: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(served)
    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "empty"))
    bpy.ops.wan_animate.generate()
    until_done(plate.wan_animate.uid)
    assert "save the preferences with Wan Animate enabled" in str(desk.latest[plate.wan_animate.uid].problem)
