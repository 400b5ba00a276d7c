"""Which release this is, as the package's metadata say. Knows nothing else."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Such as "0.1.0"; "source" when run from a tree that is not installed."""
    try:
        return metadata.version("wan-animate-blender")
    except metadata.PackageNotFoundError:
        return "source"
