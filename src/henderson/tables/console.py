"""Tables for a terminal: the variance components, and tests of hypotheses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.layout import WIDTH, Grid, clean, columns_of, wrap
from henderson.tables.numerals import column, number, p_value
from henderson.tables.printed import Shown

if TYPE_CHECKING:
    from henderson.inference.wald import TestResult
    from henderson.natural import Structured
    from henderson.varcorr import VarCorr

# More columns of correlations than this leave no room for the names.
CORRELATIONS = 5
# Nor are more parameters of a structure read.
PARAMETERS = 12
DDF_WORDS = {
    "satterthwaite": "Satterthwaite's",
    "kenward-roger": "Kenward and Roger's",
    "between-within": "between-within",
    "residual": "n - p",
    "normal": "infinite (normal distribution)",
}


def varcorr_text(varcorr: VarCorr) -> str:
    """Variances, standard deviations and correlations in lme4's layout."""
    lines = varcorr_grid(varcorr).lines(" ")
    lines += [f" {remark}" for remark in _left_out(varcorr)]
    lines += structure_lines(varcorr.structured)
    return "\n".join(lines)


def varcorr_parts(varcorr: VarCorr) -> list[Shown]:
    """The same table and remarks for a notebook."""
    values = [values_text(part) for part in varcorr.structured]
    return [varcorr_grid(varcorr), *_left_out(varcorr), *values]


def _left_out(varcorr: VarCorr) -> list[str]:
    most = _most_correlated(varcorr)
    if most <= CORRELATIONS:
        return []
    return [f"({CORRELATIONS} of {most} columns of correlations; all of them: fit.varcorr().cor)"]


def structure_lines(parts: Iterable[Structured]) -> list[str]:
    """One line a structure: " ar1(1 | Mare): rho 0.6074"."""
    return [wrap(values_text(part), " ", "   ") for part in parts]


def values_text(part: Structured) -> str:
    """ "ar1(1 | Mare): rho 0.6074"."""
    return f"{part.text}: {_values(part.values)}"


def _values(values: Mapping[str, float]) -> str:
    if not values:
        return "no parameters"
    shown = [f"{name} {number(value)}" for name, value in list(values.items())[:PARAMETERS]]
    more = len(values) - PARAMETERS
    return ", ".join(shown) + (f", and {more} more: fit.structures()" if more > 0 else "")


def _most_correlated(varcorr: VarCorr) -> int:
    """Columns of correlations that the terms without structure have."""
    shown = [len(names) for names, part in _terms(varcorr) if part is None]
    return max(shown, default=1) - 1


def _terms(varcorr: VarCorr) -> list[tuple[tuple[str, ...], Structured | None]]:
    """The names of every term, and its structure if it has one."""
    found = {(part.group, part.names): part for part in varcorr.structured}
    return [(names, found.get((group, names))) for group, names in varcorr.terms]


def varcorr_grid(varcorr: VarCorr) -> Grid:
    """One row an effect: Groups, Name, Variance, Std.Dev., Corr.

    A correlation that the model sets to zero is left blank. A structured term whose columns have
    one variance is one row, and its correlations are for `structure_lines` to tell.
    """
    terms = [
        (group, _shown_names(effects, part), part)
        for (group, effects), (_, part) in zip(varcorr.terms, _terms(varcorr), strict=True)
    ]
    firsts = [(g, name) for g, names, _ in terms for name in names]
    variances = [float(varcorr.cov[g].loc[n, n]) for g, n in firsts] + [varcorr.sigma**2]
    cells = list(zip(column(variances), column(np.sqrt(variances)), strict=True))
    shown = min(_most_correlated(varcorr), CORRELATIONS)
    rows: list[tuple[str, ...]] = []
    for group, effects, part in terms:
        correlations = _correlations(varcorr, group, effects, shown if part is None else 0)
        for i, name in enumerate(effects):
            label = part.text if part is not None and len(effects) < len(part.names) else name
            cor = correlations[i] + [""] * (shown - len(correlations[i]))
            rows.append((group if i == 0 else "", label, *cells[len(rows)], *cor))
    rows.append(("Residual", "", *cells[-1], *[""] * shown))
    heading = ("Corr", *[""] * (shown - 1)) if shown else ()
    return Grid(("Groups", "Name", "Variance", "Std.Dev.", *heading), tuple(rows), labels=2)


