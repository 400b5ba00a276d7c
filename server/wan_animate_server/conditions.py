"""Pictures → the tensors that a segment is generated from. Knows no network and no file.

Pixels are −1..1 from here on. Known means kept: 1 where pixels are given, 0 where they are to be made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

Picture = NDArray[np.uint8]
"""[H, W, 3], RGB."""

Mask = NDArray[np.float32]
"""[H, W], 0..1; 1 = make new pixels there."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def pixels(pictures: Iterable[Picture], device: torch.device) -> Tensor:
    """T pictures as a video [1, 3, T, H, W] on `device`."""
    return _moved(pictures, device).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def _moved(pictures: Iterable[NDArray[Any]], device: torch.device) -> Tensor:
    """T pictures as they are, [T, H, W, …]: bytes take a fourth of the way that floats do."""
    host = torch.from_numpy(np.stack(list(pictures)))
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def faces(pictures: Iterable[Picture], size: int, device: torch.device) -> Tensor:
    """T face crops [1, T, 3, size, size]; a network that looks at smaller ones gets averaged pixels."""
    crops = pixels(pictures, device)[0].transpose(0, 1)
    return interpolate(crops, (size, size), mode="area")[None]


def clip_pixels(reference: Tensor, size: int) -> Tensor:
    """What CLIP sees [1, 3, size, size] of the letterboxed reference [1, 3, 1, H, W]: squashed, not cropped.

    As the released `CLIPModel.visual`: bicubic without antialiasing, the aspect ignored.
    """
    squashed = interpolate(reference[:, :, 0], (size, size), mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(row, device=reference.device).view(1, 3, 1, 1) for row in (CLIP_MEAN, CLIP_STD))
    return (squashed * 0.5 + 0.5 - mean) / std


def blank_video(frames: int, height: int, width: int, device: torch.device) -> Tensor:
    """The conditioning video [1, 3, T, H, W] where nothing is known: zeros, which is mid-grey and not black."""
    return torch.zeros(1, 3, frames, height, width, device=device)


def plate_video(plates: Iterable[Picture], masks: Tensor) -> Tensor:
    """T plates without the person: black wherever `masks` [T, H, W] says that pixels are to be made."""
    return (pixels(plates, masks.device) + 1) * (1 - masks) - 1


def mask_video(masks: Iterable[Mask], device: torch.device) -> Tensor:
    """T masks as [T, H, W]."""
    return _moved(masks, device).float()


def known_cells(masks: Tensor, stride: int) -> Tensor:
    """[T, H, W] masks as known [T, h, w]; each latent cell takes its first pixel, as the released code does."""
    return 1 - masks[:, ::stride, ::stride]


def pack(known: Tensor) -> Tensor:
    """Known of T = 4(t − 1) + 1 frames [T, h, w] as four channels [4, t, h, w].

    Latent frame 0 holds frame 0 four times; in latent frame j, channel c is frame 4(j − 1) + 1 + c.
    """
    first = known[:1].expand(4, -1, -1)
    packed = torch.cat([first, known[1:]])
    return packed.view(-1, 4, *known.shape[1:]).transpose(0, 1)


def with_reference(reference: Tensor, known: Tensor, video: Tensor) -> Tensor:
    """All that is known of a segment, [1, 4 + C, t + 1, h, w]: the mask above the latent.

    Frame 0 is the `reference` latent [1, C, 1, h, w], known everywhere; then follow the packed `known` [4, t, h, w]
    and the latent of the conditioning `video` [1, C, t, h, w].
    """
    first = torch.cat([torch.ones_like(reference[:, :4]), reference], 1)
    rest = torch.cat([known[None].to(video), video], 1)
    return torch.cat([first, rest], 2)
