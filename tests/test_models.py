"""Model files arrive whole or not at all, whatever the server does, and are checked from then on.

Every download goes over a real socket to a real HTTP server that has been told how to misbehave.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
from typer.testing import CliRunner

from wan_animate_blender.wire import BadInput, TryElsewhere, Unavailable
from wan_animate_server import download, library, models
from wan_animate_server.intake import take_in
from wan_animate_server.library import HashKind, Library, Manifest, ManifestFile, Pulled, State

CONTENT = {
    "shard-1.safetensors": bytes(range(256)) * 400,
    "shard-2.safetensors": bytes(range(255, -1, -1)) * 500,
    "sub/Wan2.1_VAE.pth": b"vae" * 30_000,
}
HASHES = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}
PINNED = "shard-1.safetensors"
REPOSITORY, REVISION = "Wan-AI/Small", "abc123"
PATIENCE = 300.0
PATIENT, HASTY = (PATIENCE, PATIENCE), (PATIENCE, 2.0)
"""Seconds to connect and to wait for more: nobody is given up but who never says more."""


class Hub(ThreadingHTTPServer):
    """Serves `CONTENT` in the hub's layout, and does to each file what `plans` says, one request after another."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.plans: dict[str, list[str]] = defaultdict(list)
        self.content = dict(CONTENT)
        self.requests: list[tuple[str, str]] = []
        """Path and range of every GET."""
        self.announces_hashes = True
        self.busy = self.busiest = 0
        self.all_here = threading.Barrier(len(CONTENT))
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is what these tests are about."""

    def ranges(self, path: str) -> list[str]:
        return [asked for asked_path, asked in self.requests if asked_path == path]


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._begin(200, len(self.server.content[self._path]))

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.requests.append((self._path, asked))
        self.server.busy += 1
        self.server.busiest = max(self.server.busiest, self.server.busy)
        plan = self.server.plans[self._path]
        try:
            self._answer(plan.pop(0) if plan else "well", int(asked.removeprefix("bytes=").rstrip("-") or 0))
        finally:
            self.server.busy -= 1

    def _answer(self, what: str, first: int) -> None:
        content = self.server.content[self._path]
        if what.isdigit():
            return self._send(int(what), b"no", {"Retry-After": "0"})
        if what == "a web page":
            return self._send(200, b"<html>please log in</html>", {"Content-Type": "text/html"})
        if what == "garbled":
            content = content[::-1]
        if what == "no ranges" or not first:
            return self._send(200, content, cut=what)
        if first >= len(content):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        start = 0 if what == "another range" else first
        said = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return self._send(206, content[start:], said, cut=what)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: str = "") -> None:
        self._begin(status, len(body), headers)
        if cut == "truncated":
            self.wfile.write(body[: len(body) // 2])
        elif cut == "stalled":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            download.TIMEOUT = PATIENT  # of all that is asked from here on
            self.server.over.wait(PATIENCE)
        elif cut == "slow":
            self.wfile.write(body[: len(body) // 2])
            for start in range(len(body) // 2, len(body), 4096):
                self.wfile.write(body[start : start + 4096])
                time.sleep(0.25)
        elif cut == "together":
            self.server.all_here.wait(PATIENCE)
            self.wfile.write(body)
        else:
            self.wfile.write(body)
        self.close_connection = True

    def _begin(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if self.server.announces_hashes:
            self.send_header("X-Linked-ETag", f'"{HASHES[self._path]}"')
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    @property
    def _path(self) -> str:
        return self.path.removeprefix(f"/{REPOSITORY}/resolve/{REVISION}/")

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks and pauses, so that small files are like large ones."""
    monkeypatch.setattr(download, "CHUNK", 4096)
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(download, "TIMEOUT", PATIENT)


@pytest.fixture
def model() -> Manifest:
    files = tuple(
        ManifestFile(path=path, part=path.split(".")[0], licence="MIT", sha256=HASHES[path] if path == PINNED else None)
        for path in CONTENT
    )
    return Manifest(
        name="small", title="a small model", repository=REPOSITORY, revision=REVISION, terms={"MIT": "do as you like"},
        files=files,
    )  # fmt: skip


