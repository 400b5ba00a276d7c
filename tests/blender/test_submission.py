"""Marked strips of all scenes become a submission: what is asked for, what travels, what is missing or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import new_effect, noise, write_exr, write_png
from serving import Served

from wan_animate_blender import headless, identity, timeline
from wan_animate_blender.client import Server
from wan_animate_blender.farm import assets, collecting, estimates, inventory, results
from wan_animate_blender.farm.submission import Asset, Submission
from wan_animate_blender.farm.submit import Send, Wish, expect_all, look
from wan_animate_blender.farm.submit import submit as write
from wan_animate_blender.wire import BadInput, claim_version

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "shots"


def submit(wish: Wish, *send: Send) -> Path:
    return write(wish, look(wish), *send)


def found(root: Path, *, edit: bool = False, missing: bool = True) -> dict[str, Asset]:
    """Everything that travels, by what it is."""
    listed = look(Wish(root=root, edit=edit, allow_missing=missing)).assets
    return {one.what: one for one in listed}


# --- what is asked for ----------------------------------------------------------------------------


@pytest.fixture
def second(plate: Any, film: Callable[..., Any]) -> Any:
    """A second strip, marked as the first one is."""
    return mark_like(film("other", first=40, channel=1, frames=6), plate)


def mark_like(strip: Any, plate: Any) -> Any:
    person, like = strip.wan_animate.add_person(), plate.wan_animate.person
    person.rig, person.character, person.matte, person.face = like.rig, like.character, "ALPHA", "none"
    strip.wan_animate.mode, strip.wan_animate.handles = "animate", 0
    return strip


def test_strips_of_all_scenes_are_collected_and_takes_and_others_are_not(
    plate: Any, second: Any, edit: Any, root: Path
) -> None:
    other = bpy.data.scenes.new("Loft")
    other.render.resolution_x, other.render.resolution_y = 80, 48
    files = sorted((Path(bpy.data.filepath).parent / "other").iterdir())
    third = timeline.new_image_sequence(other.sequence_editor_create(), "third", files, 1, 1)
    mark_like(third, plate)
    second.wan_animate.take = "a take"
    shots = look(Wish(root=root)).shots
    assert [(one.scene, one.strip, one.name, one.frames) for one in shots] == [
        ("Loft", "third", "SH010", 6), ("Scene", "plate", "SH020", 5),
    ]  # fmt: skip
    assert {one.uid for one in shots} == {plate.wan_animate.uid, third.wan_animate.uid}
    assert {(one.width, one.height) for one in shots} == {(80, 48)}


def test_only_the_strips_that_are_named(plate: Any, second: Any, root: Path) -> None:
    assert [one.strip for one in look(Wish(root=root, strips=("other",))).shots] == ["other"]
    with pytest.raises(BadInput, match="no strip 'matte' is marked for Wan Animate; those that are: other, plate"):
        look(Wish(root=root, strips=("matte",)))


def test_a_file_without_marked_strips_is_refused(edit: Any, film: Callable[..., Any], root: Path) -> None:
    film().wan_animate.add_person()
    with pytest.raises(BadInput, match="no strip is marked for Wan Animate; choose a rig and a character"):
        look(Wish(root=root))


def test_two_shots_of_one_name_are_refused(plate: Any, second: Any, root: Path) -> None:
    plate.wan_animate.shot, second.wan_animate.shot = "SH010", "sh010"
    with pytest.raises(BadInput, match=r"'plate' in the scene 'Scene' .* both have the shot 'sh010'; enter another"):
        look(Wish(root=root))


def test_a_copied_strip_is_a_shot_of_its_own(plate: Any, edit: Any, root: Path) -> None:
    identity.mark(edit, plate)
    edit.copy().name = "Copy"
    shots = look(Wish(root=root)).shots
    assert len({one.uid for one in shots}) == len({one.name for one in shots}) == 2


def test_people_come_back_to_front_each_upon_the_one_behind(plate: Any, root: Path) -> None:
    first = plate.wan_animate.person
    person = plate.wan_animate.add_person()
    for name in ("rig", "character", "matte", "matte_strip", "face"):
        setattr(person, name, getattr(first, name))
    first.name, person.name = "Ann", "Bob"
    claim_version(root / "SH010_Bob", "e")
    shots = look(Wish(root=root, gpu_memory=5)).shots
    assert [(one.person, one.folder, one.base, one.gpu_memory) for one in shots] == [
        ("Ann", "SH010/e001", "", 5), ("Bob", "SH010_Bob/e002", "SH010/e001", 5),
    ]  # fmt: skip


def test_what_no_farm_could_make_is_refused_before_anything_is_written(plate: Any, second: Any, root: Path) -> None:
    second.wan_animate.person.rig = None
    with pytest.raises(BadInput, match="no rig is chosen"):
        submit(Wish(root=root))
    assert not root.exists()


@pytest.fixture
def ask(served: Served) -> estimates.Estimate:
    return estimates.of(Server(served.url, served.token))


def test_a_server_says_what_renders_will_need(plate: Any, second: Any, root: Path, ask: estimates.Estimate) -> None:
    shots = look(Wish(root=root), ask).shots
    assert all(one.gpu_memory and one.gpu_memory > 0 and one.disk > 0 for one in shots)
    known = look(Wish(root=root, gpu_memory=7), ask).shots
    assert [(one.gpu_memory, one.disk) for one in known] == [(7, one.disk) for one in shots]


def test_a_server_that_does_not_answer_is_asked_once_and_nothing_is_made_up(
    plate: Any, second: Any, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shots = look(Wish(root=root), estimates.of(Server("http://127.0.0.1:9", "a-token"))).shots
    assert [(one.gpu_memory, one.seconds, one.estimated_on) for one in shots] == [(None, None, "")] * 2
    assert len([said for said in caplog.messages if said.startswith("no estimate")]) == 1


# --- what travels: strips -------------------------------------------------------------------------


def test_of_a_plate_the_frames_of_the_cut_and_its_handles_travel(plate: Any, root: Path) -> None:
    plate.wan_animate.handles = 1
    asset = found(root)["plate 'plate'"]
    there = sorted((Path(bpy.data.filepath).parent / "plate").iterdir())
    assert (asset.path, asset.files, asset.missing) == (str(there[1]), 7, ())
    assert asset.size == sum(file.stat().st_size for file in there[1:8])
    assert found(root)["matte of 'plate'"].files == 7


def test_what_is_missing_is_named_and_nothing_is_submitted_until_that_is_allowed(
    plate: Any, second: Any, root: Path
) -> None:
    cloth = write_png(root.parent / "cloth.png", noise(1))
    use(bpy.data.images.load(str(cloth)))
    cloth.unlink()
    wish = Wish(root=root)
    said = "texture 'cloth.png': 1 of 1 files are missing, the first is cloth.png"
    assert look(wish).missing == (said,)
    with pytest.raises(BadInput, match=f"{said}; restore or relink them, or allow missing files"):
        submit(wish)
    assert not root.exists()
    folder = submit(Wish(root=root, allow_missing=True))
    assert Submission.loads((folder / "submission.json").read_bytes()).missing == (said,)


def use(image: bpy.types.Image) -> Any:
    """A material that shows it."""
    material = bpy.data.materials.new("cloth")
    if material.node_tree is None:  # always there since 5.0
        material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    mesh = bpy.data.meshes.new("sheet")
    mesh.materials.append(material)
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("sheet", mesh))
    return node


def asked(root: Path) -> list[Any]:
    return [one for people in collecting.collect(root) for one in people]


def listed(root: Path) -> dict[str, Asset]:
    """As `found`, without the checks of an export, which look at the plate's own files first."""
    return {one.what: one for one in inventory.taken(assets.needs(asked(root)))}


