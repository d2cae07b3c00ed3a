"""What the engine asks of a covariance structure, and where structures are registered.

A structure turns a vector of *internal* parameters into the relative covariance Sigma (K, K) of
one random-effect term. Internal parameters are unconstrained, so that the optimiser needs no
bounds; they may be redundant (the unstructured factor M has K^2 entries for K(K+1)/2 covariances),
in which case `tangent` says which directions change Sigma.

A new structure is one file: a frozen dataclass with the members below, registered by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from henderson.errors import FormulaError

Rotation = Literal["full", "diagonal", "scalar"]


class Structure(Protocol):
    """The relative covariance Sigma(phi) of a random-effect term with K columns.

    Attributes
    ----------
    name : the word in a formula ("us", "diag", ...).
    size : K, the number of columns.
    n_parameters : the number of free covariance parameters that count in an AIC.
    rotation : which changes of basis of the columns keep the structure: any ("full"), a scale per
        column ("diagonal") or one scale for all ("scalar"). The engine uses it to standardise.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def rotation(self) -> Rotation: ...

    def start(self, sigma: np.ndarray) -> np.ndarray:
        """Internal parameters (m,) near a positive definite moment estimate (K, K)."""
        ...

    def zero(self) -> np.ndarray:
        """Internal parameters (m,) of Sigma = 0."""
        ...

    def sigma(self, phi: np.ndarray) -> np.ndarray:
        """Sigma (K, K)."""
        ...

    def factor(self, phi: np.ndarray) -> np.ndarray:
        """Any M (K, K) with Sigma = M M'."""
        ...

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """dSigma/dphi, (m, K, K)."""
        ...

    def curvature(self, phi: np.ndarray, d: np.ndarray) -> np.ndarray:
        """sum_kl d[k, l] d2Sigma[k, l] / dphi dphi', (m, m)."""
        ...

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        """Basis (m, r) of the directions of phi that change Sigma.

        Its columns are scaled so that a unit step along any of them is a step of moderate size:
        the optimiser's trust region is a ball in this basis.
        """
        ...


# The relative variance below which a term is small: with columns standardised so that Z_j'Z_j is
# the identity on average, the criterion bends on this scale near Sigma = 0, and on Sigma's above.
SMALL = 0.1

_REGISTRY: dict[str, Callable[[int], Structure]] = {}


def register(name: str) -> Callable[[Callable[[int], Structure]], Callable[[int], Structure]]:
    """Class decorator: make a structure known to formulas under `name`."""

    def add(factory: Callable[[int], Structure]) -> Callable[[int], Structure]:
        _REGISTRY[name] = factory
        return factory

    return add


def structure_names() -> tuple[str, ...]:
    """The names of all the registered structures."""
    _load()
    return tuple(_REGISTRY)


def make_structure(name: str, size: int) -> Structure:
    """The structure called `name` for a term with `size` columns.

    Raises
    ------
    FormulaError : the name is not registered.
    """
    _load()
    if name not in _REGISTRY:
        known = ", ".join(_REGISTRY)
        raise FormulaError(
            f"Unknown covariance structure '{name}' of a random term; known: {known}."
        )
    return _REGISTRY[name](size)


def _load() -> None:
    """Import the files of structures, which register themselves."""
    from henderson.covariance import diagonal, unstructured  # noqa: F401
