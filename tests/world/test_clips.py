"""Clips of the world: the same by seed, split without overlap, and their pictures true to one another."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from wan_animate_blender.wire import BadInput, face_box
from wan_animate_server import world
from wan_animate_server.world import area, motion, pairs, person, render, scene, shapes, visibility
from wan_animate_server.world.chance import Chance
from wan_animate_server.world.figure import pose
from wan_animate_server.world.pairs import face_box as face_boxes


def every(clips: world.Clips) -> dict[str, Tensor]:
    return {field.name: getattr(clips, field.name) for field in fields(clips)}


def test_a_seed_alone_gives_the_clip_that_it_gives_in_company(
    clips: world.Clips, spec: world.Spec, seeds: Tensor
) -> None:
    with torch.inference_mode():
        alone = every(world.clips(spec, seeds[1:2]))
    for name, together in every(clips).items():
        assert torch.equal(alone[name][0], together[1]), name


def test_neither_character_nor_motion_nor_place_nor_light_is_met_in_both_splits(spec: world.Spec) -> None:
    seeds, still = torch.arange(2), replace(spec, frames=1)
    with torch.inference_mode():
        train = world.clips(still, seeds)
        held_out = world.clips(replace(still, split="held-out"), seeds)
    for name in ("identity", "keypoints", "light", "expression", "clean"):
        ours, theirs = every(train)[name].flatten(1).float(), every(held_out)[name].flatten(1).float()
        assert torch.cdist(ours, theirs).min() > 1e-3, name


def test_the_two_splits_share_no_random_number_even_where_seeds_are_neighbours() -> None:
    seeds = torch.arange(20_000)
    drawn = [Chance.of_clips(seeds, split).uniform("x", 4) for split in ("train", "held-out")]
    train, held_out = ({tuple(row) for row in numbers.tolist()} for numbers in drawn)
    assert not train & held_out
    assert len(train) == len(held_out) == len(seeds)
    assert abs(float(torch.cat(drawn).mean()) - 0.5) < 0.01


def test_frames_and_plate_are_equal_where_neither_person_is(clips: world.Clips) -> None:
    empty = (clips.alpha == 0) & (clips.matte == 0)
    assert empty.float().mean() > 0.1
    assert torch.equal(clips.frames[empty], clips.plate[empty])
    assert torch.equal(clips.neutral[clips.alpha == 0], clips.frames[clips.alpha == 0])


def test_outside_the_matte_the_plate_is_the_clean_plate_or_darker_where_the_shadow_falls(clips: world.Clips) -> None:
    outside = clips.matte == 0
    plate, clean = (picture[outside].int() for picture in (clips.plate, clips.clean))
    assert (plate <= clean + 1).all()
    assert (plate == clean).all(-1).float().mean() > 0.5
    assert not torch.equal(clips.plate[~outside], clips.clean[~outside])


def test_another_light_changes_colours_and_nothing_else(clips: world.Clips) -> None:
    assert not torch.equal(clips.relit, clips.frames)
    lit, relit = (edges(picture) for picture in (clips.frames, clips.relit))
    assert np.corrcoef(lit, relit)[0, 1] > 0.5
    assert np.corrcoef(lit, np.roll(relit, 7))[0, 1] < 0.3


def edges(pictures: Tensor) -> np.ndarray:
    grey = pictures.float().mean(-1).flatten(0, 1).numpy()
    strength = np.stack([np.hypot(cv2.Sobel(g, -1, 1, 0), cv2.Sobel(g, -1, 0, 1)) for g in grey])
    return np.asarray((strength / (strength.mean((1, 2), keepdims=True) + 1e-6)).ravel())


def test_body_keypoints_in_the_frame_lie_on_the_drawn_body(clips: world.Clips) -> None:
    drawn, points = clips.alpha.flatten(0, 1) > 0, clips.keypoints.flatten(0, 1)
    # Shoulders, elbows, wrists, hips, knees, ankles; and the nose.
    joints = points[:, [0, *range(5, 17)]]
    seen = joints[..., 2] > 0
    x, y = joints[..., :2].long().clamp(min=0).unbind(-1)
    frame = torch.arange(len(points))[:, None]
    on = drawn[frame, y.clamp(max=63), x.clamp(max=47)]
    assert seen.any(1).all()
    assert on[seen].float().mean() > 0.97


def test_keypoints_outside_the_frame_are_not_trusted_and_keep_their_place(clips: world.Clips) -> None:
    x, y, sure = clips.keypoints.unbind(-1)
    inside = (x >= 0) & (x < 48) & (y >= 0) & (y < 64)
    assert torch.equal(sure, inside.float())
    assert (~inside).any()
    assert clips.keypoints.isfinite().all()


def test_actor_and_character_move_alike_but_are_not_alike(clips: world.Clips) -> None:
    apart = (clips.keypoints - clips.actor_keypoints)[..., :2].norm(dim=-1)
    body = clips.keypoints[:, :, 5:17, :2]
    size = (body.amax(2) - body.amin(2)).amax(-1)
    assert (apart[:, :, 5:17].mean(-1) / size).mean() < 0.12
    both = (clips.matte > 200) & (clips.alpha > 200)
    assert (clips.frames[both].int() - clips.plate[both].int()).abs().float().mean() > 10


def test_the_face_box_is_the_wires_own(clips: world.Clips) -> None:
    boxes = face_boxes(clips.actor_keypoints, 64, 48).flatten(0, 1)
    for points, box in zip(clips.actor_keypoints.flatten(0, 1), boxes, strict=True):
        expected = face_box(points[23:91].tolist(), 48, 64)
        assert tuple(box.int().tolist()) == (expected or (0, 0, 0, 0))


def test_the_face_crop_shows_what_the_plate_shows_in_its_box(clips: world.Clips) -> None:
    boxes = face_boxes(clips.actor_keypoints, 64, 48).flatten(0, 1).int()
    plates, crops = clips.plate.flatten(0, 1), clips.face.flatten(0, 1)
    large = [i for i, (x0, y0, x1, y1) in enumerate(boxes.tolist()) if min(x1 - x0, y1 - y0) >= 8]
    assert large
    for i in large:
        x0, y0, x1, y1 = boxes[i].tolist()
        small = cv2.resize(crops[i].numpy(), (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - plates[i, y0:y1, x0:x1].numpy()).mean() < 6


def test_a_portrait_shows_a_face_of_at_least_forty_pixels_at_128() -> None:
    chance = Chance.of_clips(torch.arange(64), "train")
    who, _ = pairs._cast(chance, 1.0)
    everyone = torch.ones(64, dtype=torch.bool)
    figure = pose(who, motion.draw(chance.named("motion"), 5, 1.0, everyone))
    camera = scene.camera(chance.named("camera"), pairs._target(chance, who, figure, everyone), 128, 128, 1.0)
    chin_to_crown = who.shape["size"] * who.shape["head"] * 0.13
    depth = (camera.turn[:, :, 2] * (figure.joints["head"] - camera.place)).sum(-1)
    assert (camera.focal[:, None] * chin_to_crown[:, None] / depth).amin() > 40


def test_neither_hair_nor_hat_hides_the_eyes_of_who_looks_at_the_camera() -> None:
    chance = Chance.of_clips(torch.arange(300), "train")
    who, everyone = person.draw(chance, 1.0), torch.ones(300, dtype=torch.bool)
    moves = motion.still(chance, everyone)
    upright = motion.Motion({name: 0 * angle for name, angle in moves.angles.items()}, moves.place, moves.expression)
    figure = pose(who, upright)
    target = scene.Target(figure.joints["head"], who.shape["size"] * 0.25, torch.full((300,), 0.7))
    camera = scene.frontal(target, chance, 128)
    table, _ = render.packed(shapes.solids(who, figure), camera)
    eyes = (scene.project(camera, figure.keypoints[:, :, 1:3], 128, 128) - 64) / camera.focal[:, None, None, None]
    depths = visibility.meet([c[..., None] for c in table.unbind(-1)], *eyes[:, :, None].unbind(-1)).depth
    assert (depths.argmin(2) == shapes.HEAD).float().mean() > 0.97


@pytest.mark.parametrize("kind", [area.BODY, area.GROWN, area.BOX, area.CLIP_BOX])
def test_regions_leave_room_for_the_place_and_cover_the_actor(kind: int, clips: world.Clips) -> None:
    """Also of who fills the picture: a box around him would be all of it."""
    found = area.shaped(clips.matte, clips.keypoints, torch.full((len(clips.matte),), kind)) > 0
    body = area.shaped(clips.matte, clips.keypoints, torch.full((len(clips.matte),), area.BODY)) > 0
    assert found[clips.matte > 127].all()
    large = found.float().mean((2, 3)).amax(1) > area.ROOM
    assert (found[large] == body[large]).all()


def test_a_box_that_takes_the_whole_picture_becomes_a_smaller_region() -> None:
    """The next smaller one that leaves room: of this person, who stands in two corners, the box of each frame."""
    matte = torch.zeros(1, 2, 64, 64, dtype=torch.uint8)
    matte[0, 0, 2:20, 2:20] = matte[0, 1, 44:62, 44:62] = 255
    nobody = torch.zeros(1, 2, 133, 3)
    clip, each = (area.shaped(matte, nobody, torch.tensor([kind])) for kind in (area.CLIP_BOX, area.BOX))
    assert torch.equal(clip, each)
    assert 0 < (clip > 0).float().mean() < area.ROOM


def test_a_spec_that_no_model_could_take_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadInput, match="4n"):
        world.Spec(64, 64, 6)
    with pytest.raises(BadInput, match="multiples of 16"):
        world.Spec(60, 64, 5)
