"""Reads scripts of Nuke and makes their picture: takes the place of Nuke, which cannot be had here.

Knows of the format what Nuke's own manual and saved scripts show: Tcl words, a stack of nodes, and what the few nodes
of a composite do to numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Picture = np.ndarray
"""float64 [H, W, 4]."""


@dataclass
class Node:
    kind: str
    knobs: dict[str, str]
    inputs: list[Node] = field(default_factory=list)


def words(text: str) -> Iterator[str]:
    """Tcl: bare words, quoted ones with backslashes, and groups in balanced braces."""
    at = 0
    while match := re.compile(r"\s*").match(text, at):
        at = match.end()
        if at == len(text):
            return
        if text[at] == "{":
            end = _closing(text, at)
            yield text[at + 1 : end]
            at = end + 1
        elif text[at] == '"':
            quoted = re.compile(r'"((?:[^"\\]|\\.)*)"').match(text, at)
            assert quoted, f"a quotation does not end: {text[at : at + 40]}"
            assert not re.search(r"(?<!\\)\[", quoted[1]), "a bracket would be run while the script is read"
            yield re.sub(r"\\(.)", r"\1", quoted[1])
            at = quoted.end()
        else:
            bare = re.compile(r'[^\s{}"\[\]]+').match(text, at)
            assert bare, f"not understood: {text[at : at + 40]}"
            yield bare[0]
            at = bare.end()


def _closing(text: str, at: int) -> int:
    depth = 0
    for end in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return end
    raise AssertionError("braces are not balanced")


def read(file: Path) -> dict[str, Node]:
    """The nodes by name, the last one as "": what the script ends with."""
    stack: list[Node] = []
    named: dict[str, Node] = {}
    told = words(file.read_text())
    for kind in told:
        pairs = list(words(next(told)))
        assert len(pairs) % 2 == 0, f"{kind} has a knob without a value"
        node = Node(kind, dict(zip(pairs[::2], pairs[1::2], strict=True)))
        wanted = int(node.knobs.get("inputs", 1))
        assert len(stack) >= wanted, f"{kind} lacks an input"
        node.inputs = [stack.pop() for _ in range(wanted)]
        named[node.knobs.get("name", kind)] = node
        if kind != "Root":
            stack.append(node)
    assert len(stack) == 1, "one node is the end"
    return named | {"": stack[0]}


def picture(node: Node, home: Path, frame: int, load: Callable[[Path], Picture]) -> Picture:
    """What `node` shows at `frame`; `load` gives a file's own numbers."""
    above = [picture(one, home, frame, load) for one in node.inputs]
    match node.kind:
        case "Read":
            assert node.knobs["raw"] == "true"
            assert int(node.knobs["first"]) <= frame <= int(node.knobs["last"])
            here = node.knobs["file"].replace("[file dirname [value root.name]]", str(home))
            return load(Path(here % frame))
        case "Copy":  # from A, the second input, to B
            assert (node.knobs["from0"], node.knobs["to0"]) == ("rgba.red", "rgba.alpha")
            return np.dstack([above[0][..., :3], above[1][..., 0]])
        case "Premult":
            return np.dstack([above[0][..., :3] * above[0][..., 3:], above[0][..., 3]])
        case "Unpremult":
            alpha = above[0][..., 3:]
            colour = np.divide(above[0][..., :3], alpha, where=alpha > 0, out=above[0][..., :3].copy())
            return np.dstack([colour, alpha])
        case "Dissolve":
            which = float(node.knobs["which"])
            return above[0] * (1 - which) + above[1] * which
        case "Merge2":
            assert node.knobs["operation"] == "over"
            return above[1] + above[0] * (1 - above[1][..., 3:])
        case "Colorspace":
            assert (node.knobs["colorspace_in"], node.knobs["colorspace_out"]) == ("sRGB", "linear")
            low = above[0] / 12.92
            return np.where(above[0] <= 0.04045, low, ((above[0] + 0.055) / 1.055) ** 2.4)
    raise AssertionError(f"{node.kind} is no node that is known here")
