"""Results of inference as headings, tables and remarks, for the terminal and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.console import DDF_WORDS
from henderson.tables.layout import Grid, clean
from henderson.tables.numerals import column, fixed, number, p_value
from henderson.tables.printed import Parted, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.inference.anova import Anova
    from henderson.inference.caic import CAic
    from henderson.inference.contrasts import Contrasts
    from henderson.inference.exact_rlrt import ExactRlrt
    from henderson.inference.lrt import ModelComparison
    from henderson.inference.means import Means
    from henderson.inference.measures import R2, Comparison, Icc, Variances
    from henderson.inference.ranova import Ranova
    from henderson.inference.structure_comparison import StructureComparison

# Numbers whose unit is that of a log-likelihood.
DECIMALS = {
    "aic": 2,
    "bic": 2,
    "llf": 2,
    "statistic_lr": 3,
    "delta": 2,
    "delta_aic": 2,
    "delta_bic": 2,
    "weight": 4,
    "bic_weight": 4,
}
HEADINGS = {"std_error": "SE", "statistic": "t", "p_value": "p"}
TYPE_WORDS = {1: "I", 2: "II", 3: "III"}


def anova_parts(result: Anova) -> list[Shown]:
    """lmerTest's layout."""
    table = result.table
    heading = f"Type {TYPE_WORDS[result.type]} Analysis of Variance"
    if len(table) and np.isinf(table["den_df"]).all():
        how = "Denominator df: infinite (chi-square tests)."
    else:
        how = f"Denominator df: {DDF_WORDS.get(result.ddf, clean(result.ddf))}."
    if table.empty:
        return [heading, "The fixed part has no terms but the intercept: nothing to test."]
    body = frame_grid(
        table,
        {
            "term": "",
            "sum_sq": "Sum Sq",
            "mean_sq": "Mean Sq",
            "num_df": "NumDF",
            "den_df": "DenDF",
            "f": "F value",
            "p_value": "Pr(>F)",
        },
        labels=1,
    )
    return [heading, body, how, *result.notes]


def frame_grid(table: pd.DataFrame, headings: dict[str, str], labels: int) -> Grid:
    """A frame's columns under other headings; the first `labels` of them hold names."""
    cells = []
    for i, name in enumerate(headings):
        values = table[name].tolist()
        if i < labels or any(isinstance(v, str) for v in values):
            cells.append([label(v) for v in values])
        elif name.startswith("p_"):
            cells.append([_blank_nan(v, p_value) for v in values])
        elif name in DECIMALS:
            cells.append([_blank_nan(v, lambda x, d=DECIMALS[name]: fixed(x, d)) for v in values])
        elif all(np.isnan(v) or float(v).is_integer() for v in values if not np.isinf(v)):
            cells.append([_blank_nan(v, lambda x: f"{x:.0f}") for v in values])
        else:
            cells.append(_numbers(values))
    return Grid(tuple(headings.values()), tuple(zip(*cells, strict=True)), labels=labels)


def estimates_grid(table: pd.DataFrame, level: float = 0.95) -> Grid:
    """One row a parameter, by the frame's index; its columns are statistics of it."""
    headings = {name: HEADINGS.get(name, name) for name in table.columns}
    for name in {"lower", "upper"} & set(headings):
        headings[name] = f"{name} {100 * level:g}%"
    return frame_grid(table.assign(of=table.index), {"of": "", **headings}, labels=1)


def label(value: object) -> str:
    """A level or a name in a table: numbers short, truth values and text as they are."""
    if not isinstance(value, float | np.floating):
        return str(value)
    x = float(value)
    return f"{x:.0f}" if x.is_integer() and abs(x) < 1e7 else number(x)


def _numbers(values: Sequence[float]) -> list[str]:
    """Numbers with their points one below the other; missing ones are left blank."""
    known = iter(column([v for v in values if not np.isnan(v)]))
    return ["" if np.isnan(v) else next(known) for v in values]


def _blank_nan(value: float, show) -> str:  # type: ignore[no-untyped-def]
    return "" if np.isnan(value) else str(show(value))


