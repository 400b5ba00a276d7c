"""Models by name: the puppet's sizes, its random weights, weights from files, devices and the tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from wan_animate_blender.wire import BadInput, Precision, Unavailable
from wan_animate_server.installed import load_model
from wan_animate_server.library import Library
from wan_animate_server.pipeline import NEGATIVE_PROMPT, PROMPT, Model
from wan_animate_server.weights import PUPPET, RANDOM_WEIGHTS, read_model, read_tokenizer

from .trained import untrained

CPU = torch.device("cpu")
PARTS = ("transformer", "vae", "text", "clip")


@pytest.fixture(scope="module")
def puppet(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Before any training."""
    return read_model("puppet", untrained(tmp_path_factory.mktemp("models") / "puppet"), CPU, Precision.FP32)


@pytest.fixture
def written(puppet: Model, tmp_path: Path) -> Path:
    """A folder like the puppet's, with its weights in files."""
    for name in ("puppet.json", "tokenizer.json"):
        shutil.copy(PUPPET / name, tmp_path)
    for part in PARTS:
        save_file(getattr(puppet, part).state_dict(), tmp_path / f"{part}.safetensors")
    return tmp_path


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_puppet_is_small(puppet: Model) -> None:
    assert parameters(puppet.transformer) <= 10e6
    assert parameters(puppet.vae) <= 3e6
    assert sum(parameters(getattr(puppet, part)) for part in PARTS) <= 15e6


def test_the_sizes_of_the_puppets_networks_fit_each_other(puppet: Model) -> None:
    config = puppet.transformer.config
    assert config.text_dim == puppet.text.config.dim
    assert config.image_dim == puppet.clip.config.dim
    assert config.latent_channels == puppet.vae.config.latent_channels
    assert config.face.in_dim == config.motion.out_dim


def test_random_weights_are_the_same_for_everybody_and_are_said_to_be_random(puppet: Model, tmp_path: Path) -> None:
    torch.rand(1)  # whatever else has drawn random numbers before
    again = read_model("puppet", untrained(tmp_path / "puppet"), CPU, Precision.FP32)
    for part in PARTS:
        one, other = getattr(puppet, part).state_dict(), getattr(again, part).state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert puppet.notes == (RANDOM_WEIGHTS,)


@pytest.mark.parametrize("part", PARTS)
def test_no_random_parameter_hides_a_path_behind_zeros(puppet: Model, part: str) -> None:
    for name, parameter in getattr(puppet, part).named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert (parameter != 0).float().mean() > 0.99, name


@torch.inference_mode()
def test_random_networks_give_numbers_of_a_sane_size(puppet: Model) -> None:
    generator = torch.Generator().manual_seed(3)
    size = puppet.transformer.config.motion.size

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    ids = torch.tensor([puppet.tokenizer(PROMPT)])
    text = puppet.text(ids, torch.ones_like(ids))
    image = puppet.clip(random(1, 3, puppet.clip.config.size, puppet.clip.config.size))
    latents = puppet.vae.encode(random(1, 3, 5, 32, 48).clamp(-1, 1))
    faces, known = random(1, 5, 3, size, size).clamp(-1, 1), random(1, 20, 3, 4, 6)
    constants = puppet.transformer.constants(text, image, faces, latents, known)
    velocity = puppet.transformer(random(1, 16, 3, 4, 6), torch.tensor([900.0]), constants)
    for values in (text, image, velocity, puppet.vae.decode(latents)):
        assert 0.1 < values.std() < 10


def test_the_shipped_weights_are_small_enough_to_travel_and_nothing_is_said_to_be_random() -> None:
    files = list(PUPPET.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) <= 32e6
    assert max(path.stat().st_size for path in files) <= 15e6
    assert load_model("puppet").notes == ()


def test_weights_in_files_are_loaded_instead_and_nothing_is_said_to_be_random(puppet: Model, written: Path) -> None:
    vae = load_file(written / "vae.safetensors")
    save_file({name: tensor * 2 for name, tensor in vae.items()}, written / "vae.safetensors")
    model = read_model("puppet", written, CPU, Precision.FP32)
    assert model.notes == ()
    assert set(model.files) == {"puppet.json", "tokenizer.json", *(f"{part}.safetensors" for part in PARTS)}
    assert all(torch.equal(tensor, vae[name] * 2) for name, tensor in model.vae.state_dict().items())
    expected = puppet.transformer.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.transformer.state_dict().items())


def test_tensors_that_do_not_fit_are_counted_and_named(written: Path) -> None:
    path = written / "transformer.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if name.startswith("blocks.0.ffn")]:
        del tensors[name]
    save_file(tensors | {"head.modulation": torch.zeros(2, 2)}, path)
    with pytest.raises(BadInput) as error:
        read_model("puppet", written, CPU, Precision.FP32)
    first = "blocks.0.ffn.0.weight, blocks.0.ffn.0.bias, blocks.0.ffn.2.weight …"
    assert f"missing: 4 tensors ({first})" in str(error.value)
    assert "1 tensor (head.modulation 2×2 for 1×2×" in str(error.value)


def test_a_truncated_file_is_refused(written: Path) -> None:
    path = written / "clip.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match=r"clip\.safetensors"):
        read_model("puppet", written, CPU, Precision.FP32)


def test_a_model_of_which_one_network_has_no_weights_is_refused_rather_than_half_random(written: Path) -> None:
    (written / "text.safetensors").unlink()
    with pytest.raises(BadInput):
        read_model("puppet", written, CPU, Precision.FP32)


def test_half_precision_keeps_the_autoencoder_in_full() -> None:
    model = load_model("puppet", precision=Precision.BF16)
    kinds = {part: {p.dtype for p in getattr(model, part).parameters()} for part in PARTS}
    assert kinds.pop("vae") == {torch.float32}
    assert all(kind == {torch.bfloat16} for kind in kinds.values())


@pytest.mark.parametrize("name", ["yolov10m", "", "../puppet"])
def test_what_is_no_model_is_said_to_be_unavailable(name: str) -> None:
    with pytest.raises(Unavailable, match="choose one of: puppet, wan-animate-14b"):
        load_model(name)


def test_a_model_that_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="run: wan-animate models pull wan-animate-14b"):
        load_model("wan-animate-14b", library=Library(tmp_path))


def test_a_device_that_is_not_there_is_an_error_and_never_a_silent_fall_back() -> None:
    with pytest.raises(Unavailable, match="cuda:99"):
        load_model("puppet", device="cuda:99")
    with pytest.raises(BadInput, match="graphics card"):
        load_model("puppet", device="graphics card")


END = 1


@given(st.text(max_size=200))
def test_every_prompt_has_ids_that_end_and_fit(prompt: str) -> None:
    sizes = json.loads((PUPPET / "puppet.json").read_text())
    ids = read_tokenizer(PUPPET / "tokenizer.json", 64)(prompt)
    assert 1 <= len(ids) <= 64
    assert ids[-1] == END
    assert all(0 <= i < sizes["text"]["vocabulary"] for i in ids)


def test_the_default_prompts_are_read_whole(puppet: Model) -> None:
    for prompt in (PROMPT, NEGATIVE_PROMPT):
        assert puppet.tokenizer(prompt + "!") != puppet.tokenizer(prompt)


def test_prompts_are_told_apart_but_not_by_spaces_and_entities(puppet: Model) -> None:
    ids = puppet.tokenizer
    assert ids("a man  &amp;amp;\n a dog ") == ids("a man & a dog")
    assert len({tuple(ids(prompt)) for prompt in (PROMPT, NEGATIVE_PROMPT, "a man", "a men", "")}) == 5
