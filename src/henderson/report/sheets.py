"""Tables of a page: numbers as text, and which group a row is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from henderson.errors import HendersonError
from henderson.inference.printing import frame_grid
from henderson.tables.console import varcorr_grid
from henderson.tables.layout import Grid
from henderson.tables.numerals import column, number, p_value
from henderson.tables.summary_text import coefficient_grid

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import RandomFactor
    from henderson.diagnostics.checks import Checks
    from henderson.fit import Fit

# Levels of more than these fill a page that nobody reads; `fit.ranef()` has all.
MOST_LEVELS = 60
# With more effects a table of modes has no room for their standard deviations.
MOST_WITH_SD = 4
ANOVA = {
    "term": "Term", "sum_sq": "Sum Sq", "mean_sq": "Mean Sq", "num_df": "Num df",
    "den_df": "Den df", "f": "F", "p_value": "p",
}  # fmt: skip
VERDICT_CLASSES = {"fine": "yes", "look": "caution", "problem": "no"}
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Sheet:
    """A table with a caption.

    Attributes
    ----------
    name : unique on the page.
    grid : its texts.
    codes : a row's group, or None for a row that is about no group.
    classes : the class of the second cell of each row, or none.
    sortable : whether another order of the rows makes sense.
    parts : its rows stand in parts; a row with a name and nothing else heads one.
    """

    name: str
    caption: str
    grid: Grid
    codes: tuple[int | None, ...] = ()
    classes: tuple[str, ...] = ()
    sortable: bool = True
    parts: bool = False

    @property
    def rows(self) -> list[tuple[tuple[str, ...], int | None, str]]:
        """Texts, group and class of every row."""
        blank = [""] * len(self.grid.rows)
        codes = self.codes or [None] * len(self.grid.rows)
        return list(zip(self.grid.rows, codes, self.classes or blank, strict=True))


@dataclass(frozen=True)
class Missing:
    """What a model does not have, and why: said on the page, since nothing is left out silently."""

    what: str
    reason: str


def attempt(what: str, make: Callable[[], Answer]) -> Answer | Missing:
    """The answer, or the reason why this model has none."""
    try:
        return make()
    except (HendersonError, np.linalg.LinAlgError) as error:
        return Missing(what, str(error))


def fixed_effects(fit: Fit) -> Sheet:
    """Estimates with t-tests and 95 % intervals."""
    summary = fit.summary()
    grid = coefficient_grid(summary)
    ends = fit.conf_int().iloc[: len(grid.rows)]
    low, high = column(ends["lower"]), column(ends["upper"])
    rows = tuple((*row, a, b) for row, a, b in zip(grid.rows, low, high, strict=True))
    header = ("Term", *grid.header[1:], "95 % from", "to")
    tests = summary.title.partition("; ")[2]
    caption = f"Estimates with 95 % intervals; {tests}."
    return Sheet("fixed", caption, Grid(header, rows, grid.labels))


def anova(fit: Fit) -> Sheet | None:
    """F-tests of the terms; None where the fixed part has no terms."""
    found = fit.anova()
    if found.table.empty:
        return None
    caption = "Analysis of variance, type III: each term given all the others."
    if found.notes:
        caption += " " + " ".join(map(str, found.notes))
    return Sheet("anova", caption, frame_grid(found.table, ANOVA, labels=1))


def variances(fit: Fit) -> Sheet:
    """Variances and correlations of the random effects."""
    grid = varcorr_grid(fit.varcorr())
    # Rows that are sorted or copied keep the name of their group.
    names = [row[0].strip() for row in grid.rows]
    for i, name in enumerate(names):
        names[i] = name or names[i - 1]
    rows = tuple((name, *row[1:]) for name, row in zip(names, grid.rows, strict=True))
    grid = Grid(grid.header, rows, grid.labels)
    counts = ", ".join(f"{count} levels of {name}" for name, count in fit.n_groups.items())
    return Sheet("variances", f"Variances of the random effects and the residual; {counts}.", grid)


def structures(fit: Fit) -> Sheet | None:
    """Parameters of the covariance structures; None where there are none."""
    found = fit.structures()
    rows = tuple(
        (text, name, number(value))
        for text, values in found.items()
        for name, value in list(values.items())[:MOST_LEVELS]
    )
    if not rows:
        return None
    caption = "Covariance structures of random effects and residuals."
    grid = Grid(("Structure", "Parameter", "Value"), rows, 2)
    return Sheet("structures", caption, grid)


def modes(fit: Fit, factor: RandomFactor, *, tagged: bool) -> Sheet:
    """Conditional modes, and where they are few their standard deviations, a row a level."""
    name = factor.name
    values = fit.ranef()[name].to_numpy()[:MOST_LEVELS]
    sd = np.sqrt(np.maximum(np.einsum("jkk->jk", fit.condvar()[name]), 0.0))[:MOST_LEVELS]
    columns, header = [[str(v) for v in factor.all_levels[:MOST_LEVELS]]], [name]
    with_sd = len(factor.names) <= MOST_WITH_SD
    for k, effect in enumerate(factor.names):
        columns += [column(values[:, k]), column(sd[:, k])][: 1 + with_sd]
        header += [effect, "SD"][: 1 + with_sd]
    grid = Grid(tuple(header), tuple(zip(*columns, strict=True)), 1)
    caption = f"What each {name} adds to the fixed effects: conditional modes"
    caption += ", with conditional SDs." if with_sd else "."
    if len(factor.all_levels) > MOST_LEVELS:
        caption += f" The first {MOST_LEVELS} of {len(factor.all_levels):,} levels."
    codes = tuple(range(len(grid.rows))) if tagged else ()
    return Sheet(f"modes-{fit.design.random.index(factor)}", caption, grid, codes)


def measures(fit: Fit) -> Sheet:
    """Likelihood, information criteria, and shares of variance."""
    rows = [
        ("Rows", f"{fit.nobs:,}"),
        ("Parameters", str(fit.npar)),
        ("Log-likelihood" + (", restricted" if fit.method == "REML" else ""), f"{fit.llf:.3f}"),
        ("AIC", f"{fit.aic:.2f}"),
        ("BIC", f"{fit.bic:.2f}"),
        ("Residual standard deviation", number(fit.sigma)),
    ]
    found = attempt("R2", fit.r2)
    if not isinstance(found, Missing):
        rows.append(("R2, fixed effects (marginal)", f"{found.marginal:.4f}"))
        if fit.design.random:
            rows.append(("R2, fixed and random effects (conditional)", f"{found.conditional:.4f}"))
    if fit.design.random:
        icc = attempt("ICC", fit.icc)
        if not isinstance(icc, Missing):
            rows.append(("Intraclass correlation, adjusted", f"{icc.adjusted:.4f}"))
    grid = Grid(("Measure", "Value"), tuple(rows), 1)
    return Sheet("measures", "How well the model fits.", grid, sortable=False)


def checks(found: Checks) -> Sheet:
    """The verdicts."""
    rows = tuple(
        (c.name, c.verdict, f"{c.statistic} {_measure(c.value)}", _p(c.p_value)) for c in found
    )
    caption = "The assumptions one by one: fine, something to look at, or a problem."
    classes = tuple(VERDICT_CLASSES[c.verdict] for c in found)
    grid = Grid(("Check", "Verdict", "Measure", "p"), rows, 2)
    return Sheet("checks", caption, grid, classes=classes)


def _measure(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else number(value, 3)


def _p(p: float) -> str:
    return "" if np.isnan(p) else p_value(p)


def estimates(
    name: str, caption: str, table: pd.DataFrame, labels: Sequence[str], estimate: str
) -> Sheet:
    """Means or contrasts: names, then estimates, standard errors, df, limits, and p if there."""
    rest: dict[str, Any] = {estimate: "Estimate", "std_error": "SE", "df": "df"}
    rest |= {"lower": "95 % from", "upper": "to"}
    if "p_value" in table:
        rest |= {"statistic": "t", "p_value": "p"}
    grid = frame_grid(
        table,
        {**{k: "Contrast" if k == "contrast" else k for k in labels}, **rest},
        labels=len(labels),
    )
    return Sheet(name, caption, grid)