def test_gaps_in_a_plate_are_named_frame_by_frame(plate: Any, root: Path) -> None:
    folder = Path(bpy.data.filepath).parent / "plate"
    for number in (3, 5):
        (folder / f"{number:04d}.png").unlink()
    asset = listed(root)["plate 'plate'"]
    assert (asset.path, asset.files, asset.missing) == (str(folder / "0002.png"), 3, ("0003.png", "0005.png"))
    with pytest.raises(BadInput, match="lacks 2 of its 5 files"):
        look(Wish(root=root))


def test_a_movie_in_a_meta_and_behind_an_effect_travels(plate: Any, edit: Any, movie: Path, root: Path) -> None:
    strips = timeline.strips(edit.sequence_editor)
    below = strips.new_movie(name="below", filepath=str(movie), channel=5, frame_start=1)
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 6, *timeline.frame_range(below), below)
    mark_like(blur, plate).wan_animate.raster = "canvas"
    shown = listed(root)[f"plate {blur.name!r}"]
    assert (shown.path, shown.files, shown.size) == (str(movie), 1, movie.stat().st_size)


def test_strips_that_no_shot_reads_stay_unless_the_edit_is_rendered(
    plate: Any, film: Callable[..., Any], root: Path
) -> None:
    film("title", frames=3, first=1, channel=7)
    assert not [what for what in found(root) if "title" in what]
    assert found(root, edit=True)["strip 'title'"].files == 3


