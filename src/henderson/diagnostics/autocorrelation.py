"""How alike residuals of one group are: autocorrelation by lag, and the empirical variogram."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from henderson.diagnostics.precision import p_blocks, precision
from henderson.diagnostics.residuals import residuals, row_order
from henderson.diagnostics.row_sets import ROW, RowSets, row_sets, stacks
from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.fit import Fit

MOST_LAGS = 20
# Of more pairs of rows than this a random choice is taken, with a fixed seed.
MOST_PAIRS = 2_000_000
# Longer groups are tested window by window: the matrices of a window are square.
WINDOW = 500


def acf(
    fit: Fit,
    by: Any = None,
    kind: str = "normalized",
    max_lag: int | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Autocorrelation of the residuals by lag, in the order of the rows within groups.

    Columns lag, acf, n_pairs and the limits lower, upper of white noise (`level`). The mean product
    of residuals `lag` rows apart, over their mean square (Pinheiro & Bates 2000, section 5.3.2).
    See `Fit.acf`.

    Raises
    ------
    DesignError : unknown group or kind, or no two rows of one group.
    """
    sets = _groups(fit, by)
    r = residuals(fit, kind)
    most = int(sets.sizes.max()) - 1
    lags = np.arange(min(MOST_LAGS, most) + 1 if max_lag is None else min(max_lag, most) + 1)
    products, pairs = np.zeros(len(lags)), np.zeros(len(lags), dtype=np.intp)
    for _, rows in stacks(sets.codes):
        values, s = r[rows], rows.shape[1]
        for lag in lags[lags < s]:
            products[lag] += float(np.sum(values[:, : s - lag] * values[:, lag:]))
            pairs[lag] += len(rows) * (s - lag)
    reach = special.ndtri(0.5 + level / 2.0) / np.sqrt(pairs)
    mean = products / pairs
    limits = np.where(lags == 0, np.nan, reach)
    return pd.DataFrame(
        {"lag": lags, "acf": mean / mean[0], "n_pairs": pairs, "lower": -limits, "upper": limits}
    )


def _groups(fit: Fit, by: Any) -> RowSets:
    """Groups of rows that follow each other; the finest with two rows and more, if none is named.

    Raises
    ------
    DesignError : no two rows of one group.
    """
    sets = row_sets(fit, by) if by is not None else finest(fit)
    if sets is None or sets.name == ROW or sets.sizes.max() < 2:
        raise DesignError("No two rows are of one group: say by=, a column or labels.")
    return sets


def finest(fit: Fit) -> RowSets | None:
    """The grouping factor with most levels among those with three rows a level or more.

    Without such a factor the one with fewest levels; without random effects the groups of
    correlated residuals, None if there are none.
    """
    factors = sorted(fit.design.random, key=lambda f: -len(f.levels))
    residual = fit.design.residual
    if not factors:
        if residual is None or residual.positions is None:
            return None
        term, groups = residual.terms.correlation, residual.positions
        name = ":".join(term.group) if term is not None else ""
        return RowSets(name or "all", groups.codes, groups.levels)
    long = [f for f in factors if fit.nobs >= 3 * len(f.levels)]
    chosen = long[0] if long else factors[-1]
    return RowSets(chosen.name, chosen.codes, chosen.levels)


def variogram(
    fit: Fit,
    position: Any = None,
    by: Any = None,
    kind: str = "pearson",
    bins: int = 15,
) -> pd.DataFrame:
    """Semivariogram of the residuals: half their squared difference, by distance within groups.

    Columns distance (the pairs' mean), semivariance, n_pairs. `position` names a column or gives
    values (n,) or (n, d); without it the distance is in rows. Distances are binned by quantiles if
    more than `bins` occur. See `Fit.variogram`.

    Raises
    ------
    DesignError : unknown group, column or kind, or no two rows of one group.
    """
    sets = _groups(fit, by)
    at = _positions(fit, position)
    r = residuals(fit, kind)
    found = list(_pairs(sets, at, r))
    distance, half = (np.concatenate(parts) for parts in zip(*found, strict=True))
    code, count = _bins(distance, bins)
    pairs = np.bincount(code, minlength=count)
    used = pairs > 0
    means = [np.bincount(code, a, count)[used] / pairs[used] for a in (distance, half)]
    columns = {"distance": means[0], "semivariance": means[1], "n_pairs": pairs[used]}
    return pd.DataFrame(columns)


def _positions(fit: Fit, position: Any) -> np.ndarray | None:
    """Positions (n, d); None for the order of the rows."""
    if position is None:
        return None
    if isinstance(position, str):
        data = fit.design.frame.data
        if position not in data.columns:
            known = ", ".join(map(str, data.columns))
            raise DesignError(
                f"position='{position}' is no column of the model ({known}): give its values."
            )
        values = data[position].to_numpy()
    else:
        values = np.asarray(position)
    try:
        at = np.asarray(values, dtype=float).reshape(len(values), -1)
    except (TypeError, ValueError) as error:
        raise DesignError("Positions are numbers: give a numeric column or values.") from error
    if len(at) != fit.nobs:
        raise DesignError(f"{len(at)} positions for {fit.nobs} rows: give one a row.")
    return at


