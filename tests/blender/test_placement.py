"""A take among what else is in an edit: nothing is hidden, nothing is moved unasked, and the picture is the comp."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect, noise
from takes import enable_addon, export_of, over, person, shown, take_of, whole_take_of

from wan_animate_blender import identity, timeline
from wan_animate_blender.take import Options, import_take, summary
from wan_animate_blender.wire import BadInput

FIRST, END = 12, 20


@pytest.fixture(autouse=True)
def addon(fresh: None) -> None:
    enable_addon()


@pytest.fixture
def plate(edit: bpy.types.Scene, film: Callable[..., Any]) -> Any:
    """A plate of 12 frames from frame 10, of which the edit shows 12 to 19, marked."""
    strip = film()
    timeline.set_frame_range(strip, FIRST, END)
    identity.mark(edit, strip)
    return strip


def colour(scene: Any, channel: int, first: int, end: int, rgb: Any = (0, 1, 0)) -> Any:
    strip = new_effect(scene.sequence_editor, "COLOR", channel, first, end)
    strip.color = rgb
    return strip


def cross(scene: Any, film: Callable[..., Any], channel: int = 3) -> tuple[Any, Any]:
    """A second film below which the plate fades out in its last three frames, and the transition."""
    other = film("other", lambda i: noise(i + 90), frames=12, first=17, channel=2)
    (plate,) = (strip for strip in timeline.strips(scene.sequence_editor) if strip.name == "plate")
    return other, new_effect(scene.sequence_editor, "CROSS", channel, 17, END, plate, other)


def places(scene: Any) -> dict[str, Any]:
    """Where everything is that is no take."""
    strips = timeline.strips_all(scene.sequence_editor)
    return {s.name: (s.channel, timeline.frame_range(s), s.mute) for s in strips if not s.wan_animate.take}


def index_at(frame: int) -> int:
    """The film's frame that is seen at `frame` of the timeline."""
    return frame - 10


# --- pixels ---------------------------------------------------------------------------------------


def test_plate_and_character_are_seen_as_the_comp(edit: Any, plate: Any, tmp_path: Path) -> None:
    import_take(edit, whole_take_of(export_of(plate, tmp_path, handles=2)))
    for frame in range(FIRST, END):
        seen = shown(edit, frame, tmp_path / "seen.png")
        assert np.array_equal(seen, over(noise(index_at(frame)), person(index_at(frame))))


# --- channels -------------------------------------------------------------------------------------


def test_a_title_above_stays_above(edit: Any, plate: Any, tmp_path: Path) -> None:
    title = colour(edit, 5, 14, 30)
    before = places(edit)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert new.channel == 2
    assert places(edit) == before
    assert np.all(shown(edit, 15, tmp_path / "seen.png") == (0, 255, 0))
    assert title.channel == 5
    assert summary(new) == "SH010 v001 character is on channel 2"


def test_a_title_at_another_time_is_no_reason_to_go_below_it(edit: Any, plate: Any, tmp_path: Path) -> None:
    colour(edit, 2, END, 30)
    colour(edit, 3, 1, FIRST)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert new.channel == 2


def test_below_a_title_the_handles_may_be_in_the_way_of_a_neighbour(edit: Any, plate: Any, tmp_path: Path) -> None:
    colour(edit, 2, END, 30)
    colour(edit, 3, 14, 30)
    before = places(edit)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path, handles=2)))
    assert new.channel == 2
    assert places(edit) == before
    assert timeline.frame_range(new) == (FIRST, END)


def test_without_room_a_take_lies_on_top_and_says_so(edit: Any, plate: Any, tmp_path: Path) -> None:
    colour(edit, 2, 14, 30)
    before = places(edit)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert new.channel == 3
    assert places(edit) == before
    assert summary(new) == (
        "SH010 v001 character is on channel 3; it hides 'color', below which no channel was free; "
        "Make Room moves that up"
    )


