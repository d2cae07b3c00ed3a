"""Formula: text in R's notation to a response, a fixed part and random terms."""

from henderson.formula.parser import Formula, RandomTerm, parse
from henderson.formula.words import FUNCTIONS, STRUCTURES

__all__ = ["FUNCTIONS", "STRUCTURES", "Formula", "RandomTerm", "parse"]
