"""One picture for each of the seven approaches: what it makes of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.plots.clusters import Clusters, together
from henderson.plots.fitted_lines import MOST_LINES, mean_interval
from henderson.plots.marks import (
    band,
    end_labels,
    frame,
    line,
    name_groups,
    points,
    role,
    write,
)
from henderson.plots.residuals import level_size, level_ticks
from henderson.plots.style import (
    BAND,
    INK,
    MUTED,
    PAPER,
    Look,
    canvas,
    digits,
    dress,
    evenly,
    note,
    panels,
    short,
    signed,
    tag,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit
    from henderson.seven.result import Approaches, GroupSlope

# More means or bars than these are an even choice of all.
MOST_MEANS = 150
MOST_BARS = 80
DASHED = (0, (5, 3))


def data(c: Clusters, result: Approaches, ax: Axes | None = None, *, lines: bool = False) -> Axes:
    """The rows by group; `lines` adds each group's own regression."""
    ax = canvas(ax)
    points(ax, c, c.looks)
    heights = _ends(c)
    if lines:
        heights = _own_lines(ax, c, result, c.looks)
    elif c.is_factor:
        _joined_means(ax, c)
    frame(ax, c)
    name_groups(ax, c, c.looks, heights)
    return ax


def _ends(c: Clusters) -> np.ndarray:
    """Where the rows of each group stand (J,) at its right end: labels go there."""
    out = np.full(len(c.levels), np.nan)
    for j in (j for j, look in enumerate(c.looks) if look.named):
        rows = c.codes == j
        last = c.x[rows] >= np.quantile(c.x[rows], 0.6)
        out[j] = c.y[rows][last].mean()
    return out


def _joined_means(ax: Axes, c: Clusters) -> None:
    """The means of each group at the levels of a factor, joined."""
    for j in drawn(c, c.looks):
        rows = c.codes == j
        at = np.unique(c.x[rows])
        means = [c.y[rows & (c.x == v)].mean() for v in at]
        line(ax, at, means, c.looks[j], marker=c.looks[j].marker, markersize=4, gid=tag("means", j))


def drawn(c: Clusters, group_looks: Sequence[Look]) -> list[int]:
    """Groups whose lines are drawn: all, or those that stand out and an even choice of the rest."""
    count = len(c.levels)
    if count <= MOST_LINES:
        return list(range(count))
    chosen = evenly(c.means, MOST_LINES)
    named = [j for j, look in enumerate(group_looks) if look.named]
    return sorted({*map(int, chosen), *named})


def rows_at(c: Clusters, at: Any, level: Any) -> pd.DataFrame:
    """Rows for a prediction: the predictor at some positions, in one group."""
    at = np.atleast_1d(np.asarray(at, dtype=float))
    values = [c.x_levels[round(v)] for v in at] if c.is_factor else at
    return pd.DataFrame({c.x_name: values, c.group_name: [level] * len(at)})


def predicted(fit: Fit, c: Clusters, at: Any, level: Any, random: str = "all") -> np.ndarray:
    """The fit's value at some positions, in one group."""
    return fit.predict(rows_at(c, at, level), random=random).to_numpy()


def _grid(c: Clusters) -> np.ndarray:
    return np.array(c.range) if c.is_factor else np.linspace(*c.range, 61)


# -- one line ------------------------------------------------------------------------------------


def one_line(c: Clusters, result: Approaches, ax: Axes | None = None) -> Axes:
    """LM-Global: one regression through all rows, with its 95 % confidence band."""
    fit = fit_of(result, "lm_global")
    ax = canvas(ax)
    points(ax, c, c.looks)
    at = _grid(c)
    mean, lower, upper = mean_interval(fit, rows_at(c, at, c.levels[0]))
    band(ax, at, lower, upper)
    line(ax, at, mean, linewidth=2.4, zorder=4.0, gid="line")
    intercept, slope = fit.params
    frame(ax, c, f"{short(c.y_name)} = {digits(intercept)} {_times(slope, _x_word(c))}")
    name_groups(ax, c, c.looks, _ends(c))
    return ax


def _times(slope: float, name: str) -> str:
    return f"{'−' if slope < 0 else '+'} {digits(abs(slope))} {name}"


def _x_word(c: Clusters) -> str:
    return f"[{short(c.x_levels[1])}]" if c.is_factor else short(c.x_name)


# -- lines of their own --------------------------------------------------------------------------


