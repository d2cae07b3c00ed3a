"""Which parameters of a big model a small one puts on the boundary, and how sure they are.

At the null hypothesis Sigma of a term has a null space U; the entries of U'Sigma U are on the
boundary of the cone of semidefinite matrices, all the others are inside. What is known about the
former when the latter are estimated too is the Schur complement of the information.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson.engine.criterion import factorise
from henderson.engine.crossproducts import CrossProducts
from henderson.engine.derivatives import Direction, information, second_order
from henderson.inference.chibar import cone_tail
from henderson.inference.nesting import Embedding

if TYPE_CHECKING:
    from henderson.fit import Fit

ZERO = 1e-7


@dataclass(frozen=True)
class _Block:
    """A term's Sigma at the null: columns of its factor (the caller's), null space U (K, r) and
    the range W (K, K - r) of a generic null value; `diagonal` if it has no covariances."""

    factor: int
    columns: slice
    null: np.ndarray
    range: np.ndarray
    diagonal: bool

    @property
    def cones(self) -> list[int]:
        r = self.null.shape[1]
        return [1] * r if self.diagonal else [r] * (r > 0)


def boundary_p(small: Fit, big: Fit, embedding: Embedding, statistic: float, df: int) -> float:
    """The p-value of a likelihood ratio that minds the boundary; NaN if its law is unknown."""
    if embedding.extra:
        return np.nan
    blocks = _blocks(small, big, embedding)
    cones = [r for block in blocks for r in block.cones]
    free = df - sum(r * (r + 1) // 2 for r in cones)
    needs_metric = bool(cones) and cones != [1]
    if free < 0 or (needs_metric and big.optimum.layout.residual is not None):
        return np.nan
    metric = _metric(small, big, embedding, blocks) if needs_metric else None
    return cone_tail(statistic, cones, metric, free)


def _blocks(small: Fit, big: Fit, embedding: Embedding) -> list[_Block]:
    """The terms of linear structure of the big model, at a generic value of the small one."""
    units = [np.eye(g.size) for g in small.optimum.problem.groupings]
    groupings = big.optimum.problem.groupings
    generic = embedding.image(units, [g.size for g in groupings])
    out = []
    for t, factor in enumerate(big.design.random):
        for slot in factor.slots:
            if slot.term.text in embedding.common:
                continue
            block = generic[t][slot.columns, slot.columns]
            values, vectors = np.linalg.eigh(block)
            zero = values <= ZERO * max(float(values[-1]), 1.0)
            diagonal = slot.term.structure == "diag"
            if diagonal:
                zero, vectors = np.diag(block) <= ZERO, np.eye(len(block))
            out.append(_Block(t, slot.columns, vectors[:, zero], vectors[:, ~zero], diagonal))
    return out


def _metric(small: Fit, big: Fit, embedding: Embedding, blocks: list[_Block]) -> np.ndarray:
    """The information (m, m) on the boundary's parameters at the small fit."""
    directions, on_boundary = _coordinates(big, blocks)
    whole = _information(small, big, embedding, directions)
    a, b = np.flatnonzero(on_boundary), np.flatnonzero(~on_boundary)
    inner = whole[np.ix_(a, b)]
    known = np.linalg.pinv(whole[np.ix_(b, b)], rcond=1e-12, hermitian=True)
    schur = whole[np.ix_(a, a)] - inner @ known @ inner.T
    return (schur + schur.T) / 2.0


def _coordinates(big: Fit, blocks: list[_Block]) -> tuple[list[tuple[int, np.ndarray]], np.ndarray]:
    """(factor, E (K, K)) per parameter, the residual variance last; which are on the boundary."""
    sizes = [g.size for g in big.optimum.problem.groupings]
    directions: list[tuple[int, np.ndarray]] = []
    boundary: list[bool] = []
    for block in blocks:
        basis = np.column_stack([block.null, block.range])
        r = block.null.shape[1]
        for i in range(len(basis)):
            for j in range(i + 1):
                if block.diagonal and i != j:
                    continue
                e = np.zeros((sizes[block.factor],) * 2)
                outer = np.outer(basis[:, i], basis[:, j])
                e[block.columns, block.columns] = outer if i == j else outer + outer.T
                directions.append((block.factor, e))
                boundary.append(i < r and j < r)
    return directions, np.array([*boundary, False])


def _information(
    small: Fit, big: Fit, embedding: Embedding, directions: list[tuple[int, np.ndarray]]
) -> np.ndarray:
    """tr(P V_a P V_b) (k + 1, k + 1) along `directions` and I, at the small model's estimate."""
    optimum = big.optimum
    sigmas = _null_sigmas(small, big, embedding)
    order = optimum.cross.order
    factors = [_root(sigmas[t]) for t in order]
    entries = tuple(
        Direction(place, i, j)
        for place, t in enumerate(order)
        for i in range(len(sigmas[t]))
        for j in range(i + 1)
    )
    cross = optimum.cross
    assert isinstance(cross, CrossProducts)
    known = information(second_order(factorise(cross, factors), entries))
    map_ = np.zeros((len(entries) + 1, len(directions) + 1))
    map_[-1, -1] = 1.0
    for a, (t, e) in enumerate(directions):
        map_[:-1, a] = [e[d.i, d.j] if order[d.factor] == t else 0.0 for d in entries]
    return map_.T @ known @ map_


def _null_sigmas(small: Fit, big: Fit, embedding: Embedding) -> list[np.ndarray]:
    """The big model's Sigma per factor that make the small fit's V.

    A term of a non-linear structure that stands in both has the big fit's estimate.
    """
    found = small.optimum.factorisation.sigmas
    own = [found[small.optimum.place(t)] for t in range(len(found))]
    sigmas = embedding.image(own, [g.size for g in big.optimum.problem.groupings])
    for t, factor in enumerate(big.design.random):
        for slot in factor.slots:
            if slot.term.text in embedding.common:
                own_estimate = big.optimum.factorisation.sigmas[big.optimum.place(t)]
                sigmas[t][slot.columns, slot.columns] = own_estimate[slot.columns, slot.columns]
    return sigmas


def _root(sigma: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(sigma)
    return vectors * np.sqrt(np.maximum(values, 0.0))
