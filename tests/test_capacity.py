"""A limit for what a server keeps: what is beyond it is refused with a sentence, and taken when there is room again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_server.capacity import Capacity, used

from .serving import PATIENCE, Running, serving
from .test_server import blob, refusal

LIMIT = 10_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server"), "--store-limit", str(LIMIT / 1e9)) as running:
        yield running


def test_an_upload_beyond_the_limit_is_refused_and_taken_when_there_is_room_again(server: Running) -> None:
    first, second = blob(6_000_000, 1), blob(5_000_000, 2)
    assert server.call("PUT", first[1], data=first[0]).status_code == 201
    said = refusal(server.call("PUT", second[1], data=second[0]), 507, "store-full")
    assert str(LIMIT) in said.message and "--store-limit" in said.message
    assert server.call("PUT", blob(1000, 3)[1], data=blob(1000, 3)[0]).status_code == 201, "what fits is taken"
    assert used(server.data) <= LIMIT
    next(server.data.glob("blobs/??/" + hashlib.sha256(first[0]).hexdigest())).unlink()
    end = time.monotonic() + PATIENCE
    while server.call("PUT", second[1], data=second[0]).status_code != 201:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_an_upload_that_does_not_say_how_long_it_is_ends_at_the_limit_and_goes_on_later(server: Running) -> None:
    data, path = blob(20_000_000, 4)
    pieces = (data[at : at + 500_000] for at in range(0, len(data), 500_000))
    refusal(server.call("PUT", path, data=pieces), 507, "store-full")
    assert used(server.data) <= LIMIT
    assert 0 < int(server.call("HEAD", path).headers["Upload-Offset"]) < LIMIT


def test_a_file_with_several_names_counts_once_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/file").write_bytes(bytes(1000))
    os.link(tmp_path / "a/file", tmp_path / "a/b/other")
    before = used(tmp_path)
    (tmp_path / "a/away").symlink_to("/")
    assert before == 1000
    assert used(tmp_path) < 2000


def test_without_a_limit_nothing_is_counted(tmp_path: Path) -> None:
    assert Capacity(tmp_path / "nowhere", None).has_room(1 << 60)
    assert not Capacity(tmp_path, 99).has_room(100)
    assert Capacity(tmp_path, 100).has_room(100)
