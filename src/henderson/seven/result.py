"""What the seven approaches found: frozen results that tables, pictures and the report read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from henderson.errors import DataError
from henderson.seven.setting import in_words

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.inference.wald import Contrast

Key = Literal[
    "lm_global",
    "ancova_inter",
    "aggregation",
    "hierarchical",
    "lmm_inter",
    "ancova_full",
    "lmm_full",
]
KEYS: tuple[Key, ...] = (
    "lm_global",
    "ancova_inter",
    "aggregation",
    "hierarchical",
    "lmm_inter",
    "ancova_full",
    "lmm_full",
)
LABELS: dict[Key, str] = {
    "lm_global": "LM-Global (biased)",
    "ancova_inter": "ANCOVA-Inter (biased)",
    "aggregation": "Aggregation",
    "hierarchical": "Hierarchical",
    "lmm_inter": "LMM-Inter",
    "ancova_full": "ANCOVA-Full (biased)",
    "lmm_full": "LMM-Full (biased)",
}
MIXED: tuple[Key, ...] = ("lmm_inter", "lmm_full")


@dataclass(frozen=True)
class Approach:
    """One approach to the slope of the predictor.

    Attributes
    ----------
    key, label : its short name, and its name in the table.
    question : one sentence, what it estimates and what it assumes.
    trust, verdict : "yes", "caution" or "no", and one sentence why, on these data.
    fit : the fitted model; None when it could not be fitted.
    rmse : sqrt(SSE / df_resid), residuals conditional on the random effects.
    coef, se, stat, stat_kind, df, p_value, lower, upper : the row of the table. For mixed models
        `stat` is z, `se` comes from the joint information of the fixed effects and the relative
        covariance (statsmodels' standard error), `df` is infinite. 95 % limits.
    mse, sse, df_resid : mean square and sum of squares of the residuals; df_resid = n - p.
    t_line : the t-test of the same coefficient, with Satterthwaite's df for mixed models.
    average : the mean of the groups' slopes (ANCOVA-Full only), else None.
    equation, r_formula : the model in plain text, and as R writes it.
    notes : further sentences, about these data.
    available, reason : False, and why, when the approach cannot be computed; the numbers are NaN.
    """

    key: Key
    label: str
    question: str
    trust: Literal["yes", "caution", "no"]
    verdict: str
    equation: str
    r_formula: str
    fit: Fit | None = None
    rmse: float = np.nan
    coef: float = np.nan
    se: float = np.nan
    stat: float = np.nan
    stat_kind: Literal["t", "z"] = "t"
    df: float = np.nan
    p_value: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    mse: float = np.nan
    sse: float = np.nan
    df_resid: int = 0
    t_line: Contrast | None = None
    average: Contrast | None = None
    notes: tuple[str, ...] = ()
    available: bool = True
    reason: str = ""

    def __str__(self) -> str:
        from henderson.seven.text import approach_text

        return approach_text(self)

    __repr__ = __str__


@dataclass(frozen=True)
class GroupSlope:
    """Level 1 of the two-stage analysis: the regression within one group.

    `se` is NaN where two rows (or as many as coefficients) leave no residual degrees of freedom.
    """

    level: Any
    n: int
    intercept: float
    slope: float
    se: float
    sse: float


@dataclass(frozen=True)
class TwoStage:
    """Slopes within groups, and their mean.

    Attributes
    ----------
    level1 : one regression per group whose slope can be estimated.
    skipped : (level, reason) of the other groups.
    fit : level 2, `slope ~ 1`; None when there are too few slopes.
    """

    level1: tuple[GroupSlope, ...]
    skipped: tuple[tuple[Any, str], ...]
    fit: Fit | None

    def to_frame(self) -> pd.DataFrame:
        """One row a group: n, intercept, slope, se, sse."""
        columns = ["n", "intercept", "slope", "se", "sse"]
        rows = [[getattr(g, c) for c in columns] for g in self.level1]
        return pd.DataFrame(rows, columns=columns, index=[g.level for g in self.level1])


@dataclass(frozen=True)
class Aggregated:
    """The means per group, and the regression through them.

    `means` has one row a group (index: the level) and the columns outcome and predictor; for a
    factor the predictor's column is the share of its second level. `fit` is None with fewer than
    three groups.
    """

    means: pd.DataFrame
    fit: Fit | None


@dataclass(frozen=True)
class Approaches:
    """The seven approaches side by side.

    Attributes
    ----------
    data : the rows used, columns outcome, predictor and group (group a categorical; so is a factor
        predictor).
    term : the predictor's coefficient, `edu` or `sex[T.Male]`.
    factor_levels : the two levels of a factor predictor, () for a numeric one.
    approaches : in the order of the table.
    n_dropped : rows left out because a value was missing.
    slopes_differ_p : p-value of LMM-Full against LMM-Inter by likelihood ratio (NaN if not both).
    """

    data: pd.DataFrame
    outcome: str
    predictor: str
    group: str
    term: str
    factor_levels: tuple[Any, ...]
    approaches: tuple[Approach, ...]
    two_stage: TwoStage
    aggregated: Aggregated
    n_dropped: int = 0
    slopes_differ_p: float = np.nan

    def __getitem__(self, key: str) -> Approach:
        for approach in self.approaches:
            if key in (approach.key, approach.label):
                return approach
        raise DataError(f"No approach is called '{key}'; there are {', '.join(KEYS)}.")

    def __iter__(self) -> Iterator[Approach]:
        return iter(self.approaches)

    @property
    def levels(self) -> list[Any]:
        """The groups, in order."""
        return list(self.data[self.group].cat.categories)

    @property
    def what(self) -> str:
        """The predictor in words: `edu`, or `sex (Male against Female)`."""
        return in_words(self.predictor, self.factor_levels)

    @property
    def table(self) -> pd.DataFrame:
        """One row an approach: its error, coefficient, test, interval and what to think of it."""
        return pd.DataFrame([_row(a) for a in self.approaches])

    @property
    def t_table(self) -> pd.DataFrame:
        """The t-test of every approach's coefficient, Satterthwaite's df for the mixed models."""
        return pd.DataFrame([_t_row(a) for a in self.approaches])

    @property
    def plot(self) -> Any:
        """Pictures: `result.plot.forest()`, ..."""
        from henderson.plots import ApproachesPlots

        return ApproachesPlots(self)

    def report(self, path: str) -> str:
        """Write one self-contained HTML page; returns the path."""
        from henderson.report import approaches_report

        return approaches_report(self, path)

    def __str__(self) -> str:
        from henderson.seven.text import approaches_text

        return approaches_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.seven.text import approaches_html

        return approaches_html(self)


def _row(a: Approach) -> dict[str, Any]:
    return {
        "Model": a.label,
        "RMSE": a.rmse,
        "Coef": a.coef,
        "Stat": a.stat,
        "Pval": a.p_value,
        "SE": a.se,
        "df": a.df,
        "CI lower": a.lower,
        "CI upper": a.upper,
        "Trust": a.trust,
        "Verdict": a.verdict,
        "Assumes": a.question,
    }


def _t_row(a: Approach) -> dict[str, Any]:
    fields = ("estimate", "std_error", "statistic", "df", "p_value", "lower", "upper")
    values = {f: np.nan if a.t_line is None else getattr(a.t_line, f) for f in fields}
    return {"Model": a.label, **values}
