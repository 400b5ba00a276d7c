"""Names of models and LoRAs → models ready to run, from the files that this machine has. Knows no shot folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import platformdirs
import torch

from wan_animate_blender.wire import BadInput, Mode, Precision, Settings, Unavailable

from .library import LORAS, Library, Manifest, manifest, manifests
from .library import RELIGHT as RELIGHT
from .memo import Memo
from .names import NEEDED, Part
from .pipeline import PROMPT, Model, encode_prompt
from .placement import Residence
from .sizes import Sizes, read_sizes
from .weights import find_device, read_model, read_released, read_text

EMBEDDED = "puppet"
RELEASED = "wan-animate-14b"
MODELS = (EMBEDDED, RELEASED)
"""What pictures can be made with, when its files are here."""


def load_model(
    name: str,
    *,
    device: str = "cpu",
    precision: Precision = Precision.FP32,
    residence: Residence = Residence.RESIDENT,
    library: Library | None = None,
) -> Model:
    """The model `name` on `device`; `residence` says where its weights lie meanwhile.

    Raises `Unavailable` when the model or the device is not there, `BadInput` when the model's files do not fit.
    """
    place = find_device(device)
    if name == EMBEDDED:
        return read_model(name, Library().folder(find_manifest(name)), place, precision)
    library, model = library or Library(), find_manifest(name)
    folder = library.require(model, NEEDED)
    return read_released(
        name, folder, hashes(library, model), sizes=sizes_of(name), device=place, precision=precision,
        residence=residence, memo=prompt_memo(library, model, precision),
    )  # fmt: skip


def find_manifest(name: str) -> Manifest:
    """Raises `Unavailable` for a name that is no model's."""
    if name not in MODELS:
        raise Unavailable(f"there is no model {name!r}; choose one of: {', '.join(MODELS)}")
    return manifest(name)


def sizes_of(name: str) -> Sizes:
    """Without its files. Raises `Unavailable`."""
    model = find_manifest(name)
    return read_sizes(Library().folder(model) / f"{name}.json") if model.embedded else Sizes()


def installed(library: Library | None = None) -> tuple[str, ...]:
    """Names of the models all of whose files are here."""
    library, known = library or Library(), manifests()
    return tuple(n for n in MODELS if not {file.part for file in library.lacking(known[n])} & set(NEEDED))


def hashes(library: Library, model: Manifest, parts: tuple[str, ...] = NEEDED) -> dict[str, str]:
    """SHA-256 of the files that the networks come from, by path; nothing is read."""
    named = {file.path: file.part for file in model.files}
    record = library.record(model)
    return {path: entry.sha256 for path, entry in record.items() if named.get(path, path.split("/")[0]) in parts}


def prompt_memo(library: Library, model: Manifest, precision: Precision) -> Memo:
    """Where encoded prompts are kept between runs: they depend on encoder, tokenizer and precision."""
    files = hashes(library, model, (Part.TEXT.value, "tokenizer"))
    folder = platformdirs.user_cache_path("wan-animate", appauthor=False) / "prompts"
    return Memo(folder, " ".join([*sorted(files.values()), precision]))


def adapt(model: Model, mode: Mode, settings: Settings, library: Library | None = None) -> Model:
    """`model` with exactly the LoRAs that `settings` ask for, which its `files` and `notes` then name.

    The transformer is changed in place, and changed back by the next call. Raises `Unavailable` for a LoRA that is not
    in the library, `BadInput` for one that does not fit.
    """
    library, notes = library or Library(), list(model.notes)
    wanted = [(find_lora(library, model.name, use.name), use.strength) for use in settings.loras]
    if mode is Mode.REPLACE and settings.relight:
        if (relight := find_relight(library, model.name)) is not None:
            wanted.insert(0, (relight, settings.relight))
        else:
            notes.append(f"the model {model.name} has no relighting LoRA here: the character keeps its own light")
    if model.loras is None:
        raise BadInput(f"the model {model.name} cannot carry LoRAs; leave them out")
    loras = [(model.loras.open(path), strength) for path, strength in wanted]
    model.loras.apply(loras)
    files = {f"{LORAS}/{lora.name}": lora.sha256 for lora, _ in loras}
    return replace(model, files=model.files | files, notes=(*notes, *(lora.report for lora, _ in loras)))


def find_lora(library: Library, model: str, name: str) -> Path:
    """The file of a LoRA that came with the model, or else in the library. Raises `Unavailable`."""
    found = library.loras(find_manifest(model))
    if name not in found:
        folder = library.root / LORAS
        raise Unavailable(
            f"there is no LoRA {name!r} in {folder}; put its file there, or use: {', '.join(sorted(found))}"
        )
    return found[name]


def find_relight(library: Library, name: str) -> Path | None:
    """The relighting LoRA of a model, where it is here."""
    return next(iter(library.brought(find_manifest(name), RELIGHT)), None)


@torch.inference_mode()
def keep_default_prompt(library: Library, model: Manifest) -> None:
    """Encode the default prompt for good, so that umT5 need not be read for it again; where its files are here."""
    if {file.part for file in library.lacking(model)} & {Part.TEXT.value, "tokenizer"}:
        return
    memo, cpu = prompt_memo(library, model, Precision.BF16), torch.device("cpu")
    text, tokenizer = read_text(library.folder(model), sizes_of(model.name), cpu, Precision.BF16)
    memo.get(("text", PROMPT), lambda: encode_prompt(text, tokenizer(PROMPT), cpu), lasting=True)
