"""Models from the library: loaded by name, their LoRAs carried job by job, prompts encoded once for all processes.

The library is filled as a user fills it, by `models import`, with small networks in the released layout.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wan_animate_blender.wire import LoraUse, Mode, Precision, Settings, Unavailable, sha256_file
from wan_animate_server import assembly, installed, pipeline
from wan_animate_server import library as library_room
from wan_animate_server.installed import NEEDED, adapt, keep_default_prompt, load_model
from wan_animate_server.intake import take_in
from wan_animate_server.library import Library, Manifest, manifest, manifests
from wan_animate_server.memo import Memo
from wan_animate_server.pipeline import Decoded, Model
from wan_animate_server.retake import whole
from wan_animate_server.weights import PUPPET, RANDOM_WEIGHTS

from .benchmarks.full_size import Noise, Nothing, tiny, write_model
from .trained import untrained

NAME = "wan-animate-14b"
SETTINGS = Settings(model=NAME, steps=2, segment=9, seed=3)
Load = Callable[..., Model]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the released layout."""
    folder = tmp_path_factory.mktemp("released")
    write_model(folder, tiny())
    (folder / "google/umt5-xxl").mkdir(parents=True)
    (folder / "tokenizer.json").rename(folder / "google/umt5-xxl/tokenizer.json")
    return folder


