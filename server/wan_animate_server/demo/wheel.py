"""A Blender executable made of the bpy wheel: `python wheel.py -b FILE …` answers as `blender -b FILE …` does.

Run by path with a Python that has `bpy`; imported by nothing. Knows nothing of the demo.

    wheel.py [-b [FILE]] [--factory-startup] [--enable-autoexec | --disable-autoexec] [--python-exit-code N]
             [--python SCRIPT] [--version] [--command NAME ARGS… | -- ARGS…]

Like Blender it works through its arguments from left to right, enables the installed extensions unless
`--factory-startup` stands before, and gives `--command` all that follows. Unlike Blender it ends with 1 when a script
raises and no `--python-exit-code` was given: an error must not look like success.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import bpy

Command = Callable[[list[str]], int]

commands: dict[str, Command] = {}
"""What add-ons have registered; the wheel has no way of its own to run them."""

error_code = 1


def main(arguments: list[str]) -> int:
    """Do what `arguments` say; the exit code of `--command`, else 0."""
    global error_code
    rest = list(arguments)
    scripts: dict[str, bool] = {}
    collect_commands()
    if "--factory-startup" not in rest:
        enable_extensions()
    while rest:
        match rest.pop(0):
            case "-b" | "--background" | "--factory-startup":
                pass  # the wheel has no window, and starts from the factory's settings
            case "--enable-autoexec" | "--disable-autoexec" as word:
                scripts = {"use_scripts": word == "--enable-autoexec"}
            case "--version" | "-v":
                sys.stdout.write(f"Blender {bpy.app.version_string}\n")
                break
            case "--python-exit-code":
                error_code = int(rest.pop(0))
            case "--python" | "-P":
                runpy.run_path(rest.pop(0), run_name="__main__")
            case "--command" | "-c":
                return commands[rest[0]](rest[1:]) if rest[:1] and rest[0] in commands else unknown(rest)
            case "--":
                break
            case path:
                bpy.ops.wm.open_mainfile(filepath=path, **scripts)
    return 0


def unknown(rest: list[str]) -> int:
    known = ", ".join(sorted(commands)) or "none"
    sys.stderr.write(f"--command {' '.join(rest[:1])} is not registered by any add-on; known are {known}\n")
    return 1


def collect_commands() -> None:
    """Keep the commands that add-ons register from now on, and those of Blender's own extension tool."""
    import addon_utils  # found only once bpy is imported

    register = bpy.utils.register_cli_command

    def collect(name: str, run: Command) -> object:
        commands[name] = run
        return register(name, run)

    bpy.utils.register_cli_command = collect
    addon_utils.disable("bl_pkg")  # it registered its "extension" while bpy was imported, too early to be collected
    addon_utils.enable("bl_pkg")


def enable_extensions() -> None:
    """Enable what is installed in the user's own repository.

    An installed Blender reads this from the preferences; bpy 4.2 ends by a segmentation fault when asked to.
    """
    import addon_utils

    installed = Path(bpy.utils.user_resource("EXTENSIONS", path="user_default"))
    for manifest in sorted(installed.glob("*/blender_manifest.toml")):
        addon_utils.enable(f"bl_ext.user_default.{manifest.parent.name}", default_set=True)


def leave(code: int) -> NoReturn:
    """End at once: the wheel can crash or hang for ever while the interpreter is taken down (bpy 4.2, 4.5)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fail(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> NoReturn:
    traceback.print_exception(kind, error, trace)
    leave(130 if issubclass(kind, KeyboardInterrupt) else error_code)


if __name__ == "__main__":
    sys.excepthook = fail
    del sys.path[0]  # Blender does not look for modules beside this file either
    try:
        status = main(sys.argv[1:])
    except SystemExit as request:  # sys.exit() in a script
        status = request.code if isinstance(request.code, int) else int(request.code is not None)
    leave(status)
