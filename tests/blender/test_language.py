"""What is said can be translated: words as they are, sentences by their templates.

Blender's wheels are built without languages, so that a dictionary takes the place of Blender's own; the windowed tests
register one with Blender.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from panel import draw

from wan_animate_blender import ROOMS, language, panels
from wan_animate_blender.language import grey, listed, refuse, tell, templates, translated
from wan_animate_blender.wire import BadInput

ELSEWHERE = {
    "no rig is chosen; choose the armature that moves the character": "es ist kein Rig gewählt",
    "the rig {!r} has no bone {!r}": "falsch: eine Vorlage hat nur leere Klammern",
    "the rig {} has no bone {}; choose one of its bones": "{1} ist kein Knochen von {0}; wähle einen",
    "denoising": "Entrauschen",
    "segment {} of {}": "Abschnitt {} von {}",
    "{} min left": "noch {} min",
    "the server could not render {}: {}": "der Server scheiterte an {}: {}",
    "the disk is full": "die Platte ist voll",
    "SH010": "never looked up: a name is no sentence",
    "This strip is a take; click the strip that it was made from": "Dies ist ein Take",
}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(language, "pgettext_iface", lambda text: ELSEWHERE.get(text, text))
    monkeypatch.setattr(language, "_is_original", lambda: False)
    yield


@pytest.mark.usefixtures("elsewhere")
def test_a_sentence_is_translated_with_its_names_where_the_language_wants_them() -> None:
    said = translated("the rig 'hero' has no bone 'arm of a giant'; choose one of its bones")
    assert said == "'arm of a giant' ist kein Knochen von 'hero'; wähle einen"
    assert translated("no rig is chosen; choose the armature that moves the character") == "es ist kein Rig gewählt"


@pytest.mark.usefixtures("elsewhere")
def test_a_sentence_within_a_sentence_is_translated_and_names_are_not() -> None:
    said = translated("the server could not render SH010: the disk is full")
    assert said == "der Server scheiterte an SH010: die Platte ist voll"


@pytest.mark.usefixtures("elsewhere")
def test_what_nobody_translated_is_said_as_it_is() -> None:
    for text in ("what a later server says", "the matte 'a b' shows 3 frames; 100 % {of} it", ""):
        assert translated(text) == text


@pytest.mark.usefixtures("elsewhere")
def test_each_part_of_a_list_is_translated() -> None:
    assert listed(["denoising", "segment 2 of 3", "4 min left"]) == "Entrauschen, Abschnitt 2 von 3, noch 4 min"


@pytest.mark.usefixtures("elsewhere")
def test_panels_say_problems_in_the_language_of_the_interface(plate: Any) -> None:
    plate.wan_animate.person.rig = None
    drawn = draw(panels.WAN_ANIMATE_PT_strip)
    assert "Es ist kein Rig gewählt" in drawn[drawn.index("rig") + 1]


@pytest.mark.usefixtures("elsewhere")
def test_buttons_say_why_they_are_grey_what_was_wrong_and_what_was_done(plate: Any) -> None:
    said: list[Any] = []
    button: Any = SimpleNamespace(poll_message_set=said.append, report=lambda *words: said.append(words))
    assert not grey(button, "no rig is chosen; choose the armature that moves the character")
    assert refuse(button, BadInput("the disk is full")) == {"CANCELLED"}
    assert tell(button, "denoising") == {"FINISHED"}
    assert grey(button, "")
    assert said == [
        "es ist kein Rig gewählt", ({"ERROR"}, "die Platte ist voll"), ({"INFO"}, "Entrauschen")
    ]  # fmt: skip


def test_templates_are_the_sentences_of_the_sources() -> None:
    assert {"the rig {} has no bone {}; choose one of its bones", "{} min left"} <= templates()
    assert not [one for one in templates() if not any(letter.isalpha() for letter in one.replace("{}", ""))]


def test_reports_and_reasons_go_through_the_language_only() -> None:
    """Nobody else speaks to people behind the translation's back."""
    folder = Path(language.__file__).parent
    others = [folder / f"{room.replace('.', '/')}.py" for room in (*ROOMS, "sidebar")]
    loud = [file.name for file in others for word in (".report(", "poll_message_set(") if word in file.read_text()]
    assert loud == []


@pytest.mark.usefixtures("addon")
def test_every_operator_and_property_has_a_name_and_a_tooltip(plate: Any) -> None:
    """Blender translates both by itself, and F3 finds operators by their names."""
    verbs = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("WAN_ANIMATE_OT_")]
    assert len(verbs) > 30
    for verb in verbs:
        assert verb.bl_label, verb
        assert getattr(verb, "bl_description", "") or hasattr(verb, "description"), verb
        call = getattr(bpy.ops.wan_animate, verb.__name__.removeprefix("WAN_ANIMATE_OT_"))
        seen = [one for one in call.get_rna_type().properties if one.identifier != "rna_type" and not one.is_hidden]
        assert not [one.identifier for one in seen if not (one.name and one.description)], verb
