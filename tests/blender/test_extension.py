"""The extension: built, validated, installed, enabled, disabled, enabled again and removed, as a person does it."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from installed import ROOT, build, install, launcher, run_blender, tool

LIFE = """
import json, os, sys, traceback, bpy, addon_utils
NAME = "bl_ext.user_default.wan_animate"
said = {}

def look(when):
    strip = getattr(bpy.types, "Strip", None) or bpy.types.Sequence
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers) if not name.startswith("_")]
    handlers = [one for found in lists if isinstance(found, list) for one in found if NAME in one.__module__]
    resumption = sys.modules.get(f"{NAME}.resumption")
    said[when] = {
        "types": sorted(name for name in dir(bpy.types) if name.startswith(("WAN_ANIMATE", "WanAnimate"))),
        "properties": [f"{kind.__name__}.{name}" for kind in (strip, bpy.types.WindowManager)
                       for name in dir(kind) if name.startswith("wan_animate")],
        "handlers": len(handlers),
        "timers": bool(resumption) and bpy.app.timers.is_registered(resumption.resume),
        "kept": NAME in bpy.context.preferences.addons,
    }

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
    said["threads"] = [t.name for t in threading.enumerate() if t.name.startswith("wan-animate")]
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

NOTHING = {"types": [], "properties": [], "handlers": 0, "timers": False, "kept": False}

TAGS = {"Sequencer", "Render", "Animation", "Compositing", "Import-Export", "Rigging"}
"""Of those that Blender's site knows, what could be ours."""
PLATFORMS = {"windows-x64", "windows-arm64", "macos-x64", "macos-arm64", "linux-x64"}


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
    assert {"blender_manifest.toml", "__init__.py", "wire/__init__.py", "farm/wan_animate_shots.js"} <= names


def wrong_with(manifest: dict[str, Any], folder: Path) -> list[str]:
    """What Blender's validator lets pass and Blender's site or a person's Blender does not."""
    wheels = [folder / wheel for wheel in manifest.get("wheels", [])]
    return [
        *(f"licence {name}" for name in manifest["license"] if not name.startswith("SPDX:")),
        *(f"tag {name}" for name in manifest["tags"] if name not in TAGS),
        *(f"platform {name}" for name in manifest.get("platforms", []) if name not in PLATFORMS),
        *(f"wheel {wheel.name}" for wheel in wheels if not wheel.is_file()),
    ]


def test_the_manifest_is_right_where_blenders_validator_does_not_look() -> None:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    assert wrong_with(manifest, ROOT / "wan_animate_blender") == []
    assert set(manifest["permissions"]) == {"network", "files"}


@pytest.mark.parametrize(("key", "value", "wrong"), [
    ("license", ["GPL-3.0-or-later"], "licence GPL-3.0-or-later"),
    ("tags", ["Sequencing"], "tag Sequencing"),
    ("platforms", ["linux"], "platform linux"),
    ("wheels", ["./wheels/gone-1.0-py3-none-any.whl"], "wheel gone-1.0-py3-none-any.whl"),
])  # fmt: skip
def test_what_blenders_validator_lets_pass_is_found(key: str, value: list[str], wrong: str) -> None:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    assert wrong_with(manifest | {key: value}, ROOT / "wan_animate_blender") == [wrong]


def sources() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in (ROOT / "wan_animate_blender").rglob("*.py"))


def test_it_lives_and_goes_without_residue(zip_file: Path, tmp_path: Path) -> None:
    environment = install(zip_file, tmp_path)
    folder = tmp_path / "extensions" / "user_default" / "wan_animate"
    assert (folder / "wire" / "__init__.py").is_file()
    output = run_blender([sys.executable, "-c", LIFE, str(repo_index(environment))], environment)
    said = json.loads(output.split("SAID")[-1])
    written = set(re.findall(r"^class (WAN_ANIMATE_\w+)\(", sources(), re.MULTILINE))
    assert {name for name in said["enabled"]["types"] if name.startswith("WAN_ANIMATE_")} == written
    assert said["before"] == said["disabled"] == said["gone"] == NOTHING
    assert said["enabled"] == said["again"]
    assert len(said["enabled"]["properties"]) == 5
    assert (said["enabled"]["handlers"] > 3, said["enabled"]["timers"], said["enabled"]["kept"]) == (True, True, True)
    assert said["url"] == "http://127.0.0.1:8188"
    assert said["threads"] == []
    assert not folder.exists()
    left = [file for file in tmp_path.rglob("*") if "wan_animate" in file.name]
    assert left == []


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
