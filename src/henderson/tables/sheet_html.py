"""A sheet as one HTML table: caption, headings with their scope, three rules, no vertical lines."""

from __future__ import annotations

from collections.abc import Sequence

from henderson.tables.sheet import Cell, Italic, Lines, Mark, Number, Row, Section, Sheet
from henderson.tables.summary_html import html

_RULE = "border-bottom:1px solid currentColor"
_TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums;border:0"
_CELL = "padding:.15em .8em;text-align:{};vertical-align:top;background:none;border:0"


def sheet_html(sheet: Sheet) -> str:
    """A `<table>` that needs no style sheet; cells of two lines are broken, rows are not."""
    parts = [
        f'<table class="henderson-models" style="{_TABLE}">',
        _caption(sheet),
        _head(sheet),
        *(_section(sheet, section) for section in sheet.sections),
        _foot(sheet),
        "</table>",
    ]
    return "\n".join(part for part in parts if part)


def page(sheet: Sheet) -> str:
    """A document with nothing but the table."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html(sheet.title)}</title>\n</head>\n<body>\n{sheet_html(sheet)}\n</body>\n</html>\n"
    )


def _caption(sheet: Sheet) -> str:
    style = 'style="caption-side:top;text-align:left;padding:.4em .8em"'
    if not sheet.number:
        return f"<caption {style}>{html(sheet.title)}</caption>"
    title = f"<b>{html(sheet.number)}</b><br><i>{html(sheet.title)}</i>"
    return f"<caption {style}>{title}</caption>"


def _head(sheet: Sheet) -> str:
    scope = "colgroup" if sheet.span > 1 else "col"
    rows = []
    for label, cells in sheet.model_heads:
        heads = [_tag("th", html(c), scope, sheet.span, "center") for c in cells]
        corner = (
            _tag("th", html(label), "row", 1, "left") if label else _tag("td", "", align="left")
        )
        rows.append(corner + "".join(heads))
    if sheet.has_column_heads:
        columns = list(sheet.columns) * len(sheet.models)
        heads = [_tag("th", _cell(c), "col", 1, "right") for c in columns]
        rows.append(_tag("td", "", align="left") + "".join(heads))
    style = f'style="border-top:1px solid currentColor;{_RULE}"'
    return f"<thead {style}>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</thead>"


def _section(sheet: Sheet, section: Section) -> str:
    title = _tag("th", html(section.title), "rowgroup", sheet.width + 1, "left")
    rows = "\n".join(_row(row) for row in section.rows)
    rule = f' style="{_RULE}"' if sheet.ruled or section is sheet.sections[-1] else ""
    return f"<tbody{rule}>\n<tr>{title}</tr>\n{rows}\n</tbody>"


def _row(row: Row) -> str:
    label = _tag("th", _cell(row.label), "row", 1, "left", "font-weight:normal")
    cells = "".join(_tag("td", _lines(cell)) for cell in row.cells)
    return f"<tr>{label}{cells}</tr>"


def _foot(sheet: Sheet) -> str:
    if not sheet.notes:
        return ""
    notes = "<br>".join(_cell(note) for note in sheet.notes)
    note = _tag("td", notes, "", sheet.width + 1, "left", "font-size:smaller")
    return f"<tfoot>\n<tr>{note}</tr>\n</tfoot>"


def _tag(
    tag: str, inner: str, scope: str = "", span: int = 1, align: str = "right", style: str = ""
) -> str:
    attributes = f' scope="{scope}"' if scope else ""
    attributes += f' colspan="{span}"' if span > 1 else ""
    looks = ";".join(part for part in (_CELL.format(align), style) if part)
    return f'<{tag}{attributes} style="{looks}">{inner}</{tag}>'


def _lines(lines: Lines | Sequence[Cell]) -> str:
    return "<br>".join(_cell(line) for line in lines)


def _cell(cell: Cell) -> str:
    return "".join(map(_piece, cell))


def _piece(piece: str) -> str:
    if isinstance(piece, Number):
        return html(piece.replace("-", "\N{MINUS SIGN}"))
    if isinstance(piece, Italic):
        return f"<i>{html(piece)}</i>"
    if isinstance(piece, Mark):
        # No higher than the line, so that numbers stay level with their label.
        return f'<sup style="line-height:0">{html(piece)}</sup>'
    return html(piece)
