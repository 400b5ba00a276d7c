"""Which frame of the footage is seen when, held to what every Blender renders of frames that carry their number."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect
from numbered import encode, operate, picture, rendered, shown

from wan_animate_blender import dna, footage, timeline
from wan_animate_blender.wire import BadInput

Film = Callable[..., Any]
Change = Callable[[bpy.types.Scene, Any], None]


def table(strip: Any, first: int | None = None, end: int | None = None) -> list[float]:
    start, stop = timeline.frame_range(strip)
    way = timeline.path(strip.id_data.sequence_editor, strip.name)
    frames = range(start if first is None else first, stop if end is None else end)
    return footage.sources(way[:-1], strip, frames)


def shown_of(strip: Any, folder: Path) -> list[int]:
    return shown(strip.id_data, range(*timeline.frame_range(strip)), folder)


# --- trims ----------------------------------------------------------------------------------------


def test_a_trimmed_strip_knows_its_range_its_handles_and_which_frame_is_seen_when(film: Film) -> None:
    strip = film(frames=20, first=100)
    timeline.set_frame_range(strip, 105, 117)
    assert timeline.frame_range(strip) == (105, 117)
    assert footage.handles([], strip) == (5, 3)
    assert footage.sources([], strip, (100, 105, 116, 119)) == [0, 5, 16, 19]


def test_a_strip_longer_than_its_footage_holds_the_ends_and_has_no_handles(film: Film) -> None:
    strip = film(frames=4, first=100)
    timeline.set_frame_range(strip, 97, 110)
    assert footage.handles([], strip) == (0, 0)
    assert footage.sources([], strip, (97, 100, 103, 109)) == [0, 0, 3, 3]


def test_a_hard_trim_takes_handles_away_and_keeps_the_numbers_of_the_footage(film: Film) -> None:
    strip = film(frames=20, first=100)
    trim_hard(strip, 6)
    first, _ = timeline.frame_range(strip)
    assert footage.source(strip, first) == 6
    assert footage.handles([], strip)[0] == 0


def trim_hard(strip: Any, frames: int) -> None:
    """Cut frames off the footage's start for good."""
    setattr(
        strip, "content_trim_start" if hasattr(strip, "content_trim_start") else "animation_offset_start", frames
    )  # fmt: skip


