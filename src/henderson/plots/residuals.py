"""Residuals against fitted values, their density, and their spread by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.plots.clusters import together
from henderson.plots.marks import density, line, role
from henderson.plots.style import (
    BAND,
    BLUE,
    GRID,
    INK,
    MUTED,
    REST,
    VERMILION,
    Look,
    canvas,
    dress,
    evenly,
    looks,
    note,
    panels,
    short,
    tag,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

# Densities of more groups than this lie on each other; boxes take their place.
MOST_DENSITIES = 6
# Names of more groups than this do not fit below their boxes.
MOST_NAMES = 30
# More boxes than this are an even choice of all groups.
MOST_BOXES = 60
PANEL = (3.6, 3.2)


def residual_panels(
    fit: Fit,
    codes: np.ndarray | None = None,
    levels: Sequence[Any] = (),
    group: str = "",
    axes: Sequence[Axes] | np.ndarray | None = None,
    max_points: int = 5000,
) -> list[Axes]:
    """Three pictures of the residuals: against the fitted values, their density, and by group.

    Parameters
    ----------
    codes : (n,) group of each row, or None (the third picture is then a box of all rows).
    levels, group : the groups' labels, and what they are groups of.
    axes : three to draw on.
    """
    first, second, third = panels(axes, 3, PANEL)
    resid = fit.resid.to_numpy()
    if codes is None:
        codes, levels = np.zeros(len(resid), dtype=np.intp), ("all rows",)
    colours = looks(group_means(resid, codes, len(levels)))
    residuals_against_fitted(fit, first, codes, colours, max_points)
    residual_density(resid, second)
    residuals_by_group(resid, codes, levels, group, third, colours)
    return [first, second, third]


def residuals_against_fitted(
    fit: Fit,
    ax: Axes | None = None,
    codes: np.ndarray | None = None,
    group_looks: Sequence[Look] | None = None,
    max_points: int = 5000,
) -> Axes:
    """Conditional residuals (n,) over fitted values (n,), with their running mean."""
    ax = canvas(ax)
    fitted, resid = fit.fittedvalues.to_numpy(), fit.resid.to_numpy()
    shown = thin(len(resid), max_points)
    ax.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    if codes is None or group_looks is None:
        codes, group_looks = _own_groups(fit)
    _by_group(ax, fitted, resid, shown, codes, group_looks)
    if len(np.unique(fitted)) > 8:
        line(ax, *running_mean(fitted, resid), color=INK, linewidth=1.4, gid="trend")
    note(ax, f"{len(shown):,} of {len(resid):,} rows drawn" if len(shown) < len(resid) else "")
    return dress(ax, "fitted", "residual")


def _own_groups(fit: Fit) -> tuple[np.ndarray, list[Look]]:
    """The groups (n,) of the first grouping factor, all in one look."""
    factor = next(iter(fit.design.random), None)
    codes = np.zeros(fit.nobs, dtype=np.intp) if factor is None else factor.codes
    return codes, [Look(BLUE, BLUE, "o", False)] * (int(codes.max()) + 1)


def _by_group(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    shown: np.ndarray,
    codes: np.ndarray,
    group_looks: Sequence[Look],
) -> None:
    """Dots for the rows that are shown, group by group."""
    size = 4.6 if len(shown) <= 200 else 3.2
    for look, members in together(group_looks):
        rows = shown[np.isin(codes[shown], members)]
        ax.plot(
            x[rows], y[rows], linestyle="none", marker=look.marker, markersize=size,
            color=look.colour, alpha=0.7, markeredgewidth=0.0, zorder=2.0,
            gid=role("points", members),
        )  # fmt: skip


def scale_location(fit: Fit, ax: Axes | None = None, max_points: int = 5000) -> Axes:
    """Roots of the absolute scaled residuals over fitted values: a flat line is what to see."""
    from henderson.tables.summary import scaled_residuals

    ax = canvas(ax)
    fitted = fit.fittedvalues.to_numpy()
    root = np.sqrt(np.abs(scaled_residuals(fit)))
    shown = thin(len(root), max_points)
    _by_group(ax, fitted, root, shown, *_own_groups(fit))
    if len(np.unique(fitted)) > 8:
        line(ax, *running_mean(fitted, root), color=INK, linewidth=1.4, gid="trend")
    ax.set_ylim(bottom=0.0)
    return dress(ax, "fitted", "root of |scaled residual|")


def residual_density(resid: np.ndarray, ax: Axes | None = None) -> Axes:
    """Density of the residuals beside the normal density with their mean and deviation."""
    ax = canvas(ax)
    grid, height = density(resid)
    sd = float(resid.std())
    normal = np.exp(-0.5 * ((grid - resid.mean()) / sd) ** 2) / (sd * np.sqrt(2.0 * np.pi))
    ax.fill_between(grid, height, color=BAND, alpha=0.6, linewidth=0.0, zorder=1.5)
    line(ax, grid, height, color=BLUE, label="residuals")
    line(ax, grid, normal, color=INK, linewidth=1.3, linestyle=(0, (4, 3)), label="normal")
    ax.set_ylim(0.0, 1.22 * max(height.max(), normal.max()))
    ax.set_yticks([])
    _key(ax)
    return dress(ax, "residual", "density")


def residuals_by_group(
    resid: np.ndarray,
    codes: np.ndarray,
    levels: Sequence[Any],
    group: str,
    ax: Axes | None = None,
    group_looks: Sequence[Look] | None = None,
) -> Axes:
    """Densities by group, or boxes where there are more than six groups (or a very small one)."""
    ax = canvas(ax)
    means = group_means(resid, codes, len(levels))
    colours = looks(means) if group_looks is None else group_looks
    chosen = np.sort(evenly(means, MOST_BOXES))
    parts = [resid[codes == j] for j in chosen]
    if len(levels) <= MOST_DENSITIES and min(map(len, parts)) >= 5:
        for j, (part, level) in enumerate(zip(parts, levels, strict=True)):
            line(ax, *density(part), colours[j], label=short(level), gid=tag("density", j))
        ax.set_ylim(0.0, 1.22 * ax.get_ylim()[1])
        ax.set_yticks([])
        _key(ax)
        return dress(ax, "residual", f"density by {short(group)}" if group else "density")
    note(ax, f"{len(chosen)} of {len(levels):,} drawn" if len(chosen) < len(levels) else "")
    return _boxes(ax, parts, [levels[j] for j in chosen], group)


def group_means(values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Mean (J,) of the values (n,) in each group."""
    return np.bincount(codes, values, count) / np.bincount(codes, minlength=count)


