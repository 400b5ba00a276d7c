"""Colour configurations, OpenColorIO's own and those that travel with shots, and the ways through them.

Knows no pictures. An archive is read in memory: nothing of it is unpacked, and no path in it reaches a file.
"""

from __future__ import annotations

import functools
import posixpath
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import PyOpenColorIO

from wan_animate_blender.wire import BUILTIN, MOST_CONFIGURATION, SPACES, BadInput, Colour, sha256_file

SEEN = "srgb_rec709_scene"
"""What the model was trained on, by its name in OpenColorIO's own configurations and in the Color Interop Forum's."""

LIGHT = "lin_rec709_scene"
"""The same primaries as light."""

UNKNOWN = "unknown"
"""The Color Interop Forum's name for a space that has none."""

_CONFIG = "config.ocio"

_BROKEN = (PyOpenColorIO.Exception, PyOpenColorIO.ExceptionMissingFile)
"""What comes of a configuration that is wrong, or asks for a LUT that is not in its archive."""


@dataclass(frozen=True)
class Way:
    """From a plate's space to another and back."""

    there: PyOpenColorIO.Processor
    back: PyOpenColorIO.Processor


class Configuration:
    """The names of colours that one shot uses, and what they mean."""

    def __init__(self, config: PyOpenColorIO.Config, identity: str, archive: _Archive | None = None) -> None:
        self._config, self._archive = config, archive  # OpenColorIO asks the archive for as long as it lives
        self.identity = identity
        """The name of one of OpenColorIO's own, or the SHA-256 of an archive."""

    def name(self, space: str) -> str:
        """What is called `space` here, if it is scene-linear. Raises `BadInput`."""
        found = self._config.getColorSpace(space)
        if found is None or not self._is_linear(found.getName()):
            raise BadInput(
                f"the plate is in the colour space {space!r}, which this server does not know; "
                "convert it to ACEScg or Linear Rec.709 and export again"
            )
        return str(found.getName())

    def _is_linear(self, name: str) -> bool:
        try:
            return bool(self._config.isColorSpaceLinear(name, PyOpenColorIO.REFERENCE_SPACE_SCENE))
        except _BROKEN as error:
            raise BadInput(
                f"the colour space {name!r} of the shot's configuration is broken: {_line(error)}"
            ) from error

    def interop(self, space: str) -> str:
        """The name of `space` for other programs, by the Color Interop Forum's list."""
        return self._config.getColorSpace(space).getInteropID() or UNKNOWN

    def standard(self, space: str, other: str) -> Way:
        """To one of the spaces `SEEN` and `LIGHT`, which are OpenColorIO's and need not be here.

        Over the interchange roles of both, or, where this configuration has none, by what OpenColorIO finds out about
        it by trial. Raises `BadInput` where that fails.
        """
        try:
            return Way(
                PyOpenColorIO.Config.GetProcessorToBuiltinColorSpace(self._config, space, other),
                PyOpenColorIO.Config.GetProcessorFromBuiltinColorSpace(other, self._config, space),
            )
        except _BROKEN as error:
            raise BadInput(
                f"the colour configuration of the shot does not tell what the colours of {space!r} look like "
                f"({_line(error)}); give it the role aces_interchange and export again"
            ) from error

    def view(self, space: str, colour: Colour) -> Way:
        """To what the edit shows: exposure, look, view, gamma. Raises `BadInput` where one has no way back."""
        steps = self._shown(space, colour)
        try:
            return Way(
                self._config.getProcessor(steps, PyOpenColorIO.TRANSFORM_DIR_FORWARD),
                self._config.getProcessor(steps, PyOpenColorIO.TRANSFORM_DIR_INVERSE),
            )
        except _BROKEN as error:
            raise no_inverse(colour, _line(error)) from error

    def _shown(self, space: str, colour: Colour) -> PyOpenColorIO.GroupTransform:
        """As Blender does it: exposure upon light, gamma upon what the display gets."""
        gain, gamma = 2.0**colour.exposure, 1 / colour.gamma
        steps = [PyOpenColorIO.MatrixTransform(matrix=[*([gain, 0, 0, 0, 0] * 3), 1])]
        if colour.look:
            steps.append(PyOpenColorIO.LookTransform(src=space, dst=space, looks=colour.look))
        steps.append(
            PyOpenColorIO.DisplayViewTransform(
                src=space, display=colour.display, view=colour.view, looksBypass=bool(colour.look)
            )
        )
        if gamma != 1:
            steps.append(PyOpenColorIO.ExponentTransform(value=[gamma, gamma, gamma, 1]))
        return PyOpenColorIO.GroupTransform(steps)


