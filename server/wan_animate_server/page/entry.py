"""Who may see the page: the token by a form, then a session by a cookie. Knows neither jobs nor pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qsl

import anyio
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..door import AtDesk, body_of, holder
from ..jobs import Jobs
from ..refusals import Refusal
from ..roster import Roster
from ..version import version
from . import words
from .look import Look
from .sessions import Session, Sessions, Tries

GUARDS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of everything that the page is made of: nothing of it comes from elsewhere or goes there."""

PRIVATE = GUARDS | {"Cache-Control": "no-store"}

_MOST_FORM = 8 << 10
"""Bytes of a form; a token and a few numbers."""

_WRONG_SECONDS = 0.5
"""That a wrong token takes longer than a right one."""


def as_sentence(refusal: Refusal) -> str:
    """What `refusal` says, as it begins and ends on a page."""
    said = refusal.reply.message
    return f"{said[:1].upper()}{said[1:]}."


routes = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Page:
    """What the page's routes work with, beside the desk."""

    templates: Environment
    look: Look
    sessions: Sessions = field(default_factory=Sessions)
    tries: Tries = field(default_factory=Tries)

    def html(self, name: str, status: int = 200, headers: Mapping[str, str] = {}, **shown: object) -> HTMLResponse:
        """The template `name`; all that is `shown` is escaped."""
        return HTMLResponse(self.part(name, **shown), status, PRIVATE | dict(headers))

    def part(self, name: str, **shown: object) -> str:
        return self.templates.get_template(name).render(shown)


def set_up(app: FastAPI, jobs: Jobs) -> None:
    """Let `app` have the page's sessions and templates, and a look at `jobs`."""
    templates = Environment(
        loader=PackageLoader("wan_animate_server.page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters.update(
        {way.__name__: way for way in (words.standing, words.work, words.left, words.moment, words.memory)}
    )
    templates.globals["version"] = version()
    app.state.page = Page(templates, Look(jobs, Roster(jobs.database)))


def _page(request: Request) -> Page:
    page: Page = request.app.state.page
    return page


ThePage = Annotated[Page, Depends(_page)]


def visitor(request: Request, page: ThePage, desk: AtDesk) -> Session | None:
    """Who looks at the page; None before a token was given, and as soon as that token is good no more."""
    session = page.sessions.find(request.cookies.get(_cookie(request), ""))
    if session is None or not desk.keys.accepts(session.token):
        return None
    request.state.name = session.token.name
    return session


Visitor = Annotated[Session | None, Depends(visitor)]


def known(session: Visitor) -> Session:
    if session is None:
        raise Refusal(401, "unauthorised", "nobody is logged in here any more; open the page and give the token")
    return session


Known = Annotated[Session, Depends(known)]


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent. Raises `Refusal` for one that is too big."""
    body = await body_of(request, _MOST_FORM)
    return dict(parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True))


async def own_form(request: Request, session: Known) -> dict[str, str]:
    """The same, of a form that this session's page made. Raises `Refusal` for any other."""
    form = await form_of(request)
    if not session.made(form.get("word", "")):
        raise Refusal(403, "foreign-form", "this form is not from this page, or from before; open the page again")
    return form


OwnForm = Annotated[dict[str, str], Depends(own_form)]


@routes.post("/page/login")
async def log_in(request: Request, desk: AtDesk, page: ThePage) -> Response:
    """A session for whoever gives a token of this server."""
    form = await form_of(request)
    address = request.client.host if request.client else ""
    if wait := page.tries.wait(address):
        sentence = f"Too many wrong tokens came from here; try again in {math.ceil(wait)} seconds."
        return page.html("login.html", 429, {"Retry-After": str(math.ceil(wait))}, sentence=sentence)
    try:
        token = holder(form.get("token", "").strip(), desk.keys)
    except Refusal as refusal:
        page.tries.failed(address)
        await anyio.sleep(_WRONG_SECONDS)
        return page.html("login.html", refusal.status, sentence=as_sentence(refusal))
    reply = RedirectResponse("/", 303, PRIVATE)
    reply.set_cookie(
        _cookie(request), page.sessions.begin(token), path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return reply


@routes.post("/page/logout")
async def log_out(request: Request, page: ThePage, _: OwnForm) -> Response:
    """End the session, here and in the browser."""
    page.sessions.end(request.cookies[_cookie(request)])
    reply = RedirectResponse("/", 303, PRIVATE)
    reply.delete_cookie(_cookie(request), path="/", httponly=True, samesite="strict")
    return reply


def _cookie(request: Request) -> str:
    """With the port, because a browser gives the cookies of one machine's server to all others there, too."""
    return f"wan-animate-{request.url.port or request.url.scheme}"
