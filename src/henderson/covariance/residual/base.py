"""What the engine asks of a residual covariance, and how one is composed.

    R = S C S,   S = diag(exp(s_i)),

C a correlation matrix within groups of rows, exp(s_i) the relative standard deviation of row i. A
*correlation* gives C for pairs of rows; a *variance function* gives s for rows. Each is one small
class with unconstrained internal parameters and two derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


class Correlation(Protocol):
    """Correlations between rows of one group, as a function of internal parameters phi (m,).

    A pair of rows is described by the values of the structure's positions at its two ends.
    """

    @property
    def name(self) -> str: ...
    @property
    def n_parameters(self) -> int: ...

    def start(self) -> np.ndarray:
        """Internal parameters (m,) to begin from; the optimiser's start."""
        ...

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        """The parameters as people read them: {"rho": 0.6}, {"range": 3.1, "nugget": 0.1}."""
        ...

    def derivatives(
        self, phi: np.ndarray, left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C, dC (m, ...) and d2C (m, m, ...) for pairs of positions (..., d) of different rows.

        Values on the diagonal (a row with itself) are ignored: they are one.
        """
        ...


class Variance(Protocol):
    """log relative standard deviation of rows, as a function of internal parameters phi (m,)."""

    @property
    def name(self) -> str: ...
    @property
    def n_parameters(self) -> int: ...

    def start(self) -> np.ndarray: ...

    def natural(self, phi: np.ndarray) -> dict[str, float]: ...

    def derivatives(
        self, phi: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """s (...), ds (m, ...) and d2s (m, m, ...) at covariate values (..., d)."""
        ...


@dataclass(frozen=True)
class ResidualModel:
    """A residual covariance on the rows of a data set.

    codes : (n,) the correlation group of every row (each row its own group without correlation).
    correlation, positions : the structure and its positions (n, d); or None.
    variances, covariates : variance functions, whose product applies, and their values (n, d) each.
    """

    codes: np.ndarray
    correlation: Correlation | None = None
    positions: np.ndarray | None = None
    variances: tuple[Variance, ...] = ()
    covariates: tuple[np.ndarray, ...] = ()

    @property
    def parts(self) -> tuple[Correlation | Variance, ...]:
        return (() if self.correlation is None else (self.correlation,)) + self.variances

    @property
    def n_parameters(self) -> int:
        return sum(part.n_parameters for part in self.parts)

    def start(self) -> np.ndarray:
        return np.concatenate([part.start() for part in self.parts] or [np.zeros(0)])

    def split(self, phi: np.ndarray) -> list[np.ndarray]:
        """phi, part by part."""
        counts = [part.n_parameters for part in self.parts]
        return np.split(phi, np.cumsum(counts)[:-1]) if counts else []

    def natural(self, phi: np.ndarray) -> dict[str, dict[str, float]]:
        """The parameters as people read them, by the name of their part."""
        pieces = zip(self.parts, self.split(phi), strict=True)
        return {part.name: part.natural(piece) for part, piece in pieces}

    def bind(self, rows: np.ndarray) -> BoundResidual:
        """The covariance of stacked sets of rows (count, s)."""
        return BoundResidual(self, rows)


@dataclass(frozen=True)
class BoundResidual:
    """R (count, s, s) of stacked rows and its derivatives in phi."""

    model: ResidualModel
    rows: np.ndarray
    _last: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def value(self, phi: np.ndarray) -> np.ndarray:
        return self._pieces(phi).r

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """dR/dphi, (m, count, s, s)."""
        return self._pieces(phi).first()

    def curvature(self, phi: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """sum over entries of weight * d2R/dphi dphi', (m, m)."""
        pieces = self._pieces(phi)
        m = len(phi)
        out = np.empty((m, m))
        for a in range(m):
            for b in range(a + 1):
                out[a, b] = out[b, a] = float(np.sum(weight * pieces.second(a, b)))
        return out

    def second(self, phi: np.ndarray, a: int, b: int) -> np.ndarray:
        """d2R/dphi_a dphi_b, (count, s, s)."""
        return self._pieces(phi).second(a, b)

    def _pieces(self, phi: np.ndarray) -> _Pieces:
        """The parts evaluated at phi; the last evaluation is kept."""
        key = phi.tobytes()
        if self._last.get("key") != key:
            self._last["key"], self._last["pieces"] = key, _evaluate(self.model, self.rows, phi)
        return self._last["pieces"]


@dataclass(frozen=True)
class _Pieces:
    """C with its derivatives, and sums s_i + s_j with theirs; parameters in the model's order."""

    r: np.ndarray
    scale: np.ndarray
    c1: np.ndarray
    c2: np.ndarray
    s1: np.ndarray
    s2: np.ndarray

    @property
    def n_correlation(self) -> int:
        return len(self.c1)

    def first(self) -> np.ndarray:
        return np.concatenate([self.scale * self.c1, self.s1 * self.r])

    def second(self, a: int, b: int) -> np.ndarray:
        k = self.n_correlation
        a, b = max(a, b), min(a, b)
        if a < k:
            return self.scale * self.c2[a, b]
        if b < k:
            return self.s1[a - k] * self.scale * self.c1[b]
        return (self.s1[a - k] * self.s1[b - k] + self.s2[a - k, b - k]) * self.r


def _evaluate(model: ResidualModel, rows: np.ndarray, phi: np.ndarray) -> _Pieces:
    pieces = model.split(phi)
    c, c1, c2 = _correlation(model, rows, pieces[0] if model.correlation is not None else None)
    first = 0 if model.correlation is None else 1
    s, s1, s2 = _log_scales(model, rows, pieces[first:])
    scale = np.exp(s[:, :, None] + s[:, None, :])
    both1 = s1[:, :, :, None] + s1[:, :, None, :]
    both2 = s2[:, :, :, :, None] + s2[:, :, :, None, :]
    return _Pieces(scale * c, scale, c1, c2, both1, both2)


def _correlation(
    model: ResidualModel, rows: np.ndarray, phi: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, s = rows.shape
    eye = np.broadcast_to(np.eye(s), (count, s, s))
    if model.correlation is None or phi is None or model.positions is None:
        return eye, np.zeros((0, count, s, s)), np.zeros((0, 0, count, s, s))
    codes, at = model.codes[rows], model.positions[rows]
    apart = (codes[:, :, None] == codes[:, None, :]) & ~np.eye(s, dtype=bool)
    shape = (count, s, s, at.shape[-1])
    left, right = np.broadcast_to(at[:, :, None], shape), np.broadcast_to(at[:, None], shape)
    c, c1, c2 = model.correlation.derivatives(phi, left, right)
    return np.where(apart, c, eye), c1 * apart, c2 * apart


def _log_scales(
    model: ResidualModel, rows: np.ndarray, pieces: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """s (count, s) with derivatives (m, count, s) and (m, m, count, s), parts side by side."""
    m = sum(len(p) for p in pieces)
    s, s1, s2 = np.zeros(rows.shape), np.zeros((m, *rows.shape)), np.zeros((m, m, *rows.shape))
    start = 0
    for variance, values, phi in zip(model.variances, model.covariates, pieces, strict=True):
        own, own1, own2 = variance.derivatives(phi, values[rows])
        here = slice(start, start + len(phi))
        s, s1[here], s2[here, here] = s + own, own1, own2
        start += len(phi)
    return s, s1, s2
