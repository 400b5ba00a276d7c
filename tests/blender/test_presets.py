"""Presets of the panel: what they set, and that four steps are only taken with the LoRA that they need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import draw, until_done, use
from serving import Served, serving

from wan_animate_blender import desk, panels, presets

PUPPET = Path(__file__).parents[2] / "server/wan_animate_server/puppet"

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the server's models."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "loras").mkdir()
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Served]:
    """With a small model that brings no LoRA of its own."""
    bare = tmp_path_factory.mktemp("puppet")
    for name in ("puppet.json", "tokenizer.json"):
        shutil.copy(PUPPET / name, bare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAN_ANIMATE_MODELS", str(models))
        patch.setenv("WAN_ANIMATE_PUPPET", str(bare))
        with serving(tmp_path_factory.mktemp("server")) as served:
            yield served


def four_steps() -> None:
    assert bpy.ops.wan_animate.use_preset(preset="FAST") == {"FINISHED"}
    until_done(presets.TICKET)


def test_four_steps_ask_for_the_lora_that_was_trained_for_them_and_twenty_do_not(
    plate: Any, served: Served, models: Path
) -> None:
    use(served)
    ours = plate.wan_animate
    (models / "loras" / "fast.safetensors").write_bytes(b"")
    ours.steps, ours.loras, ours.solver, ours.guidance = 50, "costume 0.6", "unipc", 3.0
    four_steps()
    settings = ours.settings()
    assert (settings.steps, settings.solver, settings.guidance) == (4, "dpm++", 1.0)
    assert [(one.name, one.strength) for one in settings.loras] == [("fast", 1.0), ("costume", 0.6)]
    four_steps()
    assert ours.loras == "fast, costume 0.6"
    assert bpy.ops.wan_animate.use_preset(preset="FINAL") == {"FINISHED"}
    assert (ours.steps, ours.loras) == (20, "costume 0.6")
    (models / "loras" / "fast.safetensors").unlink()


def test_without_that_lora_nothing_is_set_and_the_panel_says_why(plate: Any, served: Served) -> None:
    use(served)
    plate.wan_animate.steps = 50
    four_steps()
    assert (plate.wan_animate.steps, plate.wan_animate.loras) == (50, "")
    assert "has no LoRA 'fast' for the model 'puppet'" in str(desk.latest[presets.TICKET].problem)
    assert "no more than a sketch" in " ".join(draw(panels.WAN_ANIMATE_PT_advanced))
