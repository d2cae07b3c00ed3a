"""One path per parameter: the deviance along it, by warm-started minimisation over the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import null_space, solve_triangular

from henderson.engine.crossproducts import CrossProducts
from henderson.engine.iterative import with_factor
from henderson.engine.optimise import Optimum, optimise_products
from henderson.engine.trust_region import minimise
from henderson.errors import FitError
from henderson.inference.held import Free, Held, HeldCorrelation, HeldPoint, HeldSd, TermMap

if TYPE_CHECKING:
    from henderson.fit import Fit

TOLERANCE = 1e-10
# A deviance below the minimum by more than this is another optimum, not rounding.
SLACK = 1e-6
PROFILED = ("us", "diag")


class LowerDeviance(Exception):
    """A path has found a better fit, at phi."""

    def __init__(self, phi: np.ndarray) -> None:
        super().__init__("A profile found a lower deviance than the fit.")
        self.phi = phi


@dataclass(frozen=True)
class Solved:
    """The minimum with a parameter held: deviance, and where the others are (a warm start)."""

    deviance: float
    state: np.ndarray


Solver = Callable[[float, "np.ndarray | None"], Solved]


@dataclass(frozen=True, eq=False)
class Path:
    """Zeta of one parameter as a function of its value v, in a coordinate that suits it.

    estimate : in the caller's units, or NaN; centre : the coordinate where zeta is zero.
    low, high : the ends of the coordinate's range; scale : a rough standard error.
    outward : from the coordinate to the caller's units (sigma is walked on the log scale).
    seen : the points solved so far, from which others start.
    """

    name: str
    kind: str
    estimate: float
    centre: float
    low: float
    high: float
    scale: float
    minimum: float
    solve: Solver
    outward: Callable[[float], float] = float
    seen: dict[float, Solved] = field(default_factory=dict)

    def zeta(self, v: float) -> float:
        """The signed root of the rise of the deviance at coordinate v."""
        v = float(v)
        if v == self.centre:
            return 0.0
        if v not in self.seen:
            near = min(self.seen, key=lambda w: abs(w - v), default=None)
            if near is None or abs(near - v) > abs(self.centre - v):
                near = None  # the optimum itself is nearer
            self.seen[v] = self.solve(v, None if near is None else self.seen[near].state)
        return float(np.sign(v - self.centre) * np.sqrt(self._rise(v)))

    def _rise(self, v: float) -> float:
        return max(0.0, self.seen[v].deviance - self.minimum)

    def limit(self, side: int, q: float) -> float:
        """Where side * zeta reaches q, or the end of the range if it does not."""
        inner, outer = self._bracket(side, q)
        if outer is None:
            return self.outward(inner)
        from scipy.optimize import brentq

        root = brentq(lambda v: self.zeta(v) - side * q, inner, outer, xtol=1e-12, rtol=1e-9)
        return self.outward(float(root))

    def _bracket(self, side: int, q: float) -> tuple[float, float | None]:
        """Coordinates with zeta below and above q in size; the end and None if it is not reached.

        Raises
        ------
        FitError : the deviance does not rise enough within any reach.
        """
        end = self.low if side < 0 else self.high
        inner, size, step = self.centre, 0.0, self.scale * q
        for _ in range(60):
            if inner == end:
                return end, None
            outer = max(end, inner - step) if side < 0 else min(end, inner + step)
            reached = side * self.zeta(outer)
            if reached >= q:
                return inner, outer
            slope = (reached - size) / abs(outer - inner)
            need = 1.1 * (q - reached) / slope if slope > 0.0 else np.inf
            step = float(np.clip(need, 0.1 * step, 3.0 * step))
            inner, size = outer, reached
        raise FitError(
            f"The likelihood hardly falls as {self.name} grows: there is no limit on that side. "
            "The data may not tell this parameter from others."
        )

    def curve(self, reach: float, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Values in the caller's units, ascending, and their zeta, out to |zeta| = reach."""
        below = list(self._outward_points(-1, reach, step))[::-1]
        points = [*below, (self.centre, 0.0), *self._outward_points(1, reach, step)]
        values = np.array([self.outward(v) for v, _ in points])
        return values, np.array([z for _, z in points])

    def _outward_points(
        self, side: int, reach: float, step: float
    ) -> Iterator[tuple[float, float]]:
        end = self.low if side < 0 else self.high
        v, size, stride = self.centre, 0.0, self.scale * step
        for _ in range(200):
            if v == end or size >= reach:
                return
            new = max(end, v - stride) if side < 0 else min(end, v + stride)
            reached = side * self.zeta(new)
            slope = (reached - size) / abs(new - v)
            stride = float(np.clip(step / max(slope, 1e-300), 0.3 * stride, 2.0 * stride))
            v, size = new, reached
            yield v, side * reached


