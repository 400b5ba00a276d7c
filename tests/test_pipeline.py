"""Shots through a tiny model of the real architecture: events, conditions, seams, resuming, stopping."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanAnimatePipeline
from torch import Tensor

from wan_animate_blender.wire import (
    BadInput,
    Finish,
    Interrupted,
    Mode,
    Plan,
    Precision,
    Settings,
    Solver,
    TryElsewhere,
)
from wan_animate_server import assembly, conditions
from wan_animate_server.conditions import Mask, Picture
from wan_animate_server.memo import Memo
from wan_animate_server.model.vae import VAE
from wan_animate_server.pipeline import Conditioned, Decoded, Event, Model, ShotRender, Stepped, Store, StoredSegment
from wan_animate_server.preview import Preview
from wan_animate_server.retake import whole
from wan_animate_server.sampling import Step
from wan_animate_server.segments import plan, segment_seed
from wan_animate_server.store import SegmentStore
from wan_animate_server.weights import PUPPET, read_model

WIDTH, HEIGHT = 48, 32
TINY: dict[str, Any] = {
    "area": WIDTH * HEIGHT,
    "transformer": {
        "dim": 24, "heads": 2, "layers": 4, "ffn_dim": 32, "text_dim": 16, "text_len": 40, "image_dim": 8,
        "face_every": 2,
        "motion": {"channels": [8, 8, 8], "style_dim": 8, "motion_dim": 4, "out_dim": 16},
        "face": {"in_dim": 16, "hidden_dim": 16, "heads": 2},
    },
    "vae": {"dim": 4, "blocks": 1},
    "text": {"vocabulary": 258, "dim": 16, "attention_dim": 16, "ffn_dim": 32, "heads": 2, "layers": 2},
    "clip": {"size": 28, "dim": 8, "heads": 2, "layers": 3, "out_dim": 4},
}  # fmt: skip

BOTH_MODES = pytest.mark.parametrize("mode", list(Mode))
BOTH_OVERLAPS = pytest.mark.parametrize("overlap", [1, 5])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    shutil.copy(PUPPET / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Model:
    return read_model("tiny", folder, torch.device("cpu"), Precision.FP32)


@pytest.fixture
def model(loaded: Model) -> Model:
    """With nothing encoded before."""
    return replace(loaded, memo=Memo())


@dataclass(frozen=True)
class Noise:
    """Signals of random pictures; the mask is a box that moves."""

    mode: Mode
    frames: int
    width: int = WIDTH
    height: int = HEIGHT

    def digest(self, frames: Sequence[int]) -> str:
        return f"{self.mode} {frames}"

    def reference(self) -> Picture:
        return self._picture(0)

    def pose(self, i: int) -> Picture:
        return self._picture(1000 + i)

    def plate(self, i: int) -> Picture:
        return self._picture(2000 + i)

    def face(self, i: int) -> Picture:
        return self._picture(3000 + i, 512, 512)

    def mask(self, i: int) -> Mask:
        mask = np.zeros((self.height, self.width), np.float32)
        mask[4:28, 5 + i : 20 + i] = 1
        return mask

    def _picture(self, seed: int, width: int = WIDTH, height: int = HEIGHT) -> Picture:
        assert 0 <= seed % 1000 < self.frames
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@dataclass
class Memory(Store):
    """A store in memory."""

    segments: dict[str, StoredSegment] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        return key in self.segments

    def get(self, key: str) -> StoredSegment | None:
        return self.segments.get(key)

    def put(self, key: str, segment: StoredSegment) -> None:
        assert key not in self.segments
        self.segments[key] = segment

    def begun(self, key: str) -> Step | None:
        return self.steps.get(key)

    def keep(self, key: str, step: Step) -> None:
        self.steps[key] = step


def never() -> None:
    """A check that lets everything go on."""


QUICK = Settings(steps=2, segment=9, seed=5)


def render(model: Model, signals: Noise, settings: Settings = QUICK, store: Memory | None = None) -> list[Event]:
    return list(assembly.generate(model, signals, settings, store or Memory(), never))


def decoded(events: list[Event]) -> list[Decoded]:
    return [event for event in events if isinstance(event, Decoded)]


def delivered(events: list[Event]) -> np.ndarray:
    return np.concatenate([event.frames for event in decoded(events)])


# --- frames ---------------------------------------------------------------------------------------


@BOTH_MODES
@BOTH_OVERLAPS
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_every_frame_of_two_segments_is_delivered_once_and_finite(
    model: Model, mode: Mode, overlap: int, guidance: float
) -> None:
    events = render(model, Noise(mode, 12), replace(QUICK, overlap=overlap, guidance=guidance))
    parts = decoded(events)
    assert [part.segment for part in parts] == [0, 1]
    assert [part.first for part in parts] == [0, len(parts[0].frames)]
    frames = delivered(events)
    assert frames.shape == (12, HEIGHT, WIDTH, 3)
    assert frames.dtype == np.float16
    assert np.isfinite(frames).all()
    assert 0 <= frames.min() < frames.max() <= 1
    assert len(np.unique(frames.reshape(12, -1), axis=0)) == 12


@BOTH_MODES
@pytest.mark.parametrize("kind", list(Plan))
@pytest.mark.parametrize("frames", [1, 2, 5, 6, 11, 14])
def test_as_many_frames_come_out_as_went_in(model: Model, mode: Mode, kind: Plan, frames: int) -> None:
    events = render(model, Noise(mode, frames), replace(QUICK, steps=1, plan=kind))
    assert delivered(events).shape == (frames, HEIGHT, WIDTH, 3)


def test_the_events_tell_what_is_done_in_order(model: Model) -> None:
    events = render(model, Noise(Mode.ANIMATE, 12))
    told = [(type(event), event.segment, getattr(event, "step", None)) for event in events]
    one = [(Conditioned, None), (Stepped, 1), (Stepped, 2), (Decoded, None)]
    assert told == [(kind, segment, step) for segment in (0, 1) for kind, step in one]
    assert {event.segments for event in events} == {2}
    previews = [event.preview for event in events if isinstance(event, Stepped)]
    assert {(p.shape, p.dtype) for p in previews} == {((HEIGHT // 8, WIDTH // 8, 3), np.dtype(np.uint8))}


@BOTH_MODES
@pytest.mark.parametrize("solver", list(Solver))
def test_guidance_solver_seed_and_prompt_each_change_the_picture(model: Model, mode: Mode, solver: Solver) -> None:
    settings = replace(QUICK, solver=solver)
    signals = Noise(mode, 5)
    first = delivered(render(model, signals, settings))
    np.testing.assert_array_equal(first, delivered(render(model, signals, settings)))
    for change in ({"guidance": 3.0}, {"seed": 6}, {"prompt": "a dog"}, {"steps": 3}):
        assert (first != delivered(render(model, signals, replace(settings, **change)))).any(), change


@BOTH_MODES
def test_half_precision_gives_nearly_the_same_frames(model: Model, folder: Path, mode: Mode) -> None:
    half = read_model("tiny", folder, torch.device("cpu"), Precision.BF16)
    whole, rounded = (delivered(render(m, Noise(mode, 12), replace(QUICK, guidance=2.0))) for m in (model, half))
    error = np.abs(whole.astype(np.float32) - rounded.astype(np.float32))
    assert 0 < error.mean() < 0.02


# --- what a segment is generated from -------------------------------------------------------------


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All videos that the autoencoder is given, in order."""
    videos: list[Tensor] = []
    encode = VAE.encode_stream

    def record(self: VAE, video: Tensor) -> Iterator[Tensor]:
        videos.append(video.clone())
        return encode(self, video)

    monkeypatch.setattr(VAE, "encode_stream", record)
    return videos


