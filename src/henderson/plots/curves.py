"""Curves by parameter: profile zeta, and densities of bootstrap estimates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from henderson.errors import DesignError, did_you_mean
from henderson.plots.marks import density, line
from henderson.plots.style import BAND, BLUE, INK, MUTED, VERMILION, digits, dress, lattice, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.inference.bootstrap import Bootstrap
    from henderson.inference.profile import Profile

PANEL = (2.9, 2.4)
# More panels than these cannot be read in one picture.
MOST_PANELS = 30
# Letters of a title above a panel.
ROOM = 28
Axes2 = Sequence["Axes"] | np.ndarray | None


def zeta(result: Profile, level: float = 0.95, axes: Axes2 = None) -> list[Axes]:
    """A panel per parameter: zeta over its values, and the interval where |zeta| is small.

    A straight curve is a likelihood like a normal's, for which Wald intervals are right (dashed).

    Raises
    ------
    DesignError : more parameters than can be read.
    """
    names = list(dict.fromkeys(result.curves["parameter"]))
    limits = result.confint(level)
    q = float(special.ndtri(0.5 + level / 2.0))
    drawn = _panels(axes, names)
    for ax, name in zip(drawn, names, strict=True):
        rows = result.curves[result.curves["parameter"] == name]
        value, z = rows["value"].to_numpy(), rows["zeta"].to_numpy()
        low, high = limits.loc[name, ["lower", "upper"]]
        ax.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
        ax.fill_between([low, high], -q, q, color=BAND, alpha=0.55, linewidth=0.0, gid="interval")
        _tangent(ax, value, z)
        line(ax, value, z, color=BLUE, gid="zeta")
        estimate = float(result.estimates[name])
        if np.isfinite(estimate):
            ax.plot(estimate, 0.0, marker="o", markersize=5, color=INK, linestyle="none",
                    zorder=4.0, gid="estimate")  # fmt: skip
        ax.set_ylim(-3.0, 3.0)
        dress(ax, "", "zeta", _title(name, low, high))
    return drawn


def _panels(axes: Axes2, names: Sequence[str]) -> list[Axes]:
    if len(names) > MOST_PANELS:
        raise DesignError(
            f"{len(names)} parameters cannot be read in one picture: choose some, which=[...]."
        )
    return lattice(axes, len(names), PANEL)


def _title(name: str, low: float, high: float) -> str:
    return f"{wrapped(name, ROOM, 2)}\n[{digits(low)}, {digits(high)}]"


def _tangent(ax: Axes, value: np.ndarray, z: np.ndarray) -> None:
    """The straight line that a normal likelihood would draw."""
    near = np.abs(z) <= 0.55
    if near.sum() < 3:
        return
    slope, height = np.polyfit(value[near], z[near], 1)
    line(ax, value, height + slope * value, color=INK, linewidth=1.0, linestyle=(0, (4, 3)),
         gid="tangent", solid_capstyle="butt")  # fmt: skip


def densities(
    result: Bootstrap,
    which: str | Iterable[str] | None = None,
    level: float = 0.95,
    axes: Axes2 = None,
) -> list[Axes]:
    """A panel per parameter: density of the replicates, the estimate, and the percentile interval.

    Raises
    ------
    DesignError : a name that is no parameter; more parameters than can be read.
    """
    table = result.to_frame()
    names = _chosen(which, list(table.columns))
    limits = result.confint(level)
    drawn = _panels(axes, names)
    for ax, name in zip(drawn, names, strict=True):
        draws = table[name].dropna().to_numpy()
        low, high = limits.loc[name, ["lower", "upper"]]
        grid, height = density(draws)
        inside = (grid >= low) & (grid <= high)
        ax.fill_between(grid, height, where=inside, color=BAND, linewidth=0.0, gid="interval")
        line(ax, grid, height, color=BLUE, gid="density")
        ax.axvline(float(result.estimate[name]), color=VERMILION, linewidth=1.6, gid="estimate")
        ax.set_ylim(0.0, 1.1 * height.max())
        ax.set_yticks([])
        dress(ax, "", "density", _title(name, low, high))
    return drawn


def _chosen(which: str | Iterable[str] | None, known: list[str]) -> list[str]:
    if which is None:
        return known
    wanted = [which] if isinstance(which, str) else list(which)
    for name in wanted:
        if name not in known:
            raise DesignError(f"There is no parameter '{name}': {did_you_mean(name, known)}")
    return wanted
