"""A trust-region Newton method for functions with exact gradients and Hessians.

The parameters may be redundant and of any scale: each evaluation brings a basis of the directions
that matter, scaled so that unit steps are of moderate size, and steps are measured in it. Negative
curvature is followed, so a saddle (Sigma = 0 is always stationary) is left, and a minimum on the
boundary is an ordinary minimum.

More & Sorensen (1983), SIAM J. Sci. Stat. Comput. 4(3); Absil, Mahony & Sepulchre (2008), ch. 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from henderson.errors import FitError


class Point(Protocol):
    """An evaluated point: position, value, derivatives, and a scaled basis of its tangents."""

    @property
    def phi(self) -> np.ndarray: ...
    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> np.ndarray: ...
    @property
    def hessian(self) -> np.ndarray: ...
    @property
    def tangent(self) -> np.ndarray: ...


P = TypeVar("P", bound=Point)
RADIUS = 1.0
LIMIT = 300  # steps
# A promised decrease below which derivatives serve for the next point too.
NEAR = 1e-5
# Steps after which none may be bold: they lead to the right region soon, or never.
BOLD_STEPS = 6
# How much less than in the last step a promise may shrink in the next: with an approximate Hessian
# some directions converge more slowly than others.
CAUTION = 100.0
EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Model:
    """The quadratic model at a point, in the eigenbasis of the reduced Hessian."""

    curvatures: np.ndarray
    slopes: np.ndarray
    basis: np.ndarray

    @staticmethod
    def at(point: Point) -> Model:
        z = point.tangent
        values, vectors = np.linalg.eigh(z.T @ point.hessian @ z)
        return Model(values, vectors.T @ (z.T @ point.gradient), z @ vectors)

    @property
    def scale(self) -> float:
        return float(np.abs(self.curvatures).max(initial=0.0)) or 1.0

    @property
    def decrease(self) -> float:
        """What a full Newton step promises, curvatures taken by their size."""
        sizes = np.maximum(np.abs(self.curvatures), 1e-10 * self.scale)
        return 0.5 * float(np.sum(self.slopes**2 / sizes))

    @property
    def convex(self) -> bool:
        """No direction of negative curvature beyond rounding."""
        return bool(self.curvatures.min(initial=0.0) > -1e-7 * self.scale)

    def predicted(self, step: np.ndarray) -> float:
        return float(self.slopes @ step + 0.5 * np.sum(self.curvatures * step**2))

    def move(self, phi: np.ndarray, radius: float) -> Move:
        """The trust region's step from phi."""
        step = self.step(radius)
        return Move(phi + self.basis @ step, float(np.linalg.norm(step)), self.predicted(step))

    def step(self, radius: float) -> np.ndarray:
        """The minimiser of the model within `radius`, in the eigenbasis."""
        lowest = float(self.curvatures.min(initial=0.0))
        floor = 1e-8 * self.scale
        shift = 0.0 if lowest > floor else floor - lowest
        step = -self.slopes / (self.curvatures + shift)
        if np.linalg.norm(step) > radius:
            return self._on_sphere(radius, shift)
        if lowest < -1e-7 * self.scale:
            return self._along_negative(step, radius)
        return step

    def _on_sphere(self, radius: float, low: float) -> np.ndarray:
        high = low + float(np.linalg.norm(self.slopes)) / radius + 1e-12
        for _ in range(60):
            middle = 0.5 * (low + high)
            if np.linalg.norm(self.slopes / (self.curvatures + middle)) > radius:
                low = middle
            else:
                high = middle
        return -self.slopes / (self.curvatures + high)

    def _along_negative(self, step: np.ndarray, radius: float) -> np.ndarray:
        """The hard case: little slope where the curvature is negative; go to the sphere anyway."""
        worst = int(np.argmin(self.curvatures))
        room = np.sqrt(max(0.0, radius**2 - float(step @ step)))
        step = step.copy()
        step[worst] += room if step[worst] >= 0 else -room
        return step


@dataclass(frozen=True)
class Move:
    """A step: where it leads, its length in the tangent's metric, and the change it promises.

    bold : it may be longer than the radius; such are taken early, until one fails.
    """

    phi: np.ndarray
    length: float
    predicted: float
    bold: bool = False


# The step to take instead of the plain one: (point, its model, the plain step, radius, whether it
# may be bold).
Choose = Callable[[P, Model, Move, float, bool], Move]


@dataclass(frozen=True)
class Descent(Generic[P]):
    """Where a descent ended: the best point, evaluations used, and whether it is a minimum.

    decrease : what one more Newton step promises.
    near : the last point whose derivatives were asked for: `point`, or the one just before it.
    """

    point: P
    evaluations: int
    converged: bool
    decrease: float
    near: P


def minimise(
    evaluate: Callable[[np.ndarray], P],
    start: P,
    *,
    tolerance: float,
    limit: int = LIMIT,
    choose: Choose[P] | None = None,
) -> Descent[P]:
    """Descend from an evaluated point until a full Newton step promises next to nothing.

    That is less than `tolerance`, or than the rounding of the function's value. Where the promise
    has shrunk so much with the last step that it would be so little after the next, that step is
    taken without asking for derivatives at its end. `choose` may put another step in the place of
    the trust region's.
    """
    point, radius, count, bold = start, RADIUS, 0, True
    model, shrinkage = Model.at(point), 1.0
    while count < limit:
        least = max(tolerance, EPSILON * abs(point.value))
        if model.decrease < least and model.convex:
            return Descent(point, count, True, model.decrease, point)
        move = model.move(point.phi, radius)
        if choose is not None:
            move = choose(point, model, move, radius, bold)
        length, predicted = move.length, move.predicted
        trial = evaluate(move.phi)
        count += 1
        noise = 1e-13 * (1.0 + abs(point.value))
        change = _value(trial) - point.value
        left = CAUTION * model.decrease * shrinkage
        if left < least and model.decrease < NEAR and model.convex and change <= noise:
            return Descent(trial, count, True, left, point)
        ratio = change / predicted if predicted < 0 else -1.0
        if ratio > 1e-4 or abs(change) <= noise:
            if abs(predicted) <= noise and Model.at(trial).decrease >= model.decrease:
                return Descent(point, count, model.convex, model.decrease, point)
            bold = bold and count < BOLD_STEPS
            before, point, model = model.decrease, trial, Model.at(trial)
            shrinkage = model.decrease / before if ratio > 0.75 and length < radius else 1.0
            if ratio > 0.75:
                radius = max(radius, 2.5 * length)
            elif ratio < 0.25:
                radius = 0.35 * length
        elif move.bold:
            bold = False
        else:
            shrinkage = 1.0
            radius = 0.25 * min(radius, length)
            if radius < 1e-12:
                break
    return Descent(point, count, False, model.decrease, point)


def _value(point: Point) -> float:
    """The function's value, infinite where it is not defined: the step is then shortened."""
    try:
        return point.value
    except FitError:
        return np.inf
