"""The small model with and without what it has learned: tests of what it does begin with its weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wan_animate_server.evaluate import estimators
from wan_animate_server.library import manifest
from wan_animate_server.names import Part
from wan_animate_server.weights import PUPPET, TOKENIZER

TRAINED = Part.TRANSFORMER in {file.part for file in manifest("puppet").files}
"""What the manifest names must be there: with weights in it none of these tests can be left out."""

needs_weights = pytest.mark.skipif(
    not TRAINED, reason="manifests/puppet.json names no weights of the transformer: the small model is random"
)

needs_estimators = pytest.mark.skipif(
    not estimators.installed(), reason=f"{estimators.HOME.name}/ holds no estimators: nothing here reads poses"
)


def untrained(folder: Path) -> Path:
    """The small model in `folder`, which is made, as it is before any training: sizes and tokenizer."""
    folder.mkdir()
    for name in ("puppet.json", TOKENIZER):
        shutil.copyfile(PUPPET / name, folder / name)
    return folder