# --- every frame of numbered footage --------------------------------------------------------------


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty numbered frames at 25 a second."""
    from footage import write_png

    folder = tmp_path_factory.mktemp("numbered")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 80, 48
    files = [write_png(folder / f"{i:04d}.png", picture(i)) for i in range(40)]
    timeline.new_image_sequence(scene.sequence_editor_create(), "numbers", files, 1, 1)
    return encode(scene, folder / "numbers.avi", fps=25, frames=40)


@pytest.fixture
def numbers(edit: bpy.types.Scene, movie: Path) -> Any:
    """The numbered movie at frame 20 of a scene of 24 frames a second, frame for frame."""
    strips = timeline.strips(edit.sequence_editor)
    return strips.new_movie(name="numbers", filepath=str(movie), channel=1, frame_start=20)


def plain(scene: bpy.types.Scene, strip: Any) -> None:
    pass


def trim(scene: bpy.types.Scene, strip: Any) -> None:
    timeline.set_frame_range(strip, 27, 52)


def hold(scene: bpy.types.Scene, strip: Any) -> None:
    timeline.set_frame_range(strip, 15, 64)


def reverse(scene: bpy.types.Scene, strip: Any) -> None:
    strip.use_reverse_frames = True


def strobe(scene: bpy.types.Scene, strip: Any) -> None:
    strip.strobe = 3


def strobe_between_frames(scene: bpy.types.Scene, strip: Any) -> None:
    strip.strobe = 2.5


def strobe_by_keyframes(scene: bpy.types.Scene, strip: Any) -> None:
    for frame, length in ((20, 1.0), (40, 1.0), (59, 6.0)):
        strip.strobe = length
        strip.keyframe_insert("strobe", frame=frame)


def cut_hard(scene: bpy.types.Scene, strip: Any) -> None:
    trim_hard(strip, 5)


def play_twice_as_fast(scene: bpy.types.Scene, strip: Any) -> None:
    operate(scene, strip, "retiming_key_add", timeline_frame=30)
    strip.retiming_keys[2].timeline_frame = 45


def play_half_as_fast(scene: bpy.types.Scene, strip: Any) -> None:
    operate(scene, strip, "retiming_key_add", timeline_frame=30)
    strip.retiming_keys[2].timeline_frame = 90


def play_fast_then_slow(scene: bpy.types.Scene, strip: Any) -> None:
    operate(scene, strip, "retiming_key_add", timeline_frame=40)
    strip.retiming_keys[1].timeline_frame = 31
    strip.retiming_keys[2].timeline_frame = 77


def freeze(scene: bpy.types.Scene, strip: Any) -> None:
    scene.frame_current = 33
    operate(scene, strip, "retiming_freeze_frame_add", duration=9)


def all_at_once(scene: bpy.types.Scene, strip: Any) -> None:
    play_half_as_fast(scene, strip)
    reverse(scene, strip)
    strobe(scene, strip)
    timeline.set_frame_range(strip, 41, 83)


def in_order(*changes: Change) -> Change:
    def change(scene: bpy.types.Scene, strip: Any) -> None:
        for one in changes:
            one(scene, strip)

    change.__name__ = "_and_".join(one.__name__ for one in changes)
    return change


CHANGES = [
    plain, trim, hold, reverse, strobe, strobe_between_frames, strobe_by_keyframes, cut_hard,
    play_twice_as_fast, play_half_as_fast, play_fast_then_slow, freeze, all_at_once,
    in_order(reverse, trim), in_order(cut_hard, reverse, trim), in_order(freeze, reverse), in_order(strobe, trim),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_table_says_which_frame_of_a_movie_is_seen_at_every_frame(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    change(edit, numbers)
    assert shown_of(numbers, tmp_path / "out") == table(numbers)


@pytest.mark.parametrize(
    "change", [plain, reverse, strobe, trim, in_order(reverse, trim)], ids=lambda change: change.__name__
)
def test_the_table_says_it_of_a_movie_that_keeps_another_frame_rate(
    edit: bpy.types.Scene, movie: Path, tmp_path: Path, change: Change
) -> None:
    strip = add_at_own_rate(edit, movie)
    change(edit, strip)
    seen = table(strip)
    assert shown_of(strip, tmp_path / "out") == seen
    assert len(set(seen)) == len(seen) or change is strobe
    assert timeline.content(strip).end - timeline.content(strip).first == 38, "40 frames of 25 a second at 24"


def add_at_own_rate(scene: bpy.types.Scene, movie: Path) -> Any:
    """The strip as the interface adds it: as long in seconds as the movie."""
    if bpy.app.version >= (5, 0):  # whose wheel dies in the operator
        strip = timeline.strips(scene.sequence_editor).new_movie(
            name="numbers", filepath=str(movie), channel=1, frame_start=20
        )
        flag = dna.layout("Sequence").fields["flag"].offset
        ctypes.c_int.from_address(strip.as_pointer() + flag).value |= timeline.AUTO_PLAYBACK_RATE
        return strip
    window = bpy.context.window
    window.screen.areas[0].type = "SEQUENCE_EDITOR"
    with bpy.context.temp_override(window=window, area=window.screen.areas[0], scene=scene):
        bpy.ops.sequencer.movie_strip_add(
            filepath=str(movie), frame_start=20, channel=1, sound=False, use_framerate=False,
            adjust_playback_rate=True, fit_method="ORIGINAL", set_view_transform=False,
        )  # fmt: skip
    return timeline.strips_all(scene.sequence_editor)[0]


# --- image sequences, whose frames Blender tells without a render ---------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_the_table_says_which_file_of_a_sequence_is_seen_however_it_is_retimed(
    edit: bpy.types.Scene, film: Film, seed: int
) -> None:
    strip = film("numbers", frames=40, first=20)
    rng = np.random.default_rng(seed)
    for frame in sorted(rng.integers(21, 58, 3)):
        operate(edit, strip, "retiming_key_add", timeline_frame=int(frame))
    operate(edit, strip, "retiming_segment_speed_set", speed=float(rng.choice([25.0, 37.0, 50.0, 150.0, 200.0])))
    strip.use_reverse_frames, strip.strobe = bool(seed % 3 == 0), float(rng.choice([1.0, 1.5, 2.0, 3.0]))
    first, end = timeline.frame_range(strip)
    timeline.set_frame_range(strip, first + int(rng.integers(-3, 9)), end - int(rng.integers(-3, 9)))
    frames = range(timeline.frame_range(strip)[0] - 5, timeline.frame_range(strip)[1] + 5)
    assert [elements(strip).index(strip.strip_elem_from_frame(frame).filename) for frame in frames] == (
        footage.sources([], strip, frames)
    )


def elements(strip: Any) -> list[str]:
    return [element.filename for element in strip.elements]


@pytest.mark.parametrize("duration", [2, 5, 9])
def test_the_speed_changes_gradually_in_a_transition_as_the_table_says(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, duration: int
) -> None:
    operate(edit, numbers, "retiming_key_add", timeline_frame=36)
    numbers.retiming_keys[2].timeline_frame = 90
    before = table(numbers)
    select_key(numbers, 1)
    operate(edit, numbers, "retiming_transition_add", duration=duration)
    assert len(numbers.retiming_keys) == 4, "the key became the two ends of a transition"
    assert shown_of(numbers, tmp_path / "out") == table(numbers)
    assert duration < 5 or before != table(numbers)


@pytest.mark.skipif(bpy.app.version < (4, 3), reason="4.2 shortens such a transition")
def test_a_transition_from_the_first_frame_is_refused(edit: bpy.types.Scene, numbers: Any) -> None:
    operate(edit, numbers, "retiming_key_add", timeline_frame=26)
    numbers.retiming_keys[2].timeline_frame = 90
    select_key(numbers, 1)
    operate(edit, numbers, "retiming_transition_add", duration=9)
    with pytest.raises(BadInput, match="'numbers' changes its speed gradually from its first or to its last frame"):
        table(numbers)


def select_key(strip: Any, index: int) -> None:
    """What a click on a retiming key does: no operator that works without a window selects one."""
    key = dna.layout("SeqRetimingHandle")
    address = int(dna.layout("Sequence").read(strip.as_pointer(), "retiming_handles")) + index * key.size
    ctypes.c_int.from_address(address + key.fields["flag"].offset).value |= 1 << 4
    strip.show_retiming_keys = True


# --- handles and places ---------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES[1:], ids=lambda change: change.__name__)
def test_handles_show_the_frames_that_the_table_says_and_end_with_new_ones(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    change(edit, numbers)
    first, end = timeline.frame_range(numbers)
    middle = (first + end) // 2
    timeline.set_frame_range(numbers, middle - 2, middle + 2)
    before, after = footage.handles([], numbers)
    told = table(numbers, middle - 2 - before, middle + 2 + after)
    timeline.set_frame_range(numbers, middle - 2 - before, middle + 2 + after)
    assert shown_of(numbers, tmp_path / "out") == told
    assert told[0] != told[1] and told[-1] != told[-2], "no handle shows what is held"
    behind = timeline.content(numbers)
    assert len(set(table(numbers, behind.first, behind.end))) == len(set(told)), "and all footage is in them"


@pytest.mark.parametrize(
    "change", [change for change in CHANGES if change is not strobe_by_keyframes], ids=lambda change: change.__name__
)
def test_frames_of_the_footage_are_found_again_when_a_strip_was_moved_and_trimmed(
    edit: bpy.types.Scene, numbers: Any, change: Change
) -> None:
    change(edit, numbers)
    first, end = timeline.frame_range(numbers)
    wanted = table(numbers)
    move(numbers, 31)
    timeline.set_frame_range(numbers, first + 31 + 6, end + 31 - 7)
    assert footage.place(numbers, wanted, near=first) == first + 31


def move(strip: Any, frames: int) -> None:
    name = "content_start" if hasattr(strip, "content_start") else "frame_start"
    setattr(strip, name, getattr(strip, name) + frames)


@pytest.mark.parametrize("change", [reverse, play_half_as_fast, strobe], ids=lambda change: change.__name__)
def test_frames_that_play_at_another_speed_now_have_no_place(
    edit: bpy.types.Scene, numbers: Any, change: Change
) -> None:
    wanted = table(numbers)
    change(edit, numbers)
    with pytest.raises(BadInput, match="'numbers' has been retimed or reversed since it was exported; undo that"):
        footage.place(numbers, wanted, near=20)


def test_frames_that_were_cut_off_for_good_have_no_place(edit: bpy.types.Scene, numbers: Any) -> None:
    trim_hard(numbers, 20)
    with pytest.raises(BadInput, match="'numbers' has none of the frames any more"):
        footage.place(numbers, [3, 4, 5], near=20)


def test_of_many_places_for_a_still_the_nearest_is_taken(edit: bpy.types.Scene, film: Film) -> None:
    strip = film(frames=1, first=10)
    timeline.set_frame_range(strip, 10, 60)
    assert footage.place(strip, [0.0] * 10, near=23) == 23


def test_a_strip_with_a_driver_on_its_time_is_refused(edit: bpy.types.Scene, numbers: Any) -> None:
    numbers.driver_add("strobe").driver.expression = "3"
    with pytest.raises(BadInput, match=r"'strobe' of the strip 'numbers' has a driver, whose values .* bake it"):
        table(numbers)


# --- the Speed effect -----------------------------------------------------------------------------


def stretched(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "STRETCH"
    timeline.set_frame_range(effect.input_1, 24, 44)


def slowed(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control, effect.speed_factor = "MULTIPLY", 0.4


def sped_up(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control, effect.speed_factor = "MULTIPLY", 2.3


def backwards(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control, effect.speed_factor = "MULTIPLY", -0.7


def ramped(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "MULTIPLY"
    for frame, factor in ((20, 0.2), (40, 1.0), (58, 2.0)):
        effect.speed_factor = factor
        effect.keyframe_insert("speed_factor", frame=frame)
    effect.speed_factor = factor  # Blender sums the factors up when one is set, and when a file is opened


def told_by_number(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "FRAME_NUMBER"
    for frame, number in ((20, 30), (59, 3)):
        effect.speed_frame_number = number
        effect.keyframe_insert("speed_frame_number", frame=frame)


def told_by_length(scene: bpy.types.Scene, effect: Any) -> None:
    effect.speed_control = "LENGTH"
    for frame, part in ((20, 0.0), (59, 80.0)):
        effect.speed_length = part
        effect.keyframe_insert("speed_length", frame=frame)


def reversed_itself(scene: bpy.types.Scene, effect: Any) -> None:
    slowed(scene, effect)
    effect.use_reverse_frames = True


SPEEDS = [stretched, slowed, sped_up, backwards, ramped, told_by_number, told_by_length, reversed_itself]


@pytest.mark.parametrize("change", SPEEDS, ids=lambda change: change.__name__)
def test_a_speed_effect_shows_the_frames_of_its_input_that_the_table_says(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    effect = new_effect(edit.sequence_editor, "SPEED", 2, 20, 60, numbers)
    effect.use_frame_interpolate = False
    change(edit, effect)
    assert shown_of(effect, tmp_path / "out") == table(effect)


@pytest.mark.parametrize("change", [slowed, sped_up, ramped, stretched], ids=lambda change: change.__name__)
def test_an_interpolating_speed_effect_is_between_two_frames_as_the_table_says(
    edit: bpy.types.Scene, film: Film, tmp_path: Path, change: Change
) -> None:
    levels = film("numbers", lambda i: np.full((48, 80, 3), 5 * i, np.uint8), frames=40, first=20)
    effect = new_effect(edit.sequence_editor, "SPEED", 2, 20, 60, levels)
    effect.use_frame_interpolate = True
    change(edit, effect)
    seen = [pixels.mean() / 5 for pixels in rendered(edit, range(*timeline.frame_range(effect)), tmp_path / "out")]
    assert np.abs(np.subtract(seen, table(effect))).max() < 0.3, "a level of 8 bits is 0.2 frames"
    assert any(source % 1 for source in table(effect))


def test_the_input_of_a_speed_effect_and_an_effect_on_footage_count_the_footage(
    edit: bpy.types.Scene, numbers: Any
) -> None:
    timeline.set_frame_range(numbers, 25, 50)
    slowed(edit, new_effect(edit.sequence_editor, "SPEED", 2, 25, 50, numbers))
    blurred = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 3, 25, 50, numbers)
    assert table(numbers) == list(range(5, 30)) == table(blurred)
    assert footage.handles([], blurred) == (0, 0)


def test_an_effect_that_makes_its_picture_counts_its_own_frames(edit: bpy.types.Scene) -> None:
    colour = new_effect(edit.sequence_editor, "COLOR", 1, 10, 30)
    assert timeline.frame_range(colour) == (10, 30)
    assert footage.handles([], colour) == (0, 0)
    assert footage.sources([], colour, (10, 15, 29)) == [0, 5, 19]


def test_a_crossfade_counts_its_own_frames_for_it_shows_two_footages(edit: bpy.types.Scene, film: Film) -> None:
    first, second = film("a", frames=20, first=10), film("b", frames=20, first=20, channel=2)
    cross = new_effect(edit.sequence_editor, "CROSS", 3, 20, 30, first, second)
    assert table(cross) == list(range(10))


# --- metas, scenes, masks, clips ------------------------------------------------------------------


def into_meta(scene: bpy.types.Scene, *inner: Any, name: str = "meta", channel: int = 5) -> Any:
    """A meta strip at the scene's first level around `inner`, as long as they are."""
    meta = timeline.strips(scene.sequence_editor).new_meta(name=name, channel=channel, frame_start=1)
    for strip in inner:
        strip.move_to_meta(meta)
        timeline.set_frame_range(strip, *timeline.frame_range(strip))  # else 4.5 leaves the meta's length
    timeline.set_frame_range(
        meta, min(timeline.frame_range(s)[0] for s in inner), max(timeline.frame_range(s)[1] for s in inner)
    )
    return meta


