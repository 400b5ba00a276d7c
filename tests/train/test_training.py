"""Tiny trainings: they learn, stop, go on, give the same bits twice, and write what the server can read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool3d
from typer.testing import CliRunner

from wan_animate_blender.wire import BadInput, Precision
from wan_animate_server import world
from wan_animate_server.checkpoint import open_checkpoint
from wan_animate_server.cli import app
from wan_animate_server.model.motion import EqualConv2d, EqualLinear
from wan_animate_server.names import Part
from wan_animate_server.train import autoencoder, classroom, pace, run, stages, workshop
from wan_animate_server.train import examples as shown
from wan_animate_server.train.budget import Budget
from wan_animate_server.train.descent import Descent, descend
from wan_animate_server.train.pool import Batch, Pool
from wan_animate_server.train.run import Order, train
from wan_animate_server.train.stages import Stage
from wan_animate_server.train.student import Question, Student
from wan_animate_server.train.team import Team
from wan_animate_server.train.workshop import Workshop, lay_out
from wan_animate_server.weights import read_model

from .conftest import CLIPS, FRAMES, SHAPE, SHORT, SIZE, TOKENS

Make = Callable[..., Order]
CPU = torch.device("cpu")


def weights(folder: Path, part: Part) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder, part)
    return {name: checkpoint.get(name, torch.float32, CPU) for name in checkpoint.names}


def changed(before: Path, after: Path, part: Part) -> set[str]:
    old, new = weights(before, part), weights(after, part)
    return {name for name in old if not torch.equal(old[name], new[name])}


def losses(order: Order, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of every step."""
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(pace.Pace, "add", lambda _, loss: found.append(loss.item()))
        list(train(order))
    return found


