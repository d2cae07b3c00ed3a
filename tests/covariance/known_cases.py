"""Made-up relatives: kinship, pedigrees, and random effects with a covariance between levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import oracle
import pandas as pd
from oracle import Array, Block

from henderson.fit import Fit

LEVELS = np.array([f"a{i:02d}" for i in range(24)])


@dataclass(frozen=True)
class KnownBlock(Block):
    """A factor whose levels have the covariance `k` (J, J)."""

    k: Array

    def spread(self, sigma: Array) -> Array:
        return np.kron(self.k, sigma)

    def level_sum(self, matrix: Array) -> Array:
        j, size = self.n_levels, self.size
        full = (self.dense.T @ matrix @ self.dense).reshape(j, size, j, size)
        return np.asarray(np.einsum("ij,iajb->ab", self.k, full))


def genomic(levels: int, markers: int, seed: int = 3) -> np.ndarray:
    """VanRaden's (2008) relationships (J, J) of unrelated individuals: MM' / sum 2 p (1 - p)."""
    m = np.random.default_rng(seed).binomial(2, 0.4, (levels, markers)).astype(float)
    p = m.mean(axis=0) / 2.0
    m = m - m.mean(axis=0)
    return m @ m.T / (2.0 * p * (1.0 - p)).sum()


def pedigree(founders: int, children: int, seed: int = 5) -> list[tuple[int, int]]:
    """Parents (sire, dam) of every individual, -1 for those of founders."""
    rng = np.random.default_rng(seed)
    out = [(-1, -1)] * founders
    for i in range(founders, founders + children):
        sire, dam = rng.choice(i, 2, replace=False)
        out.append((int(sire), int(dam)))
    return out


def numerator(parents: list[tuple[int, int]]) -> np.ndarray:
    """A (J, J) by the tabular method (Emik & Terrill 1949, J. Heredity 40)."""
    a = np.zeros((len(parents),) * 2)
    for i, both in enumerate(parents):
        known = [p for p in both if p >= 0]
        a[i, :i] = a[:i, i] = 0.5 * a[known, :i].sum(axis=0)
        a[i, i] = 1.0 + (0.5 * a[both] if len(known) == 2 else 0.0)
    return a


def numerator_inverse(parents: list[tuple[int, int]]) -> np.ndarray:
    """A^-1 by Henderson's (1976, Biometrics 32) rules, with inbreeding from A."""
    a, out = numerator(parents), np.zeros((len(parents),) * 2)
    for i, both in enumerate(parents):
        known = [p for p in both if p >= 0]
        d = 1.0 - 0.25 * sum(a[p, p] for p in known)
        row = np.zeros(len(parents))
        row[i], row[known] = 1.0, -0.5
        out += np.outer(row, row) / d
    return out


@dataclass(frozen=True)
class Relatives:
    """Repeated records of some of the levels of a matrix.

    k : (24, 24), levels in the order of `LEVELS`; observed : how many have rows.
    """

    k: np.ndarray
    observed: int = 20
    n: int = 70

    @cached_property
    def codes(self) -> np.ndarray:
        rng = np.random.default_rng(7)
        more = rng.integers(0, self.observed, self.n - self.observed)
        return rng.permutation(np.concatenate([np.arange(self.observed), more]))

    @cached_property
    def table(self) -> pd.DataFrame:
        rng, codes = np.random.default_rng(8), self.codes
        values, vectors = np.linalg.eigh(self.k)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        u, v = root @ rng.normal(size=(2, len(self.k), 1))
        batch = rng.integers(0, 6, self.n)
        x, e = rng.normal(size=(2, self.n))
        y = (
            1.0
            + x
            + (u[codes] + 0.6 * v[codes] * x[:, None])[:, 0]
            + 0.6 * rng.normal(size=6)[batch]
        )
        return pd.DataFrame(
            {
                "id": LEVELS[codes], "y": y + 0.7 * e, "x": x, "batch": batch,
                "w": rng.uniform(0.5, 2.0, self.n), "row": np.arange(self.n),
            }
        )  # fmt: skip

    @property
    def frame(self) -> pd.DataFrame:
        """The matrix with its levels."""
        return pd.DataFrame(self.k, index=LEVELS, columns=LEVELS)

    def block(self, columns: str, k: np.ndarray | None = None) -> KnownBlock:
        """The oracle's block of "1" or "1 + x" among the levels with rows."""
        z = np.ones((self.n, 1)) if columns == "1" else self.with_x
        own = (self.k if k is None else k)[: self.observed, : self.observed]
        return KnownBlock(self.codes, z, self.observed, own)

    @property
    def with_x(self) -> np.ndarray:
        return np.column_stack([np.ones(self.n), self.table["x"]])

    def batches(self) -> Block:
        return oracle.block(self.table["batch"].to_numpy(), np.ones(self.n))

    def solution(self, fit: Fit, *blocks: Block, **given: np.ndarray) -> oracle.Solution:
        """The oracle's at the fit's relative covariances."""
        problem = oracle.Problem(
            self.table["y"].to_numpy(), self.with_x, blocks, reml=fit.method == "REML", **given
        )
        return oracle.solve(problem, fit.optimum.sigmas)
