"""pyproject.toml: what is installed is all of both packages, also what is no Python."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"wan_animate_blender": ROOT, "wan_animate_server": ROOT / "server"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend that pyproject.toml names, as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, folder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def files_of(package: str) -> set[str]:
    """As they lie in the wheel, without what interpreters and checkers leave behind."""
    top = PACKAGES[package]
    paths = (path.relative_to(top) for path in (top / package).rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(part.startswith((".", "__pycache__")) for part in path.parts)}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_all_of_both_packages_and_nothing_else(wheel: Path, package: str) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{package}/")}
    assert names == files_of(package)


def test_the_wheel_holds_the_job_type_for_flamenco(wheel: Path) -> None:
    name = "wan_animate_blender/farm/wan_animate_shots.js"
    assert zipfile.ZipFile(wheel).read(name) == (ROOT / name).read_bytes()


def test_no_file_is_larger_than_a_hub_of_sources_takes_without_further_ado() -> None:
    large = [path for package in PACKAGES for path in files_of(package)
             if (PACKAGES[package] / path).stat().st_size > 15e6]  # fmt: skip
    assert large == []
