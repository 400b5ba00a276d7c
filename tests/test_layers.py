"""The arrows between the rooms, as docs/design.md draws them: who may import whom."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDON = ROOT / "wan_animate_blender"
SERVER = ROOT / "server" / "wan_animate_server"

INSIDE_BLENDER = {"bpy", "bpy_extras", "mathutils", "gpu", "gpu_extras", "blf", "addon_utils", "bl_pkg"}
GIVEN_BY_BLENDER = {"numpy", "requests"} | INSIDE_BLENDER
HEADLESS_ROOMS = (
    "wire", "client.py", "edges.py", "session.py", "delivery.py", "board.py", "connection.py", "daemon.py", "proof.py",
    "arrivals.py", "chain.py", "lens.py", "region.py", "retiming.py", "rigs", "retarget.py", "figure.py",
    "farm/submission.py", "farm/inventory.py", "farm/estimates.py", "farm/results.py", "farm/reservation.py",
    "farm/watch.py",
    "farm/handling.py", "farm/openjd.py", "farm/deadline.py", "farm/plan.py", "farm/sending.py",
    "farm/transport.py", "farm/flamenco.py", "farm/outlook.py", "farm/standing.py", "standstill.py",
)  # fmt: skip
"""Parts of the add-on that must work without Blender."""

OUTSIDE_BLENDER = ("run.py", "blender.py", "children.py", "extension.py", "board.py", "__init__.py")
DOORS = ("app", "gate", "visits", "patience", "door", "uploads", "orders", "turns", "machine", "results")
"""The rooms of the server that know HTTP."""

PAGE = ("entry", "routes", "deeds", "sessions", "look", "reel", "pictures", "words")
"""Those of the page; only the first two know HTTP, only the pictures know pixels."""

REPORT = ("plate", "pose", "facts", "pictures", "curve", "paper", "files")

RULER = ("metrics", "estimators", "reading", "cases", "gates", "measure", "suite", "table", "strips")
"""The rooms of the ruler that know no folder of a shot or a take."""

RUNS_INSIDE_BLENDER = {p for p in (SERVER / "demo").rglob("*.py") if p.name not in OUTSIDE_BLENDER}
"""Scripts that the demo hands to a Blender process; they are not part of the server's own import graph."""


