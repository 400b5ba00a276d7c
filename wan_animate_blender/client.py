"""The HTTP verbs of a server, and a sentence for each thing that can go wrong. Knows neither bpy nor threads."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import shutil
import uuid
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

import requests
import requests.auth

from . import arrivals
from .wire import (
    SHOT_FILE,
    WIRE_HEADER,
    WIRE_VERSION,
    BadInput,
    ErrorReply,
    Faces,
    FileEntry,
    Forecast,
    Job,
    KnownModel,
    Message,
    Priority,
    Problem,
    Retake,
    Shot,
    Take,
    Unavailable,
    Wanted,
    WireError,
    file_entry,
    write_atomically,
)

CHUNK, PART = 4 << 20, 1 << 18
"""Bytes of one upload request: small enough that a person who cancels does not wait, and a broken line loses little;
and of a download between two yields."""

AS_JSON = {"Content-Type": "application/json"}

FROM_A_PROXY = (502, 503, 504)
"""What a proxy says while the server behind it is away."""

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
"""Longest wait for a connection, and for the next byte of an answer."""

M = TypeVar("M", bound=Message)


class NoAnswer(Unavailable):
    """Nobody answers at the moment: worth asking again."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """What a server says about itself to somebody who has its token."""

    version: str
    models: tuple[str, ...]
    pid: int
    """Of its process, on its machine."""


class Bearer(requests.auth.AuthBase):
    """The token as an `auth` object, because requests lets a netrc file replace a plain header."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


def new_key() -> str:
    """What tells a job from all others before any server knows it: 32 hex digits."""
    return uuid.uuid4().hex


