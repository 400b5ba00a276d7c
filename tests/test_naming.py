"""Names of what is delivered: each convention's example, and nothing that a file system or a client refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_animate_blender.wire import Convention, Finish, Naming, Shot, WireError

from .conftest import QUICK

WHOLE = {"show": "AGM", "sequence": "104_065"}


@pytest.mark.parametrize(("convention", "shot", "path", "title"), [
    ("plain", "SH010", "SH010_v003/comp/1001", "AGM_104_065_SH010_v003"),
    ("1001", "SH010", "SH010_comp_v003/SH010_comp_v003.1001", "AGM_104_065_SH010_v003"),
    ("blender-studio", "140_0010_A", "140_0010_a-comp-v003/001001", "agm-104_065-140_0010_a-v003"),
    ("netflix", "010", "AGM_104_065_010_comp_v003/AGM_104_065_010_comp_v003.1001", "AGM_104_065_010_v003"),
])  # fmt: skip
def test_each_convention_has_its_names(convention: str, shot: str, path: str, title: str) -> None:
    naming = Naming(convention=Convention(convention), **WHOLE)
    assert naming.path(shot, "comp", 3, 1001) == path
    assert naming.title(shot, 3) == title


def test_frames_are_counted_from_where_the_convention_or_the_artist_says() -> None:
    assert Naming().delivered(993, 990) == 993
    assert Naming(convention=Convention.FROM_1001).delivered(993, 990) == 1004
    assert Naming(convention=Convention.FROM_1001, first=0).delivered(993, 990) == 3


def test_an_own_template_counts_in_as_many_digits_as_it_says() -> None:
    naming = Naming(template="{shot}/{layer}/{version:04}_{frame:06}", shot="A010")
    assert naming.path("SH010", "matte", 12, 7) == "A010/matte/v0012_000007"


@pytest.mark.parametrize(("fields", "sentence"), [
    ({"convention": "netflix"}, "show is not given, expected one, for netflix names have it"),
    ({"convention": "netflix", "show": "AGM"}, "sequence is not given"),
    ({"template": "{shot"}, "naming template is '{shot', expected one with {layer}"),
    ({"template": "{layer}_{version}"}, "ends with {frame}"),
    ({"template": "{layer}_{frame}"}, "with {layer} and {version}"),
    ({"template": "{version}_{frame}"}, "with {layer} and {version}"),
    ({"template": "{layer}_{version}.{frame}_x{colour}"}, "others are {show}, {sequence} and {shot}"),
    ({"template": "{layer}_{version}.{frame}x"}, "ends with {frame}"),
    ({"template": "{layer.upper}_{version}.{frame}"}, "naming template is"),
    ({"template": "{layer!r}_{version}.{frame}"}, "naming template is"),
    ({"template": "{layer:>99}_{version}.{frame}"}, "naming template is"),
    ({"template": "{layer}_{version}.{frame:03}"}, "digits of the frame is 3, expected 4 to 6 in plain names"),
    ({"template": "{layer}_{version}.{frame:06}", "convention": "netflix"}, "digits of the frame is 6, expected 4 in"),
    ({"template": "{layer}_{version:02}.{frame}"}, "digits of the version is 2, expected 3 to 4"),
    ({"first": -1}, "first frame is -1"),
])  # fmt: skip
def test_a_template_that_cannot_work_is_refused_at_once(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        Naming.from_json(fields)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("template", [
    "/{layer}_{version}.{frame}", "../{layer}_{version}.{frame}", "a//{layer}_{version}.{frame}",
    "a b/{layer}{version}{frame}", ".{layer}_{version}.{frame}", "{layer}./{version}.{frame}",
    "con/{layer}{version}{frame}", "é/{layer}{version}{frame}", "a\\{layer}{version}{frame}",
    "Lpt1.x/{layer}{version}{frame}", "a" * 201 + "/{layer}{version}{frame}",
])  # fmt: skip
def test_a_name_that_some_file_system_or_client_refuses_is_refused_before_rendering(template: str, shot: Shot) -> None:
    finish = Finish(naming=Naming(template=template))
    with pytest.raises(WireError, match="delivered name is"):
        replace(shot, settings=replace(QUICK, finish=finish))


def test_a_studio_that_writes_in_lower_case_gets_no_capital_of_a_template() -> None:
    naming = Naming(convention=Convention.BLENDER_STUDIO, template="Shots/{layer}-{version}/{frame:06}")
    with pytest.raises(WireError, match="lower-case letters"):
        naming.check("sh010", range(1001, 1010))


def test_numbers_that_need_more_digits_than_there_are_are_refused_before_rendering() -> None:
    naming = Naming(convention=Convention.NETFLIX, first=9995, **WHOLE)
    naming.check("010", range(1001, 1006))
    with pytest.raises(WireError, match="frame is 10000, expected a number of 4 digits"):
        naming.check("010", range(1001, 1007))


words = st.text("ABCxyz019._-", min_size=1, max_size=12)


@given(st.sampled_from(list(Convention)), words, words, words, st.integers(1, 999), st.integers(0, 9999))
def test_a_name_is_refused_or_safe_and_says_which_frame_it_is(
    convention: Convention, show: str, sequence: str, shot: str, version: int, number: int
) -> None:
    naming = Naming(convention=convention, show=show, sequence=sequence)
    try:
        names = {layer: naming.path(shot, layer, version, number) for layer in ("character", "comp")}
    except WireError as error:
        assert "delivered name" in str(error)
        return
    assert names["character"] != names["comp"]
    for name in names.values():
        assert int(name[-4:]) == number
        assert f"v{version:03d}" in name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")
        assert ".." not in name.split("/")
        assert not name.startswith("/")
