"""Weights in whatever layout they lie on disk → the official checkpoint's names → tensors in a module.

Layouts: the released folder, diffusers' folder, single files of ComfyUI and kijai with or without 8-bit scales, .pth.
Tensors are read from mapped files one by one, straight to their type and device. Knows no sampling and no LoRA.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wan_animate_blender.wire import BadInput

from . import names as official
from .model.motion import blur_kernel
from .names import Part, Place
from .tensorfile import Stored, open_tensors, stored

DtypeOf = Callable[[str], torch.dtype]
"""The type that a tensor of an official name gets in memory."""

SCALES = (".scale_weight", ".weight_scale")
"""Beside an 8-bit `X.weight`: what its numbers are to be multiplied with (kijai's word, ComfyUI's newer one)."""

PLACES: dict[Part, tuple[str, ...]] = {
    Part.TRANSFORMER: ("transformer", "transformer.safetensors", "diffusion_pytorch_model.safetensors.index.json"),
    Part.VAE: ("vae", "vae.safetensors", "Wan2.1_VAE.pth"),
    Part.TEXT: ("text", "text_encoder", "text.safetensors", "models_t5_umt5-xxl-enc-bf16.pth"),
    Part.CLIP: (
        "clip",
        "image_encoder",
        "clip.safetensors",
        "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    ),
}
"""Where a part lies in a model's folder: ours, diffusers' and the released one."""


@dataclass(frozen=True)
class Piece:
    """One stored tensor of which an official one is made."""

    stored: Stored
    ones: tuple[int, int] = (0, 0)
    scale: Stored | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        before, after = self.ones
        return (1,) * before + self.stored.shape + (1,) * after

    def read(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Raises `BadInput` when the numbers are packed in a way that is not known here."""
        tensor = self.stored.read()
        if not tensor.is_floating_point():
            raise BadInput(
                f"a weight is stored as {tensor.dtype}, expected 32, 16 or 8 bit floats; take another file of the model"
            )
        if self.scale is not None:
            return self._scaled(tensor.to(device), self.scale.read().to(device)).to(dtype).view(self.shape)
        return tensor.to(device=device, dtype=dtype).reshape(self.shape)

    @staticmethod
    def _scaled(tensor: Tensor, scale: Tensor) -> Tensor:
        """8-bit numbers times their scale, one for the tensor or one for each row, in float32."""
        if scale.numel() not in (1, tensor.shape[0]):
            raise BadInput(
                f"a weight of shape {tuple(tensor.shape)} has scales of shape {tuple(scale.shape)}, expected one scale "
                "or one for each row; take a file that is scaled so, or one of 16 bits"
            )
        rows = scale.float().reshape(-1, *(1,) * (tensor.dim() - 1))
        return tensor.float().mul_(rows)