# ---- the paths of a fit


def ml_optimum(fit: Fit) -> Optimum:
    """The fit's own optimum, or that of the same model by maximum likelihood.

    Raises
    ------
    FitError : the fit has no factorisation, or a variance that depends on its fitted values.
    """
    optimum = fit.optimum
    with_factor(optimum.factorisation, "Profile likelihood")
    residual = fit.design.residual
    if residual is not None and residual.terms.of_fitted:
        raise FitError(
            "Where the variance depends on the fitted values, it moves with every parameter that "
            "is held, and no likelihood is profiled: use fit.confint(method='bootstrap'), or a "
            "variance function of a covariate."
        )
    if not optimum.reml:
        return optimum
    start = None if is_plain(optimum) else optimum.at.phi
    return optimise_products(optimum.problem, optimum.cross, False, start)


def is_plain(optimum: Optimum) -> bool:
    """Whether the residuals are independent, every Sigma is unstructured or diagonal, and the
    random effects leave a residual."""
    cross, terms = optimum.cross, optimum.layout.terms
    return (
        isinstance(cross, CrossProducts)
        and all(levels * size < cross.n for levels, size in cross.sizes)
        and all(t.structure.size == 1 or t.structure.name in PROFILED for _, t in terms)
    )


def _products(optimum: Optimum) -> CrossProducts:
    assert isinstance(optimum.cross, CrossProducts)
    return optimum.cross


def again_from(ml: Optimum, phi: np.ndarray) -> Optimum:
    """Descend from parameters that are better than the fit's."""
    return optimise_products(ml.problem, ml.cross, False, phi)


def paths(fit: Fit, ml: Optimum, *, terms: bool = True) -> tuple[Path, ...]:
    """The paths of a plain model: standard deviations and correlations, sigma, fixed effects."""
    own = _term_paths(fit, ml) if terms else ()
    return (*own, _sigma_path(ml), *_fixed_paths(fit, ml))


def _fixed_paths(fit: Fit, ml: Optimum) -> Iterator[Path]:
    sd = np.sqrt(np.diag(ml.cov_beta))
    for k, name in enumerate(fit.design.names):
        centre = float(ml.beta[k])
        yield Path(
            name, "fixed", centre, centre, -np.inf, np.inf, float(sd[k]), ml.at.value,
            _fixed_solver(ml, k),
        )  # fmt: skip


def _fixed_solver(ml: Optimum, k: int) -> Solver:
    """Fix beta_k: y less its part of X beta, and X without that direction, in cross-products.

    In standard coordinates beta_k = b is a'gamma = (b - beta0_k) / y_scale, a = r_x^-T e_k.
    """
    problem, p = ml.problem, ml.cross.p
    a = solve_triangular(problem.r_x, np.eye(p)[k], trans="T")
    length = float(np.linalg.norm(a))
    rest = null_space(a[None]) if p > 1 else np.zeros((1, 0))

    def solve(value: float, state: np.ndarray | None) -> Solved:
        delta = (value - problem.beta0[k]) / problem.y_scale / length
        turn = np.zeros((p + 1, p))
        turn[:p, : p - 1] = rest
        turn[:p, p - 1] = -delta * a / length
        turn[p, p - 1] = 1.0
        start = ml.at.phi if state is None else state
        found = optimise_products(problem, _turned(_products(ml), turn), False, start)
        return _checked(found.at.value, found.at.phi, ml, found.factorisation.sigmas)

    return solve


def _turned(cross: CrossProducts, turn: np.ndarray) -> CrossProducts:
    """The cross-products of [X y] `turn`, (p + 1, p')."""
    return replace(
        cross,
        p=turn.shape[1] - 1,
        dense=cross.dense @ turn,
        within_xy=turn.T @ cross.within_xy @ turn,
        within_zxy=cross.within_zxy @ turn,
    )


def _sigma_path(ml: Optimum) -> Path:
    scale = ml.problem.y_scale
    centre = float(np.log(np.sqrt(ml.sigma2)))
    maps: tuple[TermMap, ...] = tuple(Free(t.structure) for _, t in ml.layout.terms)
    sizes = tuple(len(part) for part in ml.layout.split(ml.at.phi))

    def solve(value: float, state: np.ndarray | None) -> Solved:
        held = Held(_products(ml), ml.layout, maps, sizes, 2.0 * (value - np.log(scale)))
        return _descend(held, ml.at.phi if state is None else state, ml)

    return Path(
        "sigma", "sigma", float(np.exp(centre)), centre, -np.inf, np.inf,
        1.0 / float(np.sqrt(2.0 * ml.cross.n)), ml.at.value, solve, lambda v: float(np.exp(v)),
    )  # fmt: skip