def _pairs(
    sets: RowSets, at: np.ndarray | None, r: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Distances and half squared differences of pairs of one group."""
    total = float(np.sum(sets.sizes.astype(float) * (sets.sizes - 1))) / 2.0
    share = min(1.0, MOST_PAIRS / max(total, 1.0))
    rng = np.random.default_rng(0)
    for _, rows in stacks(sets.codes):
        which, i, j = _every_pair(rows) if share == 1.0 else _some_pairs(rows, share, rng)
        left, right = rows[which, i], rows[which, j]
        if at is None:
            distance = (j - i).astype(float)
        else:
            distance = np.sqrt(((at[left] - at[right]) ** 2).sum(axis=1))
        yield distance, (r[left] - r[right]) ** 2 / 2.0


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def _every_pair(rows: np.ndarray) -> Pairs:
    """The set, and the places i < j in it, of all pairs of rows (count, s)."""
    i, j = np.triu_indices(rows.shape[1], 1)
    return np.repeat(np.arange(len(rows)), len(i)), np.tile(i, len(rows)), np.tile(j, len(rows))


def _some_pairs(rows: np.ndarray, share: float, rng: np.random.Generator) -> Pairs:
    """A share of them, drawn with replacement."""
    count, s = rows.shape
    wanted = int(np.ceil(share * count * s * (s - 1) / 2)) if s > 1 else 0
    i = rng.integers(s, size=wanted)
    j = (i + rng.integers(1, max(s, 2), size=wanted)) % s
    return rng.integers(count, size=wanted), np.minimum(i, j), np.maximum(i, j)


def _bins(distance: np.ndarray, bins: int) -> tuple[np.ndarray, int]:
    """The bin of every pair, and how many there are."""
    each, code = np.unique(distance, return_inverse=True)
    if len(each) <= bins:
        return code, len(each)
    edges = np.unique(np.quantile(distance, np.linspace(0.0, 1.0, bins + 1)))
    return np.searchsorted(edges[1:-1], distance, side="left"), len(edges)


@dataclass(frozen=True)
class LagOne:
    """The first step towards a first-order autocorrelation of the errors, with its standard error.

    rho, std_error; group : within whose rows; n_pairs.
    """

    rho: float
    std_error: float
    group: str
    n_pairs: int

    @property
    def z(self) -> float:
        return self.rho / self.std_error


def lag_one(fit: Fit) -> LagOne | None:
    """Score test of AR(1) errors in the order of the rows; None where no group has two rows.

    With u = L'Py (R = L L', so that errors are independent as u has it) and A_g joining the rows of
    a group that follow each other, u'A_g u has mean tr(A_g Q_gg) and variance 2 tr(A_g Q_gg)^2
    under the model, Q = L'PL, and moves by 2 rho tr(A_g Q_gg A_g Q_gg): residuals are correlated
    because effects were estimated, and that is taken off. Groups are taken as independent.
    """
    sets = finest(fit)
    if sets is None or sets.sizes.max() < 2:
        return None
    v = precision(fit)
    s2 = fit.optimum.factorisation.s2(fit.optimum.reml)
    score, information, pairs = 0.0, 0.0, 0
    order = row_order(fit)
    for _, rows in stacks(_windows(sets.codes, order), order=order, width=v.width):
        s = rows.shape[1]
        if s < 2:
            continue
        root = np.linalg.cholesky(v.residual_covariances(rows))
        q = root.swapaxes(1, 2) @ p_blocks(v, rows) @ root
        u = np.einsum("cji,cj->ci", root, v.py[rows])
        a = (np.eye(s, k=1) + np.eye(s, k=-1)) / 2.0
        moved = a @ q
        score += float(np.einsum("ci,ij,cj->", u, a, u)) / s2 - float(np.einsum("css->", moved))
        information += 2.0 * float(np.einsum("cij,cji->", moved, moved))
        pairs += len(rows) * (s - 1)
    if information <= 0.0:
        return None
    return LagOne(score / information, float(information**-0.5), sets.name, pairs)


def _windows(codes: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Codes (n,) of stretches of rows that follow each other in one group."""
    if np.bincount(codes).max() <= WINDOW:
        return codes
    base = np.arange(len(codes)) if order is None else order
    rows = base[np.argsort(codes[base], kind="stable")]
    counts = np.bincount(codes)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    window = np.empty(len(codes), dtype=np.intp)
    window[rows] = (np.arange(len(codes)) - starts) // WINDOW
    return np.unique(codes * (window.max() + 1) + window, return_inverse=True)[1]
