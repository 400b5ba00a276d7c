"""The model files of this machine: which there should be, which are there, and whether they are what they were.

A model is a folder with the layout of its repository on the hub. Manifests (JSON beside this file) say what belongs to
it, under which licence, and with which SHA-256 where that is known for certain (*pinned*). Otherwise the hash is
*recorded* when the file first arrives, and checked from then on. Knows no network of the model and no torch.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import platformdirs

from wan_animate_blender.wire import (
    BadInput,
    FileEntry,
    Message,
    TryElsewhere,
    Unavailable,
    check_path,
    file_entry,
    write_atomically,
)

from .download import Source, fetch_all, part_of, size_of
from .names import Part

MANIFESTS = Path(__file__).parent / "manifests"
HUB = "https://huggingface.co"
ROOT_VARIABLE = "WAN_ANIMATE_MODELS"
PUPPET_VARIABLE = "WAN_ANIMATE_PUPPET"
"""Names another folder for the small model than the one that comes with the program: one that is in training."""
RECORD = "record.json"
RELIGHT = "relight"
"""The part of a manifest that is the relighting LoRA."""
LORA = "lora"
"""The part of a manifest that is a LoRA which comes with the model, but for the relighting one."""
UNKNOWN_LICENCE = "as its origin says"
"""Of a file that no manifest names."""
LORAS = "loras"
"""Folder in the library for everybody's own."""
SPARE_BYTES = 1 << 30
"""Left free on the disk, so that a pull does not stop everything else."""


@dataclass(frozen=True, kw_only=True)
class ManifestFile(Message):
    """One file that belongs to a model."""

    path: str
    """In the repository, and below the model's folder."""
    part: str
    """What of the model it is: "transformer", "vae", "text", "clip", "tokenizer", "relight" …"""
    licence: str
    """Its SPDX name; the manifest's `terms` say what it asks."""
    size: int | None = None
    sha256: str | None = None
    """Pinned, where at least two independent public records agree; None is recorded at its first arrival."""


@dataclass(frozen=True, kw_only=True)
class Manifest(Message):
    """What belongs to one model."""

    name: str
    title: str
    repository: str = ""
    """On the hub; empty for what comes with this package."""
    revision: str = ""
    terms: dict[str, str]
    """What each licence asks of whoever uses the files, in a sentence."""
    files: tuple[ManifestFile, ...]

    def __post_init__(self) -> None:
        for file in self.files:
            check_path(file.path)

    @property
    def embedded(self) -> bool:
        """Whether it comes with this package."""
        return not self.repository


@dataclass(frozen=True, kw_only=True)
class Record(Message):
    """`record.json` in a model's folder: what every file was when it arrived."""

    files: dict[str, FileEntry] = field(default_factory=dict)


class State(StrEnum):
    """What is known of a file without reading it."""

    HERE = "here"
    PARTIAL = "partial"
    """A download that can go on."""
    ABSENT = "absent"
    CHANGED = "changed"
    """There, with another size than when it arrived, or put there by hand: import it."""


class HashKind(StrEnum):
    """Where the hash that a file is checked against comes from."""

    PINNED = "pinned"
    RECORDED = "recorded"
    UNKNOWN = "unknown"
    """It will be recorded at its first arrival."""
    PACKAGE = "package"
    """It comes with this program, whose installer knows it."""


@dataclass(frozen=True)
class Held:
    """One file of a model as it stands on this machine."""

    path: str
    state: State
    hash: HashKind
    licence: str
    size: int | None


@dataclass(frozen=True)
class Pulled:
    """News of a pull: `done` of `total` bytes of one file are there."""

    path: str
    done: int
    total: int | None
    finished: bool = False


def manifests() -> dict[str, Manifest]:
    """All models that this version knows, by name."""
    found = (Manifest.loads(path.read_bytes()) for path in sorted(MANIFESTS.glob("*.json")))
    return {manifest.name: _where_it_lies(manifest) for manifest in found}


def _where_it_lies(manifest: Manifest) -> Manifest:
    """The small model in the folder that `WAN_ANIMATE_PUPPET` names has the files that lie there."""
    folder = os.environ.get(PUPPET_VARIABLE)
    if not manifest.embedded or not folder:
        return manifest
    weights = sorted(path.stem for path in Path(folder).glob("*.safetensors") if path.stem not in set(Part))
    files = (
        ManifestFile(path=f"{name}.safetensors", part=name if name == RELIGHT else LORA, licence=UNKNOWN_LICENCE)
        for name in weights
    )
    return replace(manifest, files=(*manifest.files, *files))


