"""What a correlation function is, and where correlation functions are registered.

The same function serves the columns of a random-effect term and the rows of a group: it gives the
correlation of two of them from their positions. A new one is one file here: a frozen dataclass with
the members below, registered by name; `formula.structures` has the words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, TypeVar

import numpy as np

from henderson.errors import FormulaError, did_you_mean

# C (...), dC (m, ...), d2C (m, m, ...).
Derivatives = tuple[np.ndarray, np.ndarray, np.ndarray]


class Correlation(Protocol):
    """Correlations of pairs as a function of unconstrained internal parameters phi (m,).

    A pair is described by the positions (d coordinates) of its two ends. For any phi the
    correlation matrix of distinct positions is positive definite.
    """

    @property
    def name(self) -> str: ...
    @property
    def n_parameters(self) -> int: ...

    def start(self) -> np.ndarray:
        """Internal parameters (m,) to begin from; the optimiser's start."""
        ...

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        """The parameters as people read them: {"rho": 0.6}, {"range": 3.1, "nugget": 0.1}."""
        ...

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        """C (...), dC (m, ...) and d2C (m, m, ...) for pairs of positions (..., d).

        The two ends of a pair are different rows or columns: what is said of a position with
        itself is ignored, that correlation is one.
        """
        ...


@dataclass(frozen=True)
class Places:
    """What a correlation function has to know of the rows or columns that it is for.

    largest : the most rows of a group, or the columns of a term.
    count : for whole positions 0, 1, ..., how many; one more than the longest lag.
    distance : a typical distance between two of a group, in units of the positions.
    labels : what the whole positions stand for, (count,), where they are the visits of a study.
    """

    largest: int
    count: int = 1
    distance: float = 1.0
    labels: tuple[str, ...] = field(default=())


class Factory(Protocol):
    """Makes a correlation function for some places."""

    def __call__(self, places: Places, *, nugget: bool = False) -> Correlation: ...


F = TypeVar("F", bound=Callable[..., Correlation])
_REGISTRY: dict[str, Factory] = {}


def register_correlation(name: str) -> Callable[[F], F]:
    """Decorator of a `Factory`: make it known under `name`."""

    def add(factory: F) -> F:
        _REGISTRY[name] = factory
        return factory

    return add


def correlation_names() -> tuple[str, ...]:
    """The names of all the registered correlation functions."""
    _load()
    return tuple(sorted(_REGISTRY))


def make_correlation(name: str, places: Places, *, nugget: bool = False) -> Correlation:
    """The correlation function called `name`.

    Raises
    ------
    FormulaError : the name is not registered, or the function has no nugget.
    """
    _load()
    if name not in _REGISTRY:
        raise FormulaError(
            f"There is no correlation '{name}': {did_you_mean(name, correlation_names())}"
        )
    if nugget:
        return _REGISTRY[name](places, nugget=True)
    return _REGISTRY[name](places)


@lru_cache(maxsize=1)
def _load() -> None:
    """Import the files of this folder, which register themselves."""
    package = import_module("henderson.covariance.correlations")
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        import_module(module.name)