def full_fixed(c: Clusters, result: Approaches, ax: Axes | None = None) -> Axes:
    """ANCOVA-Full: solid, each group's own line; dashed, the reference group's slope through it."""
    fit = fit_of(result, "ancova_full")
    level1 = result.two_stage.level1
    reference = level1[0].level if level1 else c.levels[0]
    ax = canvas(ax)
    looks = c.with_reference()
    points(ax, c, looks, faded=True)
    heights = _own_fits(ax, c, fit, looks)
    slope = float(fit.params.iloc[1])
    for j, look in enumerate(looks):
        if look.named and c.levels[j] != reference and np.ptp(c.span(j)) > 0:
            ends = np.array(c.span(j))
            middle = float(predicted(fit, c, c.span(j), c.levels[j]).mean())
            line(ax, ends, middle + slope * (ends - ends.mean()), look, linestyle=DASHED,
                 linewidth=1.2, gid=tag("reference", j), solid_capstyle="butt")  # fmt: skip
    what = "effect in" if c.is_factor else "slope of"
    frame(ax, c, f"dashed: the {what} {short(reference)}, {signed(slope)}")
    name_groups(ax, c, looks, heights)
    return ax


def full_random(c: Clusters, result: Approaches, ax: Axes | None = None) -> Axes:
    """LMM-Full: solid, the groups' lines within their range; dashed, the population's."""
    fit = fit_of(result, "lmm_full")
    ax = canvas(ax)
    points(ax, c, c.looks, faded=True)
    heights = _own_fits(ax, c, fit, c.looks)
    ends = np.array(c.range)
    line(ax, ends, predicted(fit, c, ends, c.levels[0], "none"), linestyle=DASHED, linewidth=1.8,
         zorder=4.0, gid="population", solid_capstyle="butt")  # fmt: skip
    variances = np.diag(fit.varcorr()[c.group_name])
    word = "effects" if c.is_factor else "slopes"
    slope = f"{word} ~ N({digits(fit.params.iloc[1])}, {digits(variances[-1])})"
    frame(ax, c, f"dashed: population; {slope}")
    name_groups(ax, c, c.looks, heights)
    return ax


def _own_fits(ax: Axes, c: Clusters, fit: Fit, looks: Sequence[Look]) -> np.ndarray:
    heights = np.full(len(c.levels), np.nan)
    for j in drawn(c, looks):
        ends = np.unique(c.span(j))
        values = predicted(fit, c, ends, c.levels[j])
        marker = looks[j].marker if c.is_factor else None
        line(ax, ends, values, looks[j], marker=marker, markersize=4, gid=tag("group-line", j))
        heights[j] = values[-1]
    return heights


# -- two levels ----------------------------------------------------------------------------------


def aggregation(
    c: Clusters, result: Approaches, axes: Sequence[Axes] | np.ndarray | None = None
) -> list[Axes]:
    """Level 1: a mean per group among its rows. Level 2: the means, and the line through them."""
    first, second = panels(axes, 2, (4.4, 3.5))
    means = result.aggregated.means
    x, y = means[c.x_name].to_numpy(dtype=float), means[c.y_name].to_numpy(dtype=float)
    points(first, c, c.looks, faded=True)
    _means(first, c, x, y)
    frame(first, c, "level 1: rows and group means")
    name_groups(first, c, c.looks, y)
    fit = result.aggregated.fit
    _means(second, c, x, y)
    if fit is not None:
        _between_line(second, c, fit, x, y)
    share = f"share of {short(c.x_levels[1])}" if c.is_factor else f"mean {c.x_name}"
    slope = "no line" if fit is None else f"slope {signed(float(fit.params.iloc[1]))}"
    dress(second, share, f"mean {c.y_name}", f"level 2: group means, {slope}")
    name_groups(second, c, c.looks, y)
    return [first, second]


def _means(ax: Axes, c: Clusters, x: np.ndarray, y: np.ndarray) -> None:
    for look, members in together(c.looks):
        at = np.asarray(members)
        at = at if look.named else at[evenly(y[at], MOST_MEANS)]
        ax.plot(
            x[at], y[at], linestyle="none", marker=look.marker,
            markersize=9.5 if look.named else 6.0, color=look.colour, markeredgecolor=PAPER,
            zorder=4.0 + look.named, gid=role("mean", members),
        )  # fmt: skip


