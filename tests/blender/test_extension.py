"""The extension: built, validated, installed, enabled, disabled, enabled again and removed, as a person does it."""

from __future__ import annotations

import json
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from installed import ROOT, build, install, launcher, run_blender, tool

LIFE = """
import json, os, sys, traceback, bpy, addon_utils
NAME = "bl_ext.user_default.wan_animate"
said = {}

def look(when):
    panel = hasattr(bpy.types, "WAN_ANIMATE_PT_strip")
    strip = getattr(bpy.types, "Strip", None) or bpy.types.Sequence
    verbs = [v for v in dir(bpy.ops.wan_animate) if hasattr(bpy.types, f"WAN_ANIMATE_OT_{v}")]
    kept = NAME in bpy.context.preferences.addons
    said[when] = {"panel": panel, "strip": hasattr(strip, "wan_animate"), "verbs": sorted(verbs), "kept": kept}

try:
    addon_utils.enable("bl_pkg", default_set=True)
    look("before")
    addon_utils.enable(NAME, default_set=True)
    look("enabled")
    preferences = bpy.context.preferences.addons[NAME].preferences
    said["url"] = preferences.url
    addon_utils.disable(NAME, default_set=True)
    look("disabled")
    addon_utils.enable(NAME, default_set=True)
    look("again")
    import threading
    said["threads"] = [t.name for t in threading.enumerate() if t.name == "wan-animate"]
    said["removed"] = list(bpy.ops.extensions.package_uninstall(repo_index=int(sys.argv[1]), pkg_id="wan_animate"))
    look("gone")
except Exception:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
print("SAID" + json.dumps(said))
sys.stdout.flush()
os._exit(0)
"""

VERBS = ["cancel", "connect", "generate", "import_take", "reveal"]


@pytest.fixture(scope="module")
def zip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("zip"))


def test_the_sources_and_the_zip_are_valid(zip_file: Path) -> None:
    tool("validate", str(ROOT / "wan_animate_blender"))
    tool("validate", str(zip_file))


def test_the_zip_holds_all_of_the_addon_and_nothing_else(zip_file: Path) -> None:
    package = ROOT / "wan_animate_blender"
    ours = {
        p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    names = {name for name in zipfile.ZipFile(zip_file).namelist() if not name.endswith("/")}
    assert names == ours
    assert {"blender_manifest.toml", "__init__.py", "wire/__init__.py"} <= names


def test_the_manifest_says_what_blenders_validator_does_not_check() -> None:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    assert all(name.startswith("SPDX:") for name in manifest["license"])
    assert set(manifest["tags"]) <= {"Sequencer", "Render", "Animation"}
    assert set(manifest["permissions"]) == {"network", "files"}
    assert "wheels" not in manifest


def test_it_lives_and_goes_without_residue(zip_file: Path, tmp_path: Path) -> None:
    environment = install(zip_file, tmp_path)
    folder = tmp_path / "extensions" / "user_default" / "wan_animate"
    assert (folder / "wire" / "__init__.py").is_file()
    output = run_blender([sys.executable, "-c", LIFE, str(repo_index(environment))], environment)
    said = json.loads(output.split("SAID")[-1])
    absent = {"panel": False, "strip": False, "verbs": [], "kept": False}
    there = {"panel": True, "strip": True, "verbs": said["enabled"]["verbs"], "kept": True}
    assert set(VERBS) <= set(said["enabled"]["verbs"])
    assert said["before"] == said["disabled"] == said["gone"] == absent
    assert said["enabled"] == said["again"] == there
    assert said["url"] == "http://127.0.0.1:8188"
    assert said["threads"] == []
    assert not folder.exists()


def test_the_command_of_the_installed_extension_answers(zip_file: Path, tmp_path: Path) -> None:
    environment = install(zip_file, tmp_path)
    blender = str(launcher(tmp_path))
    output = run_blender([blender, "-b", "--command", "wan_animate", "--help"], environment)
    assert "export" in output
    assert "generate" in output


def repo_index(environment: dict[str, str]) -> int:
    """Where Blender lists the person's own repository."""
    script = "import os,sys,bpy; print([r.module for r in bpy.context.preferences.extensions.repos].index('user_default')); sys.stdout.flush(); os._exit(0)"  # noqa: E501
    return int(run_blender([sys.executable, "-c", script], environment).split()[-1])
