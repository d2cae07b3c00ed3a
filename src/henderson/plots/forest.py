"""The seven coefficients with their intervals, one below the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson.plots.style import (
    BLUE,
    FONT,
    INK,
    MUTED,
    PAPER,
    REST,
    SMALL,
    VERMILION,
    canvas,
    digits,
    dress,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.seven.result import Approach, Approaches

# An interval this many times as wide as the typical one is cut, and its numbers are written.
WIDEST = 4.0
COLOURS = {"yes": BLUE, "caution": BLUE, "no": REST}
OTHER_QUANTITY = "aggregation"


@dataclass(frozen=True)
class Window:
    """The part of the axis that is shown."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return float(np.clip(value, self.low, self.high))


def forest(result: Approaches, ax: Axes | None = None) -> Axes:
    """Coefficients with the 95 % intervals of their t-tests.

    Aggregation estimates another quantity: it is drawn in another colour, and cut off with an arrow
    where it does not fit the scale of the others. Its numbers stand beside it, as everyone's do.
    """
    ax = canvas(ax, (5.8, 3.5))
    shown = window(result)
    for place, approach in enumerate(result.approaches):
        _row(ax, place, approach, shown)
    ax.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    pad = 0.04 * (shown.high - shown.low)
    ax.set_xlim(shown.low - pad, shown.high + pad)
    labels = [a.label.replace(" (biased)", "") for a in result.approaches]
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.6)
    word = "effect" if result.factor_levels else "slope"
    dress(ax)
    between = "\n* between groups: another quantity" if result[OTHER_QUANTITY].available else ""
    ax.set_xlabel(
        f"{word} of {short(result.what, 40)}, 95 % interval{between}", fontsize=FONT, color=INK,
        parse_math=False,
    )  # fmt: skip
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def window(result: Approaches) -> Window:
    """What the axis spans: zero, every estimate of the slope, and intervals of typical width."""
    lines = [
        a.t_line for a in result.approaches if a.t_line is not None and a.key != OTHER_QUANTITY
    ] or [a.t_line for a in result.approaches if a.t_line is not None]
    width = WIDEST * float(np.median([t.upper - t.lower for t in lines]))
    low = min(0.0, *(max(t.lower, t.estimate - width / 2.0) for t in lines))
    high = max(0.0, *(min(t.upper, t.estimate + width / 2.0) for t in lines))
    return Window(low, high)


def _row(ax: Axes, place: int, approach: Approach, shown: Window) -> None:
    line = approach.t_line
    if line is None:
        _write(ax, place, "not available", MUTED)
        return
    other = approach.key == OTHER_QUANTITY
    colour = VERMILION if other else COLOURS[approach.trust]
    _interval(ax, place, (line.lower, line.upper), shown, colour)
    if shown.holds(line.estimate):
        hollow = approach.trust == "no"
        ax.plot(
            line.estimate, place, marker="D" if other else "o", markersize=7, zorder=3.0,
            markerfacecolor=PAPER if hollow else colour, markeredgecolor=colour,
            markeredgewidth=1.8, gid=f"estimate-{approach.key}", linestyle="none",
        )  # fmt: skip
    text = f"{digits(line.estimate)}  [{digits(line.lower)}, {digits(line.upper)}]"
    _write(ax, place, text + ("*" if other else ""), INK)


def _interval(ax: Axes, place: int, ends: tuple[float, float], shown: Window, colour: str) -> None:
    low, high = (shown.clip(v) for v in ends)
    if high > low:
        ax.plot(
            [low, high], [place, place], color=colour, linewidth=2.2, zorder=2.0, gid="interval"
        )
    for end, edge, marker in ((ends[0], shown.low, "<"), (ends[1], shown.high, ">")):
        cut = end < edge if marker == "<" else end > edge
        if cut:
            ax.plot(edge, place, marker=marker, markersize=7, color=colour, zorder=3.0, gid="cut",
                    linestyle="none")  # fmt: skip


def _write(ax: Axes, place: int, text: str, colour: str) -> None:
    ax.annotate(
        text, xy=(1.0, place), xycoords=("axes fraction", "data"), xytext=(6.0, 0.0),
        textcoords="offset points", ha="left", va="center", fontsize=SMALL, color=colour,
        annotation_clip=False, parse_math=False, gid="numbers",
    )  # fmt: skip
