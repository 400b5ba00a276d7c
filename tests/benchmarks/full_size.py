"""The whole model at its released size on one GPU: random weights in the released layout, every component, both modes.

    PYTHONPATH=.:server python tests/benchmarks/full_size.py [--folder DIR] [--seconds 540]

Needs some 50 GB of disk. Writes the weights, loads them as a user's would be, renders, and compares one transformer
step with diffusers' on the same weights. Prints a Markdown table, also into $OUT. Weights are random: this measures
arithmetic and speed, and says nothing of quality. `--tiny` does the same with small networks on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import WanAnimateTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.nn.functional import pad

from wan_animate_blender.wire import Mode, Precision, Settings
from wan_animate_server import names
from wan_animate_server.assembly import generate
from wan_animate_server.conditions import Mask, Picture
from wan_animate_server.cost import measure
from wan_animate_server.forecast import forecast
from wan_animate_server.memo import Memo
from wan_animate_server.model import attention
from wan_animate_server.model.clip import CLIPConfig
from wan_animate_server.model.face import FaceConfig
from wan_animate_server.model.motion import MotionConfig, blur_kernel
from wan_animate_server.model.t5 import T5Config
from wan_animate_server.model.transformer import Transformer, TransformerConfig
from wan_animate_server.model.vae import VAEConfig
from wan_animate_server.names import Part
from wan_animate_server.pipeline import Conditioned, Decoded, Model, Stepped, Store, StoredSegment
from wan_animate_server.placement import Residence
from wan_animate_server.sizes import Sizes
from wan_animate_server.weights import PUPPET, drawn, read_released

SHARDS = 4
"""Files of the released transformer."""


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    sizes: Sizes
    device: torch.device
    width: int
    height: int
    segment: int
    steps: int
    """Of the single segment; the others take 4, as distilled models do."""
    rank: int
    rounds: int
    """Repetitions of what is compared."""


def full() -> Scale:
    return Scale(Sizes(), torch.device("cuda"), 832, 480, 77, steps=20, rank=128, rounds=3)


def tiny() -> Scale:
    sizes = Sizes(
        transformer=TransformerConfig(
            dim=48, heads=2, layers=4, ffn_dim=64, text_dim=16, image_dim=16, face_every=2,
            motion=MotionConfig(channels=(8, 8, 8, 8), style_dim=8, motion_dim=4, out_dim=16),
            face=FaceConfig(in_dim=16, hidden_dim=16, heads=2),
        ),
        vae=VAEConfig(dim=4, blocks=1),
        text=T5Config(vocabulary=258, dim=16, attention_dim=16, ffn_dim=32, heads=2, layers=2),
        clip=CLIPConfig(size=28, dim=16, heads=2, layers=3, out_dim=4),
    )  # fmt: skip
    return Scale(sizes, torch.device("cpu"), 48, 32, 13, steps=3, rank=4, rounds=2)


# --- the report -----------------------------------------------------------------------------------


@dataclass
class Report:
    """Rows of a table that is written anew after each, so that a run that is cut short leaves what it had."""

    path: Path | None
    seconds: float
    started: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, value: str) -> None:
        self.rows.append((what, value))
        say(f"[{self.elapsed:5.0f} s] {what}: {value}")
        if self.path:
            self.path.write_text(self.table(), encoding="utf-8")

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def has_time(self, seconds: float, what: str) -> bool:
        """Whether `what`, which takes some `seconds`, still fits; says so when it does not."""
        fits = self.elapsed + seconds <= self.seconds
        if not fits:
            self.add(what, f"left out: {self.seconds - self.elapsed:.0f} s left")
        return fits

    def table(self) -> str:
        lines = ["| random weights: arithmetic and speed, not quality | |", "|---|---|"]
        return "\n".join([*lines, *(f"| {what} | {value} |" for what, value in self.rows)]) + "\n"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Meter:
    """Seconds and peak memory of what runs inside, the device's queue included."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def reset(self) -> None:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float:
        """GB since the last reset."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.cuda else 0.0

    def call(self, work: Callable[[], object]) -> float:
        """Milliseconds of one call, by the device's own clock where it has one."""
        if not self.cuda:
            start = time.perf_counter()
            work()
            return (time.perf_counter() - start) * 1e3
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))


