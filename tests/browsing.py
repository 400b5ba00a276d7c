"""A real browser for tests: Debian's Chromium, driven by Playwright, and what it did that a page must not let it do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
"""No sandbox, because it does not start as root; the rest keeps the browser from calling home."""

SECONDS = 1000.0
PATIENCE = 300 * SECONDS


@contextmanager
def started() -> Iterator[Browser]:
    """A browser of this machine; skips the test where there is none, but in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        sentence = "no Chromium was found: pages are tested in a real browser, install Debian's package chromium"
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@dataclass
class Watched:
    """What a browser did that a page must not let it do."""

    home: str
    """How every address begins that may be asked for."""
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def request(self, url: str) -> None:
        if not url.startswith((self.home, "data:")):
            self.strangers.append(url)


@contextmanager
def watching(browser: Browser, home: str, **how: Any) -> Iterator[BrowserContext]:
    """A fresh browser; at its end it has asked nobody but `home` for anything, and complained of nothing."""
    watched = Watched(home)
    context = browser.new_context(**how)
    context.set_default_timeout(PATIENCE)
    context.on("request", lambda request: watched.request(request.url))
    context.on("weberror", lambda error: watched.complaints.append(str(error.error)))
    context.on("console", lambda said: said.type in ("error", "warning") and watched.complaints.append(said.text))
    yield context
    context.close()
    assert watched.strangers == []
    assert [said for said in watched.complaints if "status of 4" not in said] == []
