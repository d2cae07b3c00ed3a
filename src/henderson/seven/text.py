"""The seven approaches as text of 80 columns, and as an HTML table."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.layout import Grid
from henderson.tables.summary_html import grid_html

if TYPE_CHECKING:
    from henderson.inference.wald import Contrast
    from henderson.seven.result import Approach, Approaches

WIDTH = 80
RULE = "-" * WIDTH
TRUST = {"yes": "yes", "caution": "with caution", "no": "no"}


def approaches_text(result: Approaches) -> str:
    """Heading, the table, the t-tests of the mixed models, and a verdict on each approach."""
    parts = [heading(result), table_text(result), t_text(result), verdicts_text(result)]
    skipped = skipped_text(result)
    return "\n\n".join(parts + ([skipped] if skipped else []))


def heading(result: Approaches) -> str:
    """What was analysed."""
    text = (
        f"Seven approaches to the effect of {result.what} on {result.outcome}: "
        f"{len(result.data)} rows in {len(result.levels)} groups ({result.group})"
    )
    if result.n_dropped:
        text += f"; {result.n_dropped} rows with missing values were left out"
    return fill(text + ".")


def table_text(result: Approaches) -> str:
    """Model, RMSE, Coef, Stat, Pval; z for the mixed models, t for the others."""
    head = f"{'Model':<22}{'RMSE':>14}{'Coef':>14}{'Stat':>14} {'':1}{'Pval':>14}"
    return "\n".join([head, RULE, *(_table_line(a) for a in result.approaches), RULE])


def _table_line(a: Approach) -> str:
    if not a.available:
        return f"{a.label:<22}{'not available':>14}"
    numbers = "".join(f"{number(v):>14}" for v in (a.rmse, a.coef, a.stat))
    return f"{a.label:<22}{numbers} {a.stat_kind}{number(a.p_value):>14}"


def t_text(result: Approaches) -> str:
    """The t-test behind every row; Satterthwaite's df for the mixed models."""
    head = ["t-tests", "Coef", "SE", "t", "df", "p", "95 % from", "to"]
    found = [(a.label, a.t_line) for a in result.approaches if a.t_line is not None]
    for digits in (4, 3, 2):
        lines = columns([head, *(_t_cells(label, line, digits) for label, line in found)])
        if len(lines[0]) <= WIDTH:
            break
    return "\n".join([lines[0], RULE, *lines[1:], RULE])


def _t_cells(label: str, line: Contrast, digits: int) -> list[str]:
    return [
        label,
        f"{line.estimate:.{digits + 1}g}",
        f"{line.std_error:.{digits}g}",
        f"{line.statistic:.{digits - 1}f}"
        if abs(line.statistic) < 1e4
        else f"{line.statistic:.2g}",
        degrees(line.df),
        p_value(line.p_value),
        f"{line.lower:.{digits}g}",
        f"{line.upper:.{digits}g}",
    ]


def columns(rows: list[list[str]]) -> list[str]:
    """Cells as lines, the first column flush left; as far apart as 80 columns allow, up to 2."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    gap = " " * (2 if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else 1)
    return [
        gap.join(
            cell.rjust(width) if c else cell.ljust(width)
            for c, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def verdicts_text(result: Approaches) -> str:
    """One paragraph an approach: what it answers and whether to trust it here."""
    return "\n".join(fill(verdict_line(a), indent="    ") for a in result.approaches)


def verdict_line(a: Approach) -> str:
    """`LMM-Inter: what it asks. Trust it here: yes. Why.`"""
    if not a.available:
        return f"{a.label}: {a.question} {a.verdict}"
    return f"{a.label}: {a.question} Trust it here: {TRUST[a.trust]}. {a.verdict}"


def skipped_text(result: Approaches) -> str:
    """The groups whose slope cannot be estimated, with the reason; "" if there are none."""
    skipped = result.two_stage.skipped
    if not skipped:
        return ""
    each = "; ".join(f"{level} ({why})" for level, why in skipped)
    return fill(f"Not estimable within {result.group}: {each}.", indent="    ")


def approach_text(a: Approach) -> str:
    """One approach: its equation, R formula, t-test and mean squared error."""
    lines = [a.label, *(f"    {line}" for line in a.equation.split("\n")), f"    R: {a.r_formula}"]
    if not a.available:
        return "\n".join([*lines, fill(f"Not available: {a.reason}", "    ", "    ")])
    lines += [test_line(a.t_line)] if a.t_line is not None else []
    if a.stat_kind == "z":
        lines.append(
            f"    z = {a.stat:.4f}, p = {number(a.p_value)}, SE = {a.se:.6f} (joint information)"
        )
    if a.average is not None:
        lines.append(test_line(a.average))
    mse = f"{a.mse:.3f}" if 1e-3 <= a.mse < 1e6 else f"{a.mse:.4g}"
    lines.append(f"    MSE = {mse}, RMSE = {number(a.rmse)}, residual df = {a.df_resid}")
    return "\n".join([*lines, *(fill(note, "    ", "    ") for note in a.notes)])


def test_line(line: Contrast) -> str:
    """`edu = 0.131193, SE = 0.03799, t = 3.4538, df = 56.01, p = 0.00106`, and the interval."""
    test = (
        f"{line.label} = {line.estimate:.6g}, SE = {line.std_error:.4g}, "
        f"t = {line.statistic:.4f}, df = {degrees(line.df)}, p = {p_value(line.p_value)}"
    )
    interval = f"95 % interval [{line.lower:.4g}, {line.upper:.4g}]"
    return "\n".join(fill(part, "        ", "    ") for part in (test, interval))


def number(value: float) -> str:
    """Six decimals; six digits where these are too many, three where they would show nothing."""
    if np.isnan(value):
        return "-"
    if abs(value) >= 1e5:
        return f"{value:.6g}"
    if 0.0 < abs(value) < 1e-4:
        return f"{value:#.3g}"
    return f"{value:.6f}"


def degrees(df: float) -> str:
    """Degrees of freedom; Satterthwaite's can be any size."""
    return f"{df:.2f}" if df < 1e5 else f"{df:.2g}"


def p_value(p: float) -> str:
    """Three digits that count."""
    return f"{p:#.3g}"


def fill(text: str, indent: str = "", first: str = "") -> str:
    """Wrapped at 80 columns; `first` before the first line, `indent` before the others."""
    lines = wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent)
    return "\n".join(lines)


def approaches_html(result: Approaches) -> str:
    """The table for a notebook, with the verdicts in it."""
    cells: dict[str, Callable[[Approach], str]] = {
        "Model": lambda a: a.label,
        "RMSE": lambda a: number(a.rmse),
        "Coef": lambda a: number(a.coef),
        "Stat": lambda a: f"{a.stat_kind} = {number(a.stat)}" if a.available else "-",
        "Pval": lambda a: number(a.p_value),
        "95 % interval": lambda a: f"{number(a.lower)}, {number(a.upper)}" if a.available else "-",
        "Trust": lambda a: TRUST[a.trust],
        "Why": lambda a: a.verdict,
    }
    rows = tuple(tuple(cell(a) for cell in cells.values()) for a in result.approaches)
    title = heading(result).replace("\n", " ")
    return grid_html(Grid(tuple(cells), rows, 1), "approaches", title, texts=1)
