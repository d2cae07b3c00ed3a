"""Where bootstrap responses and rows come from, beside the fitted model itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.engine.optimise import Optimum, optimise
from henderson.engine.problem import standardise
from henderson.errors import FitError
from henderson.inference.clusters import independent_clusters
from henderson.inference.refits import Shared, is_structured, shared_of

if TYPE_CHECKING:
    from henderson.fit import Fit


@dataclass(frozen=True)
class Pool:
    """Effects of a factor to draw from: `codes` (n,), `z` (n, K), `effects` (J, K)."""

    codes: np.ndarray
    z: np.ndarray
    effects: np.ndarray

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Z b (n, count), every level's effects those of a level drawn with replacement."""
        levels = len(self.effects)
        drawn = self.effects[rng.integers(levels, size=(levels, count))]
        return np.einsum("nk,nck->nc", self.z, drawn[self.codes])


@dataclass(frozen=True)
class ResidualProcess:
    """mean (n,) + Z b* + sd e*, b* and e* drawn with replacement from those of the fit.

    Predicted effects are shrunken and residuals too small; both are centred and stretched to the
    estimated covariances first (Carpenter, Goldstein & Rasbash 2003, Appl. Statist. 52).
    """

    mean: np.ndarray
    pools: tuple[Pool, ...]
    residuals: np.ndarray
    sd: np.ndarray

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` responses, (n, count)."""
        n = len(self.mean)
        out = (
            self.mean[:, None] + self.sd[:, None] * self.residuals[rng.integers(n, size=(n, count))]
        )
        for pool in self.pools:
            out += pool.draw(rng, count)
        return out


def residual_process(fit: Fit) -> ResidualProcess:
    """The residual bootstrap of a fit.

    Raises
    ------
    FitError : levels with a known covariance, whose effects are not drawn from one another's.
    """
    design = fit.design
    if any(f.known is not None for f in design.random):
        raise FitError(
            "Effects of levels with a known covariance are not exchangeable, so none can be drawn "
            "for another: use kind='parametric'."
        )
    mean = fit.predict(random="none").to_numpy()
    pools = tuple(
        Pool(f.codes, f.z, _stretched(fit.optimum.modes(t), fit.scale * fit.optimum.sigmas[t]))
        for t, f in enumerate(design.random)
    )
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    residuals = fit.resid.to_numpy() * root
    residuals = residuals - residuals.mean()
    residuals = residuals / np.sqrt(np.mean(residuals**2))
    return ResidualProcess(mean, pools, residuals, fit.sigma / root)


def _stretched(modes: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """The modes (J, K), centred, with covariance `cov` where they have any."""
    centred = modes - modes.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    good = values > 1e-10 * max(float(values[-1]), 0.0)
    inverse = np.where(good, 1.0 / np.sqrt(np.where(good, values, 1.0)), 0.0)
    wanted, axes = np.linalg.eigh(cov)
    root = (axes * np.sqrt(np.maximum(wanted, 0.0))) @ axes.T
    return centred @ (vectors * inverse) @ vectors.T @ root


# ---- whole clusters


@dataclass(frozen=True)
class CaseProcess:
    """Whole clusters drawn with replacement: y (n,) less the offset, `clusters` (n,) in 0..G-1."""

    shared: Shared
    y: np.ndarray
    clusters: np.ndarray
    n_clusters: int

    def draw(self, rng: np.random.Generator) -> Optimum:
        """The fit of one resample; a cluster that is drawn twice counts as two.

        Raises
        ------
        FitError : the resample cannot be fitted.
        """
        return self.fit(rng.integers(self.n_clusters, size=self.n_clusters))

    def without(self, cluster: int) -> Optimum:
        """The fit of all the other clusters."""
        return self.fit(np.delete(np.arange(self.n_clusters), cluster))

    def fit(self, chosen: np.ndarray) -> Optimum:
        """The fit of the chosen clusters (G',)."""
        rows, copy = self._rows(chosen)
        shared, x = self.shared, self.shared.x[rows]
        if x.shape[1] and np.linalg.matrix_rank(x) < x.shape[1]:
            raise FitError("A fixed effect cannot be estimated from the clusters drawn.")
        groupings = []
        for g in shared.groupings:
            label = copy * g.n_levels + g.codes[rows]
            levels, codes = np.unique(label, return_inverse=True)
            groupings.append(replace(g, codes=codes, n_levels=len(levels), z=g.z[rows]))
        weights = None if shared.weights is None else shared.weights[rows]
        return optimise(standardise(self.y[rows], x, groupings, weights), shared.reml)

    def _rows(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the chosen clusters, and which choice each belongs to."""
        order = np.argsort(self.clusters, kind="stable")
        counts = np.bincount(self.clusters, minlength=self.n_clusters)
        starts = np.concatenate([[0], np.cumsum(counts)])
        rows = np.concatenate([order[starts[c] : starts[c + 1]] for c in chosen])
        return rows, np.repeat(np.arange(len(chosen)), counts[chosen])


def case_process(fit: Fit, cluster: Any) -> CaseProcess:
    """The case bootstrap of a fit.

    Raises
    ------
    DesignError : the grouping factors are crossed and no clusters are given.
    FitError : structured residuals.
    """
    if is_structured(fit):
        raise FitError(
            "This model's clusters are not resampled, as its residuals are structured or its "
            "levels correlated: use the parametric bootstrap, with percentile, basic or normal "
            "intervals."
        )
    found = independent_clusters(fit, cluster)
    y = fit.design.y if fit.design.offset is None else fit.design.y - fit.design.offset
    return CaseProcess(shared_of(fit), y, found.codes, len(found.levels))
