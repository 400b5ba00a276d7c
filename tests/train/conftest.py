"""A model small enough to be trained in a test, and real clips of the world, drawn once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wan_animate_server import world
from wan_animate_server.evaluate import estimators as networks
from wan_animate_server.train import autoencoder, estimators, judge, motion, pool, stages
from wan_animate_server.train.run import Order
from wan_animate_server.train.shape import Shape
from wan_animate_server.train.stages import Stage
from wan_animate_server.train.workshop import Workshop, lay_out
from wan_animate_server.weights import PUPPET

SIZE, FRAMES, CLIPS = 32, 9, 6
SHAPE, SHORT = Shape(SIZE, SIZE, FRAMES), Shape(SIZE, SIZE, 5)
TOKENS = 16
"""Of such a clip: four latent frames of four."""

SIZES = {
    "area": SIZE * SIZE,
    "transformer": {
        "dim": 32, "heads": 2, "layers": 2, "ffn_dim": 32, "text_dim": 16, "text_len": 512, "image_dim": 16,
        "face_every": 2,
        "motion": {"channels": [4, 4, 4], "style_dim": 8, "linears": 2, "motion_dim": 4, "out_dim": 8},
        "face": {"in_dim": 8, "hidden_dim": 8, "heads": 2},
    },
    "vae": {"dim": 4, "multipliers": [1, 2, 2, 2], "blocks": 1},
    "text": {"vocabulary": 258, "dim": 16, "attention_dim": 16, "ffn_dim": 16, "heads": 2, "layers": 1},
    "clip": {"size": 28, "patch": 14, "dim": 16, "heads": 2, "layers": 2, "out_dim": 8},
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are faster so, and the same bits twice are a matter of one thread's order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def drawn() -> world.Clips:
    """A few clips of the world."""
    return world.clips(world.Spec(SIZE, SIZE, FRAMES), torch.arange(CLIPS))


def make_small(drawn: world.Clips, patch: pytest.MonkeyPatch) -> None:
    """Let a training be one of seconds, which sees the same few clips again and again instead of drawing new ones."""

    def clips(spec: world.Spec, seeds: Tensor) -> world.Clips:
        tensors = {field.name: getattr(drawn, field.name)[seeds % CLIPS] for field in fields(drawn)}
        whole = drawn.frames.shape[1]
        return world.Clips(**{n: t[:, : spec.frames] if t.shape[1:2] == (whole,) else t for n, t in tensors.items()})

    patch.setattr(world, "clips", clips)
    for module, name, value in (
        (autoencoder, "VIDEOS", 2), (autoencoder, "HELD_OUT", 2),
        (autoencoder, "MEASURED", 2), (judge, "CLIPS", 2), (judge, "STEPS", 2), (pool, "ENCODED", 2),
        (stages, "TOKENS", 4 * TOKENS), (stages, "PATH_TOKENS", 2 * TOKENS),
        (motion, "SIZE", SIZE), (estimators, "BATCH", CLIPS), (estimators, "DRAWN", CLIPS),
        (networks, "OTHERS", CLIPS),
    ):  # fmt: skip
        patch.setattr(module, name, value)


@pytest.fixture(autouse=True)
def small(drawn: world.Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test's trainings are small."""
    make_small(drawn, monkeypatch)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with the sizes of a tiny model, and no weights."""
    folder = tmp_path / "begun"
    folder.mkdir()
    (folder / "puppet.json").write_text(json.dumps(SIZES))
    shutil.copy(PUPPET / "tokenizer.json", folder)
    return folder


@pytest.fixture
def order(begun: Path, tmp_path: Path) -> Callable[..., Order]:
    """A training of a few steps."""

    def make(
        *wanted: Stage, steps: int = 2, source: Path = begun, out: str = "out", shapes: tuple[Shape, ...] = (SHAPE,)
    ) -> Order:
        return Order(
            stages=wanted, out=tmp_path / out, source=source, minutes=1.0, steps=steps, shapes=shapes,
            pool=CLIPS * FRAMES, difficulty=1.0, seed=3, device="cpu",
        )  # fmt: skip

    return make


@pytest.fixture
def workshop(begun: Path, tmp_path: Path) -> Workshop:
    """A model whose weights are written, its face path not zero."""
    lay_out(tmp_path / "model", begun)
    workshop = Workshop.open(tmp_path / "model", begun, torch.device("cpu"), 0)
    with torch.no_grad():
        for name, parameter in workshop.networks.transformer.named_parameters():
            if not parameter.any():
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
    for network in workshop.networks:
        for parameter in network.parameters():
            parameter.data = parameter.data.half().float()
    workshop.write()
    return workshop
