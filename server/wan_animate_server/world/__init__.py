"""The synthetic world: paired clips of made-up people, for training the small model and for measuring it."""

from .area import region
from .contact import sheet
from .drawing import skeleton
from .motion import EXPRESSION
from .pairs import FACE, Clips, Spec, clips

__all__ = ["EXPRESSION", "FACE", "Clips", "Spec", "clips", "region", "sheet", "skeleton"]
