"""LoRAs are trained beside a model that stays as it is, and change it at the pipeline as they did in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from wan_animate_blender.wire import BadInput, Precision, Solver
from wan_animate_server import sampling, world
from wan_animate_server.names import Part
from wan_animate_server.train import examples as shown
from wan_animate_server.train import light, lowrank, path
from wan_animate_server.train.pool import Batch, Encoder
from wan_animate_server.train.run import Order, train
from wan_animate_server.train.stages import Stage
from wan_animate_server.train.student import Student, both_prompts
from wan_animate_server.train.workshop import Workshop
from wan_animate_server.weights import read_model

from .conftest import CLIPS
from .test_training import changed, losses

Make = Callable[..., Order]
CPU = torch.device("cpu")
SEEDS = torch.arange(CLIPS)


@pytest.fixture
def batch(workshop: Workshop, drawn: world.Clips) -> Batch:
    """Some clips as the student sees them."""
    choice = shown.choose(CLIPS, CPU, torch.Generator().manual_seed(0), (0,), lit=True)
    made = shown.examples(drawn, SEEDS, choice, workshop.networks.transformer.config.motion.size, lit=True)
    return Encoder(workshop.networks.vae)(made)


@pytest.fixture
def student(workshop: Workshop) -> Student:
    return Student(workshop.networks, both_prompts(workshop.networks, workshop.prompt, CPU))


def answer(student: Student, batch: Batch) -> Tensor:
    """The velocity at some noise."""
    noise = torch.randn(CLIPS, *batch.target.shape[1:], generator=torch.Generator().manual_seed(1))
    x = torch.cat([noise[:, :, :1], noise], 2)
    with torch.no_grad():
        constants = student.constants(batch, torch.zeros(CLIPS, dtype=torch.bool))
        return student.velocity(x, torch.full((CLIPS,), 700), constants)


def disturb(student: Student) -> None:
    """Give the LoRA something to do, in numbers of half precision as its file has them."""
    for name, parameter in student.named_parameters():
        if lowrank.of_change(name):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
            parameter.data = (0.2 * noise).half().float()


@pytest.mark.parametrize(("stage", "better"), [(Stage.RELIGHT, 0.97), (Stage.DISTILL, 0.85)])
def test_a_lora_learns_while_the_model_stays_as_it_is(
    stage: Stage, better: float, workshop: Workshop, order: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = order(stage, steps=40, source=workshop.folder)
    found = losses(asked, monkeypatch)
    assert np.mean(found[-8:]) < better * np.mean(found[:8])
    for part in Part:
        assert changed(workshop.folder, asked.out, part) == set()
    model = read_model("puppet", asked.out, CPU, Precision.FP32)
    assert model.loras is not None
    lora = model.loras.open(
        asked.out / {Stage.RELIGHT: "relight.safetensors", Stage.DISTILL: "fast.safetensors"}[stage]
    )
    assert lora.left_out == ()
    assert len(lora.deltas) == 12 * model.transformer.config.layers
    assert set(model.files) == {"puppet.json", "tokenizer.json", *(f"{part}.safetensors" for part in Part)}


def test_the_same_training_of_a_lora_twice_gives_the_same_bits(workshop: Workshop, order: Make) -> None:
    for stage, name in ((Stage.RELIGHT, "relight"), (Stage.DISTILL, "fast")):
        made = []
        for out in ("one", "two"):
            asked = order(stage, steps=3, source=workshop.folder, out=f"{name} {out}")
            list(train(asked))
            made.append(load_file(asked.out / f"{name}.safetensors"))
        assert all(torch.equal(value, made[1][key]) for key, value in made[0].items())


def test_a_lora_changes_the_pipelines_model_as_it_changed_the_student(
    workshop: Workshop, student: Student, batch: Batch
) -> None:
    plain = answer(student, batch)
    with lowrank.adapted(student.transformer, 4):
        assert torch.equal(answer(student, batch), plain)
        disturb(student)
        adapted = answer(student, batch)
        with lowrank.without(student):
            assert torch.equal(answer(student, batch), plain)
        workshop.write_lora("relight")
    assert torch.equal(answer(student, batch), plain)
    model = read_model("puppet", workshop.folder, CPU, Precision.FP32)
    assert model.loras is not None
    model.loras.apply([(model.loras.open(workshop.lora("relight")), 1.0)])
    student.transformer = model.transformer
    assert (adapted - plain).abs().mean() > 1e-2
    torch.testing.assert_close(answer(student, batch), adapted, atol=1e-3, rtol=1e-3)


def test_a_finished_lora_is_carried_and_laid_down_again(workshop: Workshop, student: Student, batch: Batch) -> None:
    plain = answer(student, batch)
    with lowrank.adapted(student.transformer, 4):
        disturb(student)
        adapted = answer(student, batch)
        workshop.write_lora("relight")
    carry = lowrank.carrier(student.transformer, workshop.lora("relight"))
    with lowrank.adapted(student.transformer, 2):
        carry(True)
        torch.testing.assert_close(answer(student, batch), adapted, atol=1e-3, rtol=1e-3)
        carry(False)
        assert torch.equal(answer(student, batch), plain)


def test_a_training_of_a_lora_goes_on_from_its_file(workshop: Workshop, order: Make, student: Student) -> None:
    with lowrank.adapted(student.transformer, 16):
        disturb(student)
        workshop.write_lora("relight")
    before = load_file(workshop.lora("relight"))
    asked = order(Stage.RELIGHT, steps=1, source=workshop.folder)
    list(train(asked))
    after = load_file(asked.out / "relight.safetensors")
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=5e-3, rtol=0)
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items())
    with lowrank.adapted(student.transformer, 8), pytest.raises(BadInput, match="move it away to begin anew"):
        lowrank.go_on(student.transformer, workshop.lora("relight"))


def test_the_students_levels_are_among_the_teachers() -> None:
    few, many = (sampling.noise_levels(path.SOLVER, steps) for steps in (path.STEPS, path.TAUGHT))
    assert many[:: path.TAUGHT // path.STEPS] == pytest.approx(few)


def test_a_path_ends_where_the_teacher_does_and_costs_nothing_to_who_is_there(student: Student, batch: Batch) -> None:
    with lowrank.adapted(student.transformer, 4):
        disturb(student)
        noise = torch.randn(CLIPS, *batch.known.shape[1:])[:, :, [0, *range(batch.known.shape[2])]]
        found = path.taught(student, batch, noise, relit=False)
        *_, last = student.walk(batch, noise, Solver.DPMPP, path.TAUGHT)
        assert not torch.allclose(last.sample, found.points[-1], atol=1e-2)  # with its LoRA it goes elsewhere
        with lowrank.without(student):
            steps = list(student.walk(batch, noise, Solver.DPMPP, path.STEPS))
            *_, last = student.walk(batch, noise, Solver.DPMPP, path.TAUGHT)
    assert torch.equal(last.sample, found.points[-1])
    there = path.Path(batch, noise, torch.stack([step.sample for step in steps]), relit=False)
    assert float(path.loss(student, there)) < 1e-9 < float(path.loss(student, found))


def test_paths_are_made_in_turns_with_the_light_and_without_and_walked_as_they_were_made() -> None:
    carried, made, walked = [False], [], set()

    def teach(relit: bool) -> path.Path:
        assert carried[0] is relit
        made.append(path.Path(*[None] * 3, relit))  # type: ignore[list-item]
        return made[-1]

    paths = path.Paths(teach, lambda wanted: carried.__setitem__(0, wanted), seed=0)
    for step in range(8 * path.KEPT * path.USES):
        now = paths.at(step)
        assert now.relit is carried[0]
        assert now in made[-path.KEPT :]
        walked.add(id(now))
    assert len(made) == 8 * path.KEPT
    assert {one.relit for one in made[:2]} == {False, True}
    assert len(walked) > 0.9 * len(made)


def test_colours_are_judged_inside_the_character_and_not_by_its_edges() -> None:
    truth = torch.full((1, 3, 1, 32, 32), -0.2)
    weight = torch.zeros(1, 1, 32, 32)
    weight[..., 4:28, 4:28] = 1
    elsewhere = torch.where(weight[:, None] > 0, truth, 1.0)
    assert light.colour_error(elsewhere, truth, weight) == pytest.approx(0, abs=1e-3)
    checked = truth + 0.1 * (-1) ** torch.arange(32)
    assert light.colour_error(checked, truth, weight) < 0.5
    redder = truth + torch.tensor([0.2, -0.1, -0.1]).view(1, 3, 1, 1, 1)
    assert light.colour_error(redder, truth, weight) > 5
