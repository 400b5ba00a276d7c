"""The segment store: finished segments by the hash of everything they depend on. Knows no shot and no model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from wan_animate_blender.wire import list_files, write_atomically

from .ownership import is_orphan, part_of, writing
from .pipeline import StoredSegment
from .sampling import Step

log = logging.getLogger(__name__)

_LISTING = "files.json"
_BEGUN = ".begun"
_BEGUN_SECONDS = 7 * 86400.0
"""For which the steps of a segment that was stopped wait for somebody who goes on."""
_DIGEST = 32
"""Bytes of a SHA-256, which go before what they are of."""


class SegmentStore:
    """Finished segments by key, each a folder that appears whole. What is damaged counts as absent.

    Implements `pipeline.Store`.
    """

    def __init__(self, folder: Path) -> None:
        """Raises `BadInput` when `folder` cannot be written."""
        self._folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._remove_orphans()

    def has(self, key: str) -> bool:
        """Whether it is stored; its folder's time then says that somebody had use of it."""
        with contextlib.suppress(OSError):  # not there; or not ours to change, and then `get` says what it is
            os.utime(self._folder / key)
        return (self._folder / key).is_dir()

    def get(self, key: str) -> StoredSegment | None:
        folder = self._folder / key
        if not self.has(key):
            return None
        try:
            listed = json.loads((folder / _LISTING).read_bytes())
            found = {path: entry.to_json() for path, entry in list_files(folder, {_LISTING}).items()}
            if found != listed:
                raise ValueError("its files are not those that were stored")
            return _read_segment(folder)
        except (OSError, ValueError) as error:
            log.warning("the stored segment %s is damaged (%s) and is rendered again", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def put(self, key: str, segment: StoredSegment) -> None:
        """Raises `BadInput` when there is no room for it."""
        part = part_of(self._folder, key[:16])
        try:
            with writing(self._folder):
                _write_segment(part, segment)
                if not (self._folder / key).is_dir():  # else somebody stored the same segment meanwhile
                    part.rename(self._folder / key)
                self._begun(key).unlink(missing_ok=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def begun(self, key: str) -> Step | None:
        """The last step of a segment that was stopped; None where there is none, or a damaged one."""
        try:
            digest, data = (said := self._begun(key).read_bytes())[:_DIGEST], said[_DIGEST:]
        except OSError:
            return None
        if hashlib.sha256(data).digest() != digest:
            log.warning("the steps that were kept in %s are damaged and are taken again", self._begun(key))
            return None
        held = safetensors.torch.load(data)
        estimates = tuple(held[name] for name in sorted(held) if name.startswith("estimate"))
        return Step(int(held["index"]), held["sample"], held["start"], estimates)

    def keep(self, key: str, step: Step) -> None:
        """Remember how far a segment came. Where there is no room for it, it is rendered from its beginning again."""
        held = {"index": torch.tensor(step.index), "sample": step.sample.cpu(), "start": step.start.cpu()}
        held |= {f"estimate{i}": estimate.cpu() for i, estimate in enumerate(step.estimates)}
        data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in held.items()})
        try:
            write_atomically(self._begun(key), hashlib.sha256(data).digest() + data)
        except OSError as error:
            log.warning("the steps of an unfinished segment cannot be kept (%s)", error)

    def _begun(self, key: str) -> Path:
        return self._folder / f".{key}{_BEGUN}"

    def _remove_orphans(self) -> None:
        """Remove half-written segments of processes that ended, and steps that nobody went on from for long."""
        for begun in self._folder.glob(f".*{_BEGUN}"):
            with contextlib.suppress(FileNotFoundError):  # finished by another process meanwhile
                if time.time() - begun.stat().st_mtime > _BEGUN_SECONDS:
                    begun.unlink()
        for part in self._folder.glob(".*.part"):
            if is_orphan(part):
                shutil.rmtree(part, ignore_errors=True)


def _read_segment(folder: Path) -> StoredSegment:
    """Raises `OSError` when a part is absent, as in what earlier versions stored."""
    parts = (("frames", np.float16), ("tail", np.float32), ("head", np.float16))
    return StoredSegment(**{name: _load(folder / f"{name}.npy", kind) for name, kind in parts})


def _write_segment(part: Path, segment: StoredSegment) -> None:
    part.mkdir()
    _save(part / "frames.npy", segment.frames)
    _save(part / "tail.npy", segment.tail)
    _save(part / "head.npy", segment.head)
    listing = {path: entry.to_json() for path, entry in list_files(part).items()}
    write_atomically(part / _LISTING, json.dumps(listing).encode())


def _load(path: Path, kind: type[np.floating[Any]]) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    if array.dtype != kind:
        raise ValueError(f"{path.name} holds {array.dtype}")
    return array


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