# --- files ----------------------------------------------------------------------------------------


def random_tensors(network: nn.Module, dtype: torch.dtype, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Names and values for the tensors of `network`, which is on the meta device; on the CPU."""
    generator = torch.Generator(device).manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith(".kernel"):
            yield name, blur_kernel().to(dtype)
        else:
            yield name, drawn(name, tensor, generator).to(dtype).cpu()


def write_shards(tensors: Iterator[tuple[str, Tensor]], size: int, folder: Path) -> None:
    """The released layout: four shards and their index. One is written while the next one is drawn."""
    placed: dict[str, str] = {}
    shard: dict[str, Tensor] = {}
    with ThreadPoolExecutor(1) as pool:
        writing: list[Future[None]] = []

        def flush() -> None:
            file = f"diffusion_pytorch_model-{len(writing) + 1:05d}-of-{SHARDS:05d}.safetensors"
            placed.update(dict.fromkeys(shard, file))
            writing.append(pool.submit(save_file, dict(shard), folder / file))
            shard.clear()
            for done in writing[:-1]:
                done.result()

        for name, tensor in tensors:
            shard[name] = tensor
            if len(writing) < SHARDS - 1 and sum(t.nbytes for t in shard.values()) >= size / SHARDS:
                flush()
        flush()
        writing[-1].result()
    index = {"metadata": {}, "weight_map": placed}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def write_lora(transformer: Transformer, path: Path, scale: Scale) -> None:
    """The relighting LoRA's layers and spelling: twelve linears of every block."""
    generator = torch.Generator(scale.device).manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=scale.device)

    tensors = {}
    for name, layer in transformer.blocks.named_modules():
        if isinstance(layer, nn.Linear):
            stem = f"base_model.model.blocks.{name}"
            down = normal(scale.rank, layer.in_features) / layer.in_features**0.5
            tensors[f"{stem}.lora_A.weight"] = down.bfloat16().cpu()
            tensors[f"{stem}.lora_B.weight"] = (0.02 * normal(layer.out_features, scale.rank)).bfloat16().cpu()
    path.parent.mkdir()
    save_file(tensors, path)


