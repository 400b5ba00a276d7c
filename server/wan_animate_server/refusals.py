"""Answers of the HTTP door that are no success, each with a word for programs and a sentence for people."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from wan_animate_blender.wire import ErrorReply

from .database import NoRoom

log = logging.getLogger(__name__)


class Refusal(Exception):
    """An answer that is not a success."""

    def __init__(
        self, status: int, error: str, message: str, *, missing: tuple[str, ...] = (), headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers)
        self.reply = ErrorReply(error=error, message=message, missing=missing)


def answer_all(app: FastAPI) -> None:
    """Let `app` answer whatever goes wrong in it by an `ErrorReply`."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(ClientDisconnect, _broken_off)
    app.add_exception_handler(NoRoom, _full)
    app.add_exception_handler(Exception, _broken)


def answer(refusal: Refusal) -> JSONResponse:
    return JSONResponse(refusal.reply.to_json(), refusal.status, refusal.headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return answer(error)


async def _not_served(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    word = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "bad-request")
    return answer(
        Refusal(error.status_code, word, f"{error.detail}; see /v1/openapi.json", headers=error.headers or {})
    )


async def _not_understood(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return answer(Refusal(422, "bad-request", f"the request cannot be understood: {where}: {first['msg']}"))


async def _broken_off(_: Request, __: Exception) -> Response:
    """Nobody hears this."""
    return answer(Refusal(400, "broken-off", "the message broke off; send it again"))


async def _full(_: Request, error: Exception) -> Response:
    return answer(Refusal(507, "no-room", str(error)))


async def _broken(request: Request, error: Exception) -> Response:
    log.error("%s %s: %r", request.method, request.url.path, error)
    return answer(Refusal(500, "bug", "the server has a bug; its log tells more"))
