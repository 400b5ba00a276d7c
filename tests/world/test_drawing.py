"""Skeletons and regions drawn in batches are those that the pipeline draws one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wan_animate_server import world
from wan_animate_server.signals import pose


@pytest.mark.parametrize("size", [128, 256, 432])
def test_a_batch_of_skeletons_is_drawn_as_one_by_one(clips: world.Clips, size: int) -> None:
    points = clips.keypoints * torch.tensor([size / 48, size / 64, 1.0])
    points[0, 0, :, 2] = 1  # what lies outside is drawn too when it is trusted
    points[1, 1, 7:9, 2] = 0.4
    points[1, 2, 9] = torch.nan
    ours = world.skeleton(points, size, size).flatten(0, 1).numpy()
    theirs = np.stack([pose.draw(each, size, size) for each in points.flatten(0, 1).numpy()])
    drawn = (ours > 0).any(-1) | (theirs > 0).any(-1)
    assert drawn.any((1, 2)).all()
    assert (ours == theirs).all(-1)[drawn].mean() > 0.985
    assert np.abs(ours.astype(int) - theirs).mean() < 0.05
