"""What is said to people, in the language of Blender's interface. Knows no words itself.

Blender translates by itself what is the same every time: labels, names, tooltips. Sentences with names and numbers in
them are made where no Blender is, as in the session's thread. Here they are recognised by their templates, which are
the keys of their translations: `{("*", "the rig {} has no bone {}; choose one of its bones"): "…"}`, registered as
`bpy.app.translations` wants it.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface

from .wire import Problem

WORD = re.compile(r"[A-Za-z]{2}")


def translated(text: str) -> str:
    """`text` as the interface says it; unchanged where nobody has translated it."""
    said = pgettext_iface(text)
    if said != text or _is_original():
        return said
    template, fields = _recognised(text)
    if not template:
        return text
    parts = (translated(field) if " " in field else field for field in fields)  # a sentence may hold another one
    return pgettext_iface(template).format(*parts)


def listed(parts: Iterable[str]) -> str:
    return ", ".join(map(translated, parts))


def _is_original() -> bool:
    """Whether the interface speaks as the sources do. "" where Blender was built without languages."""
    return bpy.app.translations.locale[:2] in ("", "en")


@functools.lru_cache(maxsize=1024)
def _recognised(text: str) -> tuple[str, tuple[str, ...]]:
    """The template of a sentence and what fills it; "" and nothing where it has none."""
    for template, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return template, found.groups()
    return "", ()


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Those with the most words of their own first."""
    known = sorted(templates(), key=lambda template: (-len(template), template))
    return tuple((one, re.compile(re.escape(one).replace(r"\{\}", "(.+?)"), re.DOTALL)) for one in known)


def templates() -> set[str]:
    """All sentences with fields that this add-on can say, such as "the rig {} has no bone {}; choose another one".

    Read from its sources, so that no list of them can be out of date.
    """
    return {one for file in Path(__file__).parent.rglob("*.py") for one in _in_source(file.read_text(encoding="utf-8"))}


def _in_source(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            own = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            template = "".join(map(str, own))
            if " " in template and WORD.search(template.replace("{}", "")):
                yield template


# --- operators ------------------------------------------------------------------------------------


def grey(operator: type[bpy.types.Operator], why: str) -> bool:
    """Let the tooltip of a button say `why` it is grey. False, for `poll` to return; True when there is no reason."""
    if why:
        operator.poll_message_set(translated(why))
    return not why


def refuse(operator: bpy.types.Operator, problem: Problem) -> set[str]:
    """Say why nothing was done; what `execute` returns."""
    operator.report({"ERROR"}, translated(str(problem)))
    return {"CANCELLED"}


def tell(operator: bpy.types.Operator, text: str) -> set[str]:
    """Say what was done; what `execute` returns."""
    operator.report({"INFO"}, translated(text))
    return {"FINISHED"}
