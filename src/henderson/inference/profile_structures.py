"""Paths of the parameters of structured models: of covariance structures of random effects and of
residuals, as they are printed, and of all that stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from henderson.engine.optimise import Optimum, optimise
from henderson.engine.problem import standardise
from henderson.engine.trust_region import minimise
from henderson.inference.constrained import Model, OnSurface, Surface
from henderson.inference.profile_parameters import Parameter, parameters
from henderson.inference.profile_paths import SLACK, TOLERANCE, LowerDeviance, Path, Solved, Solver

if TYPE_CHECKING:
    from henderson.design import Design
    from henderson.fit import Fit

# Ends of a path along an internal parameter, and where its limit is read off.
FAR, LIMIT, HUGE = 10.0, 700.0, 1e100
# A standard deviation below this share of the residuals' is zero to a likelihood.
LEAST = 1e-5
# How far a held parameter is moved at once, in logarithms or other internal units.
STRIDE = 0.5
# A parameter that far from the optimum may have come upon a plateau.
PLATEAU = 5.0
CLIP = 1e-9
# The nearest to one that a correlation is held at, which counts as one; and the relative variance
# (of standardised effects) that takes a Sigma off the boundary.
EDGE, INSIDE = 1e-4, 1e-3


def structured_paths(fit: Fit, ml: Optimum, *, terms: bool = True) -> tuple[Path, ...]:
    """The paths of all parameters of a structured model; see `profile_paths.paths`."""
    walk = Walk(Model(ml))
    own = tuple(_parameter_paths(fit.design, walk)) if terms else ()
    return (*own, walk.sigma_path(), *_fixed_paths(fit, ml))


# ---- their paths


@dataclass(frozen=True)
class Walk:
    """Paths over the covariance parameters, from the optimum x."""

    model: Model

    @property
    def ml(self) -> Optimum:
        return self.model.optimum

    @cached_property
    def x(self) -> np.ndarray:
        return self.model.start

    def sigma_path(self) -> Path:
        ml, last = self.ml, np.array([len(self.x) - 1])
        centre, low = 0.5 * float(self.x[-1]), 0.5 * float(np.log(4.0 * self.model.least))

        def outward(v: float) -> float:
            return 0.0 if v <= low else float(np.exp(v)) * ml.problem.y_scale

        return Path(
            "sigma", "sigma", outward(centre), centre, low, np.inf,
            1.0 / float(np.sqrt(2.0 * ml.cross.n)), ml.at.value,
            self.solver(last, lambda own: 0.5 * float(np.log(self.model.s2(float(own[0]))))),
            outward,
        )  # fmt: skip

    def path_along(self, parameter: Parameter, k: int) -> Path:
        """Of a parameter that is a function of x_k alone: x_k is walked."""
        (a,) = np.flatnonzero(parameter.where == k)
        own = self.x[parameter.where]

        def read(value: float) -> float:
            moved = own.copy()
            moved[a] = value
            with np.errstate(over="ignore"):
                found = parameter.read(moved)
            return 0.0 if abs(found) < 1.0 / HUGE else np.inf if found > HUGE else found

        even = read(own[a]) == read(-own[a]) and own[a] != 0.0
        centre = abs(float(own[a])) if even else float(own[a])
        low = 0.0 if even else min(-FAR, centre - 1.0)
        high = max(FAR, centre + 1.0)
        solve = self.solver(np.array([k]), lambda x: abs(float(x[0])) if even else float(x[0]))

        def outward(v: float) -> float:
            return read(LIMIT if v >= high else -LIMIT if v <= low and not even else v)

        scale = self._scale(parameter.where, lambda x: float(x[a]))
        return Path(
            parameter.name, parameter.kind, parameter.of(self.x), centre, low, high, scale,
            self.ml.at.value, solve, outward,
        )  # fmt: skip

    def sd_path(self, parameter: Parameter) -> Path:
        """Of a standard deviation, from next to nothing, which counts as zero."""
        estimate = parameter.of(self.x)
        sigma = float(np.sqrt(self.ml.sigma2))
        least = LEAST * max(sigma, estimate)
        start = max(estimate, least)

        def logarithm(own: np.ndarray) -> float:
            value = parameter.read(own)
            return float(np.log(value)) if value > 0.0 else -np.inf

        inner = self.solver(parameter.where, logarithm, partial(self._off_zero, parameter))

        def solve(value: float, state: np.ndarray | None) -> Solved:
            return inner(float(np.log(value)), state)

        relative = self._scale(parameter.where, logarithm) if estimate > least else np.inf
        scale = min(relative * start, max(0.1 * sigma, 0.5 * start))
        return Path(
            parameter.name, parameter.kind, estimate, start, least, np.inf, scale,
            self.ml.at.value, solve, lambda v: 0.0 if v <= least else float(v),
        )  # fmt: skip

    def correlation_path(self, parameter: Parameter) -> Path:
        """Of a correlation that is a function of several entries: its arctanh is walked."""
        estimate = parameter.of(self.x)
        end = float(np.arctanh(1.0 - EDGE))
        outward = partial(_back_to_correlation, end)
        if np.isnan(estimate):  # of an effect without variance: all values do as well
            flat = partial(_flat, self.ml.at.value)
            return Path(parameter.name, parameter.kind, np.nan, 0.0, -end, end, end,
                        self.ml.at.value, flat, outward)  # fmt: skip

        def arctanh(own: np.ndarray) -> float:
            value = parameter.read(own)
            return float(np.arctanh(np.clip(value, CLIP - 1.0, 1.0 - CLIP)))

        solve = self.solver(parameter.where, arctanh, partial(self._inside, parameter))
        centre = float(np.arctanh(np.clip(estimate, EDGE - 1.0, 1.0 - EDGE)))
        scale = min(self._scale(parameter.where, arctanh), 0.5)
        return Path(parameter.name, parameter.kind, estimate, centre, -end, end, scale,
                    self.ml.at.value, solve, outward)  # fmt: skip

    def solver(
        self,
        where: np.ndarray,
        function: Callable[[np.ndarray], float],
        prepare: Callable[[np.ndarray, float], np.ndarray] = lambda x, _: x,
    ) -> Solver:
        """prepare : from x and the next value to an x where the function has derivatives."""
        model = self.model

        def walked(value: float, x: np.ndarray) -> OnSurface:
            for target in _strides(function(x[where]), value):
                evaluate = partial(OnSurface, model, Surface(where, function, target))
                point = minimise(evaluate, evaluate(prepare(x, target)), tolerance=TOLERANCE).point
                x = point.phi
            return point

        def solve(value: float, state: np.ndarray | None) -> Solved:
            point = walked(value, self.x if state is None else state)
            if state is not None and np.abs(point.phi - self.x).max() > PLATEAU:
                point = min(point, walked(value, self.x), key=lambda p: p.value)
            return _checked(self.ml, point.value, point.phi, point.phi[:-1])

        return solve

    def _scale(self, where: np.ndarray, function: Callable[[np.ndarray], float]) -> float:
        """A rough standard error, from the curvature of the deviance."""
        at = self.model.at(self.x)
        z = at.tangent
        slope = z.T @ Surface(where, function, 0.0).gradient(self.x)
        values, vectors = np.linalg.eigh(z.T @ at.hessian @ z)
        values = np.maximum(values, 1e-3 * max(float(values[-1]), 1.0))
        found = float(np.sqrt(2.0 * np.sum((vectors.T @ slope) ** 2 / values)))
        return float(np.clip(found, 1e-3, 2.0)) if np.isfinite(found) else 0.5

    # -- off the boundary, where a parameter's own derivatives are lost ----------------------

    def _off_zero(self, parameter: Parameter, x: np.ndarray, value: float) -> np.ndarray:
        """x with a variance of about exp(2 value) in a term that has next to none."""
        if parameter.of(x) > 0.01 * np.exp(value):
            return x
        variance = np.exp(2.0 * value) / (self.model.s2(float(x[-1])) * self.ml.problem.y_scale**2)
        return self._changed(parameter, x, lambda s: s + variance * np.eye(len(s)))

    def _inside(self, parameter: Parameter, x: np.ndarray, value: float) -> np.ndarray:
        """x with a Sigma of full rank, and arctanh(correlation) = value if it had none."""
        i = self._term(parameter)
        if i is None or parameter.effects is None:
            return x
        least = np.linalg.eigvalsh(
            self.ml.layout.terms[i][1].structure.sigma(x[parameter.where[:-1]])
        )[0]
        if least > 0.1 * INSIDE:
            return x
        alone = partial(_alone, *parameter.effects, float(np.tanh(value)))
        return self._changed(parameter, x, alone, INSIDE)

    def _changed(
        self,
        parameter: Parameter,
        x: np.ndarray,
        change: Callable[[np.ndarray], np.ndarray],
        more: float = 0.0,
    ) -> np.ndarray:
        """x with another Sigma for the parameter's term, changed in the caller's coordinates, after
        `more` variance in standard ones."""
        i = self._term(parameter)
        if i is None:
            return x
        place, term = self.ml.layout.terms[i]
        r = self.ml.problem.r_z[self.ml.cross.order[place]][term.columns, term.columns]
        back, own = np.linalg.inv(r), parameter.where[:-1]
        relative = term.structure.sigma(x[own])
        sigma = change(back @ (relative + more * np.eye(len(relative))) @ back.T)
        moved = x.copy()
        moved[own] = term.structure.start(r @ sigma @ r.T)
        return moved

    def _term(self, parameter: Parameter) -> int | None:
        """The term, in the layout's order, whose part of x begins where the parameter's does."""
        begins = np.cumsum([0, *(len(part) for part in self.ml.layout.split(self.ml.at.phi))])
        found = np.flatnonzero(begins[:-1] == parameter.where[0])
        return int(found[0]) if len(found) else None


def _alone(a: int, b: int, rho: float, sigma: np.ndarray) -> np.ndarray:
    """Sigma with this correlation of effects a and b, and none of theirs with others."""
    out = sigma.copy()
    for i in (a, b):
        out[i, :] = out[:, i] = 0.0
        out[i, i] = sigma[i, i]
    out[a, b] = out[b, a] = rho * np.sqrt(sigma[a, a] * sigma[b, b])
    return out


def _strides(begin: float, end: float) -> np.ndarray:
    """Values on the way, the last one the end: far from its minimum a likelihood has plateaus."""
    way = end - begin
    if not np.isfinite(way):
        return np.array([end])
    count = max(1, int(np.ceil(abs(way) / STRIDE)))
    return begin + way * np.arange(1, count + 1) / count


def _flat(minimum: float, value: float, state: np.ndarray | None) -> Solved:
    return Solved(minimum, np.zeros(0))


def _back_to_correlation(end: float, value: float) -> float:
    return float(np.sign(value)) if abs(value) >= end else float(np.tanh(value))


def _parameter_paths(design: Design, walk: Walk) -> Iterator[Path]:
    for parameter in parameters(design, walk.model):
        if parameter.kind == "sd":
            yield walk.sd_path(parameter)
            continue
        k = parameter.alone(walk.x)
        if k is not None:
            yield walk.path_along(parameter, k)
        elif not _constant(parameter, walk.x):
            yield walk.correlation_path(parameter)


def _constant(parameter: Parameter, x: np.ndarray) -> bool:
    """Whether nothing moves it, as the ratio of a variance function's first level to itself."""
    if not len(parameter.where):
        return True
    own = x[parameter.where]
    return all(parameter.read(own + step) == parameter.read(own) for step in 0.1 * np.eye(len(own)))


