"""Who may use a server: its owner, and whom he gave a named token. Knows no HTTP.

The owner's token is a file with the secret itself, because Blender on the same machine reads it. Of a named token only
the SHA-256 is kept: a secret of 256 random bits cannot be guessed from it, so that a slow hash, which protects what
people think up, would only make every request slow. Each has a file of its own: adding and revoking are atomic, and
two people who do it at once lose nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from wan_animate_blender.wire import BadInput, Message, WireError, check_name

log = logging.getLogger(__name__)

NAME = "wan-animate"
OWNER = "owner"
"""The name of whoever has the server's own token."""

DAY = 86400.0
_SECRET_BYTES = 32
_LOOK_SECONDS = 1.0
"""After which a server looks again who may come in: a revoked token is good for no longer than this."""


@dataclass(frozen=True, kw_only=True)
class Token(Message):
    """Whose it is, and how it is known again; never the secret."""

    name: str
    sha256: str
    created: float
    expires: float | None = None
    """Seconds since 1970; None is never."""

    @property
    def is_expired(self) -> bool:
        return self.expires is not None and time.time() >= self.expires


def token_path(file: Path | None) -> Path:
    """Where the owner's token is: `file`, or the user's configuration."""
    return file or platformdirs.user_config_path(NAME, appauthor=False) / "token"


# --- the owner's ----------------------------------------------------------------------------------


def own_secret(path: Path) -> str:
    """What the owner's file holds; made at first use, for its owner only.

    Raises `BadInput` when the file can be neither read nor written, or is empty.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            _create(path, _new_secret())
        secret = path.read_text(encoding="ascii").strip()
        if secret:
            _keep_from_others(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the token file {path} cannot be used ({error}); name another one with --token-file") from error
    if not secret:
        raise BadInput(f"the token file {path} is empty; delete it, and a new token is made")
    return secret


def renew_own(path: Path) -> None:
    """Put another secret into the owner's file: who has the old one is out. Raises `BadInput`."""
    own_secret(path)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        _create(fresh, _new_secret())
        fresh.replace(path)
    except OSError as error:
        raise BadInput(f"the token file {path} cannot be written ({error}); look at its rights") from error


# --- named ones -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class NamedTokens:
    """The files of named tokens beside the owner's token file `owner`."""

    owner: Path

    @property
    def folder(self) -> Path:
        return self.owner.with_name("tokens")

    def add(self, name: str, days: float | None = None) -> str:
        """Let in whoever has the secret that is returned and kept nowhere. Raises `BadInput`."""
        if check_name(name) == OWNER:
            raise BadInput(f"the name {OWNER!r} is taken by the token in {self.owner}; choose another one")
        secret, now = _new_secret(), time.time()
        token = Token(
            name=name, sha256=_digest(secret), created=now, expires=None if days is None else now + days * DAY
        )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(self._file(name), token.dumps())
        except FileExistsError as error:
            raise BadInput(f"there is a token {name!r} already; revoke it first, or choose another name") from error
        except OSError as error:
            raise BadInput(f"cannot keep a token in {self.folder} ({error.strerror}); look at its rights") from error
        return secret

    def revoke(self, name: str) -> None:
        """Whoever has the token `name` is out. Raises `BadInput` when there is none."""
        try:
            self._file(check_name(name)).unlink()
        except FileNotFoundError as error:
            raise BadInput(f"there is no token {name!r}; 'wan-animate tokens list' names those that are") from error
        except OSError as error:
            raise BadInput(f"cannot remove {self._file(name)} ({error.strerror}); look at its rights") from error

    def all(self) -> tuple[Token, ...]:
        """By name. A file that is damaged lets nobody in."""
        found = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                found.append(Token.loads(file.read_bytes()))
            except FileNotFoundError:  # revoked a moment ago
                continue
            except (OSError, WireError) as error:
                log.warning("the token file %s lets nobody in: %s", file.name, error)
        return tuple(found)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


class Keyring:
    """All tokens that a running server accepts; sees what is added and revoked while it runs. For several threads."""

    def __init__(self, path: Path, secret: str | None = None) -> None:
        """`secret` is the owner's where it comes by the environment; else `path` has it. Raises `BadInput`."""
        self._path, self._secret = path, secret
        self._named = NamedTokens(path)
        self._lock = threading.Lock()
        if secret is None:
            own_secret(path)
        self._look()

    def holder(self, secret: str) -> Token | None:
        """Whose `secret` is; None when it is nobody's. An expired token is found, too."""
        self._look_again()
        found = self._compared(secret)
        if found is None:  # perhaps it was added a moment ago
            self._look()
            found = self._compared(secret)
        return found

    def knows(self, text: str) -> bool:
        """Whether `text` is somebody's secret; one that was added within the last second may be missed."""
        self._look_again()
        return self._compared(text) is not None

    def accepts(self, token: Token) -> bool:
        """Whether a token that was found before is still good."""
        self._look_again()
        return token in self._tokens and not token.is_expired

    def _compared(self, secret: str) -> Token | None:
        """Compare with all, each in constant time: how long it takes says nothing of what is close or which fits."""
        given, found = _digest(secret), None
        for token in self._tokens:
            if hmac.compare_digest(given, token.sha256):
                found = token
        return found

    def _look_again(self) -> None:
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        with self._lock:
            self._tokens = (*self._own(), *self._named.all())
            self._looked = time.monotonic()

    def _own(self) -> tuple[Token, ...]:
        secret = self._secret
        if secret is None:
            with contextlib.suppress(OSError, UnicodeDecodeError):  # removed: nobody has the owner's token then
                secret = self._path.read_text(encoding="ascii").strip()
        return (Token(name=OWNER, sha256=_digest(secret), created=0.0),) if secret else ()


def _new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _create(path: Path, text: str) -> None:
    """A new file that only its owner can read. Raises `FileExistsError`."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _keep_from_others(path: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        log.warning("the token file %s could be read by others; from now on only by its owner", path)
        path.chmod(0o600)
