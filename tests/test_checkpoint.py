"""Weights load from every layout in which people have them, exactly; what does not fit is refused with a count.

The files are written by the libraries that write them in life: diffusers, transformers, huggingface_hub, safetensors,
torch. Only the sizes are small.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan, WanAnimateTransformer3DModel, WanTransformer3DModel
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from wan_animate_blender.wire import BadInput
from wan_animate_server.checkpoint import (
    Checkpoint,
    checkpoint_of,
    find_tokenizer,
    identify,
    load_into,
    open_checkpoint,
)
from wan_animate_server.model.clip import CLIPConfig, CLIPVision
from wan_animate_server.model.face import FaceConfig
from wan_animate_server.model.motion import MotionConfig
from wan_animate_server.model.t5 import T5Config, T5Encoder
from wan_animate_server.model.transformer import Transformer, TransformerConfig
from wan_animate_server.model.vae import VAE, VAEConfig
from wan_animate_server.names import Part
from wan_animate_server.tensorfile import stored

CPU = torch.device("cpu")
TRANSFORMER = TransformerConfig(
    dim=24, heads=2, layers=4, ffn_dim=32, text_dim=16, image_dim=8, face_every=2,
    motion=MotionConfig(channels=(8, 8, 8), style_dim=8, motion_dim=4, out_dim=16),
    face=FaceConfig(in_dim=16, hidden_dim=16, heads=2),
)  # fmt: skip
BUILD: dict[Part, Callable[[], nn.Module]] = {
    Part.TRANSFORMER: lambda: Transformer(TRANSFORMER),
    Part.VAE: lambda: VAE(VAEConfig(dim=8)),
    Part.TEXT: lambda: T5Encoder(T5Config(vocabulary=64, dim=32, attention_dim=24, ffn_dim=48, heads=4, layers=3)),
    Part.CLIP: lambda: CLIPVision(CLIPConfig(size=28, dim=32, heads=4, layers=3, out_dim=16)),
}
RELEASED = {
    Part.VAE: "Wan2.1_VAE.pth",
    Part.TEXT: "models_t5_umt5-xxl-enc-bf16.pth",
    Part.CLIP: "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
}


def float32(name: str) -> torch.dtype:
    return torch.float32


def randomised(module: nn.Module) -> nn.Module:
    """All parameters random, also those that start at zero."""
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module.eval()


def tensors(part: Part) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in randomised(BUILD[part]()).state_dict().items()}


def loaded(path: Path, part: Part) -> Any:
    with torch.device("meta"):
        module = BUILD[part]()
    load_into(module, open_checkpoint(path, part), device=CPU, dtype=float32)
    return module.eval()


def assert_same(module: nn.Module, expected: dict[str, Tensor]) -> None:
    given = module.state_dict()
    assert given.keys() == expected.keys()
    for name, tensor in given.items():
        assert torch.equal(tensor, expected[name]), name


# --- the released layout --------------------------------------------------------------------------


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder as Wan2.2-Animate-14B's: shards and their index, and .pth files."""
    save_torch_state_dict(
        tensors(Part.TRANSFORMER),
        tmp_path,
        filename_pattern="diffusion_pytorch_model{suffix}.safetensors",
        max_shard_size=20_000,
    )
    for part in (Part.VAE, Part.TEXT):
        torch.save(tensors(part), tmp_path / RELEASED[part])
    text_tower = {"textual.token_embedding.weight": torch.ones(9, 3), "log_scale": torch.tensor(2.0)}
    torch.save(tensors(Part.CLIP) | text_tower, tmp_path / RELEASED[Part.CLIP])
    return tmp_path


@pytest.mark.parametrize("part", Part)
def test_the_released_folder_loads_exactly(part: Part, released: Path) -> None:
    assert len(list(released.glob("*-of-*.safetensors"))) > 1
    assert_same(loaded(released, part), tensors(part))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what is mapped")
def test_a_tensor_is_a_view_of_the_mapped_file_when_its_type_is_the_file_s(released: Path) -> None:
    for part, name in ((Part.TRANSFORMER, "head.head.weight"), (Part.VAE, "conv1.weight")):
        tensor = open_checkpoint(released, part).get(name, torch.float32, CPU)
        maps = Path("/proc/self/maps").read_text().splitlines()
        mapped = [line.split()[0].split("-") for line in maps if str(released) in line]
        assert any(int(first, 16) <= tensor.data_ptr() < int(end, 16) for first, end in mapped)


