"""Faces in a character's picture: found by the server, counted and measured, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from wan_animate_blender.client import Server
from wan_animate_blender.wire import BadInput
from wan_animate_server import faces
from wan_animate_server.video import Picture

from .serving import Running, serving

FACE = 177, 71, 262, 156
"""Where the face in the picture of an astronaut is (NASA, public domain; scikit-image brings it)."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def astronaut() -> Picture:
    return np.asarray(data.astronaut())


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / (sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)) - both)


def test_one_face_is_found_where_it_is() -> None:
    found = faces.find(astronaut())
    assert (found.width, found.height) == (512, 512)
    assert [overlap(box, FACE) > 0.6 for box in found.boxes] == [True]


def test_a_face_of_a_large_picture_is_told_in_its_own_pixels() -> None:
    large = cv2.resize(astronaut(), (1536, 1536), interpolation=cv2.INTER_CUBIC)
    (box,) = faces.find(large).boxes
    assert overlap(box, tuple(3 * side for side in FACE)) > 0.6


def test_two_people_are_two_faces() -> None:
    two = np.concatenate([astronaut(), astronaut()[:, ::-1]], axis=1)
    assert len(faces.find(two).boxes) == 2


def test_a_picture_without_a_face_has_none() -> None:
    assert faces.find(np.full((300, 200, 3), 90, np.uint8)).boxes == ()
    assert faces.find(np.zeros((8, 8, 3), np.uint8)).boxes == ()


def test_the_server_answers_for_a_file_that_it_is_given(server: Running, tmp_path: Path) -> None:
    file = tmp_path / "hero.png"
    cv2.imwrite(str(file), astronaut()[..., ::-1])
    client = Server(server.url, server.token)
    assert client.faces(file) == faces.find(astronaut())
    assert client.faces(file).boxes


def test_what_is_no_picture_is_refused_with_a_sentence(server: Running, tmp_path: Path) -> None:
    file = tmp_path / "hero.png"
    file.write_bytes(b"no picture at all")
    with pytest.raises(BadInput, match="no picture that can be read"):
        Server(server.url, server.token).faces(file)
