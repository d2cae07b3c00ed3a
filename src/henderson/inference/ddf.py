"""Denominator degrees of freedom: one small object per method, chosen by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from henderson.engine.satterthwaite import satterthwaite
from henderson.errors import DesignError
from henderson.inference.between_within import between_within
from henderson.inference.kenward_roger import kenward_roger

if TYPE_CHECKING:
    from henderson.fit import Fit

METHODS = ("satterthwaite", "kenward-roger", "between-within", "residual", "normal")
# What else the methods are called, by letters alone.
CALLED = {
    **{re.sub("[^a-z]", "", name): name for name in METHODS},
    "satt": "satterthwaite",
    "satterth": "satterthwaite",
    "kr": "kenward-roger",
    "kenward": "kenward-roger",
    "bw": "between-within",
    "resid": "residual",
    "z": "normal",
    "asymptotic": "normal",
}


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


def method_name(ddf: str, known: Sequence[str] = METHODS) -> str:
    """The method that a user means by "KR", "Kenward-Roger" or "kenward_roger".

    Raises
    ------
    DesignError : none of those known.
    """
    found = CALLED.get(re.sub("[^a-z]", "", str(ddf).lower()))
    if found is None or found not in known:
        raise DesignError(f"Unknown method '{ddf}' for degrees of freedom: {', '.join(known)}.")
    return found


def used_method(fit: Fit, ddf: str) -> str:
    """The method that a fit's tests use: n - p is exact without covariance parameters."""
    name = method_name(ddf)
    return name if fit.optimum.layout.directions or name == "normal" else "residual"


def ddf_method(fit: Fit, ddf: str) -> DdfMethod:
    """The method called `ddf` for a fit, worked out once per fit.

    Without random effects and structured residuals every finite method is the exact one, n - p.

    Raises
    ------
    DesignError : unknown name, Kenward-Roger of an ML fit or of one whose variance depends on the
        fitted values, between-within of groups that are not nested.
    """
    name = used_method(fit, ddf)
    cache = fit.__dict__.setdefault("_ddf_methods", {})
    if name not in cache:
        cache[name] = _make(fit, name)
    return cache[name]


def _make(fit: Fit, name: str) -> DdfMethod:
    cov = fit.optimum.cov_beta
    if name == "normal":
        return Fixed(cov, np.inf)
    if name == "residual":
        return Fixed(cov, float(fit.df_resid))
    if name == "satterthwaite":
        return satterthwaite(fit.optimum)
    if name == "between-within":
        return between_within(fit)
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
