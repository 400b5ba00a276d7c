"""What of a server's data goes when it is old or room is short, and what never does. Arithmetic; knows no files."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

DAY = 86400.0

LATELY = 3600.0
"""Seconds for which what somebody had use of is not removed to make room: who fetched a take may want it again at once,
and who uploads a shot has not queued it yet."""

_SCRATCH_SECONDS = DAY
"""After which half an upload and small pictures for the page go, whatever is kept: both come again when asked for."""

_FULL = 0.9
"""Of the limit: what room is made for, so that the next uploads find some."""

Inode = tuple[int, int]


class Kind(enum.StrEnum):
    """What lies in a data folder, in the order in which the old of it goes."""

    JOB = "job"
    """A job of the queue, with its folder: export, takes, log."""
    BLOB = "blob"
    """An uploaded file."""
    SEGMENT = "segment"
    """A finished segment, which the same shot finds again."""
    UPLOAD = "upload"
    """A part of a file that is not whole yet."""
    PREVIEWS = "previews"
    """Small pictures of a job, made for the page."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Something that is removed as a whole or not at all."""

    kind: Kind
    name: str
    """Of a job and its previews the id, of all others the file or folder."""
    used: float
    """When somebody last had use of it, in seconds since 1970; of a job, when it ended or was fetched."""
    own: int = 0
    """Bytes that nothing else has."""
    shared: Mapping[Inode, int] = field(default_factory=dict)
    """Bytes of files with other names: blobs are hard links of what exports have."""
    needed: bool = False
    """A job that has not ended, or what one goes on from: never removed."""
    unfetched: bool = False
    """A take that is done and that nobody fetched: never removed to make room."""


@dataclass(frozen=True)
class Policy:
    """How long and how much is kept; None is for ever and all."""

    days: float | None = None
    limit: int | None = None
    """Bytes of the whole data folder."""


def choose(stock: Iterable[Piece], policy: Policy, *, used: int, now: float, more: int = 0) -> list[Piece]:
    """What goes, in order; `used` is how many bytes the data folder has, `more` how many somebody wants to bring.

    First what is old, jobs before the blobs that only they needed. Then, while there are more bytes than the policy
    allows, what costs least: previews, blobs, segments, then takes that were fetched and jobs that made none; of each
    what was of use longest ago.
    """
    shelf = _Shelf(stock, used)
    for kind in Kind:
        for piece in shelf.of(kind):
            if _is_old(piece, policy, now) and not shelf.is_held(piece):
                shelf.drop(piece)
    if policy.limit is not None:
        _make_room(shelf, _goal(policy.limit, more), now - LATELY)
    return shelf.gone


def _goal(limit: int, more: int) -> int:
    """Bytes that may stay. For what does not fit into an empty folder, nothing is thrown out."""
    return min(round(limit * _FULL), limit - more if more <= limit else limit)


def _is_old(piece: Piece, policy: Policy, now: float) -> bool:
    age = now - piece.used
    if piece.kind in (Kind.UPLOAD, Kind.PREVIEWS) and age > _SCRATCH_SECONDS:
        return True
    return policy.days is not None and age >= policy.days * DAY


def _make_room(shelf: _Shelf, goal: int, since: float) -> None:
    """Drop what nobody had use of `since`, until no more than `goal` bytes are used."""
    for kind in (Kind.PREVIEWS, Kind.BLOB, Kind.SEGMENT, Kind.JOB):
        for piece in shelf.of(kind):
            if piece.used > since or piece.unfetched or shelf.is_held(piece):
                continue
            for part in (piece, *shelf.released_by(piece, since)):
                if shelf.used <= goal:
                    return
                shelf.drop(part)


class _Shelf:
    """What is there, and what of it is gone already."""

    def __init__(self, stock: Iterable[Piece], used: int) -> None:
        self.used = used
        self.gone: list[Piece] = []
        self._there: dict[tuple[Kind, str], Piece] = {(piece.kind, piece.name): piece for piece in stock}
        self._holders = Counter(inode for piece in self._there.values() for inode in piece.shared)
        self._blobs = {inode: p for p in self._there.values() if p.kind is Kind.BLOB for inode in p.shared}

    def of(self, kind: Kind) -> Sequence[Piece]:
        """Of one kind what may go at all, what was of use longest ago first."""
        found = (piece for piece in self._there.values() if piece.kind is kind and not piece.needed)
        return sorted(found, key=lambda piece: (piece.used, piece.name))

    def is_held(self, piece: Piece) -> bool:
        """Whether it is a blob that a job has, too: removing it would give nothing back."""
        return piece.kind is Kind.BLOB and any(self._holders[inode] > 1 for inode in piece.shared)

    def released_by(self, job: Piece, since: float) -> Iterator[Piece]:
        """Blobs that nobody has any more once `job` is gone, without those that were of use `since`. Ask before."""
        if job.kind is Kind.JOB:
            for inode in job.shared:
                blob = self._blobs.get(inode)
                if blob and blob.used <= since and not self._is_gone(blob):
                    yield blob

    def drop(self, piece: Piece) -> None:
        """It goes, and with a job its previews; a blob that somebody else has stays."""
        if self.is_held(piece):
            return
        del self._there[piece.kind, piece.name]
        self.used -= piece.own
        for inode, size in piece.shared.items():
            self._holders[inode] -= 1
            self.used -= 0 if self._holders[inode] else size
        self.gone.append(piece)
        if piece.kind is Kind.JOB and (previews := self._there.pop((Kind.PREVIEWS, piece.name), None)):
            self.used -= previews.own

    def _is_gone(self, piece: Piece) -> bool:
        return (piece.kind, piece.name) not in self._there
