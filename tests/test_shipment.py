"""What is delivered: every frame under its name, nothing written over, nothing half, and the take as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wan_animate_blender.wire import (
    TAKE_FILE,
    BadInput,
    Convention,
    ExitCode,
    Naming,
    Take,
    file_entry,
    list_files,
    sha256_file,
    write_atomically,
)  # fmt: skip
from wan_animate_server.shipment import Shipment, deliver, naming_of
from wan_animate_server.take import TakeFolder

from .conftest import Make, command
from .test_layering import written

NETFLIX = Naming(convention=Convention.NETFLIX, show="AGM", sequence="104_065", shot="010")


@pytest.fixture
def take(make_shot: Make) -> TakeFolder:
    """A complete take of nine frames, without a model: all frames of a layer are copies of one."""
    made = written(make_shot(cut_in=1003, cut_out=1007))
    listed = []
    for layer in made.take.layers:
        data = (made.folder / layer / "1003.png").read_bytes()
        for number in range(1001, 1010):
            listed.append(f"{layer}/{number}.png")
            write_atomically(made.folder / listed[-1], data + bytes([number % 256]))
    made.complete(listed)
    return made


def rewrite(take: TakeFolder, **changes: Any) -> None:
    """Let a take that is complete, and so nobody's any more, say something else."""
    write_atomically(take.folder / TAKE_FILE, replace(take.take, **changes).dumps().encode())


def test_every_frame_of_every_layer_has_its_name_and_its_bytes(take: TakeFolder, tmp_path: Path) -> None:
    sheet = deliver(take.folder, tmp_path / "out", NETFLIX)
    files = {p.relative_to(sheet.parent).as_posix() for p in sheet.parent.rglob("*") if p.is_file()}
    frames = {
        f"AGM_104_065_010_{layer}_v001/AGM_104_065_010_{layer}_v001.{number}.png": take.folder / f"{layer}/{number}.png"
        for layer in ("character", "matte", "comp") for number in range(1001, 1010)
    }  # fmt: skip
    assert files == {*frames, "AGM_104_065_010_v001.json"}
    for name, source in frames.items():
        assert (sheet.parent / name).read_bytes() == source.read_bytes()
        assert not (sheet.parent / name).samefile(source), "an edit of what is delivered must not change the take"


def test_the_sheet_says_what_must_be_found_again_and_what_made_it(take: TakeFolder, tmp_path: Path) -> None:
    sheet = deliver(take.folder, tmp_path, Naming(convention=Convention.FROM_1001, first=101), ["comp"])
    said = Shipment.loads(sheet.read_bytes())
    assert (said.first, said.last, said.cut_in, said.cut_out, said.layers) == (101, 109, 103, 107, ("comp",))
    assert (said.recipe, said.models, said.export) == (take.take.recipe, take.take.models, take.take.export)
    assert len(said.files) == 9
    for name, entry in said.files.items():
        assert (sha256_file(tmp_path / name), (tmp_path / name).stat().st_size) == (entry.sha256, entry.size)


def test_a_version_is_delivered_once(take: TakeFolder, tmp_path: Path) -> None:
    sheet = deliver(take.folder, tmp_path, Naming())
    before = list_files(tmp_path / "SH010_v001")
    with pytest.raises(BadInput, match=r"SH010_v001\.json is there: this version was delivered before"):
        deliver(take.folder, tmp_path, Naming())
    assert list_files(tmp_path / "SH010_v001") == before
    assert sheet.is_file()


def test_what_is_in_the_way_stays_and_nothing_is_copied(take: TakeFolder, tmp_path: Path) -> None:
    target = tmp_path / "out" / "SH010_v001" / "comp" / "1009.png"
    target.parent.mkdir(parents=True)
    target.write_text("somebody's")
    with pytest.raises(BadInput, match=r"1009\.png is there and is something else; nothing is written over"):
        deliver(take.folder, tmp_path / "out", Naming())
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["1009.png"]
    assert target.read_text() == "somebody's"


