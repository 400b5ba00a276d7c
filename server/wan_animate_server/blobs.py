"""Uploaded files by their SHA-256: resumable, checked, never half of one. Knows neither jobs nor HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wan_animate_blender.wire import FileEntry, sha256_file

from .capacity import Capacity

LIMIT = 4 << 30
"""Bytes of one blob at most: a float EXR frame of 16k pixels is below, nothing in a shot folder is larger."""


class UploadError(Exception):
    """An upload that cannot be accepted; `reason` is a word for programs, the text a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class Blobs:
    """The blobs below `folder`."""

    folder: Path
    capacity: Capacity
    _using: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Held while a blob is found or removed, so that none goes after somebody was told that it is here."""

    @property
    def incoming(self) -> Path:
        """Uploads that are not whole yet."""
        return self.folder / "incoming"

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether it is here; its time then says that somebody had use of it."""
        with self._using, suppress(FileNotFoundError):
            os.utime(self.path(sha256))
            return True
        return False

    def remove(self, sha256: str, since: float) -> bool:
        """Forget a blob, unless somebody had use of it after `since`, in seconds since 1970. False: it is still here.

        Jobs that have it keep it: they have names of their own for it, or copies.
        """
        with self._using, suppress(FileNotFoundError):
            if self.path(sha256).stat().st_mtime > since:
                return False
            self.path(sha256).unlink()
        return True

    def check(self, sha256: str) -> bool:
        """Whether it is what its name says; forgotten when it is not, so that it is asked for again."""
        with suppress(FileNotFoundError):
            if sha256_file(self.path(sha256)) == sha256:
                return True
            self.path(sha256).unlink()
        return False

    def offset(self, sha256: str) -> int:
        """Bytes of an unfinished upload that are here."""
        part = self._part(sha256)
        return part.stat().st_size if part.exists() else 0

    def missing(self, files: Iterable[FileEntry]) -> tuple[str, ...]:
        """Those of `files` that must be uploaded, each once."""
        return tuple(sorted({entry.sha256 for entry in files if not self.has(entry.sha256)}))

    def begin(self, sha256: str, start: int, total: int | None) -> None:
        """Make ready to append at byte `start` of `total`, as far as that is known; 0 begins anew.

        Raises `UploadError` ("wrong-offset", "too-large", "store-full").
        """
        part = self._part(sha256)
        self._expect_room(start, (total or 0) - start)
        part.parent.mkdir(parents=True, exist_ok=True)
        if start == 0:
            part.write_bytes(b"")
        elif start != self.offset(sha256):
            raise UploadError("wrong-offset", f"the upload goes on at byte {self.offset(sha256)}, not at {start}")

    def append(self, sha256: str, data: bytes) -> None:
        """Keep the next bytes, also when the upload breaks off after them.

        Raises `UploadError` ("too-large", "store-full"), and keeps nothing of a file that is too large.
        """
        try:
            self._expect_room(self.offset(sha256), len(data))
        except UploadError as error:
            if error.reason == "too-large":
                self._part(sha256).unlink()
            raise
        with self._part(sha256).open("ab") as file:
            file.write(data)
        self.capacity.note(len(data))

    def finish(self, sha256: str) -> None:
        """Check the upload and give it its name. Raises `UploadError` ("wrong-hash") and keeps nothing then."""
        part = self._part(sha256)
        given = sha256_file(part)
        if given != sha256:
            part.unlink()
            raise UploadError("wrong-hash", f"what arrived has the SHA-256 {given}, expected {sha256}; send it again")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
        part.replace(self.path(sha256))

    def _expect_room(self, here: int, more: int) -> None:
        if here + more > LIMIT:
            raise UploadError("too-large", f"the file has more than {LIMIT} bytes, which no file of a shot has")
        if not self.capacity.has_room(more):
            raise UploadError(
                "store-full",
                f"the server's store is full: it may hold {self.capacity.limit} bytes; remove jobs that are no longer "
                "needed, or ask its owner for a larger --store-limit",
            )

    def _part(self, sha256: str) -> Path:
        return self.incoming / f"{sha256}.part"