def is_loopback(url: str) -> bool:
    """Whether `url` stays on this machine."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):  # a name, not an address
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


class Server:
    """One server and the token it wants. Not for use by several threads at once."""

    def __init__(self, url: str, token: str) -> None:
        """Raises `BadInput` when `url` is no http address or `token` cannot be sent."""
        self.url = _checked_url(url)
        self._http = requests.Session()
        # A proxy set for the internet must not see, or break, what stays on this machine.
        self._http.trust_env = not is_loopback(self.url)
        # What else that switch reads: who may vouch for a certificate.
        self._http.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._http.auth = Bearer(_checked_token(token))
        self._http.headers[WIRE_HEADER] = str(WIRE_VERSION)

    def health(self) -> Health:
        """Raises `Unavailable` when nothing answers or it speaks another wire version, `BadInput` for a wrong token."""
        said = self._json(self._call("GET", "/v1/health"))
        if "wire" not in said:
            raise BadInput(_wrong_token(self.url))
        if said["wire"] != WIRE_VERSION:
            raise Unavailable(_other_version(self.url, said["wire"]))
        models = tuple(map(str, said.get("models", ())))
        return Health(version=str(said.get("version", "")), models=models, pid=int(said.get("pid", 0)))

    def alive(self) -> None:
        """Raises `Unavailable` unless a Wan Animate server answers, whoever asks."""
        if self._json(self._call("GET", "/v1/health", token=False)).get("alive") is not True:
            raise Unavailable(_not_ours(self.url, "an answer of another kind"))

    def models(self) -> tuple[KnownModel, ...]:
        """What it can render with, and which files for that are there."""
        return tuple(KnownModel.from_json(item) for item in self._json(self._call("GET", "/v1/models"), list))

    def forecast(self, wanted: Wanted) -> Forecast:
        """What a render of these measures would take. Raises `BadInput` for what nobody can render."""
        data = wanted.dumps().encode()
        return self._message(Forecast, self._call("POST", "/v1/forecast", data=data, headers=AS_JSON))

    def submit(
        self, shot: Shot, folder: Path, key: str | None = None, base: str = ""
    ) -> Generator[float, None, Job]:  # fmt: skip
        """Queue `shot`, uploading from `folder` what the server does not know; yields how much is uploaded, 0 to 1.

        Closing the generator leaves what was uploaded on the server, where the next `submit` goes on. With the same
        `key`, from `new_key`, it finds the job of a `submit` before whose answer was lost. With the id of a done job as
        `base` only those frames are rendered that its take lacks; raises `BadInput` when the server has it no more.
        """
        key = key or new_key()
        reply = self._post(shot, key, base)
        while isinstance(reply, ErrorReply):
            yield from self._upload(shot, folder, reply.missing)
            # An answer that misses the same blobs again would turn here for ever.
            missed, reply = reply.missing, self._post(shot, key, base)
            if isinstance(reply, ErrorReply) and set(reply.missing) & set(missed):
                raise Unavailable(f"the server at {self.url} lost what was just uploaded; look into its log")
        return reply

    def faces(self, picture: Path) -> Faces:
        """The faces in a file, which is uploaded for that. Raises `BadInput` when the server cannot read it."""
        entry = file_entry(picture)
        for _ in self._put(picture, entry):
            pass
        return self._message(Faces, self._call("GET", f"/v1/blobs/{entry.sha256}/faces"))

    def job(self, job: str) -> Job:
        return self._message(Job, self._call("GET", f"/v1/jobs/{quote(job)}"))

    def jobs(self, newest: int = 100_000) -> tuple[Job, ...]:
        """The last jobs that came to the server, in their order."""
        said = self._json(self._call("GET", f"/v1/jobs?newest={newest}"), list)
        return tuple(Job.from_json(item) for item in said)

    def cancel(self, job: str) -> Job:
        """Ask `job` to stop; it may be `cancelling` for a while."""
        return self._message(Job, self._call("DELETE", f"/v1/jobs/{quote(job)}"))

    def retry(self, job: str) -> Job:
        """Queue `job` again, which failed or was cancelled. Raises `BadInput` for another."""
        return self._message(Job, self._call("POST", f"/v1/jobs/{quote(job)}/retry"))

    def retake(self, job: str, retake: Retake) -> Job:
        """Queue a new job that makes some frames of `job`, which is done, anew. Raises `BadInput` for another."""
        url = f"/v1/jobs/{quote(job)}/retake"
        return self._message(Job, self._call("POST", url, data=retake.dumps().encode(), headers=AS_JSON))

    def pause(self, job: str) -> Job:
        """Put `job` aside, which waits or runs; it may be `pausing` for a while. Raises `BadInput` for another."""
        return self._message(Job, self._call("POST", f"/v1/jobs/{quote(job)}/pause"))

    def resume(self, job: str) -> Job:
        """Let `job`, which was put aside, go on at the segment where it stood. Raises `BadInput` for another."""
        return self._message(Job, self._call("POST", f"/v1/jobs/{quote(job)}/resume"))

    def prioritise(self, job: str, priority: int) -> Job:
        """Let `job` be rendered before all with a lower priority, −100 to 100. Raises `BadInput` when it has ended."""
        data = Priority(priority=priority).dumps().encode()
        return self._message(Job, self._call("PUT", f"/v1/jobs/{quote(job)}/priority", data=data, headers=AS_JSON))

    def remove(self, job: str) -> None:
        """Let the server forget `job`, which has ended, and its take. Raises `BadInput` for another."""
        self._call("POST", f"/v1/jobs/{quote(job)}/remove")

    def preview(self, job: str) -> bytes:
        """A small PNG of what `job` is making; empty while there is none."""
        reply = self._call("GET", f"/v1/jobs/{quote(job)}/preview", accept=(404,))
        return b"" if reply.status_code == 404 else reply.content

    def take(self, job: str) -> Take:
        """What `job` has rendered so far. Raises `BadInput` while there is nothing."""
        return self._message(Take, self._call("GET", f"/v1/jobs/{quote(job)}/take"))

    def fetch(self, job: str, path: str, entry: FileEntry, target: Path) -> Iterator[float]:
        """Download the file `path` of a take; yields how much has arrived, 0 to 1, while there is more to come.

        `target` appears only when its hash is the one of `entry`.
        """
        data = bytearray()
        try:
            with self._call("GET", f"/v1/jobs/{quote(job)}/frames/{quote(path)}", stream=True) as reply:
                for part in reply.iter_content(PART):
                    data += part
                    if len(data) < entry.size:
                        yield len(data) / entry.size
        except requests.RequestException as error:
            raise NoAnswer(_no_answer(self.url, error)) from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise Unavailable(
                f"{path} arrived damaged from {self.url}: its SHA-256 is not the one announced; try again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, bytes(data))

    def collect(self, job: str, takes: Path) -> Generator[float, None, Path]:
        """Download what is there of the take of `job`; yields how much has arrived, returns the folder below `takes`.

        That is the one in which earlier parts of it are, else the next version. `take.json` lists what is there and
        carries the job and the version that was free here; what has arrived when the download is stopped is not sent
        again, and a folder in which nothing has is removed.
        """
        take = replace(self.take(job), job=job)
        folder = arrivals.fetched(takes, job) or arrivals.begin(takes, take)
        try:
            for count, (path, entry) in enumerate(sorted(take.files.items())):
                if not arrivals.is_here(folder / path, entry):
                    for part in self.fetch(job, path, entry, folder / path):
                        yield (count + part) / len(take.files)
                yield (count + 1) / len(take.files)
            arrivals.note(folder, take)
        except OSError as error:
            raise BadInput(f"cannot write the take to {folder} ({error.strerror or error}); make room there") from error
        finally:
            if not any(path.is_dir() for path in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _post(self, shot: Shot, key: str, base: str) -> Job | ErrorReply:
        """The queued job, or which blobs the server wants first."""
        headers = {**AS_JSON, "Idempotency-Key": key}
        url = f"/v1/jobs?base={quote(base)}" if base else "/v1/jobs"
        reply = self._call("POST", url, accept=(409,), data=shot.dumps().encode(), headers=headers)
        if reply.status_code != 409:
            return self._message(Job, reply)
        said = self._message(ErrorReply, reply)
        if not said.missing:
            raise BadInput(said.message)
        return said

    def _upload(self, shot: Shot, folder: Path, missing: Iterable[str]) -> Iterator[float]:
        wanted = set(missing)
        files = {entry.sha256: (path, entry) for path, entry in shot.files.items() if entry.sha256 in wanted}
        if strangers := wanted - files.keys():
            raise Unavailable(f"the server at {self.url} asks for {min(strangers)}, which this shot does not have")
        total, done = sum(entry.size for _, entry in files.values()) or 1, 0
        for path, entry in files.values():
            for sent in self._put(folder / path, entry):
                yield min((done + sent) / total, 1.0)
            done += entry.size

    def _put(self, path: Path, entry: FileEntry) -> Iterator[int]:
        """Upload one file from where an earlier attempt ended; yields the bytes that the server has."""
        url = f"/v1/blobs/{entry.sha256}"
        known = self._call("HEAD", url, accept=(404,))
        if known.status_code != 404:
            return
        offset = int(known.headers.get("Upload-Offset", "0"))
        with _opened(path, entry) as file:
            file.seek(offset)
            more = True
            while more:
                data = file.read(CHUNK)
                place = {"Content-Range": f"bytes {offset}-{offset + len(data) - 1}/{entry.size}"} if data else {}
                offset += len(data)
                more = self._call("PUT", url, data=data, headers=place).status_code == 202 and offset < entry.size
                yield offset

    def _call(
        self,
        method: str,
        path: str,
        *,
        accept: tuple[int, ...] = (),
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        token: bool = True,
        stream: bool = False,
    ) -> requests.Response:
        """One request. Raises a `Problem` for every answer that is neither a success nor in `accept`."""
        try:
            reply = self._http.request(
                method, self.url + path, data=data, headers=headers, auth=None if token else _nobody,
                timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, stream=stream,
            )  # fmt: skip
        except requests.RequestException as error:
            raise NoAnswer(_no_answer(self.url, error)) from error
        if 200 <= reply.status_code < 300 or reply.status_code in accept:
            return reply
        raise self._problem(reply)

    def _problem(self, reply: requests.Response) -> Problem:
        """The server's own sentence as the error it stands for."""
        try:
            said = ErrorReply.loads(reply.content)
        except WireError:
            kind = NoAnswer if reply.status_code in FROM_A_PROXY else Unavailable
            return kind(_not_ours(self.url, f"status {reply.status_code}"))
        if reply.status_code == 401:
            return BadInput(_wrong_token(self.url))
        if reply.status_code == 426:
            return Unavailable(f"{said.message} (the server at {self.url} and this add-on must be of the same release)")
        return (Unavailable if reply.status_code >= 500 else BadInput)(said.message)

    def _json(self, reply: requests.Response, kind: type = dict) -> Any:
        with contextlib.suppress(ValueError):
            if isinstance(data := json.loads(reply.content), kind):
                return data
        raise Unavailable(_not_ours(self.url, "something that is not its JSON"))

    def _message(self, kind: type[M], reply: requests.Response) -> M:
        return kind.from_json(self._json(reply))


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """In place of the token."""
    return request


