"""A real browser before a real server: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from wan_animate_blender.wire import Job

from ..conftest import QUICK, write_export
from ..serving import Running, serving

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
"""No sandbox, because it does not start as root; the rest keeps the browser from calling home."""

SECONDS = 1000.0
PATIENCE = 90 * SECONDS


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        sentence = "no Chromium was found: the page is tested in a real browser, install Debian's package chromium"
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server")) as running:
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


@dataclass
class Watched:
    """What a browser did that a page must not let it do."""

    origin: str
    strangers: list[str]
    complaints: list[str]

    def request(self, url: str) -> None:
        if not url.startswith((self.origin + "/", "data:")):
            self.strangers.append(url)


@contextmanager
def visiting(browser: Browser, server: Running, **how: Any) -> Iterator[BrowserContext]:
    """A fresh browser; at its end it has asked nobody else for anything, and complained of nothing."""
    watched = Watched(server.url, [], [])
    context = browser.new_context(base_url=server.url, **how)
    context.set_default_timeout(PATIENCE)
    context.on("request", lambda request: watched.request(request.url))
    context.on("weberror", lambda error: watched.complaints.append(str(error.error)))
    context.on("console", lambda said: said.type in ("error", "warning") and watched.complaints.append(said.text))
    yield context
    context.close()
    assert watched.strangers == []
    assert [said for said in watched.complaints if "status of 4" not in said] == []


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
