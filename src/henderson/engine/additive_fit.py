"""From sums over rows to the problem in standard coordinates and its cross-products.

The way is that of `problem` and `crossproducts`, with Gram matrices where those have rows: a
triangular factor of X comes from Cholesky's, so columns must be told apart at about 10^-7.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from henderson.engine import kernels
from henderson.engine.additive import FactorSums, Sums
from henderson.engine.blocks import NO_PATTERN, BlockMatrix, find_pattern
from henderson.engine.crossproducts import CrossProducts, level_roots, narrow
from henderson.engine.problem import Given, Grouping, Standard, engine_order
from henderson.errors import FitError

# A pivot of scaled X'X below which a column is a combination of others, in numbers.
NO_PIVOT = 1e-13


def standard_of(sums: Sums) -> tuple[Standard, CrossProducts]:
    """The problem, without its rows, and its cross-products; both in standard coordinates.

    Raises
    ------
    FitError : the columns of X are collinear, or explain the response exactly.
    """
    maps = _maps(sums)
    bases = [_basis(f) for f in sums.factors]
    factors = [_standard_factor(f, b, maps.to_xy) for f, b in zip(sums.factors, bases, strict=True)]
    problem = Standard(
        given=_without_rows(sums),
        beta0=maps.beta0,
        r_x=maps.r_x,
        r_z=tuple(bases),
        y_scale=maps.y_scale,
        log_weights=sums.log_weights,
    )
    return problem, _cross_products(sums, problem, factors, maps.to_xy, bases)


@dataclass(frozen=True)
class _Maps:
    """to_xy (p + 1, p + 1) : from [X y] less the origin to standard coordinates; the rest as in
    `problem.Standard`."""

    beta0: np.ndarray
    r_x: np.ndarray
    y_scale: float
    to_xy: np.ndarray


def _maps(sums: Sums) -> _Maps:
    p, n = sums.p, sums.n
    gram, cross = sums.products[:p, :p], sums.products[:p, p]
    lengths = np.sqrt(np.diag(gram))
    lengths = np.where(lengths > 0.0, lengths, 1.0)
    scaled = gram / np.outer(lengths, lengths)
    try:
        upper = np.linalg.cholesky(scaled).T
    except np.linalg.LinAlgError:
        upper = np.zeros((p, p))
    if p and (np.diag(upper) ** 2).min() < NO_PIVOT:
        raise FitError(
            "The columns of X are collinear in numbers: leave out those that follow from others."
        )
    slopes = np.linalg.solve(scaled, cross / lengths) / lengths if p else cross
    ends = np.append(-slopes, 1.0)
    rss = float(ends @ sums.products @ ends)
    if not rss > 1e-28 * sums.products[p, p]:
        raise FitError("The fixed effects explain the response exactly: nothing is left to model.")
    back, beta0 = _undo_origin(sums, slopes)
    r_x = np.linalg.qr((upper * lengths) @ back, mode="r") / np.sqrt(n)
    y_scale = np.sqrt(rss / n)
    to_xy = np.zeros((p + 1, p + 1))
    to_xy[:p, :p] = back @ np.linalg.inv(r_x)
    to_xy[:, p] = ends / y_scale
    return _Maps(beta0, r_x, float(y_scale), to_xy)


def _undo_origin(sums: Sums, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """B with X less its origin = X B^-1, and the coefficients (p,) in the caller's X."""
    back, beta0, shift = np.eye(sums.p), slopes.copy(), sums.origin.shift
    if sums.origin.constant is not None:
        column, value = sums.origin.constant
        back[column] += shift[:-1] / value
        beta0[column] += (shift[-1] - shift[:-1] @ slopes) / value
    return back, beta0


def _basis(factor: FactorSums) -> np.ndarray:
    """The (K, K) change of basis of a factor, term by term; see `problem._standard_grouping`."""
    out = np.zeros((factor.size, factor.size))
    whole = factor.squares.sum(axis=0)
    for term in factor.terms:
        gram = whole[term.columns, term.columns]
        own = _basis_of_term(gram, term.structure.rotation)
        out[term.columns, term.columns] = own / np.sqrt(factor.n_levels)
    return out


