"""What the fixed effects are without some rows, the covariance parameters held; exactly.

To leave out the rows I is to give each of them a mean of its own. With A = (V^-1X)_I, K = (V^-1)_II
and C = (X'V^-1X)^-1, all of them of the whole data,

    C_(I) = (C^-1 - A'K^-1A)^-1,    beta_(I) = beta - C_(I) A'K^-1 (Py)_I

and y'Py falls by r'K^-1r + r'K^-1A C_(I) A'K^-1r, r = (Py)_I (Christensen, Pearson & Johnson 1992,
Technometrics 34; Haslett 1999, JRSS B 61). K is the largest array: (s, s) for s rows. Sets of very
many rows are left out of the cross-products instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from henderson.design.known import diagonal_root
from henderson.diagnostics.precision import Precision
from henderson.diagnostics.row_sets import RowSets, stacks
from henderson.engine.criterion import factorise
from henderson.engine.crossproducts import cross_products
from henderson.engine.dense import dense_products, factorise_dense
from henderson.engine.problem import Grouping, Rows, Standard
from henderson.engine.structured import StructuredFactorisation

if TYPE_CHECKING:
    from henderson.covariance.residual.base import ResidualModel
    from henderson.engine.criterion import Blocks
    from henderson.engine.optimise import Optimum

# A set of more rows is left out of the cross-products: an (s, s) block would cost more.
MOST_ROWS = 1500
# Information on a contrast, as a share of all, below which the other rows do not tell it.
NOTHING_LEFT = 1e-9


@dataclass(frozen=True)
class Deletions:
    """What changes without each of J sets, in standard coordinates; NaN where X loses rank.

    shift : beta - beta_(I) (J, p).
    c : (X'V^-1X)^-1 of the other rows (J, p, p).
    log_ratio : log |C_(I)| / |C| (J,).
    log_v : log|V| less that of the other rows (J,).
    rss : y'Py less that of the other rows (J,).
    """

    shift: np.ndarray
    c: np.ndarray
    log_ratio: np.ndarray
    log_v: np.ndarray
    rss: np.ndarray

    @staticmethod
    def empty(count: int, p: int) -> Deletions:
        none = [np.full(count, np.nan) for _ in range(3)]
        return Deletions(np.full((count, p), np.nan), np.full((count, p, p), np.nan), *none)


def deletions(optimum: Optimum, v: Precision, sets: RowSets) -> Deletions:
    """Leave out each set in turn."""
    out = Deletions.empty(len(sets), len(v.c))
    for members, rows in stacks(sets.codes, width=v.width):
        if rows.shape[1] <= MOST_ROWS:
            _by_blocks(out, v, members, rows)
        else:
            for j in members:
                _by_the_rest(out, optimum, int(j), np.flatnonzero(sets.codes != j))
    return out


def _by_blocks(out: Deletions, v: Precision, members: np.ndarray, rows: np.ndarray) -> None:
    p = len(v.c)
    lower = np.linalg.cholesky(v.blocks(rows))
    ends = np.concatenate([v.vx[rows], v.py[rows][:, :, None]], axis=2)
    half = np.linalg.solve(lower, ends)
    a, r = half[:, :, :p], half[:, :, p]
    root = np.linalg.cholesky(v.c)
    taken = root.T @ (a.swapaxes(1, 2) @ a) @ root
    shares, vectors = np.linalg.eigh(taken)
    left = 1.0 - shares
    told = left.min(axis=1, initial=1.0) > NOTHING_LEFT
    left = np.where(told[:, None], left, np.nan)
    back = root @ vectors
    c = (back / left[:, None, :]) @ back.swapaxes(1, 2)
    q = np.einsum("csp,cs->cp", a, r)
    shift = np.einsum("cpq,cq->cp", c, q)
    out.shift[members], out.c[members] = shift, c
    out.log_ratio[members] = -np.log(left).sum(axis=1)
    out.log_v[members] = -2.0 * np.log(np.einsum("css->cs", lower)).sum(axis=1)
    out.rss[members] = np.einsum("cs,cs->c", r, r) + np.einsum("cp,cp->c", q, shift)


def _by_the_rest(out: Deletions, optimum: Optimum, j: int, rest: np.ndarray) -> None:
    """One set, from the cross-products of the other rows."""
    whole = optimum.factorisation
    problem = without(optimum.problem, rest)
    p = problem.x.shape[1]
    gram = problem.x.T @ problem.x / len(optimum.problem.y)
    if len(rest) <= p or (p and np.linalg.eigvalsh(gram)[0] < NOTHING_LEFT):
        return
    f = _factorise(optimum, problem, rest)
    out.shift[j], out.c[j] = whole.beta - f.beta, f.c
    out.log_ratio[j] = np.linalg.slogdet(f.c)[1] - np.linalg.slogdet(whole.c)[1]
    out.log_v[j] = whole.log_v - f.log_v  # type: ignore[attr-defined]
    out.rss[j] = whole.rss - f.rss


def _factorise(optimum: Optimum, problem: Standard, rest: np.ndarray) -> Blocks:
    at, factors = optimum.at, optimum.layout.factors(optimum.at.phi)
    if isinstance(optimum.factorisation, StructuredFactorisation):
        residual = residual_rows(optimum.factorisation.cross.residual, rest)
        products = dense_products(problem, residual)
        return factorise_dense(products, factors, optimum.layout.residual_part(at.phi))
    cross = cross_products(problem)
    order = [optimum.layout.factors(at.phi)[optimum.place(t)] for t in cross.order]
    return factorise(cross, order)


def without(problem: Standard, rest: np.ndarray) -> Standard:
    """A problem with some of its rows, in the same coordinates."""
    groupings = []
    for g in problem.groupings:
        if g.root is not None:
            groupings.append(_without_rows(g, rest))
            continue
        levels, codes = np.unique(g.codes[rest], return_inverse=True)
        groupings.append(replace(g, codes=codes, n_levels=len(levels), z=g.z[rest]))
    rows = Rows(problem.x[rest], problem.y[rest], tuple(groupings))
    return replace(problem, rows=rows, reduced=None)


def _without_rows(grouping: Grouping, rest: np.ndarray) -> Grouping:
    """A factor of correlated levels with some of its rows: all levels stay."""
    codes, z = grouping.codes[rest], grouping.z[rest]
    assert grouping.root is not None
    root = grouping.root
    if grouping.size == 1:
        root = diagonal_root(root, np.bincount(codes, z[:, 0] ** 2, grouping.n_levels))
    return replace(grouping, codes=codes, z=z, root=root)


def residual_rows(model: ResidualModel, rest: np.ndarray) -> ResidualModel:
    """The residual covariance of some rows."""
    return replace(
        model,
        codes=np.unique(model.codes[rest], return_inverse=True)[1],
        positions=None if model.positions is None else model.positions[rest],
        covariates=tuple(c[rest] for c in model.covariates),
    )