def write_model(folder: Path, scale: Scale) -> None:
    transformer, vae, text, clip = scale.sizes.build()
    draw = partial(random_tensors, device=scale.device)
    size = sum(tensor.numel() for tensor in transformer.state_dict().values()) * 2
    write_shards(draw(transformer, torch.bfloat16), size, folder)
    torch.save(dict(draw(text, torch.bfloat16)), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    clip_file = folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    torch.save(dict(draw(clip, torch.float16)), clip_file)
    torch.save(dict(draw(vae, torch.float32)), folder / "Wan2.1_VAE.pth")
    write_lora(transformer, folder / "relighting_lora" / "adapter_model.safetensors", scale)
    shutil.copy(PUPPET / "tokenizer.json", folder)


# --- renders --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Signals of random pictures; the mask is a box in the middle."""

    mode: Mode
    frames: int
    width: int
    height: int

    def digest(self, frames: Sequence[int]) -> str:
        return f"{self.mode} {frames}"

    def reference(self) -> Picture:
        return self._picture(0, self.width, self.height)

    def pose(self, i: int) -> Picture:
        return self._picture(1000 + i, self.width, self.height)

    def plate(self, i: int) -> Picture:
        return self._picture(2000 + i, self.width, self.height)

    def face(self, i: int) -> Picture:
        return self._picture(3000 + i, 512, 512)

    def mask(self, i: int) -> Mask:
        mask = np.zeros((self.height, self.width), np.float32)
        mask[self.height // 4 : -self.height // 4, self.width // 4 : -self.width // 4] = 1
        return mask

    @staticmethod
    def _picture(seed: int, width: int, height: int) -> Picture:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def settings_of(scale: Scale, steps: int) -> Settings:
    return Settings(steps=steps, segment=scale.segment, precision=Precision.BF16, seed=1)


def foretell(scale: Scale, device: str, report: Report) -> None:
    """What the plan says of the first render, to be held against what is measured."""
    needs = forecast(scale.sizes, settings_of(scale, scale.steps), scale.segment, scale.width, scale.height)
    always = needs.weights[Residence.RESIDENT]
    peaks = (f"{stage.name} {(always + stage.peak(Residence.RESIDENT)) / 1e9:.1f} GB" for stage in needs.stages)
    report.add("forecast of the peaks", ", ".join(peaks))
    seconds = needs.seconds(device, Precision.BF16)
    report.add("forecast of the time", "none for this device" if seconds is None else f"{seconds:.1f} s")


class Nothing(Store):
    """A store that keeps nothing."""

    def has(self, key: str) -> bool:
        return False

    def get(self, key: str) -> StoredSegment | None:
        return None

    def put(self, key: str, segment: StoredSegment) -> None:
        return None


@contextmanager
def watched(model: Model, meter: Meter) -> Iterator[dict[str, list[float]]]:
    """Seconds, calls and peak GB of each network, by name, of what runs inside."""
    transformer = model.transformer
    networks = {
        "umT5": model.text, "CLIP": model.clip, "motion encoder": transformer.motion_encoder,
        "VAE encode": model.vae.encoder, "VAE decode": model.vae.decoder,
    }  # fmt: skip
    found: dict[str, list[float]] = {}
    started: dict[str, float] = {}

    def before(name: str, *_: object) -> None:
        started[name] = meter.now()
        meter.reset()

    def after(name: str, *_: object) -> None:
        seconds, calls, peak = found.get(name, [0.0, 0.0, 0.0])
        found[name] = [seconds + meter.now() - started[name], calls + 1, max(peak, meter.peak())]

    # Before all other hooks, so that the coming and going of weights is counted.
    hooks = [n.register_forward_pre_hook(partial(before, name), prepend=True) for name, n in networks.items()]
    hooks += [n.register_forward_hook(partial(after, name)) for name, n in networks.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def render(model: Model, scale: Scale, mode: Mode, segments: int, steps: int, report: Report, what: str) -> np.ndarray:
    """Render a shot, report its stages, and return its first segment's frames; they are all finite."""
    settings = settings_of(scale, steps)
    frames = scale.segment + (segments - 1) * (scale.segment - settings.overlap)
    signals, meter = Noise(mode, frames, scale.width, scale.height), Meter(scale.device)
    parts: list[Decoded] = []
    waits: list[float] = []
    peak = 0.0
    start = last = meter.now()
    with watched(model, meter) as found:
        for event in generate(model, signals, settings, Nothing(), lambda: None):
            now = meter.now()
            match event:
                case Conditioned():
                    meter.reset()
                case Stepped():
                    waits.append(now - last)
                    peak = max(peak, meter.peak())
                case Decoded():
                    parts.append(event)
            last = now
    total = meter.now() - start
    assert len(parts) == segments and sum(len(part.frames) for part in parts) == frames
    assert all(np.isfinite(part.frames).all() and np.ptp(part.frames) > 0 for part in parts)
    report.add(what, f"{total:.1f} s; finite; a step {statistics.median(waits):.3f} s, peak {peak:.1f} GB")
    stages = (f"{name} {s:.2f} s ({calls:.0f} calls, peak {gb:.1f} GB)" for name, (s, calls, gb) in found.items())
    report.add("— its networks", ", ".join(stages))
    return parts[0].frames


# --- beside diffusers -----------------------------------------------------------------------------


def peer_of(model: Transformer) -> Any:
    """diffusers' transformer with the very tensors of `model`, without a copy where the types are the same."""
    config = model.config
    sides = (str(config.motion.size >> i) for i in range(len(config.motion.channels)))
    with torch.device("meta"):
        peer = WanAnimateTransformer3DModel(
            num_attention_heads=config.heads, attention_head_dim=config.dim // config.heads,
            in_channels=config.latent_channels + config.known_channels, latent_channels=config.latent_channels,
            out_channels=config.latent_channels, text_dim=config.text_dim, freq_dim=config.freq_dim,
            ffn_dim=config.ffn_dim, num_layers=config.layers, image_dim=config.image_dim, added_kv_proj_dim=config.dim,
            motion_encoder_channel_sizes=dict(zip(sides, config.motion.channels, strict=True)),
            motion_encoder_size=config.motion.size, motion_style_dim=config.motion.style_dim,
            motion_dim=config.motion.motion_dim, motion_encoder_dim=config.motion.out_dim,
            face_encoder_hidden_dim=config.face.hidden_dim, face_encoder_num_heads=config.face.heads,
            inject_face_latents_blocks=config.face_every,
        ).eval()  # fmt: skip
    ours, wanted = model.state_dict(), peer.state_dict()
    tensors = {}
    for name, place in names.places(Part.TRANSFORMER, wanted).items():
        tensor = ours[place.name].chunk(place.parts)[place.part].reshape(wanted[name].shape)
        keep = any(word in name for word in peer._keep_in_fp32_modules)  # as from_pretrained does
        tensors[name] = tensor.float() if keep else tensor
    peer.load_state_dict(tensors, assign=True)
    _give_buffers(peer, next(model.parameters()))
    return peer.requires_grad_(requires_grad=False)


def _give_buffers(peer: Any, like: Tensor) -> None:
    """What diffusers computes at construction and does not save."""
    rope = type(peer.rope)(peer.config.attention_head_dim, peer.config.patch_size, peer.config.rope_max_seq_len)
    peer.rope = rope.to(like.device)
    for module in peer.motion_encoder.modules():
        if "blur_kernel" in module._buffers:
            kernel = blur_kernel().to(like).expand(module.blur_kernel.shape).clone()
            module.register_buffer("blur_kernel", kernel, persistent=False)


Inputs = dict[str, Tensor]


def inputs(scale: Scale, device: torch.device) -> Inputs:
    """Of one step: the noise, and what `Transformer.constants` takes."""
    config = scale.sizes.transformer
    side, t, h, w = config.motion.size, (scale.segment - 1) // 4 + 1, scale.height // 8, scale.width // 8
    shapes = {
        "noise": (1, 16, t + 1, h, w), "known": (1, 20, t + 1, h, w), "pose": (1, 16, t, h, w),
        "face": (1, scale.segment, 3, side, side), "text": (1, 10, config.text_dim),
        "image": (1, 257, config.image_dim),
    }  # fmt: skip
    if device.type == "meta":
        return {name: torch.empty(shape, device=device) for name, shape in shapes.items()}
    generator = torch.Generator(device).manual_seed(2)
    return {name: torch.randn(shape, generator=generator, device=device) for name, shape in shapes.items()}


def step_of(transformer: Transformer, given: Inputs) -> Callable[[], Tensor]:
    """One step of ours on `given`."""
    told = {name: tensor for name, tensor in given.items() if name != "noise"}
    timestep = torch.tensor([937.0], device=given["noise"].device)
    return partial(transformer, given["noise"], timestep, transformer.constants(**told))


@dataclass(frozen=True)
class StepOfPeer:
    """One step of diffusers' transformer."""

    peer: Any
    told: dict[str, Tensor]
    timestep: Tensor

    def __call__(self) -> Tensor:
        return self.peer(timestep=self.timestep, **self.told).sample.float()


def step_of_peer(transformer: Transformer, given: Inputs, dtype: torch.dtype) -> StepOfPeer:
    """One step of diffusers' transformer with the weights of ours."""
    missing = transformer.config.text_len - given["text"].shape[1]
    told = {
        "hidden_states": torch.cat((given["noise"], given["known"]), 1),
        "encoder_hidden_states": pad(given["text"], (0, 0, 0, missing)),
        "encoder_hidden_states_image": given["image"], "pose_hidden_states": given["pose"],
        "face_pixel_values": given["face"].transpose(1, 2),
    }  # fmt: skip
    low = {name: tensor.to(dtype) for name, tensor in told.items()}
    return StepOfPeer(peer_of(transformer), low, torch.tensor([937.0], device=given["noise"].device))


@torch.inference_mode()
def compare(model: Model, scale: Scale, report: Report) -> None:
    """One step of ours and of diffusers', in turns, on the same weights and inputs."""
    meter, given = Meter(scale.device), inputs(scale, scale.device)
    start = meter.now()
    ours = step_of(model.transformer, given)
    report.add("constants of a segment (keys, motion, face, pose)", f"{meter.now() - start:.3f} s")
    theirs = step_of_peer(model.transformer, given, model.dtype)
    one, other = ours(), theirs()
    difference = ((one - other).norm() / other.norm()).item()
    report.add("our velocity − diffusers', relative, both bf16", f"{difference:.2e}")
    assert torch.isfinite(one).all()
    assert difference < 0.1, "these are not the same weights"

    tflop = step_flop(scale) / 1e12
    times = in_turns([ours, theirs], scale.rounds, meter)
    for who, ms in zip(("ours", "diffusers " + diffusers.__version__), times, strict=True):
        report.add(f"transformer forward, {who}", f"{ms:.0f} ms" + speed(tflop, ms, meter))
    report.add("time of ours / time of diffusers'", f"{times[0] / times[1]:.3f}")
    if meter.cuda and report.has_time(10 * times[0] / 1e3, "attention kernels"):
        compare_kernels(ours, scale.rounds, tflop, meter, report)
    if meter.cuda and report.has_time(120, "compiled"):
        compare_compiled(model.transformer, ours, theirs, scale.rounds, tflop, meter, report)


def compare_compiled(
    transformer: Transformer, ours: Callable[[], Tensor], theirs: StepOfPeer, rounds: int, tflop: float, meter: Meter,
    report: Report,
) -> None:  # fmt: skip
    """Both with their blocks compiled, which is diffusers' fastest way."""
    blocks = [*transformer.blocks, *transformer.face_adapter.fuser_blocks]
    start = meter.now()
    theirs.peer.compile_repeated_blocks(fullgraph=True)
    for block in blocks:
        block.forward = torch.compile(block.forward)
    try:
        ours(), theirs()
        report.add("both compiled", f"{meter.now() - start:.0f} s")
        times = in_turns([ours, theirs], rounds, meter)
    finally:
        for block in blocks:
            del block.forward
        torch.compiler.reset()  # what was compiled holds on to diffusers' weights
    for who, ms in zip(("ours", "diffusers"), times, strict=True):
        report.add(f"transformer forward, {who}, compiled", f"{ms:.0f} ms" + speed(tflop, ms, meter))


def compare_kernels(ours: Callable[[], Tensor], rounds: int, tflop: float, meter: Meter, report: Report) -> None:
    """The same step with cuDNN's attention and with FlashAttention."""
    preferred = attention.KERNELS

    def with_kernel(kernel: SDPBackend) -> None:
        attention.KERNELS = [kernel]
        ours()

    kernels = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION)
    try:
        times = in_turns([partial(with_kernel, kernel) for kernel in kernels], rounds, meter)
    except RuntimeError as error:  # torch's way to say that a kernel is not there
        report.add("attention kernels", str(error).splitlines()[0])
        return
    finally:
        attention.KERNELS = preferred
    for kernel, ms in zip(kernels, times, strict=True):
        report.add(f"transformer forward, {kernel.name}", f"{ms:.0f} ms" + speed(tflop, ms, meter))


def in_turns(works: Sequence[Callable[[], object]], rounds: int, meter: Meter) -> list[float]:
    """Median milliseconds of each, A B A B …, after one round to warm up."""
    found = [[meter.call(work) for work in works] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def step_flop(scale: Scale) -> int:
    """Floating-point operations of one step, counted on the network itself."""
    transformer = scale.sizes.build().transformer
    given = inputs(scale, torch.device("meta"))
    noise = given.pop("noise")
    with torch.no_grad():
        constants = transformer.constants(**given)
    width = transformer.config.dim
    embedded = torch.empty(1, width, device="meta"), torch.empty(1, 6, width, device="meta")
    return measure(lambda: transformer.denoise(noise, embedded, constants)).total


def speed(tflop: float, ms: float, meter: Meter) -> str:
    return f", {tflop / ms * 1e3:.0f} of counted TFLOP/s" if meter.cuda else ""


@torch.inference_mode()
def stream(model: Model, scale: Scale, folder: Path, report: Report) -> None:
    """The same step with weights that come from the host: the same bits, less memory."""
    meter, given = Meter(scale.device), inputs(scale, scale.device)
    resident = step_of(model.transformer, given)
    expected = resident()
    streamed_model = load(scale, folder, Residence.STREAMED)
    streamed = step_of(streamed_model.transformer, given)
    start = meter.now()
    found = streamed()  # pins the weights
    report.add("streamed weights pinned", f"{meter.now() - start:.1f} s")
    assert torch.equal(found, expected), "streaming changes numbers"
    on_device = sum(p.nbytes for p in model.transformer.parameters()) / 1e9
    meter.reset()
    times = in_turns([resident, streamed], scale.rounds, meter)
    report.add("transformer forward, resident / streamed", f"{times[0]:.0f} / {times[1]:.0f} ms, the same bits")
    report.add("peak while streaming, the resident copy not counted", f"{meter.peak() - on_device:.1f} GB")


def load(scale: Scale, folder: Path, residence: Residence) -> Model:
    return read_released(
        "wan-animate-14b", folder, {}, sizes=scale.sizes, device=scale.device, precision=Precision.BF16,
        residence=residence, memo=Memo(),
    )  # fmt: skip


# --- the whole run --------------------------------------------------------------------------------


def run(scale: Scale, folder: Path, report: Report) -> None:
    meter = Meter(scale.device)
    name = torch.cuda.get_device_name() if meter.cuda else "CPU"
    cudnn = torch.backends.cudnn.version()
    report.add("device", f"{name}, torch {torch.__version__}, cuDNN {cudnn}, {time.strftime('%Y-%m-%d')}")
    report.add("size", f"{scale.width}×{scale.height}×{scale.segment}, bf16, VAE fp32")
    report.add("free on the disk of the weights", f"{shutil.disk_usage(folder).free / 1e9:.0f} GB")
    foretell(scale, name, report)
    start = meter.now()
    write_model(folder, scale)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e9
    report.add("random weights written", f"{size:.1f} GB in {meter.now() - start:.0f} s")
    start = meter.now()
    meter.reset()
    model = load(scale, folder, Residence.RESIDENT)
    report.add("transformer and VAE loaded", f"{meter.now() - start:.1f} s, peak {meter.peak():.1f} GB")
    render(model, scale, Mode.ANIMATE, 1, scale.steps, report, f"animate, 1 segment, {scale.steps} steps")
    if report.has_time(45, "beside diffusers"):
        compare(model, scale, report)
    relit = relight(model, scale, folder, report)
    if relit is not None and report.has_time(30, "relight off again"):
        loras(model, [], meter, report)
        plain = render(model, scale, Mode.REPLACE, 1, 4, report, "replace, relight off, 1 segment, 4 steps")
        change = np.abs(relit.astype(np.float32) - plain.astype(np.float32)).mean()
        assert change > 0, "the LoRA changes nothing"
        report.add("mean change of a frame by the LoRA", f"{change:.3f} of 1")
    if report.has_time(90, "streamed from the host"):
        stream(model, scale, folder, report)


def relight(model: Model, scale: Scale, folder: Path, report: Report) -> np.ndarray | None:
    """Two segments with the relighting LoRA, in replace mode; the first one's frames."""
    if not report.has_time(60, "replace, relight on"):
        return None
    assert model.loras is not None
    lora = model.loras.open(folder / "relighting_lora" / "adapter_model.safetensors")
    loras(model, [(lora, 1.0)], Meter(scale.device), report)
    return render(model, scale, Mode.REPLACE, 2, 4, report, "replace, relight on, 2 segments, 4 steps")


def loras(model: Model, wanted: Sequence[tuple[Any, float]], meter: Meter, report: Report) -> None:
    assert model.loras is not None
    start = meter.now()
    touched = model.loras.apply(wanted)
    report.add(f"relighting LoRA {'on' if wanted else 'off'}", f"{touched} tensors in {meter.now() - start:.1f} s")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small networks on the CPU")
    parser.add_argument("--folder", type=Path, help="where the weights are written, and removed from at the end")
    parser.add_argument("--seconds", type=float, default=540, help="what does not fit into these is left out")
    given = parser.parse_args(arguments)
    out = os.environ.get("OUT")
    report = Report(Path(out) / "full_size.md" if out else None, given.seconds)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run(tiny() if given.tiny else full(), Path(folder), report)
    report.add("all of it", f"{report.elapsed:.0f} s")
    say("\n" + report.table())


if __name__ == "__main__":
    main(sys.argv[1:])