def comparison_parts(result: ModelComparison) -> list[Shown]:
    """lme4's layout: the formulas, then a table by number."""
    table = result.table
    shown = table.assign(
        model=[str(i) for i in range(1, len(table) + 1)], statistic_lr=table["statistic"]
    )
    headings = {
        "model": "",
        "npar": "npar",
        "aic": "AIC",
        "bic": "BIC",
        "llf": "logLik",
        "statistic_lr": "Chisq",
        "df": "Df",
        "p_value": "Pr(>Chisq)",
        "p_boundary": "Pr(bound)",
    }
    if "p_bootstrap" in table:
        del headings["p_boundary"]  # a line has room for one of them
        headings["p_bootstrap"] = "Pr(boot)"
    words = {"REML": "restricted likelihood (REML)", "ML": "likelihood (ML)"}
    return [
        "Likelihood-ratio tests of nested models",
        *_numbered(table["model"]),
        frame_grid(shown, headings, labels=1),
        f"Compared: {words[result.method]}.",
        *result.notes,
    ]


def _numbered(texts: Iterable[str]) -> list[str]:
    return [f"{i}: {text}" for i, text in enumerate(texts, 1)]


def ranova_parts(result: Ranova) -> list[Shown]:
    """lmerTest's layout."""
    shown = result.table.assign(statistic_lr=result.table["statistic"])
    headings = {
        "term": "",
        "npar": "npar",
        "llf": "logLik",
        "aic": "AIC",
        "statistic_lr": "LRT",
        "df": "Df",
        "p_value": "Pr(>Chisq)",
        "p_boundary": "Pr(bound)",
    }
    words = {"REML": "REML likelihoods", "ML": "likelihoods"}
    remark = "Pr(bound) minds that variances cannot be negative (mixture of chi-squares)."
    return [
        f"Random terms left out or reduced one at a time, by ratios of {words[result.method]}",
        frame_grid(shown, headings, labels=1),
        remark,
    ]


def rlrt_parts(result: ExactRlrt) -> list[Shown]:
    """The exact test in three lines."""
    return [
        f"Exact restricted likelihood-ratio test of {result.term}",
        f"LRT = {number(result.statistic)}, p = {number(result.p_value)} (Monte Carlo error "
        f"{number(result.std_error, 2)} from {result.nsim} draws of the null distribution)",
        f"Large-sample p: {number(result.p_boundary)} (half chi2_0, half chi2_1), "
        f"{number(result.p_naive)} (chi2_1)",
    ]


def means_parts(result: Means) -> list[Shown]:
    """A table for each part, and what was averaged over below."""
    headings = {
        **{name: name for name in result.of},
        result.estimate: result.estimate,
        "std_error": "SE",
        "df": "df",
        "lower": f"lower {100 * result.level:g}%",
        "upper": f"upper {100 * result.level:g}%",
    }
    table = _parted(result.frame, result.by, headings, max(len(result.of), 1))
    return [table, ddf_line(result.ddf), *result.notes]


def contrasts_parts(result: Contrasts) -> list[Shown]:
    """A table for each part, and which adjustment was made below."""
    headings = {
        "contrast": "contrast",
        "estimate": "estimate",
        "std_error": "SE",
        "df": "df",
        "statistic": "t",
        "p_value": "p",
        "lower": f"lower {100 * result.level:g}%",
        "upper": f"upper {100 * result.level:g}%",
    }
    table = _parted(result.frame, result.by, headings, 1)
    tests = (
        len(result.frame) // max(len(result.frame.groupby(list(result.by))), 1)
        if result.by
        else len(result.frame)
    )
    return [table, ddf_line(result.ddf), *_adjustment(result, tests), *result.notes]


ADJUSTMENT_WORDS = {
    "tukey": "Tukey's method for a family of {means} means",
    "sidak": "Sidak's method for {tests} tests",
    "holm": "Holm's method for {tests} tests (intervals: Bonferroni's)",
    "bonferroni": "Bonferroni's method for {tests} tests",
    "fdr": "Benjamini and Hochberg's false discovery rate for {tests} tests "
    "(intervals: Bonferroni's)",
    "mvt": "the multivariate t distribution of {tests} tests",
}


