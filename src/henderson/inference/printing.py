"""Results of inference as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.console import DDF_WORDS
from henderson.tables.layout import Grid, clean, wrap
from henderson.tables.numerals import column, number, p_value

if TYPE_CHECKING:
    import pandas as pd

    from henderson.inference.anova import Anova
    from henderson.inference.lrt import ModelComparison

TYPE_WORDS = {1: "I", 2: "II", 3: "III"}


def anova_text(result: Anova) -> str:
    """lmerTest's layout."""
    table = result.table
    heading = f"Type {TYPE_WORDS[result.type]} Analysis of Variance"
    if len(table) and np.isinf(table["den_df"]).all():
        how = "Denominator df: infinite (chi-square tests)."
    else:
        how = f"Denominator df: {DDF_WORDS.get(result.ddf, clean(result.ddf))}."
    if table.empty:
        return f"{heading}\nThe fixed part has no terms but the intercept: nothing to test."
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
    ).lines()
    return "\n".join([heading, *body, how, *footer(result.notes)])


def frame_grid(table: pd.DataFrame, headings: dict[str, str], labels: int) -> Grid:
    """A frame's columns under other headings; the first `labels` of them hold names."""
    cells = []
    for i, name in enumerate(headings):
        values = table[name].tolist()
        if i < labels:
            cells.append([label(v) for v in values])
        elif name.startswith("p_"):
            cells.append([_blank_nan(v, p_value) for v in values])
        elif all(np.isnan(v) or float(v).is_integer() for v in values if not np.isinf(v)):
            cells.append([_blank_nan(v, lambda x: f"{x:.0f}") for v in values])
        else:
            cells.append(_numbers(values))
    return Grid(tuple(headings.values()), tuple(zip(*cells, strict=True)), labels=labels)


def label(value: object) -> str:
    """A level or a name in a table: numbers short, truth values and text as they are."""
    is_number = isinstance(value, float | np.floating) and not isinstance(value, bool)
    return number(float(value)) if is_number else str(value)  # type: ignore[arg-type]


def _numbers(values: Sequence[float]) -> list[str]:
    """Numbers with their points one below the other; missing ones are left blank."""
    known = iter(column([v for v in values if not np.isnan(v)]))
    return ["" if np.isnan(v) else next(known) for v in values]


def _blank_nan(value: float, show) -> str:  # type: ignore[no-untyped-def]
    return "" if np.isnan(value) else str(show(value))


def footer(lines: Iterable[str]) -> list[str]:
    """Remarks below a table, wrapped."""
    return [wrap(line, rest="  ") for line in lines]


def comparison_text(result: ModelComparison) -> str:
    """lme4's layout: the formulas, then a table by number."""
    table = result.table
    lines = ["Likelihood-ratio tests of nested models", *_numbered(table["model"])]
    shown = table.assign(model=[str(i) for i in range(1, len(table) + 1)])
    headings = {
        "model": "",
        "npar": "npar",
        "aic": "AIC",
        "bic": "BIC",
        "llf": "logLik",
        "statistic": "Chisq",
        "df": "Df",
        "p_value": "Pr(>Chisq)",
        "p_boundary": "Pr(bound)",
    }
    lines += frame_grid(shown, headings, labels=1).lines()
    words = {"REML": "restricted likelihood (REML)", "ML": "likelihood (ML)"}
    return "\n".join([*lines, f"Compared: {words[result.method]}.", *footer(result.notes)])


def _numbered(texts: Iterable[str]) -> list[str]:
    return [wrap(text, f"{i}: ", "   ") for i, text in enumerate(texts, 1)]
