"""Conditions → denoise → decode: one segment as a generator of events. Knows no other segment, no HTTP, no folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_animate_blender.wire import Mode, Settings, TryElsewhere

from . import conditions
from .conditions import Mask, Picture
from .lora import LoraSet
from .memo import Memo
from .model.attention import Keys
from .model.clip import CLIPVision
from .model.t5 import T5Encoder
from .model.transformer import Constants, Time, Transformer
from .model.vae import VAE
from .preview import Preview
from .sampling import Step, noise_levels, solve, timestep
from .segments import Part

PROMPT = "视频中的人在做动作"
"""The text that the released model was trained with ("the person in the video is moving")."""

NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，"
    "JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，"
    "手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
"""What guidance leads away from; the released default of the whole Wan family."""


class OutOfMemory(TryElsewhere):
    """The device's memory ran out in the middle: the same may fit when the weights lie elsewhere."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Networks with their weights, ready to run on one device."""

    name: str
    area: int
    """Pixels of a generated frame (width times height) when the settings leave it open."""
    transformer: Transformer
    vae: VAE
    text: T5Encoder
    clip: CLIPVision
    tokenizer: Callable[[str], list[int]]
    """Ids of a prompt with its end mark, no more than the text encoder takes."""
    device: torch.device
    dtype: torch.dtype
    files: dict[str, str]
    """Name and SHA-256 of every file that the networks depend on."""
    notes: tuple[str, ...] = ()
    """What a person must know about pictures made with it."""
    loras: LoraSet | None = None
    """The LoRAs that the transformer carries; None where its weights have no master to go back to."""
    memo: Memo = field(default_factory=Memo)
    """What was encoded for earlier segments and shots."""


