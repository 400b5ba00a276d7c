"""Finds a Blender, and gives it the add-on in a place of its own. Knows Blender's command line, no shots."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wan_animate_blender import wire
from wan_animate_blender.wire import BadInput, ExitCode, Interrupted, Problem, TryElsewhere, Unavailable

from .children import Said, child, said

OLDEST = (4, 2)

_GRACE = 3.0
"""Seconds that a Blender has to remove a half-written export and to cancel its job; a render does not listen."""

_PROBLEMS = {kind.exit_code: kind for kind in (BadInput, Unavailable, TryElsewhere, Interrupted)}


@dataclass(frozen=True)
class Blender:
    """The beginning of Blender's command line, a folder instead of the user's own settings, and a log."""

    command: tuple[str, ...]
    resources: Path
    log: Path

    def run(self, *arguments: str) -> Iterator[Said]:
        """Run it without a window to its end; what it says on the way.

        Raises the problem that it names, `Unavailable` when it ends badly without a word.
        """
        command = [*self.command, "-b", "--python-exit-code", str(int(ExitCode.BUG)), *arguments]
        last: Said = {}
        variables = {"BLENDER_USER_RESOURCES": str(self.resources)}
        with self.log.open("a", encoding="utf-8") as log, child(command, subprocess.PIPE, variables, _GRACE) as process:
            for last in said(process, log):
                yield last
            code = process.wait()
        if last.get("stage") == "failed":
            raise _PROBLEMS.get(ExitCode(code), Problem)(last["message"])
        if code:
            raise Unavailable(f"Blender ended with exit code {code}; read {self.log}, whose last lines say why")

    def install_addon(self, folder: Path) -> None:
        """Build the extension into `folder` and install it, both by Blender's own tool."""
        source = Path(wire.__file__).parents[1]
        extension = ("--command", "extension")
        for _ in self.run(*extension, "build", "--source-dir", str(source), "--output-dir", str(folder)):
            pass
        (built,) = folder.glob("*.zip")
        for _ in self.run(*extension, "install-file", "-r", "user_default", "-e", str(built)):
            pass


def find(wanted: Path | None) -> tuple[str, ...]:
    """How to start a Blender: `wanted`, else the bpy wheel of this Python, else the one on the path.

    Raises `BadInput` when `wanted` is no Blender that is new enough, `Unavailable` when there is none at all.
    """
    if wanted:
        version = version_of(str(wanted))
        if version is None or version < OLDEST:
            given = "not a Blender that starts" if version is None else f"Blender {version[0]}.{version[1]}"
            raise BadInput(f"{wanted} is {given}, expected the executable of Blender 4.2 or newer; give its path")
        return (str(wanted.resolve()),)
    if importlib.util.find_spec("bpy"):
        return (sys.executable, str(Path(__file__).with_name("wheel.py")))
    on_path = shutil.which("blender")
    if on_path and (version_of(on_path) or (0, 0)) >= OLDEST:
        return (on_path,)
    raise Unavailable(
        "no Blender 4.2 or newer was found, neither the bpy wheel in this environment nor 'blender' on the path; "
        'install the wheel on Python 3.11 or 3.13 with pip install -e ".[server,blender]", or give --blender PATH'
    )


def version_of(executable: str) -> tuple[int, int] | None:
    """Major and minor version; None when `executable` is not a Blender that starts."""
    try:
        said = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Blender (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None