def _between_line(ax: Axes, c: Clusters, fit: Fit, x: np.ndarray, y: np.ndarray) -> None:
    pad = 0.12 * np.ptp(x)
    at = np.linspace(x.min() - pad, x.max() + pad, 61)
    mean, lower, upper = mean_interval(fit, pd.DataFrame({c.x_name: at}))
    # With few means the band is far wider than the data: the axis keeps to the data.
    reach = np.array([min(y.min(), mean.min()), max(y.max(), mean.max())])
    room = 0.35 * np.ptp(reach)
    band(ax, at, lower, upper)
    line(ax, at, mean, gid="line")
    ax.set_xlim(at[0], at[-1])
    ax.set_ylim(reach[0] - room, reach[1] + room)


def two_stage(
    c: Clusters, result: Approaches, axes: Sequence[Axes] | np.ndarray | None = None
) -> list[Axes]:
    """Level 1: a regression within each group. Level 2: their slopes, and the mean slope."""
    first, second = panels(axes, 2, (4.4, 3.5))
    points(first, c, c.looks, faded=True)
    heights = _own_lines(first, c, result, c.looks)
    frame(first, c, "level 1: a line in each group")
    name_groups(first, c, c.looks, heights)
    _slope_bars(second, c, result)
    return [first, second]


def _own_lines(ax: Axes, c: Clusters, result: Approaches, looks: Sequence[Look]) -> np.ndarray:
    """The regressions of level 1 within the groups' ranges; heights (J,) at their ends."""
    heights = np.full(len(c.levels), np.nan)
    place = {level: j for j, level in enumerate(c.levels)}
    wanted = set(drawn(c, looks))
    for g in result.two_stage.level1:
        j = place[g.level]
        if j in wanted:
            ends = np.array(c.span(j))
            values = g.intercept + g.slope * ends
            line(ax, ends, values, looks[j], gid=tag("group-line", j))
            heights[j] = values[-1]
    return heights


def _slope_bars(ax: Axes, c: Clusters, result: Approaches) -> None:
    """A bar per slope with its standard error; the mean slope with its 95 % interval behind."""
    level1: Sequence[GroupSlope] = result.two_stage.level1
    count = len(level1)
    if count > MOST_BARS:
        level1 = [level1[i] for i in evenly(np.array([g.slope for g in level1]), MOST_BARS)]
    slopes = np.array([g.slope for g in level1])
    at = np.arange(len(level1))
    place = {level: j for j, level in enumerate(c.levels)}
    colours = [c.looks[place[g.level]].colour for g in level1]
    ax.axvline(0.0, color=MUTED, linewidth=0.9, zorder=3.0)
    bars = ax.barh(at, slopes, height=0.62, color=colours, alpha=0.85, zorder=2.0)
    for g, bar in zip(level1, bars, strict=True):
        bar.set_gid(tag("slopes", place[g.level]))
    errors = np.array([g.se for g in level1])
    ax.errorbar(
        slopes, at, xerr=np.where(np.isfinite(errors), errors, 0.0), linestyle="none", color=INK,
        elinewidth=1.0, zorder=3.5,
    )  # fmt: skip
    level_ticks(ax, [g.level for g in level1])
    ax.invert_yaxis()
    many = "effects" if c.is_factor else "slopes"
    title = f"level 2: {many} with standard errors"
    line_ = result["hierarchical"].t_line
    if line_ is not None:
        ax.axvspan(line_.lower, line_.upper, color=BAND, alpha=0.55, linewidth=0.0, zorder=1.0)
        ax.axvline(
            line_.estimate, color=INK, linewidth=1.8, linestyle=DASHED, zorder=4.0, gid="mean"
        )
        title = f"level 2: {many} ± SE; dashed: mean {signed(line_.estimate)}"
    dress(ax, f"{many} of {result.what}", "", title)
    ax.margins(x=0.08)
    note(ax, f"{len(level1)} of {count:,} groups drawn" if len(level1) < count else "")
    level_size(ax, len(level1))


# -- nothing to draw -----------------------------------------------------------------------------


def unavailable(c: Clusters, reason: str, ax: Axes | None = None) -> Axes:
    """The rows, faded, and why there is no more to draw."""
    from textwrap import fill

    ax = canvas(ax)
    points(ax, c, c.looks, faded=True)
    frame(ax, c)
    write(
        ax, 0.5, 0.5, fill(f"Not available: {reason}", 40), transform=ax.transAxes, ha="center",
        va="center", gid="reason",
    )  # fmt: skip
    end_labels(ax, [], [], [])
    return ax


def fit_of(result: Approaches, key: str) -> Fit:
    """The fitted model of an approach that is available."""
    fit = result[key].fit
    if fit is None:
        raise ValueError(f"{key} was not fitted: {result[key].reason}")
    return fit