def _shown_names(names: tuple[str, ...], part: Structured | None) -> tuple[str, ...]:
    return names[:1] if part is not None and "sd" in part.values else names


def _correlations(
    varcorr: VarCorr, group: str, effects: tuple[str, ...], shown: int
) -> list[list[str]]:
    """Lower triangle of a term's correlations as texts, `shown` columns wide."""
    cov, cor = varcorr.cov[group], varcorr.cor[group]
    return [
        [
            f"{cor.loc[a, b]:.2f}".replace("nan", "NaN") if j < i and cov.loc[a, b] != 0.0 else ""
            for j, b in enumerate([*effects, *[""] * shown][:shown])
        ]
        for i, a in enumerate(effects)
    ]


def test_text(result: TestResult) -> str:
    """A table in statsmodels' layout, "Test for Constraints", with df, and the joint test below."""
    ruler = "=" * WIDTH
    first, *lines = _test_lines(_test_grid(result))
    heading = "Test for Constraints".center(WIDTH).rstrip()
    parts = [heading, ruler, first, "-" * WIDTH, *lines, ruler]
    return "\n".join([*parts, *(wrap(remark, rest="  ") for remark in _test_remarks(result))])


def test_parts(result: TestResult) -> list[Shown]:
    """The same table and remarks for a notebook."""
    return ["Test for Constraints", _test_grid(result), *_test_remarks(result)]


def _test_remarks(result: TestResult) -> list[str]:
    how = f"Degrees of freedom: {DDF_WORDS.get(result.ddf, clean(result.ddf))}."
    return [how, joint_test(result)] if len(result.contrasts) > 1 else [how]


def joint_test(result: TestResult) -> str:
    """The F-test of all rows in one line; chi-square where df are infinite."""
    p = p_value(result.p_value).removeprefix("<")
    relation = "<" if result.p_value < 0.001 else "="
    if np.isinf(result.den_df):
        statistic = f"chi2({result.num_df}) = {number(result.num_df * result.F)}"
    else:
        statistic = f"F({result.num_df}, {number(result.den_df)}) = {number(result.F)}"
    return f"Joint test: {statistic}, p {relation} {p}"


def _test_lines(grid: Grid) -> list[str]:
    """Hypotheses in full: beside the numbers, or on lines of their own where those have no room."""
    labels = [clean(row[0]) for row in grid.rows]
    numbers = Grid(grid.header[1:], tuple(row[1:] for row in grid.rows), labels=0)
    room = WIDTH - max(map(columns_of, numbers.lines()))
    if max(map(columns_of, labels)) < room:
        return grid.lines()
    first, *rows = numbers.lines(" " * min(4, room))
    pairs = zip(labels, rows, strict=True)
    return [first, *(line for label, row in pairs for line in (wrap(label, rest="  "), row))]


def _test_grid(result: TestResult) -> Grid:
    contrasts = result.contrasts
    z = all(np.isinf(c.df) for c in contrasts)
    tail = (1.0 - result.level) / 2.0
    header = ["coef", "std err", "z" if z else "t", "df", "P>|z|" if z else "P>|t|"]
    header += [f"[{tail:.5g}", f"{1.0 - tail:.5g}]"]
    values = [
        column([c.estimate for c in contrasts]),
        column([c.std_error for c in contrasts]),
        column([c.statistic for c in contrasts]),
        column([c.df for c in contrasts]),
        [p_value(c.p_value) for c in contrasts],
        column([c.lower for c in contrasts]),
        column([c.upper for c in contrasts]),
    ]
    header = [f"{name:>8}" for name in header]
    rows = [(c.label, *cells) for c, *cells in zip(contrasts, *values, strict=True)]
    keep = [i for i, name in enumerate(["", *header]) if not (z and name.strip() == "df")]
    return Grid(
        tuple(["", *header][i] for i in keep), tuple(tuple(row[i] for i in keep) for row in rows)
    )