def test_a_take_above_the_strip_stays(plate: Any, film: Callable[..., Any], edit: Any, root: Path) -> None:
    older = film("SH010 v001", frames=5, first=12, channel=5)
    older.wan_animate.take, older.wan_animate.parent = "a take", identity.mark(edit, plate)
    assert not [one for one in found(root).values() if "v001" in one.path]


def test_a_clip_is_a_sequence_from_where_the_strip_begins(
    plate: Any, edit: Any, film: Callable[..., Any], root: Path
) -> None:
    files = [write_png(root.parent / "clip" / f"shot.{i:04d}.png", noise(i)) for i in range(1, 9)]
    clip = bpy.data.movieclips.load(str(files[0]))
    assert clip.source == "SEQUENCE"
    strips = timeline.strips(edit.sequence_editor)
    strip = strips.new_clip(name="tracked", clip=clip, channel=6, frame_start=1)
    timeline.set_frame_range(strip, 3, 6)
    mark_like(strip, plate)
    files[3].unlink()
    asset = listed(root)["plate 'tracked'"]
    assert (asset.path, asset.files, asset.missing) == (str(files[2]), 2, ("shot.0004.png",))


def test_all_that_lies_upon_the_plate_travels_with_it(plate: Any, film: Callable[..., Any], root: Path) -> None:
    """Nine files each, of which the cut shows five."""
    for channel, name in enumerate(("clean", "region", "helmet"), 5):
        timeline.set_frame_range(film(name, frames=9, first=10, channel=channel), 12, 17)
    ours, person = plate.wan_animate, plate.wan_animate.person
    ours.clean_plate, person.region, person.region_strip = "clean", "STRIP", "region"
    person.face, person.face_strip = "driving", "helmet"
    still = bpy.data.images.load(str(write_png(root.parent / "smile.png", noise(5))))
    person.face_still = still
    there = found(root)
    shown = ("clean plate of 'plate'", "region of 'plate'", "performance for 'plate'", "expression of 'plate'")
    assert [there[what].files for what in shown] == [5, 5, 5, 1]


def test_a_scene_strip_brings_what_its_own_edit_shows(plate: Any, edit: Any, root: Path) -> None:
    inner = bpy.data.scenes.new("inner")
    files = [write_png(root.parent / "inner" / f"{i:04d}.png", noise(i)) for i in range(4)]
    timeline.new_image_sequence(inner.sequence_editor_create(), "film", files, 1, 1)
    strips = timeline.strips(edit.sequence_editor)
    strip = strips.new_scene(name="cut", scene=inner, channel=6, frame_start=1)
    strip.scene_input = "SEQUENCER"
    mark_like(strip, plate)
    files[2].unlink()
    assert (listed(root)["plate 'cut'"].files, listed(root)["plate 'cut'"].missing) == (3, ("0002.png",))


# --- what travels: the 3D scene -------------------------------------------------------------------


def test_the_character_and_textures_are_told_apart_and_the_unused_stay(plate: Any, root: Path) -> None:
    bpy.data.images.load(str(write_png(root.parent / "unused.png", noise(1))))
    use(bpy.data.images.load(str(write_png(root.parent / "cloth.png", noise(1)))))
    there = found(root)
    assert there["character of 'plate'"].path.endswith("hero.png")
    assert there["texture 'cloth.png'"].files == 1
    assert not [what for what in there if "unused" in what]


def test_tiles_and_sequences_of_textures_are_counted_with_their_gaps(plate: Any, root: Path) -> None:
    folder = root.parent / "skins"
    for tile in (1001, 1003):
        write_png(folder / f"skin.{tile}.png", noise(tile))
    skin = bpy.data.images.load(str(folder / "skin.1001.png"))
    skin.source = "TILED"
    skin.filepath = str(folder / "skin.<UDIM>.png")
    for tile in (1002, 1003):
        skin.tiles.new(tile)
    use(skin)
    for number in (5, 6, 8):
        write_png(folder / f"fire_{number:03d}.png", noise(number))
    fire = bpy.data.images.load(str(folder / "fire_005.png"))
    fire.source = "SEQUENCE"
    user = use(fire).image_user
    user.frame_duration, user.frame_offset = 4, 4
    there = found(root)
    assert [(one.files, one.missing) for one in (there[f"texture {skin.name!r}"], there["texture 'fire_005.png'"])] == [
        (2, ("skin.1002.png",)), (3, ("fire_007.png",)),
    ]  # fmt: skip


