"""Looks at what a server needs around it: disk, models, port, token, queue. Changes nothing but one small file.

Knows no torch.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import requests

from .database import MIGRATIONS
from .datafolder import DataFolder
from .finding import Finding, note, ok, problem
from .keyring import NamedTokens
from .library import Held, Library, Manifest, State, manifests
from .listening import LOOPBACK
from .names import NEEDED

_SAMPLE = 64 << 20
"""Bytes that are written and read to see how fast the disk is."""

_ROOM, _ENOUGH = 2e9, 50e9
"""Bytes below which a render may not end, and below which a studio will soon look here again."""

_SLOW = 50e6
"""Bytes a second below which frames wait for the disk: HD in EXR is 12 MB a frame and layer."""

_ASK_SECONDS = 5.0


def disk(data: DataFolder) -> Iterator[Finding]:
    """Room, and the speed of writing and reading a file of 64 MB."""
    folder = next(path for path in (data.root, *data.root.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:.1f} GB free in {folder}"
    if free < _ROOM:
        yield problem("disk", said, "make room, or name another folder with --data")
        return
    yield note("disk", said, "serve with --store-limit or --keep-days") if free < _ENOUGH else ok("disk", said)
    try:
        writing, reading = _speed(folder)
    except OSError as error:
        yield problem("disk speed", f"cannot write in {folder} ({error.strerror})", "look at its rights")
        return
    said = f"{writing / 1e6:.0f} MB/s written, {reading / 1e6:.0f} MB/s read back"
    if min(writing, reading) < _SLOW:
        yield note("disk speed", said, "frames will wait for it; name a folder on a faster disk with --data")
    else:
        yield ok("disk speed", said)


def _speed(folder: Path) -> tuple[float, float]:
    """Bytes a second to the disk itself, not into its cache, and back, as far as the system forgets its own."""
    piece = os.urandom(1 << 20)  # no disk makes it smaller
    with tempfile.TemporaryFile(dir=folder) as file:
        started = time.perf_counter()
        for _ in range(_SAMPLE // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        written = time.perf_counter()
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        began = time.perf_counter()
        while file.read(len(piece)):
            pass
        return _SAMPLE / (written - started), _SAMPLE / (time.perf_counter() - began)


def models(library: Library, verify: bool) -> Iterator[Finding]:
    """Which are whole; with `verify` every file is read and its hash compared, which takes minutes."""
    for model in manifests().values():
        held = library.held(model)
        about = f"model {model.name}"
        if changed := [file.path for file in held if file.state is State.CHANGED]:
            yield problem(about, f"{changed[0]} is not what arrived", f"wan-animate models verify {model.name}")
        elif verify and (wrong := _wrong(library, model, held)):
            yield problem(about, wrong, f"wan-animate models verify {model.name}")
        else:
            yield _whole(library, model, about, verify)


def _wrong(library: Library, model: Manifest, held: list[Held]) -> str:
    """The first file that is here and is not what it was; "" for none."""
    here = {file.path for file in held if file.state is State.HERE}
    found = (f"{path} {trouble}" for path, trouble in library.verify(model) if trouble and path in here)
    return next(found, "")


def _whole(library: Library, model: Manifest, about: str, verify: bool) -> Finding:
    parts = {file.part for file in model.files}
    needed = set(NEEDED) if set(NEEDED) <= parts or model.embedded else parts  # else it is a mere detector
    lacking = sorted({file.part for file in library.lacking(model)} & needed)
    if not lacking:
        return ok(about, "all that is needed is here" + ", every hash as it was" * verify)
    if model.embedded:
        return problem(about, f"lacks {', '.join(lacking)}", "install this program again")
    return note(about, f"lacks {', '.join(lacking)}", f"wan-animate models pull {model.name}")


def port(number: int) -> Iterator[Finding]:
    """Whether a server could listen at `number`, or does."""
    about, url = f"port {number}", f"http://{LOOPBACK}:{number}/v1/health"
    with socket.socket() as door:
        if os.name == "posix":  # as the server does it; elsewhere it would let two have one port
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((LOOPBACK, number))
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            yield ok(about, "free")
            return
    try:
        ours = requests.get(url, timeout=_ASK_SECONDS).json() == {"alive": True}
    except (requests.RequestException, ValueError):
        ours = False
    if ours:
        yield ok(about, "a server of this kind answers there")
    else:
        yield problem(about, f"cannot be used ({reason})", "end who has it, or serve with another --port")


def token(path: Path) -> Iterator[Finding]:
    """Whether only its owner can read the tokens. What is in them is not looked at."""
    if not path.exists():
        yield ok("token", f"none yet; the first start makes {path}")
        return
    named = NamedTokens(path).folder
    for place in (path, *sorted(named.glob("*.json"))):
        status = place.stat()
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            yield problem("token", f"others may read {place}", f"chmod 600 {place}; wan-animate tokens revoke owner")
        elif os.name == "posix" and status.st_uid != os.getuid():
            yield problem("token", f"{place} is another user's", f"chown it to whoever runs the server: {os.getuid()}")
    yield ok("token", f"in {path}, {len(list(named.glob('*.json')))} named ones beside it")


def queue(data: DataFolder) -> Iterator[Finding]:
    """Whether the queue's file is whole and of this version; it is only read."""
    if not data.queue.exists():
        yield ok("queue", f"none yet; the first start makes {data.queue}")
        return
    try:
        with closing(sqlite3.connect(f"{data.queue.as_uri()}?mode=ro", uri=True, timeout=_ASK_SECONDS)) as connection:
            (made,) = connection.execute("PRAGMA user_version").fetchone()
            (whole,) = connection.execute("PRAGMA quick_check").fetchone()
            states = Counter(row[0] for row in connection.execute("SELECT state FROM jobs"))
    except sqlite3.Error as error:
        yield problem("queue", f"{data.queue} cannot be read ({error})", "bring it back from a backup")
        return
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no jobs"
    if whole != "ok":
        yield problem("queue", f"{data.queue} is damaged ({whole})", "bring it back from a backup")
    elif made > len(MIGRATIONS):
        yield problem("queue", f"of version {made}, this server knows {len(MIGRATIONS)}", "update the server")
    elif made < len(MIGRATIONS):
        yield note("queue", f"of version {made}; {counted}", f"the next start makes it version {len(MIGRATIONS)}")
    else:
        yield ok("queue", f"of version {made}; {counted}")
