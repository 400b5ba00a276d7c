"""Everything that a render or a server needs on this machine, looked at one after the other. Changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from . import hardware, premises
from .datafolder import DataFolder, default_data
from .finding import Finding, problem
from .keyring import token_path
from .library import Library

log = logging.getLogger(__name__)

Check = Callable[[], Iterable[Finding]]


def checks(data: Path | None, token_file: Path | None, port: int, verify: bool) -> dict[str, Check]:
    """All that can be looked at, by name. `verify` reads every file of every model."""
    folder = DataFolder((data or default_data()).resolve())
    return {
        "versions": hardware.versions,
        "driver": hardware.driver,
        "kernels": hardware.kernels,
        "memory": hardware.memory,
        "libraries": hardware.libraries,
        "disk": partial(premises.disk, folder),
        "models": partial(premises.models, Library(), verify),
        "port": partial(premises.port, port),
        "token": partial(premises.token, token_path(token_file)),
        "queue": partial(premises.queue, folder),
    }


def examine(checks: dict[str, Check]) -> Iterator[Finding]:
    """What each check finds. One that breaks is a finding, too, and stops no other."""
    for name, look in checks.items():
        try:
            yield from look()
        # A broken installation breaks in ways that nobody listed, and that is what this is for.
        except Exception as error:
            log.debug("the check %s broke", name, exc_info=True)
            said = f"cannot be looked at ({type(error).__name__}: {error})"
            yield problem(name, said, "install the server again; if that does not help, tell its makers")
