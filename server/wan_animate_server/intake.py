"""Model files that somebody has already: what they are, and where in the library they belong."""

from __future__ import annotations

import json
from pathlib import Path

from wan_animate_blender.wire import BadInput, sha256_file

from .checkpoint import identify
from .library import Library, Manifest

TOKENIZER = "tokenizer.json"


def take_in(library: Library, model: Manifest, source: Path) -> list[str]:
    """Import a copy of the released folder, diffusers' folder, or a single file; returns the paths in the library.

    Files are known by the manifest's paths, names and hashes, else by the tensors in them. Raises `BadInput` when
    nothing of `source` belongs to the model.
    """
    if not source.exists():
        raise BadInput(f"there is no {source}, expected model files; check the path")
    with library.locked(model):
        taken = _released(library, model, source) or _other_layout(library, model, source)
    if not taken:
        raise BadInput(
            f"nothing in {source} belongs to {model.name}; expected its released folder, diffusers' folder, "
            "or a file of its transformer, VAE, umT5 or CLIP"
        )
    return taken


def _released(library: Library, model: Manifest, source: Path) -> list[str]:
    """What has the manifest's paths; or its name, and its hash where that is pinned."""
    if source.is_dir():
        found = {file.path: source / file.path for file in model.files if (source / file.path).is_file()}
    else:
        named = [file for file in model.files if Path(file.path).name == source.name]
        found = {file.path: source for file in named if file.sha256 in (None, sha256_file(source))}
    for path, file in found.items():
        library.adopt(model, file, path)
    return list(found)


def _other_layout(library: Library, model: Manifest, source: Path) -> list[str]:
    places = [source, *sorted(p for p in source.iterdir() if p.is_dir())] if source.is_dir() else [source]
    taken = []
    for place in places:
        for part, files in _recognised(place).items():
            taken += library.replace_part(model, part, files)
    return taken


def _recognised(place: Path) -> dict[str, list[Path]]:
    """Files of one folder, or one file, by the part of the model that they are. Raises `BadInput` as `identify`."""
    tokenizer = place / TOKENIZER if place.is_dir() else place
    if tokenizer.name == TOKENIZER and tokenizer.is_file():
        return {"tokenizer": [tokenizer]}
    if place.is_dir() and not any(place.glob("*.safetensors")):
        return {}
    family = identify(place)
    if family.part is None:
        raise BadInput(f"{place} is {family.words}, expected a part of Wan2.2-Animate-14B; choose another file")
    return {family.part.value: _belonging(place)}


def _belonging(place: Path) -> list[Path]:
    """The index and its shards, or the one file."""
    if place.is_file():
        return [place]
    index = sorted(place.glob("*.safetensors.index.json"))
    if not index:
        return sorted(place.glob("*.safetensors"))
    shards = json.loads(index[0].read_text(encoding="utf-8"))["weight_map"].values()
    return [index[0], *(place / shard for shard in sorted(set(shards)))]
