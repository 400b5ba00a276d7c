"""Settings written as NAME=VALUE: what is written is what is meant, and all else is refused in one sentence."""

from __future__ import annotations

import enum
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_blender.wire import (
    SETTING_NAMES,
    Convention,
    Extra,
    Finish,
    Format,
    LoraUse,
    Naming,
    Plan,
    Precision,
    Settings,
    Solver,
    WireError,
    overridden,
)

PLAIN = Settings()
name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
finishes = st.builds(
    Finish, feather=st.none() | st.floats(0, 4096), format=st.sampled_from(Format), seams=st.floats(0, 1),
    layers=st.lists(st.sampled_from(Extra), unique=True).map(tuple),
    naming=st.builds(
        Naming, convention=st.sampled_from([Convention.PLAIN, Convention.FROM_1001]), show=name, shot=name,
        first=st.none() | st.integers(0, 999999),
    ),
)  # fmt: skip
settings = st.builds(
    Settings,
    model=name, steps=st.integers(1, 1000), guidance=st.floats(1, 20), seed=st.integers(0, 2**63 - 1),
    segment=st.integers(2, 100).map(lambda n: 4 * n + 1), overlap=st.sampled_from((1, 5)),
    precision=st.sampled_from(Precision), solver=st.sampled_from(Solver), plan=st.sampled_from(Plan),
    area=st.none() | st.integers(1024, 2**24), prompt=st.none() | name, relight=st.floats(0, 2), roi=st.booleans(),
    loras=st.lists(st.builds(LoraUse, name=name, strength=st.floats(-4, 4)), max_size=2).map(tuple),
    region_grow=st.none() | st.floats(0, 4096), finish=finishes,
)  # fmt: skip


def written(message: Any, prefix: str = "") -> list[str]:
    """Every field as a person would write it."""
    said = []
    for field in fields(message):
        value = getattr(message, field.name)
        if is_dataclass(value):
            said += written(value, f"{prefix}{field.name}.")
        else:
            said.append(f"{prefix}{field.name}={spelled(value)}")
    return said


def spelled(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(map(spelled, value))
        case LoraUse():
            return f"{value.name} {value.strength!r}"
        case enum.Enum():
            return str(value.value)
        case float():
            return repr(value)
    return str(value)


@given(settings, settings)
def test_what_is_written_is_what_is_meant(wanted: Settings, before: Settings) -> None:
    assert overridden(before, written(wanted)) == wanted


def test_all_settings_have_a_name() -> None:
    assert [one.partition("=")[0] for one in written(PLAIN)] == list(SETTING_NAMES)


@given(settings)
def test_without_assignments_nothing_changes(before: Settings) -> None:
    assert overridden(before, ()) == before


@given(settings, st.integers(1, 1000), st.integers(1, 1000))
def test_the_last_of_several_counts_and_all_else_stays(before: Settings, first: int, last: int) -> None:
    assert overridden(before, [f"steps={first}", f"steps={last}"]) == replace(before, steps=last)


@given(st.sampled_from(SETTING_NAMES), st.text(max_size=40))
def test_whatever_is_written_is_taken_or_refused_in_one_sentence(field: str, text: str) -> None:
    try:
        overridden(PLAIN, [f"{field}={text}"])
    except WireError as error:
        assert "expected" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("steps", "setting is 'steps', expected NAME=VALUE, such as steps=4"),
        ("stepps=4", "setting is 'stepps', expected one of model, precision, steps,"),
        ("finish=1", "setting is 'finish', expected one of model"),
        ("steps=four", 'Settings.steps is "four", expected a whole number'),
        ("steps=4.5", "Settings.steps is 4.5, expected a whole number"),
        ("steps=", 'Settings.steps is "", expected a whole number'),
        ("steps=0", "steps is 0, expected a number from 1 to 1000"),
        ("roi=yes", 'Settings.roi is "yes", expected true or false'),
        ("guidance=NaN", "Settings.guidance is NaN, expected a finite number"),
        ("finish.seams=2", "seams is 2.0, expected a strength from 0 (off) to 1"),
        ("finish.format=jpeg", 'Settings.finish.format is "jpeg", expected one of plate, png8'),
        ("finish.layers=pose,pose", "layers is pose, pose, expected each layer once"),
        ("loras=costume much", 'Settings.loras[0].strength is "much", expected a number'),
        ("loras=costume 1 2", "item of a list is 'costume 1 2', expected name and strength"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(assignment: str, sentence: str) -> None:
    with pytest.raises(WireError) as refused:
        overridden(PLAIN, [assignment])
    assert str(refused.value).startswith(sentence)


def test_settings_that_fit_only_together_are_taken_in_any_order() -> None:
    for assignments in (["overlap=1", "segment=5"], ["segment=5", "overlap=1"]):
        assert overridden(PLAIN, assignments) == replace(PLAIN, segment=5, overlap=1)
    with pytest.raises(WireError, match="more frames than the overlap of 5"):
        overridden(PLAIN, ["segment=5"])


def test_a_lora_without_a_strength_has_all_of_it() -> None:
    wanted = LoraUse(name="light"), LoraUse(name="costume", strength=0.6)
    assert overridden(PLAIN, ["loras=light, costume 0.6,"]).loras == wanted
