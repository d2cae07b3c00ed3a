"""Sheets in every format: what is written can be read again, whatever the names hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.tables.layout import WIDTH, clean, columns_of
from henderson.tables.sheet import Italic, Mark, Number, Row, Section, Sheet
from henderson.tables.sheet_html import page, sheet_html
from henderson.tables.sheet_latex import escaped, sheet_latex
from henderson.tables.sheet_markdown import sheet_markdown
from henderson.tables.sheet_text import sheet_text

# Surrogates are no text; all else may stand in a name.
TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=50)
CELL = ((Number("-1.25"), Mark("*")), ("(", Number("0.50"), ")"))


def sheet_of(label: str = "x", names: tuple[str, ...] = ("(1)", "(2)"), span: int = 1) -> Sheet:
    """One row; the last model has no such term."""
    cells = [CELL] * (len(names) - 1) * span + [()] * span
    return Sheet(
        number="Table 1" if span > 1 else "",
        title=f"Models of {label}",
        models=names,
        responses=names,
        columns=((Italic("b"),),) * span if span > 1 else ((),),
        sections=(Section("Fixed effects", (Row((label,), tuple(cells)),)),),
        notes=((f"Note on {label}.",),),
        ruled=span == 1,
    )


class Reader(HTMLParser):
    """The cells of every row with their attributes, and the text of the document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "meta"):
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append({"tag": tag, **dict(attrs)})

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=6, unique=True))
def test_text_is_at_most_eighty_columns_wide(label: str, names: list[str]) -> None:
    for span in (1, 3):
        lines = sheet_text(sheet_of(label, tuple(names), span)).split("\n")
        assert max(map(columns_of, lines)) <= WIDTH


def test_models_that_find_no_room_stand_in_another_block() -> None:
    names = tuple(f"Model number {i}" for i in range(9))
    text = sheet_text(sheet_of(names=names))
    words = re.sub(r"\s+", " ", text)
    assert all(re.search(rf"\b{i}\b", words) for i in range(9))
    assert text.count("Fixed effects") == 2
    assert text.count("-1.25*") == 8


def test_numbers_stand_above_each_other_and_stars_behind() -> None:
    lines = sheet_text(sheet_of()).split("\n")
    (estimate,) = [line for line in lines if "-1.25" in line]
    (error,) = [line for line in lines if "0.50" in line]
    assert estimate.index(".") == error.index(".")


@given(TEXT, TEXT)
def test_html_is_well_formed_and_shows_every_character(label: str, name: str) -> None:
    for span in (1, 3):
        sheet = sheet_of(label, (name, name + "2"), span)
        reader = Reader(page(sheet))
        assert not reader.open
        for row in reader.rows:
            assert sum(int(cell.get("colspan") or 1) for cell in row) == 1 + sheet.width
        assert clean(label) in "".join(reader.words)
        assert clean(name) in "".join(reader.words)


def test_html_headings_have_their_scope() -> None:
    for span, scope in ((1, "col"), (3, "colgroup")):
        text = sheet_html(sheet_of(span=span))
        reader = Reader(text)
        assert "<caption" in text
        assert [cell["scope"] for cell in reader.rows[0][1:]] == [scope, scope]
        scopes = [row[0].get("scope") for row in reader.rows if row[0]["tag"] == "th"]
        assert {"row", "rowgroup"} <= set(scopes)
        assert all(cell.get("scope") for row in reader.rows for cell in row if cell["tag"] == "th")


def latex_cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)&", line)) + 1


@given(TEXT)
def test_latex_rows_have_their_columns(label: str) -> None:
    for span in (1, 3):
        sheet = sheet_of(label, (label, label + "2"), span)
        lines = sheet_latex(sheet).split("\n")
        for line in lines:
            if line.endswith(r"\\") and not line.startswith(r"\textbf"):
                spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                assert latex_cells(line) + sum(spans) - len(spans) == 1 + sheet.width


@given(TEXT)
def test_latex_has_no_active_characters(text: str) -> None:
    written = escaped(text)
    commands = r"\$[|<>]\$|\\(?:text[a-z]+|[#$%&_{}])(?:\{2?\})?|\{[\[*]\}|-\{\}"
    assert not set(re.sub(commands, "", written)) & set("\\{}#$%&_~^<>|[*`\n")


def test_latex_parts_hyphens_and_brackets_from_commands() -> None:
    assert escaped("a---b") == "a-{}-{}-b"
    assert escaped("[T.x]") == "{[}T.x]"


def test_latex_environments_and_rules() -> None:
    text = sheet_latex(sheet_of())
    begun, ended = (re.findall(rf"\\{w}\{{(\w+)\}}", text) for w in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    rules = [text.index(rf"\{rule}") for rule in ("toprule", "midrule", "bottomrule")]
    assert rules == sorted(rules)
    assert "|" not in re.search(r"\\begin\{tabular\}\{(.*)\}", text)[1]
    assert "$-$1.25" in text


@given(TEXT)
def test_markdown_rows_have_their_columns(label: str) -> None:
    lines = sheet_markdown(sheet_of(label, (label, label + "2"))).split("\n")
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 6
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in rows} == {4}


@pytest.mark.parametrize("write", [sheet_text, sheet_html, sheet_latex])
def test_apa_numbers_are_in_columns_of_their_own(write: object) -> None:
    text = write(sheet_of(span=3))  # type: ignore[operator]
    assert text.count("1.25") == 3
