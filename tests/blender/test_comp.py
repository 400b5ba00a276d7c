"""A take in Blender's compositor: rendered, it is the take's comp; and it leaves the edit as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import light, noise, read_numbers, read_png
from takes import (
    empty_floor,
    enable_addon,
    export_of,
    finished,
    over,
    person,
    take_of,
    take_of_layers,
    whole_take_of,
)

from wan_animate_blender import comp, timeline
from wan_animate_blender.take import import_take
from wan_animate_blender.wire import Alpha, BadInput, Colour, Encoding

FRAMES = (1001, 1005, 1012)


@pytest.fixture(autouse=True)
def addon(fresh: None) -> None:
    enable_addon()


@pytest.fixture
def plate(trimmed: Any) -> Any:
    return trimmed


def rendered(scene: Any, number: int, folder: Path, *, linear: bool = False) -> Path:
    """The file that the compositor of `scene` makes of one frame."""
    timeline.write_stills(scene.render.image_settings, *(("OPEN_EXR", "RGB", "32") if linear else ("PNG", "RGB", "8")))
    scene.render.filepath, scene.frame_start, scene.frame_end = f"{folder}/made_######", number, number
    bpy.ops.render.render(animation=True, scene=scene.name)
    return folder / f"made_{number:06d}.{'exr' if linear else 'png'}"


def test_the_compositor_makes_the_comp(edit: Any, plate: Any, tmp_path: Path) -> None:
    edit.view_settings.view_transform = "Standard"
    folder = whole_take_of(export_of(plate, tmp_path, handles=2, layers={"plate": noise}))
    made = comp.build(edit, folder)
    for number in FRAMES:
        seen = read_png(rendered(made, number, tmp_path)).astype(int)
        i = number - 1001
        assert np.abs(seen - over(noise(i), person(i))).max() <= 1
        hard = np.isin(person(i)[..., 3], (0, 255))
        assert np.array_equal(seen[hard], over(noise(i), person(i))[hard])
        assert 0.3 < hard.mean() < 0.9


def test_the_comp_is_seen_as_the_edit_is(edit: Any, plate: Any, tmp_path: Path) -> None:
    """Through AgX, another exposure and a look. The sequencer rounds what it mixes before that, the compositor not."""
    view = edit.view_settings
    view.view_transform, view.exposure, view.gamma = "AgX", 0.5, 1.1
    view.look = "AgX - Punchy"
    folder = whole_take_of(export_of(plate, tmp_path, handles=2, layers={"plate": noise}))
    edit.render.dither_intensity = 0.0
    import_take(edit, folder)
    in_edit = read_png(rendered(edit, 15, tmp_path)).astype(int)
    assert not np.array_equal(in_edit, over(noise(5), person(5)))
    in_comp = read_png(rendered(comp.build(edit, folder), 1006, tmp_path)).astype(int)
    difference = np.abs(in_comp - in_edit)
    assert difference.max() <= 2
    assert difference[np.isin(person(5)[..., 3], (0, 255))].max() <= 1


def test_the_compositor_makes_the_comp_of_a_linear_plate(edit: Any, plate: Any, tmp_path: Path) -> None:
    def character(seed: int) -> np.ndarray:
        alpha = (person(seed)[..., 3:] / 255).astype(np.float16)
        return np.dstack([light(seed + 50) * alpha.astype(np.float32), alpha]).astype(np.float16)

    said = Colour(encoding=Encoding.LINEAR, working_space=comp.colours.working_space(), view="Standard")
    layers = {"plate": lambda i: light(i, np.float16)}
    export = export_of(plate, tmp_path, handles=2, layers=layers, colour=said)
    layers = {"character": character, "matte": lambda i: np.repeat(character(i)[..., 3:], 3, 2)}
    made = comp.build(edit, take_of_layers(export, layers))
    for number in FRAMES:
        i = number - 1001
        above, below = character(i).astype(np.float32), light(i, np.float16).astype(np.float32)
        expected = below * (1 - above[..., 3:]) + above[..., :3]
        seen = read_numbers(rendered(made, number, tmp_path, linear=True))
        assert np.abs(seen - expected).max() <= 1e-5 * np.abs(expected).max()


def test_frames_and_size_are_those_of_the_shot(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = whole_take_of(export_of(plate, tmp_path, handles=2, layers={"plate": noise}))
    made = comp.build(edit, folder)
    assert made.name == "SH010 v001 comp"
    assert (made.frame_start, made.frame_end, made.frame_current) == (1003, 1010, 1003)
    assert (made.render.resolution_x, made.render.resolution_y, made.render.fps) == (80, 48, 24)


def test_a_clean_plate_waits_behind_its_factor(edit: Any, plate: Any, tmp_path: Path) -> None:
    edit.view_settings.view_transform = "Standard"
    layers = {"plate": noise, "cleanplate": lambda _: np.full((48, 80, 3), 90, np.uint8)}
    made = comp.build(edit, whole_take_of(export_of(plate, tmp_path, handles=2, layers=layers)))
    before = read_png(rendered(made, 1005, tmp_path)).astype(int)
    assert np.abs(before - over(noise(4), person(4))).max() <= 1
    tree = getattr(made, "compositing_node_group", None) or made.node_tree
    factor = next(s for s in tree.nodes["Clean Plate over Plate"].inputs if s.identifier == "Fac")
    factor.default_value = 1.0
    after = read_png(rendered(made, 1005, tmp_path)).astype(int)
    assert np.abs(after - over(np.full((48, 80, 3), 90), person(4))).max() <= 1


@pytest.mark.parametrize("is_light", [False, True], ids=["display", "light"])
def test_over_a_background_with_shadows_the_compositor_makes_the_comp(
    edit: Any, plate: Any, tmp_path: Path, is_light: bool
) -> None:
    edit.view_settings.view_transform = "Standard"
    said = Colour(encoding=Encoding.LINEAR, working_space=comp.colours.working_space(), view="Standard")
    paint = (lambda i: light(i, np.float16)) if is_light else noise
    folder = finished(
        plate, tmp_path, paint, said if is_light else None, beside=empty_floor(is_light), alpha=Alpha.DIFFERENCE
    )
    made = comp.build(edit, folder)
    for number in (1001, 1003):
        seen, wanted = rendered(made, number, tmp_path, linear=is_light), folder / f"comp/{number}"
        background = folder / f"background/{number}"
        if is_light:
            numbers, expected = read_numbers(seen), read_numbers(wanted.with_suffix(".exr"))
            assert np.abs(numbers - expected).max() <= 1e-3 * np.abs(expected).max(), "a half of the file"
            assert not np.array_equal(read_numbers(background.with_suffix(".exr")), paint(number - 1001))
        else:
            assert np.abs(read_png(seen).astype(int) - read_png(wanted.with_suffix(".png"))).max() <= 1
    tree = getattr(made, "compositing_node_group", None) or made.node_tree
    assert {"Background", "Character over Background"} <= set(tree.nodes.keys())
    assert not {"Plate", "Clean Plate"} & set(tree.nodes.keys()), "it is in the background already"


def test_the_edit_stays_as_it_is(edit: Any, plate: Any, tmp_path: Path) -> None:
    if not hasattr(edit, "compositing_node_group"):
        edit.use_nodes = True
    before = {name: len(getattr(bpy.data, name)) for name in ("scenes", "images", "node_groups")}
    made = comp.build(edit, whole_take_of(export_of(plate, tmp_path, layers={"plate": noise})))
    after = {name: len(getattr(bpy.data, name)) - count for name, count in before.items()}
    assert after == {"scenes": 1, "images": 3, "node_groups": int(hasattr(edit, "compositing_node_group"))}
    assert bpy.context.scene == edit
    assert len(timeline.strips(edit.sequence_editor)) == 1
    assert made.sequence_editor is None


def test_a_take_without_a_plate_is_refused(edit: Any, plate: Any, tmp_path: Path) -> None:
    folder = take_of(export_of(plate, tmp_path, mode="animate"), layer="generated")
    with pytest.raises(BadInput, match="SH010 v001 has a background of its own and no plate"):
        comp.build(edit, folder)
    assert len(bpy.data.scenes) == 1


def test_a_plate_that_is_gone_is_named(edit: Any, plate: Any, tmp_path: Path) -> None:
    export = export_of(plate, tmp_path, layers={"plate": noise})
    folder = whole_take_of(export)
    (export / "plate" / "1004.png").unlink()
    with pytest.raises(
        BadInput, match=r"the export of SH010 is damaged: .*1004\.png is missing; export the shot again"
    ):
        comp.build(edit, folder)
    assert len(bpy.data.scenes) == 1