def test_each_tensor_gets_the_type_that_is_asked_for_its_name(released: Path) -> None:
    with torch.device("meta"):
        module = BUILD[Part.TRANSFORMER]()

    def dtype(name: str) -> torch.dtype:
        return torch.float32 if "modulation" in name else torch.bfloat16

    load_into(module, open_checkpoint(released, Part.TRANSFORMER), device=CPU, dtype=dtype)
    expected = tensors(Part.TRANSFORMER)
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == dtype(name)
        assert torch.equal(tensor, expected[name].to(dtype(name)))
    assert not any(p.requires_grad for p in module.parameters())


def test_a_torch_file_from_before_zip_archives_loads(tmp_path: Path) -> None:
    torch.save(tensors(Part.VAE), tmp_path / "vae.pth", _use_new_zipfile_serialization=False)
    assert_same(loaded(tmp_path / "vae.pth", Part.VAE), tensors(Part.VAE))


# --- the reference libraries' layout --------------------------------------------------------------


def peers() -> dict[Part, Any]:
    """diffusers' and transformers' networks of the same sizes."""
    sizes = {"16": 8, "8": 8, "4": 8}
    transformer = WanAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=16, ffn_dim=32, num_layers=4, image_dim=8,
        added_kv_proj_dim=24, motion_encoder_channel_sizes=sizes, motion_encoder_size=16, motion_style_dim=8,
        motion_dim=4, motion_encoder_dim=16, face_encoder_hidden_dim=16, face_encoder_num_heads=2,
        inject_face_latents_blocks=2,
    )  # fmt: skip
    text = UMT5Config(
        vocab_size=64, d_model=32, d_kv=6, d_ff=48, num_layers=3, num_heads=4, feed_forward_proj="gated-gelu"
    )
    clip = CLIPVisionConfig(
        hidden_size=32, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=14,
        hidden_act="gelu",
    )  # fmt: skip
    return {
        Part.TRANSFORMER: transformer,
        Part.VAE: AutoencoderKLWan(base_dim=8),
        Part.TEXT: UMT5EncoderModel(text),
        Part.CLIP: CLIPVisionModel(clip),
    }


FOLDERS = {Part.TRANSFORMER: "transformer", Part.VAE: "vae", Part.TEXT: "text_encoder", Part.CLIP: "image_encoder"}


@torch.no_grad()
def ours_and_theirs(part: Part, ours: Any, theirs: Any) -> tuple[Tensor, Tensor]:
    """What both make of the same input."""
    torch.manual_seed(5)
    if part is Part.VAE:
        latents = torch.randn(1, 16, 2, 4, 4)
        mean, std = (torch.tensor(x).view(1, 16, 1, 1, 1) for x in (VAEConfig().mean, VAEConfig().std))
        return ours.decode(latents).clamp(-1, 1), theirs.decode(latents * std + mean).sample
    if part is Part.TEXT:
        ids, mask = torch.randint(1, 64, (2, 7)), torch.ones(2, 7, dtype=torch.long)
        return ours(ids, mask), theirs(ids, mask).last_hidden_state
    if part is Part.CLIP:
        pixels = torch.randn(2, 3, 28, 28)
        return ours(pixels), theirs(pixels, output_hidden_states=True).hidden_states[-2]
    noise, known = torch.randn(1, 16, 3, 4, 6), torch.randn(1, 20, 3, 4, 6)
    text, image = torch.randn(1, 512, 16), torch.randn(1, 257, 8)
    pose, face, time = torch.randn(1, 16, 2, 4, 6), torch.rand(1, 5, 3, 16, 16) * 2 - 1, torch.tensor([937.0])
    constants = ours.constants(text=text, image=image, face=face, pose=pose, known=known)
    theirs_out = theirs(
        torch.cat((noise, known), 1), time, text, image, pose_hidden_states=pose, face_pixel_values=face.transpose(1, 2)
    )
    return ours(noise, time, constants), theirs_out.sample


@pytest.mark.parametrize("part", Part)
def test_the_diffusers_folder_loads_and_computes_what_diffusers_computes(part: Part, tmp_path: Path) -> None:
    peer = randomised(peers()[part])
    peer.save_pretrained(tmp_path / FOLDERS[part], max_shard_size="40KB")
    ours, theirs = ours_and_theirs(part, loaded(tmp_path, part), peer)
    assert theirs.std() > 1e-2
    # Rounding alone, which other processors do otherwise, comes to 6e-5 of it in the transformer.
    torch.testing.assert_close(ours, theirs, atol=1e-3 * float(theirs.std()), rtol=0)


