"""What the buttons of the page do: the same as the routes of programs, from a form's fields. Knows no HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from wan_animate_blender.wire import BadInput, Job, Priority, Retake

from .. import orders, turns
from ..door import Desk
from ..refusals import Refusal

T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """A button that was pressed."""

    job: Job
    form: Mapping[str, str]
    who: str
    """The name of the token of whoever pressed it."""
    desk: Desk

    def number(self, field: str) -> int:
        """Raises `Refusal` for what is no whole number."""
        try:
            return int(self.form.get(field, ""))
        except ValueError as error:
            given = self.form.get(field, "")[:40]
            raise Refusal(422, "bad-number", f"{field} is {given!r}, expected a whole number") from error


def _first(order: Order) -> str:
    if not order.desk.jobs.move(order.job.id, None):
        raise Refusal(409, "not-queued", f"the job {order.job.id} does not wait any more; look at the queue again")
    return order.job.id


def _prioritise(order: Order) -> str:
    priority = _understood(lambda: Priority(priority=order.number("priority"))).priority
    if not order.desk.jobs.prioritise(order.job.id, priority):
        raise Refusal(409, "over", f"the job {order.job.id} has ended; only one that has not has a priority")
    return order.job.id


def _retake(order: Order) -> str:
    first, last = order.number("first"), order.number("last")
    seed = order.number("seed") if order.form.get("seed") else None
    retake = _understood(lambda: Retake(first=first, last=last, seed=seed))
    return orders.queue_retake(order.job, retake, order.who, order.desk).id


def _remove(order: Order) -> str:
    orders.remove_job(order.job, order.desk)
    return ""


def _asked(route: Callable[[Job, Desk], object]) -> Callable[[Order], str]:
    """What a route without a message does, and the job it is done to."""

    def do(order: Order) -> str:
        route(order.job, order.desk)
        return order.job.id

    return do


def _understood(make: Callable[[], T]) -> T:
    try:
        return make()
    except BadInput as error:
        raise Refusal(422, "bad-request", str(error)) from error


DEEDS: dict[str, Callable[[Order], str]] = {
    "cancel": _asked(orders.cancel_job),
    "retry": _asked(orders.retry_job),
    "pause": _asked(turns.pause_job),
    "resume": _asked(turns.resume_job),
    "first": _first,
    "priority": _prioritise,
    "retake": _retake,
    "remove": _remove,
}
"""By the last part of a form's address; each returns the id of the job to open next. They raise `Refusal`."""
