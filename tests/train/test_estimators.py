"""Tiny trainings of the estimators: they learn, are kept, give the same answers again, and say how well they do."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from wan_animate_blender.wire import BadInput
from wan_animate_server import world
from wan_animate_server.cli import app
from wan_animate_server.evaluate import estimators as networks
from wan_animate_server.evaluate.estimators import Kind, Width, begin, cut, read, write
from wan_animate_server.evaluate.reading import Estimators
from wan_animate_server.train import estimators, pace
from wan_animate_server.train.estimators import Errand, train

CPU = torch.device("cpu")
SIZE, PEOPLE = 32, 12


@pytest.fixture(scope="module")
def people() -> world.Clips:
    """Portraits of one frame."""
    return world.clips(world.Spec(SIZE, SIZE, 1, portraits=1.0), torch.arange(PEOPLE))


@pytest.fixture(autouse=True)
def tiny(people: world.Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks that see the same few people again and again."""

    def clips(_: world.Spec, seeds: Tensor) -> world.Clips:
        return world.Clips(**{name: getattr(people, name)[seeds % PEOPLE] for name in people.__dataclass_fields__})

    monkeypatch.setattr(world, "clips", clips)
    monkeypatch.setattr(networks, "OTHERS", PEOPLE)
    monkeypatch.setattr(estimators, "WIDTHS", dict.fromkeys(Kind, Width(8, 32)))
    monkeypatch.setattr(estimators, "BATCH", PEOPLE)
    monkeypatch.setattr(estimators, "DRAWN", PEOPLE)
    monkeypatch.setattr(estimators.reading, "SMALLEST", 8)


@pytest.fixture
def errand(tmp_path: Path) -> Callable[..., Errand]:
    def make(steps: int, out: str = "out", source: Path | None = None) -> Errand:
        return Errand(
            out=tmp_path / out, source=source, minutes=1.0, steps=steps, size=SIZE, difficulty=1.0, seed=3, device="cpu"
        )

    return make


def losses(errand: Errand, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Of every step of every estimator."""
    found: dict[str, list[float]] = {}
    with monkeypatch.context() as patch:
        patch.setattr(pace.Pace, "add", lambda self, loss: found.setdefault(self.stage, []).append(loss.item()))
        list(train(errand))
    return found


def test_each_estimator_learns_and_says_how_well_it_does(
    errand: Callable[..., Errand], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = errand(steps=40)
    for kind, found in losses(asked, monkeypatch).items():
        assert np.mean(found[-8:]) < np.mean(found[:4]) - 0.2, kind
    card = json.loads((asked.out / "card.json").read_text())
    assert [entry["stage"] for entry in card] == list(Kind)
    assert [networks.own_error(asked.out, kind) for kind in Kind] == [entry.get("error") for entry in card]
    pose, identity, expression = card
    assert 0 < pose["error_all"] < 0.5 and 0 <= identity["error"] < 0.35
    assert expression["error_all"] < 1.1 * expression["guess"]
    for kind in Kind:
        with (asked.out / "record" / f"{kind}.csv").open() as file:
            assert [int(row["step"]) for row in csv.DictReader(file)][-1] == 40


def test_what_was_learned_is_gone_on_from(errand: Callable[..., Errand], monkeypatch: pytest.MonkeyPatch) -> None:
    first = errand(steps=40)
    begun = losses(first, monkeypatch)
    later = losses(errand(steps=3, out="later", source=first.out), monkeypatch)
    assert all(np.mean(later[kind]) < np.mean(begun[kind][:3]) for kind in Kind)


def test_an_estimator_that_was_kept_gives_the_same_answers(tmp_path: Path) -> None:
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for kind in Kind:
        torch.manual_seed(1)
        network = begin(kind, Width(8, 32))
        for parameter in network.parameters():
            parameter.data = parameter.data.half().float()
        write(tmp_path, kind, network, Width(8, 32))
        before, after = (answers(each, pictures) for each in (network, read(tmp_path, kind, CPU)))
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def answers(network: nn.Module, pictures: Tensor) -> list[Tensor]:
    with torch.inference_mode():
        found = network(pictures)
    return list(found) if isinstance(found, tuple) else [found]


def test_all_three_are_small_enough_to_travel_with_the_server() -> None:
    sizes = [2 * sum(p.numel() for p in begin(kind, networks.WIDTHS[kind]).parameters()) for kind in Kind]
    assert max(sizes) < 14e6 and sum(sizes) < 24e6


def test_all_three_learn_from_the_same_drawings_and_a_new_one_is_made_every_so_often(
    errand: Callable[..., Errand], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, int]] = []
    clips = world.clips

    def counted(spec: world.Spec, seeds: Tensor) -> world.Clips:
        drawn.append((spec.split, int(seeds[0])))
        return clips(spec, seeds)

    monkeypatch.setattr(world, "clips", counted)
    monkeypatch.setattr(estimators, "RENEWED", 4)
    list(train(errand(steps=3)))
    seen = [first for split, first in drawn if split == "train"]
    assert len(drawn) == 4 and len(set(seen)) == 3  # 12 steps, of which three only warm up


def test_an_estimator_that_is_not_there_is_asked_for_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no estimator of the pose; train it"):
        Estimators.read(tmp_path, CPU)


def test_a_part_is_cut_to_the_pixel_and_black_outside() -> None:
    picture = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8) / 32 - 1
    part = cut(picture, torch.tensor([[2.0, 1, 6, 5]]), 4)
    inner = picture[:, :, 2:4, 3:5]
    torch.testing.assert_close(part[:, :, 1:3, 1:3], inner)
    beyond = cut(picture, torch.tensor([[-8.0, 0, 0, 8]]), 4)
    assert float(beyond[..., :3].max()) == -1


def test_the_command_trains_all_three(tmp_path: Path) -> None:
    arguments = ["train", "estimators", "--out", str(tmp_path), "--steps", "2", "--shape", f"{SIZE}x{SIZE}x1"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert [json.loads(line)["stage"] for line in done.stdout.splitlines()] == list(Kind)
    assert Estimators.read(tmp_path, CPU).others.shape == (PEOPLE, 64)


def test_estimators_are_trained_alone(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "estimators", "vae", "--out", str(tmp_path)])
    assert isinstance(done.exception, BadInput) and "alone" in str(done.exception)
