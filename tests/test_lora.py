"""A LoRA changes exactly the weights it names, by strength · (alpha / rank) · up @ down, and leaves no trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wan_animate_blender.wire import BadInput
from wan_animate_server.checkpoint import Checkpoint, load_into, open_checkpoint
from wan_animate_server.lora import LoraSet, derive, open_lora
from wan_animate_server.model.face import FaceConfig
from wan_animate_server.model.motion import MotionConfig
from wan_animate_server.model.transformer import Transformer, TransformerConfig
from wan_animate_server.names import Part

CPU = torch.device("cpu")
CONFIG = TransformerConfig(
    dim=24, heads=2, layers=4, ffn_dim=32, text_dim=16, image_dim=8, face_every=2,
    motion=MotionConfig(channels=(8, 8, 8), style_dim=8, motion_dim=4, out_dim=16),
    face=FaceConfig(in_dim=16, hidden_dim=16, heads=2),
)  # fmt: skip
RELIT = [f"blocks.{i}.{name}" for i in range(4) for name in (
    *(f"{attn}.{x}" for attn in ("self_attn", "cross_attn") for x in "qkvo"),
    "cross_attn.k_img", "cross_attn.v_img", "ffn.0", "ffn.2")]  # fmt: skip
"""What the relighting LoRA changes: twelve linears of every block."""

Low = dict[str, tuple[Tensor, Tensor]]
"""down and up by the linear they belong to."""


def float32(name: str) -> torch.dtype:
    return torch.float32


@pytest.fixture
def master(tmp_path: Path) -> Checkpoint:
    torch.manual_seed(1)
    module = Transformer(CONFIG)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    save_file(module.state_dict(), tmp_path / "transformer.safetensors")
    return open_checkpoint(tmp_path, Part.TRANSFORMER)


@pytest.fixture
def module(master: Checkpoint) -> nn.Module:
    with torch.device("meta"):
        module = Transformer(CONFIG)
    load_into(module, master, device=CPU, dtype=float32)
    return module


@pytest.fixture
def low(master: Checkpoint) -> Low:
    """Rank 3 for each linear of the relighting LoRA."""
    torch.manual_seed(2)
    sizes = {stem: master.shape(f"{stem}.weight") for stem in RELIT}
    return {stem: (torch.randn(3, size[1]), torch.randn(size[0], 3)) for stem, size in sizes.items()}


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def expected(module: nn.Module, *added: tuple[Low, float]) -> dict[str, Tensor]:
    """The weights that must result, computed in float64."""
    weights = {name: tensor.double() for name, tensor in snapshot(module).items()}
    for low, factor in added:
        for stem, (down, up) in low.items():
            weights[f"{stem}.weight"] = weights[f"{stem}.weight"] + factor * up.double() @ down.double()
    return {name: tensor.float() for name, tensor in weights.items()}


def assert_close(module: nn.Module, wanted: dict[str, Tensor]) -> None:
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, wanted[name], atol=5e-5, rtol=0, msg=name)


def spelled(low: Low, prefix: str, down: str, up: str, flat: bool = False) -> dict[str, Tensor]:
    stems = {stem: prefix + (stem.replace(".", "_") if flat else stem) for stem in low}
    halves = {f"{stems[stem]}.{down}.weight": pair[0] for stem, pair in low.items()}
    return halves | {f"{stems[stem]}.{up}.weight": pair[1] for stem, pair in low.items()}


def alphas(file: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
    return {f"{name.split('.lora_')[0]}.alpha": torch.tensor(alpha) for name in file}


# --- spellings ------------------------------------------------------------------------------------


def official_ckpt(folder: Path, low: Low) -> tuple[Path, float]:
    torch.save({"state_dict": spelled(low, "", "lora_A.default", "lora_B.default")}, folder / "relighting_lora.ckpt")
    return folder / "relighting_lora.ckpt", 1.0


def adapter(folder: Path, low: Low) -> tuple[Path, float]:
    save_file(spelled(low, "base_model.model.", "lora_A", "lora_B"), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 3, "lora_alpha": 6, "rank_pattern": {}}))
    return folder / "adapter_model.safetensors", 2.0


def rank_stabilised_adapter(folder: Path, low: Low) -> tuple[Path, float]:
    """peft's rsLoRA divides alpha by the root of the rank."""
    path, _ = adapter(folder, low)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 3, "lora_alpha": 6, "use_rslora": True}))
    return path, 6 / 3**0.5


