"""The character's picture: a file, an image of Blender's, or a render of a figure. Knows no strips and no server."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import bpy
import numpy as np

from . import pose, stills, unkeyed
from .wire import BadInput, Faces

FILES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""What the server reads as well."""

SMALL = 256
"""Pixels of a short side below which the model sees less of the character than it can show."""
NARROW = 2.5
"""Sides' ratio from which most of the model's view of the picture is black bars."""
SMALL_FACE = 64
"""Pixels of a side of a face below which likeness is lost."""

SAMPLES = 64
"""Rays for each pixel of a rendered picture; it is rendered once."""


# --- checking -----------------------------------------------------------------------------------------


def check(image: bpy.types.Image | None) -> None:
    """Raise `BadInput` unless `image` is one picture that can be read now and that the server will read."""
    if image is None:
        raise BadInput("no picture of the character is chosen; choose one")
    if image.source not in ("FILE", "GENERATED"):
        raise BadInput(
            f"the character {image.name!r} is a {image.source.lower()}, expected one still picture; choose another"
        )
    if _has_own_pixels(image):
        return
    file = path(image)
    if not file.is_file():
        raise BadInput(f"the character picture {file} is not there; choose a picture of the character")
    if file.suffix.lower() not in FILES:
        raise BadInput(f"the character {file.name} is no picture ({', '.join(FILES)}); choose another file")
    if not _is_readable(file):
        raise BadInput(f"the character picture {file.name} cannot be read; save it again as PNG or choose another file")


def path(image: bpy.types.Image) -> Path:
    """Where an image that is read from a file lies."""
    return Path(bpy.path.abspath(image.filepath, library=image.library))


def _has_own_pixels(image: bpy.types.Image) -> bool:
    """Whether the picture is in the .blend or only in memory, so that its file, if any, is not it."""
    return image.source == "GENERATED" or image.packed_file is not None or image.is_dirty


def _is_readable(file: Path) -> bool:
    try:
        image = bpy.data.images.load(str(file))
    except RuntimeError:  # no permission, or gone since
        return False
    try:
        return image.source == "FILE" and len(image.pixels) > 0  # reading the pixels finds truncated files too
    finally:
        bpy.data.images.remove(image)


def hints(width: int, height: int, faces: Faces | None = None) -> tuple[str, ...]:
    """What a person should know of a picture of `width`×`height` pixels before it is sent; none of it forbids that.

    `faces` are those that the server found in it.
    """
    found = []
    if min(width, height) < SMALL:
        found.append(f"The picture has {width}×{height} pixels; from {SMALL} on the short side details are kept")
    if max(width, height) > NARROW * min(width, height):
        found.append(f"The picture is {width}×{height}: most of what the model sees of it will be black bars")
    if faces:
        found.append(_about(faces))
    return tuple(found)


def _about(faces: Faces) -> str:
    if not faces.boxes:
        return "No face was found in the picture: expressions come out best with one face seen from the front"
    x0, y0, x1, y1 = faces.boxes[0]
    side = min(x1 - x0, y1 - y0)
    if len(faces.boxes) > 1:
        return f"{len(faces.boxes)} faces were found in the picture: crop it to the one character"
    if side < SMALL_FACE:
        return f"The face has {side} pixels; from {SMALL_FACE} on it is recognised: choose a larger picture"
    return f"One face of {side} pixels was found"


# --- writing ------------------------------------------------------------------------------------------


def write(image: bpy.types.Image, folder: Path) -> str:
    """Write `image` into `folder` and return the file's name. Files are copied, packed ones unpacked, byte for byte.

    Pictures that are only in memory, painted or generated, become PNG.
    """
    file = folder / f"character{path(image).suffix.lower() or '.png'}"
    if not _has_own_pixels(image):
        shutil.copyfile(path(image), file)
    elif image.packed_file and not image.is_dirty and file.suffix in FILES:
        file.write_bytes(image.packed_file.data)
    else:
        file = file.with_suffix(".png")
        _save(image, file)
    return file.name


def _save(image: bpy.types.Image, file: Path) -> None:
    """As PNG, from a copy, because saving changes where an image thinks it is from."""
    copy = image.copy()
    try:
        pixels = np.empty(len(image.pixels), np.float32)
        image.pixels.foreach_get(pixels)
        copy.pixels.foreach_set(pixels)
        copy.file_format, copy.filepath_raw = "PNG", str(file)
        copy.save()
    except RuntimeError as error:
        raise BadInput(f"the character {image.name!r} could not be written to {file}: {error}") from error
    finally:
        bpy.data.images.remove(copy)


# --- rendering ----------------------------------------------------------------------------------------


def render(view: pose.View, frame: float, *, alone: bool) -> bpy.types.Image:
    """The figure of `view` at `frame` of its scene as its camera sees it, as an image packed into the .blend.

    `alone` leaves out everything but the figure and the lights, on a transparent ground. Colours are as the scene's
    view shows them: that is what the figure looks like to the person who made it.
    """
    body = pose.body(view)
    if not body:
        raise BadInput(
            f"the rig {view.rig.name!r} carries nothing that is rendered; show its body in renders or choose a file"
        )
    with unkeyed.kept(), tempfile.TemporaryDirectory() as folder, stills.copy_of(view.scene) as copy:
        stills.prepare(copy, view.width, view.height, "RGBA")
        stills.trace(copy, SAMPLES)
        copy.render.film_transparent = alone
        with pose.time_kept(view.scene):
            pose.set_time(copy, frame)
            copy.camera = pose.camera_now(view)
            if alone:
                _keep(copy, body)
            return _loaded(stills.write(copy, Path(folder) / "character.png"), f"{view.rig.name} character")


def _keep(copy: bpy.types.Scene, body: set[bpy.types.Object]) -> None:
    """Leave in a temporary scene only `body` and what lights it."""
    lights = {thing for thing in copy.objects if thing.type in ("LIGHT", "LIGHT_PROBE")}
    for child in copy.collection.children[:]:
        copy.collection.children.unlink(child)
    for thing in copy.collection.objects[:]:
        copy.collection.objects.unlink(thing)
    for thing in body | lights:
        copy.collection.objects.link(thing)


def _loaded(file: Path, name: str) -> bpy.types.Image:
    image = bpy.data.images.load(str(file))
    image.name = name
    image.pack()
    image.filepath_raw = ""
    return image
