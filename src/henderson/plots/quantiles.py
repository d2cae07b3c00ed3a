"""Normal quantile plots with pointwise bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from henderson.plots.clusters import together
from henderson.plots.marks import band, line, role
from henderson.plots.style import BLUE, INK, Look, canvas, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def normal_quantiles(
    values: np.ndarray,
    ax: Axes | None = None,
    name: str = "residual",
    max_points: int = 2000,
    codes: np.ndarray | None = None,
) -> Axes:
    """Ordered values (n,) over the normal quantiles they should follow.

    The line has the values' mean and standard deviation. The band holds 95 % of each order
    statistic of a normal sample: the k-th of n uniforms is Beta(k, n + 1 - k).

    codes : (n,) the group of each value, if they have one.
    """
    ax = canvas(ax)
    order = np.argsort(values, kind="stable")
    ordered, rank = values[order], np.arange(1, len(order) + 1)
    groups = np.zeros(len(order), dtype=np.intp) if codes is None else codes[order]
    if len(ordered) > max_points:
        # All of both tails, where the eye looks, and an even choice between.
        keep = np.unique(np.round(_between_tails(len(ordered), max_points)).astype(int))
        ordered, rank, groups = ordered[keep], rank[keep], groups[keep]
    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    theory = special.ndtri((rank - 0.375) / (n + 0.25))
    lower, upper = (
        special.ndtri(special.betaincinv(rank, n + 1 - rank, q)) for q in (0.025, 0.975)
    )
    band(ax, theory, mean + sd * lower, mean + sd * upper)
    line(ax, theory[[0, -1]], mean + sd * theory[[0, -1]], color=INK, linewidth=1.3)
    look = Look(BLUE, BLUE, "o", False)
    for _, members in together([look] * (int(groups.max(initial=0)) + 1)):
        here = np.isin(groups, members)
        ax.plot(
            theory[here], ordered[here], linestyle="none", marker="o",
            markersize=4.2 if n <= 200 else 3.0, color=BLUE, alpha=0.75, markeredgewidth=0.0,
            zorder=3.5, gid="points" if codes is None else role("points", members),
        )  # fmt: skip
    return dress(ax, "normal quantile", name)


def _between_tails(n: int, most: int) -> np.ndarray:
    tail = most // 4
    return np.concatenate(
        [np.arange(tail), np.linspace(tail, n - tail - 1, most - 2 * tail), np.arange(n - tail, n)]
    )
