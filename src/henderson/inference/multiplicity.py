"""Adjusting p-values and intervals for the number of tests in a family.

Tukey: the studentised range of k means (Tukey 1953; Kramer 1956). Sidak, Bonferroni: as if the
tests were independent, or whatever they are. Holm 1979 and Benjamini & Hochberg 1995: step by
step, for which there are no intervals. Multivariate t: the largest |t| under the contrasts' own
correlations (Hothorn, Bretz & Westfall 2008, Biometrical J. 50), exact whatever the balance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from henderson.errors import DesignError
from henderson.inference.wald import t_quantile, two_sided

ADJUSTMENTS = ("tukey", "sidak", "holm", "bonferroni", "fdr", "mvt", "none")
# Steps by p-value have no intervals: these are used instead.
INTERVALS = {"holm": "bonferroni", "fdr": "bonferroni"}
DRAWS = 2**14


@dataclass(frozen=True)
class Family:
    """t-tests that are looked at together.

    Parameters
    ----------
    statistics, df : (r,).
    correlation : (r, r) of the estimates.
    means : the number of means that pairwise differences compare.
    """

    statistics: np.ndarray
    df: np.ndarray
    correlation: np.ndarray
    means: int

    @property
    def size(self) -> int:
        return len(self.statistics)


def check_adjustment(name: str, *, pairwise: bool) -> str:
    """A known adjustment's name; Tukey's, which is for pairs, becomes Sidak's elsewhere.

    Raises
    ------
    DesignError : the name is not known.
    """
    if name not in ADJUSTMENTS:
        raise DesignError(f"Unknown adjustment '{name}': choose from {', '.join(ADJUSTMENTS)}.")
    return "sidak" if name == "tukey" and not pairwise else name


def adjusted(family: Family, how: str) -> np.ndarray:
    """p-values (r,)."""
    raw = np.array([_raw(t, v) for t, v in zip(family.statistics, family.df, strict=True)])
    if family.size == 1 or how == "none":
        return raw
    if how == "tukey":
        return np.array(
            [_tukey(t, family.means, v) for t, v in zip(family.statistics, family.df, strict=True)]
        )
    if how == "sidak":
        return np.asarray(-np.expm1(family.size * np.log1p(-raw)))
    if how == "bonferroni":
        return np.minimum(family.size * raw, 1.0)
    if how == "mvt":
        largest = _Largest.of(family.correlation)
        return np.array(
            [largest.tail(t, v) for t, v in zip(family.statistics, family.df, strict=True)]
        )
    return _stepwise(raw, how)


def _raw(t: float, df: float) -> float:
    return np.nan if np.isnan(t) else two_sided(t, df)


def _stepwise(raw: np.ndarray, how: str) -> np.ndarray:
    out, known = raw.copy(), np.flatnonzero(~np.isnan(raw))
    order = known[np.argsort(raw[known])]
    m = len(order)
    rank = np.arange(1, m + 1)
    if how == "holm":
        stepped = np.maximum.accumulate((m - rank + 1) * raw[order])
    else:
        stepped = np.minimum.accumulate((m / rank * raw[order])[::-1])[::-1]
    out[order] = np.minimum(stepped, 1.0)
    return out


def critical_values(family: Family, how: str, level: float) -> np.ndarray:
    """What the standard errors are multiplied by to reach the limits, (r,)."""
    how = INTERVALS.get(how, how)
    alpha = 1.0 - level
    each = {
        "sidak": -np.expm1(np.log1p(-alpha) / family.size),
        "bonferroni": alpha / family.size,
    }.get(how, alpha)
    largest = _Largest.of(family.correlation) if how == "mvt" and family.size > 1 else None
    rounded = np.array([float(f"{df:.9g}") for df in family.df])  # balanced designs: one df
    known: dict[float, float] = {}
    for df in np.unique(rounded[~np.isnan(rounded)]):
        if largest is not None:
            known[df] = _solve(lambda c, v=df: largest.tail(c, v) - alpha)
        elif how == "tukey" and family.means > 2:
            known[df] = _solve(lambda c, v=df: _tukey(c, family.means, v) - alpha)
        else:
            known[df] = t_quantile(1.0 - each / 2.0, df)
    return np.array([known.get(df, np.nan) for df in rounded])


def _solve(excess) -> float:  # type: ignore[no-untyped-def]
    """The critical value at which a decreasing tail less alpha is zero."""
    high = 4.0
    while excess(high) > 0.0:
        high *= 2.0
    return float(brentq(excess, 1e-6, high, xtol=1e-6))


def _tukey(t: float, means: int, df: float) -> float:
    """P(studentised range of `means` > sqrt 2 |t|)."""
    if np.isnan(t):
        return np.nan
    if means == 2:
        return two_sided(t, df)
    from scipy.stats import studentized_range

    p = float(studentized_range.sf(np.sqrt(2.0) * abs(t), means, df))
    # The quadrature is good to about 1e-10: no p is below that of one test.
    return min(max(p, two_sided(t, df)), 1.0)


@dataclass(frozen=True)
class _Largest:
    """The largest |t| of correlated t's: with estimates A u, u ~ N(0, I_r), the length of u times
    max |A d|, d its direction. The length is integrated exactly, the direction by quasi-Monte
    Carlo.

    Parameters
    ----------
    peaks : (N,), max over the tests of |a_i'd|. rank : r.
    """

    peaks: np.ndarray
    rank: int

    @staticmethod
    def of(correlation: np.ndarray) -> _Largest:
        values, vectors = np.linalg.eigh(correlation)
        keep = values > 1e-10 * values[-1]
        root = vectors[:, keep] * np.sqrt(values[keep])
        rank = int(keep.sum())
        return _Largest(np.abs(_directions(rank) @ root.T).max(axis=1), rank)

    def tail(self, t: float, df: float) -> float:
        """P(max |T| > |t|)."""
        if np.isnan(t):
            return np.nan
        if t == 0.0:
            return 1.0
        squares = (t / self.peaks) ** 2
        if np.isinf(df):
            return float(special.chdtrc(self.rank, squares).mean())
        return float(special.fdtrc(self.rank, df, squares / self.rank).mean())


def _directions(rank: int) -> np.ndarray:
    """Points (N, r) spread evenly over the sphere, the same every time."""
    if rank == 1:
        return np.ones((1, 1))
    if rank == 2:
        angle = np.pi * (np.arange(DRAWS) + 0.5) / DRAWS
        return np.column_stack([np.cos(angle), np.sin(angle)])
    from scipy.stats.qmc import Sobol

    uniform = Sobol(rank, scramble=True, rng=np.random.default_rng(7)).random(DRAWS)
    normal = special.ndtri(np.clip(uniform, 1e-12, 1.0 - 1e-12))
    return np.asarray(normal / np.linalg.norm(normal, axis=1)[:, None])
