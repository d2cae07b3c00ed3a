"""How much a fit explains: R2, intraclass correlations, and criteria over several fits.

R2 of Nakagawa & Schielzeth (2013, Methods Ecol. Evol. 4), with random slopes by the mean over rows
of z'Sigma z (Johnson 2014, Methods Ecol. Evol. 5; Nakagawa, Johnson & Schielzeth 2017, J. R. Soc.
Interface 14). The residual variance is averaged over the rows too, so that shares do not depend on
the unit of prior weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DesignError
from henderson.inference.lrt import by_ml
from henderson.inference.nesting import check_same_data, same_fixed_part
from henderson.inference.residual_nesting import model_text
from henderson.residuals import residual_covariance
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit


@dataclass(frozen=True)
class Variances:
    """Where the variance of the response comes from, averaged over the rows.

    fixed : variance of X beta. random : mean of z'Sigma z by grouping factor.
    residual : mean of sigma^2 / w, times the variance function if the model has one.
    """

    fixed: float
    random: dict[str, float]
    residual: float

    @property
    def by_groups(self) -> float:
        return float(sum(self.random.values()))

    @property
    def total(self) -> float:
        return self.fixed + self.by_groups + self.residual


@dataclass(frozen=True, repr=False)
class R2(Printed):
    """Shares of variance explained by the fixed part, and by fixed and random parts together."""

    marginal: float
    conditional: float
    variances: Variances

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import r2_parts

        return r2_parts(self)


@dataclass(frozen=True, repr=False)
class Icc(Printed):
    """Intraclass correlations.

    Attributes
    ----------
    adjusted : random over random and residual variance.
    unadjusted : random over all variance, that of the fixed part included.
    by_group : the share of each grouping factor in random and residual variance; adds up to
        `adjusted`.
    """

    adjusted: float
    unadjusted: float
    by_group: dict[str, float]
    variances: Variances

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import icc_parts

        return icc_parts(self)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Printed):
    """Fits side by side.

    Attributes
    ----------
    table : one row a fit, the best AIC first: model, npar, llf, aic, delta (to the best), weight
        (Akaike's), bic, bic_weight.
    notes : what was done beside comparing.
    """

    table: pd.DataFrame
    method: str
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import weights_parts

        return weights_parts(self)


def variances(fit: Fit) -> Variances:
    """The variance of the fixed part, of each grouping factor, and of the residuals."""
    random = {
        factor.name: fit.scale * float(np.sum(sigma * factor.mean_square()))
        for factor, sigma in zip(fit.design.random, fit.optimum.sigmas, strict=True)
    }
    x = fit.design.X
    # Divided by n - 1, as R's var has it; centred first, so that a constant varies by nothing.
    fixed = float(np.sum(((x - x.mean(axis=0)) @ fit.optimum.beta) ** 2) / (fit.nobs - 1))
    residual = float(np.mean(residual_covariance(fit).sd ** 2))
    return Variances(fixed, random, residual)


def r2(fit: Fit) -> R2:
    """Nakagawa's marginal and conditional R2; see `Fit.r2`."""
    v = variances(fit)
    return R2(v.fixed / v.total, (v.fixed + v.by_groups) / v.total, v)


def icc(fit: Fit) -> Icc:
    """Intraclass correlations; see `Fit.icc`.

    Raises
    ------
    DesignError : no random effects.
    """
    if not fit.design.random:
        raise DesignError(f"'{fit.formula}' has no random effects: there are no classes to share.")
    v = variances(fit)
    noise = v.by_groups + v.residual
    shares = {name: value / noise for name, value in v.random.items()}
    return Icc(v.by_groups / noise, v.by_groups / v.total, shares, v)


def compare(*fits: Fit) -> Comparison:
    """AIC, BIC and evidence weights of several fits to the same rows, nested or not.

    exp(-delta / 2), made to add up to one, is the weight of evidence for a model among those given
    (Burnham & Anderson 2002, section 2.9); the same with BIC approximates posterior probabilities.
    REML fits whose fixed parts differ are compared after fitting them by maximum likelihood.

    Raises
    ------
    DesignError : fewer than two fits, or different rows, responses, offsets or weights.
    """
    import pandas as pd

    if len(fits) < 2:
        raise DesignError("Give two or more fits to compare.")
    check_same_data(fits)
    used, notes = _comparable(fits)
    table = pd.DataFrame(
        {
            "model": [model_text(f) for f in fits],
            "npar": [f.npar for f in used],
            "llf": [f.llf for f in used],
            "aic": [f.aic for f in used],
            "bic": [f.bic for f in used],
        }
    )
    table["delta"] = table["aic"] - table["aic"].min()
    table["weight"] = evidence_weights(table["aic"].to_numpy())
    table["bic_weight"] = evidence_weights(table["bic"].to_numpy())
    columns = ["model", "npar", "llf", "aic", "delta", "weight", "bic", "bic_weight"]
    ordered = table[columns].sort_values("aic", kind="stable", ignore_index=True)
    return Comparison(ordered, used[0].method, notes)


def evidence_weights(criteria: np.ndarray) -> np.ndarray:
    """exp(-(c - min c) / 2) (m,), made to add up to one."""
    weights = np.exp(-0.5 * (criteria - criteria.min()))
    return np.asarray(weights / weights.sum())


def _comparable(fits: tuple[Fit, ...]) -> tuple[list[Fit], tuple[str, ...]]:
    first = fits[0]
    if all(f.method == "ML" for f in fits):
        return list(fits), ()
    if all(f.method == "REML" and same_fixed_part(first, f) for f in fits):
        return list(fits), ("By restricted likelihood, as all have the same fixed part.",)
    return [by_ml(f) for f in fits], ("Fits by REML were fitted again by maximum likelihood.",)