@BOTH_OVERLAPS
def test_in_animate_mode_nothing_but_the_handed_over_frames_is_known(
    model: Model, overlap: int, encoded: list[Tensor]
) -> None:
    store = Memory()
    first, _ = decoded(render(model, Noise(Mode.ANIMATE, 12), replace(QUICK, overlap=overlap), store))
    tail = store.segments[first.key].tail
    assert tail.dtype == np.float32
    assert tail.shape == (3, overlap, HEIGHT, WIDTH)
    _pose1, _reference, known1, _pose2, known2 = encoded
    assert not known1.any()
    assert torch.equal(known2[0, :, :overlap], torch.from_numpy(tail))
    assert not known2[:, :, overlap:].any()


def test_the_hand_over_never_goes_through_eight_or_sixteen_bits(model: Model) -> None:
    store = Memory()
    first, _ = decoded(render(model, Noise(Mode.REPLACE, 12), QUICK, store))
    tail = store.segments[first.key].tail
    as_delivered = first.frames[-tail.shape[1] :].astype(np.float32).transpose(3, 0, 1, 2) * 2 - 1
    np.testing.assert_allclose(tail, as_delivered, atol=1e-3)
    assert (tail != tail.astype(np.float16)).mean() > 0.5


@BOTH_OVERLAPS
def test_in_replace_mode_the_plate_is_known_and_black_where_pixels_are_made(
    model: Model, overlap: int, encoded: list[Tensor]
) -> None:
    store, signals = Memory(), Noise(Mode.REPLACE, 12)
    settings = replace(QUICK, overlap=overlap)
    first, _ = decoded(render(model, signals, settings, store))
    spans = plan(12, settings.segment, overlap, settings.plan)
    _, _, known1, _, known2 = encoded
    for span, video in zip(spans, (known1, known2), strict=True):
        for place, i in enumerate(span.indices(12)):
            if span.index == 0 or place >= overlap:
                inside = signals.mask(i) == 1
                plate = signals.plate(i).astype(np.float32) / 127.5 - 1
                plate[inside] = -1
                np.testing.assert_allclose(video[0, :, place].permute(1, 2, 0), plate, atol=1e-6)
    assert torch.equal(known2[0, :, :overlap], torch.from_numpy(store.segments[first.key].tail))