def comfy_a_b(folder: Path, low: Low) -> tuple[Path, float]:
    save_file(spelled(low, "diffusion_model.", "lora_A", "lora_B"), folder / "l.safetensors")
    return folder / "l.safetensors", 1.0


def comfy_up_down_with_alpha(folder: Path, low: Low) -> tuple[Path, float]:
    file = spelled(low, "diffusion_model.", "lora_down", "lora_up")
    save_file(file | alphas(file, 1.5), folder / "l.safetensors")
    return folder / "l.safetensors", 0.5


def kohya(folder: Path, low: Low) -> tuple[Path, float]:
    file = spelled(low, "lora_unet_", "lora_down", "lora_up", flat=True)
    save_file(file | alphas(file, 6.0), folder / "l.safetensors")
    return folder / "l.safetensors", 2.0


def diffusers(folder: Path, low: Low) -> tuple[Path, float]:
    theirs = {
        "self_attn": "attn1", "cross_attn": "attn2", ".q.": ".to_q.", ".k.": ".to_k.", ".v.": ".to_v.",
        ".o.": ".to_out.0.", "k_img": "add_k_proj", "v_img": "add_v_proj", "ffn.0": "ffn.net.0.proj",
        "ffn.2": "ffn.net.2",
    }  # fmt: skip
    file = {}
    for name, tensor in spelled(low, "transformer.", "lora_A", "lora_B").items():
        for ours, their in theirs.items():
            name = name.replace(ours, their)
        file[name] = tensor
    declared = json.dumps({"transformer.r": 3, "transformer.lora_alpha": 6})
    save_file(file, folder / "l.safetensors", metadata={"lora_adapter_metadata": declared})
    return folder / "l.safetensors", 2.0


Write = Callable[[Path, Low], tuple[Path, float]]


@pytest.mark.parametrize(
    "write", [official_ckpt, adapter, rank_stabilised_adapter, comfy_a_b, comfy_up_down_with_alpha, kohya, diffusers]
)
def test_every_spelling_adds_the_same_product(
    write: Write, master: Checkpoint, module: nn.Module, low: Low, tmp_path: Path
) -> None:
    path, scale = write(tmp_path, low)
    lora = open_lora(path, master)
    wanted = expected(module, (low, 0.7 * scale))
    assert LoraSet(module, master, dtype=float32).apply([(lora, 0.7)]) == len(low) == 48
    assert_close(module, wanted)
    assert lora.report == f"the LoRA {path.stem} changes 48 tensors"


def test_differences_of_biases_norms_and_modulation_are_added(
    master: Checkpoint, module: nn.Module, tmp_path: Path
) -> None:
    """Steps-distilled LoRAs carry those; other loaders drop some of them."""
    changes = {
        "blocks.0.self_attn.q.diff_b": "blocks.0.self_attn.q.bias",
        "blocks.1.cross_attn.norm_k_img.diff": "blocks.1.cross_attn.norm_k_img.weight",
        "blocks.1.norm3.diff": "blocks.1.norm3.weight",
        "blocks.2.diff_m": "blocks.2.modulation",
        "head.diff_m": "head.modulation",
        "patch_embedding.diff": "patch_embedding.weight",
        "img_emb.proj.1.diff_b": "img_emb.proj.1.bias",
    }
    given = {key: torch.randn(master.shape(target)) for key, target in changes.items()}
    save_file({f"diffusion_model.{key}": tensor for key, tensor in given.items()}, tmp_path / "distilled.safetensors")
    wanted = snapshot(module)
    for key, target in changes.items():
        wanted[target] = wanted[target] + 0.5 * given[key]
    LoraSet(module, master, dtype=float32).apply([(open_lora(tmp_path / "distilled.safetensors", master), 0.5)])
    assert_close(module, wanted)


