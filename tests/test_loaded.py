"""The model that stays loaded: what the next job makes of it, and how it makes room when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from wan_animate_blender.wire import LoraUse, Take, TakeState, TryElsewhere
from wan_animate_server import loaded
from wan_animate_server.library import ROOT_VARIABLE
from wan_animate_server.loaded import MODEL
from wan_animate_server.lora import LoraSet
from wan_animate_server.model.transformer import Transformer
from wan_animate_server.placement import Residence
from wan_animate_server.progress import Progress
from wan_animate_server.render import render

from .conftest import QUICK, Make


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Residence]]:
    """The memory plan of every model that was loaded since nothing was."""
    MODEL.drop()
    found: list[Residence] = []
    load = loaded.load_model

    def counted(name: str, **given: Any) -> Any:
        found.append(given["residence"])
        return load(name, **given)

    monkeypatch.setattr(loaded, "load_model", counted)
    yield found
    MODEL.drop()


def rendered(folder: Path) -> tuple[Take, list[Progress]]:
    told, steps = [], render(folder, check=lambda: None)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return Take.loads((end.value / "take.json").read_bytes()), told


@pytest.fixture
def out_of_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """`[k]`: the device's memory runs out in the k-th call of the transformer from now, and again as it says next."""
    planned: list[int] = []
    denoise = Transformer.denoise

    def limited(self: Transformer, *given: Any) -> Any:
        if planned:
            planned[0] -= 1
            if planned[0] == 0:
                del planned[0]
                raise torch.OutOfMemoryError("out of memory")
        return denoise(self, *given)

    monkeypatch.setattr(Transformer, "denoise", limited)
    return planned


def test_memory_that_runs_out_tightens_the_plan_and_the_frames_are_the_same(
    make_shot: Make, tmp_path: Path, loads: list[Residence], out_of_memory: list[int]
) -> None:
    undisturbed, _ = rendered(make_shot(root=tmp_path / "undisturbed"))
    loads.clear()
    MODEL.drop()
    out_of_memory[:] = [QUICK.steps + 1, 2]  # in the second segment, and there again
    take, told = rendered(make_shot(root=tmp_path / "tight"))
    assert loads == [Residence.RESIDENT, Residence.HOT, Residence.STREAMED]
    messages = [now.message for now in told if now.message]
    assert len(messages) == 2
    assert "wait on the host" in messages[0] and "streamed" in messages[1]
    assert (take.state, take.version) == (TakeState.COMPLETE, 1)
    assert "resuming" in take.seconds, "the first segment was kept"
    pictures = [path for layer in take.layers for path in take.sequence(layer)]
    assert all(take.files[path] == undisturbed.files[path] for path in pictures)


def test_memory_that_runs_out_under_the_tightest_plan_is_one_sentence_with_advice(
    make_shot: Make, loads: list[Residence], out_of_memory: list[int]
) -> None:
    out_of_memory[:] = [1, 1, 1]
    with pytest.raises(TryElsewhere, match="choose a smaller area, shorter segments or a larger device"):
        rendered(make_shot())
    assert loads == list(Residence)


def test_a_model_that_does_not_fit_while_it_is_loaded_is_tried_with_less(
    make_shot: Make, loads: list[Residence], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loaded.load_model

    def fits_streamed_only(name: str, **given: Any) -> Any:
        model = load(name, **given)
        if given["residence"] is not Residence.STREAMED:
            raise torch.OutOfMemoryError("out of memory")
        return model

    monkeypatch.setattr(loaded, "load_model", fits_streamed_only)
    assert rendered(make_shot())[0].state is TakeState.COMPLETE
    assert loads == list(Residence)


def test_jobs_with_other_loras_load_no_model_and_derive_only_what_differs(
    make_shot: Make, tmp_path: Path, loads: list[Residence], monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[int] = []
    apply = LoraSet.apply

    def counted(self: LoraSet, wanted: Any) -> int:
        derived.append(apply(self, wanted))
        return derived[-1]

    monkeypatch.setattr(LoraSet, "apply", counted)
    write_lora(tmp_path / "models" / "loras" / "look.safetensors")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "models"))
    use = LoraUse(name="look", strength=1.0)
    plain = replace(QUICK, relight=0.0)
    settings = [plain, replace(plain, loras=(use,)), replace(plain, loras=(use,), seed=8), plain]
    for number, each in enumerate(settings):
        rendered(make_shot(frames=1, settings=each, root=tmp_path / str(number)))
    assert loads == [Residence.RESIDENT]
    assert derived == [0, 1, 0, 1]
    assert MODEL.words == f"puppet {QUICK.precision} resident"


def write_lora(path: Path) -> None:
    """A LoRA that changes one weight of the small model."""
    path.parent.mkdir(parents=True)
    weight = MODEL.get("puppet", "cpu", QUICK.precision, Residence.RESIDENT).transformer.blocks[0].self_attn.q.weight
    rows, columns = weight.shape
    name = "diffusion_model.blocks.0.self_attn.q"
    save_file({f"{name}.lora_A.weight": torch.ones(1, columns), f"{name}.lora_B.weight": torch.ones(rows, 1)}, path)
