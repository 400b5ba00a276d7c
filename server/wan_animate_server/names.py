"""Foreign names of tensors → the official checkpoint's; and what a file is, told from the names in it.

Tables only: knows neither files nor tensors. The official names are those of the code released with
Wan2.2-Animate-14B; diffusers' and transformers' are checked against those libraries in the tests.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Part(enum.StrEnum):
    """A network of the model, each in a file or folder of its own."""

    TRANSFORMER = "transformer"
    VAE = "vae"
    TEXT = "text"
    """The umT5 encoder."""
    CLIP = "clip"
    """The visual tower of CLIP."""


NEEDED = (*(part.value for part in Part), "tokenizer")
"""Parts of a model without which it does not run."""


@dataclass(frozen=True)
class Place:
    """Where a foreign tensor belongs: it is the `part`-th of `parts` pieces of `name` along dimension 0."""

    name: str
    part: int = 0
    parts: int = 1
    ones: tuple[int, int] = (0, 0)
    """Dimensions of size 1 that the official shape has before and after the foreign one."""


class Rule(NamedTuple):
    """A foreign name (whole, as a pattern) and its place."""

    pattern: str
    name: str
    part: int = 0
    parts: int = 1
    ones: tuple[int, int] = (0, 0)


PREFIXES = re.compile(r"^(model\.diffusion_model\.|diffusion_model\.|model\.|vae\.)?(visual\.|vision_model\.)?")
"""What ComfyUI, kijai's files and older transformers put before a name."""

ATTENTION = (("attn1", "self_attn"), ("attn2", "cross_attn"))

TRANSFORMER: tuple[Rule, ...] = (
    Rule(r"condition_embedder\.text_embedder\.linear_1\.(\w+)", r"text_embedding.0.\1"),
    Rule(r"condition_embedder\.text_embedder\.linear_2\.(\w+)", r"text_embedding.2.\1"),
    Rule(r"condition_embedder\.time_embedder\.linear_1\.(\w+)", r"time_embedding.0.\1"),
    Rule(r"condition_embedder\.time_embedder\.linear_2\.(\w+)", r"time_embedding.2.\1"),
    Rule(r"condition_embedder\.time_proj\.(\w+)", r"time_projection.1.\1"),
    Rule(r"condition_embedder\.image_embedder\.norm1\.(\w+)", r"img_emb.proj.0.\1"),
    Rule(r"condition_embedder\.image_embedder\.ff\.net\.0\.proj\.(\w+)", r"img_emb.proj.1.\1"),
    Rule(r"condition_embedder\.image_embedder\.ff\.net\.2\.(\w+)", r"img_emb.proj.3.\1"),
    Rule(r"condition_embedder\.image_embedder\.norm2\.(\w+)", r"img_emb.proj.4.\1"),
    Rule(r"scale_shift_table", "head.modulation"),
    Rule(r"proj_out\.(\w+)", r"head.head.\1"),
    Rule(r"blocks\.(\d+)\.scale_shift_table", r"blocks.\1.modulation"),
    # The one affine norm of a block: official norm3 is diffusers' norm2.
    Rule(r"blocks\.(\d+)\.norm2\.(\w+)", r"blocks.\1.norm3.\2"),
    Rule(r"blocks\.(\d+)\.ffn\.net\.0\.proj\.(\w+)", r"blocks.\1.ffn.0.\2"),
    Rule(r"blocks\.(\d+)\.ffn\.net\.2\.(\w+)", r"blocks.\1.ffn.2.\2"),
    *(Rule(rf"blocks\.(\d+)\.{theirs}\.to_([qkv])\.(\w+)", rf"blocks.\1.{ours}.\2.\3") for theirs, ours in ATTENTION),
    *(Rule(rf"blocks\.(\d+)\.{theirs}\.to_out\.0\.(\w+)", rf"blocks.\1.{ours}.o.\2") for theirs, ours in ATTENTION),
    *(
        Rule(rf"blocks\.(\d+)\.{theirs}\.norm_([qk])\.(\w+)", rf"blocks.\1.{ours}.norm_\2.\3")
        for theirs, ours in ATTENTION
    ),
    Rule(r"blocks\.(\d+)\.attn2\.add_([kv])_proj\.(\w+)", r"blocks.\1.cross_attn.\2_img.\3"),
    Rule(r"blocks\.(\d+)\.attn2\.norm_added_k\.(\w+)", r"blocks.\1.cross_attn.norm_k_img.\2"),
    Rule(r"face_adapter\.(\d+)\.to_q\.(\w+)", r"face_adapter.fuser_blocks.\1.linear1_q.\2"),
    Rule(r"face_adapter\.(\d+)\.to_k\.(\w+)", r"face_adapter.fuser_blocks.\1.linear1_kv.\2", part=0, parts=2),
    Rule(r"face_adapter\.(\d+)\.to_v\.(\w+)", r"face_adapter.fuser_blocks.\1.linear1_kv.\2", part=1, parts=2),
    Rule(r"face_adapter\.(\d+)\.to_out\.(\w+)", r"face_adapter.fuser_blocks.\1.linear2.\2"),
    Rule(r"face_adapter\.(\d+)\.norm_([qk])\.(\w+)", r"face_adapter.fuser_blocks.\1.\2_norm.\3"),
    Rule(r"face_encoder\.(conv1_local|conv2|conv3)\.(weight|bias)", r"face_encoder.\1.conv.\2"),
    Rule(r"motion_encoder\.motion_network\.(\d+)\.(\w+)", r"motion_encoder.enc.fc.\1.\2"),
    Rule(r"motion_encoder\.motion_synthesis_weight", "motion_encoder.dec.direction.weight"),
    Rule(r"motion_encoder\.conv_in\.weight", "motion_encoder.enc.net_app.convs.0.0.weight"),
    Rule(r"motion_encoder\.conv_in\.act_fn\.bias", "motion_encoder.enc.net_app.convs.0.1.bias", ones=(1, 2)),
)


