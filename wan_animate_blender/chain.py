"""The people of a strip, made one after the other, back to front: each stands before the take of the one behind it.

Knows works and folders of takes; neither bpy nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, cast

from .session import Step, Work
from .wire import Problem

SHARES = {"exporting": (0.0, 0.1), "uploading": (0.1, 0.15), "fetching": (0.95, 1.0)}
"""Where each stage begins and ends in the making of one take, roughly."""
RENDERING = (0.15, 0.95)
"""The same for all stages of the server."""

Make: TypeAlias = Callable[[int, Path | None], Work[Path]]
"""Makes the take of one person, told by number, over the take of the person behind; returns its folder."""


def chain(people: Sequence[str], make: Make) -> Work[str]:
    """Make a take for each of `people`; a step with its folder says that one has arrived. Returns the front one's.

    When one fails, those behind it stay, and the problem says whose take is missing.
    """
    base = None
    for index in range(len(people)):
        try:
            base = yield from _placed(make(index, base), index, people)
        except Problem as problem:
            raise _told(problem, people, index) from problem
        whole = (index + 1) / len(people)
        yield Step(stage="arrived", progress=1.0, whole=whole, person=_who(people, index), take=base)
    return str(base)


def _placed(work: Work[Path], index: int, people: Sequence[str]) -> Generator[Step | None, None, Path]:
    """The steps of `work` as part of the whole."""
    try:
        while True:
            step = next(work)
            yield step and replace(step, whole=(index + _share(step)) / len(people), person=_who(people, index))
    except StopIteration as end:
        return cast(Path, end.value)
    finally:
        work.close()


def _share(step: Step) -> float:
    begin, end = SHARES.get(step.stage, RENDERING)
    return begin + (end - begin) * step.progress


def _who(people: Sequence[str], index: int) -> str:
    """Empty where there is only one: then nobody has to be told apart."""
    return f"{people[index]} ({index + 1} of {len(people)})" if len(people) > 1 else ""


def _told(problem: Problem, people: Sequence[str], index: int) -> Problem:
    if len(people) == 1:
        return problem
    stay = f"; what was made of {', '.join(people[:index])} stays" if index else ""
    return type(problem)(f"{people[index]}: {problem}{stay}")
