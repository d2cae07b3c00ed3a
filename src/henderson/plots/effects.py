"""Estimates with their intervals: coefficients, and marginal means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.errors import DataError, DesignError, did_you_mean
from henderson.plots.marks import band, end_labels, line, name_levels
from henderson.plots.style import (
    BLUE,
    INK,
    MUTED,
    SMALL,
    Look,
    canvas,
    digits,
    dress,
    looks,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit
    from henderson.inference.means import Means

INTERCEPT = "Intercept"
# So many coefficients are drawn at most: more cannot be read.
MOST_ROWS = 40
# Series of means side by side stand this far apart, in steps of the axis.
DODGE = 0.14


def coefficients(
    fit: Fit,
    names: Sequence[str] | None = None,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Fixed effects with their Wald intervals (Satterthwaite's df), the numbers beside them.

    Parameters
    ----------
    names : which, in the order they are drawn in; all but the intercept if none are named.

    Raises
    ------
    DesignError : a name that is no coefficient; nothing to draw.
    """
    chosen = _names(fit, names)
    ends = fit.conf_int(level).loc[chosen]
    ax = canvas(ax, (6.4, min(max(1.2 + 0.32 * len(chosen), 2.2), 9.0)))
    ax.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    for i, name in enumerate(chosen):
        low, high = ends.loc[name, ["lower", "upper"]]
        estimate = float(fit.params[name])
        ax.plot([low, high], [i, i], color=BLUE, linewidth=2.0, zorder=2.0, gid="interval")
        ax.plot(estimate, i, linestyle="none", marker="o", markersize=6, color=BLUE, gid="estimate")
        _beside(ax, i, f"{digits(estimate)}  [{digits(low)}, {digits(high)}]")
    ax.set_yticks(range(len(chosen)), [wrapped(n, most=2) for n in chosen], parse_math=False)
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    dress(ax, f"coefficient, {100 * level:g} % interval")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def _names(fit: Fit, names: Sequence[str] | None) -> list[str]:
    every = list(fit.params.index)
    if names is None:
        chosen = [n for n in every if n != INTERCEPT] or every
        if len(chosen) > MOST_ROWS:
            raise DesignError(
                f"{len(chosen)} coefficients cannot be read in one picture: "
                "choose some, names=[...]."
            )
    else:
        chosen = [names] if isinstance(names, str) else list(names)
        for n in chosen:
            if n not in every:
                raise DesignError(f"There is no coefficient '{n}': {did_you_mean(n, every)}")
    if not chosen:
        raise DesignError("The model has no fixed effects to draw.")
    return chosen


def _beside(ax: Axes, place: int, text: str) -> None:
    ax.annotate(
        text, xy=(1.0, place), xycoords=("axes fraction", "data"), xytext=(6.0, 0.0),
        textcoords="offset points", ha="left", va="center", fontsize=SMALL, color=INK,
        annotation_clip=False, parse_math=False, gid="numbers",
    )  # fmt: skip


def means(result: Means, ax: Axes | None = None) -> Axes:
    """Estimated marginal means, or slopes, with their intervals.

    The first predictor runs along the axis: levels side by side, or a covariate as a line with its
    band. The others, and those of `by`, are series in a colour each, named at their ends.

    Raises
    ------
    DataError : none of the means can be estimated.
    """
    frame = result.frame.dropna(subset=[result.estimate])
    if frame.empty:
        raise DataError("None of these means can be estimated from the data.")
    ax = canvas(ax)
    along, series = _axes_of(result)
    numeric = _is_line(frame, along)
    at, labels = _positions(frame, along, numeric)
    groups = [*frame.groupby(series, sort=False, observed=True)] if series else [((), frame)]
    colours = looks(np.array([g[result.estimate].mean() for _, g in groups]))
    ends = []
    for i, (_, rows) in enumerate(groups):
        x = at[frame.index.get_indexer(rows.index)]
        shift = 0.0 if numeric else DODGE * (i - (len(groups) - 1) / 2.0)
        _series(ax, x + shift, rows, result.estimate, colours[i] if series else None, numeric)
        ends.append(float(rows[result.estimate].iloc[-1]))
    dress(ax, along, _height(result))
    if not numeric:
        name_levels(ax, labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
    if series:
        named = [i for i, look in enumerate(colours) if look.named]
        words = [" ".join(map(str, np.atleast_1d(np.asarray(k, dtype=object)))) for k, _ in groups]
        end_labels(ax, [ends[i] for i in named], [words[i] for i in named],
                   [colours[i].text for i in named])  # fmt: skip
    return ax


def _is_line(frame: pd.DataFrame, along: str) -> bool:
    """A covariate at three values and more."""
    return bool(along) and pd.api.types.is_float_dtype(frame[along]) and frame[along].nunique() > 2


def _axes_of(result: Means) -> tuple[str, list[str]]:
    """What runs along the axis ("" if nothing does), and what makes series."""
    of = list(result.of)
    return (of[0], [*of[1:], *result.by]) if of else ("", list(result.by))


def _positions(frame: pd.DataFrame, along: str, numeric: bool) -> tuple[np.ndarray, list[Any]]:
    """Where each row stands (m,), and the labels of the places."""
    if not along:
        return np.zeros(len(frame)), [""]
    if numeric:
        return frame[along].to_numpy(dtype=float), []
    codes, levels = pd.factorize(frame[along])
    return codes.astype(float), [digits(v) if isinstance(v, float) else v for v in levels]


def _series(
    ax: Axes, x: np.ndarray, rows: pd.DataFrame, estimate: str, look: Look | None, numeric: bool
) -> None:
    value, low, high = (rows[c].to_numpy() for c in (estimate, "lower", "upper"))
    colour = BLUE if look is None else look.colour
    if numeric:
        band(ax, x, low, high)
        line(ax, x, value, color=colour, gid="mean")
        return
    ax.errorbar(
        x, value, [value - low, high - value], linestyle="none", ecolor=colour, elinewidth=1.8,
        capsize=0, zorder=2.5,
    )  # fmt: skip
    ax.plot(
        x, value, marker="o" if look is None else look.marker, markersize=6, color=colour,
        linewidth=0.9 if len(x) > 1 else 0.0, alpha=0.95, zorder=3.0, gid="mean",
    )  # fmt: skip


def _height(result: Means) -> str:
    response = result.fit.design.formula.response
    if result.estimate != "slope":
        return f"mean {response}"
    variable = next((n for n in result.notes if n.startswith("Slopes in ")), "Slopes in x.")
    return f"slope of {response} in {variable.removeprefix('Slopes in ').removesuffix('.')}"