@pytest.fixture
def books(tmp_path: Path) -> Library:
    return Library(tmp_path / "models")


def pull(books: Library, model: Manifest, hub: Hub) -> list[Pulled]:
    return list(books.pull(model, hub.url))


def on_disk(books: Library, model: Manifest) -> dict[str, bytes]:
    folder = books.folder(model)
    named = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {path: content for path, content in named.items() if path not in (library.RECORD, ".lock")}


# --- pull -----------------------------------------------------------------------------------------


def test_a_pull_brings_every_file_in_parallel_and_records_the_hashes_that_nobody_knew(
    books: Library, model: Manifest, hub: Hub
) -> None:
    hub.plans |= {path: ["together"] for path in CONTENT}
    before = {held.path: held.hash for held in books.held(model)}
    news = pull(books, model, hub)
    assert on_disk(books, model) == CONTENT
    assert before == {path: HashKind.PINNED if path == PINNED else HashKind.UNKNOWN for path in CONTENT}
    after = books.held(model)
    assert all(held.state is State.HERE and held.hash is not HashKind.UNKNOWN for held in after)
    assert {path: entry.sha256 for path, entry in books.record(model).items()} == HASHES
    assert hub.busiest == len(CONTENT)
    for path, content in CONTENT.items():
        done = [said.done for said in news if said.path == path]
        assert done == sorted(done)
        assert done[-1] == len(content)
        assert len(done) > 3
        assert all(said.total == len(content) for said in news if said.path == path)
    assert pull(books, model, hub) == []


@pytest.mark.parametrize("trouble", ["truncated", "garbled", "stalled", "500", "503", "429"])
@pytest.mark.parametrize("path", [PINNED, "shard-2.safetensors"])
def test_what_a_server_does_once_a_pull_survives(
    trouble: str, path: str, books: Library, model: Manifest, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.plans[path] = [trouble]
    if trouble == "stalled":
        monkeypatch.setattr(download, "TIMEOUT", HASTY)
    pull(books, model, hub)
    assert on_disk(books, model) == CONTENT
    expected = re.compile(r"bytes=[1-9]\d*-") if trouble in ("truncated", "stalled") else re.compile("")
    assert len(hub.ranges(path)) == 2
    assert expected.fullmatch(hub.ranges(path)[1])


def test_a_pull_goes_on_where_the_last_one_stopped(books: Library, model: Manifest, hub: Hub) -> None:
    part = download.part_of(books.folder(model) / PINNED)
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[PINNED][:70_000])
    assert {held.path: held.state for held in books.held(model)}[PINNED] is State.PARTIAL
    pull(books, model, hub)
    assert hub.ranges(PINNED) == ["bytes=70000-"]
    assert on_disk(books, model) == CONTENT


@pytest.mark.parametrize(("trouble", "requests"), [("no ranges", 1), ("another range", 2)])
def test_a_server_that_cannot_resume_does_not_spoil_a_file_whose_hash_nobody_knows(
    trouble: str, requests: int, books: Library, model: Manifest, hub: Hub
) -> None:
    path = "shard-2.safetensors"
    part = download.part_of(books.folder(model) / path)
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[path][:70_000])
    hub.announces_hashes = False
    hub.plans[path] = [trouble]
    pull(books, model, hub)
    assert on_disk(books, model) == CONTENT
    assert len(hub.ranges(path)) == requests


@pytest.mark.parametrize(
    ("there", "requests"),
    [(CONTENT[PINNED], 1), (CONTENT[PINNED] + b"more", 2), (b"x" * len(CONTENT[PINNED]), 2)],
    ids=["complete", "too long", "wrong"],
)
def test_a_part_that_is_complete_too_long_or_wrong_is_recognised(
    there: bytes, requests: int, books: Library, model: Manifest, hub: Hub
) -> None:
    """The server answers 416 to all three."""
    part = download.part_of(books.folder(model) / PINNED)
    part.parent.mkdir(parents=True)
    part.write_bytes(there)
    pull(books, model, hub)
    assert on_disk(books, model) == CONTENT
    assert len(hub.ranges(PINNED)) == requests