class Checkpoint:
    """The tensors of one part by their official names, read when they are asked for."""

    def __init__(self, part: Part, tensors: Mapping[str, Stored], source: str) -> None:
        self.part = part
        self.source = source
        """What to call it in a sentence: its path."""
        self._pieces = _pieces(part, tensors)

    @property
    def names(self) -> Collection[str]:
        return self._pieces.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        first, *others = (piece.shape for piece in self._pieces[name])
        return (first[0] + sum(other[0] for other in others), *first[1:]) if others else first

    def get(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        """One tensor. It may be a view of the mapped file: never write into it. Raises `BadInput` as `Piece.read`."""
        try:
            tensors = [piece.read(dtype, device) for piece in self._pieces[name]]
        except BadInput as error:
            raise BadInput(f"{self.source}, {name}: {error}") from error
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def open_checkpoint(path: Path, part: Part) -> Checkpoint:
    """Open `part` of a model: `path` is a file, the part's folder, or the folder of the whole model.

    Raises `BadInput` when there is none, or it is another network (a text-to-video transformer, another VAE …).
    """
    file = open_tensors(find(path, part))
    if (given := official.family(file.tensors)).part is not part:
        raise BadInput(f"{file.path} is {given.words}, expected {_words(part)}; give the file of Wan2.2-Animate-14B")
    return Checkpoint(part, file.tensors, str(file.path))


def checkpoint_of(module: nn.Module, part: Part) -> Checkpoint:
    """The tensors that `module` holds now, as a checkpoint: for a model without files."""
    tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    return Checkpoint(part, stored(tensors), f"the {part} in memory")


def identify(path: Path) -> official.Family:
    """What a file or folder of weights is, by the names in it. Raises `BadInput` when it cannot be opened."""
    return official.family(open_tensors(_single(path) if path.is_dir() else path).tensors)


def find(path: Path, part: Part) -> Path:
    """The file of `part` at or below `path`. Raises `BadInput` when there is none, or no single one."""
    if not path.is_dir():
        return path
    inside = (path / name for name in PLACES[part])
    if (found := next((p for p in inside if p.exists()), None)) is None:
        return _single(path)
    return _single(found) if found.is_dir() else found


def _single(folder: Path) -> Path:
    """The one thing in `folder` that can be opened: its shard index or its only file of tensors."""
    for pattern in ("*.safetensors.index.json", "*.safetensors", "*.pth"):
        if len(found := sorted(folder.glob(pattern))) == 1:
            return found[0]
        if found:
            listed = ", ".join(p.name for p in found[:3])
            raise BadInput(
                f"{folder} has {len(found)} files of weights ({listed} …), expected one; give the file itself"
            )
    raise BadInput(f"{folder} has no weights in it, expected .safetensors or .pth files; give the model's folder")


def find_tokenizer(path: Path) -> Path:
    """The umT5 tokenizer.json at or below a model's folder. Raises `BadInput` when there is none."""
    folders = [path / name for name in ("", "tokenizer", "google/umt5-xxl")]
    for folder in folders:
        if (file := folder / "tokenizer.json").is_file():
            return file
    for folder in folders:
        if (file := folder / "spiece.model").is_file():
            raise BadInput(
                f"{folder} has the tokenizer only as {file.name}, expected tokenizer.json; "
                "put the tokenizer.json of google/umt5-xxl beside it"
            )
    raise BadInput(f"{path} has no tokenizer.json, expected that of google/umt5-xxl; put it there")


def load_into(
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    dtype: DtypeOf,
    host: Collection[str] = frozenset(),
) -> None:
    """Give `module`, built on the meta device, its tensors, one by one, without gradients: on `device`, or those that
    `host` names on the CPU.

    Nothing is assigned unless everything fits: raises one `BadInput` that counts what is missing, surplus, of another
    shape, or not finite, and names the first three.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    _check_fit(wanted, checkpoint)
    tensors, broken = {}, []
    for name, shape in wanted.items():
        place = torch.device("cpu") if name in host else device
        if name in checkpoint.names:
            tensors[name] = checkpoint.get(name, dtype(name), place)
        else:  # only what is spare: nothing is computed with it
            tensors[name] = torch.zeros(shape, dtype=dtype(name), device=place)
        if not is_finite(tensors[name]):
            broken.append(name)
    if broken:
        raise BadInput(
            f"{checkpoint.source} has NaN or infinite numbers in {counted(broken, 'tensor')}; fetch it again"
        )
    module.load_state_dict(tensors, assign=True)
    module.requires_grad_(requires_grad=False)


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite; ten times as fast as asking each."""
    low, high = torch.aminmax(tensor)  # NaN goes before all others in both
    return math.isfinite(low) and math.isfinite(high)


def _check_fit(wanted: Mapping[str, tuple[int, ...]], checkpoint: Checkpoint) -> None:
    spare = re.compile(official.SPARE.get(checkpoint.part, "$^"))
    given = {name: checkpoint.shape(name) for name in checkpoint.names}
    differences = {
        "missing": [name for name in wanted if name not in given and not spare.fullmatch(name)],
        "surplus": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} {_times(given[name])} for {_times(shape)}"
            for name, shape in wanted.items()
            if given.get(name, shape) != shape
        ],
    }
    told = [f"{what}: {counted(found, 'tensor')}" for what, found in differences.items() if found]
    if told:
        raise BadInput(
            f"{checkpoint.source} does not fit {_words(checkpoint.part)} of this size: {'; '.join(told)}; "
            "give the file that belongs to this model"
        )


def _pieces(part: Part, tensors: Mapping[str, Stored]) -> dict[str, tuple[Piece, ...]]:
    """What each official tensor is made of; those of which a piece is missing are left out."""
    weights = {name: tensor for name, tensor in tensors.items() if not name.endswith(SCALES)}
    found: dict[str, dict[int, Piece]] = {}
    parts: dict[str, int] = {}
    for name, place in official.places(part, weights).items():
        parts[place.name] = place.parts
        found.setdefault(place.name, {})[place.part] = _piece(name, place, tensors)
    whole = {
        name: tuple(found[name][i] for i in sorted(found[name])) for name in found if len(found[name]) == parts[name]
    }
    return whole | _blurs(whole) if part is Part.TRANSFORMER else whole


def _piece(name: str, place: Place, tensors: Mapping[str, Stored]) -> Piece:
    stem = name.removesuffix(".weight")
    scales = (tensors[stem + ending] for ending in SCALES if stem + ending in tensors)
    return Piece(tensors[name], place.ones, next(scales, None) if stem != name else None)


def _blurs(pieces: Iterable[str]) -> dict[str, tuple[Piece, ...]]:
    """The constant blur kernels of the motion encoder, which diffusers' files leave out."""
    pattern = re.compile(r"(motion_encoder\.enc\.net_app\.convs\.\d+\.(?:conv2|skip))\.1\.weight")
    kernel = stored({"kernel": blur_kernel()})["kernel"]
    filtered = (match[1] + ".0.kernel" for match in map(pattern.fullmatch, pieces) if match)
    return {name: (Piece(kernel),) for name in filtered if name not in set(pieces)}


def _words(part: Part) -> str:
    return next(family.words for _, family in official.FAMILIES if family.part is part)


def counted(names: Sequence[str], noun: str) -> str:
    """`counted(["a", "b", "c", "d"], "tensor")` is "4 tensors (a, b, c …)"."""
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    return f"{len(names)} {noun}{'s' * (len(names) != 1)} ({shown})"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"
