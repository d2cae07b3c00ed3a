"""The summary of a fit: the facts that lme4's and lmerTest's print, to read on or to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from henderson.errors import Note
from henderson.tables.linear import Overall, overall
from henderson.varcorr import VarCorr

if TYPE_CHECKING:
    from henderson.fit import Ddf, Fit
    from henderson.natural import Structured

QUANTILES = {"Min": 0.0, "1Q": 0.25, "Median": 0.5, "3Q": 0.75, "Max": 1.0}
TESTS = {
    "satterthwaite": "t-tests use Satterthwaite's df",
    "kenward-roger": "t-tests use Kenward-Roger's df",
    "between-within": "t-tests use between-within df",
    "residual": "t-tests use n - p df",
    "normal": "z-tests use the normal distribution",
}


@dataclass(frozen=True, eq=False)
class Summary:
    """A fit in lme4's layout: `print` it, or take its parts.

    Attributes
    ----------
    title, formula, data : what was fitted, by what method, to what rows.
    likelihood : name -> value: the REML criterion, or AIC, BIC, logLik, -2*logLik, df.resid.
    llf_error : Monte-Carlo standard error of the log-likelihood; zero where it is exact.
    residuals : quantiles; scaled by their standard deviation in a mixed model, as lme4 has them.
    varcorr : of the random effects; groups : grouping factor -> levels; empty without any.
    coefficients : (p, 5) estimate, std_error, df, statistic, p_value.
    correlation : (p, p) of the fixed effects.
    overall : what only a linear model has, or None.
    notes : what the fit has to say about itself.
    ddf : how the degrees of freedom were found; nobs : rows; converged : at an optimum.
    structure : of the residuals: its correlation and variance functions.
    """

    title: str
    formula: str
    data: str
    likelihood: Mapping[str, float]
    residuals: pd.Series
    varcorr: VarCorr
    groups: Mapping[str, int]
    coefficients: pd.DataFrame
    correlation: pd.DataFrame
    overall: Overall | None
    notes: tuple[Note, ...]
    ddf: str
    nobs: int
    converged: bool
    structure: tuple[Structured, ...] = ()
    llf_error: float = 0.0

    @property
    def is_scaled(self) -> bool:
        """The residuals are over their standard deviations."""
        return self.is_mixed or bool(self.structure)

    @property
    def is_mixed(self) -> bool:
        """There are random effects."""
        return bool(self.groups)

    @property
    def statistic(self) -> str:
        """ "t", or "z" with the normal distribution."""
        return "z" if self.ddf == "normal" else "t"

    def __str__(self) -> str:
        from henderson.tables.summary_text import summary_text

        return summary_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.tables.summary_html import summary_html

        return summary_html(self)


def summary(fit: Fit, ddf: Ddf = "satterthwaite") -> Summary:
    """Collect the facts of a fit.

    Raises
    ------
    DesignError : unknown `ddf`, or one that this fit cannot have.
    """
    from henderson.inference.ddf import used_method

    used, table = used_method(fit, ddf), coefficients(fit, ddf)
    return Summary(
        title=_title(fit, used),
        formula=fit.formula,
        data=_data(fit),
        likelihood=_likelihood(fit),
        residuals=_residual_quantiles(fit),
        varcorr=fit.varcorr(),
        groups=fit.n_groups,
        coefficients=table,
        correlation=_correlation(fit, ddf),
        overall=None if fit.design.random else _overall(fit),
        notes=fit.notes,
        ddf=used,
        nobs=fit.nobs,
        converged=fit.converged,
        structure=tuple(part for part in fit.structured if part.is_residual),
        llf_error=fit.llf_error,
    )


def _overall(fit: Fit) -> Overall:
    """Generalised least squares has no R-squared: its residuals are not of one variance."""
    if fit.design.residual is None:
        return overall(fit)
    return Overall(fit.sigma, fit.df_resid)


def coefficients(fit: Fit, ddf: Ddf) -> pd.DataFrame:
    """Fixed effects (p, 5): estimate, std_error, df, statistic, p_value."""
    from henderson.inference.wald import standard_errors, t_pvalues

    se = standard_errors(fit, ddf)
    df = fit.degrees_of_freedom(ddf)
    statistic = fit.params / se
    columns = {
        "estimate": fit.params,
        "std_error": se,
        "df": df,
        "statistic": statistic,
        "p_value": t_pvalues(statistic, df),
    }
    return pd.DataFrame({k: v.to_numpy() for k, v in columns.items()}, index=fit.params.index)


def scaled_residuals(fit: Fit) -> np.ndarray:
    """Conditional residuals (n,) over their standard deviations."""
    return fit.residuals("pearson").to_numpy()


def _title(fit: Fit, ddf: str) -> str:
    if fit.design.random:
        by = "REML" if fit.method == "REML" else "maximum likelihood"
        return f"Linear mixed model fit by {by}; {TESTS[ddf]}"
    if fit.optimum.layout.n_residual:
        by = "REML" if fit.method == "REML" else "maximum likelihood"
        return f"Linear model fit by generalised least squares ({by}); {TESTS[ddf]}"
    by = "least squares" if fit.method == "REML" else "maximum likelihood"
    return f"Linear model fit by {by}; {TESTS[ddf]}"


def _data(fit: Fit) -> str:
    frame, text = fit.design.frame, f"{fit.nobs} rows"
    if frame.n_dropped:
        text += f", {frame.n_dropped} more left out (missing values)"
    extra = [w for w in ("weights", "offset") if getattr(fit.design, w) is not None]
    return text + (f"; with {' and '.join(extra)}" if extra else "")


def _likelihood(fit: Fit) -> dict[str, float]:
    if fit.method == "REML":
        estimated = fit.design.random or fit.design.residual is not None
        return {"REML criterion": fit.criterion} if estimated else {}
    return {
        "AIC": fit.aic,
        "BIC": fit.bic,
        "logLik": fit.llf,
        "-2*logLik": fit.criterion,
        "df.resid": float(fit.nobs - fit.npar),
    }


def _residual_quantiles(fit: Fit) -> pd.Series:
    if fit.design.random or fit.design.residual is not None:
        values = scaled_residuals(fit)
    else:
        values = fit.resid.to_numpy() * np.sqrt(
            1.0 if fit.design.weights is None else fit.design.weights
        )
    return pd.Series(np.quantile(values, list(QUANTILES.values())), index=list(QUANTILES))


def _correlation(fit: Fit, ddf: str) -> pd.DataFrame:
    """Correlation (p, p) of the fixed effects' estimates."""
    from henderson.inference.ddf import ddf_method

    cov = ddf_method(fit, ddf).cov_beta
    sd = np.sqrt(np.diag(cov))
    return pd.DataFrame(cov / np.outer(sd, sd), index=fit.params.index, columns=fit.params.index)