def test_room_is_made_below_a_title_when_that_is_asked_for(edit: Any, plate: Any, tmp_path: Path) -> None:
    title, other = colour(edit, 2, 14, 30), colour(edit, 3, 40, 50)
    channels = edit.sequence_editor.channels
    channels[2].name, channels[3].mute = "Titles", True
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)), options=Options(make_room=True))
    assert (plate.channel, new.channel, title.channel, other.channel) == (1, 2, 3, 4)
    assert [channels[n].name for n in (1, 2, 3, 4)] == ["Channel 1", "Channel 2", "Titles", "Channel 4"]
    assert [channels[n].mute for n in (2, 3, 4)] == [False, False, True]
    assert [timeline.frame_range(s) for s in (title, other)] == [(14, 30), (40, 50)]
    assert np.all(shown(edit, 15, tmp_path / "seen.png") == (0, 255, 0))
    assert summary(new) == "SH010 v001 character is on channel 2"


@pytest.mark.parametrize("locked", ["strip", "channel"])
def test_what_is_locked_is_not_moved_to_make_room(edit: Any, plate: Any, tmp_path: Path, locked: str) -> None:
    title, other = colour(edit, 2, 14, 30), colour(edit, 4, 40, 50)
    if locked == "strip":
        other.lock = True
    else:
        edit.sequence_editor.channels[4].lock = True
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)), options=Options(make_room=True))
    assert (title.channel, other.channel, new.channel) == (2, 4, 3)


def test_a_locked_channel_takes_no_take(edit: Any, plate: Any, tmp_path: Path) -> None:
    edit.sequence_editor.channels[2].lock = True
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert new.channel == 3


def test_the_matte_that_the_plate_is_given_is_no_title(edit: Any, plate: Any, tmp_path: Path) -> None:
    matte = colour(edit, 2, 1, 40)
    plate.wan_animate.add_person().matte_strip = matte.name
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)))
    assert summary(new) == "SH010 v001 character is on channel 3"


def test_in_a_meta_strip_room_is_made_inside_it(edit: Any, film: Callable[..., Any], tmp_path: Path) -> None:
    outer = colour(edit, 6, 1, 40)
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=4, frame_start=10)
    plate, title = film(), colour(edit, 2, 10, 22)
    for strip in (plate, title):
        strip.move_to_meta(meta)
    identity.mark(edit, plate)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path)), options=Options(make_room=True))
    assert [s.name for s in timeline.path(edit.sequence_editor, new.name)] == ["meta", new.name]
    assert plate.channel < new.channel < title.channel
    assert (meta.channel, outer.channel) == (4, 6)


def test_a_full_edit_says_so_and_stays_as_it_is(edit: Any, plate: Any, tmp_path: Path) -> None:
    for channel in range(2, timeline.LAST_CHANNEL + 1):
        colour(edit, channel, 1, 40)
    before = places(edit)
    with pytest.raises(BadInput, match="no channel is free from frame 12 to 19; unlock one or move strips apart"):
        import_take(edit, take_of(export_of(plate, tmp_path)), options=Options(make_room=True))
    assert places(edit) == before
    assert len(timeline.strips(edit.sequence_editor)) == timeline.LAST_CHANNEL


# --- transitions and effects ----------------------------------------------------------------------


def test_a_transition_is_neither_hidden_nor_changed(
    edit: Any, plate: Any, film: Callable[..., Any], tmp_path: Path
) -> None:
    _, fade = cross(edit, film)
    before, faded = places(edit), shown(edit, 18, tmp_path / "faded.png")
    (new,) = import_take(edit, whole_take_of(export_of(plate, tmp_path)))
    assert timeline.frame_range(new) == (FIRST, 17)
    assert places(edit) == before
    assert fade.input_1 == plate
    assert np.array_equal(shown(edit, 18, tmp_path / "seen.png"), faded)
    assert summary(new) == f"SH010 v001 character is on channel {new.channel}; 'cross' shows 'plate' without it"


