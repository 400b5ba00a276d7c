"""A studio in one folder: a Blender with the add-on, wan-animate, plates and an edit; jobs are run by `openjd`.

Blender is the bpy wheel of this Python, as in the demo; everything is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from wan_animate_blender.wire import TAKE_FILE, Take
from wan_animate_server.demo import blender

from ..serving import waits

LONGEST = 600
"""Seconds, of any one process, on a machine that is busy."""
OPENJD = str(Path(sysconfig.get_path("scripts")) / "openjd")
HERE = Path(__file__).parent
FRAMES = 13
"""Three segments of five frames that share one."""


@dataclass(frozen=True)
class Studio:
    """Where things are."""

    home: Path

    @property
    def blender(self) -> Path:
        return self.home / "bin" / "blender"

    @property
    def wan_animate(self) -> Path:
        return self.home / "bin" / "wan-animate"

    @property
    def file(self) -> Path:
        return self.home / "edit.blend"

    @property
    def environment(self) -> dict[str, str]:
        """The programs by their names; sessions' folders, the person's Blender and held renders lie here, too."""
        path = os.pathsep.join((str(self.blender.parent), os.environ["PATH"]))
        own = {"BLENDER_USER_RESOURCES": str(self.home / "user"), "TMPDIR": str(self.home / "tmp"), "PATH": path}
        return os.environ | waits(self.home) | own

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Any process to its end, its output in one text."""
        return subprocess.run(
            list(map(str, words)), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=LONGEST, check=False,
        )  # fmt: skip

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(list(map(str, words)), env=self.environment, stdout=subprocess.DEVNULL)

    def script(self, file: Path | None, script: str, *words: str | Path, fresh: bool = False) -> str:
        """What a script says inside Blender, with a file open; `fresh` is without the add-on."""
        opened = [file] if file else []
        factory = ["--factory-startup"] if fresh else []
        start = [self.blender, "-b", *opened, *factory, "--python-exit-code", "3", "--python", HERE / script]
        done = self.run(*start, "--", *words)
        assert done.returncode == 0, done.stdout
        return done.stdout


def build(home: Path) -> Studio:
    """All that is there before anything is submitted."""
    studio = Studio(home)
    (home / "tmp").mkdir(parents=True)
    (home / "bin").mkdir()
    _launch(studio.blender, *blender.find(None))
    _launch(studio.wan_animate, sys.executable, "-m", "wan_animate_server")
    blender.Blender((str(studio.blender),), home / "user", home / "install.log").install_addon(home)
    _paint(home)
    studio.script(None, "edit.py", home)
    return studio


def _launch(file: Path, *words: str) -> None:
    file.write_text("#!/bin/sh\nexec " + " ".join(f'"{word}"' for word in words) + ' "$@"\n')
    file.chmod(0o755)


def _paint(folder: Path) -> None:
    """Three plates of noise, a matte that moves to the right, and a character."""
    random = np.random.default_rng(3)
    for name in ("hall", "door", "stairs", "matte"):
        (folder / name).mkdir()
    for i in range(FRAMES):
        matte = np.zeros((48, 80), np.uint8)
        matte[8:44, 20 + i : 40 + i] = 255
        cv2.imwrite(str(folder / "matte" / f"{i + 1:04d}.png"), matte)
        for name in ("hall", "door", "stairs"):
            plate = random.integers(0, 255, (48, 80, 3), np.uint8)
            cv2.imwrite(str(folder / name / f"{i + 1:04d}.png"), plate)
    hero = np.full((60, 40, 3), 40, np.uint8)
    cv2.ellipse(hero, (20, 30), (10, 24), 0, 0, 360, (40, 200, 90), -1)
    cv2.imwrite(str(folder / "hero.png"), hero)


# --- what jobs leave ------------------------------------------------------------------------------


def line(bundle: Path, *words: str) -> list[str]:
    """`openjd run` of the bundle with its own values."""
    values = json.loads((bundle / "parameter_values.json").read_bytes())["parameterValues"]
    ours = {one["name"]: one["value"] for one in values if ":" not in one["name"]}
    return [OPENJD, "run", str(bundle / "template.json"), "-p", json.dumps(ours), *words]


def take_in(shots: Path, name: str) -> tuple[Path, Take]:
    """The only take of a shot."""
    (folder,) = (shots / name / "takes").iterdir()
    return folder, Take.loads((folder / TAKE_FILE).read_bytes())


def hashes(shots: Path, name: str) -> dict[str, str]:
    """SHA-256 of every frame of the only take of a shot, as its files are."""
    _, take = take_in(shots, name)
    return {path: take.files[path].sha256 for layer in take.layers for path in take.sequence(layer)}


def stamps(folder: Path) -> dict[str, int]:
    """When each file below a folder was written."""
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def strips_in(studio: Studio, file: Path) -> dict[str, dict[str, Any]]:
    """What the file holds, as a Blender sees it that opens it anew, without the add-on."""
    said = studio.script(file, "strips.py", fresh=True)
    (found,) = [line for line in said.splitlines() if line.startswith("STRIPS")]
    strips: dict[str, dict[str, Any]] = {one["name"]: one for one in json.loads(found.removeprefix("STRIPS"))}
    return strips


def processes_about(folder: Path) -> list[psutil.Process]:
    """Those that name a folder on their command line, and all that they have started."""
    found = {}
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()):
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        except psutil.Error:
            continue  # it has ended meanwhile
    return list(found.values())