class Signals(Protocol):
    """What drives one shot, at the model's size. Frames count from 0."""

    @property
    def mode(self) -> Mode: ...
    @property
    def frames(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def digest(self, frames: Sequence[int]) -> str:
        """Changes whenever any picture below does, of those of `frames`."""
        ...

    def reference(self) -> Picture:
        """The character, letterboxed to [height, width, 3]."""
        ...

    def pose(self, i: int) -> Picture: ...
    def face(self, i: int) -> Picture:
        """512×512; black where no expression is given."""
        ...

    def plate(self, i: int) -> Picture: ...
    def mask(self, i: int) -> Mask:
        """Replace mode only."""
        ...


@dataclass(frozen=True, eq=False)
class StoredSegment:
    """A finished segment, as it is kept for resuming."""

    frames: NDArray[np.float16]
    """Those that it delivers, [n, H, W, 3], 0..1."""
    tail: NDArray[np.float32]
    """The last ones again for the hand-over, [3, overlap or fewer, H, W], −1..1, never through fewer bits."""
    head: NDArray[np.float16]
    """Its own rendering of the frames that it was handed, [overlap, H, W, 3], 0..1; none in the first segment."""


class Store(Protocol):
    """Where finished segments are kept between renders."""

    def has(self, key: str) -> bool:
        """Whether one is there; `get` may still find that it is damaged."""
        ...

    def get(self, key: str) -> StoredSegment | None: ...
    def put(self, key: str, segment: StoredSegment) -> None: ...
    def begun(self, key: str) -> Step | None:
        """The last step of one that was stopped before it was finished; a store need not keep any."""
        return None

    def keep(self, key: str, step: Step) -> None:
        """Remember how far one came that is not finished."""
        return


@dataclass(frozen=True)
class Conditioned:
    """Everything that a segment is generated from has been computed."""

    segment: int
    """Which of all `segments` of this render, from 0."""
    segments: int


@dataclass(frozen=True, eq=False)
class Stepped:
    """One denoising step of `steps` is done; `step` counts from 1."""

    segment: int
    segments: int
    step: int
    steps: int
    preview: Picture
    """[h, w, 3], a rough guess at the segment's middle."""
    state: Step
    """From which the segment can go on."""


@dataclass(frozen=True)
class Restored:
    """A segment of an earlier take, which this one needs and the store had lost, is there again."""

    segment: int
    segments: int


@dataclass(frozen=True, eq=False)
class Decoded:
    """A segment is finished and stored, or was found in the store."""

    segment: int
    segments: int
    part: Part
    first: int
    """The shot's frame, from 0, that `frames` begin with."""
    frames: NDArray[np.float16]
    """Those that are seen of it, [n, H, W, 3], 0..1, mixed with what lies beneath."""
    head: NDArray[np.float16]
    """Its own rendering of the frames before `first` that it was handed; none where it is seen from its middle on."""
    reused: bool = field(kw_only=True)

    @property
    def seed(self) -> int:
        return self.part.seed

    @property
    def key(self) -> str:
        return self.part.key


Event = Conditioned | Stepped | Restored | Decoded


def encode_prompt(encoder: T5Encoder, ids: list[int], device: torch.device) -> Tensor:
    """The rows of a prompt's tokens [1, n, dim] in the encoder's type."""
    given = torch.tensor([ids], device=device)
    features: Tensor = encoder(given, torch.ones_like(given))
    return features


@dataclass(frozen=True, eq=False)
class ShotRender:
    """One shot with one model. What its segments share is computed once, and only when a segment needs it."""

    model: Model
    signals: Signals
    settings: Settings
    check: Callable[[], None]
    segments: int

    def segment(
        self, part: Part, tail: NDArray[np.float32] | None, place: int, begun: Step | None = None
    ) -> Generator[Event, None, StoredSegment]:
        """Render one segment, given the `tail` of the one before it: the same bits alone or in sequence.

        Events say that it is number `place` of all `segments`. It goes on after `begun`, a step of itself.
        """
        branches = self._constants(part.rendered, tail)
        yield Conditioned(place, self.segments)
        latents = yield from self._denoise(part, branches, place, begun)
        return self._decode(part, latents)

    @cached_property
    def prompts(self) -> tuple[Tensor, ...]:
        """Encoded text of the prompt and, under guidance, of the negative one."""
        prompt = PROMPT if self.settings.prompt is None else self.settings.prompt
        return tuple(map(self._text, [prompt, NEGATIVE_PROMPT] if self.guided else [prompt]))

    def _text(self, prompt: str) -> Tensor:
        self.check()
        made = self.model.memo.get(("text", prompt), partial(self._read, prompt), lasting=True)
        return made.to(self.model.device)

    def _read(self, prompt: str) -> Tensor:
        return encode_prompt(self.model.text, self.model.tokenizer(prompt), self.model.device)

    @cached_property
    def text_keys(self) -> tuple[tuple[Keys, ...], ...]:
        """What the blocks see of each of `prompts`."""
        return tuple(map(self.model.transformer.text_keys, self.prompts))

    @cached_property
    def reference(self) -> Tensor:
        """The letterboxed character as pixels [1, 3, 1, H, W]."""
        return conditions.pixels([self.signals.reference()], torch.device("cpu"))

    @cached_property
    def reference_latent(self) -> Tensor:
        return self.encode(self.reference)

    @cached_property
    def image(self) -> Tensor:
        """The character as CLIP's tokens."""
        self.check()
        seen = conditions.clip_pixels(self.reference, self.model.clip.config.size)
        digest = hashlib.sha256(seen.numpy().tobytes()).hexdigest()
        return self.model.memo.get(("clip", digest), lambda: self.model.clip(seen.to(self.model.device)))

    @cached_property
    def image_keys(self) -> tuple[Keys, ...]:
        """What the blocks see of the character."""
        return self.model.transformer.image_keys(self.image)

    @cached_property
    def times(self) -> dict[float, Time]:
        """What the transformer knows of each noise level's time."""
        levels = noise_levels(self.settings.solver, self.settings.steps)[:-1]
        told = {sigma: torch.tensor([float(timestep(sigma))], device=self.model.device) for sigma in levels}
        return {sigma: self.model.transformer.embed_time(time) for sigma, time in told.items()}

    @cached_property
    def preview(self) -> Preview:
        return Preview.fitted(self.reference_latent, self.reference)

    @property
    def guided(self) -> bool:
        return self.settings.guidance > 1

    def _constants(self, frames: Sequence[int], tail: NDArray[np.float32] | None) -> tuple[Constants, ...]:
        """What the transformer knows in every step: one set, and under guidance a second one to lead away from."""
        transformer, signals = self.model.transformer, self.signals
        device, size = self.model.device, transformer.config.motion.size
        pose = self.encode(conditions.pixels(map(signals.pose, frames), device))
        known = self.known(frames, tail)
        faces = conditions.faces(map(signals.face, frames), size, device)
        text, *negative = self.text_keys
        image = self.image_keys
        self.check()
        wanted = transformer.constants_of(text, image, faces, pose, known)
        if not negative:
            return (wanted,)
        # Guidance leads away from the negative prompt with no face at all; everything else is the same.
        blank = transformer.face_keys(torch.full_like(faces, -1))
        return wanted, replace(wanted, text=negative[0], face=blank)

    def known(self, frames: Sequence[int], tail: NDArray[np.float32] | None) -> Tensor:
        """Reference, plate and the frames handed over by the segment before: [1, 20, t + 1, h, w]."""
        signals, stride, device = self.signals, self.model.vae.config.stride, self.model.device
        if signals.mode is Mode.REPLACE:
            masks = conditions.mask_video(map(signals.mask, frames), device)
            video = conditions.plate_video(map(signals.plate, frames), masks)
        else:
            masks = torch.ones(len(frames), signals.height, signals.width, device=device)
            video = conditions.blank_video(len(frames), signals.height, signals.width, device)
        known = conditions.known_cells(masks, stride)
        if tail is not None:
            overlap = tail.shape[1]
            known[:overlap] = 1
            video[0, :, :overlap] = torch.from_numpy(tail)
        encode = self._encode_blank if tail is None and signals.mode is Mode.ANIMATE else self.encode
        return conditions.with_reference(self.reference_latent, conditions.pack(known), encode(video))

    def _encode_blank(self, video: Tensor) -> Tensor:
        """The same for all first segments of a size in animate mode."""
        return self.model.memo.get(("blank", *video.shape), partial(self.encode, video))

    def _denoise(
        self, part: Part, branches: tuple[Constants, ...], place: int, begun: Step | None
    ) -> Generator[Event, None, Tensor]:
        def velocity(x: Tensor, sigma: float) -> Tensor:
            with self._checked():
                answers = [self.model.transformer.denoise(x, self.times[sigma], branch) for branch in branches]
            if len(answers) == 1:
                return answers[0]
            wanted, unwanted = answers
            return unwanted + self.settings.guidance * (wanted - unwanted)

        steps = self.settings.steps
        levels = noise_levels(self.settings.solver, steps)
        reached = begun and begun.to(self.model.device)
        for step in solve(self.settings.solver, velocity, self._noise(part), levels, reached):
            middle = step.estimate[0, :, step.estimate.shape[2] // 2]
            yield Stepped(place, self.segments, step.index + 1, steps, self.preview(middle), step)
            reached = step
        assert reached is not None
        return reached.sample

    def _noise(self, part: Part) -> Tensor:
        """[1, 16, t + 1, h, w], drawn on the CPU so that a seed means the same on every device."""
        generator = torch.Generator().manual_seed(part.seed)
        _, channels, _, height, width = self.reference_latent.shape
        shape = (1, channels, (len(part.rendered) - 1) // 4 + 2, height, width)
        return torch.randn(shape, generator=generator).to(self.model.device)

    def encode(self, video: Tensor) -> Tensor:
        """Pixels [1, 3, T, H, W] → latents [1, 16, t, h, w]."""
        return torch.cat(list(self._watched(self.model.vae.encode_stream(video))), 2)

    def _decode(self, part: Part, latents: Tensor) -> StoredSegment:
        """What is kept of the segment; the reference's slot, latent frame 0, is thrown away."""
        chunks = self._watched(self.model.vae.decode_stream(latents[:, :, 1:]))
        video = torch.cat([chunk[0].float().clamp(-1, 1).cpu() for chunk in chunks], 1)
        start, stop = len(part.handed), len(part.handed) + len(part.keep)
        seen = ((video[:, :stop] + 1) / 2).permute(1, 2, 3, 0).half().contiguous().numpy()
        tail = video[:, max(stop - self.settings.overlap, 0) : stop]
        return StoredSegment(frames=seen[start:], tail=tail.contiguous().numpy(), head=seen[:start])

    def _watched(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Call `check` before every chunk, and after the last."""
        self.check()
        for chunk in chunks:
            self.check()
            yield chunk

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Call `check` before every transformer block that runs inside."""
        hooks = [block.register_forward_pre_hook(lambda *_: self.check()) for block in self.model.transformer.blocks]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
