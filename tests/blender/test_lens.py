"""Lenses bend as Blender's own Movie Distortion node does, both ways, and pictures follow their points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from tracked import FOCAL, MODELS, load, own_places, read_exr, solved, write_exr

from wan_animate_blender import lens, wire
from wan_animate_blender.wire import BadInput, LensKind, MapUse

SIZES = [(192, 108), (108, 192)]


def through_the_node(clip: bpy.types.MovieClip, file: Path, way: str, folder: Path) -> np.ndarray:
    """What Blender makes of the picture in `file`; `way` is "distort" or "undistort"."""
    scene = bpy.data.scenes.new("node")
    tree = node_tree(scene)
    picture, node = tree.nodes.new("CompositorNodeImage"), tree.nodes.new("CompositorNodeMovieDistortion")
    picture.image, node.clip = load(file), clip
    if hasattr(node, "distortion_type"):
        node.distortion_type = way.upper()
    else:
        node.inputs["Type"].default_value = way.capitalize()
    tree.links.new(picture.outputs[0], node.inputs[0])
    tree.links.new(node.outputs[0], output(tree).inputs[0])
    render = scene.render
    render.resolution_x, render.resolution_y = clip.size
    render.engine, render.filepath, scene.view_settings.view_transform = "CYCLES", str(folder / "####"), "Raw"
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
    scene.frame_start = scene.frame_end = 1
    bpy.ops.render.render(animation=True, scene=scene.name)
    return read_exr(folder / "0001.exr")


def node_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    if hasattr(scene, "compositing_node_group"):
        scene.compositing_node_group = bpy.data.node_groups.new("node", "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    scene.node_tree.nodes.clear()
    return scene.node_tree


def output(tree: bpy.types.NodeTree) -> bpy.types.Node:
    if hasattr(bpy.types, "CompositorNodeComposite"):
        return tree.nodes.new("CompositorNodeComposite")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    return tree.nodes.new("NodeGroupOutput")


def shift_of(found: np.ndarray, bend: Any) -> tuple[float, float]:
    """By how many half pixels the node has moved its picture.

    Since 4.3 it widens the picture by what leaves it, and the compositor puts the middle of that onto the middle of the
    render. That is no part of the lens; a shift is the same for all pixels, so it is found at one and taken off all.
    """
    height, width = found.shape[:2]
    middle = np.array([width // 2 + 0.5, height // 2 + 0.5])
    steps = [(x / 2, y / 2) for x in range(-60, 61) for y in range(-60, 61)]
    misses = np.abs(bend(middle + np.array(steps)) - found[height // 2, width // 2]).max(axis=1)
    return steps[int(misses.argmin())]


@pytest.mark.parametrize("way", ["distort", "undistort"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", SIZES, ids=["wide", "tall"])
@pytest.mark.parametrize("aspect", [1.0, 1.5])
def test_points_land_where_blenders_node_puts_them(
    tmp_path: Path, size: tuple[int, int], model: str, way: str, aspect: float
) -> None:
    """The picture's colours are its places, so that each pixel of the result says exactly where it was read: to 3e-5
    pixels in 4.2 and 4.5; 5.2 keeps its map in numbers of less precision, which costs up to 0.0015 pixels."""
    if aspect != 1 and bpy.app.version >= (4, 3):
        pytest.skip(
            "since 4.3 the node leaves the aspect of pixels out, unlike solver and clip editor; 4.2 is compared"
        )
    places = own_places(*size)
    file = write_exr(tmp_path / "places.exr", places)
    clip = solved(file, model, aspect)
    found = through_the_node(clip, file, way, tmp_path)
    ours = lens.from_clip(clip, *size)
    # to make a bent picture, the node asks for each bent pixel where it is in the straight one
    bend = ours.undistort if way == "distort" else ours.distort
    expected = bend(places.reshape(-1, 2) + shift_of(found, bend)).reshape(places.shape)
    inside = ((expected > 2) & (expected < np.array(size) - 2)).all(axis=2)
    assert inside.mean() > 0.7
    assert np.abs(expected - places)[inside].max() > 1.5
    assert np.abs(expected - found)[inside].max() < 0.003


def test_a_picture_of_dots_is_bent_like_its_points(tmp_path: Path) -> None:
    """Dots at known places of a straight render come to lie, in `warp`'s picture, where `distort` says."""
    ours = lens.from_message(message(LensKind.BROWN), 192, 108)
    x0, y0, x1, y1 = ours.frame
    dots = np.array([(x, y) for x in range(20, 190, 30) for y in range(15, 100, 22)], np.float64)
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    for dot in dots:
        blob = np.exp(-((x - dot[0]) ** 2 + (y - dot[1]) ** 2) / 8).astype(np.float32)
        bent = ours.warp(blob)
        assert bent.shape == (108, 192)
        seen = (own_places(192, 108) * bent[..., None]).sum(axis=(0, 1)) / bent.sum()
        assert np.abs(seen - ours.distort(dot[None])[0]).max() < 0.06  # the dots themselves are bent, too


def message(kind: LensKind, **changes: Any) -> wire.Lens:
    k = {
        LensKind.POLYNOMIAL: (-0.12, 0.05, 0.02), LensKind.DIVISION: (-0.15, 0.04),
        LensKind.NUKE: (0.08, 0.03, 0.01, 0.0), LensKind.BROWN: (-0.1, 0.04, -0.02, 0.01, 0.01, -0.015),
    }[kind]  # fmt: skip
    plain = {"width": 192, "height": 108, "focal": FOCAL, "principal": (101.0, 58.0), "coefficients": k}
    return wire.Lens(kind=kind, **plain | changes)


