"""Residuals of one group against each other: autocorrelation by lag, and the variogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from henderson.plots.marks import line
from henderson.plots.style import BAND, BLUE, INK, MUTED, canvas, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit


def autocorrelation(
    fit: Fit,
    by: Any = None,
    kind: Any = "normalized",
    max_lag: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Autocorrelation of the residuals by lag; the band holds 95 % of those of white noise."""

    table = fit.acf(by, kind, max_lag)
    table = table[(table["lag"] > 0) & (table["n_pairs"] > 0)]
    ax = canvas(ax)
    lag, value = table["lag"].to_numpy(), table["acf"].to_numpy()
    ax.fill_between(
        lag, table["lower"], table["upper"], color=BAND, alpha=0.55, linewidth=0.0, step="mid",
        gid="band",
    )  # fmt: skip
    ax.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    ax.vlines(lag, 0.0, value, color=BLUE, linewidth=2.0, gid="stems")
    ax.plot(lag, value, linestyle="none", marker="o", markersize=5, color=BLUE, gid="acf")
    ax.set_xlim(0.4, max(lag.max(initial=1), 2) + 0.6)
    reach = 1.15 * max(0.35, abs(value).max(initial=0.0), table["upper"].max())
    ax.set_ylim(-min(reach, 1.05), min(reach, 1.05))
    ax.locator_params(axis="x", integer=True)
    return dress(ax, "lag", f"ACF of {kind} residuals")


def variogram(
    fit: Fit,
    position: Any = None,
    by: Any = None,
    kind: Any = "pearson",
    bins: int = 15,
    ax: Axes | None = None,
) -> Axes:
    """Semivariance of the residuals by distance; dots are as large as they have pairs.

    The dashed line is the residuals' variance: where they are independent dots lie around it.
    """
    table = fit.variogram(position, by, kind, bins)
    r = fit.residuals(kind)
    ax = canvas(ax)
    ax.axhline(float(r.var(ddof=0)), color=INK, linewidth=1.2, linestyle=(0, (5, 3)), gid="level")
    distance, half = table["distance"].to_numpy(), table["semivariance"].to_numpy()
    pairs = table["n_pairs"].to_numpy()
    line(ax, distance, half, color=BLUE, linewidth=1.0, gid="variogram")
    ax.scatter(
        distance, half, 12.0 + 60.0 * pairs / pairs.max(), color=BLUE, linewidths=0.0, zorder=3.5,
        gid="points",
    )  # fmt: skip
    ax.set_ylim(0.0, 1.15 * max(half.max(), float(r.var(ddof=0))))
    word = f"distance in {position}" if isinstance(position, str) else "distance"
    return dress(ax, word if position is not None else "distance in rows", "semivariance")
