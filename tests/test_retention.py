"""What goes from a server's data folder and what never does: any set of jobs, blobs and segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_server.retention import DAY, LATELY, Inode, Kind, Piece, Policy, choose

NOW = 2_000_000_000.0

ages = st.one_of(st.floats(0, 2 * LATELY), st.floats(0, 100 * DAY))
sizes = st.integers(0, 1000)


@st.composite
def stocks(draw: st.DrawFn) -> list[Piece]:
    """Blobs, and jobs in every state that have some of them under a name of their own; segments and what else lies
    about."""
    blobs = {(1, i): draw(sizes) for i in range(draw(st.integers(0, 6)))}

    def piece(kind: Kind, index: int, shared: dict[Inode, int], *flags: str) -> Piece:
        said = {flag: draw(st.booleans()) for flag in flags}
        return Piece(kind=kind, name=f"{index}", used=NOW - draw(ages), own=draw(sizes), shared=shared, **said)

    found = [piece(Kind.BLOB, i, {inode: size}) for i, (inode, size) in enumerate(blobs.items())]
    found = [replace(blob, own=0) for blob in found]
    for index in range(draw(st.integers(0, 6))):
        having = draw(st.sets(st.sampled_from(sorted(blobs)))) if blobs else set()
        found.append(piece(Kind.JOB, index, {inode: blobs[inode] for inode in having}, "needed", "unfetched"))
        if draw(st.booleans()):
            found.append(piece(Kind.PREVIEWS, index, {}))
    found += [piece(Kind.SEGMENT, index, {}, "needed") for index in range(draw(st.integers(0, 5)))]
    return found + [piece(Kind.UPLOAD, index, {}) for index in range(draw(st.integers(0, 2)))]


policies = st.builds(Policy, st.none() | st.floats(1, 60), st.none() | st.integers(0, 12_000))


def total(stock: Sequence[Piece]) -> int:
    """Bytes of the folder; what has several names counts once."""
    return sum(piece.own for piece in stock) + sum({i: n for p in stock for i, n in p.shared.items()}.values())


def left(stock: Sequence[Piece], gone: Sequence[Piece]) -> list[Piece]:
    """A job takes its previews along."""
    names = {(piece.kind, piece.name) for piece in gone}
    jobs = {piece.name for piece in gone if piece.kind is Kind.JOB}
    return [
        p for p in stock if (p.kind, p.name) not in names and not (p.kind is Kind.PREVIEWS and p.name in jobs)
    ]  # fmt: skip


def is_held(blob: Piece, stock: Sequence[Piece]) -> bool:
    return any(set(blob.shared) & set(piece.shared) for piece in stock if piece is not blob)


@given(stocks(), policies)
def test_nothing_that_is_needed_ever_goes_and_nothing_goes_twice(stock: list[Piece], policy: Policy) -> None:
    gone = choose(stock, policy, used=total(stock), now=NOW)
    assert not [piece for piece in gone if piece.needed]
    assert len({(piece.kind, piece.name) for piece in gone}) == len(gone)
    assert all(any(piece is known for known in stock) for piece in gone)
    rest = left(stock, gone)
    for job in (piece for piece in rest if piece.kind is Kind.JOB):
        there = {inode for piece in rest if piece.kind is Kind.BLOB for inode in piece.shared}
        before = {inode for piece in stock if piece.kind is Kind.BLOB for inode in piece.shared}
        assert set(job.shared) & before <= there, "what a job has stays known, so that it is not uploaded again"


@given(stocks(), policies)
def test_room_is_made_as_far_as_that_is_possible(stock: list[Piece], policy: Policy) -> None:
    rest = left(stock, choose(stock, policy, used=total(stock), now=NOW))
    if policy.limit is None or total(rest) <= policy.limit:
        return
    stays = [p for p in rest if not (p.needed or p.unfetched or p.kind is Kind.UPLOAD or NOW - p.used < LATELY)]
    assert all(piece.kind is Kind.BLOB and is_held(piece, rest) for piece in stays), "all else that may go is gone"


@given(stocks(), st.floats(1, 60))
def test_by_age_goes_what_is_old_and_nothing_else(stock: list[Piece], days: float) -> None:
    gone = choose(stock, Policy(days), used=total(stock), now=NOW)
    for piece in gone:
        scratch = piece.kind in (Kind.UPLOAD, Kind.PREVIEWS)
        assert NOW - piece.used >= (min(days, 1) if scratch else days) * DAY
    for piece in left(stock, gone):
        if not piece.needed and NOW - piece.used >= days * DAY:
            assert is_held(piece, left(stock, gone))


@given(stocks())
def test_without_a_policy_only_half_uploads_and_previews_go(stock: list[Piece]) -> None:
    gone = choose(stock, Policy(), used=total(stock), now=NOW)
    assert {piece.kind for piece in gone} <= {Kind.UPLOAD, Kind.PREVIEWS}
    assert all(NOW - piece.used > DAY for piece in gone)


@given(stocks(), st.integers(0, 12_000), st.integers(0, 12_000))
def test_a_smaller_limit_never_keeps_what_a_larger_one_removes(stock: list[Piece], one: int, other: int) -> None:
    small, large = (choose(stock, Policy(None, n), used=total(stock), now=NOW) for n in sorted((one, other)))
    assert small[: len(large)] == large


@given(stocks())
def test_room_for_what_fits_is_not_made(stock: list[Piece]) -> None:
    gone = choose(stock, Policy(None, total(stock) * 10 // 9 + 1), used=total(stock), now=NOW)
    assert {piece.kind for piece in gone} <= {Kind.UPLOAD, Kind.PREVIEWS}


def old(kind: Kind, name: str, days: float, **more: object) -> Piece:
    return Piece(kind=kind, name=name, used=NOW - days * DAY, own=100, **more)  # type: ignore[arg-type]


def test_what_costs_least_goes_first_and_of_each_what_was_of_use_longest_ago() -> None:
    stock = [
        old(Kind.JOB, "new", 2), old(Kind.JOB, "old", 9), old(Kind.JOB, "dear", 20, unfetched=True),
        old(Kind.SEGMENT, "s", 3), old(Kind.SEGMENT, "t", 1), old(Kind.PREVIEWS, "new", 0.9),
    ]  # fmt: skip
    gone = choose(stock, Policy(None, 1), used=600, now=NOW)
    assert [(p.kind, p.name) for p in gone] == [
        ("previews", "new"), ("segment", "s"), ("segment", "t"), ("job", "old"), ("job", "new")
    ]  # fmt: skip
    assert choose(stock, Policy(None, 500), used=600, now=NOW) == gone[:2]


@pytest.mark.parametrize(("days", "goes"), [(30, False), (19, True)])
def test_a_take_that_nobody_fetched_goes_by_age_alone(days: float, goes: bool) -> None:
    stock = [old(Kind.JOB, "dear", 20, unfetched=True)]
    assert choose(stock, Policy(days, 1), used=100, now=NOW) == stock * goes


@given(stocks(), st.integers(1000, 12_000), st.integers(0, 20_000))
def test_room_is_made_for_what_somebody_brings_unless_it_can_never_fit(
    stock: list[Piece], limit: int, more: int
) -> None:
    gone = choose(stock, Policy(None, limit), used=total(stock), now=NOW, more=more)
    rest = left(stock, gone)
    if more > limit:
        assert gone == choose(stock, Policy(None, limit), used=total(stock), now=NOW)
    elif total(rest) + more > limit:
        assert gone == choose(stock, Policy(None, 0), used=total(stock), now=NOW), "all that may go is gone"


def test_what_was_of_use_within_the_hour_is_not_removed_for_room() -> None:
    ages = {Kind.SEGMENT: LATELY - 1, Kind.BLOB: LATELY + 1, Kind.JOB: LATELY - 1}
    stock = [Piece(kind=kind, name=kind, used=NOW - age, own=100) for kind, age in ages.items()]
    assert [piece.kind for piece in choose(stock, Policy(None, 1), used=300, now=NOW)] == [Kind.BLOB]


@pytest.mark.parametrize("needed", [True, False])
def test_a_blob_goes_with_the_last_job_that_has_it_and_no_sooner(needed: bool) -> None:
    shared = {(1, 1): 100}
    blob = replace(old(Kind.BLOB, "b", 5), own=0, shared=shared)
    first, second = old(Kind.JOB, "first", 9, shared=shared), old(Kind.JOB, "second", 4, shared=shared, needed=needed)
    gone = choose([blob, first, second], Policy(None, 1), used=300, now=NOW)
    assert gone == ([first] if needed else [first, second, blob])