def test_metas_around_a_strip_cut_it_and_leave_its_frames_where_they_are(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path
) -> None:
    timeline.set_frame_range(numbers, 25, 55)
    inner = into_meta(edit, numbers, name="inner")
    timeline.set_frame_range(inner, 30, 50)
    outer = into_meta(edit, inner, name="outer", channel=6)
    timeline.set_frame_range(outer, 28, 45)
    assert shown(edit, range(30, 45), tmp_path / "out") == table(numbers, 30, 45) == list(range(10, 25))
    assert footage.handles(timeline.path(edit.sequence_editor, "numbers")[:-1], numbers) == (0, 0)


def test_handles_inside_a_meta_end_where_the_meta_ends(edit: bpy.types.Scene, numbers: Any) -> None:
    meta = into_meta(edit, numbers)
    timeline.set_frame_range(numbers, 30, 40)
    timeline.set_frame_range(meta, 26, 58)
    assert footage.handles([meta], numbers) == (4, 18)


@pytest.mark.parametrize("change", [plain, trim, reverse, in_order(reverse, trim), strobe], ids=lambda c: c.__name__)
def test_a_meta_strip_counts_the_frames_of_what_is_in_it(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    meta = into_meta(edit, numbers)
    change(edit, meta)
    assert shown_of(meta, tmp_path / "out") == table(meta)


@pytest.mark.parametrize(
    "change", [reverse, strobe, *([freeze] if bpy.app.version >= (5, 0) else [])], ids=lambda change: change.__name__
)
def test_a_strip_in_a_meta_that_plays_at_another_pace_is_refused(
    edit: bpy.types.Scene, numbers: Any, change: Change
) -> None:
    change(edit, into_meta(edit, numbers))
    with pytest.raises(BadInput, match=r"the meta strip 'meta' plays what is in it reversed, strobed or retimed; gen"):
        table(numbers)


@pytest.fixture
def glow(edit: bpy.types.Scene) -> Any:
    """A strip at frame 20 of a scene that begins at its frame 5 and is a hundredth brighter in every frame."""
    inside = bpy.data.scenes.new("glow")
    inside.frame_start, inside.frame_end = 5, 44
    inside.render.resolution_x, inside.render.resolution_y, inside.render.engine = 8, 8, "CYCLES"
    inside.render.resolution_percentage, inside.cycles.samples, inside.cycles.use_denoising = 100, 1, False
    inside.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    inside.collection.objects.link(inside.camera)
    inside.world = world = bpy.data.worlds.new("world")
    if bpy.app.version < (5, 0):  # since then worlds have nothing else
        world.use_nodes = True
    strength = world.node_tree.nodes["Background"].inputs
    strength["Color"].default_value = (1, 1, 1, 1)
    for frame in (0, 100):
        strength["Strength"].default_value = frame / 100
        strength["Strength"].keyframe_insert("default_value", frame=frame)
    straighten(world.node_tree)
    return timeline.strips(edit.sequence_editor).new_scene(name="numbers", scene=inside, channel=1, frame_start=20)


def light_frames(pixels: list[np.ndarray]) -> np.ndarray:
    """Frames of the scene `glow` by how bright the middle is: the inverse of the sRGB curve."""
    coded = np.array([picture[24, 40, 0] / 255 for picture in pixels])
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4) * 100


