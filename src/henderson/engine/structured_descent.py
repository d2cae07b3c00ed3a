"""Fits with structured residuals by the compiled kernels: the whole descent in one call.

The rules are those of `optimise`, as in `one_factor`. The weights of the level sums (see
`finite_basis`) are evaluated by the kernels too, from the numbers of a `Recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np

from henderson.covariance.residual.finite.base import Recipe
from henderson.engine import kernels
from henderson.engine.finite_basis import BasisProducts
from henderson.engine.one_factor import (
    DIAGONAL,
    MOST_COLUMNS,
    Found,
    Rules,
    codes_of,
    compiled_kernels,
    phi_of,
)
from henderson.engine.parameters import Layout
from henderson.engine.structured_levels import LevelFactorisation

CORRELATIONS = {"": 0, "ar1": 1, "car1": 2, "cs": 3}


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one phi: value, D (K, K), the gradient in the residual's own parameters
    (m,), and second derivatives along the layout's directions."""

    value: float
    d: np.ndarray
    residual_gradient: np.ndarray
    hessian: np.ndarray


def suits(cross: object, layout: Layout) -> TypeGuard[BasisProducts]:
    """Whether the compiled fit covers a model: level sums whose weights have a recipe."""
    return (
        kernels.compiled is not None
        and isinstance(cross, BasisProducts)
        and cross.inverse is not None
        and cross.inverse.recipe is not None
        and all(size <= kernels.compiled.MAX_SIZE for _, size in cross.sizes)
        and cross.p <= MOST_COLUMNS
        and all(term.structure.name in DIAGONAL for _, term in layout.terms)
    )


def fit(
    cross: BasisProducts, layout: Layout, reml: bool, start: np.ndarray | None, rules: Rules
) -> tuple[Found, LevelFactorisation]:
    """The optimum for level sums that `suits` accepts, and the equations there.

    start : an earlier optimum's phi.

    Raises
    ------
    FitError : X'V^-1X is singular, the model explains the response exactly, or `start` is at the
        bound of the structure.
    """
    point = None if start is None else _point(layout, start)
    status, at, value, *verdict, beta, r_inverse, rss = compiled_kernels().fit_structured(
        *_model(cross, layout, reml), point, rules.numbers
    )
    kernels.check(status)
    size = _size(layout)
    m, own = at[: size**2].reshape(size, size), at[size**2 :]
    half = r_inverse.reshape(cross.p, cross.p)
    equations = LevelFactorisation(
        cross=cross,
        factors=(m,) if layout.sizes else (),
        phi=own,
        sigmas=(m @ m.T,) if layout.sizes else (),
        c=half @ half.T,
        beta=beta,
        rss=rss,
        log_v=0.0,
        log_xvx=-2.0 * float(np.log(np.abs(np.diag(half))).sum()),
    )
    found = Found(_phi(layout, m, own), value, *verdict)
    return found, replace(equations, log_v=value - equations.value(reml))


def evaluate(cross: BasisProducts, layout: Layout, reml: bool, phi: np.ndarray) -> Evaluation:
    """Criterion and derivatives at one phi, for level sums that `suits` accepts.

    Raises
    ------
    FitError : X'V^-1X is singular, the model explains the response exactly, or phi is at the bound
        of the structure.
    """
    status, value, d, own, hessian = compiled_kernels().evaluate_structured(
        *_model(cross, layout, reml), _point(layout, phi)
    )
    kernels.check(status)
    size, count = _size(layout), len(layout.directions)
    return Evaluation(value, d.reshape(size, size), own, hessian.reshape(count, count))


def _size(layout: Layout) -> int:
    """Columns of Z that the kernels see: one of zeros where there is none."""
    return layout.sizes[0] if layout.sizes else 1


def _point(layout: Layout, phi: np.ndarray) -> np.ndarray:
    """M, row by row, and the residual's own parameters."""
    factors = layout.factors(phi) or [np.zeros((1, 1))]
    return np.concatenate([factors[0].ravel(), layout.residual_part(phi)])


def _phi(layout: Layout, m: np.ndarray, own: np.ndarray) -> np.ndarray:
    terms = [term for _, term in layout.terms]
    return np.concatenate([phi_of(terms, m), own]) if terms else own


def _model(cross: BasisProducts, layout: Layout, reml: bool) -> tuple[Any, ...]:
    """The model as the kernels read it."""
    assert cross.inverse is not None and cross.inverse.recipe is not None
    assert layout.residual is not None
    sets = cross.sets
    if not layout.sizes:
        sets = np.pad(sets, ((0, 0), (0, 0), (1, 0), (1, 0)))
    terms = codes_of([term for _, term in layout.terms])
    start = layout.residual.start()
    return (
        np.ascontiguousarray(sets),
        _size(layout),
        cross.n,
        cross.log_weights,
        reml,
        terms,
        start,
        *_numbers(cross.inverse.recipe),
    )


def _numbers(recipe: Recipe) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The correlation and the variances as the kernels read them."""
    c = recipe.chosen
    lists = (values.tolist() for values in (c.at, c.counts, c.kinds, c.which))
    variance = (recipe.left, recipe.right, recipe.sizes, recipe.loadings.ravel())
    return (
        (CORRELATIONS[c.name], c.scale, *lists, recipe.log_constant),
        tuple(values.tolist() for values in variance),
    )
