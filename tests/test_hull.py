"""The pieces that a body's space is made of: numbers that both sides draw from, the server's pixels held fast."""

from __future__ import annotations

import math

import pytest

from wan_animate_blender.wire.hull import FLESH, Piece, growth, pieces


def body(**places: tuple[float, float, float]) -> list[list[float]]:
    """Somebody of whom only the named points are known."""
    points = [[0.0, 0.0, 0.0] for _ in range(133)]
    for name, place in places.items():
        points[int(name[1:])] = list(place)
    return points


def test_shoulders_and_hips_make_a_trunk_as_thick_as_a_quarter_of_the_shoulders() -> None:
    trunk = body(k5=(70, 40, 1), k6=(30, 40, 1), k11=(60, 90, 1), k12=(40, 90, 1))
    found = pieces(trunk, 100, 200)
    assert found[0] == Piece(((70, 40), (30, 40), (60, 90), (40, 90)), FLESH * 40)
    assert [piece.points for piece in found[1:]] == [((60, 90), (40, 90)), ((70, 40),), ((30, 40),)]


def test_the_largest_bone_tells_the_size_for_foreshortening_only_shortens() -> None:
    from_the_side = body(k5=(50, 40, 1), k6=(48, 40, 1), k11=(50, 108.5, 1), k12=(50, 100, 1))
    assert pieces(from_the_side, 100, 200)[0].radius == pytest.approx(FLESH * 50)


def test_a_head_is_a_ball_that_holds_every_landmark_with_hair() -> None:
    face = {f"k{i}": (50 + 10 * math.cos(i), 50 + 10 * math.sin(i), 1.0) for i in range(23, 90)}
    head, neck = pieces(body(k0=(50, 50, 1), k90=(50, 20, 1), **face), 100, 100)
    assert head == Piece(((50, 50),), pytest.approx(45))
    assert neck == Piece(((50, 50),), 0.0)


def test_doubtful_points_count_only_outside_the_frame() -> None:
    arm = body(k5=(50, 50, 1), k7=(80, 50, 0.3), k9=(130, 50, 0))
    assert pieces(arm, 100, 100)[1].points == ((50, 50), (130, 50))


def test_nobody_has_no_pieces() -> None:
    assert pieces(body(), 100, 100) == []
    assert pieces([[math.nan, math.nan, 0.0]] * 133, 100, 100) == []


def test_a_point_at_the_cameras_plane_is_as_far_as_three_frames() -> None:
    near = body(k5=(1e30, -1e30, 0), k6=(10, 10, 1))
    assert pieces(near, 100, 50)[0].points == ((400, -150), (10, 10))


@pytest.mark.parametrize(
    ("height", "width", "pixels"), [(480, 832, 12), (1080, 1920, 27), (48, 80, 2), (2160, 4096, 54)]
)
def test_the_margin_is_a_fortieth_of_the_short_side(height: int, width: int, pixels: int) -> None:
    assert growth(height, width) == growth(width, height) == pixels