def test_what_an_interrupted_delivery_left_is_kept(take: TakeFolder, tmp_path: Path) -> None:
    sheet = deliver(take.folder, tmp_path / "out", Naming())
    sheet.unlink()
    kept = tmp_path / "out/SH010_v001/comp/1005.png"
    inode = kept.stat().st_ino
    (tmp_path / "out/SH010_v001/comp/1006.png").unlink()
    assert deliver(take.folder, tmp_path / "out", Naming()) == sheet
    assert kept.stat().st_ino == inode
    assert len(Shipment.loads(sheet.read_bytes()).files) == 27


def test_a_damaged_take_is_not_delivered_as_if_it_were_whole(take: TakeFolder, tmp_path: Path) -> None:
    (take.folder / "matte/1004.png").write_bytes(b"other")
    with pytest.raises(BadInput, match=r"1004\.png is not as it was rendered; fetch the take again"):
        deliver(take.folder, tmp_path / "out", Naming())
    assert not list((tmp_path / "out").rglob("*.json"))
    assert not list((tmp_path / "out").rglob("*.part"))
    assert not (tmp_path / "out/SH010_v001/matte/1004.png").exists()


def test_only_a_complete_take_is_delivered(make_shot: Make, tmp_path: Path) -> None:
    partial = written(make_shot())
    for folder, sentence in ((partial.folder, "is not complete; render the shot again"), (tmp_path, "holds no take")):
        with pytest.raises(BadInput, match=sentence):
            naming_of(folder)
        with pytest.raises(BadInput, match=sentence):
            deliver(folder, tmp_path / "out", Naming())


def test_a_layer_that_the_take_has_not_is_named(take: TakeFolder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no layer pose; choose of character, matte, comp"):
        deliver(take.folder, tmp_path, Naming(), ["comp", "pose"])


def test_a_folder_that_cannot_be_written_is_named(take: TakeFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="choose a folder that you may write to"):
        deliver(take.folder, tmp_path / "file", Naming())


def test_the_take_says_its_names_and_the_command_may_say_others(take: TakeFolder, tmp_path: Path) -> None:
    finish = replace(take.take.settings.finish, naming=NETFLIX)
    rewrite(take, settings=replace(take.take.settings, finish=finish))
    assert naming_of(take.folder) == NETFLIX
    assert naming_of(take.folder, sequence="9", first=None) == replace(NETFLIX, sequence="9")
    done = subprocess.run(
        command("deliver", take.folder, "--to", tmp_path / "out", "--sequence", "104", "--layer", "comp"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()) == tmp_path / "out/AGM_104_010_v001.json"
    assert (tmp_path / "out/AGM_104_010_comp_v001/AGM_104_010_comp_v001.1001.png").is_file()
    refused = subprocess.run(
        command("deliver", take.folder, "--to", tmp_path / "two", "--naming", "netflix", "--show", "A G"),
        capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "delivered name is" in refused.stderr
    assert not (tmp_path / "two").exists()


@pytest.mark.skipif(os.name != "posix", reason="kills without a goodbye")
def test_killed_at_any_moment_a_delivery_leaves_only_whole_files_and_goes_on(take: TakeFolder, tmp_path: Path) -> None:
    for path, entry in list(take.take.files.items()):
        file = take.folder / path
        file.write_bytes(os.urandom(400_000) if entry.size < 400_000 else file.read_bytes())
    rewrite(take, files={path: file_entry(take.folder / path) for path in take.take.files})
    wanted = {entry.sha256 for entry in Take.loads((take.folder / TAKE_FILE).read_bytes()).files.values()}
    for moment in (2, 9, 20):
        running = subprocess.Popen(command("deliver", take.folder, "--to", tmp_path / "out"))
        while running.poll() is None and len(list((tmp_path / "out").rglob("*.png"))) < moment:
            time.sleep(0.001)
        running.send_signal(signal.SIGKILL)
        running.wait()
        there = [p for p in (tmp_path / "out").rglob("*.png") if not p.name.startswith(".")]
        assert {sha256_file(p) for p in there} <= wanted
        for sheet in (tmp_path / "out").glob("*.json"):
            assert len(json.loads(sheet.read_text())["files"]) == 27
            return
    deliver(take.folder, tmp_path / "out", Naming())
    assert len([p for p in (tmp_path / "out").rglob("*.png") if not p.name.startswith(".")]) == 27