@pytest.fixture
def library(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """With the model imported; hashes of the real files are not expected of it."""
    sizes_of = installed.sizes_of
    monkeypatch.setattr(installed, "sizes_of", lambda name: tiny().sizes if name == NAME else sizes_of(name))
    monkeypatch.setattr(installed.platformdirs, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    known = {name: unpinned(model) for name, model in manifests().items()}
    for room in (library_room, installed):
        monkeypatch.setattr(room, "manifests", lambda: known)
    library = Library(tmp_path / "models")
    take_in(library, known[NAME], source)
    return library


def unpinned(model: Manifest) -> Manifest:
    return replace(model, files=tuple(replace(file, sha256=None, size=None) for file in model.files))


@pytest.fixture
def load(library: Library) -> Load:
    def load(precision: Precision = Precision.FP32, library: Library = library) -> Model:
        return load_model(NAME, precision=precision, library=library)

    return load


def frames(model: Model, mode: Mode = Mode.ANIMATE, settings: Settings = SETTINGS) -> Tensor:
    signals = Noise(mode, 9, 48, 32)
    events = assembly.generate(model, signals, settings, Nothing(), lambda: None)
    return torch.cat([torch.from_numpy(event.frames) for event in events if isinstance(event, Decoded)])


def weights(model: Model) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.transformer.state_dict().items()}


def changed(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


# --- loading --------------------------------------------------------------------------------------


def test_a_model_names_every_file_that_it_was_made_of_by_its_recorded_hash(load: Load, library: Library) -> None:
    model, record = load(), library.record(manifest(NAME))
    parts = {file.path: file.part for file in manifest(NAME).files}
    there = {path for path in record if parts[path] in NEEDED}
    assert model.files == {path: record[path].sha256 for path in there}
    assert {parts[path] for path in there} == set(NEEDED)
    assert model.notes == ()


@pytest.mark.parametrize("part", NEEDED)
def test_a_model_that_lacks_a_part_says_how_to_get_it(load: Load, library: Library, part: str) -> None:
    path = next(file.path for file in manifest(NAME).files if file.part == part)
    (library.folder(manifest(NAME)) / path).unlink()
    with pytest.raises(Unavailable, match=f"first {path}; run: wan-animate models pull {NAME}"):
        load()
    assert installed.installed(library) == ("puppet",)


def test_what_is_installed_is_offered(library: Library) -> None:
    assert installed.installed(library) == ("puppet", NAME)


@pytest.mark.parametrize("mode", list(Mode))
def test_encoders_hold_memory_only_while_they_encode(load: Load, mode: Mode) -> None:
    model = load()
    made = frames(model, mode, replace(SETTINGS, guidance=2.0))  # which reads two prompts
    assert made.isfinite().all()
    assert made.std() > 0
    for network in (model.text, model.clip):
        assert all(parameter.is_meta for parameter in network.parameters())
    for network in (model.transformer, model.vae):
        assert not any(parameter.is_meta for parameter in network.parameters())


# --- prompts --------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each prompt that the text encoder was asked for."""
    asked: list[int] = []
    encode = pipeline.encode_prompt

    def record(encoder: object, ids: list[int], device: torch.device) -> Tensor:
        asked.append(len(ids))
        return encode(encoder, ids, device)  # type: ignore[arg-type]

    for room in (pipeline, installed):
        monkeypatch.setattr(room, "encode_prompt", record)
    return asked


def test_a_prompt_is_encoded_once_for_all_processes(load: Load, reads: list[int], tmp_path: Path) -> None:
    first = frames(load())
    assert len(reads) == 1
    assert torch.equal(frames(load()), first)
    assert len(reads) == 1
    frames(load(), settings=replace(SETTINGS, prompt="a man"))
    frames(load(Precision.BF16), settings=replace(SETTINGS, precision=Precision.BF16))
    assert len(reads) == 3
    assert len(list((tmp_path / "cache/prompts").iterdir())) == 3


def test_another_encoder_does_not_find_the_prompts_of_this_one(load: Load, library: Library, reads: list[int]) -> None:
    frames(load())
    path = library.folder(manifest(NAME)) / "models_t5_umt5-xxl-enc-bf16.pth"
    tensors = {name: tensor * 1.5 for name, tensor in torch.load(path, weights_only=True).items()}
    other = path.with_name("other.pth")
    torch.save(tensors, other)
    library.adopt(manifest(NAME), other, path.name)
    frames(load())
    assert len(reads) == 2


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xff" * 4000])
def test_a_damaged_prompt_is_encoded_again(load: Load, reads: list[int], tmp_path: Path, damage: bytes) -> None:
    first = frames(load())
    (kept,) = (tmp_path / "cache/prompts").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage or whole[:-7])
    assert torch.equal(frames(load()), first)
    assert len(reads) == 2
    assert kept.read_bytes() == whole


def test_the_default_prompt_can_be_kept_at_import(load: Load, library: Library, reads: list[int]) -> None:
    keep_default_prompt(library, manifest(NAME))
    assert len(reads) == 1
    frames(load(Precision.BF16), settings=replace(SETTINGS, precision=Precision.BF16))
    assert len(reads) == 1


def test_a_cache_that_cannot_be_written_costs_time_and_no_render(load: Load, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert frames(load()).isfinite().all()


def test_the_memory_of_a_memo_is_bounded() -> None:
    memo, made = Memo(), []

    def make(i: int) -> Tensor:
        made.append(i)
        return torch.tensor(i)

    for i in (*range(40), 39, 0):
        assert memo.get(("number", i), lambda i=i: make(i)) == i
    assert made == [*range(40), 0]


# --- LoRAs ----------------------------------------------------------------------------------------


@pytest.fixture
def own(library: Library, load: Load) -> str:
    """The name of a LoRA that a user put into the library."""
    torch.manual_seed(5)
    linear = load().transformer.get_submodule("blocks.1.ffn.0")
    (library.root / "loras").mkdir()
    save_file(
        {
            "diffusion_model.blocks.1.ffn.0.lora_A.weight": torch.randn(2, linear.in_features),
            "diffusion_model.blocks.1.ffn.0.lora_B.weight": torch.randn(linear.out_features, 2),
        },
        library.root / "loras" / "film look.safetensors",
    )
    return "film look"


def test_replacing_relights_and_animating_does_not(load: Load, library: Library) -> None:
    model = load()
    plain = weights(model)
    relit = adapt(model, Mode.REPLACE, SETTINGS, library)
    linears = {f"blocks.{n}.weight" for n, m in model.transformer.blocks.named_modules() if hasattr(m, "in_features")}
    assert changed(plain, weights(model)) == linears
    sha = library.record(manifest(NAME))["relighting_lora/adapter_model.safetensors"].sha256
    assert relit.files == {**model.files, "loras/adapter_model": sha}
    assert relit.notes == (f"the LoRA adapter_model changes {len(linears)} tensors",)
    animated = adapt(model, Mode.ANIMATE, SETTINGS, library)
    assert changed(plain, weights(model)) == set()
    assert (animated.files, animated.notes) == (model.files, ())
    assert adapt(model, Mode.REPLACE, replace(SETTINGS, relight=0.0), library).files == model.files


def test_loras_compose_and_only_what_a_change_touches_is_derived_again(load: Load, library: Library, own: str) -> None:
    model = load()
    adapt(model, Mode.REPLACE, SETTINGS, library)
    relit = weights(model)
    both = replace(SETTINGS, loras=(LoraUse(name=own, strength=0.5),))
    made = adapt(model, Mode.REPLACE, both, library)
    assert changed(relit, weights(model)) == {"blocks.1.ffn.0.weight"}
    assert {f"loras/{own}", "loras/adapter_model"} < made.files.keys()
    assert own in made.notes[1]
    halved = weights(model)
    adapt(model, Mode.REPLACE, replace(both, loras=(LoraUse(name=own, strength=1.0),)), library)
    assert changed(halved, weights(model)) == {"blocks.1.ffn.0.weight"}
    adapt(model, Mode.REPLACE, SETTINGS, library)
    assert changed(relit, weights(model)) == set()


def test_a_lora_that_is_not_there_is_unavailable(load: Load, library: Library, own: str) -> None:
    with pytest.raises(Unavailable, match=f"no LoRA 'nothing' .* {own}"):
        adapt(load(), Mode.ANIMATE, replace(SETTINGS, loras=(LoraUse(name="nothing"),)), library)


def test_a_model_without_a_relighting_lora_says_so_when_it_replaces(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_ANIMATE_PUPPET", str(untrained(tmp_path / "puppet")))
    model = load_model("puppet")
    assert adapt(model, Mode.ANIMATE, SETTINGS, library).notes == (RANDOM_WEIGHTS,)
    assert "no relighting LoRA" in adapt(model, Mode.REPLACE, SETTINGS, library).notes[-1]


@pytest.fixture
def complete(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small model that brings its relighting LoRA and another one for few steps."""
    package = tmp_path / "package"
    shutil.copytree(PUPPET, package / "puppet")
    linear = load_model("puppet").transformer.get_submodule("blocks.2.ffn.0")
    for i, name in enumerate(("relight", "fast")):
        torch.manual_seed(i)
        halves = {"down": torch.randn(2, linear.in_features), "up": torch.randn(linear.out_features, 2)}
        named = {f"diffusion_model.blocks.{i}.ffn.0.lora_{half}.weight": value for half, value in halves.items()}
        save_file(named, package / "puppet" / f"{name}.safetensors")
    monkeypatch.setattr(library_room, "MANIFESTS", package / "manifests")
    return package / "puppet"


def test_the_small_model_relights_by_the_lora_that_lies_beside_it(complete: Path, library: Library) -> None:
    model, settings = load_model("puppet"), Settings()
    plain = weights(model)
    relit = adapt(model, Mode.REPLACE, settings, library)
    assert changed(plain, weights(model)) == {"blocks.0.ffn.0.weight"}
    assert relit.files["loras/relight"] == sha256_file(complete / "relight.safetensors")
    full = weights(model)["blocks.0.ffn.0.weight"] - plain["blocks.0.ffn.0.weight"]
    adapt(model, Mode.REPLACE, replace(settings, relight=0.5), library)
    half = weights(model)["blocks.0.ffn.0.weight"] - plain["blocks.0.ffn.0.weight"]
    torch.testing.assert_close(half, full / 2, atol=1e-5, rtol=1e-4)
    assert adapt(model, Mode.REPLACE, replace(settings, relight=0.0), library).files == model.files
    assert changed(plain, weights(model)) == set()


def test_a_lora_that_a_model_brings_is_asked_for_by_its_name(complete: Path, library: Library, own: str) -> None:
    model = load_model("puppet")
    plain = weights(model)
    four = Settings(steps=4, loras=(LoraUse(name="fast"),))
    assert adapt(model, Mode.ANIMATE, four, library).files.keys() - model.files.keys() == {"loras/fast"}
    assert changed(plain, weights(model)) == {"blocks.1.ffn.0.weight"}
    with pytest.raises(Unavailable, match=f"no LoRA 'fast' .* {own}"):
        adapt(load_model(NAME, library=library), Mode.ANIMATE, replace(SETTINGS, loras=four.loras), library)


def test_another_folder_may_be_the_small_model_with_the_loras_that_lie_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, library = untrained(tmp_path / "trained"), Library(tmp_path / "models")
    path = trained / "puppet.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"area": 4096}))
    monkeypatch.setenv("WAN_ANIMATE_PUPPET", str(trained))
    assert installed.find_relight(library, "puppet") is None
    for name in ("relight", "fast"):
        save_file({"up": torch.zeros(1)}, trained / f"{name}.safetensors")
    assert (installed.sizes_of("puppet").area, load_model("puppet").area) == (4096, 4096)
    assert installed.find_relight(library, "puppet") == trained / "relight.safetensors"
    assert installed.find_lora(library, "puppet", "fast") == trained / "fast.safetensors"


def test_the_small_models_manifest_names_every_file_in_its_folder() -> None:
    there = {path.relative_to(PUPPET).as_posix() for path in PUPPET.rglob("*") if path.is_file()}
    assert {file.path for file in manifest("puppet").files} == there


def test_every_change_of_loras_changes_the_keys_of_segments(load: Load, library: Library, own: str) -> None:
    model, signals = load(), Noise(Mode.REPLACE, 9, 48, 32)
    (part,) = whole(9, SETTINGS)

    def key(settings: Settings) -> str:
        return assembly.segment_key(adapt(model, Mode.REPLACE, settings, library), signals, settings, part, "")

    uses = ((), (LoraUse(name=own),), (LoraUse(name=own, strength=0.5),))
    keys = {key(replace(SETTINGS, relight=relight, loras=loras)) for relight in (0.0, 0.5, 1.0) for loras in uses}
    assert len(keys) == 9
    before = key(replace(SETTINGS, loras=uses[1]))
    path = library.root / "loras" / f"{own}.safetensors"
    save_file({name: tensor * 2 for name, tensor in load_file(path).items()}, path)
    assert key(replace(SETTINGS, loras=uses[1])) != before
