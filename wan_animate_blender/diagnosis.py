"""What somebody needs to know of a job who is to help: this side's versions and what was said. No secrets."""

from __future__ import annotations

import json
import platform
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import bpy

from .preferences import preferences
from .wire import WIRE_VERSION, Job


def told(job: Job, message: str, version: str) -> str:
    """JSON without a token, or an address's user and password; `version` is the server's."""
    address = urlsplit(preferences().url)
    manifest = tomllib.loads((Path(__file__).parent / "blender_manifest.toml").read_text(encoding="utf-8"))
    said = {
        "message": message,
        "wan-animate": manifest["version"],
        "wire": WIRE_VERSION,
        "server": {"host": address.hostname, "port": address.port, "version": version},
        "blender": bpy.app.version_string,
        "python": platform.python_version(),
        "system": platform.platform(),
        "job": job.to_json(),
    }
    return json.dumps(said, indent=2, ensure_ascii=False)