def _motion_rules(blocks: int) -> Iterator[Rule]:
    """The convolutions of the motion encoder, which are numbered through: in, `blocks` residual blocks, out."""
    convs = "motion_encoder.enc.net_app.convs"
    for i in range(blocks):
        theirs, ours = rf"motion_encoder\.res_blocks\.{i}", f"{convs}.{i + 1}"
        yield Rule(rf"{theirs}\.conv1\.weight", f"{ours}.conv1.0.weight")
        yield Rule(rf"{theirs}\.conv1\.act_fn\.bias", f"{ours}.conv1.1.bias", ones=(1, 2))
        yield Rule(rf"{theirs}\.conv2\.weight", f"{ours}.conv2.1.weight")
        yield Rule(rf"{theirs}\.conv2\.act_fn\.bias", f"{ours}.conv2.2.bias", ones=(1, 2))
        yield Rule(rf"{theirs}\.conv_skip\.weight", f"{ours}.skip.1.weight")
    yield Rule(r"motion_encoder\.conv_out\.weight", f"{convs}.{blocks + 1}.weight")


RESIDUAL = (
    ("norm1", "residual.0"),
    ("conv1", "residual.2"),
    ("norm2", "residual.3"),
    ("conv2", "residual.6"),
    ("conv_shortcut", "shortcut"),
)


def _vae_rules(resnets: int, levels: int) -> Iterator[Rule]:
    """The VAE, whose decoder is numbered through: at each of `levels`, `resnets` residual blocks and an upsampling."""
    blocks = [(r"encoder\.down_blocks\.(\d+)", r"encoder.downsamples.\1")]
    for half in ("encoder", "decoder"):
        blocks += [(rf"{half}\.mid_block\.resnets\.0", f"{half}.middle.0")]
        blocks += [(rf"{half}\.mid_block\.resnets\.1", f"{half}.middle.2")]
        yield Rule(rf"{half}\.mid_block\.attentions\.0\.(.+)", rf"{half}.middle.1.\1")
        yield Rule(rf"{half}\.conv_in\.(\w+)", rf"{half}.conv1.\1")
        yield Rule(rf"{half}\.norm_out\.gamma", f"{half}.head.0.gamma")
        yield Rule(rf"{half}\.conv_out\.(\w+)", rf"{half}.head.2.\1")
    for level in range(levels):
        first = level * (resnets + 1)
        theirs = rf"decoder\.up_blocks\.{level}"
        blocks += [(rf"{theirs}\.resnets\.{i}", f"decoder.upsamples.{first + i}") for i in range(resnets)]
        yield Rule(rf"{theirs}\.upsamplers\.0\.(.+)", rf"decoder.upsamples.{first + resnets}.\1")
    for theirs, ours in blocks:
        yield from (Rule(rf"{theirs}\.{a}\.(?P<leaf>\w+)", rf"{ours}.{b}.\g<leaf>") for a, b in RESIDUAL)
    yield Rule(r"encoder\.down_blocks\.(\d+)\.(resample\.1|time_conv)\.(\w+)", r"encoder.downsamples.\1.\2.\3")
    yield Rule(r"quant_conv\.(\w+)", r"conv1.\1")
    yield Rule(r"post_quant_conv\.(\w+)", r"conv2.\1")


