"""Residuals with their covariance R: standard deviations row by row, whitening, drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from henderson.covariance.residual.base import ResidualModel
from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.fit import Fit

KINDS = ("response", "pearson", "normalized")


@dataclass(frozen=True)
class ResidualCovariance:
    """R of n rows, block by block: W^-1/2 (sigma^2 S C S) W^-1/2.

    sigma : residual standard deviation; weights : (n,) or None.
    model, phi : of the structure S C S; None if the residuals are independent.
    """

    n: int
    sigma: float
    weights: np.ndarray | None = None
    model: ResidualModel | None = None
    phi: np.ndarray | None = None

    @cached_property
    def sd(self) -> np.ndarray:
        """Standard deviation (n,) of every row's residual."""
        sd = np.full(self.n, self.sigma)
        if self.weights is not None:
            sd = sd / np.sqrt(self.weights)
        if self.model is not None and self.phi is not None:
            each = self.model.bind(np.arange(self.n)[:, None])
            sd = sd * np.sqrt(each.value(self.phi)[:, 0, 0])
        return sd

    @property
    def is_correlated(self) -> bool:
        return self.model is not None and self.model.correlation is not None

    @cached_property
    def roots(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Groups of one size: their rows (count, s) and the lower Cholesky factors of C."""
        if self.model is None or self.phi is None or not self.is_correlated:
            return ()
        out = []
        for rows in _groups(self.model):
            r = self.model.bind(rows).value(self.phi)
            sd = np.sqrt(np.einsum("css->cs", r))
            out.append((rows, np.linalg.cholesky(r / (sd[:, :, None] * sd[:, None, :]))))
        return tuple(out)

    def whiten(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) with covariance R as values with covariance I, group by group in order."""
        out = values / self.sd
        for rows, root in self.roots:
            out[rows] = np.linalg.solve(root, out[rows][:, :, None])[:, :, 0]
        return out

    def colour(self, noise: np.ndarray) -> np.ndarray:
        """Independent noise (n, m) of variance one as residuals with covariance R."""
        out = noise.copy() if self.roots else noise
        for rows, root in self.roots:
            out[rows] = root @ out[rows]
        return self.sd[:, None] * out


def _groups(model: ResidualModel) -> Iterator[np.ndarray]:
    """The rows (count, s) of correlation groups, sizes one after the other, sorted by position."""
    at = np.zeros((len(model.codes), 1)) if model.positions is None else model.positions
    order = np.lexsort((*at.T[::-1], model.codes))
    counts = np.bincount(model.codes)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for s in np.unique(counts[counts > 0]):
        yield order[starts[counts == s][:, None] + np.arange(s)]


def residual_covariance(fit: Fit) -> ResidualCovariance:
    """R of a fit's rows."""
    layout = fit.optimum.layout
    model = layout.residual
    phi = None if model is None else layout.residual_part(fit.optimum.at.phi)
    return ResidualCovariance(fit.design.n, fit.sigma, fit.design.weights, model, phi)


def residuals(fit: Fit, kind: str) -> np.ndarray:
    """Conditional residuals (n,); see `Fit.residuals`.

    Raises
    ------
    DesignError : `kind` is none of "response", "pearson", "normalized".
    """
    if kind not in KINDS:
        raise DesignError(f"kind is 'response', 'pearson' or 'normalized', not {kind!r}.")
    values = fit.resid.to_numpy()
    if kind == "response":
        return values
    covariance = residual_covariance(fit)
    return values / covariance.sd if kind == "pearson" else covariance.whiten(values)