def _opened(path: Path, entry: FileEntry) -> BinaryIO:
    """A file of the shot, when it still is what `shot.json` says."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or error}); export the shot again") from error
    if (size := path.stat().st_size) != entry.size:
        file.close()
        raise BadInput(f"{path} has {size} bytes, {SHOT_FILE} says {entry.size}; export the shot again")
    return file


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        good = False
    if not good:
        raise BadInput(f"the server address is {url!r}, expected one such as http://127.0.0.1:8188")
    return url.strip().rstrip("/")


def _checked_token(token: str) -> str:
    token = token.strip()
    if not token:
        raise BadInput("no token is given; copy the one that 'wan-animate serve' shows into the add-on's preferences")
    if not (token.isascii() and token.isprintable()):
        raise BadInput("the token has characters that no token has; copy it again from 'wan-animate serve'")
    return token


def _wrong_token(url: str) -> str:
    return f"the server at {url} does not accept this token; copy the one that 'wan-animate serve' shows"


def _other_version(url: str, theirs: object) -> str:
    return (
        f"the server at {url} speaks wire version {theirs}, this add-on speaks {WIRE_VERSION}; "
        "update the older of the two"
    )


def _not_ours(url: str, what: str) -> str:
    return f"what answers at {url} is not a Wan Animate server (it sent {what}); correct the address"


def _no_answer(url: str, error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {url} is not trusted ({error}); use an address whose certificate is"
    if isinstance(error, requests.Timeout):
        return f"the server at {url} did not answer in time; look whether it is busy or the network is slow"
    if isinstance(error, requests.ConnectionError):
        return f"no server answers at {url}; start one with 'wan-animate serve' or correct the address"
    return f"the connection to {url} broke ({type(error).__name__}); try again"