TEXT: tuple[Rule, ...] = (
    Rule(r"shared\.weight", "token_embedding.weight"),
    Rule(r"encoder\.final_layer_norm\.weight", "norm.weight"),
    Rule(r"encoder\.block\.(\d+)\.layer\.0\.layer_norm\.weight", r"blocks.\1.norm1.weight"),
    Rule(r"encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.([qkvo])\.weight", r"blocks.\1.attn.\2.weight"),
    Rule(
        r"encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.relative_attention_bias\.weight",
        r"blocks.\1.pos_embedding.embedding.weight",
    ),
    Rule(r"encoder\.block\.(\d+)\.layer\.1\.layer_norm\.weight", r"blocks.\1.norm2.weight"),
    Rule(r"encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_0\.weight", r"blocks.\1.ffn.gate.0.weight"),
    Rule(r"encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_1\.weight", r"blocks.\1.ffn.fc1.weight"),
    Rule(r"encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wo\.weight", r"blocks.\1.ffn.fc2.weight"),
)

CLIP: tuple[Rule, ...] = (
    Rule(r"embeddings\.class_embedding", "cls_embedding", ones=(2, 0)),
    Rule(r"embeddings\.position_embedding\.weight", "pos_embedding", ones=(1, 0)),
    Rule(r"embeddings\.patch_embedding\.weight", "patch_embedding.weight"),
    Rule(r"pre_layrnorm\.(\w+)", r"pre_norm.\1"),
    Rule(r"post_layernorm\.(\w+)", r"post_norm.\1"),
    Rule(r"encoder\.layers\.(\d+)\.layer_norm([12])\.(\w+)", r"transformer.\1.norm\2.\3"),
    *(
        Rule(rf"encoder\.layers\.(\d+)\.self_attn\.{letter}_proj\.(\w+)", r"transformer.\1.attn.to_qkv.\2", i, 3)
        for i, letter in enumerate("qkv")
    ),
    Rule(r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)", r"transformer.\1.attn.proj.\2"),
    Rule(r"encoder\.layers\.(\d+)\.mlp\.fc1\.(\w+)", r"transformer.\1.mlp.0.\2"),
    Rule(r"encoder\.layers\.(\d+)\.mlp\.fc2\.(\w+)", r"transformer.\1.mlp.2.\2"),
)

USELESS = re.compile(
    r"(.*\.)?(scaled_fp8|scale_input|input_scale|comfy_quant)"  # marks and activation scales of 8-bit files
    r"|textual\..+|text_model\..+|log_scale|logit_scale|\w+_projection\.weight|embeddings\.position_ids"  # CLIP's text
    r"|decoder\.(block|embed_tokens|final_layer_norm)\..+|encoder\.embed_tokens\.weight|lm_head\.weight|spiece_model"
)
"""What files contain beside the network: it is skipped."""

SPARE: dict[Part, str] = {
    # The image tokens are those before the last layer. transformers' CLIPVisionModel does not even save the head.
    Part.CLIP: r"visual\.(post_norm\.\w+|head)",
}
"""Official names that nothing is computed with, so that a file may lack them."""


def bare(name: str) -> str:
    """`name` without the prefixes of foreign files."""
    return PREFIXES.sub("", name, count=1)


