"""Entry of the demo inside Blender: `blender -b --python scene.py -- JSON`; builds the shot and saves its .blend.

The JSON text is an object with "folder", "mode", "plate" and "character" (null for the demo's own) and "shot". Blender
has the add-on installed and enabled.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))  # Blender's Python does not know this package
    from wan_animate_server.demo import story

    story.build(**json.loads(sys.argv[sys.argv.index("--") + 1]))
