"""How much each row, or each level of a factor, moves a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.diagnostics.deletion import Deletions, deletions
from henderson.diagnostics.precision import Precision, precision
from henderson.diagnostics.row_sets import ROW, RowSets, row_sets
from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.fit import Fit


@dataclass(frozen=True, eq=False)
class Influence:
    """What changes when a row, or all rows of a level, are left out; one row a level (J).

    Attributes
    ----------
    by : "row", or what the levels are levels of.
    refitted : whether the covariance parameters were estimated again; otherwise they are held.
    measures : n_rows; leverage_fixed, leverage_random, leverage (sums over the rows of the
        diagonal of the hat matrix; those of all rows add up to the effective number of
        parameters); cooks_distance, d' Cov(beta)^-1 d / p with d = beta - beta_(i); covratio,
        |Cov(beta_(i))| / |Cov(beta)|; llf_change, the (restricted) log-likelihood less that of the
        other rows.
    estimates, std_errors : (J, p) fixed effects without the level.
    dfbetas : (J, p) change of each fixed effect, in standard errors without the level.
    components : standard deviations and sigma without the level (`refitted` only).
    failures : level -> why its row is missing (NaN).
    """

    by: str
    refitted: bool
    measures: pd.DataFrame
    estimates: pd.DataFrame
    std_errors: pd.DataFrame
    dfbetas: pd.DataFrame
    components: pd.DataFrame | None
    failures: dict[Any, str]

    @property
    def leverage(self) -> pd.Series:
        """Leverage (J,), fixed and random part together."""
        return self.measures["leverage"]

    @property
    def cooks_distance(self) -> pd.Series:
        """Cook's distance (J,)."""
        return self.measures["cooks_distance"]

    @property
    def covratio(self) -> pd.Series:
        """COVRATIO (J,)."""
        return self.measures["covratio"]

    def to_frame(self) -> pd.DataFrame:
        """The measures, and DFBETAS in columns "dfbetas_..."."""
        parts = [self.measures, self.dfbetas.add_prefix("dfbetas_")]
        return pd.concat(parts, axis=1)

    def most(self, count: int = 10) -> pd.DataFrame:
        """The rows of `to_frame` with the largest Cook's distances, largest first."""
        order = np.argsort(-self.cooks_distance.fillna(-1.0).to_numpy(), kind="stable")
        return self.to_frame().iloc[order[:count]]

    def __str__(self) -> str:
        from henderson.diagnostics.printing import influence_text

        return influence_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.diagnostics.printing import influence_html

        return influence_html(self)


def influence(fit: Fit, by: Any = None, refit: bool = False) -> Influence:
    """See `Fit.influence`.

    Raises
    ------
    DesignError : unknown `by`, or a fit without fixed effects.
    """
    if not fit.design.p:
        raise DesignError("The model has no fixed effects whose estimates could change.")
    sets = row_sets(fit, by)
    v = precision(fit)
    leverage = _leverage(v, sets)
    if refit:
        from henderson.diagnostics.refitting import refitted

        return refitted(fit, sets, leverage)
    return _held(fit, v, sets, leverage)


def _leverage(v: Precision, sets: RowSets) -> pd.DataFrame:
    """Rows of every set, and their leverages summed."""
    variances = v.variances()
    fixed, total = (
        np.bincount(sets.codes, a, len(sets)) for a in (variances.fixed, variances.total)
    )
    columns = {
        "n_rows": sets.sizes,
        "leverage_fixed": fixed,
        "leverage_random": total - fixed,
        "leverage": total,
    }
    return pd.DataFrame(columns, index=index_of(sets))


def index_of(sets: RowSets) -> pd.Index:
    """The labels of the sets; of rows, the caller's own."""
    return pd.Index(sets.levels, name=None if sets.name == ROW else sets.name)


def _held(fit: Fit, v: Precision, sets: RowSets, leverage: pd.DataFrame) -> Influence:
    """All measures with the covariance parameters held, from standard coordinates."""
    optimum = fit.optimum
    found = deletions(optimum, v, sets)
    back = optimum.problem.contrast(np.eye(fit.design.p))
    scale = np.sqrt(optimum.factorisation.s2(optimum.reml))
    estimates = optimum.beta - found.shift @ back.T
    variances = np.einsum("kp,jpq,kq->jk", back, found.c, back, optimize=True)
    without = Without(estimates, scale * np.sqrt(variances))
    distance = np.einsum("jp,pq,jq->j", found.shift, np.linalg.inv(v.c), found.shift)
    measures = leverage.assign(
        cooks_distance=distance / (fit.design.p * scale**2),
        covratio=np.exp(found.log_ratio),
        llf_change=_llf_change(fit, found, sets),
    )
    failures = {
        level: "The other rows do not determine the fixed effects."
        for level, value in zip(measures.index, found.log_ratio, strict=True)
        if np.isnan(value)
    }
    return assemble(fit, sets, measures, without, failures)


@dataclass(frozen=True)
class Without:
    """Fixed effects and their standard errors (J, p) without each set; components if refitted."""

    estimates: np.ndarray
    std_errors: np.ndarray
    components: pd.DataFrame | None = None


def assemble(
    fit: Fit, sets: RowSets, measures: pd.DataFrame, without: Without, failures: dict[Any, str]
) -> Influence:
    """The result, with DFBETAS."""
    dfbetas = (fit.optimum.beta - without.estimates) / without.std_errors
    estimates, std_errors, changes = (
        pd.DataFrame(a, index=measures.index, columns=fit.design.names)
        for a in (without.estimates, without.std_errors, dfbetas)
    )
    return Influence(
        by=sets.name,
        refitted=without.components is not None,
        measures=measures,
        estimates=estimates,
        std_errors=std_errors,
        dfbetas=changes,
        components=without.components,
        failures=failures,
    )


def _llf_change(fit: Fit, found: Deletions, sets: RowSets) -> np.ndarray:
    """The log-likelihood (restricted, for REML) less that of the other rows, (J,)."""
    optimum = fit.optimum
    s2 = optimum.factorisation.s2(optimum.reml)
    change = sets.sizes * np.log(2.0 * np.pi * optimum.sigma2) + found.log_v + found.rss / s2
    if optimum.reml:
        change = change + found.log_ratio
    if fit.design.weights is not None:
        change = change - np.bincount(sets.codes, np.log(fit.design.weights), len(sets))
    return -0.5 * change