def test_a_transition_shows_the_take_when_that_is_asked_for(
    edit: Any, plate: Any, film: Callable[..., Any], tmp_path: Path
) -> None:
    other, fade = cross(edit, film)
    before = places(edit)
    new = import_take(edit, whole_take_of(export_of(plate, tmp_path)), options=Options(use_in_effects=True))
    assert [(s.name, s.mute) for s in new] == [("SH010 v001 character", False), ("SH010 v001 comp", True)]
    assert (fade.input_1, fade.input_2) == (new[1], other)
    assert places(edit) == before
    seen = shown(edit, 18, tmp_path / "seen.png")
    for strip in (plate, fade, *new):
        strip.mute = True
    pictures = []
    for name in ("SH010 v001 comp", "other"):
        for strip in timeline.strips(edit.sequence_editor):
            strip.mute = strip.name != name
        pictures.append(shown(edit, 18, tmp_path / f"{name}.png").astype(float))
    mixes = [np.abs(pictures[0] * (1 - part) + pictures[1] * part - seen).max() for part in np.linspace(0, 1, 1001)]
    assert min(mixes) < 2
    assert 0.2 < np.argmin(mixes) / 1000 < 0.8
    assert summary(new[0]) == f"SH010 v001 character is on channel {new[0].channel}"


def test_an_effect_of_one_strip_shows_the_take_when_that_is_asked_for(edit: Any, plate: Any, tmp_path: Path) -> None:
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 4, FIRST, END, plate)
    blur.size_x = blur.size_y = 0
    folder = whole_take_of(export_of(plate, tmp_path, handles=2))
    new = import_take(edit, folder, options=Options(use_in_effects=True))
    assert blur.input_1 == new[1]
    assert [strip.channel < blur.channel for strip in new] == [True, True]
    seen = shown(edit, 15, tmp_path / "seen.png").astype(int)
    assert np.abs(seen - over(noise(index_at(15)), person(index_at(15)))).max() <= 1


def test_an_effect_keeps_what_it_shows_when_the_take_is_too_short(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = whole_take_of(export_of(plate, tmp_path))
    timeline.set_frame_range(plate, 11, END)
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 4, 11, END, plate)
    new = import_take(edit, folder, options=Options(use_in_effects=True))
    assert blur.input_1 == plate
    assert timeline.frame_range(blur) == (11, END)
    assert "'gaussian_blur' shows 'plate' without it" in summary(new[0])


def test_the_next_take_replaces_the_one_in_the_effects(edit: Any, plate: Any, tmp_path: Path) -> None:
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 4, FIRST, END, plate)
    export = export_of(plate, tmp_path)
    for version in (1, 2):
        new = import_take(edit, whole_take_of(export), options=Options(use_in_effects=True))
        assert blur.input_1.name == f"SH010 v00{version} comp" == new[1].name


# --- layers and mutes -----------------------------------------------------------------------------


def test_matte_and_comp_come_along_unseen(edit: Any, plate: Any, tmp_path: Path) -> None:
    colour(edit, 2, 14, 30)
    options = Options(beside=("matte", "comp"), make_room=True)
    before = shown(edit, 13, tmp_path / "before.png")
    new = import_take(edit, whole_take_of(export_of(plate, tmp_path)), options=options)
    assert [strip.name for strip in new] == [f"SH010 v001 {layer}" for layer in ("character", "matte", "comp")]
    assert [strip.mute for strip in new] == [False, True, True]
    assert len({strip.channel for strip in new}) == 3
    new[0].mute = True
    assert np.array_equal(shown(edit, 13, tmp_path / "after.png"), before)


