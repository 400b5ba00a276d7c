"""The character's picture: what is refused, what is copied byte for byte, and what Blender renders of a figure."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from footage import noise, read_png, write_png

from wan_animate_blender import character, pose
from wan_animate_blender.wire import BadInput, Faces


def load(file: Path) -> bpy.types.Image:
    return bpy.data.images.load(str(file))


@pytest.fixture
def hero(tmp_path: Path) -> bpy.types.Image:
    return load(write_png(tmp_path / "hero.png", noise(1, 60, 80)))


def test_a_file_is_copied_byte_for_byte(hero: bpy.types.Image, tmp_path: Path) -> None:
    character.check(hero)
    (tmp_path / "shot").mkdir()
    assert character.write(hero, tmp_path / "shot") == "character.png"
    assert (tmp_path / "shot" / "character.png").read_bytes() == (tmp_path / "hero.png").read_bytes()


def test_a_packed_picture_comes_out_as_it_went_in(hero: bpy.types.Image, tmp_path: Path) -> None:
    before = (tmp_path / "hero.png").read_bytes()
    hero.pack()
    (tmp_path / "hero.png").unlink()
    character.check(hero)
    (tmp_path / "shot").mkdir()
    assert (tmp_path / "shot" / character.write(hero, tmp_path / "shot")).read_bytes() == before


def test_a_painted_picture_is_written_as_it_is_seen_and_stays_where_it_was(
    hero: bpy.types.Image, tmp_path: Path
) -> None:
    pixels = np.empty(len(hero.pixels), np.float32)
    hero.pixels.foreach_get(pixels)
    hero.pixels.foreach_set(_inverted(pixels))
    (tmp_path / "shot").mkdir()
    written = tmp_path / "shot" / character.write(hero, tmp_path / "shot")
    np.testing.assert_array_equal(read_png(written)[..., :3], 255 - noise(1, 60, 80))
    assert hero.is_dirty
    assert Path(hero.filepath) == tmp_path / "hero.png"
    assert [image.name for image in bpy.data.images] == ["hero.png"]


def _inverted(pixels: np.ndarray) -> np.ndarray:
    rgba = pixels.reshape(-1, 4).copy()
    rgba[:, :3] = 1 - rgba[:, :3]
    return rgba.ravel()


def test_a_generated_picture_needs_no_file(tmp_path: Path) -> None:
    image = bpy.data.images.new("drawn", 32, 24)
    image.generated_color = 0.0, 0.0, 1.0, 1.0
    character.check(image)
    written = read_png(tmp_path / character.write(image, tmp_path))
    assert written.shape[:2] == (24, 32)
    assert (written[..., :3] == [0, 0, 255]).all()


def test_what_cannot_be_used_is_one_sentence_each(tmp_path: Path) -> None:
    text = tmp_path / "hero.txt"
    text.write_text("no picture")
    short = tmp_path / "short.png"
    short.write_bytes(write_png(tmp_path / "whole.png", noise(1, 60, 80)).read_bytes()[:900])
    gone = load(write_png(tmp_path / "gone.png", noise(1, 8, 8)))
    (tmp_path / "gone.png").unlink()
    film = load(tmp_path / "whole.png")
    film.source = "SEQUENCE"
    for image, word in ((None, "chosen"), (gone, "not there"), (load(short), "cannot be read"), (film, "sequence")):
        with pytest.raises(BadInput, match=word):
            character.check(image)


def test_hints_name_what_makes_likeness_worse() -> None:
    assert character.hints(600, 800) == ()
    assert "200×300" in character.hints(200, 300)[0]
    assert "black bars" in character.hints(900, 300)[0]
    (sentence,) = character.hints(600, 800, Faces(width=600, height=800, boxes=((0, 0, 120, 120),)))
    assert sentence == "One face of 120 pixels was found"
    assert "30 pixels" in character.hints(600, 800, Faces(width=600, height=800, boxes=((0, 0, 30, 30),)))[0]
    assert "No face" in character.hints(600, 800, Faces(width=600, height=800, boxes=()))[0]
    two = Faces(width=600, height=800, boxes=((0, 0, 99, 99), (200, 0, 290, 90)))
    assert "2 faces" in character.hints(600, 800, two)[0]


@pytest.fixture
def figure(edit: bpy.types.Scene, metarig: bpy.types.Object, camera: bpy.types.Object) -> pose.View:
    """A white cube that the rig carries, in front of a black wall, under a lamp."""
    bpy.ops.mesh.primitive_cube_add(size=0.6, location=(0, 0, 1.2))
    cube = bpy.context.object
    cube.parent = metarig
    bpy.ops.mesh.primitive_plane_add(size=20, location=(0, 6, 0), rotation=(1.5708, 0, 0))
    bpy.ops.object.light_add(type="SUN", rotation=(0.9, 0, 0.3))
    return pose.View(edit, metarig, camera, 160, 96)


def test_a_figure_alone_is_rendered_on_a_transparent_ground(figure: pose.View) -> None:
    scenes, images = len(bpy.data.scenes), len(bpy.data.images)
    image = character.render(figure, 1.0, alone=True)
    assert tuple(image.size) == (160, 96)
    assert image.packed_file
    alpha = np.array(image.pixels[:]).reshape(96, 160, 4)[..., 3]
    assert {0.0, 1.0} <= set(np.unique(alpha))
    assert 0.01 < (alpha > 0.5).mean() < 0.5
    assert (len(bpy.data.scenes), len(bpy.data.images)) == (scenes, images + 1)
    character.check(image)


def test_a_pose_that_is_not_keyed_yet_survives_the_render(figure: pose.View) -> None:
    figure.scene.frame_set(1)
    figure.rig.location.x = 0.25
    character.render(figure, 1.0, alone=True)
    assert figure.rig.location.x == 0.25


def test_a_figure_in_its_scene_is_rendered_with_it(figure: pose.View) -> None:
    image = character.render(figure, 1.0, alone=False)
    assert np.array(image.pixels[:])[3::4].min() == 1.0


def test_a_rig_without_a_body_makes_no_picture(
    edit: bpy.types.Scene, metarig: bpy.types.Object, camera: bpy.types.Object
) -> None:
    bpy.data.objects["head"].hide_render = True
    with pytest.raises(BadInput, match="carries nothing"):
        character.render(pose.View(edit, metarig, camera, 160, 96), 1.0, alone=True)
