"""Results as tables: aligned for a terminal, which is also Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from cases import ALL_PEERS
from results import Result, Side, paired_ratio, significant

MAIN = (
    "case",
    "n",
    "ours, CPU s",
    "numeric part",
    "R, CPU s",
    "R / ours",
    "R / numeric",
    "evaluations, ours",
    "R",
    "criterion, ours - R",
    "MB, ours",
    "R",
    "R package",
)


def main_table(results: Sequence[Result]) -> str:
    return table(MAIN, [main_row(r) for r in results])


def main_row(r: Result) -> list[str]:
    theirs = r.theirs
    return [
        r.case.name,
        str(r.n),
        shown(r.ours),
        significant(r.numeric.median),
        shown(theirs) if theirs else "not run",
        significant(r.ratio),
        significant(r.numeric_ratio),
        r.ours.facts.get("evaluations", ""),
        theirs.facts.get("evaluations", "") if theirs else "",
        "" if r.gap is None else f"{r.gap:.1e}",
        megabytes(r.ours),
        megabytes(theirs),
        r.case.against or "",
    ]


def one_line(r: Result) -> str:
    """How a case went, for those who wait for the tables."""
    sides = [r.ours, *([r.theirs] if r.theirs else []), *r.peers]
    return f"{r.case.name}: " + ", ".join(f"{s.name} {shown(s)}" for s in sides)


def shown(side: Side) -> str:
    """The median, or why there is none."""
    return side.outcome_word or significant(side.median)


def megabytes(side: Side | None) -> str:
    return "" if side is None or side.peak is None else f"{side.peak:.0f}"


def peers_table(results: Sequence[Result]) -> str:
    """CPU seconds of the Python peers, times ours, and how far their criterion is above ours."""
    rows = []
    for r in results:
        found = {p.name: p for p in r.peers}
        if found:
            cells = [peer_cell(found.get(name), r) for name in ALL_PEERS]
            rows.append([r.case.name, shown(r.ours), *cells])
    return table(("case", "henderson", *ALL_PEERS), rows)


def peer_cell(side: Side | None, r: Result) -> str:
    if side is None:
        return ""
    ratio = paired_ratio(side, r.ours)
    if ratio is None:
        return side.outcome_word
    text = f"{significant(side.median)} ({significant(ratio)}x"
    a, b = side.number("criterion"), r.ours.number("criterion")
    excess = "" if a is None or b is None else f", criterion {a - b:+.1e}"
    note = f", {side.facts['note']}" if "note" in side.facts else ""
    return f"{text}{excess}{note})"


def reasons(results: Sequence[Result]) -> list[str]:
    """Why sides gave no time, one line each."""
    sides = [(r, s) for r in results for s in (r.ours, r.theirs, *r.peers) if s is not None]
    return [f"* {r.case.name}, {s.name} {s.outcome}" for r, s in sides if ":" in s.outcome]


def df_lines(results: Sequence[Result]) -> list[str]:
    """How far the degrees of freedom are from those of R."""
    return [
        f"* {r.case.name}: degrees of freedom differ from {r.case.against}'s by at most "
        f"{r.df_gap:.1e} (relative)"
        for r in results
        if r.df_gap is not None
    ]


def targets_table(results: Sequence[Result]) -> str:
    rows = [[r.case.name, *v.split(": ", 1)] for r in results for v in r.verdicts()]
    return table(("case", "target", "measured"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, the first to the left, the others to the right."""
    lines = [list(head), *[list(r) for r in rows]]
    widths = [max(2, *(len(line[j]) for line in lines)) for j in range(len(head))]

    def one(cells: Sequence[str]) -> str:
        padded = [
            c.ljust(w) if j == 0 else c.rjust(w)
            for j, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * w if j == 0 else "-" * (w - 1) + ":" for j, w in enumerate(widths)]
    return "\n".join([one(head), one(rule), *(one(r) for r in lines[1:])])
