"""What moves the fit: a stem per row or level, the largest named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DesignError, did_you_mean
from henderson.plots.marks import write
from henderson.plots.style import (
    BLUE,
    MUTED,
    TEXT_SHADE,
    VERMILION,
    canvas,
    dress,
    note,
    short,
    tag,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.diagnostics.influence import Influence

NAMED = 3
# Of more stems than this the longest are drawn.
MOST_APART = 400
WORDS = {"cooks_distance": "Cook's distance", "covratio": "COVRATIO", "leverage": "leverage"}


def influential(result: Influence, measure: str = "cooks_distance", ax: Axes | None = None) -> Axes:
    """One measure of influence by row or level, in order; the three farthest out are named.

    Parameters
    ----------
    measure : a column of `result.to_frame()`: "cooks_distance", "leverage", "covratio",
        "llf_change", "dfbetas_..."; stems stand on 1 for covratio, on 0 for the others.

    Raises
    ------
    DesignError : there is no such measure.
    """
    table = result.to_frame()
    if measure not in table.columns:
        raise DesignError(
            f"There is no measure '{measure}': {did_you_mean(measure, table.columns)}"
        )
    values = table[measure].to_numpy(dtype=float)
    base = 1.0 if measure == "covratio" else 0.0
    ax = canvas(ax, (5.4, 3.3))
    ax.axhline(base, color=MUTED, linewidth=0.9, zorder=1.0)
    far = farthest(np.abs(values - base))
    _stems(ax, values, base, {int(j) for j in far})
    ax.margins(x=0.03, y=0.12)
    if (np.nan_to_num(values, nan=base) >= base).all():
        ax.set_ylim(bottom=base)
    _names(ax, values, base, far, [short(table.index[j], 12) for j in far])
    ax.set_xticks([])
    count = len(values)
    note(ax, f"the longest {MOST_APART} of {count:,} drawn" if count > MOST_APART else "")
    what = f"{result.by}, in order" if result.by != "row" else "row"
    return dress(ax, what, WORDS.get(measure, measure.replace("_", " ")))


def _names(
    ax: Axes, values: np.ndarray, base: float, far: np.ndarray, names: Sequence[str]
) -> None:
    """Names clear of the heads of their stems; those of close neighbours lean away."""
    from matplotlib.transforms import offset_copy

    for j, name in zip(far, names, strict=True):
        up = 1.0 if values[j] >= base else -1.0
        others = [k for k in far if k != j and _touching(values, int(j), int(k))]
        left, right = any(k < j for k in others), any(k > j for k in others)
        ha = "center" if left == right else "left" if left else "right"
        lift = 4.0 + 10.0 * (left and right)
        above = offset_copy(ax.transData, ax.get_figure(root=True), y=up * lift, units="points")
        write(ax, float(j), float(values[j]), name, TEXT_SHADE[VERMILION], ha=ha, transform=above,
              va="bottom" if up > 0 else "top", gid=tag("name", int(j)))  # fmt: skip


def _touching(values: np.ndarray, j: int, k: int) -> bool:
    """Names centred over these two stems would touch."""
    near = abs(j - k) < 0.1 * len(values)
    return near and abs(values[j] - values[k]) < 0.08 * float(np.nanmax(np.abs(values)))


def farthest(size: np.ndarray) -> np.ndarray:
    """The three of the sizes (J,) that are larger than all others; fewer where some are tied."""
    known = np.nan_to_num(size)
    order = np.argsort(-known, kind="stable")
    rest = known[order[NAMED]] if len(order) > NAMED else 0.0
    return np.array([j for j in order[:NAMED] if known[j] > rest * (1.0 + 1e-6)], dtype=int)


def _stems(ax: Axes, values: np.ndarray, base: float, far: set[int]) -> None:
    count = len(values)
    size = np.where(np.isfinite(values), np.abs(values - base), -1.0)
    longest = np.sort(np.argsort(-size, kind="stable")[:MOST_APART])
    for j in longest[size[longest] >= 0.0]:
        colour = VERMILION if int(j) in far else BLUE
        ax.plot([j, j], [base, values[j]], color=colour, linewidth=1.6 if count < 80 else 0.8,
                gid=tag("stems", int(j)))  # fmt: skip
        ax.plot(j, values[j], linestyle="none", marker="o", markersize=5 if count < 80 else 3,
                color=colour, clip_on=False, gid=tag("values", int(j)))  # fmt: skip
