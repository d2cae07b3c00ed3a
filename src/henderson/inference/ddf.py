"""Denominator degrees of freedom: one small object per method, chosen by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from henderson.engine.satterthwaite import satterthwaite
from henderson.errors import DesignError
from henderson.inference.kenward_roger import kenward_roger

if TYPE_CHECKING:
    from henderson.fit import Fit

METHODS = ("satterthwaite", "kenward-roger", "residual", "normal")


class DdfMethod(Protocol):
    """The covariance of the fixed effects that a method uses, and its df."""

    @property
    def cov_beta(self) -> np.ndarray: ...

    def joint(self, rows: np.ndarray) -> tuple[float, float]:
        """Denominator df of the F-test of rows (q, p), and the factor that scales its F."""
        ...


@dataclass(frozen=True)
class Fixed:
    """The same df for every hypothesis: infinite (normal theory) or n - p (residual)."""

    cov_beta: np.ndarray
    df: float

    def joint(self, rows: np.ndarray) -> tuple[float, float]:
        return self.df, 1.0


def ddf_method(fit: Fit, name: str) -> DdfMethod:
    """The method called `name` for a fit, worked out once per fit.

    Without random effects and structured residuals every finite method is the exact one, n - p.

    Raises
    ------
    DesignError : unknown name, Kenward-Roger of an ML fit or of one whose variance depends on the
        fitted values.
    """
    if name not in METHODS:
        raise DesignError(f"Unknown method '{name}' for degrees of freedom: {', '.join(METHODS)}.")
    cache = fit.__dict__.setdefault("_ddf_methods", {})
    if name not in cache:
        cache[name] = _make(fit, name)
    return cache[name]


def _make(fit: Fit, name: str) -> DdfMethod:
    cov = fit.optimum.cov_beta
    if name == "normal":
        return Fixed(cov, np.inf)
    if name == "residual" or not fit.optimum.layout.directions:
        return Fixed(cov, float(fit.df_resid))
    if name == "satterthwaite":
        return satterthwaite(fit.optimum)
    if fit.method != "REML":
        raise DesignError(
            "Kenward-Roger's adjustment is made for REML: fit with method='REML', "
            "or use ddf='satterthwaite'."
        )
    if fit.design.residual is not None and fit.design.residual.terms.of_fitted:
        raise DesignError(
            "Where the variance depends on the fitted values, the fixed effects move it too, and "
            "Kenward and Roger's adjustment is not defined: use ddf='satterthwaite', or a variance "
            "function of a covariate."
        )
    return kenward_roger(fit.optimum)
