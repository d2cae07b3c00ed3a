"""Likelihood-ratio tests of nested fits.

Restricted likelihoods can be compared only where the fixed parts span the same columns; otherwise
the fits are made again by maximum likelihood, and the result says so. Beside the naive chi-square
p-value stands one that minds that variances cannot be negative (`chibar`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DesignError
from henderson.inference.boundary import boundary_p
from henderson.inference.chibar import chi2_tail
from henderson.inference.nesting import check_same_data, embed, outside_columns, same_fixed_part
from henderson.inference.residual_nesting import model_text, residual_remark
from henderson.model import fit_design
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

COLUMNS = (
    "model", "npar", "aic", "bic", "llf", "deviance", "statistic", "df", "p_value", "p_boundary",
)  # fmt: skip
# A criterion above that of a model within it by more than this is a failure, not rounding.
SLACK = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison(Printed):
    """Likelihood-ratio tests of each model against the one before it.

    Attributes
    ----------
    table : one row a model, by its number of parameters: model (its formula), npar, aic, bic, llf,
        deviance (-2 llf), statistic (twice the gain in llf), df, p_value (chi-square), p_boundary
        (which minds that variances cannot be negative; the same where no variance is tested).
    fits : as they were compared, after any refit.
    method : "REML" or "ML", the likelihood compared.
    notes : what was done beside comparing.
    """

    table: pd.DataFrame
    fits: tuple[Fit, ...]
    method: str
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import comparison_parts

        return comparison_parts(self)


@dataclass(frozen=True)
class LikelihoodRatio:
    """The test of a small model within a big one. p_boundary is NaN where its law is not known;
    `remark` says what of the nesting was not checked."""

    statistic: float
    df: int
    p_value: float
    p_boundary: float
    remark: str | None = None


def compare_nested(*fits: Fit, refit: bool | None = None) -> ModelComparison:
    """Likelihood-ratio tests of each fit within the next larger; see `comparison.anova`."""
    _check_fits(fits)
    check_same_data(fits)
    ordered, notes = comparable_fits(sorted(fits, key=lambda f: f.npar), refit)
    tests = [likelihood_ratio(small, big) for small, big in pairwise(ordered)]
    return ModelComparison(
        _table(ordered, tests), tuple(ordered), ordered[0].method, (*notes, *_remarks(tests))
    )


def _check_fits(fits: Sequence[Fit]) -> None:
    from henderson.fit import Fit

    for fit in fits:
        if not isinstance(fit, Fit):
            raise DesignError(f"henderson.anova compares fits, not {type(fit).__name__}.")
    if len(fits) < 2:
        raise DesignError("Give two or more fits to compare; for tests of one fit, fit.anova().")


def comparable_fits(fits: Sequence[Fit], refit: bool | None) -> tuple[list[Fit], list[str]]:
    """The fits with likelihoods that can be compared, and what was done to have them."""
    if all(f.method == "ML" for f in fits):
        return list(fits), []
    mixed = any(f.method == "ML" for f in fits)
    same = all(same_fixed_part(fits[0], f) for f in fits[1:])
    reason = "some fits are by ML" if mixed else "the fixed parts differ"
    if refit is False and (mixed or not same):
        raise DesignError(
            f"Restricted likelihoods cannot be compared where {reason}: "
            "leave refit out, or fit with method='ML'."
        )
    if not refit and not mixed and same:
        return list(fits), []
    why = "as asked" if refit else f"as {reason}"
    note = f"Fits by REML were fitted again by maximum likelihood, {why}."
    return [by_ml(f) for f in fits], [note]


def by_ml(fit: Fit) -> Fit:
    """The fit itself, or the same model by maximum likelihood."""
    if fit.method == "ML":
        return fit
    return fit_design(fit.design, "ML", engine=fit.optimum.engine)


def likelihood_ratio(small: Fit, big: Fit) -> LikelihoodRatio:
    """Test a model against one that contains it; both by the same method, to the same rows.

    Raises
    ------
    DesignError : the models are not nested.
    """
    lost = outside_columns(small, big)
    if lost:
        raise DesignError(
            f"'{small.formula}' is not within '{big.formula}': the larger model does not span "
            f"{', '.join(lost)}. Compare such models with henderson.compare (AIC, BIC)."
        )
    remark = residual_remark(small, big)
    embedding = embed(small, big)
    df = big.npar - small.npar
    if df == 0:
        raise DesignError(
            f"'{small.formula}' and '{big.formula}' are the same model: there is nothing to test."
        )
    statistic = _basis_free(small) - _basis_free(big)
    if statistic < -SLACK * max(1.0, abs(big.criterion)):
        raise DesignError(
            f"'{big.formula}' fits worse than '{small.formula}' within it, so one of the two is "
            "not at its optimum: see their notes."
        )
    statistic = max(statistic, 0.0)
    p_boundary = boundary_p(small, big, embedding, statistic, df)
    return LikelihoodRatio(statistic, df, chi2_tail(statistic, df), p_boundary, remark)


def _basis_free(fit: Fit) -> float:
    """The criterion less what depends on the basis of X's columns."""
    if fit.method == "ML":
        return fit.criterion
    r_x = fit.optimum.problem.r_x
    return fit.criterion - 2.0 * float(np.log(np.abs(np.diag(r_x))).sum())


def _table(fits: Sequence[Fit], tests: Sequence[LikelihoodRatio]) -> pd.DataFrame:
    import pandas as pd

    blank = (np.nan,) * 4
    ends = [blank, *((t.statistic, t.df, t.p_value, t.p_boundary) for t in tests)]
    rows = [
        (model_text(f), f.npar, f.aic, f.bic, f.llf, f.criterion, *end)
        for f, end in zip(fits, ends, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _remarks(tests: Sequence[LikelihoodRatio]) -> list[str]:
    trusted = [t.remark for t in tests if t.remark]
    if any(np.isnan(t.p_boundary) for t in tests):
        return [
            *trusted,
            "Where p_boundary is missing its law is not known; p_value may be too large.",
        ]
    if any(t.p_boundary != t.p_value for t in tests):
        return [
            *trusted,
            "Pr(bound) minds that variances cannot be negative (mixture of chi-squares); "
            "Pr(>Chisq) does not, and is too large where a variance is tested.",
        ]
    return trusted