def _adjustment(result: Contrasts, tests: int) -> list[str]:
    if result.adjust == "none" or tests == 1:
        return ["p-values and intervals are not adjusted for the number of tests."] * (tests > 1)
    words = ADJUSTMENT_WORDS[result.adjust].format(means=result.means, tests=tests)
    each = " in each part of the table" if result.by else ""
    return [f"p-values and intervals adjusted by {words}{each}."]


def ddf_line(ddf: str) -> str:
    return f"Degrees of freedom: {DDF_WORDS.get(ddf, clean(ddf))}."


def _parted(
    table: pd.DataFrame, by: Sequence[str], headings: dict[str, str], labels: int
) -> Grid | Parted:
    """The rows under a heading for each combination of `by`."""
    grid = frame_grid(table, headings, labels=labels)
    if not by:
        return grid
    keys = table[list(by)].itertuples(index=False, name=None)
    pairs = [zip(by, key, strict=True) for key in keys]
    return Parted(grid, tuple(", ".join(f"{n} = {label(v)}" for n, v in p) + ":" for p in pairs))


def r2_parts(result: R2) -> list[Shown]:
    """Marginal and conditional R2, and where the variance comes from."""
    return [
        f"R2 marginal (fixed effects):                {result.marginal:.4f}",
        f"R2 conditional (fixed and random effects):  {result.conditional:.4f}",
        variance_line(result.variances),
    ]


def icc_parts(result: Icc) -> list[Shown]:
    """Intraclass correlations and where the variance comes from."""
    lines: list[Shown] = [
        f"ICC adjusted (of random and residual variance):  {result.adjusted:.4f}",
        f"ICC unadjusted (of all variance):                {result.unadjusted:.4f}",
    ]
    if len(result.by_group) > 1:
        shares = ", ".join(f"{name} {value:.4f}" for name, value in result.by_group.items())
        lines.append(f"By grouping factor (adjusted): {shares}")
    return [*lines, variance_line(result.variances)]


def variance_line(v: Variances) -> str:
    parts = [f"fixed {number(v.fixed)}", *(f"{n} {number(x)}" for n, x in v.random.items())]
    return f"Variances: {', '.join(parts)}, residual {number(v.residual)}"


def caic_parts(result: CAic) -> list[Shown]:
    """The criterion and its two counts of degrees of freedom."""
    return [
        f"Conditional AIC: {result.value:.2f} (Greven & Kneib 2010)",
        f"Conditional log-likelihood: {result.llf:.2f}; effective df: {result.edf:.2f}",
        f"With known covariance parameters (Vaida & Blanchard 2005): "
        f"{result.value_known:.2f}, df {result.edf_known:.2f}",
    ]


def weights_parts(result: Comparison) -> list[Shown]:
    """The formulas, then a table by number."""
    table = result.table
    shown = table.assign(model=[str(i) for i in range(1, len(table) + 1)])
    headings = {
        "model": "",
        "npar": "npar",
        "llf": "logLik",
        "aic": "AIC",
        "delta": "delta",
        "weight": "weight",
        "bic": "BIC",
        "bic_weight": "BIC weight",
    }
    grid = frame_grid(shown, headings, labels=1)
    heading = "Fits by AIC, with evidence weights"
    return [heading, *_numbered(table["model"]), grid, *result.notes]


def structures_parts(result: StructureComparison) -> list[Shown]:
    """The structures, then a table by number."""
    names = result.table["structure"].tolist()
    numbers = {name: str(i) for i, name in enumerate(names, 1)}
    against = [numbers.get(name, "") for name in result.table["against"]]
    shown = result.table.assign(structure=list(numbers.values()), against=against)
    headings = {
        "structure": "",
        "npar": "npar",
        "llf": "logLik",
        "aic": "AIC",
        "delta_aic": "delta",
        "bic": "BIC",
        "delta_bic": "delta",
        "against": "against",
        "p_value": "Pr(>Chisq)",
    }
    failures = [f"Not fitted: {name} ({why})" for name, why in result.failures.items()]
    heading = f"Covariance structures by {result.by.upper()} ({result.method})"
    return [heading, *_numbered(names), frame_grid(shown, headings, labels=1), *failures]
