"""Descent by gradients alone, where the criterion itself is only known up to noise.

The gradient that random probes give is a smooth function of the parameters; it is not quite the
gradient of the criterion that the same probes give. So the descent looks for a root of the gradient
with the average information as its slope, and judges a step by the integral of the gradient along
it instead of by two values of the criterion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from henderson.engine.trust_region import RADIUS, Descent, Model, Point

P = TypeVar("P", bound=Point)
# A descent stops when a full Newton step promises less: 10^-4 of a standard error.
TOLERANCE = 1e-8
# Nodes and weights of Gauss and Legendre's rule with four points on (0, 1).
_ABSCISSAE, _WEIGHTS = np.polynomial.legendre.leggauss(4)
NODES, WEIGHTS = (_ABSCISSAE + 1.0) / 2.0, _WEIGHTS / 2.0


def find_root(evaluate: Callable[[np.ndarray], P], start: P, *, limit: int = 100) -> Descent[P]:
    """Descend from an evaluated point until a full Newton step promises less than `TOLERANCE`."""
    point, radius, count = start, RADIUS, 0
    model = Model.at(point)
    while count < limit:
        if model.decrease < TOLERANCE and model.convex:
            return Descent(point, count, True, model.decrease, point)
        step = model.step(radius)
        length, predicted = float(np.linalg.norm(step)), model.predicted(step)
        trial = evaluate(point.phi + model.basis @ step)
        count += 1
        change = 0.5 * float((point.gradient + trial.gradient) @ (trial.phi - point.phi))
        ratio = change / predicted if predicted < 0 else -1.0
        if ratio > 1e-4:
            point, model = trial, Model.at(trial)
            if ratio > 0.75:
                radius = max(radius, 2.5 * length)
            elif ratio < 0.25:
                radius = 0.35 * length
        else:
            radius = 0.25 * min(radius, length)
            if radius < 1e-8:
                break
    return Descent(point, count, False, model.decrease, point)


def integrated_rise(
    evaluate: Callable[[np.ndarray], P], low: np.ndarray, high: np.ndarray
) -> float:
    """The criterion at phi = `high` less that at `low`: the gradient integrated on the way."""
    way = high - low
    slopes = [float(evaluate(low + node * way).gradient @ way) for node in NODES]
    return float(WEIGHTS @ slopes)
