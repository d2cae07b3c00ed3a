"""Intervals from bootstrap replicates (Davison & Hinkley 1997, chapter 5)."""

from __future__ import annotations

import numpy as np
from scipy import special

INTERVALS = ("percentile", "basic", "normal", "bca")


def interval(
    draws: np.ndarray, estimate: float, level: float, method: str, jackknife: np.ndarray | None
) -> tuple[float, float]:
    """Limits from replicates (n,), of which missing ones are left out.

    Parameters
    ----------
    method : one of `INTERVALS`. jackknife : estimates without each cluster (G,), for "bca".
    """
    known = draws[np.isfinite(draws)]
    if not len(known) or not np.isfinite(estimate):
        return np.nan, np.nan
    tails = np.array([0.5 - level / 2.0, 0.5 + level / 2.0])
    if method == "normal":
        centre = 2.0 * estimate - known.mean()
        reach = special.ndtri(tails[1]) * known.std(ddof=1) if len(known) > 1 else np.nan
        return float(centre - reach), float(centre + reach)
    if method == "bca":
        tails = _bca_tails(known, estimate, tails, jackknife)
    low, high = np.quantile(known, tails)
    if method == "basic":
        low, high = 2.0 * estimate - high, 2.0 * estimate - low
    return float(low), float(high)


def _bca_tails(
    draws: np.ndarray, estimate: float, tails: np.ndarray, jackknife: np.ndarray | None
) -> np.ndarray:
    """Probabilities corrected for bias and for a standard error that changes (Efron 1987)."""
    below = np.mean(draws < estimate) + 0.5 * np.mean(draws == estimate)
    bias = special.ndtri(np.clip(below, 0.5 / len(draws), 1.0 - 0.5 / len(draws)))
    z = bias + special.ndtri(tails)
    return special.ndtr(bias + z / (1.0 - _acceleration(jackknife) * z))


def _acceleration(jackknife: np.ndarray | None) -> float:
    if jackknife is None:
        return 0.0
    known = jackknife[np.isfinite(jackknife)]
    gaps = known.mean() - known if len(known) else known
    spread = float(np.sum(gaps**2))
    return float(np.sum(gaps**3)) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
