"""Formula: text in R's notation to a response, a fixed part and random terms."""

from henderson.formula import structures
from henderson.formula.parser import Formula, parse
from henderson.formula.random_terms import RandomTerm
from henderson.formula.words import FUNCTIONS, STRUCTURES

__all__ = ["FUNCTIONS", "STRUCTURES", "Formula", "RandomTerm", "parse", "structures"]
