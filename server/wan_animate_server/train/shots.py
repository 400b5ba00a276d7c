"""Shot folders → what a transformer of any model is trained on, by the pipeline's own conditioning. Trains nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from wan_animate_blender.wire import SHOT_FILE, BadInput, Mode, frame_name

from .. import conditions
from ..conditions import Picture
from ..model.attention import Keys
from ..model.transformer import Constants
from ..pipeline import Model, ShotRender
from ..segments import Span, plan
from ..shot import LoadedShot, load
from ..signals import ShotSignals
from ..video import read_picture
from .student import REFERENCE_WEIGHT

TARGET = "target"
"""The folder in a shot with what shall come out, a PNG or EXR for each frame, at the size of the delivered picture."""

KEPT_WEIGHT = 0.25
"""Of an error where pixels are known already."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One segment of a shot: everything that is frozen has been computed, on the CPU until it is asked for."""

    text: Tensor
    """[1, n, text_dim]."""
    image: Tensor
    """[1, n, image_dim]."""
    face: tuple[Keys, ...]
    pose: Tensor
    """[1, C, t, h, w]."""
    known: Tensor
    """[1, 4 + C, t + 1, h, w]."""
    target: Tensor
    """What shall come out, the reference as frame 0 [1, C, t + 1, h, w]."""
    rope: Tensor

    def to(self, device: torch.device) -> Piece:
        """The same on `device`."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "face"}
        face = tuple(Keys(keys.k.to(device), keys.v.to(device)) for keys in self.face)
        return Piece(**{name: tensor.to(device) for name, tensor in tensors.items()}, face=face)

    def constants(self, model: Model) -> Constants:
        """What the transformer knows; the parts that a LoRA changes are computed, with gradients."""
        transformer = model.transformer
        return Constants(
            tokens=transformer.embed_known(self.pose, self.known),
            rope=self.rope,
            text=transformer.text_keys(self.text),
            image=transformer.image_keys(self.image),
            face=self.face,
        )

    @property
    def weight(self) -> Tensor:
        """How much an error in each latent cell counts [1, t + 1, h, w]."""
        weight = 1 - (1 - KEPT_WEIGHT) * self.known[:, :4].mean(1)
        weight[:, 0] = REFERENCE_WEIGHT
        return weight


def find(folder: Path) -> list[Path]:
    """All shot folders at or below `folder`. Raises `BadInput` when there is none."""
    found = sorted(path.parent for path in folder.rglob(SHOT_FILE))
    if not found:
        raise BadInput(f"there is no {SHOT_FILE} in {folder}; give a folder with exports, such as one with SH010/e001")
    return found


def pieces(model: Model, folder: Path) -> Iterator[Piece]:
    """The segments of the shot in `folder`, planned and sized by its settings as a render would.

    A later segment is handed the frames before it as they shall be. Raises `BadInput`.
    """
    shot = load(folder)
    settings = shot.shot.settings
    signals = ShotSignals(shot, settings.area or model.area)
    spans = plan(signals.frames, settings.segment, settings.overlap, settings.plan)
    render = ShotRender(model, signals, settings, lambda: None, len(spans))
    for span in spans:
        with torch.no_grad():
            made = _piece(render, shot, signals, span)
        yield made.to(torch.device("cpu"))


def _piece(render: ShotRender, shot: LoadedShot, signals: ShotSignals, span: Span) -> Piece:
    model, frames = render.model, span.indices(signals.frames)
    wanted = conditions.pixels((_wanted(shot, signals, i) for i in frames), model.device)
    tail = wanted[0, :, : render.settings.overlap].cpu().numpy() if span.index else None
    faces = conditions.faces(map(signals.face, frames), model.transformer.config.motion.size, model.device)
    pose = render.encode(conditions.pixels(map(signals.pose, frames), model.device))
    known = render.known(frames, tail)
    constants = model.transformer.constants_of((), (), faces, pose, known)
    return Piece(
        text=render.prompts[0], image=render.image, face=constants.face, pose=pose, known=known,
        target=torch.cat([render.reference_latent, render.encode(wanted)], 2), rope=constants.rope,
    )  # fmt: skip


def _wanted(shot: LoadedShot, signals: ShotSignals, i: int) -> Picture:
    """The frame that shall come out, at the model's size; the plate itself where the person in it is the character."""
    number = shot.shot.frames[i].shot
    files = [shot.folder / TARGET / frame_name(number, extension) for extension in ("png", "exr")]
    there = [path for path in files if path.is_file()]
    if not there and (shot.folder / TARGET).is_dir():
        raise BadInput(f"{files[0]} is not there; {TARGET} needs a picture for each frame of the shot")
    if not there and shot.shot.mode is Mode.ANIMATE:
        raise BadInput(f"{shot.folder} has no {TARGET} pictures, without which animating cannot be learned; add them")
    if not there:
        return signals.plate(i)
    picture = shot.seen(read_picture(there[0]))
    window = signals.windows[i]
    expected = window.width, window.height
    if picture.shape[1::-1] != expected:
        raise BadInput(f"{there[0]} is {picture.shape[1]}×{picture.shape[0]}, expected {expected[0]}×{expected[1]}")
    return window.picture(picture)