def _basis_of_term(gram: np.ndarray, rotation: str) -> np.ndarray:
    lengths = np.sqrt(np.diag(gram))
    lengths = np.where(lengths > 0.0, lengths, 1.0)
    if rotation == "full" and len(gram) > 1:
        values = np.linalg.eigvalsh(gram / np.outer(lengths, lengths))
        if values[0] > NO_PIVOT:
            return np.linalg.cholesky(gram / np.outer(lengths, lengths)).T * lengths
    if rotation == "scalar":
        return np.eye(len(gram)) * np.sqrt((lengths**2).mean())
    return np.diag(lengths)


def _standard_factor(factor: FactorSums, basis: np.ndarray, to_xy: np.ndarray) -> FactorSums:
    inverse = np.linalg.inv(basis)
    squares = inverse.T @ factor.squares @ inverse
    return FactorSums(factor.terms, squares, inverse.T @ factor.with_xy @ to_xy)


def _without_rows(sums: Sums) -> Given:
    """What the engine asks of the caller's problem, with no rows in it."""
    groupings = tuple(
        Grouping(np.zeros(0, dtype=np.intp), f.n_levels, np.zeros((0, f.size)), f.terms)
        for f in sums.factors
    )
    return Given(np.zeros(0), np.zeros((0, sums.p)), groupings, None)


def _cross_products(
    sums: Sums,
    problem: Standard,
    factors: list[FactorSums],
    to_xy: np.ndarray,
    bases: list[np.ndarray],
) -> CrossProducts:
    order = engine_order(problem.given.groupings)
    width = sums.p + 1
    products = to_xy.T @ sums.products @ to_xy
    ordered = [factors[t] for t in order]
    if ordered:
        root, inverse = level_roots(ordered[0].squares)
        dense = inverse @ ordered[0].with_xy
    else:
        root = inverse = np.zeros((0, 0, 0))
        dense = np.zeros((0, 0, width))
    flat = dense.reshape(-1, width)
    linked, squares = None, BlockMatrix(NO_PATTERN, ())
    within_zxy = np.zeros((0, width))
    if len(ordered) > 1:
        linked, squares = _tail(sums, order, factors, bases, inverse)
        with_xy = np.concatenate([f.with_xy.reshape(-1, width) for f in ordered[1:]])
        within_zxy = with_xy - linked.T @ flat
    ends = np.cumsum([0, *(f.n_levels * f.size for f in ordered[1:])])
    return CrossProducts(
        n=sums.n,
        p=sums.p,
        log_weights=sums.log_weights,
        order=order,
        sizes=tuple((f.n_levels, f.size) for f in ordered),
        root=root,
        dense=dense,
        linked=linked,
        within_xy=products - flat.T @ flat,
        within_zxy=within_zxy,
        squares=squares,
        tail=tuple(slice(int(a), int(b)) for a, b in pairwise(ends)),
    )


def _tail(
    sums: Sums,
    order: tuple[int, ...],
    factors: list[FactorSums],
    bases: list[np.ndarray],
    inverse: np.ndarray,
) -> tuple[sparse.csr_array, BlockMatrix]:
    """C^+ Z_head'Z_tail, and Z_tail'Z_tail in the blocks of its pattern."""
    maps = [
        sparse.kron(sparse.eye_array(f.n_levels), np.linalg.inv(b), format="csr")
        for f, b in zip(factors, bases, strict=True)
    ]

    def between(s: int, t: int) -> sparse.csr_array:
        raw = sums.cells[s, t] if s < t else sums.cells[t, s].T
        return sparse.csr_array(maps[s].T @ raw @ maps[t])

    head, *rest = order
    links = sparse.csr_array(sparse.hstack([between(head, t) for t in rest], format="csr"))
    sizes = [(factors[t].n_levels, factors[t].size) for t in rest]
    size = factors[head].size
    levels = sparse.kron(sparse.eye_array(factors[head].n_levels), np.ones((1, size)))
    pattern = find_pattern(sparse.csr_array(levels @ abs(links)), sizes)
    blocks = [
        [
            sparse.block_diag(list(factors[s].squares), format="csr") if s == t else between(s, t)
            for t in rest
        ]
        for s in rest
    ]
    own = sparse.csr_array(sparse.block_array(blocks, format="csr"))
    linked = kernels.scale_levels(inverse, links)
    return narrow(sparse.csr_array(linked)), pattern.pack(own)
