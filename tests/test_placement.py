"""Weights come to the device when they are used and not before, and no number changes by where they lay."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wan_animate_server.checkpoint import load_into, open_checkpoint
from wan_animate_server.lora import LoraSet
from wan_animate_server.model.face import FaceConfig
from wan_animate_server.model.motion import MotionConfig
from wan_animate_server.model.transformer import Transformer, TransformerConfig
from wan_animate_server.names import Part
from wan_animate_server.placement import Residence, in_order, lend, once_a_segment, place, visit, waiting

CPU = torch.device("cpu")
CONFIG = TransformerConfig(
    dim=24, heads=2, layers=6, ffn_dim=32, text_dim=16, image_dim=8, face_every=2,
    motion=MotionConfig(channels=(8, 8, 8), style_dim=8, motion_dim=4, out_dim=16),
    face=FaceConfig(in_dim=16, hidden_dim=16, heads=2),
)  # fmt: skip
"""Nine units in all, an odd number: the last and the first one of two rounds must not meet in one place."""

AWAY = [Residence.HOT, Residence.STREAMED]


def float32(_: str) -> torch.dtype:
    return torch.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a small transformer, all of them random."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    module = Transformer(CONFIG)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    save_file(module.state_dict(), folder / "transformer.safetensors")
    return folder


def placed(folder: Path, residence: Residence) -> Transformer:
    with torch.device("meta"):
        module = Transformer(CONFIG).eval()
    checkpoint = open_checkpoint(folder, Part.TRANSFORMER)
    load_into(module, checkpoint, device=CPU, dtype=float32, host=waiting(module, residence))
    place(module, residence, CPU)
    return module


@torch.inference_mode()
def velocity(module: Transformer, steps: int = 2) -> Tensor:
    """Of a few steps, each from the one before."""
    generator = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    text, image, face = normal(1, 7, 16), normal(1, 9, 8), normal(1, 5, 3, 16, 16)
    constants = module.constants(text, image, face, normal(1, 16, 2, 4, 6), normal(1, 20, 3, 4, 6))
    x = normal(1, 16, 3, 4, 6)
    for step in range(steps):
        x = module(x, torch.tensor([900.0 - step]), constants)
    return x


def addresses(module: nn.Module) -> dict[str, int]:
    return {name: parameter.data_ptr() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("residence", AWAY)
def test_where_weights_lie_changes_no_bit(folder: Path, residence: Residence) -> None:
    expected = velocity(placed(folder, Residence.RESIDENT))
    assert expected.std() > 0.1
    module = placed(folder, residence)
    for _ in range(2):
        assert torch.equal(velocity(module), expected)


@pytest.mark.parametrize("residence", AWAY)
def test_weights_are_away_from_the_host_only_while_they_are_used(folder: Path, residence: Residence) -> None:
    module = placed(folder, residence)
    host = addresses(module)
    moved: set[str] = set()

    def look(*_: object) -> None:
        moved.update(name for name, address in addresses(module).items() if address != host[name])

    for child in module.modules():
        child.register_forward_pre_hook(look)
    velocity(module)
    assert moved == waiting(module, residence)
    assert addresses(module) == host


@pytest.mark.parametrize("residence", AWAY)
def test_no_layer_computes_with_weights_that_lie_on_the_host(folder: Path, residence: Residence) -> None:
    """On a device of its own, other memory is out of reach; here the addresses tell."""
    module = placed(folder, residence)
    host, away = addresses(module), waiting(module, residence)
    stuck: set[str] = set()

    def look(name: str, layer: nn.Module, _: object) -> None:
        own = {f"{name}.{one}": p.data_ptr() for one, p in layer.named_parameters(recurse=False)}
        stuck.update(one for one, address in own.items() if one in away and address == host[one])

    for name, layer in module.named_modules():
        layer.register_forward_pre_hook(partial(look, name))
    velocity(module)
    assert stuck == set()


def storages(module: nn.Module) -> set[int]:
    return {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}


def test_streamed_units_take_turns_in_two_places(folder: Path) -> None:
    module = placed(folder, Residence.STREAMED)
    host, seen = storages(module), []
    for unit in in_order(module):
        unit.register_forward_pre_hook(lambda unit, _: seen.append(storages(unit) - host))
    velocity(module)
    assert len(set().union(*seen)) == 2
    assert all(len(places) == 1 for places in seen)
    assert all(before != after for before, after in pairwise(seen))


def test_what_a_segment_needs_once_is_not_touched_by_its_steps(folder: Path) -> None:
    module = placed(folder, Residence.HOT)
    visits: list[str] = []
    for layer in once_a_segment(module):
        layer.register_forward_pre_hook(lambda *_: visits.append("visit"))
    velocity(module, steps=1)
    after_one = len(visits)
    assert after_one == len(once_a_segment(module))
    velocity(module, steps=5)
    assert len(visits) == 2 * after_one


@pytest.mark.parametrize("residence", list(Residence))
def test_a_lora_reaches_weights_wherever_they_lie_and_leaves_no_trace(
    folder: Path, tmp_path: Path, residence: Residence
) -> None:
    names = [f"blocks.{i}.{layer}" for i in range(6) for layer in ("self_attn.q", "cross_attn.k", "ffn.2")]
    torch.manual_seed(3)
    tensors = {}
    for name in names:
        linear = placed(folder, Residence.RESIDENT).get_submodule(name)
        tensors[f"{name}.lora_A.weight"] = torch.randn(2, linear.in_features)
        tensors[f"{name}.lora_B.weight"] = torch.randn(linear.out_features, 2) / 10
    save_file(tensors, tmp_path / "lora.safetensors")

    def carrier(module: Transformer) -> LoraSet:
        return LoraSet(module, open_checkpoint(folder, Part.TRANSFORMER), dtype=float32)

    plain, module = placed(folder, Residence.RESIDENT), placed(folder, residence)
    without = velocity(plain)
    assert torch.equal(velocity(module), without)
    for carried in (carrier(plain), loras := carrier(module)):
        assert carried.apply([(carried.open(tmp_path / "lora.safetensors"), 0.7)]) == len(names)
    assert torch.equal(velocity(module), velocity(plain))
    assert not torch.equal(velocity(module), without)
    loras.apply([])
    assert torch.equal(velocity(module), without)


class Stop(Exception):
    pass


@pytest.mark.parametrize("residence", AWAY)
@pytest.mark.parametrize("at", range(8))
def test_a_run_that_is_broken_off_leaves_everything_in_its_place(folder: Path, residence: Residence, at: int) -> None:
    module = placed(folder, residence)
    expected, host = velocity(module), addresses(module)

    def stop(*_: object) -> None:
        raise Stop

    hook = in_order(module)[at].register_forward_pre_hook(stop)
    with pytest.raises(Stop):
        velocity(module)
    hook.remove()
    assert addresses(module) == host
    assert torch.equal(velocity(module), expected)


def fetch_ones(network: nn.Module) -> None:
    ones = {name: torch.ones_like(tensor, device="cpu") for name, tensor in network.state_dict().items()}
    network.load_state_dict(ones, assign=True)


@pytest.mark.parametrize("fails", [False, True])
def test_a_lent_network_has_weights_only_while_it_computes(fails: bool) -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2 if not fails else 3), nn.Linear(2, 1))
    network.requires_grad_(requires_grad=False)
    fetched: list[int] = []

    def fetch(module: nn.Module) -> None:
        fetched.append(1)
        fetch_ones(module)

    lend(network, fetch)
    visit(network[0], CPU)
    for _ in range(2):
        if fails:
            with pytest.raises(RuntimeError):
                network(torch.ones(1, 3))
        else:
            assert network(torch.ones(1, 3)).item() == 27
        assert all(parameter.is_meta for parameter in network.parameters())
    assert len(fetched) == 2


def test_at_full_size_the_steps_need_the_weights_that_performance_counts() -> None:
    """12.38 of 17.27 billion parameters see what changes from step to step."""
    with torch.device("meta"):
        module = Transformer(TransformerConfig())
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}

    def left(residence: Residence) -> int:
        away = waiting(module, residence)
        return sum(size for name, size in sizes.items() if name not in away)

    assert left(Residence.RESIDENT) == 17_274_816_884
    of_time = sum(size for name, size in sizes.items() if name.startswith("time_"))
    assert left(Residence.HOT) == pytest.approx(12.38e9 + of_time, rel=1e-3)
    assert left(Residence.STREAMED) < 0.2e9
