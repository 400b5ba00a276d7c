"""The extension as a person gets it: built by Blender's own tool, installed by Blender's own package manager."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bpy
from serving import PATIENCE, ROOT

TOOL = Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
WHEEL = ROOT / "server" / "wan_animate_server" / "demo" / "wheel.py"

INSTALL = """
import os, sys, traceback, bpy, addon_utils
try:
    addon_utils.enable("bl_pkg", default_set=True)
    done = bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=False)
except Exception:
    traceback.print_exc()
    done = None
sys.stdout.flush()
os._exit(done != {"FINISHED"})
"""


def tool(*arguments: str) -> str:
    """Run Blender's extension tool; its output. Fails the test when it fails."""
    done = subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path) -> Path:
    """The extension's zip, in `folder`."""
    tool("build", "--source-dir", str(ROOT / "wan_animate_blender"), "--output-dir", str(folder))
    (zip_file,) = folder.glob("*.zip")
    return zip_file


def install(zip_file: Path, resources: Path) -> dict[str, str]:
    """Install `zip_file` for a person whose Blender keeps its files in `resources`; that person's environment."""
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(resources)}
    run_blender([sys.executable, "-c", INSTALL, str(zip_file)], environment)
    return environment


def launcher(folder: Path) -> Path:
    """An executable that answers to Blender's command line, around the wheel of this Python."""
    script = folder / "blender"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{WHEEL}" "$@"\n')
    script.chmod(0o755)
    return script


def run_blender(arguments: list[str], environment: dict[str, str]) -> str:
    """The output of a Blender process that must end well."""
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
