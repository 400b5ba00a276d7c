"""A whole run, from pictures to the last latents, equals diffusers' pipeline with its known quirks patched here.

The quirks are those in which diffusers differs from the released code: the noise levels, what CLIP sees, the noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler, WanAnimatePipeline
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from wan_animate_blender.wire import Mode, Plan, Settings, Solver
from wan_animate_server.assembly import generate
from wan_animate_server.model.clip import CLIPConfig, CLIPVision
from wan_animate_server.model.t5 import T5Config, T5Encoder
from wan_animate_server.model.transformer import Transformer, TransformerConfig
from wan_animate_server.model.vae import VAE, VAEConfig
from wan_animate_server.pipeline import NEGATIVE_PROMPT, PROMPT, Model, Store, StoredSegment
from wan_animate_server.sampling import noise_levels, timestep
from wan_animate_server.segments import segment_seed
from wan_animate_server.weights import PUPPET, read_tokenizer

Convert = Callable[..., dict[str, Tensor]]
Build = Callable[..., Any]
Randomise = Callable[..., Any]

WIDTH, HEIGHT, FRAMES = 48, 32, 21


@pytest.fixture
def model(
    randomise: Randomise,
    transformer_config: TransformerConfig,
    vae_config: VAEConfig,
    t5_config: T5Config,
    clip_config: CLIPConfig,
) -> Model:
    text = dataclasses.replace(t5_config, vocabulary=258)
    clip = dataclasses.replace(clip_config, dim=transformer_config.image_dim, heads=2)
    return Model(
        name="tiny",
        area=WIDTH * HEIGHT,
        transformer=randomise(Transformer(dataclasses.replace(transformer_config, text_dim=text.dim))),
        vae=randomise(VAE(vae_config)),
        text=randomise(T5Encoder(text)),
        clip=randomise(CLIPVision(clip)),
        tokenizer=read_tokenizer(PUPPET / "tokenizer.json", transformer_config.text_len),
        device=torch.device("cpu"),
        dtype=torch.float32,
        files={},
    )


# --- the same pictures for both -------------------------------------------------------------------


class Pictures:
    """Signals of random pictures. The mask is black and white, as diffusers' eight bits hold it."""

    frames, width, height = FRAMES, WIDTH, HEIGHT

    def digest(self, frames: Sequence[int]) -> str:
        return f"pictures {frames}"

    def __init__(self, mode: Mode, face_size: int) -> None:
        self.mode = mode
        random = np.random.default_rng(4)
        self.character = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        self.poses = random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
        self.plates = random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
        self.small_faces = random.integers(0, 256, (FRAMES, face_size, face_size, 3), np.uint8)
        self.masks = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
        for i, mask in enumerate(self.masks):
            mask[5:27, 3 + i : 18 + i] = 255

    def reference(self) -> np.ndarray:
        return self.character

    def pose(self, i: int) -> np.ndarray:
        return self.poses[i]

    def face(self, i: int) -> np.ndarray:
        small = self.small_faces[i]
        return small.repeat(512 // len(small), 0).repeat(512 // len(small), 1)

    def plate(self, i: int) -> np.ndarray:
        return self.plates[i]

    def mask(self, i: int) -> np.ndarray:
        return (self.masks[i] / 255).astype(np.float32)


def images(pictures: np.ndarray) -> list[PIL.Image.Image]:
    return [PIL.Image.fromarray(picture) for picture in pictures]


# --- ours -----------------------------------------------------------------------------------------


class Nothing(Store):
    """A store that keeps nothing."""

    def has(self, key: str) -> bool:
        return False

    def get(self, key: str) -> StoredSegment | None:
        return None

    def put(self, key: str, segment: StoredSegment) -> None:
        pass


@pytest.fixture
def ours(model: Model, monkeypatch: pytest.MonkeyPatch) -> Callable[[Pictures, Settings], list[Tensor]]:
    """Run a shot and return the last latents of every segment, as the decoder is given them."""

    def run(signals: Pictures, settings: Settings) -> list[Tensor]:
        last: list[Tensor] = []
        decode = VAE.decode_stream

        def record(self: VAE, latents: Tensor) -> Iterator[Tensor]:
            last.append(latents.clone())
            return decode(self, latents)

        monkeypatch.setattr(VAE, "decode_stream", record)
        for _ in generate(model, signals, settings, Nothing(), lambda: None):
            pass
        return last

    return run


# --- diffusers ------------------------------------------------------------------------------------


def on_released_levels(kind: type[Any], solver: Solver) -> Any:
    """Quirk: diffusers clamps the first noise level at 1, and its own grid ends elsewhere."""

    class Released(kind):  # type: ignore[misc]
        def set_timesteps(self, steps: int, device: Any = None) -> None:
            super().set_timesteps(steps, device=device)
            levels = noise_levels(solver, steps)
            self.sigmas = torch.tensor(levels)
            self.timesteps = torch.tensor([timestep(sigma) for sigma in levels[:-1]])

    return Released(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, solver_order=2)


class Peer(WanAnimatePipeline):
    """diffusers' pipeline with the noise and CLIP's view of the released code."""

    seed: int

    def prepare_latents(self, *_: Any, height: int, width: int, num_frames: int, **__: Any) -> Tensor:
        """Quirk: noise is drawn from one stream for all segments; here each has its seed."""
        self.drawn += 1
        generator = torch.Generator().manual_seed(segment_seed(self.seed, self.drawn - 1))
        return torch.randn(1, 16, (num_frames - 1) // 4 + 2, height // 8, width // 8, generator=generator)

    def encode_image(self, image: PIL.Image.Image, device: Any = None) -> Tensor:
        """Quirk: the processor crops; the released code squashes, bicubic without antialiasing."""
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
        size = self.image_encoder.config.image_size
        squashed = interpolate(pixels, (size, size), mode="bicubic", align_corners=False) * 0.5 + 0.5
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
        return self.image_encoder((squashed - mean) / std, output_hidden_states=True).hidden_states[-2]


@dataclasses.dataclass
class Peers:
    """The reference libraries' networks with the model's weights."""

    transformer: Any
    vae: Any
    text: Any
    clip: Any


@pytest.fixture
def peers(
    model: Model,
    transformer_peer: Build,
    vae_peer: Build,
    t5_peer: Build,
    clip_peer: Build,
    to_diffusers: Convert,
    t5_to_transformers: Convert,
    clip_to_transformers: Convert,
) -> Peers:
    built = Peers(
        transformer_peer(model.transformer.config),
        vae_peer(model.vae.config),
        t5_peer(model.text.config),
        clip_peer(model.clip.config),
    )
    built.transformer.load_state_dict(to_diffusers(model.transformer.state_dict()))
    built.vae.load_state_dict(convert_wan_vae_to_diffusers(model.vae.state_dict()))
    built.text.load_state_dict(t5_to_transformers(model.text.state_dict()), strict=False)
    clip = clip_to_transformers(model.clip.state_dict())
    prefix = "vision_model." if "vision_model.pre_layrnorm.weight" in built.clip.state_dict() else ""
    built.clip.load_state_dict({prefix + name: weight for name, weight in clip.items()}, strict=False)
    return built


@pytest.fixture
def theirs(model: Model, peers: Peers) -> Callable[[Pictures, Settings], list[Tensor]]:
    """The same with diffusers."""

    def run(signals: Pictures, settings: Settings) -> list[Tensor]:
        kind = UniPCMultistepScheduler if settings.solver is Solver.UNIPC else DPMSolverMultistepScheduler
        peer = Peer(
            tokenizer=None,
            text_encoder=None,
            vae=peers.vae,
            scheduler=on_released_levels(kind, settings.solver),
            image_processor=None,
            image_encoder=peers.clip,
            transformer=peers.transformer,
        )
        peer.set_progress_bar_config(disable=True)
        peer.seed, peer.drawn = settings.seed, 0
        last: list[Tensor] = []

        def record(_: Any, step: int, __: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            if step == settings.steps - 1:
                last.append(tensors["latents"][:, :, 1:].clone())
            return {}

        plates = signals.plates * (signals.masks == 0)[..., None]
        replacing = {"background_video": images(plates), "mask_video": images(signals.masks)}
        peer(
            image=PIL.Image.fromarray(signals.character),
            pose_video=images(signals.poses),
            face_video=images(signals.small_faces),
            prompt_embeds=encode_text(model, peers.text, PROMPT),
            negative_prompt_embeds=encode_text(model, peers.text, NEGATIVE_PROMPT),
            height=HEIGHT,
            width=WIDTH,
            segment_frame_length=settings.segment,
            num_inference_steps=settings.steps,
            mode=signals.mode.value,
            prev_segment_conditioning_frames=settings.overlap,
            guidance_scale=settings.guidance,
            callback_on_step_end=record,
            **(replacing if signals.mode is Mode.REPLACE else {}),
        )
        return last

    return run


def encode_text(model: Model, encoder: nn.Module, prompt: str) -> Tensor:
    ids = torch.tensor([model.tokenizer(prompt)])
    with torch.no_grad():
        rows = encoder(ids, torch.ones_like(ids)).last_hidden_state
    return pad(rows, (0, 0, 0, 512 - rows.shape[1]))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("overlap", [1, 5])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("solver", list(Solver))
def test_the_last_latents_of_two_segments_equal_diffusers(
    model: Model, ours: Any, theirs: Any, mode: Mode, overlap: int, guidance: float, solver: Solver
) -> None:
    settings = Settings(
        steps=3, solver=solver, guidance=guidance, seed=11, segment=13, overlap=overlap, plan=Plan.OFFICIAL
    )
    signals = Pictures(mode, model.transformer.config.motion.size)
    found, expected = ours(signals, settings), theirs(signals, settings)
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert other.std() > 0.1
        torch.testing.assert_close(one, other, atol=5e-4, rtol=0)
