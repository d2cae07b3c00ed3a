"""A summary as HTML: plain tables with classes to style them by, every text escaped, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from henderson.tables.console import structure_lines, varcorr_grid
from henderson.tables.layout import Grid, clean
from henderson.tables.summary_text import (
    coefficient_grid,
    correlation_grid,
    groups_line,
    likelihood_grid,
    monte_carlo_lines,
    one_decimal,
    overall_lines,
    residual_grid,
)

if TYPE_CHECKING:
    from henderson.tables.summary import Summary

_TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"
_SCROLL = "overflow-x:auto;margin-bottom:.8em"
_CAPTION = "caption-side:top;text-align:left"
_CELL = "vertical-align:top;padding:.15em .5em"
_NAME, _NUMBER = (f"text-align:{side};white-space:nowrap;{_CELL}" for side in ("left", "right"))
_TEXT = f"text-align:left;min-width:20em;{_CELL}"


def html(text: object) -> str:
    """Text with markup and control characters escaped."""
    return escape(clean(text))


def grid_html(grid: Grid, kind: str, caption: str = "", texts: int = 0) -> str:
    """A `<table>` of class `henderson-{kind}` that needs no style sheet and scrolls by itself.

    Label cells are row headings, to the left; numbers stand to the right.

    Parameters
    ----------
    texts : the last columns that are sentences.
    """
    count = len(grid.header)
    looks = [_NAME] * grid.labels + [_NUMBER] * (count - grid.labels - texts) + [_TEXT] * texts
    heads = ['th scope="col"'] * count
    names = ['th scope="row"'] * grid.labels + ["td"] * (count - grid.labels)
    head = _row(grid.header, heads, looks)
    body = "\n".join(_row(row, names, looks) for row in grid.rows)
    title = f'<caption style="{_CAPTION}">{html(caption)}</caption>\n' if caption else ""
    return (
        f'<div style="{_SCROLL}">\n<table class="henderson-{kind}" style="{_TABLE}">\n{title}'
        f"<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _row(cells: Sequence[str], tags: Sequence[str], looks: Sequence[str]) -> str:
    inner = "".join(
        f'<{tag} style="{look}">{html(cell.strip())}</{tag.split()[0]}>'
        for tag, look, cell in zip(tags, looks, cells, strict=True)
    )
    return f"<tr>{inner}</tr>"


def summary_html(s: Summary) -> str:
    """The whole summary as one `<section>`."""
    parts = [
        f'<p class="henderson-title">{html(s.title)}</p>',
        f"<p>Formula: <code>{html(s.formula)}</code><br>Data: {html(s.data)}</p>",
        _likelihood(s),
        *_lines(monte_carlo_lines(s)),
        grid_html(residual_grid(s), "residuals", _residual_caption(s)),
        *_random(s),
        *_structure(s),
        *_fixed(s),
        *_lines(overall_lines(s.overall) if s.overall else []),
        _notes(s),
    ]
    inner = "\n".join(part for part in parts if part)
    return f'<section class="henderson-summary">\n{inner}\n</section>'


def _likelihood(s: Summary) -> str:
    if "REML criterion" in s.likelihood:
        return f"<p>REML criterion: {one_decimal(s.likelihood['REML criterion'])}</p>"
    return grid_html(likelihood_grid(s), "likelihood") if s.likelihood else ""


def _residual_caption(s: Summary) -> str:
    return "Scaled residuals" if s.is_scaled else "Residuals"


def _random(s: Summary) -> list[str]:
    if not s.is_mixed:
        return []
    table = grid_html(varcorr_grid(s.varcorr), "varcorr", "Random effects")
    return [table, *_lines(structure_lines(s.varcorr.structured)), *_lines([groups_line(s)])]


def _structure(s: Summary) -> list[str]:
    return _lines(["Residual structure:", *structure_lines(s.structure)] if s.structure else [])


def _fixed(s: Summary) -> list[str]:
    if not len(s.coefficients):
        return []
    caption = "Fixed effects" if s.is_mixed else "Coefficients"
    grid = coefficient_grid(s)
    parts = [grid_html(grid, "coefficients", caption)]
    more = len(s.coefficients) - len(grid.rows)
    parts += _lines([f"... and {more} more: fit.summary().coefficients"] if more else [])
    correlations = correlation_grid(s) if s.is_mixed else None
    if correlations:
        parts.append(grid_html(correlations, "correlation", "Correlation of fixed effects"))
    return parts


def _lines(lines: Sequence[str]) -> list[str]:
    return [f"<p>{html(line)}</p>" for line in lines]


def _notes(s: Summary) -> str:
    if not s.notes:
        return ""
    items = "\n".join(f"<li>{html(note)}</li>" for note in s.notes)
    return f'<ul class="henderson-notes">\n{items}\n</ul>'