def _boxes(ax: Axes, parts: list[np.ndarray], levels: Sequence[Any], group: str) -> Axes:
    """Lying boxes, ordered by their medians."""
    order = np.argsort([np.median(p) for p in parts], kind="stable")
    ax.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    ax.boxplot(
        [parts[j] for j in order], orientation="horizontal", widths=0.6, patch_artist=True,
        manage_ticks=False, boxprops={"facecolor": BAND, "edgecolor": MUTED, "linewidth": 0.8},
        medianprops={"color": VERMILION, "linewidth": 1.4},
        whiskerprops={"color": MUTED, "linewidth": 0.8},
        capprops={"color": MUTED, "linewidth": 0.8},
        flierprops={"marker": ".", "markersize": 3, "color": REST},
    )  # fmt: skip
    level_ticks(ax, [levels[j] for j in order], 1)
    dress(ax, "residual", group)
    level_size(ax, len(levels))
    return ax


def level_ticks(ax: Axes, levels: Sequence[Any], start: int = 0) -> None:
    """Labels of the levels along y, as far as they fit."""
    if len(levels) <= MOST_NAMES:
        labels = [short(v) for v in levels]
        ax.set_yticks(range(start, start + len(levels)), labels, parse_math=False)
    else:
        ax.set_yticks([])


def level_size(ax: Axes, count: int) -> None:
    """Smaller letters where many levels stand below each other."""
    ax.tick_params(
        axis="y", labelsize=9.0 if count <= 12 else 7.5 if count <= 20 else 6.0, length=0
    )


def running_mean(x: np.ndarray, y: np.ndarray, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A local mean: Gaussian weights, a fifth of the middle 90 % of x wide; grid (count,), mean."""
    low, high = np.quantile(x, [0.02, 0.98])
    grid = np.linspace(low, high, count)
    order = np.argsort(x, kind="stable")
    # Means of at most 500 neighbouring stretches carry all that so wide a window shows.
    chunks = np.array_split(order, min(len(x), 500))
    at = np.array([x[c].mean() for c in chunks])
    height = np.array([y[c].mean() for c in chunks])
    size = np.array([len(c) for c in chunks])
    width = (high - low) / 8.0 or 1.0
    weights = size * np.exp(-0.5 * ((grid[:, None] - at) / width) ** 2)
    return grid, weights @ height / weights.sum(axis=1)


def thin(n: int, most: int) -> np.ndarray:
    """At most so many of n rows, an even choice."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _key(ax: Axes) -> None:
    legend = ax.legend(
        frameon=False, fontsize=9.0, loc="upper left", handlelength=1.4, borderaxespad=0.1,
        labelcolor=INK, ncols=3, columnspacing=1.0,
    )  # fmt: skip
    legend.get_frame().set_edgecolor(GRID)
    for text in legend.get_texts():
        text.set_parse_math(False)
