"""Between-within degrees of freedom: those of the stratum in which a fixed effect is estimated.

With nested groups of m_1 < ... < m_Q levels, m_0 = 1 (0 without an intercept) and m_(Q+1) = n, a
column is estimated at the coarsest level i within whose groups it is constant, Q + 1 if none, and

    df_i = m_i - m_(i-1) - (columns estimated at level i);

the intercept has those of the innermost level (Pinheiro & Bates 2000, Mixed-Effects Models in S and
S-PLUS, section 2.4.2; nlme's df). A hypothesis about several effects has the fewest of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.fit import Fit

# A column is constant within groups up to rounding.
ROUNDING = 1e-10


@dataclass(frozen=True)
class BetweenWithin:
    """cov_beta (p, p); each : (p,) df of the fixed effects called `names`."""

    cov_beta: np.ndarray
    each: np.ndarray
    names: tuple[str, ...]

    def joint(self, rows: np.ndarray) -> tuple[float, float]:
        """Denominator df of the F-test of rows (q, p), and the factor that scales its F.

        Raises
        ------
        DesignError : as many effects as groups are estimated between these.
        """
        size = np.abs(rows).max(axis=0, initial=0.0)
        used = np.flatnonzero(size > ROUNDING * size.max(initial=0.0))
        fewest = used[np.argmin(self.each[used])]
        df = float(self.each[fewest])
        if df <= 0.0:
            raise DesignError(
                f"Between-within degrees of freedom: none is left for '{self.names[fewest]}', as "
                "as many effects as there are groups are estimated between them. Use "
                "ddf='satterthwaite', or drop effects that are constant within groups."
            )
        return df, 1.0


@dataclass(frozen=True)
class Strata:
    """Nested groups of rows: codes (n,) each, the coarsest first; names of the factors."""

    codes: tuple[np.ndarray, ...]
    names: tuple[str, ...]

    @cached_property
    def sizes(self) -> list[int]:
        return [int(codes.max()) + 1 for codes in self.codes]


def between_within(fit: Fit) -> BetweenWithin:
    """The method for a fit.

    Raises
    ------
    DesignError : grouping factors that are not nested.
    """
    x, strata = fit.design.X, _strata(fit)
    constant = np.ptp(x, axis=0) == 0.0
    level = _levels(x, strata)
    sizes = np.array([int(constant.any()), *strata.sizes, len(x)])
    df = np.diff(sizes) - np.bincount(level[~constant], minlength=len(sizes) - 1)
    each = np.where(constant, df[-1], df[level]).astype(float)
    return BetweenWithin(fit.optimum.cov_beta, each, fit.design.names)


def _levels(x: np.ndarray, strata: Strata) -> np.ndarray:
    """The coarsest level (p,) within whose groups each column is constant; the last is the rows."""
    out = np.full(x.shape[1], len(strata.codes))
    spread = np.abs(x).max(axis=0, initial=0.0)
    for i in reversed(range(len(strata.codes))):
        codes = strata.codes[i]
        first = np.unique(codes, return_index=True)[1]
        varies = np.abs(x - x[first[codes]]).max(axis=0, initial=0.0) > ROUNDING * spread
        out[~varies] = i
    return out


def _strata(fit: Fit) -> Strata:
    """The groups of the random effects, or without any those of correlated residuals."""
    found = {f.name: f.codes for f in fit.design.random}
    residual = fit.design.residual
    if not found and residual is not None and residual.positions is not None:
        found = {"the correlated residuals": residual.positions.codes}
    coded = {name: np.unique(codes, return_inverse=True)[1] for name, codes in found.items()}
    ordered = sorted(coded.items(), key=lambda item: int(item[1].max()))
    distinct = ordered[:1]
    for (outer, a), (inner, b) in pairwise(ordered):
        if not _is_nested(a, b):
            raise DesignError(
                f"Between-within degrees of freedom need nested groups, and {inner} is not nested "
                f"in {outer}: use ddf='satterthwaite' or 'kenward-roger'."
            )
        if b.max() > a.max():
            distinct.append((inner, b))
    return Strata(tuple(codes for _, codes in distinct), tuple(name for name, _ in distinct))


def _is_nested(outer: np.ndarray, inner: np.ndarray) -> bool:
    """Whether each level of `inner` (n,) lies in one of `outer` (n,)."""
    first = np.unique(inner, return_index=True)[1]
    return bool((outer == outer[first[inner]]).all())
