"""A real browser before a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from wan_animate_blender.wire import Job

from ..browsing import watching
from ..conftest import QUICK, write_export
from ..serving import Running, serving
from ..trained import untrained


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With the small model before any training, whose pictures are bright enough to be told from nothing."""
    puppet = untrained(tmp_path_factory.mktemp("models") / "puppet")
    with serving(tmp_path_factory.mktemp("server"), WAN_ANIMATE_PUPPET=str(puppet)) as running:
        yield running


@pytest.fixture(scope="session")
def send(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Job]:
    """`send(steps=2, frames=9, **changes)` sends a shot of its own; `changes` are fields of it."""

    def submitted(steps: int = 2, frames: int = 9, **changes: Any) -> Job:
        settings = replace(QUICK, steps=steps)
        return server.submit(write_export(tmp_path_factory.mktemp("shot"), frames, settings=settings, **changes))

    return submitted


@pytest.fixture(scope="session")
def done(server: Running, send: Callable[..., Job]) -> Job:
    """A job whose take is there: 13 frames of 64 × 48 pixels at 24 frames a second, the person at the left."""
    return server.finished(send(frames=13).id)


@contextmanager
def visiting(browser: Browser, server: Running, **how: Any) -> Iterator[BrowserContext]:
    """A fresh browser that may speak with `server` and nobody else."""
    with watching(browser, server.url + "/", base_url=server.url, **how) as context:
        yield context


def come_in(context: BrowserContext, token: str) -> Page:
    page = context.new_page()
    page.goto("/")
    page.fill("#token", token)
    page.press("#token", "Enter")
    page.wait_for_selector("#rows", state="attached")
    return page


@pytest.fixture(scope="session")
def cookies(browser: Browser, server: Running) -> list[Any]:
    """Those of a browser in which the owner has logged in."""
    with visiting(browser, server) as context:
        come_in(context, server.token)
        return context.cookies()


@pytest.fixture
def page(browser: Browser, server: Running, cookies: list[Any]) -> Iterator[Page]:
    """The page as its owner sees it."""
    with visiting(browser, server, viewport={"width": 1280, "height": 1000}) as context:
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto("/")
        yield page
