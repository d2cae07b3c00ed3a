"""The page about the seven approaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from henderson.report import page
from henderson.report.figures import Picture, picture
from henderson.tables.numerals import number, p_value

if TYPE_CHECKING:
    from henderson.seven.result import Approach, Approaches

FIGURES = (
    "data",
    "lm_global",
    "residuals",
    "ancova_inter",
    "aggregation",
    "hierarchical",
    "lmm_inter",
    "ancova_full",
    "lmm_full",
    "forest",
)


# What the picture of each approach shows.
DRAWN = {
    "lm_global": "One regression line of {y} on {x} through all rows, with its 95 % band.",
    "ancova_inter": "Parallel lines, one per {g}; arrows are the fixed intercepts of the groups "
    "against the first.",
    "aggregation": "Left, the rows and the mean of every {g}; right, the line through the means.",
    "hierarchical": "Left, a regression in every {g}; right, their slopes and the mean of them.",
    "lmm_inter": "Parallel lines, one per {g}; arrows are the random intercepts around the "
    "population's line (dashed), drawn from a normal distribution.",
    "ancova_full": "Solid, the line of every {g}; dashed, the same intercepts with the slope of "
    "the reference group.",
    "lmm_full": "Solid, the predicted line of every {g}; dashed, the population's.",
}


@dataclass(frozen=True)
class Section:
    """One approach on the page: t-test line, pictures (wide ones span the page), mixed summary."""

    approach: Approach
    line: str
    pictures: tuple[Picture, ...]
    wide: bool
    summary: str


def approaches_report(result: Approaches, path: str) -> str:
    """Write the seven approaches as one self-contained HTML page; returns the path.

    Raises
    ------
    OSError : the file cannot be written.
    """
    pictures = {key: _picture(result, key) for key in FIGURES}
    return page.write(
        path,
        "approaches.html",
        title=f"{result.outcome} by {result.what}, in {len(result.levels)} groups",
        result=result,
        headline=headline(result),
        pictures=pictures,
        sections=[_section(result, a, pictures) for a in result],
        rows=[_cells(a) for a in result],
        code=code(result),
        data_hash=page.data_hash(result.data),
        versions=page.versions(),
    )


def headline(result: Approaches) -> str:
    """The effect by the random-intercept model: size, interval, df and p, in one sentence."""
    approach = result["lmm_inter"]
    line = approach.t_line
    if line is None:
        return f"The random-intercept model could not be fitted: {approach.reason}"
    return (
        f"Within {result.group} groups, {result.outcome} changes by {number(line.estimate)} "
        f"per unit of {result.what} (95 % interval {number(line.lower)} to {number(line.upper)}; "
        f"t = {number(line.statistic)} on {number(line.df)} df, p = {p_value(line.p_value)})."
    )


def code(result: Approaches) -> str:
    """The Python lines that make this page again."""
    arguments = ", ".join(
        f"{name}={value!r}"
        for name, value in (
            ("outcome", result.outcome),
            ("predictor", result.predictor),
            ("group", result.group),
        )
    )
    return (
        "import henderson as hd\n\n"
        f"result = hd.approaches(data, {arguments})\n"
        'print(result)\nresult.report("report.html")'
    )


def _picture(result: Approaches, key: str) -> Picture:
    title, description = _words(result, key)
    return picture(result.plot.figure(key), f"f{FIGURES.index(key)}", title, description)


def _words(result: Approaches, key: str) -> tuple[str, str]:
    """Title and description of a picture."""
    x, y, g = result.predictor, result.outcome, result.group
    if key == "data":
        return "The data by group", f"{y} against {x}, one colour and marker per {g}."
    if key == "residuals":
        text = (
            f"Residuals of the global regression against its fitted values, their density, and "
            f"their distribution in each {g}: groups that sit above or below zero break the "
            "assumption of independence."
        )
        return "Residuals of the global regression", text
    if key == "forest":
        return (
            "The seven coefficients",
            "Each approach's coefficient with its 95 % interval: " + _spoken_table(result),
        )
    approach = result[key]
    return approach.label, DRAWN[approach.key].format(x=x, y=y, g=g)


def _spoken_table(result: Approaches) -> str:
    parts = [
        f"{a.label} {number(a.coef)} ({number(a.lower)} to {number(a.upper)})"
        if a.available
        else f"{a.label} not available"
        for a in result
    ]
    return "; ".join(parts) + "."


def _section(result: Approaches, approach: Approach, pictures: dict[str, Picture]) -> Section:
    keys = ["lm_global", "residuals"] if approach.key == "lm_global" else [approach.key]
    mixed = approach.key in ("lmm_inter", "lmm_full") and approach.fit is not None
    return Section(
        approach,
        _line(approach),
        tuple(pictures[k] for k in keys),
        approach.key in ("aggregation", "hierarchical"),
        str(approach.fit) if mixed else "",
    )


def _line(approach: Approach) -> str:
    c = approach.t_line
    if c is None:
        return ""
    return (
        f"{c.label}: {number(c.estimate)}, SE {number(c.std_error)}, t = {number(c.statistic)} on "
        f"{number(c.df)} df, p = {p_value(c.p_value)}, 95 % interval {number(c.lower)} to "
        f"{number(c.upper)}; MSE {approach.mse:.3f}"
    )


def _cells(approach: Approach) -> dict[str, str]:
    """A row of the table, as text; a dash where there is no number."""
    if not approach.available:
        numbers = dict.fromkeys(("rmse", "coef", "stat", "p"), "–")
    else:
        numbers = {
            "rmse": f"{approach.rmse:.6f}",
            "coef": f"{approach.coef:.6f}",
            "stat": f"{approach.stat:.6f} {approach.stat_kind}",
            "p": f"{approach.p_value:.6f}",
        }
    return {
        "key": approach.key,
        "label": approach.label,
        "trust": approach.trust,
        "interval": f"{number(approach.lower)} to {number(approach.upper)}"
        if approach.available
        else "–",
        **numbers,
    }
