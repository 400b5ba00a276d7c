"""What Generate and Extend begin: exports and deliveries of a strip's people as one work. Knows no panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from . import background, checks, commission
from .chain import chain
from .client import Server
from .delivery import deliver, expect_job
from .session import Cancelled, Work

NOTHING: Mapping[str, str] = MappingProxyType({})


def generation(
    requests: Sequence[commission.Request], server: Server, begun: Mapping[str, str] = NOTHING
) -> Callable[[Cancelled], Work[str]]:
    """Export and delivery of everybody as one work, the exports in a Blender of its own. Raises `Problem`.

    `begun` names for shots the job whose take is kept: only the frames that it lacks are rendered.
    """
    checks.check_all(requests)
    copy = background.save_copy()
    blender = background.blender(copy, requests)
    commands = [background.command(request) for request in requests]

    def work(cancelled: Cancelled) -> Work[str]:
        def make(index: int, base: Path | None) -> Work[Path]:
            name = requests[index].name
            words = ["--command", *commands[index], *(["--base", str(base)] if base else [])]
            folder = yield from background.export([*blender, *words], copy.name, requests[index].root / name, cancelled)
            return Path((yield from deliver(server, folder, cancelled, base=begun.get(name, ""))))

        with copy:
            for job in begun.values():  # said before anything is exported
                expect_job(server, job)
            return (yield from chain([request.person for request in requests], make))

    return work