def test_at_full_size_every_reference_name_has_its_place_and_shape() -> None:
    clip = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
    text = {"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    with torch.device("meta"):
        pairs = {
            Part.TRANSFORMER: (Transformer(TransformerConfig()), WanAnimateTransformer3DModel(added_kv_proj_dim=5120)),
            Part.VAE: (VAE(VAEConfig()), AutoencoderKLWan()),
            Part.CLIP: (CLIPVision(CLIPConfig()), CLIPVisionModel(CLIPVisionConfig(**clip, patch_size=14))),
            Part.TEXT: (T5Encoder(T5Config()), UMT5EncoderModel(UMT5Config(**text))),
        }
    assert len(pairs[Part.TRANSFORMER][0].state_dict()) == 1441
    for part, (ours, theirs) in pairs.items():
        checkpoint = Checkpoint(part, stored(theirs.state_dict()), "the reference")
        given = {name: checkpoint.shape(name) for name in checkpoint.names}
        unused = {"visual.head": (1280, 1024)} if part is Part.CLIP else {}
        assert given | unused == {name: tuple(tensor.shape) for name, tensor in ours.state_dict().items()}


# --- ComfyUI's and kijai's single files -----------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "model.", "diffusion_model.", "model.diffusion_model."])
def test_a_single_file_loads_with_any_prefix(prefix: str, tmp_path: Path) -> None:
    expected = {name: tensor.half() for name, tensor in tensors(Part.TRANSFORMER).items()}
    save_file({prefix + name: tensor for name, tensor in expected.items()}, tmp_path / "wan.safetensors")
    assert_same(loaded(tmp_path / "wan.safetensors", Part.TRANSFORMER), {n: t.float() for n, t in expected.items()})


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("scale_name", ["scale_weight", "weight_scale"])
def test_8_bit_weights_are_multiplied_with_their_scales(
    kind: torch.dtype, scale_name: str, rows: bool, tmp_path: Path
) -> None:
    expected = tensors(Part.TRANSFORMER)
    file = {"scaled_fp8": torch.zeros(2, dtype=kind)}
    for name, tensor in expected.items():
        file[name] = tensor.clone()
        stem = name.removesuffix(".weight")
        if tensor.dim() == 2 and stem != name and name.startswith("blocks."):
            scale = (tensor.abs().amax(1) if rows else tensor.abs().max()) / torch.finfo(kind).max
            file[name] = (tensor / (scale[:, None] if rows else scale)).to(kind)
            file |= {f"{stem}.{scale_name}": scale, f"{stem}.input_scale": torch.ones(())}
            file[f"{stem}.comfy_quant"] = torch.zeros(4, dtype=torch.uint8)
            expected[name] = file[name].float() * (scale[:, None] if rows else scale)
    save_file(file, tmp_path / "fp8.safetensors")
    assert_same(loaded(tmp_path / "fp8.safetensors", Part.TRANSFORMER), expected)


def test_comfyui_s_text_and_image_encoders_load(tmp_path: Path) -> None:
    """Those files carry transformers' names, the older prefix of CLIP, and things that are no weights."""
    text, clip = (randomised(peers()[part]) for part in (Part.TEXT, Part.CLIP))
    extras = {"encoder.embed_tokens.weight": torch.ones(64, 32), "spiece_model": torch.ones(5, dtype=torch.uint8)}
    save_file(text.state_dict() | extras, tmp_path / "t5.safetensors")
    old = {f"vision_model.{name.removeprefix('vision_model.')}": tensor for name, tensor in clip.state_dict().items()}
    save_file(old | {"visual_projection.weight": torch.ones(16, 32)}, tmp_path / "clip_vision_h.safetensors")
    for part, peer, name in ((Part.TEXT, text, "t5"), (Part.CLIP, clip, "clip_vision_h")):
        ours, theirs = ours_and_theirs(part, loaded(tmp_path / f"{name}.safetensors", part), peer)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


# --- what does not fit ----------------------------------------------------------------------------


def refused(path: Path, part: Part = Part.TRANSFORMER) -> str:
    with pytest.raises(BadInput) as error:
        loaded(path, part)
    return str(error.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(tensors(Part.TRANSFORMER), tmp_path / "wan.safetensors")
    return tmp_path / "wan.safetensors"


def test_what_is_missing_surplus_or_misshapen_is_counted_in_one_sentence(file: Path) -> None:
    given = load_file(file)
    for layer in range(4):
        del given[f"blocks.{layer}.self_attn.q.weight"]
    given["blocks.9.self_attn.q.weight"] = torch.ones(2)
    given["head.head.bias"] = torch.ones(3)
    save_file(given, file)
    said = refused(file)
    assert "missing: 4 tensors (blocks.0.self_attn.q.weight, blocks.1.self_attn.q.weight, blocks.2" in said
    assert "surplus: 1 tensor (blocks.9.self_attn.q.weight)" in said
    assert "of another shape: 1 tensor (head.head.bias 3 for 64)" in said


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_a_checkpoint_with_nan_is_refused_and_nothing_is_assigned(bad: str, file: Path) -> None:
    given = load_file(file)
    given["head.head.bias"][3] = float(bad)
    save_file(given, file)
    with torch.device("meta"):
        module = BUILD[Part.TRANSFORMER]()
    with pytest.raises(BadInput, match=r"NaN or infinite numbers in 1 tensor \(head\.head\.bias\)"):
        load_into(module, open_checkpoint(file, Part.TRANSFORMER), device=CPU, dtype=float32)
    assert all(tensor.is_meta for tensor in module.state_dict().values())


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_truncated_file_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{ending}"
    save_file(tensors(Part.VAE), path) if ending == ".safetensors" else torch.save(tensors(Part.VAE), path)
    os.truncate(path, path.stat().st_size - 100)
    assert "not copied to its end" in refused(path, Part.VAE)


def test_a_missing_shard_is_named(released: Path) -> None:
    shard = sorted(released.glob("*-of-*.safetensors"))[1]
    shard.unlink()
    assert re.search(rf"lacks 1 of \d+ shards, first {shard.name}", refused(released))


def test_an_index_that_promises_more_than_its_shards_have_is_refused(released: Path) -> None:
    index = next(released.glob("*.index.json"))
    content = json.loads(index.read_text())
    content["weight_map"]["blocks.99.modulation"] = next(iter(content["weight_map"].values()))
    index.write_text(json.dumps(content))
    assert "first blocks.99.modulation" in refused(released)


class Payload:
    """What an attacker puts into a .pth."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(zipped: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "Wan2.1_VAE.pth", tmp_path / "it-ran"
    torch.save(tensors(Part.VAE) | {"x": Payload(trace)}, path, _use_new_zipfile_serialization=zipped)
    assert "only by running code" in refused(path, Part.VAE)
    assert not trace.exists()


def test_another_network_is_told_by_its_name(tmp_path: Path) -> None:
    small = {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 16, "ffn_dim": 32, "num_layers": 1}
    WanTransformer3DModel(**small, in_channels=16).save_pretrained(tmp_path / "t2v")
    WanTransformer3DModel(**small, in_channels=36, image_dim=8, added_kv_proj_dim=24).save_pretrained(tmp_path / "i2v")
    save_file({"diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.ones(2, 2)}, tmp_path / "lora.safetensors")
    save_file(tensors(Part.VAE), tmp_path / "vae.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    for name, words in {
        "t2v": "a text-to-video transformer of Wan",
        "i2v": "an image-to-video transformer of Wan",
        "lora.safetensors": "a LoRA",
        "vae.safetensors": "the VAE of Wan 2.1",
        "x.safetensors": "no network that is known here",
    }.items():
        assert identify(tmp_path / name).words == words
    assert "is a text-to-video transformer of Wan, expected the transformer of Wan-Animate" in refused(tmp_path / "t2v")


def test_packed_numbers_are_refused_rather_than_taken_for_weights(file: Path) -> None:
    given = load_file(file)
    given["blocks.0.ffn.0.weight"] = torch.ones(32, 24, dtype=torch.int8)
    save_file(given, file)
    assert "blocks.0.ffn.0.weight: a weight is stored as torch.int8" in refused(file)


def test_a_path_that_is_no_checkpoint_is_refused_with_what_to_do(tmp_path: Path) -> None:
    assert "has no weights in it" in refused(tmp_path)
    assert "there is no file" in refused(tmp_path / "nowhere.safetensors")
    (tmp_path / "model.gguf").write_bytes(b"GGUF1234")
    assert "expected .safetensors or .pth" in refused(tmp_path / "model.gguf")
    for name in ("a", "b"):
        save_file(tensors(Part.VAE), tmp_path / f"{name}.safetensors")
    assert "has 2 files of weights (a.safetensors, b.safetensors" in refused(tmp_path)


def test_the_tokenizer_must_be_there_as_json(tmp_path: Path) -> None:
    folder = tmp_path / "google" / "umt5-xxl"
    folder.mkdir(parents=True)
    with pytest.raises(BadInput, match=r"has no tokenizer\.json"):
        find_tokenizer(tmp_path)
    (folder / "spiece.model").write_bytes(b"sentencepiece")
    with pytest.raises(BadInput, match=r"only as spiece\.model, expected tokenizer\.json"):
        find_tokenizer(tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    assert find_tokenizer(tmp_path) == folder / "tokenizer.json"


def test_a_module_s_own_tensors_can_be_its_master() -> None:
    module = randomised(BUILD[Part.CLIP]())
    master = checkpoint_of(module, Part.CLIP)
    nn.init.zeros_(module.visual.head)  # type: ignore[arg-type, union-attr]
    assert torch.equal(master.get("visual.head", torch.float32, CPU), tensors(Part.CLIP)["visual.head"])