def places(part: Part, names: Collection[str]) -> dict[str, Place]:
    """Where each of `names` of a file of `part` belongs.

    Names that no rule fits keep their own (without prefix); what is `USELESS` is left out.
    """
    rules = [(re.compile(rule.pattern), rule) for rule in _rules(part, names)]
    useful = {name: bare(name) for name in names if not USELESS.fullmatch(bare(name))}
    root = "visual." if part is Part.CLIP else ""
    return {name: _place(rules, short, root) for name, short in useful.items()}


def _place(rules: Iterable[tuple[re.Pattern[str], Rule]], name: str, root: str) -> Place:
    for pattern, rule in rules:
        if match := pattern.fullmatch(name):
            return Place(root + match.expand(rule.name), rule.part, rule.parts, rule.ones)
    return Place(root + name)


def _rules(part: Part, names: Collection[str]) -> list[Rule]:
    match part:
        case Part.TRANSFORMER:
            return [*TRANSFORMER, *_motion_rules(_count(r"motion_encoder\.res_blocks\.(\d+)\.", names))]
        case Part.VAE:
            resnets = _count(r"decoder\.up_blocks\.\d+\.resnets\.(\d+)\.", names)
            return list(_vae_rules(resnets, levels=_count(r"decoder\.up_blocks\.(\d+)\.", names)))
        case Part.TEXT:
            return list(TEXT)
        case Part.CLIP:
            return list(CLIP)


def _count(pattern: str, names: Collection[str]) -> int:
    """One more than the highest number that `pattern` captures in `names`, 0 when it fits none."""
    found = (re.match(pattern, bare(name)) for name in names)
    return max((int(match[1]) + 1 for match in found if match), default=0)


@dataclass(frozen=True)
class Family:
    """What a file is, in words for people, and which part of this model, if any."""

    words: str
    part: Part | None = None


FAMILIES: tuple[tuple[str, Family], ...] = (
    (r".*\.(lora_[AB]|lora_up|lora_down|lokr_\w+|hada_\w+)\b.*|.*\.diff(_[bm])?", Family("a LoRA")),
    (r"blocks\.\d+\.block\..+", Family("a transformer of Wan-Animate-2")),
    (
        r"face_adapter\.(fuser_blocks\.)?0\..+|motion_encoder\..+",
        Family("the transformer of Wan-Animate", Part.TRANSFORMER),
    ),
    (r"vace_\w+\..+", Family("a VACE transformer of Wan")),
    (r"decoder\.upsamples\.\d+\.upsamples\..+|decoder\.up_blocks\.\d+\.upsampler\..+", Family("the VAE of Wan 2.2")),
    (
        r"decoder\.upsamples\.0\.residual\..+|decoder\.up_blocks\.0\.resnets\.0\.norm1\.gamma",
        Family("the VAE of Wan 2.1", Part.VAE),
    ),
    # T5 proper has position biases in its first layer only.
    (
        r"encoder\.block\.1\.layer\.0\.SelfAttention\.relative_attention_bias\.weight"
        r"|blocks\.0\.pos_embedding\.embedding\.weight",
        Family("the umT5 encoder", Part.TEXT),
    ),
    (r"encoder\.block\.0\.layer\.0\.SelfAttention\..+", Family("a T5 encoder that is not umT5")),
    (
        r"transformer\.0\.attn\.to_qkv\.weight|encoder\.layers\.0\.self_attn\.q_proj\.weight",
        Family("CLIP's visual tower", Part.CLIP),
    ),
    (r"img_emb\..+|condition_embedder\.image_embedder\..+", Family("an image-to-video transformer of Wan")),
    (r"text_embedding\.0\..+|condition_embedder\.text_embedder\..+", Family("a text-to-video transformer of Wan")),
)
"""Marks of each family, most particular first: Wan-Animate also has everything of an image-to-video transformer."""

UNKNOWN = Family("no network that is known here")


def family(names: Iterable[str]) -> Family:
    """What a file with these names is."""
    shorts = [bare(name) for name in names]
    for pattern, found in FAMILIES:
        mark = re.compile(pattern)
        if any(mark.fullmatch(name) for name in shorts):
            return found
    return UNKNOWN