MODEL_KINDS = [kind for kind in LensKind if kind is not LensKind.STMAP]


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_straightening_undoes_bending(kind: LensKind) -> None:
    ours = lens.from_message(message(kind, pixel_aspect=1.5), 960, 540)
    plate = own_places(960, 540)[::7, ::7].reshape(-1, 2)
    assert np.abs(ours.distort(ours.undistort(plate)) - plate).max() < 1e-5


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_plate_of_another_size_is_scaled(kind: LensKind) -> None:
    small, large = (lens.from_message(message(kind), 192 * n, 108 * n) for n in (1, 5))
    points = own_places(192, 108).reshape(-1, 2)
    assert np.abs(small.distort(points) * 5 - large.distort(points * 5)).max() < 0.01


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("sign", [1, -1])
def test_nothing_from_far_outside_is_folded_into_the_picture(kind: LensKind, sign: int) -> None:
    """Polynomials turn back upon themselves: unguarded, a hand far off the picture would be drawn inside it."""
    strong = tuple(sign * 4 * k for k in message(kind).coefficients)
    ours = lens.from_message(message(kind, coefficients=strong), 192, 108)
    away = np.array([101.0, 58.0]) + np.linspace(1, 3000, 400)[:, None] * [0.8, -0.6]
    distances = np.linalg.norm(ours.distort(away) - (101.0, 58.0), axis=1)
    assert (np.diff(distances) > 0).all()
    assert distances[-1] > 200


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_frame_covers_every_pixel_of_the_plate(kind: LensKind) -> None:
    ours = lens.from_message(message(kind), 192, 108)
    x0, y0, x1, y1 = ours.frame
    straight = ours.undistort(own_places(192, 108).reshape(-1, 2))
    assert (straight > (x0, y0)).all()
    assert (straight < (x1, y1)).all()
    assert ((straight.min(axis=0) - (x0, y0)) < 3).all()


def test_a_clip_of_another_shape_is_refused() -> None:
    with pytest.raises(BadInput, match="the clip of the lens is 192×108 and the plate 100×100 pixels"):
        lens.from_message(message(LensKind.BROWN), 100, 100)


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_bent_picture_is_read_at_the_straight_places_of_its_pixels(dtype: type) -> None:
    ours = lens.from_message(message(LensKind.POLYNOMIAL), 190, 107)
    x0, y0, x1, y1 = ours.frame
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    bent = ours.warp(np.stack([x - x0, y - y0, x + y - x0 - y0], axis=2).astype(dtype))
    straight = ours.undistort(own_places(190, 107).reshape(-1, 2)).reshape(107, 190, 2) - (x0, y0)
    assert bent.dtype == dtype
    assert bent.shape == (107, 190, 3)
    # whole numbers were cut from x.5 before, and are rounded after
    allowed = 0.01 if dtype is np.float32 else 1.01
    assert np.abs(bent[..., :2] - straight).max() < allowed


# --- ST-maps --------------------------------------------------------------------------------------


def st_map(ours: lens.Lens, use: MapUse, step: int = 1) -> np.ndarray:
    """The lens as a compositor would write it, on a map of 1/`step` of the plate's size."""
    points = own_places(192 // step, 108 // step).reshape(-1, 2) * step
    places = ours.distort(points) if use is MapUse.UNDISTORT else ours.undistort(points)
    return (np.array([0, 1]) + places / (192, -108)).reshape(108 // step, 192 // step, 2)


@pytest.mark.parametrize("use", MapUse)
@pytest.mark.parametrize("step", [1, 2], ids=["full", "half"])
def test_an_st_map_bends_like_the_lens_it_was_made_of(use: MapUse, step: int) -> None:
    model = lens.from_message(message(LensKind.BROWN), 192, 108)
    ours = lens.from_map(st_map(model, use, step), use, "lens/map.exr", 192, 108)
    plate = own_places(192, 108).reshape(-1, 2)
    straight = model.undistort(plate)
    inside = ((straight > 0) & (straight < (192, 108))).all(axis=1)  # beyond its borders a map goes on straight
    for misses in (ours.undistort(plate) - straight, ours.distort(straight) - plate):
        assert np.abs(misses[inside]).max() < 0.05
        assert np.abs(misses).max() < 0.25
    assert ours.frame == pytest.approx(model.frame, abs=1)


def test_where_an_st_map_is_black_it_says_nothing() -> None:
    values = st_map(lens.from_message(message(LensKind.BROWN), 192, 108), MapUse.UNDISTORT)
    values[:, :20] = 0
    ours = lens.from_map(values, MapUse.UNDISTORT, "lens/map.exr", 192, 108)
    assert np.isnan(ours.distort([[10.0, 50.0]])).all()
    assert np.isfinite(ours.distort([[60.0, 50.0]])).all()


@pytest.mark.parametrize("spoil", [
    lambda values: values * 0,
    lambda values: values[:, ::-1],
    lambda values: values[::-1],
    lambda values: values - st_map_of_nothing(),
], ids=["black", "left right", "upside down", "offsets"])  # fmt: skip
def test_a_picture_that_is_no_st_map_is_refused(spoil: Any) -> None:
    values = st_map(lens.from_message(message(LensKind.BROWN), 192, 108), MapUse.UNDISTORT)
    with pytest.raises(BadInput, match=r"lens/map\.exr is no ST-map"):
        lens.from_map(spoil(values), MapUse.UNDISTORT, "lens/map.exr", 192, 108)


def st_map_of_nothing() -> np.ndarray:
    return np.array([0, 1]) + own_places(192, 108) / (192, -108)