def test_a_clip_that_nodes_show_travels_whole(plate: Any, root: Path) -> None:
    files = [write_png(root.parent / "clip" / f"{i:04d}.png", noise(i)) for i in range(3, 7)]
    tree = bpy.data.node_groups.new("comp", "CompositorNodeTree")
    tree.use_fake_user = True
    tree.nodes.new("CompositorNodeMovieClip").clip = bpy.data.movieclips.load(str(files[0]))
    bpy.data.movieclips.load(str(write_png(root.parent / "tracked" / "0001.png", noise(1))))
    there = found(root)
    assert [(one.path, one.files) for what, one in there.items() if what.startswith("clip")] == [(str(files[0]), 4)]


def test_an_st_map_is_told_by_its_name(plate: Any, root: Path) -> None:
    rows, columns = np.mgrid[0.5:48, 0.5:80].astype(np.float32)
    file = write_exr(root.parent / "map.exr", np.dstack([columns / 80, 1 - rows / 48, np.zeros_like(rows)]))
    plate.wan_animate.lens, plate.wan_animate.lens_map = "MAP", bpy.data.images.load(str(file))
    assert found(root)["ST-map of 'plate'"].path == str(file)


def test_what_is_packed_travels_inside_and_what_is_painted_nowhere_is_missing(plate: Any, root: Path) -> None:
    packed = bpy.data.images.load(str(write_png(root.parent / "packed.png", noise(1))))
    packed.pack()
    (root.parent / "packed.png").unlink()
    use(packed)
    painted = bpy.data.images.new("painted", 4, 4)
    painted.pixels[0] = 1.0
    painted.update()
    use(painted)
    there = found(root)
    size = packed.packed_file.size
    assert there["texture 'packed.png'"] == Asset(path="", what="texture 'packed.png'", files=1, size=size, packed=True)
    assert there["texture 'painted'"].missing == ("it is saved nowhere; pack or save it",)


def test_libraries_travel_with_those_that_they_link_and_a_lost_one_is_missing(plate: Any, root: Path) -> None:
    folder = root.parent / "library"
    folder.mkdir()
    cloth = bpy.data.images.load(str(write_png(folder / "cloth.png", noise(1))))
    material = bpy.data.materials.new("velvet")
    if material.node_tree is None:  # always there since 5.0
        material.use_nodes = True
    material.node_tree.nodes.new("ShaderNodeTexImage").image = cloth
    bpy.data.libraries.write(str(folder / "materials.blend"), {material}, path_remap="RELATIVE")
    bpy.data.batch_remove([material, cloth])
    with bpy.data.libraries.load(str(folder / "materials.blend"), link=True) as (_, wanted):
        wanted.materials = ["velvet"]
    mesh = bpy.data.meshes.new("coat")
    mesh.materials.append(bpy.data.materials["velvet"])
    thing = bpy.data.objects.new("coat", mesh)
    bpy.data.libraries.write(str(folder / "coat.blend"), {thing})
    bpy.data.batch_remove([thing, mesh])
    bpy.data.libraries.remove(bpy.data.libraries["materials.blend"])
    with bpy.data.libraries.load(str(folder / "coat.blend"), link=True) as (_, wanted):
        wanted.objects = ["coat"]
    bpy.context.scene.collection.objects.link(wanted.objects[0])
    there = found(root)
    assert there["library 'coat.blend'"].files == there["library 'materials.blend'"].files == 1
    assert there["texture 'cloth.png'"].path == str(folder / "cloth.png")
    (folder / "materials.blend").unlink()
    assert found(root)["library 'materials.blend'"].missing == ("materials.blend",)


