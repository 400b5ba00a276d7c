"""People made one after the other: what each is given, how far the whole is, and what stays when one fails."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from wan_animate_blender.chain import chain
from wan_animate_blender.session import Step, Work
from wan_animate_blender.wire import BadInput, Interrupted

STAGES = ("exporting", "uploading", "denoising", "fetching")


def finished(work: Work[str]) -> tuple[list[Step], str]:
    steps = []
    try:
        while True:
            if step := next(work):
                steps.append(step)
    except StopIteration as end:
        return steps, end.value


def making(index: int, base: Path | None) -> Work[Path]:
    yield None
    for stage in STAGES:
        for progress in (0.0, 0.5, 1.0):
            yield Step(stage=stage, progress=progress, message=str(base))
    return Path(f"take{index}")


def test_each_person_stands_before_the_take_of_the_one_behind() -> None:
    steps, last = finished(chain(["Anna", "Ben", "Cleo"], making))
    assert last == "take2"
    assert [step.take for step in steps if step.take] == [Path("take0"), Path("take1"), Path("take2")]
    bases = [(step.person, step.message) for step in steps if step.stage == "exporting" and step.progress == 0]
    assert bases == [("Anna (1 of 3)", "None"), ("Ben (2 of 3)", "take0"), ("Cleo (3 of 3)", "take1")]


@pytest.mark.parametrize("people", [["Anna"], ["Anna", "Ben", "Cleo"]])
def test_the_whole_never_goes_back_and_ends_at_one(people: list[str]) -> None:
    wholes = [step.whole for step in finished(chain(people, making))[0]]
    assert wholes == sorted(wholes)
    assert (wholes[0], wholes[-1]) == (0.0, 1.0)
    assert all(second - first < 0.5 for first, second in pairwise(wholes))


def test_nobody_is_told_apart_who_is_alone() -> None:
    steps, _ = finished(chain(["Anna"], making))
    assert {step.person for step in steps} == {""}


def failing(index: int, base: Path | None) -> Work[Path]:
    yield None
    if index == 1:
        raise BadInput("the rig is gone; choose one")
    return Path(f"take{index}")


def test_the_problem_says_whose_it_is_and_what_stays() -> None:
    with pytest.raises(BadInput, match=r"^Ben: the rig is gone; choose one; what was made of Anna stays$"):
        finished(chain(["Anna", "Ben", "Cleo"], failing))
    with pytest.raises(BadInput, match=r"^the rig is gone; choose one$"):
        finished(chain(["Anna"], lambda _, base: failing(1, base)))


def test_whoever_is_being_made_is_ended_with_the_chain() -> None:
    ended = []

    def patient(index: int, base: Path | None) -> Work[Path]:
        try:
            while True:
                yield None
        finally:
            ended.append(index)

    work = chain(["Anna", "Ben"], patient)
    next(work)
    work.close()
    assert ended == [0]


def test_a_cancelled_chain_is_still_a_cancelled_one() -> None:
    def cancelled(index: int, base: Path | None) -> Work[Path]:
        yield None
        raise Interrupted("the export was cancelled")

    with pytest.raises(Interrupted, match=r"^Anna: the export was cancelled$"):
        finished(chain(["Anna", "Ben"], cancelled))
