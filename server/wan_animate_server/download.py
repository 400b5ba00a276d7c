"""Files over HTTP into `.part` files beside them: resumed, retried, checked, and only then given their names.

Knows nothing of models. Servers truncate, garble, throttle and forget: whatever arrives, a file that has its final name
is complete and has the expected SHA-256, where one is known.
"""

from __future__ import annotations

import queue
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

import requests

from wan_animate_blender.wire import BadInput, FileEntry, Interrupted, Unavailable, file_entry

ATTEMPTS = 8
"""Of one file in one run; the next run goes on from the `.part` file."""
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
LONGEST_PAUSE = 30.0
GARBLED = 2
"""Times that a whole file may come with another hash: it may have 10 GB."""
TIMEOUT = (10.0, 15.0)
"""Seconds to connect, and to wait for the next bytes."""
DOWNLOADS = 4
"""Files that are fetched at the same time: what one connection leaves of a line, several fill."""
CHUNK = 1 << 20
STOPPED = "the download was stopped; the same command goes on from there"
WHOLE = {"Accept-Encoding": "identity"}
"""Bytes as they are: sizes and ranges of a compressed answer mean something else."""
MISSING = {401, 403, 404, 410}
"""Answers that do not change by asking again."""


@dataclass(frozen=True)
class Source:
    """Where a file comes from, and what is known of it."""

    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class Announced:
    """What the server says of the whole file."""

    size: int | None
    sha256: str | None


class _HiccupError(Exception):
    """Something that may go better next time. Its text is for the sentence after the last attempt."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class _GarbledError(_HiccupError):
    """All of it came, and it is not what it should be."""


def part_of(target: Path) -> Path:
    """Where a file lies until it is complete."""
    return target.with_name(target.name + ".part")


def size_of(source: Source) -> int | None:
    """Bytes of the file, as the server announces them, or None when it does not say. Raises `Unavailable`."""
    try:
        response = requests.head(source.url, headers=WHOLE, allow_redirects=True, timeout=TIMEOUT)
    except requests.RequestException as error:
        why = type(error).__name__
        raise Unavailable(f"{source.url} does not answer ({why}); check the network and the address") from error
    return _announced(response).size


def fetch_all(folder: Path, sources: Mapping[str, Source]) -> Iterator[tuple[str, int | FileEntry]]:
    """Fetch several files at a time: bytes of each on the way, then its entry. The first error ends all."""
    news: queue.SimpleQueue[tuple[str, int | Future[FileEntry]]] = queue.SimpleQueue()
    stop = Event()

    def tell(path: str, what: int | Future[FileEntry]) -> None:
        news.put((path, what))

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        try:
            for path, source in sources.items():
                future = pool.submit(fetch, source, folder / path, stop=stop, progress=partial(tell, path))
                future.add_done_callback(partial(tell, path))
            left = len(sources)
            while left:
                path, what = news.get()
                if isinstance(what, int):
                    yield path, what
                else:
                    left -= 1
                    yield path, what.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def fetch(source: Source, target: Path, *, stop: Event, progress: Callable[[int], None]) -> FileEntry:
    """Bring the file to `target`; `progress` hears how many bytes are there.

    Raises `Unavailable` when the server does not have it, fails `ATTEMPTS` times or sends something else, `BadInput`
    when the disk does not take it, `Interrupted` soon after `stop` is set. What has arrived stays in the `.part` file.
    """
    part, why, garbled = part_of(target), "", 0
    for attempt in range(ATTEMPTS):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            announced = _receive(source, part, stop, progress)
            entry = file_entry(part)
            _check(entry, source.sha256 or announced.sha256, part)
            part.replace(target)
            return entry
        except _HiccupError as error:
            why, pause = str(error), error.pause
            garbled += isinstance(error, _GarbledError)
            if garbled == GARBLED:
                break
        except requests.RequestException as error:
            why, pause = f"the connection broke ({type(error).__name__})", None
        except OSError as error:
            raise BadInput(
                f"cannot write {part} ({error.strerror or error}); free space or choose another folder"
            ) from error
        if stop.wait(min(FIRST_PAUSE * 2**attempt if pause is None else pause, LONGEST_PAUSE)):
            raise Interrupted(STOPPED)
    raise Unavailable(f"{source.url} could not be fetched in {attempt + 1} attempts: {why}; try again later")


def _receive(source: Source, part: Path, stop: Event, progress: Callable[[int], None]) -> Announced:
    """Append to `part` what it lacks. Raises `_HiccupError` when it is not complete afterwards."""
    offset = part.stat().st_size if part.exists() else 0
    headers = WHOLE | ({"Range": f"bytes={offset}-"} if offset else {})
    with requests.get(source.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        _refuse(response, source)
        announced = _announced(response)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if offset != announced.size:
                part.unlink()
                raise _HiccupError("what was there before is longer than the file")
            return announced
        if response.status_code == requests.codes.partial_content:
            _check_range(response, offset, part)
        else:  # the whole file, whatever was asked for
            offset = 0
        with part.open("ab" if offset else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                if stop.is_set():
                    raise Interrupted(STOPPED)
                file.write(chunk)
                progress(file.tell())
    if announced.size is not None and (there := part.stat().st_size) != announced.size:
        raise _HiccupError(f"it ended at {there} of {announced.size} bytes")
    return announced


def _refuse(response: requests.Response, source: Source) -> None:
    status = response.status_code
    if status in MISSING:
        raise Unavailable(f"{source.url} answers {status} {response.reason}; check the address, or who may read it")
    if status == requests.codes.too_many_requests or status >= requests.codes.server_error:
        said = response.headers.get("Retry-After", "")
        raise _HiccupError(f"the server answers {status} {response.reason}", float(said) if said.isdigit() else None)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise Unavailable(f"{source.url} answers with a web page, expected the file; check the address and the network")
    expected = {requests.codes.ok, requests.codes.partial_content, requests.codes.requested_range_not_satisfiable}
    if status not in expected:
        raise Unavailable(f"{source.url} answers {status} {response.reason}, expected the file; check the address")


def _announced(response: requests.Response) -> Announced:
    """Size and hash of the whole file.

    The hub redirects to another host and says on the way what the file is (`X-Linked-Size`, `X-Linked-ETag`).
    """
    sizes, hashes = [], []
    for answer in (*response.history, response):
        sizes.append(answer.headers.get("X-Linked-Size", ""))
        hashes.append(answer.headers.get("X-Linked-ETag", "").strip('W/"'))
    sizes.append(response.headers.get("Content-Range", "").rpartition("/")[2])
    if response.status_code == requests.codes.ok:
        sizes.append(response.headers.get("Content-Length", ""))
    size = next((int(said) for said in sizes if said.isdigit()), None)
    return Announced(size, next((said for said in hashes if re.fullmatch(r"[0-9a-f]{64}", said)), None))


def _check_range(response: requests.Response, offset: int, part: Path) -> None:
    """Whether the bytes that come continue those that are there."""
    if response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        return
    part.unlink(missing_ok=True)
    raise _HiccupError("the server sent another range than was asked for")


def _check(entry: FileEntry, expected: str | None, part: Path) -> None:
    if expected is not None and entry.sha256 != expected:
        part.unlink()
        raise _GarbledError(f"its SHA-256 is {entry.sha256}, expected {expected}")
