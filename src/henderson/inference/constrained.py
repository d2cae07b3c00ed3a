"""The likelihood on a surface where one parameter has a given value: what a profile of a structured
model minimises.

With V relative to the residual variance s2, and beta profiled out,

    d(phi, s2) = log|V(phi)| + n log(2 pi s2) + r'V^-1r / s2,

-2 log-likelihood, is minimised over x = (phi, u), s2 = s2_least + exp(u), on c(x) = v, c any smooth
function of x. (With an effect a row there are likelihoods without residual variance.) Steps are
in the tangent space of the surface, each followed by Newton's return to it along the gradient of c;
on such steps d bends as d - m c does, m the multiplier (Absil, Mahony & Sepulchre 2008, ch. 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag, null_space

from henderson.engine.crossproducts import CrossProducts
from henderson.engine.derivatives import second_order
from henderson.engine.optimise import LARGE_TAIL, Evaluated, Optimum
from henderson.engine.parameters import Layout
from henderson.errors import FitError
from henderson.inference.held import REACH

# Steps of the differences that give c's derivatives: the roots of the precision that balance
# rounding and curvature.
FIRST, SECOND = 6e-6, 1e-4
CLOSE = 1e-11
# The least residual variance, as a share of the estimate.
LEAST = 1e-7


@dataclass(frozen=True)
class Surface:
    """c(x) = value; c is a function of the entries `where` of x alone."""

    where: np.ndarray
    function: Callable[[np.ndarray], float]
    value: float

    def at(self, x: np.ndarray) -> float:
        return self.function(x[self.where])

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """(m + 1,), by central differences."""
        own, out = x[self.where], np.zeros(len(x))
        for a, place in enumerate(self.where):
            step = FIRST * (1.0 + abs(own[a])) * np.eye(len(own))[a]
            rise = self.function(own + step) - self.function(own - step)
            out[place] = rise / (2.0 * step[a])
        return out

    def hessian(self, x: np.ndarray) -> np.ndarray:
        """(m + 1, m + 1), by differences of gradients."""
        out = np.zeros((len(x), len(x)))
        for place in self.where:
            step = np.zeros(len(x))
            step[place] = SECOND * (1.0 + abs(x[place]))
            rise = self.gradient(x + step) - self.gradient(x - step)
            out[place] = rise / (2.0 * step[place])
        return (out + out.T) / 2.0


@dataclass(frozen=True)
class Model:
    """The full deviance of a fit's model."""

    optimum: Optimum

    @property
    def layout(self) -> Layout:
        return self.optimum.layout

    @cached_property
    def least(self) -> float:
        """s2_least, in units of the standardised response."""
        return LEAST * self.optimum.factorisation.s2(False)

    @property
    def start(self) -> np.ndarray:
        """x at the optimum."""
        return np.append(self.optimum.at.phi, np.log(self.optimum.factorisation.s2(False)))

    def s2(self, u: float) -> float:
        return self.least + float(np.exp(u))

    def at(self, x: np.ndarray) -> Deviance:
        return Deviance(self, x)


@dataclass(frozen=True)
class Deviance:
    """d and its derivatives at x = (phi, u)."""

    model: Model
    x: np.ndarray

    @cached_property
    def at(self) -> Evaluated:
        """The criterion with s2 profiled out."""
        return Evaluated(self.model.optimum.cross, self.model.layout, False, self.x[:-1])

    @property
    def s2(self) -> float:
        return self.model.s2(float(self.x[-1]))

    @property
    def rate(self) -> float:
        """d log s2 / du."""
        return 1.0 - self.model.least / self.s2

    @property
    def ratio(self) -> float:
        return self.at.factorisation.rss / self.s2

    @cached_property
    def value(self) -> float:
        n, rss = self.model.optimum.cross.n, self.at.factorisation.rss
        # The criterion is d at the best s2; the rest is what this s2 costs.
        return self.at.value + n * (np.log(self.s2) - np.log(rss / n) - 1.0) + self.ratio

    @cached_property
    def _forms(self) -> np.ndarray:
        """y'P V_a P y (m,) along phi."""
        if not self.model.layout.directions:
            return np.zeros(0)
        second = second_order(self.at.factorisation, self.model.layout.directions)
        return self.at.jacobian.T @ second.q

    @cached_property
    def gradient(self) -> np.ndarray:
        best = self.at.factorisation.s2(False)
        own = self.at.gradient + self._forms * (1.0 / best - 1.0 / self.s2)
        return np.append(own, self.rate * self._slope)

    @property
    def _slope(self) -> float:
        """dd / d log s2."""
        return self.model.optimum.cross.n - self.ratio

    @cached_property
    def hessian(self) -> np.ndarray:
        """Exact but for the bends of V(phi), which are taken at the best s2: at the end of a
        descent that is s2, or near it."""
        edge = self.rate * self._forms[:, None] / self.s2
        corner = self.rate * (self.rate * self.ratio + (1.0 - self.rate) * self._slope)
        return np.block([[self._inner(), edge], [edge.T, np.array([[corner]])]])

    def _inner(self) -> np.ndarray:
        layout, cross = self.model.layout, self.model.optimum.cross
        if not layout.directions:
            return np.zeros((0, 0))
        second = second_order(self.at.factorisation, layout.directions)
        inner = second.quadratic / self.s2
        if not isinstance(cross, CrossProducts) or cross.m <= LARGE_TAIL:
            inner = 2.0 * inner - second.traces(False)
        return self.at.jacobian.T @ inner @ self.at.jacobian + self.at.curvature

    @cached_property
    def tangent(self) -> np.ndarray:
        """(m + 1, r) scaled directions."""
        blocks = [block for block in (self.at.tangent,) if block.size]
        return block_diag(*blocks, np.array([[REACH]]))


@dataclass(frozen=True)
class OnSurface:
    """A point of the surface, for `trust_region.minimise`."""

    model: Model
    surface: Surface
    near: np.ndarray

    @cached_property
    def phi(self) -> np.ndarray:
        """The point x of the surface that is reached from `near`.

        Raises
        ------
        FitError : none is.
        """
        x = self.near
        for _ in range(40):
            gap = self.surface.value - self.surface.at(x)
            if abs(gap) <= CLOSE * (1.0 + abs(self.surface.value)):
                return x
            slope, way = self._way(x)
            rate = float(slope @ way)
            if not np.isfinite(gap) or not rate > 0.0:
                break
            x = x + way * gap / rate
        raise FitError("No covariance parameters give the value that a profile asks for.")

    def _way(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of c, and the direction back to the surface."""
        slope = self.surface.gradient(x)
        z = self.model.at(x).tangent
        return slope, z @ (z.T @ slope)

    @cached_property
    def deviance(self) -> Deviance:
        return self.model.at(self.phi)

    @property
    def value(self) -> float:
        return self.deviance.value

    @property
    def gradient(self) -> np.ndarray:
        return self.deviance.gradient

    @cached_property
    def hessian(self) -> np.ndarray:
        slope, way = self._way(self.phi)
        multiplier = float(self.gradient @ way) / float(slope @ way)
        return self.deviance.hessian - multiplier * self.surface.hessian(self.phi)

    @cached_property
    def tangent(self) -> np.ndarray:
        z = self.deviance.tangent
        return z @ null_space((z.T @ self.surface.gradient(self.phi))[None])
