"""No, partial and complete pooling: three lines through the rows of some levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.errors import DesignError, did_you_mean
from henderson.plots.marks import line, name_levels
from henderson.plots.modes import choose, own_estimates
from henderson.plots.style import (
    BLUE,
    INK,
    REST,
    VERMILION,
    dress,
    evenly,
    lattice,
    short,
    tag,
)
from henderson.plots.views import View, varying, view

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

SHOWN = 6
PANEL = (2.7, 2.5)
KINDS = {
    "no pooling": (VERMILION, (0, (1, 1.2))),
    "partial pooling": (BLUE, "-"),
    "complete pooling": (INK, (0, (5, 3))),
}


def pooling(
    fit: Fit,
    x: str | None = None,
    group: str | None = None,
    levels: Sequence[Any] | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> list[Axes]:
    """A panel per level: its rows, and what three ways to use the other levels' rows predict.

    No pooling: the level's effects by least squares from its own rows. Partial: its conditional
    modes. Complete: least squares on the fixed part, as if there were no levels.

    Parameters
    ----------
    x : along the axis; the first predictor that varies within levels if none is named.
    levels : which; six, evenly chosen by the levels' means, if none are named.

    Raises
    ------
    DesignError : no random effects, or an unknown column, grouping factor or level.
    """
    factor, _ = choose(fit, group, None)
    v = view(fit, varying(fit, factor) if x is None else x, factor.name)
    chosen = _levels(v, levels)
    drawn = lattice(axes, len(chosen), PANEL)
    lines = _Lines(fit, v, own_estimates(fit, factor))
    low, high = _reach(v.clusters.y)
    for ax, j in zip(drawn, chosen, strict=True):
        _panel(ax, v, lines, j)
        ax.set_ylim(low, high)
    drawn[0].legend(
        *zip(*_handles(drawn[0]), strict=True), frameon=False, fontsize=8.0, loc="best",
        labelcolor=INK, handlelength=1.8, borderaxespad=0.1,
    )  # fmt: skip
    return drawn


def _levels(v: View, levels: Sequence[Any] | None) -> list[int]:
    known = {str(level): j for j, level in enumerate(v.clusters.levels)}
    if levels is None:
        return [int(j) for j in evenly(v.clusters.means, SHOWN)]
    for level in levels:
        if str(level) not in known:
            raise DesignError(
                f"{v.group} has no level '{level}': {did_you_mean(str(level), known)}"
            )
    return [known[str(level)] for level in levels]


def _reach(y: np.ndarray) -> tuple[float, float]:
    pad = 0.06 * float(np.ptp(y))
    return float(y.min()) - pad, float(y.max()) + pad


class _Lines:
    """What each kind of pooling predicts for a level."""

    def __init__(self, fit: Fit, v: View, own: np.ndarray) -> None:
        self.fit, self.v, self.own = fit, v, own
        self.place = [f.name for f in fit.design.random].index(v.group)
        self.modes = fit.optimum.modes(self.place)
        self.complete = least_squares(fit)

    def of(self, j: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Positions (m,) along x, and the heights (m,) of each kind of line."""
        rows = self.v.of_group(j) if self.v.x else self.v.of_group(j).iloc[:1]
        new = self.v.fit.design.new(rows)
        z = new.random[self.place][1]
        base = new.X @ self.fit.optimum.beta
        at = self.v.positions(rows) if self.v.x else np.zeros(1)
        heights = (base + z @ self.own[j], base + z @ self.modes[j], new.X @ self.complete)
        return at, dict(zip(KINDS, (h + self.v.offset_of(j) for h in heights), strict=True))


def least_squares(fit: Fit) -> np.ndarray:
    """Fixed effects (p,) by least squares, weighted as the fit is, without random effects."""
    design = fit.design
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    y = design.y if design.offset is None else design.y - design.offset
    return np.linalg.lstsq(root[:, None] * design.X, root * y, rcond=None)[0]


def _panel(ax: Axes, v: View, lines: _Lines, j: int) -> None:
    c = v.clusters
    rows = c.codes == j
    ax.plot(
        c.drawn_x[rows], c.y[rows], linestyle="none", marker="o", markersize=4, color=REST,
        markeredgewidth=0.0, zorder=2.0, gid=tag("points", j),
    )  # fmt: skip
    at, heights = lines.of(j)
    for kind, (colour, style) in KINDS.items():
        x = at if len(at) > 1 else np.array([at[0] - 0.4, at[0] + 0.4])
        y = heights[kind] if len(at) > 1 else np.repeat(heights[kind], 2)
        if np.isfinite(y).all():
            line(ax, x, y, color=colour, linestyle=style, linewidth=1.8, label=kind,
                 gid=kind.replace(" ", "-"), solid_capstyle="butt")  # fmt: skip
    if c.is_factor:
        name_levels(ax, c.x_levels, 24)
    dress(ax, v.x, c.y_name, f"{short(v.group, 16)} {short(c.levels[j], 14)}")
    if not v.x:
        ax.set_xticks([])


def _handles(ax: Axes) -> list[tuple[Any, str]]:
    return [(h, k) for h, k in zip(*ax.get_legend_handles_labels(), strict=True) if k in KINDS]