def test_a_layer_can_come_later_than_the_character(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = whole_take_of(export_of(plate, tmp_path))
    import_take(edit, folder)
    (matte,) = import_take(edit, folder, options=Options(beside=("matte",)))
    assert matte.name == "SH010 v001 matte"
    with pytest.raises(BadInput, match="SH010 v001 is in the edit already"):
        import_take(edit, folder, options=Options(beside=("matte",)))


def test_a_layer_that_a_take_does_not_have_is_named(edit: Any, plate: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="SH010 v001 has no comp; it has character"):
        import_take(edit, take_of(export_of(plate, tmp_path)), options=Options(beside=("comp",)))


def test_the_source_is_muted_when_that_is_asked_for(edit: Any, plate: Any, tmp_path: Path) -> None:
    import_take(edit, take_of(export_of(plate, tmp_path)), options=Options(mute_source=True))
    assert plate.mute


# --- the way to the canvas ------------------------------------------------------------------------


def half(index: int) -> np.ndarray:
    """The film's picture itself, opaque on the left: over the plate it must not be seen."""
    alpha = np.zeros((48, 80, 1), np.uint8)
    alpha[:, :40] = 255
    return np.concatenate([noise(index + 2), alpha], axis=2)


def animate(scene: Any, strip: Any) -> None:
    way = strip.transform
    for frame, x, scale in ((12, -9.0, 1.0), (15, 4.0, 0.5), (19, 0.0, 1.5)):
        way.offset_x, way.scale_y = x, scale
        way.keyframe_insert("offset_x", frame=frame)
        way.keyframe_insert("scale_y", frame=frame)
    for curve in timeline.curves(scene.animation_data):
        curve.keyframe_points[1].interpolation = "BOUNCE"
        curve.keyframe_points[0].handle_right_type = "FREE"
        curve.keyframe_points[0].handle_right = (14.0, 3.0)


def drive(scene: Any, strip: Any) -> None:
    driver = strip.transform.driver_add("rotation").driver
    driver.expression = "frame / 20"


def shake(scene: Any, strip: Any) -> None:
    strip.transform.keyframe_insert("offset_y", frame=12)
    modifier = timeline.curves(scene.animation_data)[0].modifiers.new("NOISE")
    modifier.strength, modifier.scale = 12.0, 3.0


def grade(scene: Any, strip: Any) -> None:
    curve = strip.modifiers.new("dark", "CURVES")
    points = curve.curve_mapping.curves[3].points
    points.new(0.3, 0.1)
    points.new(0.6, 0.7)
    curve.curve_mapping.update()
    balance = strip.modifiers.new("warm", "COLOR_BALANCE")
    balance.color_balance.gain = (1.2, 1.0, 0.8)
    hue = strip.modifiers.new("hue", "HUE_CORRECT")
    hue.curve_mapping.curves[1].points[3].location = (0.4, 0.9)
    hue.curve_mapping.update()
    bright = strip.modifiers.new("bright", "BRIGHT_CONTRAST")
    bright.bright = 4.0
    bright.keyframe_insert("contrast", frame=12)
    bright.contrast = 30.0
    bright.keyframe_insert("contrast", frame=19)
    strip.modifiers.new("off", "WHITE_BALANCE").mute = True


@pytest.mark.parametrize("change", [animate, drive, shake, grade], ids=lambda change: change.__name__)
def test_take_and_plate_coincide_at_every_frame(
    edit: Any, plate: Any, tmp_path: Path, change: Callable[[Any, Any], None]
) -> None:
    plate.transform.filter = "NEAREST"  # else the soft edge of the picture itself is seen twice
    unchanged = shown(edit, 15, tmp_path / "unchanged.png")
    change(edit, plate)
    before = [shown(edit, frame, tmp_path / "before.png") for frame in (13, 15, 18)]
    assert not np.array_equal(before[1], unchanged)
    (new,) = import_take(edit, take_of(export_of(plate, tmp_path), half))
    for frame, picture in zip((13, 15, 18), before, strict=True):
        assert np.array_equal(shown(edit, frame, tmp_path / "after.png"), picture)
    plate.mute = True
    alone = shown(edit, 15, tmp_path / "alone.png")
    assert 0.1 < np.any(alone, axis=2).mean() / np.any(before[1], axis=2).mean() < 0.9
    assert [m.mute for m in new.modifiers] == [m.mute for m in plate.modifiers]
