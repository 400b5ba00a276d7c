"""What somebody outside sees of a Blender with a window, and does to it: photographs, the mouse, the keyboard.

`WAN_ANIMATE_WINDOW` goes before every command that needs the screen (`chroot FOLDER env DISPLAY=:97`),
`WAN_ANIMATE_WINDOW_ROOT` is what these see as `/`. Needs ImageMagick's `import` and `xdotool` there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PREFIX, ROOT = os.environ.get("WAN_ANIMATE_WINDOW", ""), Path(os.environ.get("WAN_ANIMATE_WINDOW_ROOT", "/"))
SHEETS = os.environ.get("WAN_ANIMATE_WINDOW_SHEETS")
"""A folder for the photographs, if people want to look at them."""
PATIENCE = 180


def needed() -> None:
    """Skip the test where there is no screen."""
    if not PREFIX:
        pytest.skip("set WAN_ANIMATE_WINDOW to a command under which Blender has a window (see test_overlay.py)")


def build_scene(folder: Path) -> None:
    """`scene.blend` and its plate, by the Blender of this Python."""
    words = [sys.executable, str(Path(__file__).parent / "scene.py"), str(folder)]
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)


def run(*words: str) -> bytes:
    command = [*shlex.split(PREFIX), *words]
    return subprocess.run(command, env=dict(os.environ), check=True, capture_output=True, timeout=PATIENCE).stdout


def inside(path: Path) -> str:
    """How the commands on the screen call a path of this side."""
    return str(Path("/") / path.relative_to(ROOT))


def size() -> tuple[int, int]:
    width, height = run("xdotool", "getdisplaygeometry").split()
    return int(width), int(height)


def start(folder: Path, *words: str, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Blender in a window as large as the screen; what it prints goes to FOLDER/log."""
    width, height = size()
    said = [f"{name}={value}" for name, value in (variables or {}).items()]
    blender = ["env", *said, "blender", "-noaudio", "--window-geometry", "0", "0", str(width), str(height)]
    with (folder / "log").open("wb") as log:
        # only what Python knows of: behind its back the wheel has set where its own colour configuration is
        return subprocess.Popen([*shlex.split(PREFIX), *blender, *words], env=dict(os.environ), stdout=log, stderr=log)


def photograph(folder: Path, name: str, blender: subprocess.Popen[bytes]) -> np.ndarray:
    """RGB of the whole screen once Blender says that `name` is to be seen, which it shows until this returns."""
    await_(folder, name, blender)
    picture = ppm(run("import", "-window", "root", "ppm:-"))
    keep(name, picture)
    (folder / f"{name}.done").touch()
    return picture


def await_(folder: Path, name: str, blender: subprocess.Popen[bytes]) -> None:
    """Wait until Blender says that `name` is to be seen."""
    end = time.monotonic() + PATIENCE
    while not (folder / f"{name}.ready").exists():
        if (folder / "failed").exists() or blender.poll() is not None or time.monotonic() > end:
            problem = folder / "failed" if (folder / "failed").exists() else folder / "log"
            pytest.fail(f"{name} was never shown:\n{problem.read_text(errors='replace')[-4000:]}")
        time.sleep(0.1)


def keep(name: str, picture: np.ndarray) -> None:
    """For people to look at."""
    if SHEETS:
        head = f"P6 {picture.shape[1]} {picture.shape[0]} 255\n".encode()
        (Path(SHEETS) / f"{name}.ppm").write_bytes(head + picture.tobytes())


def click(x: int, y: int) -> None:
    """Blender looks at what is under the mouse when it moves, and needs a moment for that."""
    run("xdotool", "mousemove", str(x - 1), str(y - 1), "sleep", "0.5", "mousemove", str(x), str(y), "sleep", "0.5")
    run("xdotool", "click", "1")


def press(keys: str) -> None:
    run("xdotool", "key", keys)


def ppm(data: bytes) -> np.ndarray:
    """uint8 [h, w, 3] of a binary PPM of 8 or 16 bits."""
    _, width, height, most = data.split(maxsplit=4)[:4]
    kind = np.dtype(">u2") if int(most) > 255 else np.dtype("u1")
    pixels = np.frombuffer(data[-int(width) * int(height) * 3 * kind.itemsize :], kind)
    return (pixels.reshape(int(height), int(width), 3) // (257 if kind.itemsize == 2 else 1)).astype(np.uint8)


def cut(screen: np.ndarray, place: dict[str, Any]) -> np.ndarray:
    """A region of Blender, whose rows count from below."""
    top = screen.shape[0] - place["bottom"] - place["height"]
    return screen[top : top + place["height"], place["left"] : place["left"] + place["width"]]