def python_files(folder: Path) -> list[Path]:
    return [folder] if folder.is_file() else sorted(folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute names of all modules that `path` imports, also inside functions."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    root = ADDON.parent if path.is_relative_to(ADDON) else SERVER.parent
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def rooms_of_the_server(path: Path) -> set[str]:
    """First part below `wan_animate_server` of everything of the server that `path` imports."""
    known = {p.stem for p in SERVER.glob("*.py")} | {p.name for p in SERVER.iterdir() if p.is_dir()}
    found = {name.split(".")[1] for name in imports(path) if name.startswith("wan_animate_server.")}
    return found & known


@pytest.mark.parametrize("path", python_files(ADDON / "wire"), ids=ids)
def test_the_wire_needs_nothing_but_the_standard_library(path: Path) -> None:
    assert tops(path) <= set(sys.stdlib_module_names) | {"wan_animate_blender"}
    assert all(name.startswith("wan_animate_blender.wire") for name in imports(path) if "wan_animate" in name)


@pytest.mark.parametrize("path", python_files(ADDON), ids=ids)
def test_the_addon_needs_nothing_that_blender_does_not_bring(path: Path) -> None:
    assert tops(path) <= set(sys.stdlib_module_names) | GIVEN_BY_BLENDER | {"wan_animate_blender"}


@pytest.mark.parametrize("path", python_files(ADDON), ids=ids)
def test_the_addon_names_itself_only_relatively(path: Path) -> None:
    """An installed extension is called bl_ext.<repository>.wan_animate."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    absolute = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    assert not [name for name in absolute if name.startswith("wan_animate_blender")]


@pytest.mark.parametrize("room", HEADLESS_ROOMS)
def test_the_headless_rooms_of_the_addon_know_no_bpy(room: str) -> None:
    for path in python_files(ADDON / room):
        assert not tops(path) & INSIDE_BLENDER, path


def test_the_addon_imports_without_blender_at_module_level() -> None:
    body = ast.parse((ADDON / "__init__.py").read_text(encoding="utf-8")).body
    modules = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [n for n in modules if (isinstance(n, ast.ImportFrom) and n.level) or "bpy" in ast.dump(n)]


@pytest.mark.parametrize("path", python_files(SERVER), ids=ids)
def test_the_server_sees_only_the_wire_of_the_addon(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith("wan_animate_blender")}
    allowed = re.compile(r"wan_animate_blender(\.wire(\.\w+)?)?$")
    assert all(allowed.match(name) for name in ours), ours


@pytest.mark.parametrize("path", [p for p in python_files(SERVER) if p not in RUNS_INSIDE_BLENDER], ids=ids)
def test_the_server_knows_no_bpy(path: Path) -> None:
    assert not tops(path) & INSIDE_BLENDER


@pytest.mark.parametrize("path", python_files(SERVER / "model"), ids=ids)
def test_the_model_imports_only_torch_and_its_own_siblings(path: Path) -> None:
    assert tops(path) <= set(sys.stdlib_module_names) | {"torch", "wan_animate_server"}
    assert rooms_of_the_server(path) <= {"model"}


@pytest.mark.parametrize(("file", "forbidden"), [
    ("sampling.py", {"model", "pipeline", "weights", "jobs", "worker", *DOORS}),
    ("segments.py", {"model", "pipeline", "weights", "jobs", "worker", *DOORS}),
    ("retake.py", {"model", "pipeline", "weights", "jobs", "worker", "take", "shot", *DOORS}),
    ("basis.py", {"model", "pipeline", "weights", "jobs", "worker", "signals", *DOORS}),
    ("assembly.py", {*DOORS, "jobs", "worker", "cli", "render", "take", "shot"}),
    ("pipeline.py", {*DOORS, "jobs", "worker", "cli", "render", "take", "shot"}),
    ("weights.py", {*DOORS, "jobs", "worker", "cli", "render", "take", "shot", "signals"}),
    ("keyring.py", {*DOORS, "jobs", "serve", "cli"}),
    ("capacity.py", {*DOORS, "jobs", "blobs"}),
    ("jobs.py", {*DOORS, "worker", "model", "pipeline", "render", "cli"}),
    ("shot.py", {*DOORS, "jobs", "worker", "pipeline", "model"}),
    ("pulse.py", {*DOORS, "jobs", "worker", "take", "shot", "render"}),
    ("resumption.py", {*DOORS, "jobs", "worker", "model", "pipeline", "render"}),
    ("estimate.py", {*DOORS, "jobs", "worker", "shot", "take", "render"}),
    ("following.py", {"model", "pipeline", "weights", "render", "worker", "serve"}),
    ("starter.py", {*DOORS, "jobs", "worker", "render", "take", "shot"}),
    ("take.py", {*DOORS, "jobs", "worker", "model"}),
    ("composite.py", {*DOORS, "jobs", "worker", "model", "pipeline"}),
    ("region.py", {*DOORS, "jobs", "worker", "model", "pipeline"}),
    ("seams.py", {*DOORS, "jobs", "worker", "model", "pipeline", "signals", "shot", "take", "store", "delivery"}),
    ("guard.py", {*DOORS, "jobs", "worker", "model", "shot", "take", "store", "delivery", "render"}),
    *((f"report/{room}.py", {*DOORS, "jobs", "worker", "model", "pipeline", "render"}) for room in REPORT),
    *((f"evaluate/{room}.py", {*DOORS, "jobs", "worker", "render", "shot", "take", "cli"}) for room in RULER),
    *((f"{door}.py", {"model", "pipeline", "weights", "render", "worker"}) for door in DOORS),
    *((f"page/{room}.py", {"model", "pipeline", "weights", "render", "worker"}) for room in PAGE),
])  # fmt: skip
def test_a_room_does_not_look_upwards(file: str, forbidden: set[str]) -> None:
    assert not rooms_of_the_server(SERVER / file) & forbidden


@pytest.mark.parametrize(("file", "strangers"), [
    ("pipeline.py", {"fastapi", "uvicorn", "starlette", "sqlite3", "cv2", "av"}),
    ("jobs.py", {"fastapi", "uvicorn", "starlette", "torch"}),
    *((f"{door}.py", {"torch", "cv2"}) for door in DOORS),
    *((f"page/{room}.py", {"torch", "fastapi", "starlette"}) for room in PAGE[2:]),
    *((f"page/{room}.py", {"torch", "cv2", "sqlite3"}) for room in PAGE if room != "pictures"),
    ("sampling.py", {"fastapi", "cv2"}),
])  # fmt: skip
def test_a_room_does_not_know_a_foreign_trade(file: str, strangers: set[str]) -> None:
    assert not tops(SERVER / file) & strangers


def test_only_the_timeline_tests_blenders_version() -> None:
    attributes = "strips|sequences|left_handle|media_type|sequencer_scene"
    asks = re.compile(rf'app\.version\b|hasattr\([^)]*,\s*"({attributes})')
    guilty = [p.name for p in python_files(ADDON) if p.name != "timeline.py" and asks.search(p.read_text("utf-8"))]
    assert guilty == []


def test_there_is_no_import_cycle() -> None:
    graph = {}
    paths = [*python_files(ADDON), *python_files(SERVER)]
    names = {module_name(p): p for p in paths}
    for name, path in names.items():
        graph[name] = {n for n in imports(path) if n in names and n != name and not name.startswith(n + ".")}
    seen: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in seen:
            seen[name] = 1
            for other in sorted(graph[name]):
                visit(other, (*trail, name))

    for name in graph:
        visit(name, ())


def test_there_is_no_junk_drawer() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc"}
    paths = [*python_files(ADDON), *python_files(SERVER)]
    assert not [p for p in paths if {p.stem, p.parent.name} & drawers]