@pytest.mark.parametrize(
    ("troubles", "sentence", "requests"),
    [
        (["404"], "answers 404 Not Found; check the address", 1),
        (["403"], "answers 403 Forbidden", 1),
        (["a web page"], "answers with a web page", 1),
        (["500"] * 20, "in 8 attempts: the server answers 500", 8),
        (["truncated", "garbled"] + ["500"] * 20, "8 attempts", 8),
        (["garbled"] * 20, f"in 2 attempts: its SHA-256 is .*, expected {HASHES[PINNED]}", 2),
    ],
)
def test_a_file_that_cannot_be_had_is_refused_with_the_reason_and_never_gets_its_name(
    troubles: list[str], sentence: str, requests: int, books: Library, model: Manifest, hub: Hub
) -> None:
    hub.plans[PINNED] = troubles
    with pytest.raises(Unavailable, match=sentence):
        pull(books, model, hub)
    assert len(hub.ranges(PINNED)) == requests
    assert PINNED not in on_disk(books, model)
    hub.plans.clear()
    pull(books, model, hub)
    assert on_disk(books, model) == CONTENT


def test_a_server_that_is_not_there_is_a_sentence(books: Library, model: Manifest, hub: Hub) -> None:
    gone = hub.url
    hub.shutdown()
    hub.server_close()
    with pytest.raises(Unavailable, match="does not answer"):
        list(books.pull(model, gone))


