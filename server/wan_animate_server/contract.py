"""What the OpenAPI description says of routes that read and write messages of the wire. Knows no route.

Routes read bodies themselves, within their limits and with the wire's own sentences, so that FastAPI must be told.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from wan_animate_blender.wire import ErrorReply, Message

_REFERENCE = "#/components/schemas/{model}"

_WHY = {
    400: "the request is no sense",
    401: "the token is missing, wrong or expired",
    403: "this may not be asked for here",
    404: "there is no such thing",
    409: "not in this state",
    413: "too large",
    416: "goes on elsewhere",
    422: "what was sent cannot be used",
    426: "the two sides are of different wire versions",
    507: "the server's disk is full",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may refuse with these statuses."""
    return {status: {"model": ErrorReply, "description": _WHY[status]} for status in statuses}


def bytes_of(kind: str, what: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route whose success is not JSON."""
    content = {kind: {"schema": {"type": "string", "contentMediaType": kind}}}
    return {200: {"description": what, "content": content}}


def body(*messages: type[Message]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads one of `messages` itself."""
    references = [{"$ref": _REFERENCE.format(model=message.__name__)} for message in messages]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, *messages: type[Message]) -> None:
    """Let the description of `app` also say that a token is wanted, and what `messages` its routes read themselves."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        said = described()
        parts = said.setdefault("components", {})
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        said["security"] = [{"token": []}]
        known = parts.setdefault("schemas", {})
        for message in messages:
            schema = TypeAdapter(message).json_schema(ref_template=_REFERENCE)
            for name, part in (schema.pop("$defs", {}) | {message.__name__: schema}).items():
                known.setdefault(name, part)
        return said

    app.openapi = openapi  # type: ignore[method-assign]
