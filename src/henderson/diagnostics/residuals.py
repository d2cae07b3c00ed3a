"""Residuals of every kind, with the caller's rows.

    conditional   y - X beta - Z b                 marginal   y - X beta
    pearson       conditional over the standard deviation of its error e
    normalized    conditional, errors made independent: over the Cholesky factor of R
    studentised   conditional over its own standard deviation, that of R P y
    studentised-marginal   marginal over its own standard deviation, V - X C X'
    whitened      marginal over the Cholesky factor of V: what each row adds to those before it
    quantile      where each response lies among responses simulated from the fit, in (0, 1)

(Schabenberger 2004, Mixed Model Influence Diagnostics, SUGI 29; Santos Nobre & Singer 2007,
Biometrical Journal 49; Dunn & Smyth 1996, J. Comp. Graph. Stat. 5, for the quantiles.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import residuals as of_errors
from henderson.errors import DesignError, did_you_mean

if TYPE_CHECKING:
    from henderson.diagnostics.precision import Precision
    from henderson.fit import Fit

KINDS = (
    "response",
    "conditional",
    "marginal",
    "pearson",
    "studentised",
    "studentised-marginal",
    "normalized",
    "whitened",
    "quantile",
)
DRAWS = 250
AT_ONCE = 50
# Rows of the largest component whose covariance is written out.
LARGEST = 5_000
# A residual whose variance is a smaller share of the error's is zero but for rounding.
DETERMINED = 1e-12


def residuals(fit: Fit, kind: str, seed: Any = None) -> np.ndarray:
    """Residuals (n,); see `Fit.residuals`.

    Raises
    ------
    DesignError : unknown kind; "whitened" where more than 5000 rows are correlated.
    """
    if kind in of_errors.KINDS:
        return of_errors.residuals(fit, kind)
    if kind == "conditional":
        return fit.resid.to_numpy()
    if kind == "marginal":
        return fit.design.y - fit.predict(random="none").to_numpy()
    if kind.startswith("studentised") and kind in KINDS:
        return _studentised(fit, marginal=kind != "studentised")
    if kind == "whitened":
        return _whitened(fit)
    if kind == "quantile":
        return _quantile(fit, seed)
    raise DesignError(f"There are no '{kind}' residuals: {did_you_mean(kind, KINDS)}")


def _studentised(fit: Fit, *, marginal: bool) -> np.ndarray:
    """NaN where the other rows determine the residual."""
    from henderson.diagnostics.precision import precision

    v, problem = precision(fit), fit.optimum.problem
    own = v.variances()
    if marginal:
        values, variance = problem.y - problem.x @ fit.optimum.factorisation.beta, own.marginal
    else:
        values, variance = _conditional(v, fit), own.conditional
    s2 = fit.optimum.factorisation.s2(fit.optimum.reml)
    sd = np.sqrt(np.where(variance > DETERMINED, s2 * variance, np.nan))
    return values / sd


def _conditional(v: Precision, fit: Fit) -> np.ndarray:
    """R P y (n,) in standard coordinates."""
    root = 1.0 if fit.design.weights is None else np.sqrt(fit.design.weights)
    return fit.resid.to_numpy() * root / fit.optimum.problem.y_scale


def _whitened(fit: Fit) -> np.ndarray:
    """Rows in the order of their positions where they have any, otherwise of the data."""
    from henderson.diagnostics.precision import precision
    from henderson.diagnostics.row_sets import stacks

    v, problem = precision(fit), fit.optimum.problem
    largest = int(np.bincount(v.component).max())
    if largest > LARGEST:
        raise DesignError(
            f"'whitened' residuals need the covariance of all rows that are correlated, {largest} "
            "in this model: use 'studentised' or 'quantile' residuals."
        )
    values = problem.y - problem.x @ fit.optimum.factorisation.beta
    out = np.empty_like(values)
    for _, rows in stacks(v.component, order=row_order(fit)):
        root = np.linalg.cholesky(v.covariances(rows))
        out[rows] = np.linalg.solve(root, values[rows][:, :, None])[:, :, 0]
    return out / np.sqrt(fit.optimum.factorisation.s2(fit.optimum.reml))


def row_order(fit: Fit) -> np.ndarray | None:
    """Rows by position where the residuals have positions; None for the order of the data."""
    residual = fit.optimum.layout.residual
    if residual is None or residual.positions is None:
        return None
    return np.lexsort(residual.positions.T[::-1])


def _quantile(fit: Fit, seed: Any) -> np.ndarray:
    """(rank + U) / (draws + 1): uniform where the model is right, ties or none."""
    from henderson.simulation import process_of

    rng = np.random.default_rng(seed)
    process = process_of(fit, "new")
    below = np.zeros(fit.nobs)
    for start in range(0, DRAWS, AT_ONCE):
        draws = process.draw(rng, min(AT_ONCE, DRAWS - start))
        below += (draws < fit.design.y[:, None]).sum(axis=1)
    return (below + rng.uniform(size=fit.nobs)) / (DRAWS + 1.0)