def test_a_lora_of_a_convolution_keeps_its_kernel(master: Checkpoint, module: nn.Module, tmp_path: Path) -> None:
    down, up = torch.randn(2, 36, 1, 2, 2), torch.randn(24, 2, 1, 1, 1)
    name = "diffusion_model.patch_embedding"
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, tmp_path / "l.safetensors")
    wanted = snapshot(module)
    wanted["patch_embedding.weight"] += torch.einsum("or,rcthw->octhw", up[:, :, 0, 0, 0], down)
    LoraSet(module, master, dtype=float32).apply([(open_lora(tmp_path / "l.safetensors", master), 1.0)])
    assert_close(module, wanted)


# --- sets and strengths ---------------------------------------------------------------------------


@pytest.fixture
def two(master: Checkpoint, low: Low, tmp_path: Path) -> tuple[tuple[Path, Low], tuple[Path, Low]]:
    """A LoRA for everything, and one for the first block only."""
    first = {stem: (down.flip(0), up * 0.3) for stem, (down, up) in low.items() if stem.startswith("blocks.0.")}
    save_file(spelled(low, "diffusion_model.", "lora_A", "lora_B"), tmp_path / "relight.safetensors")
    save_file(spelled(first, "diffusion_model.", "lora_A", "lora_B"), tmp_path / "style.safetensors")
    return (tmp_path / "relight.safetensors", low), (tmp_path / "style.safetensors", first)


def test_several_compose_and_only_what_changed_is_derived_again(
    master: Checkpoint, module: nn.Module, two: tuple[tuple[Path, Low], tuple[Path, Low]]
) -> None:
    (relight_path, relight_low), (style_path, style_low) = two
    relight, style = open_lora(relight_path, master), open_lora(style_path, master)
    plain, carried = snapshot(module), LoraSet(module, master, dtype=float32)
    wanted = expected(module, (relight_low, 1.0), (style_low, -0.4))
    assert carried.apply([(relight, 1.0)]) == 48
    assert carried.apply([(relight, 1.0), (style, -0.4)]) == 12
    assert_close(module, wanted)
    assert carried.apply([(relight, 1.0), (style, -0.4)]) == 0
    assert carried.apply([(relight, 1.0), (style, 0.0)]) == 12
    assert carried.apply([]) == 48
    assert carried.apply([]) == 0
    assert all(torch.equal(tensor, plain[name]) for name, tensor in module.state_dict().items())


def test_a_hundred_changes_of_strength_leave_no_rounding_behind(
    master: Checkpoint, low: Low, two: tuple[tuple[Path, Low], tuple[Path, Low]]
) -> None:
    """In bfloat16, where adding and subtracting would drift."""

    def bfloat16(name: str) -> torch.dtype:
        return torch.bfloat16

    with torch.device("meta"):
        module = Transformer(CONFIG)
    load_into(module, master, device=CPU, dtype=bfloat16)
    plain, lora = snapshot(module), open_lora(two[0][0], master)
    carried = LoraSet(module, master, dtype=bfloat16)
    for step in range(100):
        carried.apply([(lora, 0.1 + step * 0.017)])
    carried.apply([(lora, 0.25)])
    name = "blocks.0.ffn.0.weight"
    fresh = derive(master, name, [(delta, 0.25) for delta in lora.deltas[name]], torch.bfloat16, CPU)
    assert torch.equal(module.state_dict()[name], fresh)
    carried.apply([])
    assert all(torch.equal(tensor, plain[name]) for name, tensor in module.state_dict().items())


def test_a_change_too_small_for_bfloat16_is_merged_before_rounding(
    master: Checkpoint, low: Low, tmp_path: Path
) -> None:
    name = "blocks.0.ffn.0.weight"
    down, up = (half * 0.03 for half in low["blocks.0.ffn.0"])
    save_file(spelled({"blocks.0.ffn.0": (down, up)}, "", "lora_A", "lora_B"), tmp_path / "l.safetensors")
    (delta,) = open_lora(tmp_path / "l.safetensors", master).deltas[name]
    merged = derive(master, name, [(delta, 1.0)], torch.bfloat16, CPU)
    exact = master.get(name, torch.float64, CPU) + up.double() @ down.double()
    rounded_first = master.get(name, torch.bfloat16, CPU) + delta.full(CPU).bfloat16()
    assert (merged.double() - exact).abs().mean() < (rounded_first.double() - exact).abs().mean()
    assert torch.equal(merged, exact.to(torch.bfloat16))