def manifest(name: str) -> Manifest:
    """Raises `BadInput` for a name that is not known."""
    known = manifests()
    if name not in known:
        raise BadInput(f"there is no model {name!r}; choose one of: {', '.join(known)}")
    return known[name]


def default_root() -> Path:
    """Where models are kept: `WAN_ANIMATE_MODELS` in the environment, else the user's data folder."""
    said = os.environ.get(ROOT_VARIABLE)
    return Path(said) if said else platformdirs.user_data_path("wan-animate", appauthor=False) / "models"


@dataclass(frozen=True)
class Library:
    """All model folders below `root`."""

    root: Path = field(default_factory=default_root)

    def folder(self, model: Manifest) -> Path:
        if model.embedded:
            return Path(os.environ.get(PUPPET_VARIABLE) or MANIFESTS.parent / model.name)
        return self.root / model.name

    def record(self, model: Manifest) -> dict[str, FileEntry]:
        """What arrived, by path: the manifest's files and what was imported beside them."""
        path = self.folder(model) / RECORD
        return dict(Record.loads(path.read_bytes()).files) if path.is_file() else {}

    def held(self, model: Manifest) -> list[Held]:
        """Every file of the manifest, and every one imported beside them, without reading any."""
        record, named = self.record(model), {file.path: file for file in model.files}
        paths = [*named, *(path for path in record if path not in named)]
        return [self._held(model, path, named.get(path), record.get(path)) for path in paths]

    def _held(self, model: Manifest, path: str, file: ManifestFile | None, entry: FileEntry | None) -> Held:
        target = self.folder(model) / path
        if target.is_file():
            same = model.embedded or (entry is not None and entry.size == target.stat().st_size)
            state = State.HERE if same else State.CHANGED
        else:
            state = State.PARTIAL if part_of(target).exists() else State.ABSENT
        kind = HashKind.PACKAGE if model.embedded else HashKind.RECORDED if entry else HashKind.UNKNOWN
        if file and file.sha256:
            kind = HashKind.PINNED
        size = entry.size if entry else file.size if file else None
        return Held(path, state, kind, file.licence if file else UNKNOWN_LICENCE, size)

    def brought(self, model: Manifest, part: str) -> list[Path]:
        """The files of one part of a model that are here."""
        paths = {file.path for file in model.files if file.part == part}
        here = (held.path for held in self.held(model) if held.path in paths and held.state is State.HERE)
        return [self.folder(model) / path for path in here]

    def loras(self, model: Manifest) -> dict[str, Path]:
        """The LoRAs that a job may ask for by name: what came with the model goes before everybody's own."""
        own = {path.stem: path for path in sorted((self.root / LORAS).glob("*"), reverse=True) if path.is_file()}
        return own | {path.stem: path for path in self.brought(model, LORA)}

    def lacking(self, model: Manifest) -> list[ManifestFile]:
        """Files of the manifest that are not there, but for parts that were imported in another layout."""
        states = {held.path: held.state for held in self.held(model)}
        imported = {path.split("/")[0] for path in self.record(model) if (self.folder(model) / path).is_file()}
        return [file for file in model.files if states[file.path] is not State.HERE and file.part not in imported]

    def require(self, model: Manifest, parts: Collection[str]) -> Path:
        """The folder of a model of which all `parts` are there. Raises `Unavailable`."""
        if lacking := [file.path for file in self.lacking(model) if file.part in parts]:
            raise Unavailable(
                f"the model {model.name} lacks {len(lacking)} of its files, first {lacking[0]}; "
                f"run: wan-animate models pull {model.name}"
            )
        return self.folder(model)

    def pull(self, model: Manifest, base: str = HUB) -> Iterator[Pulled]:
        """Fetch what is not there, several files at a time, with news on the way; close it to stop.

        Raises `TryElsewhere` when the disk is too small, `Unavailable` as `fetch`, `BadInput` when another process is
        at it. Finished files stay; the next pull goes on with the others.
        """
        if model.embedded:
            return
        with self.locked(model):
            sources = {file.path: self._source(model, file, base) for file in self.lacking(model)}
            known = {file.path: file.size for file in model.files}
            sizes = {path: known[path] or size_of(source) for path, source in sources.items()}
            self._check_space(model, sizes)
            for path, news in fetch_all(self.folder(model), sources):
                if isinstance(news, FileEntry):
                    self._note(model, {path: news})
                    yield Pulled(path, news.size, news.size, finished=True)
                else:
                    yield Pulled(path, news, sizes[path])

    def _source(self, model: Manifest, file: ManifestFile, base: str) -> Source:
        """The hub's layout. A file that was here before must come back as it was."""
        recorded = self.record(model).get(file.path)
        url = f"{base.rstrip('/')}/{model.repository}/resolve/{model.revision}/{file.path}"
        return Source(url, file.sha256 or (recorded.sha256 if recorded else None))

    def _check_space(self, model: Manifest, sizes: dict[str, int | None]) -> None:
        parts = [part_of(self.folder(model) / path) for path in sizes]
        there = sum(part.stat().st_size for part in parts if part.exists())
        needed = sum(size or 0 for size in sizes.values()) - there
        free = shutil.disk_usage(self.folder(model)).free
        if sizes and needed + SPARE_BYTES > free:
            raise TryElsewhere(
                f"{model.name} needs {needed / 1e9:.1f} GB more and {self.root} has {free / 1e9:.1f} GB free; "
                f"free some, or choose another folder with --store or {ROOT_VARIABLE}"
            )

    def adopt(self, model: Manifest, source: Path, path: str) -> FileEntry:
        """Take a file that is on this machine already as `path` of the model, by a hard link where the disk has them.

        Raises `BadInput` when it is not the released file, or not the one that was there before.
        """
        target = self.folder(model) / check_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = part_of(target)
        try:
            part.unlink(missing_ok=True)
            _link(source.resolve(strict=True), part)
            entry = file_entry(part)
            known = next((file.sha256 for file in model.files if file.path == path), None)
            if known and entry.sha256 != known:
                raise BadInput(
                    f"{source} is not the released {path}: its SHA-256 is {entry.sha256}, "
                    f"expected {known}; fetch it again"
                )
            part.replace(target)
        except OSError as error:
            raise BadInput(
                f"cannot import {source} ({error.strerror or error}); check that it can be read and the disk has room"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        self._note(model, {path: entry})
        return entry

    def replace_part(self, model: Manifest, part: str, sources: Iterable[Path]) -> list[str]:
        """Take files in another layout as `part` of the model, in place of what was imported as that before.

        Returns their paths. Raises `BadInput` as `adopt`.
        """
        paths = {f"{part}/{source.name}": source for source in sources}
        for path, source in paths.items():
            self.adopt(model, source, path)
        old = [path for path in self.record(model) if path.startswith(f"{part}/") and path not in paths]
        for path in old:
            (self.folder(model) / path).unlink(missing_ok=True)
        self._forget(model, old)
        return list(paths)

    def verify(self, model: Manifest) -> Iterator[tuple[str, str]]:
        """Read every file and say of each path what is wrong with it, "" for nothing."""
        record, lacking = self.record(model), {file.path for file in self.lacking(model)}
        pinned = {file.path: file.sha256 for file in model.files if file.sha256}
        for held in self.held(model):
            path = self.folder(model) / held.path
            expected = pinned.get(held.path) or (record[held.path].sha256 if held.path in record else None)
            if not path.is_file():
                if held.path in lacking or held.path in record:
                    yield held.path, "is absent"
            elif expected is None and not model.embedded:
                yield held.path, "was put there by hand; import the folder, so that its hash is recorded"
            else:
                given = file_entry(path).sha256
                wrong = f"has SHA-256 {given}, expected {expected}; delete it, so that pull or import brings it again"
                yield held.path, "" if expected in (None, given) else wrong

    def remove(self, model: Manifest) -> int:
        """Delete all files of a model; returns how many bytes that freed. Raises `BadInput` for an embedded one."""
        if model.embedded:
            raise BadInput(f"{model.name} comes with this program; it goes when the program is uninstalled")
        folder = self.folder(model)
        if not folder.is_dir():
            return 0
        with self.locked(model):
            size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        shutil.rmtree(folder)
        return size

    def _note(self, model: Manifest, entries: dict[str, FileEntry]) -> None:
        self._write(model, self.record(model) | entries)

    def _forget(self, model: Manifest, paths: Collection[str]) -> None:
        self._write(model, {path: entry for path, entry in self.record(model).items() if path not in paths})

    def _write(self, model: Manifest, files: dict[str, FileEntry]) -> None:
        write_atomically(self.folder(model) / RECORD, Record(files=files).dumps().encode())

    @contextmanager
    def locked(self, model: Manifest) -> Iterator[None]:
        """One process at a time in a model's folder. SQLite's lock is the one that works on three systems and that a
        killed process gives back."""
        self.folder(model).mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.folder(model) / ".lock", timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise BadInput(f"another process is changing {self.folder(model)}; wait until it is done") from error
            yield


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):  # another disk, or a file system without links
        os.link(source, target)
        return
    shutil.copyfile(source, target)