@pytest.mark.parametrize(
    "change", [plain, trim, reverse, in_order(reverse, trim), strobe_between_frames, freeze], ids=lambda c: c.__name__
)
def test_a_scene_strip_is_at_the_moment_of_its_scene_that_the_table_says(
    edit: bpy.types.Scene, glow: Any, tmp_path: Path, change: Change
) -> None:
    change(edit, glow)
    seen = light_frames(rendered(edit, range(*timeline.frame_range(glow)), tmp_path / "out"))
    assert np.abs(seen - 5 - table(glow)).max() < 0.3, "a level of 8 bits is up to half a frame"


def test_a_retimed_scene_strip_is_between_two_frames_of_its_scene(
    edit: bpy.types.Scene, glow: Any, tmp_path: Path
) -> None:
    operate(edit, glow, "retiming_segment_speed_set", speed=40.0)
    seen = light_frames(rendered(edit, range(30, 50), tmp_path / "out"))
    assert np.abs(seen - 5 - table(glow, 30, 50)).max() < 0.3
    assert {round(source % 1, 1) for source in table(glow, 30, 50)} > {0.2, 0.4, 0.6, 0.8}


@pytest.mark.parametrize("change", [plain, cut_hard, reverse, freeze], ids=lambda change: change.__name__)
def test_a_scene_strip_of_a_sequencer_shows_the_frames_of_that_edit(
    edit: bpy.types.Scene, numbers: Any, tmp_path: Path, change: Change
) -> None:
    outer = bpy.data.scenes.new("outer")
    outer.render.resolution_x, outer.render.resolution_y = 80, 48
    edit.frame_start, edit.frame_end = 20, 59
    strip = timeline.strips(outer.sequence_editor_create()).new_scene(
        name="numbers", scene=edit, channel=1, frame_start=20
    )
    strip.scene_input = "SEQUENCER"
    change(outer, strip)
    edit.sequence_editor.use_cache_raw = False
    away = np.subtract(shown_of(strip, tmp_path / "out"), table(strip))
    assert np.abs(away).max() < 0.501, "moments between its frames are rounded by the strips in it"


