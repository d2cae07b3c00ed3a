"""Empirical correlation of residuals by lag, against that of covariance structures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DesignError
from henderson.plots.style import FONT, INK, PALETTE, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit
    from henderson.inference.structure_comparison import StructureComparison

# Larger groups, and more of them, are not needed to see a curve.
MOST_ROWS, MOST_GROUPS, MOST_LAGS = 200, 500, 15


def correlation_by_lag(
    comparison: StructureComparison, most: int = 4, ax: Axes | None = None
) -> Axes:
    """Points: the mean product of standardised marginal residuals; lines: what fits imply.

    Residuals are y - X beta of the best fit over the standard deviations in its V.

    Raises
    ------
    DesignError : no fit has groups of rows.
    """
    groups, at = _groups(comparison)
    lag, edges = _lags(groups, at)
    empirical = _mean_by_lag(groups, lag, partial(_products, comparison.best))
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.0, 4.0), layout="constrained").add_subplot()
    ax.plot(edges, empirical, "o", color=INK, label="empirical", zorder=3)
    for (name, fit), colour in zip(list(comparison.fits.items())[:most], PALETTE, strict=False):
        fitted = _mean_by_lag(groups, lag, partial(_correlations, fit))
        ax.plot(edges, fitted, "-", color=colour, label=name)
    ax.axhline(0.0, color=INK, linewidth=0.6)
    ax.set_xlabel("distance within groups", fontsize=FONT)
    ax.set_ylabel("correlation", fontsize=FONT)
    ax.legend(fontsize=SMALL, frameon=False)
    return ax


def _groups(comparison: StructureComparison) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows of every group, and positions (n, d): of the first fit that has them."""
    fits = comparison.fits.values()
    placed = [f.design.residual for f in fits if f.design.residual is not None]
    found = [
        (r.terms.correlation.kind == "order", r.positions)
        for r in placed
        if r.positions is not None and r.terms.correlation is not None
    ]
    if found:
        # Compound symmetry knows no positions; another structure may.
        positions = min(found, key=lambda pair: pair[0])[1]
        return _rows(positions.codes), positions.at
    for fit in fits:
        if fit.design.random:
            codes = min(fit.design.random, key=lambda f: len(f.levels)).codes
            return _rows(codes), _order(codes)
    raise DesignError("No structure here has groups of rows: there is no correlation to draw.")


def _order(codes: np.ndarray) -> np.ndarray:
    """The number (n, 1) of every row within its group."""
    out = np.empty((len(codes), 1))
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        out[rows, 0] = np.arange(len(rows))
    return out


def _rows(codes: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return [part[:MOST_ROWS] for part in parts if len(part) > 1][:MOST_GROUPS]


def _lags(groups: list[np.ndarray], at: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The bin of every pair of rows of each group, and the mean distance of every bin."""
    apart = [np.sqrt(((at[g][:, None] - at[g]) ** 2).sum(axis=-1)) for g in groups]
    pairs = np.concatenate([a[np.triu_indices(len(a), 1)] for a in apart])
    distinct = np.unique(np.round(pairs, 9))
    if len(distinct) <= MOST_LAGS:
        cuts = (distinct[1:] + distinct[:-1]) / 2.0
    else:
        cuts = np.unique(np.quantile(pairs, np.arange(1, MOST_LAGS) / MOST_LAGS))
    bins = [np.searchsorted(cuts, a) for a in apart]
    code = np.searchsorted(cuts, pairs)
    counts = np.maximum(np.bincount(code, minlength=len(cuts) + 1), 1)
    return bins, np.bincount(code, pairs, len(cuts) + 1) / counts


def _mean_by_lag(
    groups: list[np.ndarray], lag: list[np.ndarray], values: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The mean (bins,) of values (s, s) over the pairs of rows of all groups."""
    size = max(int(b.max()) for b in lag) + 1
    total, count = np.zeros(size), np.zeros(size)
    for rows, bins in zip(groups, lag, strict=True):
        upper = np.triu_indices(len(rows), 1)
        total += np.bincount(bins[upper], values(rows)[upper], size)
        count += np.bincount(bins[upper], minlength=size)
    return total / np.maximum(count, 1.0)


def _covariance(fit: Fit, rows: np.ndarray) -> np.ndarray:
    return fit.V(rows).to_numpy()


def _correlations(fit: Fit, rows: np.ndarray) -> np.ndarray:
    v = _covariance(fit, rows)
    sd = np.sqrt(np.diag(v))
    return v / np.outer(sd, sd)


def _products(fit: Fit, rows: np.ndarray) -> np.ndarray:
    marginal = fit.residuals("marginal").to_numpy()[rows]
    z = marginal / np.sqrt(np.diag(_covariance(fit, rows)))
    return np.outer(z, z)
