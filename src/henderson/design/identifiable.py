"""Random terms whose variance cannot be told from that of the residuals.

Two rows i, j of a level covary by z_i'Sigma z_j. If Sigma can move in a direction M with

    z_i'M z_j = r_ij   for all rows i, j of a level,

r the residuals' own pattern (one for a row with itself, zero otherwise; with compound symmetry also
one for all), then variance moves between term and residuals without changing V: only sums can be
estimated. Prior weights do not count here: a model should not hang on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from henderson.design.random import RandomFactor, TermSlot
from henderson.design.residual import ResidualDesign
from henderson.errors import DesignError
from henderson.formula.residual_terms import COLUMN, ResidualTerms

EQUAL_VARIANCES = frozenset({"cs", "toep", "ar1", "ou", "exp", "gau"})
# Families that hold Sigma + c I with every Sigma, whatever the number of effects.
ADDITIVE = frozenset({"us", "diag", "cs", "toep", "htoep"})
# Residual correlations that hold one common covariance of all rows of a group.
HOLD_COMMON = frozenset({"cs", "toep", "us"})
TOLERANCE = 1e-8


def check_identifiable(factors: Iterable[RandomFactor], residual: ResidualDesign | None) -> None:
    """Raise `DesignError` for the first term that is confounded with the residuals."""
    for factor in factors:
        if factor.known is not None:  # `random_design` has looked at the matrix.
            continue
        for slot in factor.slots:
            if _holds_residual(factor, slot):
                raise _one_row_an_effect(factor, slot)
            if residual is not None and _holds_common(factor, slot, residual):
                raise _common_twice(factor, slot, residual.terms)


def _holds_residual(factor: RandomFactor, slot: TermSlot) -> bool:
    z = factor.z[:, slot.columns]
    n, k = z.shape
    if n > len(factor.levels) * k:
        return False
    rows = np.bincount(factor.codes).max()
    if rows > k:
        return False
    moves = _directions(slot, n == len(factor.levels))
    left, right = _pairs(factor.codes, range(rows))
    return _solvable(z, left, right, (left == right).astype(float), moves)


def _holds_common(factor: RandomFactor, slot: TermSlot, residual: ResidualDesign) -> bool:
    at = residual.positions
    if at is None or not _has_common(residual.terms) or not _same_groups(factor.codes, at.codes):
        return False
    # Neighbours suffice: where all of them covary by their common variance all rows are alike.
    left, right = _pairs(factor.codes, range(2))
    moves = _directions(slot, alone=False)
    return _solvable(factor.z[:, slot.columns], left, right, np.ones(len(left)), moves)


def _has_common(terms: ResidualTerms) -> bool:
    """Whether C of the residuals holds one covariance for all rows of a group, variances equal or
    free for every visit."""
    term = terms.correlation
    if term is None or term.name not in HOLD_COMMON:
        return False
    visits = (v.name == "ident" and (v.covariate,) == term.position for v in terms.variances)
    return not terms.variances or (term.name == "us" and all(visits))


def _same_groups(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether codes (n,) and (n,) make the same groups of rows."""
    pairs = len(np.unique(a * (b.max() + 1) + b))
    return pairs == len(np.unique(a)) == len(np.unique(b))


def _directions(slot: TermSlot, alone: bool) -> np.ndarray:
    """Directions (m, K, K) in which the term's Sigma can move wherever it is.

    alone : one row a level, to which covariances of different positions are nothing.
    """
    size = (slot.columns.stop - slot.columns.start) // slot.strata
    moves = _family(slot.term.structure, size, alone)
    strata = [np.diag(row) for row in np.eye(slot.strata)]
    blocks = [np.kron(stratum, move) for stratum in strata for move in moves]
    return np.array(blocks).reshape(-1, slot.strata * size, slot.strata * size)


def _family(structure: str, k: int, alone: bool) -> list[np.ndarray]:
    equal = structure in EQUAL_VARIANCES
    if structure == "us" or (k <= 2 and structure != "diag" and not equal):
        return [_symmetric(k, i, j) for i in range(k) for j in range(i + 1)]
    if structure not in ADDITIVE and k > 2 and not alone:
        return []
    if not equal:
        return [_symmetric(k, i, i) for i in range(k)]
    return [np.eye(k), np.ones((k, k))] if k <= 2 or structure in ADDITIVE else [np.eye(k)]


def _symmetric(k: int, i: int, j: int) -> np.ndarray:
    out = np.zeros((k, k))
    out[i, j] = out[j, i] = 1.0
    return out


def _pairs(codes: np.ndarray, lags: range) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows of one level, so many places apart in it."""
    order = np.argsort(codes, kind="stable")
    left, right = [], []
    for lag in lags:
        a, b = order[: len(order) - lag], order[lag:]
        same = codes[a] == codes[b]
        left.append(a[same])
        right.append(b[same])
    return np.concatenate(left), np.concatenate(right)


def _solvable(
    z: np.ndarray, left: np.ndarray, right: np.ndarray, target: np.ndarray, moves: np.ndarray
) -> bool:
    """Whether a combination M of moves gives z_left'M z_right = target (r,) in all pairs.

    Solved for few pairs; those that this M misses join them, until it misses none or none can be.
    """
    if not len(moves):
        return False
    z = z / np.maximum(np.abs(z).max(axis=0), np.finfo(float).tiny)
    chosen = np.unique(np.linspace(0, len(left) - 1, len(moves) + 1).astype(int))
    while True:
        a, b = z[left[chosen]], z[right[chosen]]
        given = np.einsum("rk,mkl,rl->rm", a, moves, b, optimize=True)
        weights = np.linalg.lstsq(given, target[chosen], rcond=None)[0]
        if np.abs(given @ weights - target[chosen]).max() > TOLERANCE:
            return False
        m = np.tensordot(weights, moves, axes=1)
        missed = np.einsum("rk,kl,rl->r", z[left], m, z[right], optimize=True) - target
        worst = np.argsort(-np.abs(missed))[: len(moves)]
        worst = worst[np.abs(missed[worst]) > 10.0 * TOLERANCE]
        if not len(worst):
            return True
        chosen = np.union1d(chosen, worst)


# ---- what to say


def _one_row_an_effect(factor: RandomFactor, slot: TermSlot) -> DesignError:
    n, effects = len(factor.codes), len(factor.levels) * (slot.columns.stop - slot.columns.start)
    return DesignError(
        f"{slot.term.text} has {effects} random effects for {n} rows, and its variance cannot be "
        f"told from the residual's. {_advice(factor, slot)}"
    )


def _advice(factor: RandomFactor, slot: TermSlot) -> str:
    term = slot.term
    if len(factor.levels) == len(factor.codes):
        return (
            f"'{factor.name}' has as many levels as there are rows ({len(factor.codes)}): leave "
            "the term out, or group by something that repeats."
        )
    column = re.sub(r"^[01]\s*\+\s*", "", slot.spec.text.strip())
    simpler = f"Write (1 | {term.group_text})"
    if not COLUMN.fullmatch(column):
        return f"{simpler}, or fewer effects than a level has rows."
    return (
        f"{simpler}, or give the residuals that structure instead, such as "
        f"correlation='us({column} | {factor.name})' with variance='ident({column})'."
    )


def _common_twice(factor: RandomFactor, slot: TermSlot, terms: ResidualTerms) -> DesignError:
    assert terms.correlation is not None
    both = f"{slot.term.text} and correlation='{terms.correlation.text}'"
    return DesignError(
        f"{both} both give the rows of a level "
        f"of '{factor.name}' one covariance in common, and only the sum of the two can be "
        "estimated: leave one of them out."
    )