@pytest.mark.parametrize("change", [plain, trim, reverse, freeze], ids=lambda change: change.__name__)
def test_a_clip_strip_shows_the_frames_of_its_clip(
    edit: bpy.types.Scene, movie: Path, tmp_path: Path, change: Change
) -> None:
    clip = bpy.data.movieclips.load(str(movie))
    strip = timeline.strips(edit.sequence_editor).new_clip(name="numbers", clip=clip, channel=1, frame_start=20)
    change(edit, strip)
    assert shown_of(strip, tmp_path / "out") == table(strip)


@pytest.mark.parametrize("change", [plain, trim, reverse, cut_hard], ids=lambda change: change.__name__)
def test_a_mask_strip_shows_the_moments_of_its_mask(edit: bpy.types.Scene, tmp_path: Path, change: Change) -> None:
    strips = timeline.strips(edit.sequence_editor)
    strip = strips.new_mask(name="numbers", mask=brightening_mask(), channel=1, frame_start=20)
    change(edit, strip)
    pictures = rendered(edit, range(*timeline.frame_range(strip)), tmp_path / "out")
    seen = [pixels[24, 40, 0] / 255 * 50 for pixels in pictures]
    assert np.abs(np.subtract(seen, table(strip))).max() < 0.3, "a level is 0.2 frames"


def brightening_mask() -> bpy.types.Mask:
    """Forty frames from 3 on; it covers everything, a fiftieth more of it in every frame."""
    mask = bpy.data.masks.new("mask")
    mask.frame_start, mask.frame_end = 3, 42
    layer = mask.layers.new(name="layer")
    spline = layer.splines.new()
    spline.points.add(3)
    spline.use_cyclic = True
    for point, place in zip(spline.points, ((-1, -1), (2, -1), (2, 2), (-1, 2)), strict=True):
        point.handle_type, point.co = "VECTOR", place
    for frame in (3, 53):
        layer.alpha = (frame - 3) / 50
        layer.keyframe_insert("alpha", frame=frame)
    straighten(mask)
    return mask


def straighten(animated: bpy.types.ID) -> None:
    for curve in timeline.curves(animated.animation_data):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
