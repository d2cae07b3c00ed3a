"""The examples of the guides run, and print what the guides say they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
GUIDES = ["structures.md", "tables.md"]
_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(guide: str) -> list[tuple[str, str]]:
    """Code and what it prints: the text block after it, none for code that prints nothing."""
    out: list[tuple[str, str]] = []
    for kind, body in _BLOCK.findall((DOCS / guide).read_text(encoding="utf-8")):
        if kind == "python":
            out.append((body, ""))
        else:
            out[-1] = (out[-1][0], body)
    return out


@pytest.mark.parametrize("guide", GUIDES)
def test_examples_print_what_is_written(guide: str) -> None:
    names: dict[str, object] = {}
    found = examples(guide)
    assert len(found) >= 3
    for code, expected in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, guide, "exec"), names)
        assert printed.getvalue() == expected, code
