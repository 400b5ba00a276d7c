"""What a network sees in training is what the pipeline shows it, number for number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_animate_blender.wire import Mode, Precision, Settings
from wan_animate_server import conditions, region, world
from wan_animate_server.conditions import Mask, Picture
from wan_animate_server.pipeline import Model, ShotRender
from wan_animate_server.train import examples as shown
from wan_animate_server.train import pool as pools
from wan_animate_server.train.examples import Choice, Examples
from wan_animate_server.train.pool import Batch, Encoder
from wan_animate_server.train.student import Student, both_prompts, clip_pixels, known_channels
from wan_animate_server.train.workshop import Workshop
from wan_animate_server.weights import read_model

from .conftest import CLIPS, FRAMES, SIZE

SEEDS = torch.arange(CLIPS)


@dataclass(frozen=True)
class ClipSignals:
    """One clip of the world as a shot's signals."""

    mode: Mode
    made: Examples
    clips: world.Clips
    masks: Tensor
    i: int
    frames: int = FRAMES
    width: int = SIZE
    height: int = SIZE

    def digest(self, frames: Sequence[int]) -> str:
        return f"{self.i} {frames}"

    def reference(self) -> Picture:
        return self.made.reference[self.i].numpy()

    def pose(self, i: int) -> Picture:
        return self.made.pose[self.i, i].numpy()

    def face(self, i: int) -> Picture:
        return self.clips.face[self.i, i].numpy()

    def plate(self, i: int) -> Picture:
        return self.clips.plate[self.i, i].numpy()

    def mask(self, i: int) -> Mask:
        fit = region.Fit(SIZE, SIZE, region.BLOCK)
        return region.model_mask(self.masks[self.i, i].numpy(), fit)


@pytest.fixture
def model(workshop: Workshop) -> Model:
    """The same as the pipeline reads it."""
    return read_model("puppet", workshop.folder, torch.device("cpu"), Precision.FP32)


def choice(replace: bool, overlap: int) -> Choice:
    return Choice(torch.full((CLIPS,), replace), torch.full((CLIPS,), overlap))


def exact(encoder: Encoder, made: Examples, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Encoded without the pool's rounding to 16 bits."""
    monkeypatch.setattr(Tensor, "bfloat16", Tensor.float)
    return encoder(made)


@pytest.mark.parametrize("overlap", shown.OVERLAPS)
@pytest.mark.parametrize("mode", list(Mode))
@torch.no_grad()
def test_a_clip_is_shown_as_the_pipeline_shows_it(
    mode: Mode, overlap: int, workshop: Workshop, model: Model, drawn: world.Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shown.examples(drawn, SEEDS, choice(mode is Mode.REPLACE, overlap), model.transformer.config.motion.size)
    batch = exact(Encoder(workshop.networks.vae), made, monkeypatch)
    masks = world.region(drawn.matte, drawn.keypoints, SEEDS)
    for i in range(2):
        signals = ClipSignals(mode, made, drawn, masks, i)
        shot = ShotRender(model, signals, Settings(segment=FRAMES), lambda: None, 1)
        tail: NDArray[np.float32] | None = shown.video(made.target)[i, :, :overlap].numpy() if overlap else None
        known = shot.known(list(range(FRAMES)), tail)
        assert 0 < known[:, :4].mean() < 1
        torch.testing.assert_close(known_channels(batch)[i : i + 1], known, atol=1e-4, rtol=1e-4)
        pose = shot.encode(conditions.pixels(map(signals.pose, range(FRAMES)), torch.device("cpu")))
        torch.testing.assert_close(batch.pose[i : i + 1], pose, atol=1e-4, rtol=1e-4)
        size = model.clip.config.size
        seen = conditions.clip_pixels(shot.reference, size)
        torch.testing.assert_close(clip_pixels(batch.picture, size)[i : i + 1], seen)


@pytest.mark.parametrize("absent", [False, True])
@torch.no_grad()
def test_the_student_answers_as_the_pipelines_model_does(
    absent: bool, workshop: Workshop, model: Model, drawn: world.Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shown.examples(drawn, SEEDS, choice(True, 1), model.transformer.config.motion.size)
    batch = exact(Encoder(workshop.networks.vae), made, monkeypatch)
    prompts = both_prompts(workshop.networks, workshop.prompt, torch.device("cpu"))
    student = Student(workshop.networks, prompts)
    x, step = torch.randn(CLIPS, *known_channels(batch).shape[1:])[:, 4:], torch.full((CLIPS,), 700)
    gone = torch.full((CLIPS,), absent)
    answer = student.velocity(x, step, student.constants(batch, gone))
    faces = batch.faces.permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    whole = model.transformer
    constants = whole.constants(
        prompts[int(absent)].expand(CLIPS, -1, -1), model.clip(clip_pixels(batch.picture, model.clip.config.size)),
        torch.full_like(faces, -1) if absent else faces, batch.pose, known_channels(batch),
    )  # fmt: skip
    expected = whole(x, step, constants)
    assert expected.std() > 1e-3
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=1e-4)


def test_faces_are_those_that_the_pipeline_sees(drawn: world.Clips) -> None:
    seen = conditions.faces(list(drawn.face[0].numpy()), 16, torch.device("cpu"))
    small = shown.shrunk(drawn.face[:1], 16).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    torch.testing.assert_close(small, seen, atol=2 / 255 + 1e-4, rtol=0)


def test_errors_in_the_face_count_most_and_those_in_kept_pixels_least(
    drawn: world.Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = torch.zeros_like(drawn.matte)
    monkeypatch.setattr(world, "region", lambda *_: keep)
    kept = shown.examples(drawn, SEEDS, choice(True, 0), 16)
    made = shown.examples(drawn, SEEDS, choice(False, 0), 16)
    empty = (shown.cell_means(made.alpha / 255) == 0) & (shown.cell_means(made.face.float()) == 0)
    face = shown.cell_means(made.face.float()) > 0.5
    assert empty.any() and face.any()
    assert set(kept.weight[empty].tolist()) == {0.25}
    assert set(made.weight[empty].tolist()) == {1.0}
    assert made.weight[face].min() >= 3


def test_the_answer_is_in_the_characters_own_light_unless_the_scenes_is_asked_for(drawn: world.Clips) -> None:
    own = shown.examples(drawn, SEEDS, choice(True, 0), 16).target
    lit = shown.examples(drawn, SEEDS, choice(True, 0), 16, lit=True).target
    assert torch.equal(own, drawn.neutral)
    assert torch.equal(lit, drawn.frames)
    assert torch.equal(shown.examples(drawn, SEEDS, choice(False, 0), 16).target, drawn.own)


def test_a_pool_holds_what_was_drawn_and_gives_it_whole(
    workshop: Workshop, drawn: world.Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CHUNK", 2 * FRAMES)
    pool = pools.Pool(Encoder(workshop.networks.vae), world.Spec(SIZE, SIZE, FRAMES), 16, CLIPS * FRAMES, first=0)
    assert len(pool) == CLIPS
    batch = pool.sample(32)
    known = {picture.numpy().tobytes() for picture in drawn.reference}
    assert {picture.numpy().tobytes() for picture in batch.picture} == known
    assert all(len(tensor) == 32 for tensor in batch.tensors().values())
    before = pool.sample(256)
    for _ in range(4):
        pool.renew()
    assert {p.numpy().tobytes() for p in pool.sample(256).picture} <= known
    assert len(before.target) == 256
