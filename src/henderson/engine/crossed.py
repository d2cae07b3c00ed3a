"""Fits with several grouping factors by the compiled kernels: the whole descent in one call.

The rules are those of `optimise`, as in `one_factor`; the tail is one dense matrix.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse

from henderson.engine import kernels
from henderson.engine.blocks import BlockCholesky, BlockPattern
from henderson.engine.criterion import Factorisation
from henderson.engine.crossproducts import CrossProducts, narrow
from henderson.engine.one_factor import DIAGONAL, Found, Rules, codes_of, compiled_kernels, phi_of
from henderson.engine.parameters import Layout

# Random effects up to which the compiled Hessian is exact: it holds a dense Z'V^-1Z.
MOST_EXACT = 1_000


def suits(cross: CrossProducts, layout: Layout, *, exact: bool) -> bool:
    """Whether the compiled fit covers a model: free or diagonal covariances, a dense tail.

    exact : whether the Hessian is to be exact, not the average information.
    """
    if kernels.compiled is None or len(cross.sizes) < 2:
        return False
    effects = sum(levels * size for levels, size in cross.sizes)
    sizes = [size for _, size in cross.sizes]
    return (
        max(sizes) <= kernels.compiled.MAX_SIZE
        and sum(sizes) <= kernels.compiled.MAX_EFFECTS
        and all(term.structure.name in DIAGONAL for _, term in layout.terms)
        # Links of correlated levels are one dense matrix, which numpy multiplies faster.
        and (effects <= MOST_EXACT or sparse.issparse(cross.linked))
        and (effects <= MOST_EXACT if exact else cross.squares.pattern.is_dense)
    )


def fit(
    cross: CrossProducts,
    layout: Layout,
    reml: bool,
    start: np.ndarray | None,
    rules: Rules,
    *,
    exact: bool,
) -> tuple[Found, Factorisation]:
    """The optimum for cross-products that `suits` accepts, and the equations there.

    start : an earlier optimum's phi.

    Raises
    ------
    FitError : X'V^-1X is singular, or the model explains the response exactly.
    """
    bases = np.cumsum([0, *(size for _, size in cross.sizes)])
    spans = [
        (a + int(bases[factor]), b + int(bases[factor]), diagonal)
        for factor, term in layout.terms
        for a, b, diagonal in codes_of([term])
    ]
    linked = cross.linked
    if not isinstance(linked, sparse.csr_array):
        linked = narrow(sparse.csr_array(linked))
    status, factor, verdict, equations = _kernels_with_lapack().fit_crossed(
        np.ascontiguousarray(cross.root),
        np.ascontiguousarray(cross.dense),
        linked.indptr,
        linked.indices,
        linked.data,
        np.ascontiguousarray(cross.within_xy),
        np.ascontiguousarray(cross.within_zxy.T),
        cross.squares.dense(),
        list(cross.sizes),
        cross.n,
        cross.log_weights,
        reml,
        spans,
        None if start is None else _block_diagonal(layout.factors(start)),
        rules.numbers if exact else replace(rules, prior=0.0).numbers,
        exact,
    )
    kernels.check(status)
    blocks = [factor[a:b, a:b] for a, b in pairwise(bases)]
    parts = [phi_of([term], blocks[place]) for place, term in layout.terms]
    found = Found(np.concatenate(parts), *verdict)
    return found, _factorisation(cross, tuple(blocks), equations)


def _clean(lower: np.ndarray, pattern: BlockPattern) -> np.ndarray:
    """The factor with zeros above the diagonal where several blocks are taken from it."""
    return lower if pattern.is_dense else np.tril(lower)


def _factorisation(
    cross: CrossProducts, factors: tuple[np.ndarray, ...], equations: tuple[Any, ...]
) -> Factorisation:
    """The equations that the kernels left at the optimum."""
    weighted, gd, f, n_xy, n_zxy, n_zz, lower, t_xy, beta, r_inverse, rss, log_v, log_xvx = (
        equations
    )
    pattern, p = cross.squares.pattern, cross.p
    some = any(m.any() for m in factors[1:])
    return Factorisation(
        cross=cross,
        sigmas=tuple(m @ m.T for m in factors),
        gd=gd,
        f=f,
        weighted=weighted,
        n_xy=n_xy,
        n_zxy=n_zxy.T,
        n_zz=pattern.pack(n_zz),
        s=BlockCholesky(pattern, pattern.pack(_clean(lower, pattern)).blocks) if some else None,
        factors=factors[1:],
        c=r_inverse @ r_inverse.T,
        beta=beta,
        gamma=t_xy[p] - beta @ t_xy[:p],
        rss=rss,
        log_v=log_v,
        log_xvx=log_xvx,
    )


@cache
def _kernels_with_lapack() -> ModuleType:
    """The compiled module, scipy's BLAS and LAPACK lent to it."""
    from scipy.linalg import cython_blas, cython_lapack

    module = compiled_kernels()
    module.borrow_lapack(cython_blas.__pyx_capi__, cython_lapack.__pyx_capi__)
    return module


def _block_diagonal(factors: list[np.ndarray]) -> np.ndarray:
    out = np.zeros((sum(len(m) for m in factors),) * 2)
    at = 0
    for m in factors:
        out[at : at + len(m), at : at + len(m)] = m
        at += len(m)
    return out