def no_inverse(colour: Colour, why: str) -> BadInput:
    """What is said of a view through which nothing comes back."""
    look = f" with the look {colour.look!r}" if colour.look else ""
    return BadInput(
        f"the view {colour.view!r} of the display {colour.display!r}{look} cannot be undone ({why}); "
        "choose another view, or the transform 'utility'"
    )


def own() -> Configuration:
    """OpenColorIO's own, which knows ACES, the usual primaries and those of cameras; no file of this machine."""
    return _built_in("studio-config-latest")


def of(colour: Colour, folder: Path) -> Configuration:
    """The configuration of a shot in `folder`. Raises `BadInput` when it cannot be used."""
    if colour.ocio is None:
        return own()
    if colour.ocio.startswith(BUILTIN):
        return _built_in(colour.ocio.removeprefix(BUILTIN))
    file = folder / colour.ocio
    return _archived(file, sha256_file(file))


def public(space: str) -> str:
    """What OpenColorIO's own configuration calls a space of Blender's own."""
    return SPACES.get(space, space)


@functools.cache
def _built_in(name: str) -> Configuration:
    try:
        return Configuration(PyOpenColorIO.Config.CreateFromBuiltinConfig(name), name)
    except _BROKEN as error:
        raise BadInput(
            f"the shot's colour configuration is {BUILTIN + name!r}, which this server's OpenColorIO does not have "
            f"({_line(error)}); give Blender a file as $OCIO, or update the server"
        ) from error


@functools.lru_cache(maxsize=4)
def _archived(file: Path, sha256: str) -> Configuration:
    try:
        with zipfile.ZipFile(file) as archive:
            found = _unpacked(archive)
        # OpenColorIO keeps LUTs by their paths for as long as the process lives: another shot's must be others.
        held = _Archive(root := f"/{sha256}", found)
        config = PyOpenColorIO.Config.CreateFromConfigIOProxy(held)
        config.setWorkingDir(root)
    except (
        OSError,
        ValueError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        RuntimeError,
        PyOpenColorIO.Exception,
    ) as error:
        raise BadInput(
            f"{file.name} of the shot {file.parents[1]} is no colour configuration that can be read ({_line(error)}); "
            "check the configuration that Blender uses and export again"
        ) from error
    return Configuration(config, sha256, held)


def _unpacked(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The files by their paths. Raises `ValueError` for more than a configuration can be, before anything is read.

    A few kilobytes can be packed zeros for gigabytes; no member can be longer than its header says.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("it is packed in a way that colour configurations are not")
    if sum(member.file_size for member in members) > MOST_CONFIGURATION:
        raise ValueError(f"it unpacks to more than {MOST_CONFIGURATION >> 20} MB")
    if _CONFIG not in {member.filename for member in members}:
        raise ValueError(f"it has no {_CONFIG}")
    return {member.filename: archive.read(member) for member in members}


class _Archive(PyOpenColorIO.PyConfigIOProxy):  # type: ignore[misc]
    """Hands OpenColorIO what is in an archive, and nothing else."""

    def __init__(self, root: str, files: dict[str, bytes]) -> None:
        super().__init__()
        self._text = files[_CONFIG].decode()
        self._files = {f"{root}/{posixpath.normpath(path)}": content for path, content in files.items()}

    def getConfigData(self) -> str:  # noqa: N802  OpenColorIO's names
        return self._text

    def getLutData(self, path: str) -> bytearray:  # noqa: N802
        """No LUT, but not nothing for what is not there: without an answer OpenColorIO looks on this machine's disk."""
        return bytearray(self._files.get(posixpath.normpath(path)) or b"\0")

    def getFastLutFileHash(self, path: str) -> str:  # noqa: N802
        """Empty for what is not there: OpenColorIO asks so whether a file exists."""
        return path if posixpath.normpath(path) in self._files else ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
