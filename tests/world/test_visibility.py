"""What a ray meets first, against spheres and cylinders whose answer is known, and the kernel against the loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from wan_animate_server import world
from wan_animate_server.world import visibility
from wan_animate_server.world.visibility import NEVER, NONE


def row(centre: tuple[float, float, float], radius: float, half: float = 0.0, turn: float = 0.0) -> Tensor:
    """A capsule whose line lies `turn` radians from y towards z."""
    matrix = torch.tensor([[1, 0, 0], [0, math.cos(turn), math.sin(turn)], [0, -math.sin(turn), math.cos(turn)]])
    return torch.cat(((matrix / radius).flatten(), torch.tensor([*centre, half / radius, 1.0, 0.0, 0.0])))


def ray(solid: Tensor, x: float, y: float) -> visibility.Hit:
    return visibility.meet(solid.unbind(), torch.tensor(x), torch.tensor(y))


def test_a_ball_is_met_at_its_near_side_and_missed_beside_it() -> None:
    ball = row((0.0, 0.0, 5.0), 0.5)
    assert float(ray(ball, 0.0, 0.0).depth) == pytest.approx(4.5, abs=1e-5)
    touching = 0.5 / math.sqrt(5.0**2 - 0.5**2)
    assert float(ray(ball, touching * 0.999, 0.0).depth) < NEVER
    assert float(ray(ball, touching * 1.001, 0.0).depth) == NEVER


@pytest.mark.parametrize("turn", [0.0, 0.5, 1.2, -0.9])
def test_a_limb_is_met_on_its_surface_however_it_lies(turn: float) -> None:
    limb = row((0.1, -0.2, 4.0), 0.05, half=0.6, turn=turn)
    across = torch.linspace(-0.2, 0.2, 81)
    x, y = torch.meshgrid(across, across, indexing="xy")
    hit = visibility.meet(limb[:, None, None].unbind(), x, y)
    met = hit.depth < NEVER
    assert met.any()
    place = torch.stack((x, y, torch.ones_like(x)), -1)[met] * hit.depth[met][:, None]
    axis = torch.tensor([0.0, math.cos(turn), math.sin(turn)])
    away = place - torch.tensor([0.1, -0.2, 4.0])
    along = (away @ axis).clamp(-0.6, 0.6)
    distance = (away - along[:, None] * axis).norm(dim=-1)
    assert (distance - 0.05).abs().max() < 0.05 / 6


def test_what_stands_before_hides_what_stands_behind() -> None:
    solids = torch.stack((row((0.0, 0.0, 5.0), 0.5), row((0.0, 0.0, 3.0), 0.1), row((0.0, 0.0, -3.0), 0.5)))[None]
    found = visibility.first(solids, torch.tensor([[-0.2, -0.2]]), torch.tensor([[0.01, 0.01]]), 40, 40)
    assert found[0, 20, 20] == 1
    assert found[0, 20, 12] == 0
    assert found[0, 0, 0] == NONE


def many(count: int) -> Tensor:
    """Capsules about the camera's axis, some of them beside the picture: [1, count, 16]."""
    numbers = torch.rand(count, 6, generator=torch.Generator().manual_seed(1))
    return torch.stack([
        row((2 * x - 1, 2 * y - 1, 2 + 2 * z), 0.05 + 0.2 * wide, half=long, turn=3 * turn)
        for x, y, z, wide, long, turn in numbers.tolist()
    ])[None]  # fmt: skip


CORNER, STEP = torch.tensor([[-0.5, -0.5]]), torch.tensor([[1 / 60, 1 / 60]])


def test_boxes_leave_nothing_out() -> None:
    solids = many(20)
    x, y = torch.meshgrid(*[(torch.arange(60) + 0.5) / 60 - 0.5] * 2, indexing="xy")
    depth, number = visibility.meet([c[0, :, None, None] for c in solids.unbind(-1)], x, y).depth.min(0)
    expected = torch.where(depth < NEVER, number, NONE)
    assert torch.equal(visibility.first(solids, CORNER, STEP, 60, 60)[0].long(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_kernel_finds_what_the_loop_finds() -> None:
    solids = many(50)
    loop = visibility.first(solids, CORNER, STEP, 60, 60)
    kernel = visibility.first(solids.cuda(), CORNER.cuda(), STEP.cuda(), 60, 60).cpu()
    assert (loop == kernel).float().mean() > 0.999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_draws_what_the_cpu_draws(clips: world.Clips, spec: world.Spec, seeds: Tensor) -> None:
    with torch.inference_mode():
        there = world.clips(spec, seeds.cuda())
    for name in ("frames", "relit", "neutral", "plate", "clean", "matte", "alpha", "face", "reference", "own"):
        ours, theirs = getattr(clips, name), getattr(there, name).cpu()
        assert (ours.int() - theirs.int()).abs().float().mean() < 0.5, name
    assert torch.allclose(clips.keypoints, there.keypoints.cpu(), atol=0.01)