def _fixed_paths(fit: Fit, ml: Optimum) -> Iterator[Path]:
    sd = np.sqrt(np.diag(ml.cov_beta))
    for k, name in enumerate(fit.design.names):
        centre = float(ml.beta[k])
        yield Path(
            name, "fixed", centre, centre, -np.inf, np.inf, float(sd[k]), ml.at.value,
            _fixed_solver(ml, k),
        )  # fmt: skip


def _fixed_solver(ml: Optimum, k: int) -> Solver:
    """Fix beta_k: y less its part of X beta, and X without its column, fitted again."""
    given = ml.problem.given
    rest = np.asfortranarray(np.delete(given.x, k, axis=1))

    def solve(value: float, state: np.ndarray | None) -> Solved:
        y = given.y - value * given.x[:, k]
        problem = standardise(y, rest, given.groupings, given.weights)
        start = ml.at.phi if state is None else state
        found = optimise(problem, False, start, ml.layout.residual)
        deviance = found.criterion - ml.criterion + ml.at.value
        return _checked(ml, deviance, found.at.phi, found.at.phi)

    return solve


def _checked(ml: Optimum, deviance: float, state: np.ndarray, phi: np.ndarray) -> Solved:
    if deviance < ml.at.value - SLACK:
        raise LowerDeviance(phi)
    return Solved(deviance, state)
