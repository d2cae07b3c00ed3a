"""The page about the seven approaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from henderson.plots.of_approaches import PICTURES, ApproachesPlots
from henderson.report import page
from henderson.report.figures import MAX_POINTS, Picture, blank, groups_drawn, picture
from henderson.report.sheets import MOST_LEVELS, Sheet
from henderson.report.words import data_line, p_equals
from henderson.seven.result import LABELS
from henderson.tables.layout import Grid
from henderson.tables.numerals import column, number, p_value

if TYPE_CHECKING:
    from henderson.seven.result import Approach, Approaches


# What the picture of each approach shows.
DRAWN = {
    "lm_global": "One regression line of {y} on {x} through all rows, with its 95 % band.",
    "ancova_inter": "Parallel lines, one per {g}; arrows are the fixed intercepts of the groups "
    "against the first.",
    "aggregation": "The rows and the mean of every {g}.|The means of {x} and {y}, and the line "
    "through them.",
    "hierarchical": "A regression in every {g}.|The {slope}s with their standard errors; dashed, "
    "their mean with its 95 % interval.",
    "residuals": "Residuals of the global regression against its fitted values: a {g} that sits "
    "above or below zero breaks the assumption of independence.|Density of the residuals beside "
    "the normal.|The residuals of each {g}.",
    "lmm_inter": "Parallel lines, one per {g}; arrows are the random intercepts around the "
    "population's line (dashed), drawn from a normal distribution.",
    "ancova_full": "Solid, the line of every {g}; dashed, the {slope} of the reference group, laid "
    "through the middle of each line.",
    "lmm_full": "Solid, the predicted line of every {g}; dashed, the population's.",
}


@dataclass(frozen=True)
class Section:
    """One approach on the page: its t-test in a line, pictures, and a mixed model's summary."""

    approach: Approach
    line: str
    pictures: tuple[Picture, ...]
    summary: str


def approaches_report(result: Approaches, path: str) -> str:
    """Write the seven approaches as one self-contained HTML page; returns the path.

    Raises
    ------
    OSError : the file cannot be written.
    """
    pictures = {key: _pictures(result, key) for key in PICTURES}
    return page.write(
        path,
        "approaches.html",
        title=f"{result.outcome} by {result.what}, in {len(result.levels)} groups",
        result=result,
        headline=headline(result),
        pictures=pictures,
        sections=[_section(result, a, pictures) for a in result],
        rows=[_cells(a) for a in result],
        slopes=_slopes(result),
        groups=groups_drawn((p for ps in pictures.values() for p in ps), result.levels),
        group_name=result.group,
        code=code(result),
        data_hash=page.data_hash(result.data),
        versions=page.versions(),
    )


def headline(result: Approaches) -> str:
    """The effect within groups, by the mixed model that fits, with interval, df and p."""
    approach = chosen(result)
    line = approach.t_line
    if line is None:
        return f"No mixed model could be fitted: {approach.reason}"
    found = f"{number(line.estimate)} (95 % interval {number(line.lower)} to {number(line.upper)}; "
    test = f"t = {number(line.statistic)} on {number(line.df)} df, {p_equals(line.p_value)})"
    if result.factor_levels:
        second, first = reversed(result.factor_levels)
        what = f"the {result.outcome} of {second} less that of {first} is"
    else:
        what = f"one more unit of {result.predictor} goes with a change in {result.outcome} of"
    label = approach.label.removesuffix(" (biased)")
    return f"Within one {result.group}, {what} {found}{test}, by {label}."


def chosen(result: Approaches) -> Approach:
    """The mixed model for the headline: random slopes if the first one's verdict is no."""
    first, second = result["lmm_inter"], result["lmm_full"]
    return second if first.trust == "no" and second.t_line is not None else first


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
    columns = [result.outcome, result.predictor, result.group]
    return (
        f"import henderson as hd\n\n{data_line(columns, len(result.data))}\n"
        f"result = hd.approaches(data, {arguments})\n"
        'print(result)\nresult.report("report.html")\n\n'
        f"# in R: {chosen(result).r_formula.removesuffix(')')}, data)"
    )


