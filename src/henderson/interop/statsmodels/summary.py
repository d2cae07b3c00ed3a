"""The printed result, in statsmodels' layout."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from henderson.inference.wald import t_quantile

if TYPE_CHECKING:
    from henderson.interop.statsmodels.results import MixedLMResults

TITLE = "Mixed Linear Model Regression Results"


@dataclass(frozen=True)
class Summary:
    """Two tables with a title, as text, HTML or LaTeX.

    Attributes
    ----------
    tables : the facts of the fit (four columns of labels and values), and one row a parameter.
    """

    title: str
    tables: list[pd.DataFrame]

    def as_text(self) -> str:
        facts, estimates = self.tables
        top = [[str(c) for c in row] for row in facts.to_numpy()]
        body = [["", *estimates.columns], *([str(n), *row] for n, row in _rows(estimates))]
        total = max(_natural(top), _natural(body))
        upper = _lines(top, "<" * 4, total, heading=False)
        lower = _lines(body, "<" + ">" * 6, total, heading=True)
        rule = "=" * total
        head = " " * ((total - len(self.title)) // 2) + self.title
        return "\n".join([head, rule, *upper, "-" * total, *lower, rule, ""])

    def as_html(self) -> str:
        facts, estimates = self.tables
        top = "".join(_html_row([str(c) for c in row], "td") for row in facts.to_numpy())
        head = _html_row(["", *estimates.columns], "th")
        body = "".join(_html_row([str(n), *row], "td") for n, row in _rows(estimates))
        return (
            f'<table class="simpletable"><caption>{escape(self.title)}</caption>{top}</table>'
            f'<table class="simpletable">{head}{body}</table>'
        )

    def as_latex(self) -> str:
        facts, estimates = self.tables
        top = [" & ".join(_latex(str(c)) for c in row) for row in facts.to_numpy()]
        body = [" & ".join(_latex(c) for c in ["", *estimates.columns])]
        body += [" & ".join(_latex(c) for c in [str(n), *row]) for n, row in _rows(estimates)]
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_latex(self.title)}}}",
                *_tabular("llll", top),
                *_tabular("lrrrrrr", body),
                r"\end{table}",
            ]
        )

    def _repr_html_(self) -> str:
        return self.as_html()

    def __str__(self) -> str:
        return self.as_text()

    __repr__ = __str__


def summarise(
    result: MixedLMResults, title: str, yname: str, names: list[str], alpha: float
) -> Summary:
    """The two tables of a result; `names` (k,) of the parameters."""
    return Summary(title, [_facts(result, yname), _estimates(result, names, alpha)])


def _facts(result: MixedLMResults, yname: str) -> pd.DataFrame:
    sizes = result.model.group_sizes
    left = [
        ("Model:", "MixedLM"),
        ("No. Observations:", f"{result.nobs}"),
        ("No. Groups:", f"{result.model.n_groups}"),
        ("Min. group size:", f"{sizes.min()}"),
        ("Max. group size:", f"{sizes.max()}"),
        ("Mean group size:", f"{sizes.mean():.1f}"),
    ]
    right = [
        ("Dependent Variable:", yname),
        ("Method:", result.method),
        ("Scale:", f"{result.scale:.4f}"),
        ("Log-Likelihood:", f"{result.llf:.4f}"),
        ("Converged:", "Yes" if result.converged else "No"),
        ("", ""),
    ]
    return pd.DataFrame([(*a, *b) for a, b in zip(left, right, strict=True)])


def _estimates(result: MixedLMResults, names: list[str], alpha: float) -> pd.DataFrame:
    """One row a parameter; variances and covariances in the units of the response, squared."""
    k = result.k_fe
    reach = t_quantile(1.0 - alpha / 2.0, np.inf)
    rows = []
    for coef, se, z, p in zip(
        result.fe_params, result.bse_fe, result.tvalues[:k], result.pvalues[:k], strict=True
    ):
        rows.append([_number(v) for v in (coef, se, z, p, coef - reach * se, coef + reach * se)])
    for value, se in zip(result.params[k:] * result.scale, result.bse_re, strict=True):
        rows.append([_number(value), "" if np.isnan(se) else _number(se), "", "", "", ""])
    columns = ["Coef.", "Std.Err.", "z", "P>|z|", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
    return pd.DataFrame(rows, index=names, columns=columns, dtype=object)


def _number(value: float) -> str:
    return f"{value:.3f}"


# ---- layout


def _rows(table: pd.DataFrame) -> list[tuple[object, list[str]]]:
    return [(name, list(row)) for name, row in zip(table.index, table.to_numpy(), strict=True)]


def _widths(cells: list[list[str]]) -> list[int]:
    return [max(len(row[j]) for row in cells) for j in range(len(cells[0]))]


def _lines(cells: list[list[str]], sides: str, total: int, heading: bool) -> list[str]:
    """Rows of a table `total` wide: blanks to spare widen the gaps, those left the first column."""
    widths = _widths(cells)
    spare = total - _natural(cells)
    each, more = divmod(spare, len(widths) - 1)
    widths[0] += more
    gap = " " * (1 + each)
    out = [
        gap.join(f"{c:{side}{w}}" for c, side, w in zip(row, sides, widths, strict=True))
        for row in cells
    ]
    if heading:
        out[0] = gap.join(c.center(w) for c, w in zip(cells[0], widths, strict=True))
        out.insert(1, "-" * total)
    return out


def _natural(cells: list[list[str]]) -> int:
    """The least width of a table: its columns and a blank between any two."""
    widths = _widths(cells)
    return sum(widths) + len(widths) - 1


def _html_row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells) + "</tr>"


def _latex(text: object) -> str:
    special = {c: rf"\{c}" for c in "&%$#_{}"} | {"|": "$|$", ">": "$>$", "<": "$<$"}
    return "".join(special.get(c, c) for c in str(text))


def _tabular(columns: str, rows: list[str]) -> list[str]:
    lines = [row + r" \\" for row in rows]
    return [rf"\begin{{tabular}}{{{columns}}}", r"\hline", *lines, r"\hline", r"\end{tabular}"]