def test_fonts_sounds_texts_and_caches_travel(plate: Any, edit: Any, root: Path) -> None:
    folder = root.parent / "things"
    folder.mkdir()
    font = Path(bpy.utils.system_resource("DATAFILES")) / "fonts"
    source = next(file for file in sorted(font.iterdir()) if file.suffix in (".woff2", ".ttf"))
    shutil.copyfile(source, folder / f"own{source.suffix}")
    words = bpy.data.curves.new("words", "FONT")
    words.font = bpy.data.fonts.load(str(folder / f"own{source.suffix}"))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("words", words))
    cache = folder / "wave_0001.abc"
    for number in (1, 2, 4):
        (folder / f"wave_{number:04d}.abc").write_bytes(b"abc")
    assert bpy.ops.cachefile.open(filepath=str(cache)) == {"FINISHED"}
    sea = bpy.data.cache_files[0]
    sea.is_sequence = True
    thing = bpy.data.objects.new("sea", bpy.data.meshes.new("sea"))
    bpy.context.scene.collection.objects.link(thing)
    thing.modifiers.new("wave", "MESH_SEQUENCE_CACHE").cache_file = sea
    thing.modifiers.new("shape", "MESH_CACHE").filepath = str(folder / "shape.pc2")
    (folder / "shape.pc2").write_bytes(b"points")
    there = found(root)
    assert there[f"font {words.font.name!r}"].files == 1
    assert (there[f"cache {sea.name!r}"].files, there[f"cache {sea.name!r}"].missing) == (3, ("wave_0003.abc",))
    assert there["file 'shape.pc2'"].size == 6


def test_volumes_are_sequences(plate: Any, root: Path) -> None:
    folder = root.parent / "smoke"
    folder.mkdir()
    for number in (1, 2, 4):
        (folder / f"smoke_{number:04d}.vdb").write_bytes(b"vdb")
    volume = bpy.data.volumes.new("smoke")
    volume.filepath, volume.is_sequence, volume.frame_duration = str(folder / "smoke_0001.vdb"), True, 4
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("smoke", volume))
    asset = found(root)["volume 'smoke'"]
    assert (asset.files, asset.size, asset.missing) == (3, 9, ("smoke_0003.vdb",))


def test_a_sound_travels_even_out_of_the_file_when_packed(plate: Any, root: Path) -> None:
    if not bpy.app.build_options.audaspace:
        pytest.skip("this Blender is built without sound")
    import wave

    file = root.parent / "dialog.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    strips = timeline.strips(plate.id_data.sequence_editor)
    strips.new_sound(name="dialog", filepath=str(file), channel=9, frame_start=1)
    assert found(root)["sound 'dialog.wav'"].files == 1
    bpy.data.sounds["dialog.wav"].pack()
    assert found(root)["sound 'dialog.wav'"].packed


