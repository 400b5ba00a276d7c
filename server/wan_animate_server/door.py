"""Who may come in at the HTTP door, and what the routes behind it work with. Knows neither blobs' bytes nor models.

Every call but the first word of `/v1/health` wants the token, and says which wire version it speaks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated

from anyio import CapacityLimiter, Lock
from fastapi import APIRouter, Depends, Request

from wan_animate_blender.wire import WIRE_HEADER, WIRE_VERSION, Job

from . import contract
from .blobs import Blobs
from .datafolder import DataFolder
from .estimate import Estimates
from .handover import NOTHING_HANDED_OVER, Handover
from .jobs import Jobs
from .keyring import Keyring, Token
from .refusals import Refusal
from .roster import Roster

NEVER_STORED = {"Cache-Control": "no-store"}
_BEARER = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True)
class Desk:
    """What the routes work with."""

    data: DataFolder
    jobs: Jobs
    blobs: Blobs
    keys: Keyring
    handover: Handover = NOTHING_HANDED_OVER
    uploading: set[str] = field(default_factory=set)
    """SHA-256 of the blobs that somebody sends right now. Only the event loop touches it."""
    queueing: Lock = field(default_factory=Lock)
    """Held while a job is made, so that one that is sent again finds the first one made or not begun."""
    looking: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    """Whoever decodes a picture for somebody: one after the other, because a large one takes a gigabyte."""
    estimates: Estimates = field(default_factory=Estimates)
    forecasting: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    """Whoever computes a forecast: one after the other, each in a process of its own."""

    @property
    def roster(self) -> Roster:
        return Roster(self.jobs.database)


async def _desk(request: Request) -> Desk:  # what waits for nothing needs no thread of its own
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


def authorised(request: Request, desk: AtDesk) -> None:
    """Lets in whoever has a token; from then on `request.state` has it, and as `name` whose it is."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    token = holder(secret if scheme.lower() == "bearer" else "", desk.keys)
    request.state.token, request.state.name = token, token.name


def holder(secret: str, keys: Keyring) -> Token:
    """Whose `secret` is. Raises `Refusal` (401) when it is nobody's, or no longer good."""
    token = keys.holder(secret)
    if token is None:
        sentence = "the token is missing or wrong; take the one from this server's token file, or ask its owner for one"
        raise Refusal(401, "unauthorised", sentence, headers=_BEARER)
    if token.is_expired:
        sentence = f"the token of {token.name} has expired; ask this server's owner for another one"
        raise Refusal(401, "expired", sentence, headers=_BEARER)
    return token


async def same_wire(request: Request) -> None:
    given = request.headers.get(WIRE_HEADER)
    if given != str(WIRE_VERSION):
        theirs = "no wire version" if given is None else f"wire version {given[:20]}"
        raise Refusal(
            426, "wire-version", f"you speak {theirs}, this server speaks {WIRE_VERSION}; update the older of the two",
            headers={"Upgrade": f"wan-animate/{WIRE_VERSION}", "Connection": "Upgrade"},
        )  # fmt: skip


def known_job(job: str, desk: AtDesk) -> Job:
    found = desk.jobs.get(job)
    if found is None:
        raise Refusal(404, "not-found", f"there is no job {job[:64]!r} here; ask for /v1/jobs")
    return found


async def _sha256(sha256: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise Refusal(400, "bad-hash", f"{sha256[:80]!r} is no SHA-256; give 64 lower-case hex digits")
    return sha256


KnownJob = Annotated[Job, Depends(known_job)]
Digest = Annotated[str, Depends(_sha256)]


def guarded() -> APIRouter:
    """Routes for whoever has the token and speaks this wire version."""
    return APIRouter(
        prefix="/v1", dependencies=[Depends(authorised), Depends(same_wire)],
        responses=contract.refusals(400, 401, 422, 426, 507),
    )  # fmt: skip


async def body_of(request: Request, limit: int) -> bytes:
    """The body. Raises `Refusal` (413) as soon as it has more than `limit` bytes."""
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > limit:
        raise Refusal(
            413, "too-large", f"the message has {length} bytes, at most {limit} are taken; no message has more"
        )
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > limit:
            raise Refusal(413, "too-large", f"the message has more than {limit} bytes; no message has")
    return bytes(body)