def _term_paths(fit: Fit, ml: Optimum) -> Iterator[Path]:
    places = {(ml.cross.order[f], t.columns.start): i for i, (f, t) in enumerate(ml.layout.terms)}
    for t, factor in enumerate(fit.design.random):
        for slot in factor.slots:
            at = Place(ml, places[t, slot.columns.start], t, slot.columns)
            pairs = [(i, j) for i in range(at.size) for j in range(i + 1, at.size)]
            yield from (at.sd_path(f"sd_{n}|{factor.name}", i) for i, n in enumerate(slot.names))
            if at.structure == "us":
                for i, j in pairs:
                    names = f"{slot.names[j]}.{slot.names[i]}"
                    yield at.cor_path(f"cor_{names}|{factor.name}", i, j)


@dataclass(frozen=True)
class Place:
    """A term: its place in the layout, its factor in the caller's order and its columns there."""

    ml: Optimum
    term: int
    factor: int
    columns: slice

    @property
    def size(self) -> int:
        return self.columns.stop - self.columns.start

    @property
    def structure(self) -> str:
        return "us" if self.size == 1 else self.ml.layout.terms[self.term][1].structure.name

    @property
    def back(self) -> np.ndarray:
        """(K, K): effects in standard coordinates are this times the caller's."""
        return self.ml.problem.r_z[self.factor][self.columns, self.columns]

    @property
    def sigma(self) -> np.ndarray:
        """Relative Sigma (K, K) in the caller's coordinates."""
        return self.ml.sigmas[self.factor][self.columns, self.columns]

    def sd_path(self, name: str, i: int) -> Path:
        ml = self.ml
        sd = float(np.sqrt(ml.sigma2 * max(self.sigma[i, i], 0.0)))
        # The sd of an effect that is as variable as its estimates within a level.
        noise = float(np.sqrt(ml.sigma2) * np.linalg.norm(np.linalg.inv(self.back)[i]))
        levels = ml.cross.sizes[ml.place(self.factor)][0]
        scale = max(sd, 0.3 * noise) / float(np.sqrt(2.0 * levels))

        def held(value: float) -> HeldSd:
            tau = value / ml.problem.y_scale
            return HeldSd(i, tau, self.back, self.structure == "diag")

        solve = self._solver(held)
        return Path(name, "sd", sd, sd, 0.0, np.inf, scale, ml.at.value, solve)

    def cor_path(self, name: str, i: int, j: int) -> Path:
        spread = np.sqrt(max(self.sigma[i, i], 0.0) * max(self.sigma[j, j], 0.0))
        rho = float(np.clip(self.sigma[i, j] / spread, -1.0, 1.0)) if spread > 0.0 else np.nan
        if abs(rho) > 1.0 - 1e-9:
            rho = float(np.sign(rho))
        centre = 0.0 if np.isnan(rho) else rho

        def held(value: float) -> HeldCorrelation:
            return HeldCorrelation(i, j, value, self.back)

        solve = self._solver(held)
        return Path(name, "cor", rho, centre, -1.0, 1.0, 0.2, self.ml.at.value, solve)

    def _solver(self, held: Callable[[float], HeldSd | HeldCorrelation]) -> Solver:
        ml = self.ml
        log_s2 = float(np.log(ml.factorisation.s2(False)))

        def solve(value: float, state: np.ndarray | None) -> Solved:
            own = held(value)
            parts = list(ml.layout.split(ml.at.phi))
            parts[self.term] = own.start(self.sigma)
            maps: list[TermMap] = [Free(t.structure) for _, t in ml.layout.terms]
            maps[self.term] = own
            sizes = tuple(len(part) for part in parts)
            problem = Held(_products(ml), ml.layout, tuple(maps), sizes, None)
            first = np.concatenate([*parts, [log_s2]]) if state is None else state
            return _descend(problem, first, ml)

        return solve


def _descend(held: Held, start: np.ndarray, ml: Optimum) -> Solved:
    point: HeldPoint = minimise(held.evaluate, held.evaluate(start), tolerance=TOLERANCE).point
    return _checked(point.value, point.phi, ml, point.factorisation.sigmas)


def _checked(
    deviance: float, state: np.ndarray, ml: Optimum, sigmas: tuple[np.ndarray, ...]
) -> Solved:
    if deviance < ml.at.value - SLACK:
        raise LowerDeviance(ml.layout.start(list(sigmas)))
    return Solved(deviance, state)
