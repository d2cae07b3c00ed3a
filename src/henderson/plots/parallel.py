"""Parallel lines, with arrows from a line that all share to the line of each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from henderson.plots.clusters import Clusters
from henderson.plots.marks import arrow, frame, line, name_groups, points, write
from henderson.plots.pictures import DASHED, drawn, fit_of, predicted
from henderson.plots.style import BAND, MUTED, Look, canvas, digits, short, signed, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit
    from henderson.seven.result import Approaches


def parallel_fixed(c: Clusters, result: Approaches, ax: Axes | None = None) -> Axes:
    """ANCOVA-Inter: parallel lines; arrows from the reference group's line to the others."""
    fit = fit_of(result, "ancova_inter")
    ax = canvas(ax)
    looks = c.with_reference()
    points(ax, c, looks, faded=True)
    left, room = _left_edge(c, 0.2)
    heights = _parallel(ax, c, fit, looks, left)
    start = float(predicted(fit, c, c.range[0], c.levels[0])[0])
    slope = float(fit.params.iloc[1])
    first = left + 0.3 * room
    shift = slope * (first - c.range[0])
    _arrows(ax, c, fit, looks, (start + shift, first, 0.7 * room, shift), skip=0)
    frame(ax, c, f"arrows: fixed effects, against {short(c.levels[0])}")
    name_groups(ax, c, looks, heights)
    return ax


def parallel_random(c: Clusters, result: Approaches, ax: Axes | None = None) -> Axes:
    """LMM-Inter: parallel lines around the population's; arrows are random draws from N(0, var)."""
    fit = fit_of(result, "lmm_inter")
    ax = canvas(ax)
    points(ax, c, c.looks, faded=True)
    left, room = _left_edge(c, 0.30)
    heights = _parallel(ax, c, fit, c.looks, left)
    slope = float(fit.params.iloc[1])
    edge = np.array([left, c.range[1]])
    start = float(predicted(fit, c, c.range[0], c.levels[0], "none")[0])
    population = start + slope * (edge - c.range[0])
    line(ax, edge, population, linestyle=DASHED, zorder=4.0, linewidth=1.8, gid="population",
         solid_capstyle="butt")  # fmt: skip
    shift = slope * (left + 0.6 * room - c.range[0])
    _arrows(ax, c, fit, c.looks, (start + shift, left + 0.6 * room, 0.4 * room, shift))
    variance = float(fit.varcorr()[c.group_name].iloc[0, 0])
    _bell(ax, population[0], variance, left, 0.45 * room)
    frame(ax, c, f"intercepts ~ N({digits(fit.params.iloc[0])}, {digits(variance)})")
    name_groups(ax, c, c.looks, heights)
    return ax


def _left_edge(c: Clusters, share: float) -> tuple[float, float]:
    """Room left of the rows for arrows: where it begins, and how wide it is."""
    low, high = c.range
    room = share * (high - low) * (1.6 if c.is_factor else 1.0)
    gap = 0.16 if c.is_factor else 0.0
    return low - gap - room, room


def _parallel(ax: Axes, c: Clusters, fit: Fit, looks: Sequence[Look], left: float) -> np.ndarray:
    """Group lines: thick within the group's own range, thin beyond; heights (J,) at the end."""
    slope = float(fit.params.iloc[1])
    heights = np.full(len(c.levels), np.nan)
    for j in drawn(c, looks):
        low, high = c.span(j)
        base = float(predicted(fit, c, c.range[0], c.levels[j])[0])
        ends = np.array([left, c.range[1], low, high])
        a, end, y_low, y_high = base + slope * (ends - c.range[0])
        line(ax, [left, c.range[1]], [a, end], looks[j], linewidth=0.7, alpha=0.8,
             gid=tag("extension", j))  # fmt: skip
        line(ax, [low, high], [y_low, y_high], looks[j], gid=tag("group-line", j))
        heights[j] = end
    return heights


def _arrows(
    ax: Axes,
    c: Clusters,
    fit: Fit,
    looks: Sequence[Look],
    place: tuple[float, float, float, float],
    skip: int | None = None,
) -> None:
    """Vertical arrows to the lines of the groups that stand out, with their lengths.

    place : height and x where the first begins, the room for all, and how much higher the lines
        are at that x than at the lowest x.
    """
    start, x, room, shift = place
    slope = float(fit.params.iloc[1])
    named = [j for j, look in enumerate(looks) if look.named and j != skip]
    step = room / max(len(named), 1)
    for i, j in enumerate(named):
        rise = i * step * slope
        here = start + rise
        end = float(predicted(fit, c, c.range[0], c.levels[j])[0]) + shift + rise
        if abs(end - here) > 0:
            arrow(ax, x + i * step, here, end, looks[j].colour, tag("arrow", j))
        write(
            ax, x + i * step, end, f" {signed(end - here)} ", looks[j].text, ha="center",
            va="bottom" if end >= here else "top", gid=tag("arrow-value", j),
        )  # fmt: skip


def _bell(ax: Axes, mean: float, variance: float, left: float, room: float) -> None:
    """The density of N(mean, variance) lying on its side."""
    if variance <= 0.0:
        return
    z = np.linspace(-2.6, 2.6, 121)
    y = mean + np.sqrt(variance) * z
    height = left + room * np.exp(-0.5 * z**2)
    ax.fill_betweenx(y, left, height, color=BAND, alpha=0.7, linewidth=0.0, zorder=1.2, gid="bell")
    ax.plot(height, y, color=MUTED, linewidth=1.0, zorder=1.3, gid="bell-line")