def test_the_master_s_file_is_never_written_into(
    master: Checkpoint, module: nn.Module, two: tuple[tuple[Path, Low], tuple[Path, Low]], tmp_path: Path
) -> None:
    """The module's tensors are views of that file."""
    LoraSet(module, master, dtype=float32).apply([(open_lora(two[0][0], master), 1.0)])
    for name, tensor in load_file(tmp_path / "transformer.safetensors").items():
        assert torch.equal(master.get(name, torch.float32, CPU), tensor)


# --- what does not fit ----------------------------------------------------------------------------


def refused(path: Path, master: Checkpoint) -> str:
    with pytest.raises(BadInput) as error:
        open_lora(path, master)
    return str(error.value)


def test_a_text_to_video_lora_without_image_keys_changes_nothing_there(
    master: Checkpoint, module: nn.Module, low: Low, tmp_path: Path
) -> None:
    text_only = {stem: pair for stem, pair in low.items() if "_img" not in stem}
    save_file(spelled(text_only, "diffusion_model.", "lora_down", "lora_up"), tmp_path / "t2v.safetensors")
    wanted = expected(module, (text_only, 1.0))
    assert LoraSet(module, master, dtype=float32).apply([(open_lora(tmp_path / "t2v.safetensors", master), 1.0)]) == 40
    assert_close(module, wanted)


def test_a_lora_for_another_width_is_refused(master: Checkpoint, low: Low, tmp_path: Path) -> None:
    wider = {stem: (torch.randn(3, 30), torch.randn(30, 3)) for stem in low}
    save_file(spelled(wider, "diffusion_model.", "lora_A", "lora_B"), tmp_path / "t2v-5b.safetensors")
    assert "made for a transformer of another width" in refused(tmp_path / "t2v-5b.safetensors", master)


def test_a_lora_that_matches_nothing_is_an_error_and_a_partial_match_is_counted(
    master: Checkpoint, low: Low, tmp_path: Path
) -> None:
    strange = spelled(
        {f"single_{stem}": (down.clone(), up.clone()) for stem, (down, up) in low.items()}, "", "lora_A", "lora_B"
    )
    save_file(strange, tmp_path / "flux.safetensors")
    assert "none of the 48 deltas (single_blocks.0" in refused(tmp_path / "flux.safetensors", master)
    of_16_channels = {"patch_embedding": (torch.ones(3, 16, 1, 2, 2), torch.ones(24, 3, 1, 1, 1))}
    save_file(strange | spelled(low | of_16_channels, "", "lora_A", "lora_B"), tmp_path / "mixed.safetensors")
    lora = open_lora(tmp_path / "mixed.safetensors", master)
    assert (len(lora.deltas), len(lora.left_out)) == (48, 49)
    assert "49 deltas" in lora.report


def test_what_is_no_lora_or_another_method_is_refused(master: Checkpoint, low: Low, tmp_path: Path) -> None:
    assert "is the transformer of Wan-Animate, expected a LoRA" in refused(tmp_path / "transformer.safetensors", master)
    dora = spelled(low, "", "lora_A", "lora_B") | {"blocks.0.ffn.0.dora_scale": torch.ones(32)}
    save_file(dora, tmp_path / "dora.safetensors")
    assert "is no plain LoRA (blocks.0.ffn.0.dora_scale)" in refused(tmp_path / "dora.safetensors", master)


def test_a_lora_with_nan_is_refused_when_it_is_applied_and_the_next_set_repairs(
    master: Checkpoint, module: nn.Module, low: Low, tmp_path: Path
) -> None:
    low["blocks.3.ffn.2"][1][0, 0] = float("nan")
    save_file(spelled(low, "", "lora_A", "lora_B"), tmp_path / "bad.safetensors")
    plain, carried = snapshot(module), LoraSet(module, master, dtype=float32)
    with pytest.raises(BadInput, match=r"blocks\.3\.ffn\.2\.weight is NaN or infinite"):
        carried.apply([(open_lora(tmp_path / "bad.safetensors", master), 1.0)])
    carried.apply([])
    assert all(torch.equal(tensor, plain[name]) for name, tensor in module.state_dict().items())
