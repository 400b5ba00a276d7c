"""How every command ends, and what went wrong in one sentence. Knows no message and no folder."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How every command of this product ends (the BSD sysexits where one fits)."""

    DONE = 0
    BAD_INPUT = 64
    UNAVAILABLE = 69
    BUG = 70
    TRY_ELSEWHERE = 75
    INTERRUPTED = 130
    TERMINATED = 143


class Problem(Exception):
    """Something a person can act on. Its text is one sentence: what was given, what was expected, what to do."""

    exit_code = ExitCode.BUG


class BadInput(Problem, ValueError):
    """What was given cannot be used; the same call fails again."""

    exit_code = ExitCode.BAD_INPUT


class WireError(BadInput):
    """A message or a folder does not follow the contract of this file."""


class Unavailable(Problem):
    """A model, a server or a Blender that is needed is not there."""

    exit_code = ExitCode.UNAVAILABLE


class TryElsewhere(Problem):
    """This machine cannot, another might (GPU memory)."""

    exit_code = ExitCode.TRY_ELSEWHERE


class Interrupted(Problem):
    """Somebody asked the work to stop; what was finished is kept."""

    exit_code = ExitCode.INTERRUPTED
