"""A small Flamenco Manager for each test that talks to one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .manager import FakeManager, serving


@pytest.fixture
def fake() -> Iterator[FakeManager]:
    """A Manager; nothing but what its document knows may be asked of it."""
    with serving(FakeManager()) as made:
        yield made
    assert made.strange == []
