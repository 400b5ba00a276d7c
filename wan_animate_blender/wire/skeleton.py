"""The skeleton that the model was trained to see: which of the 133 keypoints it joins, in which order and colours.

The server draws it for the model, the add-on for people. Its rule is the released preprocessing's
`draw_aapose_by_meta_new` with its defaults (Wan2.2, `wan/modules/animate/preprocess/human_visualization.py`).
"""

import colorsys
import itertools

THRESHOLD = 0.5
"""A point of less confidence is not drawn, nor anything that ends in it."""

LEFT_HAND, RIGHT_HAND = slice(91, 112), slice(112, 133)

# Each of the 20 drawn points is the mean of two of the 133: the neck of both shoulders, a toe of the foot's two, every
# other one of itself. In order: nose, neck, right arm, left arm, right leg, left leg, eyes, ears, left toe, right toe.
FIRST = [0, 6, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 20]
SECOND = [0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 18, 21]

LIMBS = [
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
]  # fmt: skip
"""Pairs of the 20 points, in the order of drawing."""

COLOURS = [
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85), (200, 200, 0), (100, 100, 0),
]  # fmt: skip
"""RGB of limb i and of point i."""

# A hand's first point is the wrist, then four for each finger from the thumb on.
_FINGERS = [[0, *range(first, first + 4)] for first in range(1, 21, 4)]
FINGER_EDGES = [edge for finger in _FINGERS for edge in itertools.pairwise(finger)]
FINGER_COLOURS = [[255 * c for c in colorsys.hsv_to_rgb(i / 20, 1, 1)] for i in range(20)]
FINGER_JOINT = (0, 0, 255)
