"""Diagnostics as text of at most 80 columns, and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.layout import Grid, clean, wrap
from henderson.tables.numerals import column, number, p_value
from henderson.tables.summary_html import grid_html, html

if TYPE_CHECKING:
    from henderson.diagnostics.checks import Check, Checks
    from henderson.diagnostics.influence import Influence

SHOWN = 10
WORDS = {
    "fine": "Nothing stands out.",
    "look": "Some things to look at.",
    "problem": "There are problems.",
}


def checks_text(result: Checks) -> str:
    """The table, then what was found and what to do, for all that is not fine."""
    lines = [wrap(f"Checks of {result.formula}", rest="  "), *_grid(result).lines()]
    for c in result.of("problem", "look"):
        lines += ["", wrap(f"{c.name}: {c.verdict}. {c.meaning} {c.advice}", rest="  ")]
    return "\n".join([*lines, "", WORDS[result.verdict]])


def _grid(result: Checks) -> Grid:
    rows = [(c.name, c.verdict, f"{c.statistic} {_value(c)}", _p(c)) for c in result]
    return Grid(("Check", "Verdict", "Measure", "p"), tuple(rows), labels=2)


def _value(c: Check) -> str:
    return f"{c.value:.0f}" if float(c.value).is_integer() else number(c.value, 3)


def _p(c: Check) -> str:
    return "" if np.isnan(c.p_value) else p_value(c.p_value)


def checks_html(result: Checks) -> str:
    """A table with a row a check, its meaning and advice beside the verdict."""
    rows = [
        (c.name, c.verdict, f"{c.statistic} {_value(c)}", _p(c), f"{c.meaning} {c.advice}")
        for c in result
    ]
    header = ("Check", "Verdict", "Measure", "p", "What it means, and what to do")
    grid = Grid(header, tuple(rows), labels=2)
    table = grid_html(grid, "checks", f"Checks of {result.formula}", texts=1)
    return (
        f'<section class="henderson-checks">\n{table}\n<p>{html(WORDS[result.verdict])}</p>\n'
        "</section>"
    )


def influence_text(result: Influence) -> str:
    """The levels with the largest Cook's distances."""
    return "\n".join(
        [wrap(_title(result), rest="  "), *_influence_grid(result).lines(), *_foot(result)]
    )


def _title(result: Influence) -> str:
    held = "estimated again" if result.refitted else "held"
    return f"What changes without one {result.by} (covariance parameters {held})"


def _foot(result: Influence) -> list[str]:
    lines = []
    count = len(result.measures)
    if count > SHOWN:
        lines.append(f"{SHOWN} of {count}, by Cook's distance; all of them: .to_frame()")
    if result.failures:
        level, why = next(iter(result.failures.items()))
        lines.append(wrap(f"Not known for {len(result.failures)} of them, as {level}: {why}"))
    return lines


def _influence_grid(result: Influence) -> Grid:
    shown = result.most(SHOWN)
    reach = shown.filter(like="dfbetas_").abs().max(axis=1)
    parts = [
        column(shown[name].to_numpy(), 3)
        for name in ("leverage", "cooks_distance", "covratio", "llf_change")
    ]
    cells = [
        [clean(level) for level in shown.index],
        [str(v) for v in shown["n_rows"]],
        *parts,
        column(reach.to_numpy(), 3),
    ]
    header = (result.by, "rows", "leverage", "Cook's D", "COVRATIO", "llf change", "max|DFBETAS|")
    return Grid(header, tuple(zip(*cells, strict=True)))


def influence_html(result: Influence) -> str:
    """The same as a table."""
    table = grid_html(_influence_grid(result), "influence", _title(result))
    foot = "".join(f"<p>{html(line)}</p>" for line in _foot(result))
    return f'<section class="henderson-influence">\n{table}\n{foot}</section>'