@BOTH_OVERLAPS
@BOTH_MODES
def test_the_mask_says_which_latent_cells_are_known(model: Model, mode: Mode, overlap: int) -> None:
    signals = Noise(mode, 9)
    shot = ShotRender(model, signals, QUICK, never, 2)
    tail = np.zeros((3, overlap, HEIGHT, WIDTH), np.float32)
    with torch.inference_mode():
        first, later = (shot.known(list(range(9)), given)[0, :4] for given in (None, tail))
    assert first.shape == (4, 4, HEIGHT // 8, WIDTH // 8)
    for mask in (first, later):
        assert (mask[:, 0] == 1).all()  # the reference
    frames_of_first, frames_of_later = (mask[:, 1:].transpose(0, 1).flatten(0, 1)[3:] for mask in (first, later))
    for i in range(9):
        made = torch.from_numpy(signals.mask(i)[::8, ::8]) if mode is Mode.REPLACE else torch.ones(4, 6)
        assert torch.equal(frames_of_first[i], 1 - made)
        assert torch.equal(frames_of_later[i], torch.ones(4, 6) if i < overlap else 1 - made)
    assert (first[:, 1] == first[0, 1]).all()  # four times the first frame


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_masks_are_packed_exactly_as_diffusers_packs_them(frames: int) -> None:
    known = (torch.rand(frames, 4, 6, generator=torch.Generator().manual_seed(frames)) > 0.5).float()
    peer = object.__new__(WanAnimatePipeline)
    peer.vae_scale_factor_temporal = 4
    expected = peer.get_i2v_mask(
        1, (frames + 3) // 4, 4, 6, mask_len=0, mask_pixel_values=known[None, None], device="cpu", dtype=torch.float32
    )
    assert torch.equal(conditions.pack(known), expected[0])


def test_clip_sees_the_whole_letterboxed_picture_squashed(model: Model) -> None:
    left, right = torch.full((1, 3, 1, 32, 24), -1.0), torch.ones(1, 3, 1, 32, 24)
    seen = conditions.clip_pixels(torch.cat([left, right], 4), 28)
    mean, std = (torch.tensor(row)[:, None, None] for row in (conditions.CLIP_MEAN, conditions.CLIP_STD))
    colours = seen[0] * std + mean
    assert colours.shape == (3, 28, 28)
    torch.testing.assert_close(colours[:, :, :10], torch.zeros(3, 28, 10))
    torch.testing.assert_close(colours[:, :, 18:], torch.ones(3, 28, 10))


def test_each_prompt_and_each_character_is_encoded_once_for_all_segments_and_shots(model: Model) -> None:
    calls = {"text": 0, "clip": 0}

    def count(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    hooks = [getattr(model, name).register_forward_hook(count(name)) for name in calls]
    render(model, Noise(Mode.ANIMATE, 17), replace(QUICK, steps=1))
    assert calls == {"text": 1, "clip": 1}
    render(model, Noise(Mode.ANIMATE, 17), replace(QUICK, steps=1, guidance=2.0))
    assert calls == {"text": 2, "clip": 1}
    undisturbed = render(replace(model, memo=Memo()), Noise(Mode.ANIMATE, 17), replace(QUICK, steps=1))
    again = render(model, Noise(Mode.ANIMATE, 17), replace(QUICK, steps=1))
    np.testing.assert_array_equal(delivered(again), delivered(undisturbed))
    for hook in hooks:
        hook.remove()


def test_the_preview_finds_the_colours_of_latents_that_hold_them() -> None:
    generator = torch.Generator().manual_seed(1)
    colours = torch.rand(1, 3, 1, 12, 16, generator=generator) * 1.8 - 0.9
    mixed = torch.einsum("cd,ndthw->ncthw", torch.randn(16, 3, generator=generator), colours) + 0.3
    picture = colours.repeat_interleave(8, 3).repeat_interleave(8, 4)
    shown = Preview.fitted(mixed, picture)(mixed[0, :, 0])
    expected = (colours[0, :, 0].permute(1, 2, 0) + 1) * 127.5
    assert shown.dtype == np.uint8
    assert np.abs(shown - expected.numpy()).max() < 3


# --- segments alone, resumed, stopped -------------------------------------------------------------


def shot_render(model: Model, signals: Noise, settings: Settings) -> ShotRender:
    return ShotRender(model, signals, settings, never, 3)


@BOTH_MODES
@BOTH_OVERLAPS
def test_a_segment_alone_equals_itself_in_sequence_bit_for_bit(model: Model, mode: Mode, overlap: int) -> None:
    settings, store, signals = replace(QUICK, overlap=overlap), Memory(), Noise(mode, 19)
    parts = decoded(render(model, signals, settings, store))
    spans = whole(19, settings)
    for before, part in pairwise(parts):
        with torch.inference_mode():
            tail = store.segments[before.key].tail
            alone = shot_render(model, signals, settings).segment(spans[part.segment], tail, 0)
            while True:
                try:
                    next(alone)
                except StopIteration as end:
                    finished = end.value
                    break
        np.testing.assert_array_equal(finished.frames, part.frames)
        np.testing.assert_array_equal(finished.tail, store.segments[part.key].tail)
        np.testing.assert_array_equal(finished.head, part.head)


@BOTH_OVERLAPS
def test_a_segment_keeps_its_own_rendering_of_what_it_was_handed(model: Model, overlap: int) -> None:
    store, signals = Memory(), Noise(Mode.ANIMATE, 12)
    first, second = decoded(render(model, signals, replace(QUICK, overlap=overlap), store))
    assert first.head.shape == (0, HEIGHT, WIDTH, 3)
    assert (second.head.shape, second.head.dtype) == ((overlap, HEIGHT, WIDTH, 3), np.float16)
    assert (second.head != first.frames[-overlap:]).any()
    np.testing.assert_array_equal(second.head, store.segments[second.key].head)


@dataclass
class Alarm:
    """A check that interrupts at its n-th call."""

    at: int
    calls: int = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Interrupted("stopped by the test; start it again")


@BOTH_MODES
def test_what_was_finished_before_an_interruption_is_reused_to_the_same_bits(model: Model, mode: Mode) -> None:
    signals, store = Noise(mode, 19), Memory()
    undisturbed = render(model, signals)
    before: list[Event] = []
    with pytest.raises(Interrupted):
        for event in assembly.generate(model, signals, QUICK, store, Alarm(at=50)):
            before.append(event)
    finished = decoded(before)
    assert 1 <= len(finished) < len(decoded(undisturbed))
    assert set(store.segments) == {part.key for part in finished}
    resumed = render(model, signals, QUICK, store)
    assert [part.reused for part in decoded(resumed)] == [part.segment < len(finished) for part in decoded(undisturbed)]
    assert {event.segment for event in resumed if isinstance(event, Stepped)} == {
        part.segment for part in decoded(resumed) if not part.reused
    }
    np.testing.assert_array_equal(delivered(resumed), delivered(undisturbed))
    assert [p.key for p in decoded(resumed)] == [p.key for p in decoded(undisturbed)]


@BOTH_MODES
@pytest.mark.parametrize("solver", list(Solver))
def test_the_steps_of_a_segment_that_was_stopped_are_not_taken_again(
    model: Model, mode: Mode, solver: Solver, tmp_path: Path
) -> None:
    signals, settings = Noise(mode, 12), replace(QUICK, steps=5, solver=solver)
    undisturbed = render(model, signals, settings)
    running = assembly.generate(model, signals, settings, SegmentStore(tmp_path), never)
    taken = [(0, step) for step in range(1, 6)] + [(1, step) for step in range(1, 4)]
    for event in running:
        if isinstance(event, Stepped) and (event.segment, event.step) == taken[-1]:
            running.close()  # type: ignore[attr-defined]
    resumed = list(assembly.generate(model, signals, settings, SegmentStore(tmp_path), never))
    assert [(e.segment, e.step) for e in resumed if isinstance(e, Stepped)] == [(1, 4), (1, 5)]
    np.testing.assert_array_equal(delivered(resumed), delivered(undisturbed))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_kept_steps_are_taken_again_where_they_are_damaged_and_forgotten_after_a_week(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path)
    store.keep("a" * 64, Step(1, torch.ones(3), torch.zeros(3), (torch.ones(3),)))
    (file,) = tmp_path.iterdir()
    kept = store.begun("a" * 64)
    assert kept and kept.index == 1 and torch.equal(kept.sample, torch.ones(3))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert store.begun("a" * 64) is None
    os.utime(file, (0, time.time() - 8 * 86400))
    SegmentStore(tmp_path)
    assert not file.exists()


def test_a_shot_that_is_all_stored_is_delivered_without_running_any_network(model: Model) -> None:
    store, signals = Memory(), Noise(Mode.REPLACE, 12)
    first = render(model, signals, QUICK, store)
    idle = replace(model, transformer=None, vae=None, text=None, clip=None)
    again = render(idle, signals, QUICK, store)
    assert all(isinstance(event, Decoded) and event.reused for event in again)
    np.testing.assert_array_equal(delivered(again), delivered(first))


@pytest.fixture
def work(model: Model) -> Iterator[list[str]]:
    """The name of every transformer block and chunk of pictures that has been computed, in order."""
    done: list[str] = []

    def record(part: torch.nn.Module, *_: object) -> None:
        done.append(type(part).__name__)

    watched = [*model.transformer.blocks, model.transformer.motion_encoder, model.vae.encoder, model.vae.decoder]
    hooks = [part.register_forward_hook(record) for part in watched]
    yield done
    for hook in hooks:
        hook.remove()


def test_a_stop_is_asked_for_before_every_block_and_every_chunk_of_pictures(model: Model, work: list[str]) -> None:
    signals = Noise(Mode.ANIMATE, 12)
    list(assembly.generate(model, signals, replace(QUICK, guidance=2.0), Memory(), lambda: work.append("check")))
    assert set(work) == {"check", "Block", "MotionEncoder", "Encoder", "Decoder"}
    unasked = [pair for pair in pairwise(work) if "check" not in pair]
    assert set(unasked) <= {("MotionEncoder", "MotionEncoder")}  # the second one, of the blank face of guidance


def test_a_stop_ends_the_work_at_once_and_leaves_nothing_behind(model: Model, work: list[str]) -> None:
    signals = Noise(Mode.ANIMATE, 5)
    counting = Alarm(at=0)
    list(assembly.generate(model, signals, QUICK, Memory(), counting))
    for at in range(1, counting.calls + 1):
        work.clear()
        store, alarm = Memory(), Alarm(at)
        with pytest.raises(Interrupted):
            list(assembly.generate(replace(model, memo=Memo()), signals, QUICK, store, alarm))
        assert alarm.calls == at
        assert len(work) <= at
        assert not store.segments
    assert not any(block._forward_pre_hooks for block in model.transformer.blocks)


def test_exhausted_device_memory_is_one_sentence_and_stores_nothing(model: Model) -> None:
    def exhausted() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    store = Memory()
    with pytest.raises(TryElsewhere, match=r"48×32 .* choose a smaller area"):
        list(assembly.generate(model, Noise(Mode.ANIMATE, 5), QUICK, store, exhausted))
    assert not store.segments


def test_a_size_that_cannot_be_generated_is_refused(model: Model) -> None:
    with pytest.raises(BadInput, match=r"56×32 .* multiples of 16"):
        list(assembly.generate(model, Noise(Mode.ANIMATE, 5, width=56), QUICK, Memory(), never))


# --- keys -----------------------------------------------------------------------------------------


def keys(model: Model, signals: Noise, settings: Settings) -> list[str]:
    found, key = [], ""
    for part in whole(signals.frames, settings):
        key = assembly.segment_key(model, signals, settings, replace(part, execution=assembly.execution_of(model)), key)
        found.append(key)
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6}, {"steps": 3}, {"solver": Solver.UNIPC}, {"guidance": 2.0}, {"prompt": "a dog"}, {"overlap": 1},
        {"segment": 13}, {"region_grow": 3.0},
    ],
    ids=str,
)  # fmt: skip
def test_a_changed_setting_changes_every_key(model: Model, change: dict[str, Any]) -> None:
    signals = Noise(Mode.REPLACE, 12)
    assert not set(keys(model, signals, QUICK)) & set(keys(model, signals, replace(QUICK, **change)))