def test_a_pull_that_is_stopped_keeps_what_came_and_frees_the_folder(books: Library, model: Manifest, hub: Hub) -> None:
    hub.plans |= {path: ["slow"] for path in CONTENT}
    news = books.pull(model, hub.url)
    while next(news).done < 50_000:
        pass
    news.close()
    assert any(path.endswith(".part") for path in on_disk(books, model))
    pull(books, model, hub)
    assert any(asked for _, asked in hub.requests)
    assert on_disk(books, model) == CONTENT


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_fetched(
    books: Library, model: Manifest, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=library.SPARE_BYTES + 200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(TryElsewhere, match=r"needs 0\.0 GB more .* choose another folder"):
        pull(books, model, hub)
    assert hub.requests == []


def test_two_processes_do_not_pull_into_one_folder(books: Library, model: Manifest, hub: Hub) -> None:
    hub.plans |= {path: ["slow"] for path in CONTENT}
    first = books.pull(model, hub.url)
    next(first)
    with pytest.raises(BadInput, match="another process is changing"):
        pull(Library(books.root), model, hub)
    first.close()


def test_a_recorded_hash_is_checked_when_the_file_comes_again(books: Library, model: Manifest, hub: Hub) -> None:
    path = "shard-2.safetensors"
    hub.announces_hashes = False
    pull(books, model, hub)
    (books.folder(model) / path).unlink()
    hub.content[path] = b"replaced" * 1000
    with pytest.raises(Unavailable, match=f"expected {HASHES[path]}"):
        pull(books, model, hub)


# --- import, verify, remove -----------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder that somebody fetched by other means."""
    for path, content in CONTENT.items():
        target = tmp_path / "copy" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "copy"


def test_a_released_folder_is_imported_without_copying(books: Library, model: Manifest, copy: Path) -> None:
    assert sorted(take_in(books, model, copy)) == sorted(CONTENT)
    assert on_disk(books, model) == CONTENT
    assert all((books.folder(model) / path).samefile(copy / path) for path in CONTENT)
    assert books.lacking(model) == []
    assert books.require(model, {"shard-1", "shard-2"}) == books.folder(model)


def test_a_file_that_is_not_the_released_one_is_refused(books: Library, model: Manifest, copy: Path) -> None:
    (copy / PINNED).write_bytes(b"truncated")
    with pytest.raises(BadInput, match=f"is not the released {PINNED}: .* expected {HASHES[PINNED]}"):
        take_in(books, model, copy)
    assert on_disk(books, model) == {}


def test_a_single_file_is_known_by_its_name(books: Library, model: Manifest, copy: Path) -> None:
    assert take_in(books, model, copy / "sub" / "Wan2.1_VAE.pth") == ["sub/Wan2.1_VAE.pth"]
    with pytest.raises(Unavailable, match=r"lacks 1 of its files, first shard-1.*wan-animate models pull small"):
        books.require(model, {"shard-1"})


def test_a_part_in_another_layout_takes_the_place_of_the_released_one(
    books: Library, hub: Hub, model: Manifest, tmp_path: Path
) -> None:
    """diffusers' folder first, then ComfyUI's single file instead of it."""
    vae = ManifestFile(path="Wan2.1_VAE.pth", part="vae", licence="MIT")
    model = Manifest(**vars(model) | {"files": (*model.files[:1], vae)})
    peer = AutoencoderKLWan(base_dim=8)
    peer.save_pretrained(tmp_path / "diffusers" / "vae", max_shard_size="100KB")
    (tmp_path / "diffusers" / "tokenizer").mkdir()
    (tmp_path / "diffusers" / "tokenizer" / "tokenizer.json").write_text("{}")
    (tmp_path / "diffusers" / "scheduler").mkdir()
    taken = take_in(books, model, tmp_path / "diffusers")
    assert len([path for path in taken if path.startswith("vae/")]) > 2
    assert "tokenizer/tokenizer.json" in taken
    save_file(peer.state_dict(), tmp_path / "wan_2.1_vae.safetensors")
    assert take_in(books, model, tmp_path / "wan_2.1_vae.safetensors") == ["vae/wan_2.1_vae.safetensors"]
    assert [path for path in books.record(model) if path.startswith("vae/")] == ["vae/wan_2.1_vae.safetensors"]
    assert [p.name for p in (books.folder(model) / "vae").iterdir()] == ["wan_2.1_vae.safetensors"]
    pull(books, model, hub)
    assert {path for path, _ in hub.requests} == {PINNED}
    assert [trouble for _, trouble in books.verify(model)] == ["", "", ""]


def test_what_does_not_belong_to_the_model_is_refused(books: Library, model: Manifest, tmp_path: Path) -> None:
    lora = {"diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.ones(2, 2)}
    save_file(lora, tmp_path / "lora.safetensors")
    with pytest.raises(BadInput, match=r"is a LoRA, expected a part of Wan2\.2-Animate-14B"):
        take_in(books, model, tmp_path / "lora.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"nothing in .* belongs to small"):
        take_in(books, model, tmp_path / "empty")
    with pytest.raises(BadInput, match="there is no"):
        take_in(books, model, tmp_path / "nowhere")


def test_verify_finds_what_has_changed_is_absent_or_was_never_imported(
    books: Library, model: Manifest, copy: Path
) -> None:
    shutil.copytree(copy, books.folder(model))
    assert dict(books.verify(model))["shard-2.safetensors"].startswith("was put there by hand")
    take_in(books, model, books.folder(model))
    assert dict(books.verify(model)) == dict.fromkeys(CONTENT, "")
    damaged = bytearray(CONTENT["shard-2.safetensors"])
    damaged[1000] ^= 1
    (books.folder(model) / "shard-2.safetensors").write_bytes(damaged)
    (books.folder(model) / PINNED).unlink()
    said = dict(books.verify(model))
    assert said[PINNED] == "is absent"
    assert f"expected {HASHES['shard-2.safetensors']}; delete it" in said["shard-2.safetensors"]
    assert said["sub/Wan2.1_VAE.pth"] == ""


def test_remove_frees_the_disk_but_not_what_comes_with_the_program(books: Library, model: Manifest, copy: Path) -> None:
    take_in(books, model, copy)
    assert books.remove(model) >= sum(map(len, CONTENT.values()))
    assert not books.folder(model).exists()
    assert books.remove(model) == 0
    with pytest.raises(BadInput, match="comes with this program"):
        books.remove(library.manifest("puppet"))


# --- what ships -----------------------------------------------------------------------------------


def test_every_shipped_manifest_says_the_licence_of_every_file_and_where_it_comes_from() -> None:
    shipped = library.manifests()
    assert {"wan-animate-14b", "puppet", "yolov10m"} <= shipped.keys()
    for model in shipped.values():
        assert {file.licence for file in model.files} == model.terms.keys()
        assert model.embedded or re.fullmatch(r"[0-9a-f]{40}", model.revision)
        assert all(file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in model.files)
    assert "source" in shipped["yolov10m"].terms["AGPL-3.0-only"]


def test_the_puppet_comes_with_the_program(books: Library) -> None:
    puppet = library.manifest("puppet")
    assert {(held.state, held.hash) for held in books.held(puppet)} == {(State.HERE, HashKind.PACKAGE)}
    assert not any(trouble for _, trouble in books.verify(puppet))
    assert list(books.pull(puppet)) == []


def test_the_released_set_has_every_part_and_says_which_hashes_it_knows(books: Library) -> None:
    released = library.manifest("wan-animate-14b")
    parts = [file.part for file in released.files]
    assert set(parts) == {"transformer", "vae", "text", "clip", "tokenizer", "relight"}
    assert parts.count("transformer") == 5
    hashes = {held.path: held.hash for held in books.held(released)}
    assert hashes["models_t5_umt5-xxl-enc-bf16.pth"] is HashKind.PINNED
    assert hashes["diffusion_pytorch_model-00001-of-00004.safetensors"] is HashKind.UNKNOWN


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def known(model: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "small.json").write_text(model.dumps())
    monkeypatch.setattr(library, "MANIFESTS", tmp_path / "manifests")


def run(books: Library, *words: str) -> tuple[int, list[str], BaseException | None]:
    result = CliRunner().invoke(models.app, [words[0], *words[1:], "--store", str(books.root)])
    return result.exit_code, result.stdout.splitlines(), result.exception


@pytest.mark.usefixtures("known")
def test_the_command_pulls_lists_verifies_and_removes_and_tells_programs_in_json(
    books: Library, model: Manifest, hub: Hub
) -> None:
    code, lines, _ = run(books, "pull", "small", "--base-url", hub.url, "--json")
    assert code == 0
    assert json.loads(lines[-1]) == {"folder": str(books.folder(model))}
    assert {"path", "done", "total", "finished"} == json.loads(lines[0]).keys()
    _, lines, _ = run(books, "list", "--json")
    (listed,) = map(json.loads, lines)
    assert {file["path"]: (file["state"], file["hash"], file["licence"]) for file in listed["files"]} == {
        path: ("here", "pinned" if path == PINNED else "recorded", "MIT") for path in CONTENT
    }
    code, lines, _ = run(books, "verify", "small", "--json")
    assert (code, [json.loads(line)["trouble"] for line in lines]) == (0, ["", "", ""])
    (books.folder(model) / PINNED).write_bytes(b"damaged")
    _, _, error = run(books, "verify", "small")
    assert isinstance(error, Unavailable)
    _, lines, _ = run(books, "remove", "small", "--json")
    assert json.loads(lines[0])["freed"] > 0


@pytest.mark.usefixtures("known")
def test_the_command_speaks_to_people_too(books: Library, model: Manifest, hub: Hub, copy: Path) -> None:
    _, lines, _ = run(books, "import", str(copy / PINNED), "--model", "small")
    assert lines == [PINNED, "still lacking 2 files, first shard-2.safetensors"]
    _, lines, _ = run(books, "pull", "small", "--base-url", hub.url)
    assert lines == [str(books.folder(model))]
    _, lines, _ = run(books, "list")
    assert any(PINNED in line and "here" in line and "pinned" in line for line in lines)
    assert "MIT: do as you like" in lines
    _, _, error = run(books, "pull", "large")
    assert isinstance(error, BadInput)
    assert "choose one of: small" in str(error)