def test_the_studios_colour_configuration_travels_with_its_tables(
    plate: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root.parent / "colour"
    shutil.copytree(Path(bpy.utils.system_resource("DATAFILES")) / "colormanagement", folder)
    monkeypatch.setenv("OCIO", str(folder / "config.ocio"))
    there = [one for one in look(Wish(root=root)).assets if one.what == "colour configuration ($OCIO)"]
    assert str(folder / "config.ocio") in [one.path for one in there]
    assert sum(one.files for one in there) > 1
    assert not [one for one in there if one.missing]


# --- simulations ----------------------------------------------------------------------------------


@pytest.fixture
def baked(plate: Any) -> Iterator[Path]:
    """The file's cache folder, with two frames of a cloth in it."""
    mesh = bpy.data.meshes.new("flag")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    thing = bpy.data.objects.new("flag", mesh)
    bpy.context.scene.collection.objects.link(thing)
    thing.modifiers.new("cloth", "CLOTH").point_cache.use_disk_cache = True
    folder = Path(bpy.data.filepath).with_name("blendcache_edit")
    folder.mkdir(exist_ok=True)
    for frame in (1, 2):
        (folder / f"flag_{frame:06d}_00.bphys").write_bytes(b"cloth")
    bpy.ops.wm.save_mainfile()
    yield folder


def test_the_cache_of_simulations_goes_with_the_copy(baked: Path, root: Path) -> None:
    there = found(root)["simulations of this file"]
    assert (there.path, there.files, there.size) == (str(baked), 2, 10)
    folder = submit(Wish(root=root))
    copied = folder / "blendcache_edit"
    assert sorted(file.name for file in copied.iterdir()) == sorted(file.name for file in baked.iterdir())
    sent = Submission.loads((folder / "submission.json").read_bytes())
    assert [one.path for one in sent.assets if one.what == there.what] == [str(copied)]


def test_folders_of_caches_that_blender_forgets_are_right_in_the_copy(plate: Any, root: Path) -> None:
    thing = bpy.data.objects.new("jelly", bpy.data.meshes.new("jelly"))
    bpy.context.scene.collection.objects.link(thing)
    cache = thing.modifiers.new("soft", "SOFT_BODY").point_cache
    cache.use_external, cache.filepath = True, "//jelly"
    nodes = thing.modifiers.new("nodes", "NODES")
    nodes.bake_directory = "//bakes"
    for name in ("jelly", "bakes"):
        (Path(bpy.data.filepath).parent / name).mkdir()
        (Path(bpy.data.filepath).parent / name / "1.bin").write_bytes(b"baked")
    there = found(root)
    assert there["simulation of 'jelly'"].files == there["'nodes' of 'jelly'"].files == 1
    bpy.ops.wm.save_mainfile()
    folder = submit(Wish(root=root))
    assert (cache.filepath, nodes.bake_directory) == ("//jelly", "//bakes")
    beside = Path(bpy.data.filepath).parent
    bpy.ops.wm.open_mainfile(filepath=str(folder / "edit.blend"))
    thing = bpy.data.objects["jelly"]
    paths = thing.modifiers["soft"].point_cache.filepath, thing.modifiers["nodes"].bake_directory
    assert [Path(os.path.normpath(bpy.path.abspath(path))) for path in paths] == [beside / "jelly", beside / "bakes"]


# --- what is written ------------------------------------------------------------------------------


def test_the_copy_is_the_file_as_it_is_in_the_window_and_the_file_stays_what_it_was(plate: Any, root: Path) -> None:
    before = Path(bpy.data.filepath).read_bytes()
    plate.wan_animate.steps = 7
    plate.directory = bpy.path.relpath(plate.directory)
    folder = submit(Wish(root=root, gpu_memory=2**30))
    assert folder == root / "farm" / "f001"
    assert sorted(file.name for file in folder.iterdir()) == ["edit.blend", "submission.json"]
    assert Path(bpy.data.filepath).read_bytes() == before
    assert Path(bpy.data.filepath).name == "edit.blend" and Path(bpy.data.filepath).parent != folder
    sent = Submission.loads((folder / "submission.json").read_bytes())
    assert (sent.name, sent.file, sent.shots[0].folder) == ("edit f001", "edit.blend", "SH010/e001")
    assert sent.blender == bpy.app.version_string.split()[0]
    assert list((root / "SH010" / "e001").iterdir()) == []
    assert results.newest(root / "SH010" / "e001") is None
    bpy.ops.wm.open_mainfile(filepath=str(folder / "edit.blend"))
    strip = timeline.strips(bpy.context.scene.sequence_editor)["plate"]
    assert (strip.wan_animate.steps, strip.wan_animate.uid) == (7, sent.shots[0].uid)
    assert Path(bpy.path.abspath(strip.directory), strip.elements[0].filename).is_file()


def test_a_file_that_was_never_saved_is_submitted_too(unsaved: Any, root: Path) -> None:
    folder = submit(Wish(root=root))
    assert bpy.data.filepath == ""
    sent = Submission.loads((folder / "submission.json").read_bytes())
    assert (sent.file, sent.name) == ("untitled.blend", "untitled f001")
    bpy.ops.wm.open_mainfile(filepath=str(folder / "untitled.blend"))
    assert identity.find(sent.shots[0].uid)


def test_each_submission_has_versions_of_its_own(plate: Any, root: Path) -> None:
    folders = [submit(Wish(root=root)) for _ in range(2)]
    sent = [Submission.loads((folder / "submission.json").read_bytes()) for folder in folders]
    assert [folder.name for folder in folders] == ["f001", "f002"]
    assert [one.shots[0].folder for one in sent] == ["SH010/e001", "SH010/e002"]


@pytest.mark.parametrize("when", ["copy", "engine"])
def test_of_a_submission_that_fails_nothing_is_left(
    plate: Any, root: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(*_: object) -> None:
        raise BadInput("the disk is full")

    if when == "copy":
        monkeypatch.setattr(headless, "save_copy", full)
    with pytest.raises(BadInput, match="the disk is full"):
        submit(Wish(root=root), full)
    assert list(root.rglob("*")) == []


def test_a_preflight_leaves_nothing_on_the_disk(plate: Any, root: Path) -> None:
    submission = look(Wish(root=root))
    expect_all(submission, Wish(root=root))
    assert not root.exists()
    assert np.sum([one.files for one in submission.assets]) == 11
