"""Fits with one grouping factor by the compiled kernels: the whole descent in one call.

The rules are those of `optimise`: the kernels repeat its moment start, trust region, comparison
with zero and verdict for terms with a free or a diagonal covariance matrix. Tests hold the two to
the same path, step by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from henderson.covariance.base import SMALL
from henderson.engine import kernels
from henderson.engine.crossproducts import CrossProducts
from henderson.engine.parameters import Layout
from henderson.engine.problem import Grouping, Term
from henderson.engine.trust_region import RADIUS
from henderson.errors import FitError

DIAGONAL = {"us": 0, "diag": 1}
MOST_COLUMNS = 64  # of X: the sums for the Hessian grow with their square


@dataclass(frozen=True)
class Rules:
    """The constants of `optimise`, which the kernels share.

    tolerance : what a Newton step may still promise at the optimum.
    singular : eigenvalues of Sigma below this share of the largest (or of one) count as zero.
    prior : the moment start uses the weights of Sigma = prior I.
    floor, edge : the shares that it keeps of the residual variance and of the largest eigenvalue.
    far : zero is not tried for a term that the quadratic model puts this far from it.
    """

    tolerance: float
    singular: float
    prior: float
    floor: float
    edge: float
    far: float = 20.0

    @property
    def numbers(self) -> list[float]:
        """As the kernels read them, with the constants of the steps."""
        own = self.tolerance, self.singular, self.prior, self.floor, self.edge, self.far
        return [*own, SMALL, RADIUS]


@dataclass(frozen=True)
class Found:
    """An optimum: phi (m,), the criterion there, and the numbers of its verdict."""

    phi: np.ndarray
    value: float
    converged: bool
    decrease: float
    curvature: float
    evaluations: int


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one Sigma: value, y'Py, beta (p,), D (K, K), d_ab along the directions."""

    value: float
    rss: float
    beta: np.ndarray
    d: np.ndarray
    hessian: np.ndarray


def suits(cross: CrossProducts, layout: Layout) -> bool:
    """Whether the compiled fit covers a model: one factor, free or diagonal covariances."""
    return (
        kernels.compiled is not None
        and len(cross.sizes) == 1
        and cross.sizes[0][1] <= kernels.compiled.MAX_SIZE
        and cross.p <= MOST_COLUMNS
        and all(term.structure.name in DIAGONAL for _, term in layout.terms)
    )


def fit(
    cross: CrossProducts, layout: Layout, reml: bool, start: np.ndarray | None, rules: Rules
) -> Found:
    """The optimum for cross-products that `suits` accepts; `start` is an earlier optimum's phi.

    Raises
    ------
    FitError : X'V^-1X is singular, or the model explains the response exactly.
    """
    terms = [term for _, term in layout.terms]
    m = None if start is None else np.ascontiguousarray(layout.factors(start)[0])
    status, factor, value, *numbers = compiled_kernels().fit(
        *_arrays(cross), cross.n, cross.log_weights, reml, codes_of(terms), m, rules.numbers
    )
    kernels.check(status)
    return Found(phi_of(terms, factor), value, *numbers)


def evaluate(cross: CrossProducts, layout: Layout, reml: bool, phi: np.ndarray) -> Evaluation:
    """Criterion and derivatives at one phi, for cross-products that `suits` accepts.

    Raises
    ------
    FitError : X'V^-1X is singular, or the model explains the response exactly.
    """
    m = np.ascontiguousarray(layout.factors(phi)[0])
    terms = codes_of([term for _, term in layout.terms])
    status, *found = compiled_kernels().evaluate(
        *_arrays(cross), cross.n, cross.log_weights, reml, terms, m
    )
    kernels.check(status)
    return Evaluation(*found)


def codes_of(terms: list[Term]) -> list[tuple[int, int, int]]:
    """(first column, last column + 1, whether diagonal) per term, as the kernels read them."""
    return [(t.columns.start, t.columns.stop, DIAGONAL[t.structure.name]) for t in terms]


def phi_of(terms: list[Term], factor: np.ndarray) -> np.ndarray:
    """phi (m,) from the block-diagonal M (K, K)."""
    parts = []
    for term in terms:
        block = factor[term.columns, term.columns]
        parts.append(np.diag(block) if DIAGONAL[term.structure.name] else block.ravel())
    return parts[0].copy() if len(parts) == 1 else np.concatenate(parts)


def compiled_kernels() -> ModuleType:
    """The compiled module."""
    if kernels.compiled is None:
        raise FitError("This installation has no compiled kernels: `suits` says so beforehand.")
    return kernels.compiled


def _arrays(cross: CrossProducts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(cross.root),
        np.ascontiguousarray(cross.dense),
        np.ascontiguousarray(cross.within_xy),
    )


@dataclass(frozen=True)
class Columns:
    """Fits of many responses in standard coordinates; see `many.ManyFits`.

    status : (m,) 0 or a key of `kernels.FAILURES`; y_scale, s2, value : (m,); coef, beta : (m, p);
    r_inverse : (m, p, p), R^-1 with X'V^-1X = R'R; m : (m, K, K); df : (m, r).
    """

    status: np.ndarray
    evaluations: np.ndarray
    converged: np.ndarray
    value: np.ndarray
    y_scale: np.ndarray
    s2: np.ndarray
    coef: np.ndarray
    beta: np.ndarray
    r_inverse: np.ndarray
    m: np.ndarray
    df: np.ndarray


def fit_columns(
    y: np.ndarray,
    x: np.ndarray,
    grouping: Grouping,
    *,
    weights: np.ndarray | None,
    log_weights: float,
    reml: bool,
    contrasts: np.ndarray,
    rules: Rules,
    threads: int,
) -> Columns:
    """Fit every column of y (n, m), in the caller's coordinates, on a design in standard ones.

    contrasts : (r, p) for Satterthwaite's degrees of freedom, in standard coordinates.
    """
    found = compiled_kernels().many(
        y,
        x,
        grouping.z,
        np.ascontiguousarray(grouping.codes, dtype=np.int64),
        grouping.n_levels,
        None if weights is None else np.sqrt(weights),
        log_weights,
        reml,
        codes_of(list(grouping.terms)),
        None,
        np.ascontiguousarray(contrasts),
        rules.numbers,
        threads,
    )
    for name in ("status", "evaluations"):
        found[name] = found[name].astype(int)
    found["converged"] = found["converged"] != 0.0
    return Columns(**found)
