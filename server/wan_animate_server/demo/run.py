"""`wan-animate demo`: a shot built in Blender, rendered by a server of its own, and back on new strips.

Starts Blender and the server as processes and speaks to them through their command lines and files only.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Column, Table

from wan_animate_blender.wire import TAKE_FILE, BadInput, Mode, Problem, Take, TakeState, Unavailable

from .. import shot, video
from ..sheet import Moment, contact_sheet, moments
from ..signals import pose
from .blender import Blender, find
from .board import Board
from .children import child
from .cut import LEAST

SHEET, MOVIE, BLEND = "contact_sheet.png", "preview.mp4", "demo.blend"

_GRACE = 12.0
"""Seconds that the server has to put its job back and to mark its take; it wants up to ten."""

_START = 60.0
"""Seconds that the server has until it answers."""


@dataclass(frozen=True)
class Result:
    """A finished take, the shot that it was made from, and where it lies."""

    shot: shot.LoadedShot
    take: Take
    folder: Path

    @property
    def layer(self) -> str:
        return "comp" if self.take.mode is Mode.REPLACE else "generated"


def run(out: Path, mode: Mode, plate: Path | None, character: Path | None, blender: Path | None) -> None:
    """Do the whole way once, below `out`. Whatever stops it, no process is left and the port is closed.

    Raises `BadInput` for footage or a picture that cannot be used and an `out` that cannot be written, `Unavailable`
    without a Blender, and what Blender or the server say.
    """
    command = find(blender)
    check_given(plate, character)
    out = prepared(out)
    console = Console()
    with ExitStack() as stack:
        private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wan-animate-demo-")))  # mode 0700
        board = stack.enter_context(Board(console))
        engine = Blender(command, private / "blender", out / "logs" / "blender.log")
        board.show({"stage": "installing"})
        engine.install_addon(private)
        url, token = stack.enter_context(server(out, private))
        wish = {
            "folder": out,
            "mode": mode,
            "plate": plate and plate.resolve(),
            "character": character and character.resolve(),
        }
        scene = Path(__file__).with_name("scene.py")
        board.follow(engine.run("--python", str(scene), "--", json.dumps(wish, default=str)))
        last = board.follow(
            engine.run(
                str(out / BLEND), "--command", "wan_animate", "generate", "--strip", "Plate", "--json",
                "--server", url, "--token-file", str(token), "--out", str(out / "shots"),
            )
        )  # fmt: skip
        board.show({"stage": "contact sheet"})
        result = checked(Path(last["exports"][-1]), Path(last["takes"][-1]))
        video.write_picture(
            out / SHEET, contact_sheet([moment(result, i) for i in moments(len(result.shot.keypoints))])
        )
        shutil.copyfile(result.folder / MOVIE, out / MOVIE)
        board.done()
    report(console, result, out, board.seconds)


def check_given(plate: Path | None, character: Path | None) -> None:
    """Raise `BadInput` unless what the user gave can be used: said now, not after minutes."""
    if plate:
        found = sum(1 for _ in islice(video.movie_frames(plate), LEAST))
        if found < LEAST:
            raise BadInput(f"the plate {plate} has {found} frames, expected at least {LEAST}; give a longer movie")
    if character:
        video.read_character(character)


def prepared(out: Path) -> Path:
    """Make `out` with its folder for logs; its absolute path. Raises `BadInput` when it cannot be written."""
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
        for name in ("blender.log", "server.log"):
            (out / "logs" / name).write_text("", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write to {out} ({error.strerror}); choose another folder with --out") from error
    return out.resolve()


@contextmanager
def server(out: Path, private: Path) -> Iterator[tuple[str, Path]]:
    """A server on a free port, with a token that only this user can read: its address and the token's file."""
    token, ready = private / "token", private / "ready.json"
    options = {"--port": "0", "--data": out / "server", "--token-file": token, "--ready-file": ready}
    command = [
        sys.executable,
        "-m",
        "wan_animate_server",
        "serve",
        "--with-parent",
        *(str(word) for pair in options.items() for word in pair),
    ]
    file = out / "logs" / "server.log"
    with file.open("a", encoding="utf-8") as log, child(command, log, {}, _GRACE) as process:
        end = time.monotonic() + _START
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise Unavailable(f"the server did not start; read {file}, whose last lines say why")
            time.sleep(0.1)
        url = json.loads(ready.read_bytes())["url"]
        requests.get(f"{url}/v1/health", timeout=10).raise_for_status()
        yield url, token


def checked(export: Path, folder: Path) -> Result:
    """The take in `folder`. Raises `Problem` unless it has a picture for every frame that was sent."""
    take = Take.loads((folder / TAKE_FILE).read_bytes())
    result = Result(shot.load(export), take, folder)
    sent, back = len(result.shot.keypoints), len(take.sequence(result.layer))
    if sent != back or take.state is not TakeState.COMPLETE:
        raise Problem(f"{sent} frames were sent and {back} came back, the take is {take.state}; see {folder}")
    return result


def moment(result: Result, i: int) -> Moment:
    """Frame `i` as a column of the contact sheet."""
    loaded, picture = result.shot, result.take.sequence(result.layer)[i]
    raster = loaded.shot.raster
    return Moment(
        label=str(loaded.shot.numbers[i]),
        plate=loaded.plate(i) if loaded.sequences["plate"] else None,
        skeleton=pose.draw(loaded.keypoints[i], raster.width, raster.height),
        matte=loaded.matte(i) if loaded.sequences["matte"] else None,
        result=loaded.seen(video.read_picture(result.folder / picture)),
    )


def report(console: Console, result: Result, out: Path, seconds: dict[str, float]) -> None:
    """What a person wants to know at the end."""
    table = Table("", Column(overflow="fold"), show_header=False, box=None, pad_edge=False)  # paths are never cut
    back = len(result.take.sequence(result.layer))
    table.add_row("frames", f"{len(result.shot.keypoints)} in = {back} out")
    for stage, spent in {**seconds, "in all": sum(seconds.values())}.items():
        table.add_row(stage, f"{spent:.1f} s")
    places = {"scene": out / BLEND, "contact sheet": out / SHEET, "preview": out / MOVIE, "take": result.folder}
    for name, place in places.items():
        table.add_row(name, str(place))
    console.print(table)
    for note in result.take.notes:
        console.print(f"Note: {note}.")
