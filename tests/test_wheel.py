"""demo/wheel.py: the bpy wheel answers to Blender's command line as an installed Blender does."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wan_animate_server.demo import blender

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="there is no bpy wheel for this Python")

MANIFEST = """
schema_version = "1.0.0"
id = "echo"
version = "1.0.0"
name = "Echo"
tagline = "Says what it was told"
maintainer = "Somebody <somebody@wan-animate.example>"
type = "add-on"
blender_version_min = "4.2.0"
license = ["SPDX:GPL-3.0-or-later"]
"""

ADDON = """
import bpy, json

def echo(words):
    print("ECHO", json.dumps({"words": words, "file": bpy.data.filepath}))
    return len(words)

def register():
    global command
    command = bpy.utils.register_cli_command("echo", echo)

def unregister():
    bpy.utils.unregister_cli_command(command)
"""


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """User settings with one extension, built and installed by Blender's own tool."""
    folder = tmp_path_factory.mktemp("resources")
    source = folder / "source"
    source.mkdir()
    (source / "blender_manifest.toml").write_text(MANIFEST)
    (source / "__init__.py").write_text(ADDON)
    build = start(folder, "--command", "extension", "build", "--source-dir", source, "--output-dir", folder)
    assert build.returncode == 0, build.stdout
    install = ("--command", "extension", "install-file", "-r", "user_default", "-e", folder / "echo-1.0.0.zip")
    assert start(folder, *install).returncode == 0
    return folder


def start(resources: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(resources / "user")}
    command = [*blender.find(None), "-b", *map(str, words)]
    assert command[0] == sys.executable
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)


def script(folder: Path, text: str) -> Path:
    file = folder / "script.py"
    file.write_text(f"import bpy, sys\n{text}\n")
    return file


def echoed(ended: subprocess.CompletedProcess[str]) -> dict[str, object]:
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("ECHO ")]
    answer: dict[str, object] = json.loads(line.removeprefix("ECHO "))
    return answer


def test_a_command_of_an_extension_gets_its_words_and_gives_the_exit_code(resources: Path) -> None:
    ended = start(resources, "--command", "echo", "one", "--two", "-b")
    assert echoed(ended)["words"] == ["one", "--two", "-b"]
    assert ended.returncode == 3


def test_a_command_finds_the_file_open_that_stands_before_it(resources: Path, tmp_path: Path) -> None:
    file = tmp_path / "scene.blend"
    save = script(tmp_path, "bpy.ops.wm.save_as_mainfile(filepath=sys.argv[sys.argv.index('--') + 1])")
    assert start(resources, "--factory-startup", "--python", save, "--", file).returncode == 0
    assert echoed(start(resources, file, "--command", "echo"))["file"] == str(file)


def test_an_unknown_command_fails_and_names_the_known_ones(resources: Path) -> None:
    ended = start(resources, "--command", "ecco")
    assert ended.returncode == 1
    assert "ecco" in ended.stderr and "echo, extension" in ended.stderr


def test_factory_startup_leaves_extensions_out(resources: Path) -> None:
    ended = start(resources, "--factory-startup", "--command", "echo")
    assert ended.returncode == 1
    assert "echo is not registered" in ended.stderr


@pytest.mark.parametrize(("options", "code"), [(("--python-exit-code", "7"), 7), ((), 1)])
def test_a_script_that_raises_fails(resources: Path, tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    raising = script(tmp_path, "raise ValueError('what happened')")
    ended = start(resources, "--factory-startup", *options, "--python", raising)
    assert ended.returncode == code
    assert "ValueError: what happened" in ended.stderr


def test_a_script_says_its_own_exit_code(resources: Path, tmp_path: Path) -> None:
    assert start(resources, "--factory-startup", "--python", script(tmp_path, "sys.exit(9)")).returncode == 9


def test_a_file_that_is_not_there_fails(resources: Path, tmp_path: Path) -> None:
    ended = start(resources, "--factory-startup", tmp_path / "missing.blend")
    assert ended.returncode == 1
    assert "missing.blend" in ended.stderr


def test_it_says_its_version_as_blender_does(tmp_path: Path) -> None:
    launcher = tmp_path / "blender"
    launcher.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in blender.find(None)) + ' "$@"\n')
    launcher.chmod(0o755)
    assert blender.find(launcher) == (str(launcher),)
    version = blender.version_of(str(launcher))
    assert version is not None and version >= (4, 2)
