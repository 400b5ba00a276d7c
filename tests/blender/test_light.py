"""Scene-linear strips go the whole way: exported, rendered by a real server, and back over an untouched plate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import light, read_numbers, write_exr
from serving import Served
from takes import export_of, take_of

from wan_animate_blender import identity, timeline
from wan_animate_blender.commands import main
from wan_animate_blender.take import import_take, summary
from wan_animate_blender.wire import SHOT_FILE, TAKE_FILE, BadInput, Colour, Encoding, ExitCode, Shot, Take

pytestmark = pytest.mark.usefixtures("addon")

STRIP_SETTINGS = ("handles", "steps", "segment", "area")
PERSON_SETTINGS = ("rig", "matte", "matte_strip", "face", "character")
HALF_STEP = 2.0**-10
"""The distance of neighbouring halves, relative."""

Strip = Any
Build = Callable[[bpy.types.Scene, Path], Strip]


# --- strips of light ------------------------------------------------------------------------------


def sequence(edit: bpy.types.Scene, folder: Path, kind: type, space: str) -> Strip:
    """Nine EXR files of noise far below 0 and far above 1."""
    files = [write_exr(folder / "light" / f"{i:04d}.exr", light(i, kind)) for i in range(9)]
    strip = timeline.new_image_sequence(edit.sequence_editor, "light", files, 10, 1)
    strip.colorspace_settings.name = space
    return strip


def rendered_scene(edit: bpy.types.Scene, _: Path) -> Strip:
    """A 3D scene of nine frames: a lamp ten times brighter than white before a grey world, traced on the processor."""
    scene = bpy.data.scenes.new("set")
    scene.render.engine, scene.render.resolution_x, scene.render.resolution_y = "CYCLES", 80, 48
    scene.cycles.device, scene.cycles.samples, scene.cycles.use_denoising = "CPU", 2, False
    scene.frame_start, scene.frame_end = 1, 9
    scene.world = bpy.data.worlds.new("grey")
    for name, datablock, place in (
        ("eye", bpy.data.cameras.new("eye"), (0, 0, 9)),
        ("lamp", bpy.data.meshes.new("lamp"), (1.5, 1, 0)),
    ):
        thing = bpy.data.objects.new(name, datablock)
        scene.collection.objects.link(thing)
        thing.location = place
    scene.camera = scene.objects["eye"]
    lamp = scene.objects["lamp"].data
    lamp.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [], [(0, 1, 2, 3)])
    lamp.materials.append(glowing(10.0))
    return timeline.strips(edit.sequence_editor).new_scene(name="light", scene=scene, channel=1, frame_start=10)


def glowing(strength: float) -> bpy.types.Material:
    material = bpy.data.materials.new("glow")
    if material.node_tree is None:  # always there since 5.0
        material.use_nodes = True
    nodes = material.node_tree.nodes
    emission = nodes.new("ShaderNodeEmission")
    emission.inputs["Strength"].default_value = strength
    output = next(node for node in nodes if node.type == "OUTPUT_MATERIAL")
    material.node_tree.links.new(emission.outputs[0], output.inputs["Surface"])
    return material


def through_the_view(edit: bpy.types.Scene, folder: Path) -> Strip:
    strip = sequence(edit, folder, np.float16, "Linear Rec.709")
    strip.wan_animate.transform = "view"
    return strip


STRIPS: dict[str, Build] = {
    "half, as AgX shows it": through_the_view,
    "half": lambda edit, folder: sequence(edit, folder, np.float16, "Linear Rec.709"),
    "float in ACEScg": lambda edit, folder: sequence(edit, folder, np.float32, "ACEScg"),
    "3D scene": rendered_scene,
}


def bar(_: int) -> np.ndarray:
    columns = np.arange(80)
    return np.broadcast_to(np.where(abs(columns - 40) < 10, 255, 0).astype(np.uint8), (48, 80))


@pytest.fixture(params=STRIPS)
def lit(
    request: pytest.FixtureRequest, unsaved: Strip, edit: bpy.types.Scene, film: Callable[..., Strip], tmp_path: Path
) -> Strip:
    """A strip of light that is ready to be generated as `unsaved` is, in its place and in a saved file.

    Its matte is a bar of twenty pixels in the middle, on a muted strip above.
    """
    matte = film("bar", bar, frames=9, first=10, channel=3)
    matte.mute = True
    settings = {name: getattr(unsaved.wan_animate, name) for name in STRIP_SETTINGS}
    choices = {name: getattr(unsaved.wan_animate.person, name) for name in PERSON_SETTINGS}
    choices["matte_strip"] = matte.name
    for strip in (unsaved, timeline.strips(edit.sequence_editor)["matte"]):
        timeline.strips(edit.sequence_editor).remove(strip)
    strip = STRIPS[request.param](edit, tmp_path)
    timeline.set_frame_range(strip, 12, 17)
    for name, value in settings.items():
        setattr(strip.wan_animate, name, value)
    person = strip.wan_animate.add_person()
    for name, value in choices.items():
        setattr(person, name, value)
    edit.sequence_editor.active_strip = strip
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    return strip


# --- the whole way --------------------------------------------------------------------------------


def test_a_strip_of_light_is_generated_and_its_plate_stays(
    lit: Strip, served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(tmp_path / "shots")]
    assert main(["generate", "--strip", "light", *where, "--json"]) == ExitCode.DONE
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    export, folder = Path(last["exports"][-1]), Path(last["takes"][-1])
    shot = Shot.loads((export / SHOT_FILE).read_bytes())
    assert shot.colour.encoding is Encoding.LINEAR
    take = Take.loads((folder / TAKE_FILE).read_bytes())
    assert len(take.sequence("comp")) == len(shot.frames)
    for path in take.sequence("comp"):
        plate, comp = read_numbers(export / "plate" / Path(path).name), read_numbers(folder / path)
        outside = read_numbers(folder / "matte" / Path(path).name)[..., 0] == 0
        assert np.array_equal(comp[outside], plate[outside])
        assert 0.02 < outside.mean() < 0.98
        assert not np.array_equal(comp, plate)
    bpy.ops.wm.revert_mainfile()
    new = timeline.strips(bpy.context.scene.sequence_editor)["SH010 v001 character"]
    assert (new.alpha_mode, new.blend_type) == ("PREMUL", "ALPHA_OVER")
    assert new.colorspace_settings.name == shot.colour.working_space
    assert_lies_as_the_comp(new, folder, tmp_path, working=shot.colour.working_space)


def assert_lies_as_the_comp(new: Strip, folder: Path, tmp_path: Path, working: str) -> None:
    """What the sequencer shows of character and plate is what it shows of the comp, where it works in light."""
    scene = bpy.context.scene
    scene.sequencer_colorspace_settings.name = "Linear Rec.709"
    frames = range(*timeline.frame_range(new))
    over = [shown(scene, frame, tmp_path / "over") for frame in frames]
    comps = sorted((folder / "comp").iterdir())
    whole = timeline.new_image_sequence(scene.sequence_editor, "comp", comps, frames[0], 9)
    whole.blend_type, whole.colorspace_settings.name = "REPLACE", working
    for frame, ours in zip(frames, over, strict=True):
        theirs = shown(scene, frame, tmp_path / "comp")
        assert (np.abs(ours - theirs) <= HALF_STEP * np.maximum(np.abs(theirs), 2.0**-6)).all()


def shown(scene: bpy.types.Scene, frame: int, folder: Path) -> np.ndarray:
    """Float32 [H, W, 3]: what the sequencer shows at `frame`, as light."""
    timeline.write_stills(scene.render.image_settings, "OPEN_EXR", "RGB", "32")
    scene.render.filepath, scene.frame_start, scene.frame_end = str(folder / "####"), frame, frame
    bpy.ops.render.render(animation=True, scene=scene.name)
    return read_numbers(folder / f"{frame:04d}.exr")


# --- coming in ------------------------------------------------------------------------------------


def linear(export: Path, space: str) -> Path:
    """The same export, told to be scene-linear in `space`."""
    file = export / SHOT_FILE
    data = json.loads(file.read_text())
    colour = Colour(encoding=Encoding.LINEAR, working_space=space).to_json()
    file.write_text(json.dumps(data | {"colour": colour}))
    return export


def light_over(export: Path) -> Path:
    """A take whose character is light, as a scene-linear plate gets it."""
    return take_of(export, lambda i: np.full((48, 80, 4), (2.0, 0.5, i / 8, 0.5), np.float16))


@pytest.fixture
def marked(edit: bpy.types.Scene, film: Callable[..., Any]) -> Strip:
    strip = film()
    identity.mark(edit, strip)
    return strip


@pytest.mark.parametrize("space", ["Linear Rec.709", "ACEScg"])
def test_layers_of_light_are_taken_for_what_they_are(edit: Any, marked: Strip, tmp_path: Path, space: str) -> None:
    (new,) = import_take(edit, light_over(linear(export_of(marked, tmp_path), space)))
    assert (new.alpha_mode, new.colorspace_settings.name) == ("PREMUL", space)


def test_a_sequencer_that_does_not_mix_in_light_is_named(edit: Any, marked: Strip, tmp_path: Path) -> None:
    (new,) = import_take(edit, light_over(linear(export_of(marked, tmp_path), "ACEScg")))
    edit.sequencer_colorspace_settings.name = "sRGB"
    assert summary(new).endswith("differ from the take's comp, for the sequencer mixes in 'sRGB' and not in light")
    edit.sequencer_colorspace_settings.name = "Linear Rec.709"
    assert summary(new) == "SH010 v001 character is on channel 2"


def test_an_animated_picture_is_display_encoded_over_any_plate(edit: Any, marked: Strip, tmp_path: Path) -> None:
    export = linear(export_of(marked, tmp_path, mode="animate"), "ACEScg")
    (new,) = import_take(edit, take_of(export, layer="generated"))
    assert new.alpha_mode == "STRAIGHT"
    assert new.colorspace_settings.name != "ACEScg"


def test_a_take_in_colours_that_this_blender_does_not_know_is_refused(edit: Any, marked: Strip, tmp_path: Path) -> None:
    folder = light_over(linear(export_of(marked, tmp_path), "Studio Linear"))
    with pytest.raises(BadInput, match="colour space 'Studio Linear', which this Blender's colour configuration does"):
        import_take(edit, folder)
    assert len(timeline.strips(edit.sequence_editor)) == 1
