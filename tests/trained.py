"""Whether the small model that is shipped has learned anything: tests of what it does begin with its weights."""

from __future__ import annotations

import pytest

from wan_animate_server.library import manifest
from wan_animate_server.names import Part

TRAINED = Part.TRANSFORMER in {file.part for file in manifest("puppet").files}
"""What the manifest names must be there: with weights in it none of these tests can be left out."""

needs_weights = pytest.mark.skipif(
    not TRAINED, reason="manifests/puppet.json names no weights of the transformer: the small model is random"
)