def test_a_softer_composite_finds_the_segments_that_are_there(model: Model) -> None:
    signals = Noise(Mode.REPLACE, 12)
    assert keys(model, signals, QUICK) == keys(model, signals, replace(QUICK, finish=Finish(feather=3.0)))


def test_other_inputs_weights_types_threads_and_predecessors_change_every_key(model: Model) -> None:
    signals = Noise(Mode.REPLACE, 12)
    before = set(keys(model, signals, QUICK))
    assert len(before) == 2
    assert set(keys(model, signals, QUICK)) == before
    others = [
        keys(model, Noise(Mode.ANIMATE, 12), QUICK),
        keys(replace(model, files={**model.files, "vae.safetensors": "0" * 64}), signals, QUICK),
        keys(replace(model, dtype=torch.bfloat16), signals, QUICK),
    ]
    torch.set_num_threads(2)
    others.append(keys(model, signals, QUICK))
    torch.set_num_threads(1)
    assert not any(before & set(other) for other in others)
    _, second = whole(12, QUICK)
    assert assembly.segment_key(model, signals, QUICK, second, "another") not in before


def test_each_segment_is_told_the_seed_it_was_made_with(model: Model) -> None:
    parts = decoded(render(model, Noise(Mode.ANIMATE, 12)))
    assert [part.seed for part in parts] == [segment_seed(QUICK.seed, 0), segment_seed(QUICK.seed, 1)]
