"""Steps of a descent by a model that is quadratic in Sigma instead of in its factor M.

The criterion at Sigma + delta is modelled as <D, delta> + delta'B delta / 2 along the entries of
Sigma, and the model is minimised over M, which costs no evaluation of the criterion. With B the
Hessian this is the better model near a Sigma that is all but singular, where the criterion is
smooth in Sigma and of fourth order in M. With B the expected information it is Fisher's scoring,
which takes a far start to the right order of magnitude at once, where the Hessian is indefinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import eigvalsh

from henderson.covariance.base import SMALL
from henderson.engine.derivatives import Direction
from henderson.engine.parameters import Layout
from henderson.engine.trust_region import Model, Move, minimise

# A promised decrease beyond which a point is far from the optimum.
FAR = 1.0
# Relative difference of the two models' promises up to which the plain step is as good.
ALIKE = 0.1
# How much scoring may shrink and stretch Sigma along any direction.
LEAST, MOST = 0.02, 1e4
# Steps of the descent on the model, and the decrease at which it stops.
STEPS, TOLERANCE = 20, 1e-14


class Point(Protocol):
    """An evaluated point of the criterion; see `optimise.Evaluated`."""

    @property
    def phi(self) -> np.ndarray: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def d(self) -> tuple[np.ndarray, ...]: ...
    @property
    def hessian_sigma(self) -> np.ndarray: ...
    @property
    def expected_sigma(self) -> np.ndarray: ...


@dataclass(frozen=True)
class SigmaModel:
    """The change of the criterion from Sigma_0 as the model has it, at one phi.

    origin : the entries of Sigma_0 along the layout's directions, (k,); d : D (K, K) per factor;
    curvature : B (k, k).
    """

    layout: Layout
    phi: np.ndarray
    origin: np.ndarray
    d: tuple[np.ndarray, ...]
    curvature: np.ndarray

    @staticmethod
    def at(point: Point, curvature: np.ndarray) -> SigmaModel:
        origin = _entries(point.layout, point.phi)
        return SigmaModel(point.layout, point.phi, origin, point.d, curvature)

    def moved_to(self, phi: np.ndarray) -> SigmaModel:
        return SigmaModel(self.layout, phi, self.origin, self.d, self.curvature)

    @cached_property
    def _delta(self) -> np.ndarray:
        return _entries(self.layout, self.phi) - self.origin

    @cached_property
    def value(self) -> float:
        slopes = [_slope(self.d, direction) for direction in self.layout.sigma_directions]
        return float((slopes + 0.5 * self.curvature @ self._delta) @ self._delta)

    @cached_property
    def _moved_d(self) -> tuple[np.ndarray, ...]:
        """D at this Sigma."""
        out = tuple(np.array(d) for d in self.d)
        moved = self.curvature @ self._delta
        for x, change in zip(self.layout.sigma_directions, moved, strict=True):
            out[x.factor][x.i, x.j] += 0.5 * change
            out[x.factor][x.j, x.i] += 0.5 * change
        return out

    @cached_property
    def gradient(self) -> np.ndarray:
        return self.layout.gradient(self.phi, self._moved_d)

    @cached_property
    def hessian(self) -> np.ndarray:
        jacobian = self.layout.jacobian(self.phi)
        return jacobian.T @ self.curvature @ jacobian + self.layout.curvature(
            self.phi, self._moved_d
        )

    @cached_property
    def tangent(self) -> np.ndarray:
        return self.layout.tangent(self.phi)


def better_move(point: Point, model: Model, plain: Move, radius: float, bold: bool) -> Move:
    """The step of a model quadratic in Sigma where it is the better one, else the plain step.

    bold : whether it may be longer than the radius, as scoring is.
    """
    if model.decrease > FAR or not model.convex:
        return _scored(point, model, plain) if bold else plain
    near = SigmaModel.at(point, point.hessian_sigma)
    promised = near.moved_to(plain.phi).value
    if abs(promised - plain.predicted) <= ALIKE * abs(plain.predicted):
        return plain
    move = _minimised(near, model)
    return move if move.predicted < 0.0 and move.length <= radius else plain


def _scored(point: Point, model: Model, plain: Move) -> Move:
    """Fisher's scoring, unless it changes Sigma out of all proportion."""
    move = _minimised(SigmaModel.at(point, point.expected_sigma), model)
    pairs = zip(point.layout.factors(point.phi), point.layout.factors(move.phi), strict=True)
    fine = move.predicted < 0.0 and all(_in_proportion(m, n) for m, n in pairs)
    return replace(move, bold=True) if fine else plain


def _in_proportion(before: np.ndarray, after: np.ndarray) -> bool:
    small = SMALL * np.eye(len(before))
    ratios = eigvalsh(after @ after.T + small, before @ before.T + small)
    return bool(ratios[0] > LEAST and ratios[-1] < MOST)


def _minimised(start: SigmaModel, model: Model) -> Move:
    """To where the model is lowest."""
    evaluate: Callable[[np.ndarray], SigmaModel] = start.moved_to
    with np.errstate(over="ignore", invalid="ignore"):  # the model may have no lower bound
        found = minimise(evaluate, start, tolerance=TOLERANCE, limit=STEPS).point
    step = np.linalg.lstsq(model.basis, found.phi - start.phi, rcond=None)[0]
    return Move(found.phi, float(np.linalg.norm(step)), found.value)


def _entries(layout: Layout, phi: np.ndarray) -> np.ndarray:
    """The entries of every Sigma along the layout's directions, (k,)."""
    sigmas = [m @ m.T for m in layout.factors(phi)]
    return np.array([sigmas[x.factor][x.i, x.j] for x in layout.sigma_directions])


def _slope(d: tuple[np.ndarray, ...], x: Direction) -> float:
    """The derivative along a direction, of which both triangles are one entry."""
    return float(d[x.factor][x.i, x.j]) * (1.0 if x.i == x.j else 2.0)