@pytest.mark.parametrize(("stage", "steps"), [(Stage.VAE, 30), (Stage.MOTION, 60), (Stage.BODY, 80)])
def test_what_is_trained_learns(stage: Stage, steps: int, order: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found = losses(order(stage, steps=steps), monkeypatch)
    assert len(found) == steps
    assert np.mean(found[-8:]) < 0.85 * np.mean(found[:4])


@torch.no_grad()
def test_it_counts_whether_latents_made_smaller_are_a_smaller_picture(
    workshop: Workshop, drawn: world.Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae, pictures = workshop.networks.vae, shown.video(drawn.frames)
    vae.conv1.weight[4:], vae.conv1.bias[4:] = 0, -20  # type: ignore[index] # latents without any noise
    small = autoencoder.decode(vae, avg_pool3d(autoencoder.encode(vae, pictures), autoencoder.HALF))
    off = (small - avg_pool3d(pictures, autoencoder.HALF)).square().add(0.05**2).sqrt().mean() - 0.05
    whole = autoencoder.loss(vae, pictures, torch.ones(1, 1, 1, SIZE, SIZE))
    monkeypatch.setattr(autoencoder, "SCALED", 0.0)
    rest = autoencoder.loss(vae, pictures, torch.ones(1, 1, 1, SIZE, SIZE))
    assert (whole - rest).item() == pytest.approx(0.5 * off.item(), rel=0.02)


@pytest.mark.parametrize("stage", [Stage.VAE, Stage.MOTION, Stage.BODY, Stage.JOINT])
def test_the_same_training_twice_gives_the_same_bits(stage: Stage, order: Make) -> None:
    folders = []
    for out in ("one", "two"):
        asked = order(stage, steps=3, out=out)
        list(train(asked))
        folders.append(asked.out)
    for part in Part:
        assert changed(*folders, part) == set()


def test_a_training_goes_on_from_what_was_learned(order: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = order(Stage.BODY, steps=80, out="first")
    begun = losses(first, monkeypatch)
    later = losses(order(Stage.BODY, steps=8, source=first.out, out="later"), monkeypatch)
    assert np.mean(later[:4]) < 0.9 * np.mean(begun[:4])


def test_without_a_model_to_go_on_from_nothing_of_the_shipped_one_is_taken_but_its_sizes(tmp_path: Path) -> None:
    lay_out(tmp_path, None)
    assert {path.name for path in tmp_path.iterdir()} == {"puppet.json", "tokenizer.json"}
    one, other = (Workshop.open(tmp_path, None, CPU, seed) for seed in (0, 1))
    assert one.card == []
    for part in ("transformer", "vae", "clip"):
        first, second = (getattr(each.networks, part).state_dict() for each in (one, other))
        assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_folder_without_a_model_is_no_start_and_nothing_is_made(order: Make, tmp_path: Path) -> None:
    asked = order(Stage.MOTION, source=tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"nowhere has no puppet\.json; give a folder that wan-animate train made"):
        list(train(asked))
    assert not asked.out.exists()


def test_every_stage_changes_its_own_networks_only(order: Make) -> None:
    list(train(order(Stage.VAE, out="0")))
    folders = [order(Stage.VAE, out="0").out]
    for i, stage in enumerate([Stage.MOTION, Stage.BODY, Stage.FACE, Stage.JOINT], start=1):
        # A body's loss does not reach the layers behind the head, which is zero at first, before the second step.
        asked = order(stage, steps=4, source=folders[-1], out=str(i))
        list(train(asked))
        folders.append(asked.out)
    motion, body, face, joint = (changed(a, b, Part.TRANSFORMER) for a, b in pairwise(folders))
    of_face = ("motion_encoder.", "face_")
    assert motion and all(name.startswith("motion_encoder.enc.") for name in motion)
    assert body and not any(name.startswith(of_face) for name in body)
    assert face and all(name.startswith(of_face) for name in face)
    assert any(name.startswith(of_face) for name in joint) and any(not name.startswith(of_face) for name in joint)
    assert changed(folders[1], folders[2], Part.CLIP) and not changed(folders[0], folders[1], Part.CLIP)
    assert not changed(folders[0], folders[4], Part.TEXT) and not changed(folders[0], folders[4], Part.VAE)


def test_weights_that_are_kept_larger_than_they_are_used_learn_as_fast_as_others() -> None:
    """A step changes each by the same share of what it is used as, be it kept 16 times as large or not."""
    plain, kept = torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False)
    both = torch.nn.ModuleDict({"plain": plain, "kept": kept})
    kept.weight.data = 16 * plain.weight.data
    begun, x = plain.weight.detach().clone(), torch.randn(8, 4)

    def loss(_: int) -> torch.Tensor:
        return plain(x).square().mean() + (kept(x) / 16).square().mean()

    team = Team(CPU)
    descent = Descent(rate=1e-2, decay=0.0, hurry=lambda name: 16.0 if name.startswith("kept") else 1.0)
    steps = descend(both, loss, descent, pace.Pace("test", CPU, 0.0), Budget(team, steps=4), team, lambda _, r: r)
    assert list(steps) == []
    assert not torch.equal(plain.weight, begun)
    torch.testing.assert_close(kept.weight / 16, plain.weight, atol=1e-5, rtol=1e-3)


def test_the_motion_encoder_is_hurried_and_nothing_else(workshop: Workshop) -> None:
    names = dict(workshop.networks.transformer.named_parameters(prefix="transformer"))
    quick = {name for name in names if stages.hurried(name) > 1}
    equalised = (EqualConv2d, EqualLinear)
    encoder = workshop.networks.transformer.motion_encoder.enc
    assert quick == {
        f"transformer.motion_encoder.enc.{name}.weight"
        for name, module in encoder.named_modules() if isinstance(module, equalised)
    }  # fmt: skip


def test_the_server_reads_what_was_trained_and_says_nothing_of_random_weights(order: Make) -> None:
    asked = order(Stage.VAE, Stage.BODY)
    list(train(asked))
    model = read_model("puppet", asked.out, CPU, Precision.FP32)
    assert model.notes == ()
    assert model.vae.config.mean != (0.0,) * 16 and min(model.vae.config.std) > 0


def test_latents_have_mean_zero_and_deviation_one_over_the_clips(order: Make, drawn: object) -> None:
    from wan_animate_server.train import autoencoder, examples

    asked = order(Stage.VAE, steps=4)
    list(train(asked))
    vae = Workshop.open(asked.out, asked.out, CPU, 0).networks.vae
    latents = autoencoder.encode(vae, examples.video(torch.cat([drawn.neutral, drawn.own])))  # type: ignore[attr-defined]
    assert latents.mean((0, 2, 3, 4)).abs().max() < 0.2
    assert (latents.std((0, 2, 3, 4)) - 1).abs().max() < 0.2


def test_a_network_too_large_for_one_file_is_cut_and_read_back(order: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "LARGEST", 40_000)
    asked = order(Stage.BODY, steps=1)
    list(train(asked))
    shards = list((asked.out / "transformer").glob("*.safetensors"))
    assert len(shards) > 1
    assert max(path.stat().st_size for path in shards) < 60_000
    read_model("puppet", asked.out, CPU, Precision.FP32)
    again = Workshop.open(asked.out, asked.out, CPU, 0)
    assert changed(asked.out, again.folder, Part.TRANSFORMER) == set()


def test_a_training_leaves_figures_curves_sheets_and_a_card(order: Make) -> None:
    asked = order(Stage.BODY, steps=2)
    reports = list(train(asked))
    record = asked.out / "record"
    rows = list(csv.DictReader((record / "body.csv").open()))
    assert len(rows) == len(reports)
    assert {"psnr", "swapped_skeleton", "swapped_reference", "swapped_face", "bound"} <= rows[-1].keys()
    assert cv2.imread(str(record / "body.png")).std() > 0
    assert cv2.imread(str(record / "body_01.png")).shape == (2 * SIZE, 4 * SIZE, 3)
    (entry,) = json.loads((asked.out / "card.json").read_text())
    assert (entry["stage"], entry["step"], entry["seed"]) == ("body", 2, 3)


def test_the_command_says_how_it_stands_in_json(begun: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(
        app,
        ["train", "body", "--from", str(begun), "--out", str(tmp_path / "out"), "--steps", "1", "--shape", str(SHAPE),
         "--pool", str(CLIPS * FRAMES)],
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert json.loads(said.output.splitlines()[-1])["stage"] == "body"


def test_a_budget_of_steps_ends_after_them_and_its_rate_rises_and_falls_to_nothing() -> None:
    budget = Budget(Team(CPU), steps=1000)
    rates = [budget.rate(step) for step in range(1001)]
    assert rates[0] < 0.02 and max(rates) > 0.9 and rates[-1] < 1e-9
    assert [step for step in range(1001) if budget.spent(step) < 1][-1] == 999


def test_a_budget_of_minutes_ends_in_time(order: Make) -> None:
    budget = Budget(Team(CPU), minutes=0.01)
    clock = pace.Pace("body", CPU, 1.0)
    steps = list(islice(clock.steps(budget), 10_000_000))
    assert len(steps) > 1 and budget.spent(0) == 1


def test_the_clock_starts_when_steps_of_every_shape_have_been_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST", -1.0)
    budget, begun = Budget(Team(CPU), steps=5), []
    clock = pace.Pace("body", CPU, 1.0, kinds=2)
    monkeypatch.setattr(budget, "begin", lambda: begun.append(clock.count))
    assert [clock.due() for _ in clock.steps(budget)] == [False, False, True, True, True]
    assert begun == [2]


@pytest.mark.parametrize("said", ["128x128", "128x128x13x2", "0x128x13", "120x128x13", "128x128x12", "128×128×13"])
def test_a_shape_that_no_clip_can_have_is_refused_in_a_sentence(said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "body", "--out", str(tmp_path), "--shape", said])
    assert isinstance(done.exception, BadInput) and "expected" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_shapes_take_turns_and_a_step_has_as_many_clips_as_make_up_its_tokens(
    order: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    answer = Student.loss

    def noted(student: Student, batch: Batch, question: Question) -> torch.Tensor:
        seen.append(tuple(batch.target.shape[i] for i in (0, 2)))
        return answer(student, batch, question)

    monkeypatch.setattr(Student, "loss", noted)
    monkeypatch.setattr(stages, "TOKENS", 50)
    asked = order(Stage.BODY, steps=4, shapes=(SHORT, SHAPE))
    list(train(asked))
    # Three latent frames of four tokens, then four; one clip of each is looked at to count its operations.
    assert seen == [(1, 2), (1, 3), *[(4, 2), (3, 3)] * 2]
    (entry,) = json.loads((asked.out / "card.json").read_text())
    assert entry["shapes"] == ["32x32x5", "32x32x9"]


def test_now_and_then_a_part_of_one_pool_after_the_other_is_drawn_anew(
    order: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = []
    renew = Pool.renew

    def noted(pool: Pool) -> None:
        renewed.append(pool.tokens)
        renew(pool)

    monkeypatch.setattr(Pool, "renew", noted)
    monkeypatch.setattr(stages, "RENEWED", 2)
    list(train(order(Stage.BODY, steps=8, shapes=(SHORT, SHAPE))))
    assert renewed == [TOKENS, TOKENS * 3 // 4] * 2


def test_drawing_is_paid_for_by_all_stages_that_are_asked_for(order: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(run, "SHARES", dict.fromkeys(Stage, 1.0))
    monkeypatch.setattr(run, "Budget", lambda team, minutes: given.append(minutes) or Budget(team, steps=1))
    drawn = classroom.Classroom.pool

    def slow(*asked: Any, **how: Any) -> Pool:
        now[0] += 60.0 * (not given)
        return drawn(*asked, **how)

    now = [0.0]
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(classroom.Classroom, "pool", slow)
    asked = replace(order(Stage.BODY, Stage.FACE, Stage.JOINT), steps=None, minutes=10.0)
    list(train(asked))
    assert given == pytest.approx([3.0, 4.5, 9.0])


def test_a_budget_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="minutes or steps"):
        Budget(Team(CPU))
