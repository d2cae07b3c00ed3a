"""A summary as text of at most 80 columns, in lme4's order; a linear model in that of R's `lm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.console import structure_lines, varcorr_text
from henderson.tables.layout import Grid, clean, elide, wrap
from henderson.tables.numerals import column, common_decimals, fixed, number, p_value

if TYPE_CHECKING:
    from henderson.tables.linear import Overall
    from henderson.tables.summary import Summary

MOST_ROWS = 40
# Larger matrices of correlations are not read, as lme4 found too.
MOST_CORRELATED = 6


def summary_text(s: Summary) -> str:
    """The whole summary."""
    parts = [_heading(s), _likelihood(s), _residuals(s)]
    parts += [_random(s)] if s.is_mixed else []
    parts += [_structure(s)] if s.structure else []
    parts += [_fixed(s), _overall(s.overall) if s.overall else _correlations(s), _notes(s)]
    return "\n\n".join(part for part in parts if part)


def _heading(s: Summary) -> str:
    lines = [wrap(s.title), wrap(s.formula, "Formula: ", " " * 9)]
    return "\n".join([*lines, wrap(s.data, "   Data: ", " " * 9)])


def _likelihood(s: Summary) -> str:
    return "\n".join([_criterion(s), *monte_carlo_lines(s)])


def monte_carlo_lines(s: Summary) -> list[str]:
    """How far chance may have moved the log-likelihood, where it did."""
    if not s.llf_error:
        return []
    return [f"Log-likelihood: +/- {s.llf_error:.2g} (Monte Carlo standard error)"]


def _criterion(s: Summary) -> str:
    if "REML criterion" in s.likelihood:
        where = "at convergence" if s.converged else "where the optimiser stopped"
        return f"REML criterion {where}: {one_decimal(s.likelihood['REML criterion'])}"
    if not s.likelihood:
        return ""
    return likelihood_grid(s).text()


def likelihood_grid(s: Summary) -> Grid:
    """AIC, BIC, logLik, -2*logLik, df.resid in one row."""
    cells = [
        f"{value:.0f}" if name == "df.resid" else one_decimal(value)
        for name, value in s.likelihood.items()
    ]
    return Grid(tuple(f"{n:>9}" for n in s.likelihood), (tuple(cells),), labels=0)


def one_decimal(value: float) -> str:
    """As lme4 prints criteria."""
    return fixed(value, 1)


def _residuals(s: Summary) -> str:
    heading = "Scaled residuals:" if s.is_scaled else "Residuals:"
    return f"{heading}\n{residual_grid(s).text()}"


def residual_grid(s: Summary) -> Grid:
    """Min, 1Q, Median, 3Q, Max in one row."""
    # The median may be next to zero: it is not to set the decimals.
    decimals = common_decimals([float(np.ptp(s.residuals))])
    if decimals is not None:
        decimals += 1
    cells = tuple(fixed(float(v), decimals) for v in s.residuals)
    return Grid(tuple(f"{n:>7}" for n in s.residuals.index), (cells,), labels=0)


def _random(s: Summary) -> str:
    return "\n".join(["Random effects:", varcorr_text(s.varcorr), wrap(groups_line(s), rest="  ")])


def _structure(s: Summary) -> str:
    return "\n".join(["Residual structure:", *structure_lines(s.structure)])


def groups_line(s: Summary) -> str:
    """Number of obs: 180, groups: Subject, 18; item, 24."""
    groups = "; ".join(f"{elide(name, 60)}, {count}" for name, count in s.groups.items())
    return f"Number of obs: {s.nobs}, groups: {groups}"


def _fixed(s: Summary) -> str:
    heading = "Fixed effects:" if s.is_mixed else "Coefficients:"
    if not len(s.coefficients):
        return f"{heading} none"
    lines = [heading, coefficient_grid(s).text()]
    more = len(s.coefficients) - MOST_ROWS
    if more > 0:
        lines.append(f"... and {more} more: fit.summary().coefficients")
    return "\n".join(lines)


def coefficient_grid(s: Summary) -> Grid:
    """At most 40 rows: Estimate, Std. Error, df, t value, Pr(>|t|); no df with z-tests."""
    table, name = s.coefficients.iloc[:MOST_ROWS], s.statistic
    # What an estimate shows beyond its standard error's digits is noise.
    decimals = common_decimals(table["std_error"])
    columns = {
        "Estimate": [fixed(v, decimals) for v in table["estimate"]],
        "Std. Error": [fixed(v, decimals) for v in table["std_error"]],
        "df": column(table["df"]),
        f"{name} value": [fixed(v, 3) for v in table["statistic"]],
        f"Pr(>|{name}|)": [p_value(v) for v in table["p_value"]],
    }
    if name == "z":
        del columns["df"]
    rows = zip(map(str, table.index), *columns.values(), strict=True)
    return Grid(("", *columns), tuple(rows))


def correlation_grid(s: Summary) -> Grid | None:
    """Lower triangle of the fixed effects' correlations; None when there is none or too many."""
    names = [str(name) for name in s.correlation.index]
    if not 2 <= len(names) <= MOST_CORRELATED:
        return None
    values = s.correlation.to_numpy()
    rows = tuple(
        (name, *(f"{values[i, j]:.3f}" if j < i else "" for j in range(len(names) - 1)))
        for i, name in enumerate(names)
        if i
    )
    return Grid(("", *(elide(name, 9) for name in names[:-1])), rows)


def _correlations(s: Summary) -> str:
    grid = correlation_grid(s)
    return f"Correlation of fixed effects:\n{grid.text()}" if grid else ""


def _overall(o: Overall) -> str:
    return "\n".join(wrap(line, rest="  ") for line in overall_lines(o))


def overall_lines(o: Overall) -> list[str]:
    """Residual standard error, R-squared, F as R prints them."""
    lines = [f"Residual standard error: {number(o.residual_error)} on {o.df_residual} df"]
    if o.r_squared is not None and o.adjusted is not None:
        lines.append(f"R-squared: {o.r_squared:.4f}, adjusted: {o.adjusted:.4f}")
    if o.F is not None and o.p_value is not None:
        p = p_value(o.p_value)
        lines.append(f"F: {number(o.F)} on {o.num_df} and {o.df_residual} df, p-value: {p}")
    return lines


def _notes(s: Summary) -> str:
    if not s.notes:
        return ""
    return "\n".join(["Notes:", *(wrap(clean(note), "- ", "  ") for note in s.notes)])
