"""A sheet as text of at most 80 columns: models that find no room go below, in another block."""

from __future__ import annotations

from collections.abc import Sequence

from henderson.tables.layout import WIDTH, clean, columns_of, flow, pad, wrap
from henderson.tables.sheet import Cell, Mark, Row, Sheet, plain

# Longer labels may be wrapped, and so are names of models that are wider than their numbers.
LABEL = 40
NAME = 12
_CLOSING = (")", "]")


def sheet_text(sheet: Sheet) -> str:
    """Title, one block or more, notes."""
    columns = [_Column(_cells_of(sheet, j)) for j in range(sheet.width)]
    span = sheet.span
    models = [
        _Model(sheet, columns[i * span : (i + 1) * span], i) for i in range(len(sheet.models))
    ]
    room = _label_room(sheet, [model.width + 2 for model in models])
    blocks = [_block(sheet, block, room) for block in _packed(models, WIDTH - room)]
    heading = [wrap(line) for line in (sheet.number, sheet.title) if line]
    notes = [wrap(plain(note), rest="  ") for note in sheet.notes]
    return "\n".join([*heading, "\n\n".join(blocks), *notes])


def _cells_of(sheet: Sheet, j: int) -> list[Cell]:
    rows = [row for section in sheet.sections for row in section.rows]
    head = [sheet.columns[j % sheet.span]] if sheet.has_column_heads else []
    return [*head, *(line for row in rows for line in row.cells[j])]


class _Column:
    """Room for the bodies of the cells, and behind them for what closes them: stars, brackets."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        parts = [_parted(cell) for cell in cells]
        self.body = max((columns_of(body) for body, _ in parts), default=0)
        self.tail = max((columns_of(tail) for _, tail in parts), default=0)
        self.width = self.body + self.tail

    def text(self, cell: Cell) -> str:
        body, tail = _parted(cell)
        return pad(body, self.body, left=False) + pad(tail, self.tail, left=True)


def _parted(cell: Cell) -> tuple[str, str]:
    end = len(cell)
    while end and (isinstance(cell[end - 1], Mark) or cell[end - 1] in _CLOSING):
        end -= 1
    return clean(plain(cell[:end])), clean(plain(cell[end:]))


class _Model:
    """The columns of one model, wide enough for the heads above them."""

    def __init__(self, sheet: Sheet, columns: Sequence[_Column], i: int) -> None:
        self.columns = columns
        self.first = i * sheet.span
        inner = sum(c.width for c in columns) + len(columns) - 1
        names = [clean(cells[i]) for _, cells in sheet.model_heads]
        self.width = max(inner, min(NAME, max(columns_of(name) for name in names)))
        self.heads = [wrap(name, width=self.width).splitlines() for name in names]

    def head(self, k: int, line: int) -> str:
        lines = self.heads[k]
        text = lines[line].strip() if line < len(lines) else ""
        if len(self.columns) > 1:
            return pad(" " * ((self.width - columns_of(text)) // 2) + text, self.width, left=True)
        # Above the digits, if there is room.
        body = self.width - self.columns[0].tail
        fits = all(columns_of(words) <= body for words in lines)
        return pad(pad(text, body if fits else 0, left=False), self.width, left=fits)

    def shows(self, row: Row) -> bool:
        """Some cell of the row is not blank here."""
        return any(row.cells[self.first : self.first + len(self.columns)])

    def line(self, cells: Sequence[Cell]) -> str:
        mine = cells[self.first : self.first + len(self.columns)]
        text = " ".join(c.text(cell) for c, cell in zip(self.columns, mine, strict=True))
        return pad(text, self.width, left=False)


def _label_room(sheet: Sheet, widths: Sequence[int]) -> int:
    """What the longest label needs, unless that would part models or leave one no room."""
    labels = [plain(row.label) for section in sheet.sections for row in section.rows]
    labels += [label for label, _ in sheet.model_heads]
    labels += [section.title for section in sheet.sections]
    longest = max(columns_of(clean(label)) for label in labels)
    return max(min(longest, max(LABEL, WIDTH - sum(widths)), WIDTH - max(widths)), 1)


def _packed(models: Sequence[_Model], room: int) -> list[list[_Model]]:
    """As many models side by side as `room` columns hold, two blanks before each."""
    blocks: list[list[_Model]] = [[]]
    for model in models:
        if blocks[-1] and sum(m.width + 2 for m in [*blocks[-1], model]) > room:
            blocks.append([])
        blocks[-1].append(model)
    return blocks


def _block(sheet: Sheet, models: Sequence[_Model], room: int) -> str:
    rule = "-" * (room + sum(m.width + 2 for m in models))
    lines = [rule, *_heads(sheet, models, room), rule]
    for section in sheet.sections:
        rows = [row for row in section.rows if any(m.shows(row) for m in models)]
        lines += [wrap(section.title)] if rows else []
        lines += [line for row in rows for line in _row(row, models, room)]
    return "\n".join([*(line.rstrip() for line in lines), rule])


def _heads(sheet: Sheet, models: Sequence[_Model], room: int) -> list[str]:
    lines = []
    for k, (label, _) in enumerate(sheet.model_heads):
        labels = wrap(label, width=room).splitlines() or [""]
        height = max([len(labels), *(len(m.heads[k]) for m in models)])
        for i in range(height):
            lines.append(_joined(labels, i, room, [m.head(k, i) for m in models]))
    if sheet.has_column_heads:
        cells = list(sheet.columns) * len(sheet.models)
        lines.append(_joined([""], 0, room, [m.line(cells) for m in models]))
    return lines


def _row(row: Row, models: Sequence[_Model], room: int) -> list[str]:
    labels = flow(clean(plain(row.label)).split(), rest="  ", width=room).splitlines()
    height = max(len(labels), row.height)
    return [_joined(labels, i, room, [m.line(row.line(i)) for m in models]) for i in range(height)]


def _joined(labels: Sequence[str], i: int, room: int, cells: Sequence[str]) -> str:
    label = labels[i] if i < len(labels) else ""
    return "  ".join([pad(label, room, left=True), *cells])
