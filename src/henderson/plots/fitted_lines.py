"""What a fit says of each group, drawn over the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.errors import DataError
from henderson.inference.ddf import ddf_method
from henderson.inference.wald import t_quantile
from henderson.plots.clusters import MAX_POINTS, Clusters, together
from henderson.plots.marks import band, frame, line, name_groups, points, role
from henderson.plots.style import BLUE, INK, REST, SMALL, canvas, dress, evenly, short, tag
from henderson.plots.views import View, view

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

# Lines of more groups than this are a thicket.
MOST_LINES = 60


def fitted_lines(
    fit: Fit,
    x: str | None = None,
    group: str | None = None,
    ax: Axes | None = None,
    max_points: int = MAX_POINTS,
) -> Axes:
    """Data and fitted lines per group, within each group's range, and the population's line dashed.

    Other predictors stand at a group's own typical values (mean, most frequent level), random
    effects of other grouping factors at zero. The band is the population's 95 % interval.
    """
    v = view(fit, x, group, max_points)
    ax = canvas(ax)
    if not v.x:
        return _levels_only(v, ax)
    c = v.clusters
    points(ax, c, c.looks)
    frame(ax, c)
    heights = np.full(len(c.levels), np.nan)
    for j in _drawn(c):
        rows = v.of_group(j)
        values = v.fit.predict(rows, random=_terms(fit, v.group)).to_numpy() + v.offset_of(j)
        heights[j] = values[-1]
        if v.group:
            # A group whose x does not vary has a point and no line.
            marker = "o" if c.is_factor or len(values) == 1 else None
            line(ax, v.positions(rows), values, c.looks[j], marker=marker, markersize=3.5,
                 gid=tag("group-line", j))  # fmt: skip
    if _has_population(fit, v):
        _population(v, ax)
        if fit.design.random and v.held:
            ax.set_title(short(f"dashed: population, {v.held}", 56), loc="left", fontsize=SMALL,
                         color=INK, parse_math=False)  # fmt: skip
    if v.group:
        name_groups(ax, c, c.looks, heights)
    return ax


def _drawn(c: Clusters) -> list[int]:
    """All groups, or those that stand out and an even choice of the others."""
    count = len(c.levels)
    if count <= MOST_LINES:
        return list(range(count))
    chosen = evenly(c.means, MOST_LINES)
    return sorted({*map(int, chosen), *(j for j, look in enumerate(c.looks) if look.named)})


def _terms(fit: Fit, group: str) -> str:
    """The random terms of one grouping factor, as `predict` wants them."""
    factor = next((f for f in fit.design.random if f.name == group), None)
    return "none" if factor is None else " + ".join(s.term.text for s in factor.slots)


def _has_population(fit: Fit, v: View) -> bool:
    return bool(fit.design.random) or not v.group


def _population(v: View, ax: Axes) -> None:
    rows = v.population
    at = v.positions(rows)
    estimate, lower, upper = (part + v.offset.mean() for part in mean_interval(v.fit, rows))
    if v.clusters.is_factor:
        ax.errorbar(
            at, estimate, [estimate - lower, upper - estimate], color=INK, linewidth=1.6,
            capsize=3, linestyle=(0, (5, 3)), zorder=4.0,
        )  # fmt: skip
        return
    band(ax, at, lower, upper)
    line(ax, at, estimate, linestyle=(0, (5, 3)) if v.fit.design.random else "-", gid="population",
         solid_capstyle="butt", zorder=4.0)  # fmt: skip


def mean_interval(
    fit: Fit, rows: Any, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The population's mean (m,) for rows, and its Wald limits (Satterthwaite's df)."""
    new = fit.design.new(rows, random=False)
    method = ddf_method(fit, "satterthwaite")
    estimate = fit.predict(rows, random="none").to_numpy()
    sd = np.sqrt(np.einsum("mp,pq,mq->m", new.X, method.cov_beta, new.X))
    df = [method.joint(row[None])[0] if s > 0 else np.inf for row, s in zip(new.X, sd, strict=True)]
    reach = sd * [t_quantile(0.5 + level / 2.0, v) for v in df]
    return estimate, estimate - reach, estimate + reach


def _levels_only(v: View, ax: Axes) -> Axes:
    """A model without predictors: the rows of each level, and what the fit makes of the level."""
    fit, c = v.fit, v.clusters
    if not v.group:
        raise DataError("A model of the mean alone has neither a predictor nor groups to draw.")
    order = np.argsort(c.means, kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    modes = fit.coef()[v.group].sum(axis=1).to_numpy()
    for _, members in together(c.looks):
        rows = c.shown[np.isin(c.codes[c.shown], members)]
        ax.plot(
            place[c.codes[rows]], c.y[rows], linestyle="none", marker="o", markersize=4.5,
            color=REST, markeredgewidth=0.0, alpha=0.8, zorder=2.0, gid=role("points", members),
        )  # fmt: skip
        ax.hlines(
            modes[members], place[members] - 0.35, place[members] + 0.35, linewidth=2.2,
            color=BLUE, gid=role("modes", members),
        )  # fmt: skip
    ax.axhline(float(fit.params.sum()), color=INK, linewidth=1.3, linestyle=(0, (5, 3)))
    dress(ax, c.group_name, c.y_name)
    ax.set_xticks(range(len(order)), [""] * len(order))
    if len(order) <= 12:
        ax.set_xticks(range(len(order)), [str(c.levels[j]) for j in order], parse_math=False)
    return ax