def _pictures(result: Approaches, key: str) -> tuple[Picture, ...]:
    """The panels of a picture, each on its own, so that on a phone they stand below each other."""
    count, size = PICTURES[key]
    axes = [blank((max(size[0], 4.6), max(size[1], 3.4))) for _ in range(count)]
    ApproachesPlots(result, MAX_POINTS).draw(key, axes)
    title, descriptions = _words(result, key)
    caption = "Each coefficient with the 95 % interval of its t-test." if key == "forest" else None
    start = 1000 * list(PICTURES).index(key)
    return tuple(
        picture(ax, f"f{start + i}", f"{title}, {i + 1} of {count}" if i else title, text, caption)
        for i, (ax, text) in enumerate(zip(axes, descriptions, strict=True))
    )


def _words(result: Approaches, key: str) -> tuple[str, list[str]]:
    """Title of a picture, and a description of each panel."""
    x, y, g = result.predictor, result.outcome, result.group
    if key == "data":
        return "The data by group", [f"{y} against {x}; a {g} has a colour and marker of its own."]
    if key == "forest":
        text = "Each coefficient with the 95 % interval of its t-test: " + _spoken_table(result)
        return "The seven coefficients", [text]
    title = "Residuals of LM-Global" if key == "residuals" else result[key].label
    if key in LABELS and not result[key].available:
        return title, ["Not available."] * PICTURES[key][0]
    slope = "effect" if result.factor_levels else "slope"
    parts = DRAWN[key].split("|")
    return title, [part.format(x=x, y=y, g=g, slope=slope) for part in parts]


def _spoken_table(result: Approaches) -> str:
    parts = [
        f"{a.label} not available"
        if a.t_line is None
        else f"{a.label} {number(a.t_line.estimate)} "
        f"({number(a.t_line.lower)} to {number(a.t_line.upper)})"
        for a in result
    ]
    return "; ".join(parts) + "."


def _section(
    result: Approaches, approach: Approach, pictures: dict[str, tuple[Picture, ...]]
) -> Section:
    keys = ["lm_global", "residuals"] if approach.key == "lm_global" else [approach.key]
    mixed = approach.key in ("lmm_inter", "lmm_full") and approach.fit is not None
    return Section(
        approach,
        _line(approach),
        tuple(p for key in keys for p in pictures[key]),
        str(approach.fit) if mixed else "",
    )


def _slopes(result: Approaches) -> Sheet:
    """The regressions within groups, a row a group; those that have none say why."""
    level1 = result.two_stage.level1[:MOST_LEVELS]
    place = {level: j for j, level in enumerate(result.levels)}
    cells = [
        [str(g.level) for g in level1],
        *(column([getattr(g, name) for g in level1]) for name in ("intercept", "slope", "se")),
    ]
    rows = list(zip(*cells, strict=True))
    skipped = result.two_stage.skipped[: MOST_LEVELS - len(rows)]
    rows += [(str(level), "", "not estimable", "") for level, _ in skipped]
    codes = [place[g.level] for g in level1] + [place[level] for level, _ in skipped]
    word = "effect" if result.factor_levels else "slope"
    caption = f"The regression within each {result.group}."
    count = len(result.levels)
    if count > len(rows):
        caption += f" {len(rows)} of {count:,} are shown."
    grid = Grid((result.group, "intercept", word, "SE"), tuple(rows), 1)
    return Sheet("slopes", caption, grid, tuple(codes))


def _line(approach: Approach) -> str:
    c = approach.t_line
    if c is None:
        return ""
    return (
        f"{c.label}: {number(c.estimate)}, SE {number(c.std_error)}, t = {number(c.statistic)} on "
        f"{number(c.df)} df, {p_equals(c.p_value)}, 95 % interval {number(c.lower)} to "
        f"{number(c.upper)}; MSE {approach.mse:.3f}"
    )


def _cells(approach: Approach) -> dict[str, str]:
    """A row of the table, as text; a dash where there is no number."""
    line = approach.t_line
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
        "t": "–" if line is None else f"{number(line.statistic)} on {number(line.df)} df",
        "t_p": "–" if line is None else p_value(line.p_value),
        "interval": "–" if line is None else f"{number(line.lower)} to {number(line.upper)}",
        **numbers,
    }
