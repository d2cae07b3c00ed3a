"""What the engine asks of a covariance structure, and where structures are registered.

A structure turns a vector of *internal* parameters into the relative covariance Sigma (K, K) of
one random-effect term. Internal parameters are unconstrained, so that the optimiser needs no
bounds; they may be redundant (the unstructured factor M has K^2 entries for K(K+1)/2 covariances),
in which case `tangent` says which directions change Sigma.

A new structure is one file in this folder: a frozen dataclass with the members below, registered by
name. One that is a variance times a correlation function is one file in `correlations`, and its
name in `correlated.KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal, Protocol, TypeVar

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
    linear : whether the structure is a subspace of the symmetric matrices (some entries free, the
        others zero), so that its Sigma can be differentiated entry by entry.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def rotation(self) -> Rotation: ...
    @property
    def linear(self) -> bool: ...

    def start(self, sigma: np.ndarray) -> np.ndarray:
        """Internal parameters (m,) near a positive semidefinite estimate (K, K)."""
        ...

    def zero(self) -> np.ndarray:
        """Internal parameters (m,) of Sigma = 0, a stationary point."""
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
        """sum_kl d[k, l] d2Sigma[k, l] / dphi dphi', (m, m); d symmetric."""
        ...

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        """Basis (m, r) of the directions of phi that change Sigma.

        Its columns are scaled so that a unit step along any of them is a step of moderate size:
        the optimiser's trust region is a ball in this basis.
        """
        ...

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """The parameters as people read them, as many as are free: sd, rho, range.

        covariance : the term's covariance (K, K) in the caller's units, for the standard
            deviations; correlations and ranges come from phi, which no change of units touches.
        names : of the columns, to name what is theirs.
        """
        ...


# The relative variance below which a term is small: with columns standardised so that Z_j'Z_j is
# the identity on average, the criterion bends on this scale near Sigma = 0, and on Sigma's above.
SMALL = 0.1


def standard_deviations(covariance: np.ndarray, names: Sequence[str] = ()) -> dict[str, float]:
    """{"sd[name]": value} for the columns of a covariance (K, K)."""
    each = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    labels = names or range(1, len(each) + 1)
    return {f"sd[{n}]": float(sd) for n, sd in zip(labels, each, strict=True)}


F = TypeVar("F", bound=Callable[..., Any])
_REGISTRY: dict[str, Callable[..., Structure]] = {}
_POSITIONED: dict[str, Callable[..., Structure]] = {}


def register(name: str) -> Callable[[F], F]:
    """Decorator of a structure made from its size: make it known to formulas under `name`."""

    def add(factory: F) -> F:
        _REGISTRY[name] = factory
        return factory

    return add


def register_positioned(name: str) -> Callable[[F], F]:
    """Decorator of a structure made from its size and the positions (K, d) of its columns."""

    def add(factory: F) -> F:
        _POSITIONED[name] = factory
        return factory

    return add


def structure_names() -> tuple[str, ...]:
    """The names of all the registered structures."""
    _load()
    return (*_REGISTRY, *_POSITIONED)


def make_structure(
    name: str, size: int, positions: np.ndarray | None = None, strata: int = 1
) -> Structure:
    """The structure called `name` for a term with `size` columns.

    Parameters
    ----------
    positions : (size / strata, d) of the columns of a stratum, for structures that need them.
    strata : the structure is repeated so often along the diagonal, each with parameters of its own.

    Raises
    ------
    FormulaError : the name is not registered, or the positions are missing.
    """
    _load()
    each = size // strata
    if name in _REGISTRY:
        one = _REGISTRY[name](each)
    elif name not in _POSITIONED:
        known = ", ".join(structure_names())
        raise FormulaError(
            f"Unknown covariance structure '{name}' of a random term; known: {known}."
        )
    elif positions is None:
        raise FormulaError(f"{name}() needs the positions of its columns.")
    else:
        one = _POSITIONED[name](each, positions)
    if strata == 1:
        return one
    from henderson.covariance.strata import Strata

    return Strata(one, strata)


@cache
def _load() -> None:
    """Import the files of this folder, which register themselves."""
    package = import_module("henderson.covariance")
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        import_module(module.name)
