"""The HTTP routes of blobs: uploads that go on where they broke off, and the faces in a picture. Knows no jobs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from wan_animate_blender.wire import BadInput, Faces

from . import faces
from .blobs import Blobs, UploadError
from .door import AtDesk, Digest, guarded
from .refusals import Refusal
from .video import read_character

_BUFFER = 1 << 20
"""Bytes of an upload that are written at once."""

_UPLOAD_STATUS = {"wrong-offset": 416, "too-large": 413, "wrong-hash": 400, "store-full": 507}

routes = guarded()


@routes.head("/blobs/{sha256}")
def ask_for_blob(sha256: Digest, desk: AtDesk) -> Response:
    """200 when the blob is here; else 404 with the bytes of it that are, in `Upload-Offset`."""
    if desk.blobs.has(sha256):
        return Response()
    return Response(status_code=404, headers={"Upload-Offset": str(desk.blobs.offset(sha256))})


@routes.put("/blobs/{sha256}")
async def put_blob(sha256: Digest, request: Request, desk: AtDesk) -> JSONResponse:
    """The body is the blob, or with `Content-Range: bytes a-b/total` a piece of it: 201 whole, 202 more to come."""
    start, total = _place(request)
    if sha256 in desk.uploading:
        raise Refusal(409, "busy", f"the blob {sha256} is being uploaded by somebody else; try again in a moment")
    desk.uploading.add(sha256)
    try:
        received = await _receive(sha256, start, total, request, desk.blobs)
    except UploadError as error:
        offset = {"Upload-Offset": str(desk.blobs.offset(sha256))}
        raise Refusal(_UPLOAD_STATUS[error.reason], error.reason, str(error), headers=offset) from error
    except ClientDisconnect as error:  # nobody hears this; the client asks for the offset and goes on
        raise Refusal(400, "broken-off", "the upload broke off; go on where it ended") from error
    except OSError as error:
        raise Refusal(
            507, "no-room", f"the server cannot keep the upload ({error.strerror}); make room there"
        ) from error
    finally:
        desk.uploading.discard(sha256)
    return JSONResponse({"received": received}, 201 if desk.blobs.has(sha256) else 202)


@routes.get("/blobs/{sha256}/faces")
async def show_faces(sha256: Digest, desk: AtDesk) -> JSONResponse:
    """The faces in an uploaded picture, so that a character can be looked at before anything is rendered with it."""
    if not desk.blobs.has(sha256):
        raise Refusal(404, "not-found", f"there is no blob {sha256} here; upload it first")
    try:
        found = await run_sync(_find_faces, desk.blobs.path(sha256), limiter=desk.looking)
    except BadInput as error:
        sentence = "the file is no picture that can be read, too large or cut short; choose a whole PNG or JPEG file"
        raise Refusal(422, "bad-picture", sentence) from error
    return JSONResponse(found.to_json())


def _find_faces(file: Path) -> Faces:
    return faces.find(read_character(file))


def _place(request: Request) -> tuple[int, int | None]:
    """First byte and total length of an upload; None where the length shows only at its end."""
    given = request.headers.get("Content-Range")
    if given is None:
        length = request.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", given)
    start, last, total = map(int, match.groups()) if match else (0, 0, 0)
    if not start <= last < total:
        raise Refusal(400, "bad-range", f"Content-Range is {given[:60]!r}, expected 'bytes first-last/total'")
    return start, total


async def _receive(sha256: str, start: int, total: int | None, request: Request, blobs: Blobs) -> int:
    """Keep what the body holds. Returns the bytes of the blob that are here."""
    known = blobs.has(sha256)
    if not known:
        await run_sync(blobs.begin, sha256, start, total)
    async for data in _pieces(request):
        if not known:
            await run_sync(blobs.append, sha256, data)
    offset = blobs.path(sha256).stat().st_size if known else blobs.offset(sha256)
    if not known and (total is None or offset >= total):
        await run_sync(blobs.finish, sha256)
    return offset


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces worth a write; what came before a lost connection is not lost."""
    piece = bytearray()
    try:
        async for data in request.stream():
            piece += data
            if len(piece) >= _BUFFER:
                yield bytes(piece)
                piece.clear()
    except ClientDisconnect:
        yield bytes(piece)
        raise
    yield bytes(piece)
