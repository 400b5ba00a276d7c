"""Folders of files → models ready to run. Knows file layouts; the networks do not."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from wan_animate_blender.wire import BadInput, Precision, Unavailable, sha256_file

from .checkpoint import DtypeOf, checkpoint_of, find_tokenizer, load_into, open_checkpoint
from .lora import LoraSet
from .memo import Memo
from .model.t5 import T5Encoder
from .names import Part
from .pipeline import Model
from .placement import Residence, lend, place, visit, waiting
from .sizes import DTYPES, Sizes, part_dtype, read_sizes

PUPPET = Path(__file__).parent / "puppet"
"""Where the small model lies that comes with this program."""

TOKENIZER = "tokenizer.json"

RANDOM_WEIGHTS = "weights are random: arithmetic is real, pictures are not"


def read_model(name: str, folder: Path, device: torch.device, precision: Precision) -> Model:
    """The small model in `folder`, all of it on `device`: `<name>.json` with its sizes, tokenizer.json, and a
    safetensors file for each network; random where it has none of these. Raises `BadInput`."""
    sizes = read_sizes(folder / f"{name}.json")
    # Not its LoRAs, which lie beside the networks and may be left out.
    weights = sorted(path for part in Part for path in folder.rglob(f"{part}*.safetensors"))
    transformer, vae, text, clip = networks = sizes.build("meta" if weights else "cpu")
    if weights:
        for part, network in zip(Part, networks, strict=True):
            dtype = same(part_dtype(part, precision))
            load_into(network, open_checkpoint(folder, part), device=device, dtype=dtype)
        master = open_checkpoint(folder, Part.TRANSFORMER)
    else:
        randomise(networks)
        master = checkpoint_of(transformer, Part.TRANSFORMER)
        for part, network in zip(Part, networks, strict=True):
            network.to(device, part_dtype(part, precision))
    return Model(
        name=name,
        area=sizes.area,
        transformer=transformer,
        vae=vae,
        text=text,
        clip=clip,
        tokenizer=read_tokenizer(folder / TOKENIZER, transformer.config.text_len),
        device=device,
        dtype=DTYPES[precision],
        files={
            path.relative_to(folder).as_posix(): sha256_file(path)
            for path in (folder / f"{name}.json", folder / TOKENIZER, *weights)
        },
        notes=() if weights else (RANDOM_WEIGHTS,),
        loras=LoraSet(transformer, master, dtype=same(DTYPES[precision])),
    )


def read_released(
    name: str,
    folder: Path,
    files: Mapping[str, str],
    *,
    sizes: Sizes,
    device: torch.device,
    precision: Precision,
    residence: Residence = Residence.RESIDENT,
    memo: Memo,
) -> Model:
    """A model in the released layout, or any other that `open_checkpoint` knows; `files` are its hashes by path.

    Weights are mapped, and go to the device as `residence` says; the encoders' only while they compute. Raises
    `BadInput` when a file does not fit.
    """
    transformer, vae, _, clip = sizes.build()
    text, tokenizer = read_text(folder, sizes, device, precision)
    masters = {part: open_checkpoint(folder, part) for part in Part if part is not Part.TEXT}
    dtypes = {part: same(part_dtype(part, precision)) for part in masters}
    load_into(
        transformer, masters[Part.TRANSFORMER], device=device, dtype=dtypes[Part.TRANSFORMER],
        host=waiting(transformer, residence),
    )  # fmt: skip
    place(transformer, residence, device)
    load_into(vae, masters[Part.VAE], device=device, dtype=dtypes[Part.VAE])
    lend(clip, partial(load_into, checkpoint=masters[Part.CLIP], device=device, dtype=dtypes[Part.CLIP]))
    return Model(
        name=name,
        area=sizes.area,
        transformer=transformer,
        vae=vae,
        text=text,
        clip=clip,
        tokenizer=tokenizer,
        device=device,
        dtype=DTYPES[precision],
        files=dict(files),
        loras=LoraSet(transformer, masters[Part.TRANSFORMER], dtype=dtypes[Part.TRANSFORMER]),
        memo=memo,
    )


def read_text(
    folder: Path, sizes: Sizes, device: torch.device, precision: Precision
) -> tuple[T5Encoder, Callable[[str], list[int]]]:
    """The text encoder and its tokenizer. Its weights, a fourth of the model's, are mapped only while it computes,
    and come to `device` one layer after the other."""
    with torch.device("meta"):
        text = T5Encoder(sizes.text).eval().requires_grad_(requires_grad=False)
    checkpoint = open_checkpoint(folder, Part.TEXT)
    dtype = same(part_dtype(Part.TEXT, precision))
    lend(text, partial(load_into, checkpoint=checkpoint, device=torch.device("cpu"), dtype=dtype))
    for layer in (text.token_embedding, *text.blocks, text.norm):
        visit(layer, device)
    return text, read_tokenizer(find_tokenizer(folder), sizes.transformer.text_len)


def same(dtype: torch.dtype) -> DtypeOf:
    """One type for all tensors."""
    return lambda _name: dtype


def find_device(name: str) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps"). Raises `BadInput` or `Unavailable`."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"{name!r} is not the name of a device; give cpu, cuda, cuda:1 or mps") from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend has its own way to be absent
        raise Unavailable(f"the device {name} is not there ({str(error).splitlines()[0]}); choose another") from error
    return device


def read_tokenizer(path: Path, length: int) -> Callable[[str], list[int]]:
    """Ids of a prompt, at most `length`, the end mark included. Prompts are cleaned as umT5 was trained to see them."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(length)

    def ids(prompt: str) -> list[int]:
        unescaped = html.unescape(html.unescape(prompt))
        found: list[int] = tokenizer.encode(re.sub(r"\s+", " ", unescaped).strip()).ids
        return found

    return ids


def randomise(networks: Iterable[nn.Module]) -> None:
    """The same random weights for everybody: every parameter, also those that are zeros before training, so that
    every path through the networks counts; outputs have a sane size."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for network in networks:
            for name, parameter in network.named_parameters():
                parameter.copy_(drawn(name, parameter, generator))


def drawn(name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    """Random values for a parameter of an official name, on the generator's device."""
    noise = torch.randn(parameter.shape, generator=generator, device=generator.device)
    if name.endswith("bias"):
        return 0.02 * noise
    if name.endswith("gamma") or parameter.ndim == 1:  # gains of norms
        return 1 + 0.02 * noise
    if name.startswith("motion_encoder."):  # these layers scale their weights when they run
        return noise
    # A table for all positions alike (modulation, learned tokens) has its width last; everything else its inputs.
    inputs = parameter.shape[-1] if parameter.shape[0] == 1 else parameter.numel() / parameter.shape[0]
    scaled: Tensor = noise / inputs**0.5
    return scaled
