"""Whether one model is a special case of another: seen in column spaces, not in formulas.

Fixed parts: span(X_small) within span(X_big). Random parts: V = I + sum_a s_a V_a is linear in
the entries s of every Sigma, so the small model's V_a must lie in the span of the big one's;
tr(V_a V_b) follows from the cross-tabulated products of the two z's. And they must do so with
positive semidefinite Sigma: (1 | a) + (1 | a:b) is within (b | a), for instance.

All in the engine's standard coordinates, in which rows are weighted and columns orthonormal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.engine.problem import Grouping
    from henderson.fit import Fit

TOLERANCE = 1e-7
# Structures in whose parameters V is linear, and of which every Sigma of the shape is allowed.
LINEAR = ("us", "diag", "known")


@dataclass(frozen=True)
class Entry:
    """Entry (i, j) of Sigma of a grouping factor (caller's order), in standard coordinates."""

    factor: int
    i: int
    j: int

    def matrix(self, size: int) -> np.ndarray:
        e = np.zeros((size, size))
        e[self.i, self.j] = e[self.j, self.i] = 1.0
        return e


@dataclass(frozen=True)
class Embedding:
    """The random part of a small model within that of a big one.

    entries, of_small : the entries of Sigma of the two models, linear structures only.
    coefficients : (len(entries), len(of_small)), the big model's entries that make the same V.
    common : terms of other structures that stand in both.
    extra : terms of other structures that only the big model has.
    """

    entries: tuple[Entry, ...]
    of_small: tuple[Entry, ...]
    coefficients: np.ndarray
    common: frozenset[str]
    extra: tuple[str, ...]

    def image(self, sigmas: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """The big model's Sigma (K, K) per factor that make the V of the small one's."""
        values = np.array([sigmas[e.factor][e.i, e.j] for e in self.of_small])
        out = [np.zeros((size, size)) for size in sizes]
        for entry, value in zip(self.entries, self.coefficients @ values, strict=True):
            out[entry.factor][entry.i, entry.j] = out[entry.factor][entry.j, entry.i] = value
        return out


def check_same_data(fits: Sequence[Fit]) -> None:
    """Raise `DesignError` unless all fits have the same response, rows, offset and weights."""
    first = fits[0]
    for fit in fits[1:]:
        a, b = first.design, fit.design
        names = f"'{first.formula}' and '{fit.formula}'"
        if a.n != b.n:
            raise DesignError(
                f"{names} were fitted to {a.n} and {b.n} rows. Missing values in a column that "
                "only one of them uses are the usual reason: fit both to the same complete rows."
            )
        if not np.array_equal(a.y, b.y):
            raise DesignError(f"{names} have different responses, or rows in another order.")
        for what, one, other in (("offset", a.offset, b.offset), ("weights", a.weights, b.weights)):
            if not _same(one, other, 0.0 if what == "offset" else 1.0):
                raise DesignError(f"{names} have different {what}: fit both with the same.")


def _same(a: np.ndarray | None, b: np.ndarray | None, default: float) -> bool:
    if a is None and b is None:
        return True
    return bool(np.allclose(default if a is None else a, default if b is None else b, rtol=1e-12))


# ---- fixed parts


def outside_columns(small: Fit, big: Fit) -> list[str]:
    """Names of the small model's fixed effects whose columns the big model does not span."""
    x, basis = small.optimum.problem.x, big.optimum.problem.x
    rest = x - basis @ (basis.T @ x) / len(x)
    r = small.optimum.problem.r_x
    raw = rest @ r / np.linalg.norm(r, axis=0)
    bad = np.sqrt(np.einsum("ij,ij->j", raw, raw) / len(x)) > TOLERANCE
    return [n for n, b in zip(small.design.names, bad, strict=True) if b]


def same_fixed_part(a: Fit, b: Fit) -> bool:
    """The fixed effects of both span the same columns."""
    return a.design.p == b.design.p and not outside_columns(a, b)


# ---- random parts


def embed(small: Fit, big: Fit) -> Embedding:
    """How the big model's random part holds the small one's.

    Raises
    ------
    DesignError : it does not; the message names a term.
    """
    common = _other_terms(small) & _other_terms(big)
    of_small, of_big = _entries(small, common, relax=True), _entries(big, common, relax=False)
    alone, own = _traces(big, of_big), np.diag(_gram(small, of_small, small, of_small))
    gram = np.block(
        [
            [_gram(big, of_big, big, of_big), alone[:, None]],
            [alone[None], np.array([[float(big.nobs)]])],
        ]
    )
    cross = np.vstack([_gram(big, of_big, small, of_small), _traces(small, of_small)[None]])
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    solved = np.linalg.lstsq(gram / np.outer(scale, scale), cross / scale[:, None], rcond=1e-12)[0]
    found = solved / scale[:, None]
    rest = own - np.einsum("ba,ba->a", cross, found)
    lost = [e for e, r, size in zip(of_small, rest, own, strict=True) if r > TOLERANCE * size]
    if lost:
        raise _not_within(small, big, lost[0])
    extra = tuple(sorted(_other_terms(big) - common))
    out = Embedding(tuple(of_big), tuple(of_small), found[:-1], common, extra)
    _check_positive(small, big, out)
    return out


def _not_within(small: Fit, big: Fit, entry: Entry) -> DesignError:
    factor = small.design.random[entry.factor]
    (term,) = [s.term.text for s in factor.slots if s.columns.start <= entry.i < s.columns.stop]
    return DesignError(
        f"'{small.formula}' is not within '{big.formula}': {term} is no special case of the "
        "larger model's random terms. Compare such models with henderson.compare (AIC, BIC)."
    )


def _other_terms(fit: Fit) -> frozenset[str]:
    return frozenset(
        slot.term.text
        for factor in fit.design.random
        for slot in factor.slots
        if slot.term.structure not in LINEAR
    )


def _entries(fit: Fit, common: frozenset[str], *, relax: bool) -> list[Entry]:
    """Entries of Sigma that the terms may move; `relax` takes other structures as unstructured."""
    out = []
    for t, factor in enumerate(fit.design.random):
        for slot in factor.slots:
            structure = slot.term.structure
            if slot.term.text in common or (structure not in LINEAR and not relax):
                continue
            span = range(slot.columns.start, slot.columns.stop)
            pairs = [(i, j) for i in span for j in span if j <= i]
            out += [Entry(t, i, j) for i, j in pairs if structure != "diag" or i == j]
    return out


def _gram(a: Fit, of_a: Sequence[Entry], b: Fit, of_b: Sequence[Entry]) -> np.ndarray:
    """tr(V_a V_b) for the entries of two models."""
    out = np.zeros((len(of_a), len(of_b)))
    left, right = a.optimum.problem.groupings, b.optimum.problem.groupings
    for s, one in enumerate(left):
        for t, other in enumerate(right):
            rows = [k for k, e in enumerate(of_a) if e.factor == s]
            columns = [k for k, e in enumerate(of_b) if e.factor == t]
            if rows and columns:
                m = _cell_products(one, other)
                first = np.array([of_a[k].matrix(one.size) for k in rows])
                second = np.array([of_b[k].matrix(other.size) for k in columns])
                pairs = np.einsum("cij,ckl->ijkl", m, m, optimize=True)
                block = np.einsum("aik,ijkl,bjl->ab", first, pairs, second, optimize=True)
                out[np.ix_(rows, columns)] = block
    return out


def _cell_products(a: Grouping, b: Grouping) -> np.ndarray:
    """Z_j'Z_k (cells, K_a, K_b) for the pairs of levels (j, k) that share rows; all pairs where
    levels are correlated, as effects are then."""
    if a.root is not None or b.root is not None:
        return _correlated_products(a, b)
    pair = a.codes.astype(np.int64) * b.n_levels + b.codes
    _, cell = np.unique(pair, return_inverse=True)
    count = int(cell.max()) + 1
    out = np.empty((count, a.size, b.size))
    for i in range(a.size):
        for j in range(b.size):
            out[:, i, j] = np.bincount(cell, weights=a.z[:, i] * b.z[:, j], minlength=count)
    return out


def _correlated_products(a: Grouping, b: Grouping) -> np.ndarray:
    out = np.empty((a.n_levels * b.n_levels, a.size, b.size))
    for i in range(a.size):
        for j in range(b.size):
            cells = (a.z[:, i] * b.z[:, j], (a.codes, b.codes))
            shared = coo_array(cells, shape=(a.n_levels, b.n_levels)).toarray()
            out[:, i, j] = b.from_levels(a.from_levels(shared).T).T.ravel()
    return out


def _traces(fit: Fit, entries: Sequence[Entry]) -> np.ndarray:
    """tr(V_a), (k,)."""
    groupings = fit.optimum.problem.groupings
    squares = [_squares(g) for g in groupings]
    return np.array(
        [np.sum(squares[e.factor] * e.matrix(groupings[e.factor].size)) for e in entries]
    )


def _squares(grouping: Grouping) -> np.ndarray:
    """sum_j Z_j'Z_j (K, K)."""
    z = grouping.z
    if grouping.root is None:
        return z.T @ z
    spread = np.einsum("ij,ij->i", grouping.root, grouping.root)
    return (z.T * spread[grouping.codes]) @ z


def _check_positive(small: Fit, big: Fit, embedding: Embedding) -> None:
    """Refuse an embedding that needs a negative variance; tried on Sigma of rank one."""
    sizes = [g.size for g in small.optimum.problem.groupings]
    big_sizes = [g.size for g in big.optimum.problem.groupings]
    for t, vector in _rank_one(sizes, embedding.of_small):
        sigmas = [np.zeros((size, size)) for size in sizes]
        sigmas[t] = np.outer(vector, vector)
        image = embedding.image(sigmas, big_sizes)
        values = np.concatenate([np.linalg.eigvalsh(block) for block in image if len(block)])
        if values.min() < -1e-6 * np.abs(values).max():
            raise _not_within(small, big, Entry(t, int(np.argmax(vector != 0)), 0))


def _rank_one(sizes: Sequence[int], entries: Sequence[Entry]) -> Iterator[tuple[int, np.ndarray]]:
    """(factor, v), Sigma = v v' that the entries allow: units, sums and differences of two."""
    allowed = {(e.factor, e.i, e.j) for e in entries}
    for t, size in enumerate(sizes):
        units = np.eye(size)
        yield from ((t, unit) for i, unit in enumerate(units) if (t, i, i) in allowed)
        for i, j in combinations(range(size), 2):
            if (t, j, i) in allowed:
                yield t, units[i] + units[j]
                yield t, units[i] - units[j]
