"""The process `wan-animate`: runs a command and ends with the exit code that says how it went."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

from wan_animate_blender.wire import ExitCode, Problem

from .cli import app

log = logging.getLogger(__name__)

_USAGE = 2
"""How typer ends when the command line makes no sense."""

_SIGNALS = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


def main() -> int:
    """Run the command line; returns its exit code. Errors that a person can act on are one sentence on stderr."""
    # OpenMP's threads spin while they wait for each other. On cores that Blender or another render uses too, that made
    # a render ten times slower, so they sleep; this process and the worker that it may start inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        app(prog_name="wan-animate")
    except SystemExit as end:
        if end.code in _SIGNALS.values():
            _say("interrupted; what is finished is kept, and the same command goes on from there")
        return ExitCode.BAD_INPUT if end.code == _USAGE else int(end.code or ExitCode.DONE)
    except Problem as error:
        _say(str(error))
        return error.exit_code
    # The boundary of the process: a script must tell our bugs from bad input.
    except Exception:
        log.exception("this is a bug of wan-animate")
        return ExitCode.BUG
    return ExitCode.DONE


def _stop(number: int, _: FrameType | None) -> None:
    """Unwinds everything, and is no `Exception` that somebody on the way could take for a failure."""
    raise SystemExit(_SIGNALS[signal.Signals(number)])


def _say(sentence: str) -> None:
    sys.stderr.write(f"wan-animate: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
