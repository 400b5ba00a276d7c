"""A folder of exports trains a LoRA for a model of the released kind, shown to it as a render would show them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from wan_animate_blender.wire import BadInput, Mode, Precision
from wan_animate_server.cli import app
from wan_animate_server.memo import Memo
from wan_animate_server.pipeline import Model, ShotRender
from wan_animate_server.segments import plan
from wan_animate_server.shot import load
from wan_animate_server.signals import ShotSignals
from wan_animate_server.train import finetune, lowrank, shots
from wan_animate_server.train.finetune import Errand
from wan_animate_server.weights import read_released

from ..benchmarks.full_size import tiny, write_model

CPU = torch.device("cpu")
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks of the released model's classes, in its layout."""
    folder = tmp_path_factory.mktemp("released")
    write_model(folder, tiny())
    return folder


@pytest.fixture
def read(released: Path) -> Callable[..., Model]:
    """Reads that model."""

    def read(name: str, *, device: str = "cpu", precision: Precision = Precision.FP32) -> Model:
        sizes, memo = tiny().sizes, Memo()
        return read_released(
            name, released, {}, sizes=sizes, device=torch.device(device), precision=precision, memo=memo
        )

    return partial(read, "wan-animate-14b")


@pytest.fixture
def clips(make_shot: Make, tmp_path: Path) -> Path:
    """One shot of two segments whose plate shows the character, and one that is told what shall come out."""
    folder = tmp_path / "clips"
    make_shot(9, root=folder / "replace")
    told = make_shot(5, Mode.ANIMATE, root=folder / "animate")
    signals = ShotSignals(load(told), 64 * 48)
    (told / shots.TARGET).mkdir()
    for i in range(5):
        picture = np.full((signals.height, signals.width, 3), (200, 40 * i, 90), np.uint8)
        cv2.imwrite(str(told / shots.TARGET / f"{1001 + i}.png"), picture)
    return folder


def asked(clips: Path, out: Path, steps: int) -> Errand:
    return Errand(model="wan-animate-14b", clips=clips, out=out, minutes=1, steps=steps, seed=1, device="cpu")


def judge(model: Model, pieces: list[shots.Piece]) -> float:
    """The mean loss at the same noise and levels."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found = [float(finetune.loss(model, piece, even, generator)) for piece in pieces for even in (0.1, 0.4, 0.7)]
    return sum(found) / len(found)


def test_a_folder_of_shots_trains_a_lora_that_the_model_then_carries(
    clips: Path, read: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "load_model", lambda _, **how: read(**how))
    monkeypatch.setattr(finetune, "DESCENT", replace(finetune.DESCENT, rate=3e-3))
    reports = list(finetune.train(asked(clips, tmp_path / "anna", 60)))
    assert reports[-1].step == 60

    model = read()
    pieces = [piece for folder in shots.find(clips) for piece in shots.pieces(model, folder)]
    assert len(pieces) == 3
    before = judge(model, pieces)
    assert model.loras is not None
    lora = model.loras.open(tmp_path / "anna" / "anna.safetensors")
    assert lora.left_out == () and len(lora.deltas) == 12 * 4
    model.loras.apply([(lora, 1.0)])
    assert judge(model, pieces) < 0.9 * before
    model.loras.apply([])
    assert judge(model, pieces) == before


@pytest.mark.parametrize("mode", list(Mode))
def test_a_segment_is_shown_as_a_render_shows_it(mode: Mode, clips: Path, read: Callable[..., Model]) -> None:
    model, folder = read(), next(folder for folder in shots.find(clips) if load(folder).shot.mode is mode)
    signals, settings = ShotSignals(load(folder), 64 * 48), load(folder).shot.settings
    spans = plan(signals.frames, settings.segment, settings.overlap, settings.plan)
    render = ShotRender(model, signals, settings, lambda: None, len(spans))
    made = list(shots.pieces(model, folder))
    tail = None
    for span, piece in zip(spans, made, strict=True):
        with torch.no_grad():
            (expected,), given = render._constants(span.indices(signals.frames), tail), piece.constants(model)
            decoded = torch.cat(list(model.vae.decode_stream(piece.target[:, :, 1:])), 2)
        torch.testing.assert_close(given.tokens, expected.tokens)
        for name in ("text", "image", "face"):
            for one, other in zip(getattr(given, name), getattr(expected, name), strict=True):
                assert torch.equal(one.k, other.k) and torch.equal(one.v, other.v)
        assert decoded.shape[2] == span.length
        # What the next one is handed: frames of the plate, which is what shall come out.
        plates = np.stack([signals.plate(i) for i in range(signals.frames)]) if mode is Mode.REPLACE else None
        stop = span.keep.stop
        if plates is not None:
            video = torch.from_numpy(plates[stop - settings.overlap : stop]).permute(3, 0, 1, 2).float()
            tail = (video / 127.5 - 1).numpy()


def test_forgetting_between_blocks_changes_no_gradient(clips: Path, read: Callable[..., Model]) -> None:
    model = read()
    (piece,) = shots.pieces(model, shots.find(clips)[0])

    def gradients() -> list[Tensor]:
        changes = lowrank.changes(model.transformer)
        changes.zero_grad()
        torch.autograd.backward(finetune.loss(model, piece, 0.5, torch.Generator().manual_seed(0)))
        return [half.grad.clone() for half in changes]

    with lowrank.adapted(model.transformer, 4):
        for half in lowrank.changes(model.transformer):
            torch.nn.init.normal_(half, std=0.1)
        plain = gradients()
        with finetune.remade(model.transformer):
            again = gradients()
    assert all(grad.any() for grad in plain)
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


def test_what_shall_come_out_must_be_whole(clips: Path, read: Callable[..., Model]) -> None:
    model = read()
    animated, replaced = shots.find(clips)
    (animated / shots.TARGET / "1003.png").unlink()
    with pytest.raises(BadInput, match=r"1003\.png is not there"):
        list(shots.pieces(model, animated))
    shutil.rmtree(animated / shots.TARGET)
    with pytest.raises(BadInput, match="no target pictures"):
        list(shots.pieces(model, animated))
    (replaced / shots.TARGET).mkdir()
    for i in range(9):
        cv2.imwrite(str(replaced / shots.TARGET / f"{1001 + i}.png"), np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(BadInput, match="is 64×40, expected 64×48"):
        list(shots.pieces(model, replaced))
    with pytest.raises(BadInput, match=r"no shot\.json"):
        shots.find(animated / "face")


def test_the_command_trains_a_lora_and_says_what_it_lacks(clips: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(
        app, ["train", "lora", "--clips", str(clips), "--out", str(tmp_path / "x"), "--steps", "1"]
    )
    assert said.exit_code == 0, said.output
    assert json.loads(said.output.splitlines()[-1])["stage"] == "lora"
    assert (tmp_path / "x" / "x.safetensors").is_file()
    for wrong in (["lora"], ["vae", "lora", "--clips", str(clips)]):
        said = CliRunner().invoke(app, ["train", *wrong, "--out", str(tmp_path / "y")])
        assert isinstance(said.exception, BadInput)
