"""Design: formula and data to X, y, and for each grouping factor codes and columns."""

from henderson.design.design import Design, NewDesign, build
from henderson.design.fixed import FixedDesign
from henderson.design.frame import ModelFrame, model_frame
from henderson.design.random import RandomFactor, TermSlot

__all__ = [
    "Design",
    "FixedDesign",
    "ModelFrame",
    "NewDesign",
    "RandomFactor",
    "TermSlot",
    "build",
    "model_frame",
]
