"""A take as a node tree of Blender's compositor: what its `comp` is made of, so that an artist can go on from there.

Plate and character are put together in the numbers that the plate's files hold, as the take's `comp` is;
display-encoded ones become light after that, so that what is added behind sees light. Knows no strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from . import assembly, colours, take
from .assembly import Parts
from .wire import RasterKind, Shot

GRID = 300
"""Between two nodes, in the units of the node editor."""

VIEW = ("view_transform", "look", "exposure", "gamma")


def build(scene: bpy.types.Scene, folder: Path) -> bpy.types.Scene:
    """A new scene whose compositor puts together the take in `folder`; frame 1001 is the shot's first.

    It is seen as `scene`, the edit, is seen; nothing else is changed. Rendered, it gives the take's `comp`.
    Raises `BadInput` as `assembly.read` does.
    """
    parts = assembly.read(folder)
    made = bpy.data.scenes.new(f"{take.title(parts.take)} comp")
    _set_up(made, scene, parts)
    tree, output = _compositor(made)
    put = _Putter(tree)
    picture = put.over(_background(put, parts), _character(put, parts), f"Character over {parts.ground}", 4)
    if not parts.is_linear:
        picture = put.light(picture, _space(scene, parts.shot), 5)
    tree.links.new(picture, output)
    output.node.location = 6 * GRID, 0
    return made


def _set_up(made: bpy.types.Scene, scene: bpy.types.Scene, parts: Parts) -> None:
    found, render = parts.take, made.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = found.width, found.height, 100
    render.fps, render.fps_base = found.fps.numerator, found.fps.denominator
    render.use_sequencer, render.compositor_precision, render.dither_intensity = False, "FULL", 0.0
    made.frame_start, made.frame_end, made.frame_current = found.cut_in, found.cut_out, found.cut_in
    made.display_settings.display_device = scene.display_settings.display_device
    for name in VIEW:
        setattr(made.view_settings, name, getattr(scene.view_settings, name))


def _compositor(scene: bpy.types.Scene) -> tuple[bpy.types.NodeTree, bpy.types.NodeSocket]:
    """An empty tree, and where its picture goes: since 5.0 a group of nodes that scenes share."""
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new(scene.name, "CompositorNodeTree")
        tree.interface.new_socket(name="Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        scene.compositing_node_group = tree
        return tree, tree.nodes.new("NodeGroupOutput").inputs[0]
    scene.use_nodes = True
    scene.node_tree.nodes.clear()
    return scene.node_tree, scene.node_tree.nodes.new("CompositorNodeComposite").inputs[0]


def _space(scene: bpy.types.Scene, shot: Shot) -> str:
    """The colour space in which display-encoded numbers of the files are light."""
    on_canvas = shot.raster.kind is RasterKind.CANVAS
    return scene.sequencer_colorspace_settings.name if on_canvas else colours.byte_space()


def _background(put: _Putter, parts: Parts) -> bpy.types.NodeSocket:
    """The plate, and what is behind the person over it: not seen until its factor is raised.

    The background of a take has that in it already.
    """
    plate = put.sequence(parts.ground, parts.plate, parts, (0, 0))
    if not parts.clean_plate:
        return plate
    clean = put.sequence("Clean Plate", parts.clean_plate, parts, (0, 1))
    return put.over(plate, clean, "Clean Plate over Plate", 1, factor=0.0)


def _character(put: _Putter, parts: Parts) -> bpy.types.NodeSocket:
    """The character's own colours with the matte for alpha, so that the matte can be worked on."""
    character = put.sequence("Character", parts.character, parts, (0, -1))
    matte = put.sequence("Matte", parts.matte, parts, (0, -2), is_matte=True)
    if parts.is_linear:
        character = put.straight(character, 2)
    return put.masked(character, matte, 3)


@dataclass(frozen=True)
class _Putter:
    """Puts nodes into a tree, as this Blender spells them; each returns where its picture comes out."""

    tree: bpy.types.NodeTree

    def _node(self, kind: str, label: str, column: float, row: float = -0.5) -> bpy.types.Node:
        node = self.tree.nodes.new(f"CompositorNode{kind}")
        node.name = node.label = label
        node.location = column * GRID, row * GRID
        return node

    def sequence(
        self, label: str, files: list[Path], parts: Parts, place: tuple[int, int], *, is_matte: bool = False
    ) -> bpy.types.NodeSocket:
        """The pictures of `files`, frame 1001 of the scene being the one of that number, with unchanged numbers."""
        node = self._node("Image", label, *place)
        node.image = image = bpy.data.images.load(str(files[0]))
        image.name, image.source = f"{take.title(parts.take)} {label.lower()}", "SEQUENCE"
        if parts.is_linear and not is_matte:
            image.colorspace_settings.name, image.alpha_mode = parts.shot.colour.working_space, "PREMUL"
        else:
            image.colorspace_settings.is_data, image.alpha_mode = True, "CHANNEL_PACKED"
        if bpy.data.filepath and bpy.context.preferences.filepaths.use_relative_paths:
            image.filepath = bpy.path.relpath(image.filepath)
        first = parts.take.first
        node.frame_start, node.frame_offset, node.frame_duration = first, first - 1, len(files)
        return node.outputs["Image"]

    def straight(self, picture: bpy.types.NodeSocket, column: int) -> bpy.types.NodeSocket:
        node = self._node("PremulKey", "Straight", column, -1)
        if "Type" in node.inputs:
            node.inputs["Type"].default_value = "To Straight"
        else:
            node.mapping = "PREMUL_TO_STRAIGHT"
        self.tree.links.new(picture, node.inputs["Image"])
        return node.outputs["Image"]

    def masked(
        self, picture: bpy.types.NodeSocket, alpha: bpy.types.NodeSocket, column: int
    ) -> bpy.types.NodeSocket:  # fmt: skip
        node = self._node("SetAlpha", "Character in Matte", column, -1)
        if "Type" in node.inputs:
            node.inputs["Type"].default_value = "Replace Alpha"
        else:
            node.mode = "REPLACE_ALPHA"
        self.tree.links.new(picture, node.inputs["Image"])
        self.tree.links.new(alpha, node.inputs["Alpha"])
        return node.outputs["Image"]

    def over(
        self, below: bpy.types.NodeSocket, above: bpy.types.NodeSocket, label: str, column: int, factor: float = 1.0
    ) -> bpy.types.NodeSocket:  # fmt: skip
        """`above`, whose alpha is straight, over `below`."""
        node = self._node("AlphaOver", label, column)
        named = {socket.identifier: socket for socket in node.inputs}
        named["Fac"].default_value = factor
        if "Straight Alpha" in named:
            named["Straight Alpha"].default_value = True
        else:
            node.use_premultiply = True
        self.tree.links.new(below, named.get("Background") or named["Image"])
        self.tree.links.new(above, named.get("Foreground") or named["Image_001"])
        return node.outputs["Image"]

    def light(self, picture: bpy.types.NodeSocket, space: str, column: int) -> bpy.types.NodeSocket:
        """Numbers of `space` as light in the space in which Blender works."""
        node = self._node("ConvertColorSpace", "To Light", column)
        node.from_color_space, node.to_color_space = space, colours.working_space()
        self.tree.links.new(picture, node.inputs["Image"])
        return node.outputs["Image"]
