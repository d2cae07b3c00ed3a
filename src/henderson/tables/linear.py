"""What the summary of a linear model adds: residual standard error, R-squared, the F-test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from henderson.fit import Fit


@dataclass(frozen=True)
class Overall:
    """A linear model as a whole.

    Attributes
    ----------
    residual_error : sqrt(SSE / (n - p)), in units of the response; df_residual : n - p.
    r_squared, adjusted : share of the variance about the mean; None without an intercept.
    F, num_df, p_value : test that all coefficients but the intercept are zero; None without an
        intercept or with nothing else.
    """

    residual_error: float
    df_residual: int
    r_squared: float | None = None
    adjusted: float | None = None
    F: float | None = None
    num_df: int | None = None
    p_value: float | None = None


def overall(fit: Fit) -> Overall:
    """The whole of a fit without random effects; sums of squares are weighted as the fit was."""
    design = fit.design
    weights = np.ones(design.n) if design.weights is None else design.weights
    df = fit.df_resid
    sse = float(weights @ fit.resid.to_numpy() ** 2)
    error = float(np.sqrt(sse / df)) if df > 0 else float("nan")
    num = design.p - 1
    if not has_intercept(fit) or num < 1 or df < 1:
        return Overall(error, df)
    linear = design.X @ fit.optimum.beta
    explained = float(weights @ (linear - np.average(linear, weights=weights)) ** 2)
    r2 = explained / (explained + sse)
    f = explained / num / (sse / df)
    return Overall(error, df, r2, 1.0 - (1.0 - r2) * (df + num) / df, f, num, _tail(f, num, df))


def has_intercept(fit: Fit) -> bool:
    """A column of ones is among the fixed effects."""
    return "Intercept" in fit.design.names


def _tail(f: float, num: int, df: int) -> float:
    from henderson.inference.wald import f_tail

    return f_tail(f, num, float(df))
