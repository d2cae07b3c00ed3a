"""From cross-products to the optimum: start, descent, verdict.

The start solves moment equations (Rao's MINQUE with prior weights; Searle et al. 1992, section
11.3). The descent is Newton's method in the factors of Sigma. The
verdict rests on the first-order conditions on the cone, D >= 0 and D Sigma = 0, and on the reduced
Hessian; because the criterion is not convex, the solution with each term at zero is compared before
an interior one is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from henderson.covariance.residual.base import ResidualModel
from henderson.engine import crossed, one_factor, structured_descent
from henderson.engine.correlated import between_effects, level_variances
from henderson.engine.criterion import Factorisation, factorise
from henderson.engine.crossproducts import CrossProducts
from henderson.engine.dense import (
    DenseFactorisation,
    DenseProducts,
    dense_products,
    factorise_dense,
)
from henderson.engine.derivatives import gradient_blocks, hessian, information, second_order
from henderson.engine.finite_basis import structured_products
from henderson.engine.iterative import IterativeFactorisation, factorise_iterative
from henderson.engine.iterative_descent import find_root, integrated_rise
from henderson.engine.iterative_products import Engine, IterativeProducts, choose_products
from henderson.engine.one_factor import Rules
from henderson.engine.parameters import Layout, diagonal
from henderson.engine.problem import Standard
from henderson.engine.sigma_model import better_move
from henderson.engine.structured import StructuredFactorisation
from henderson.engine.structured_levels import factorise_structured
from henderson.engine.trust_region import Descent, minimise
from henderson.errors import FitError

Products = CrossProducts | DenseProducts | IterativeProducts

# tolerance: a descent stops when a full Newton step promises less. singular: an eigenvalue of Sigma
# below this share of the largest (or of one) counts as zero. prior: Sigma whose weights the moment
# start uses. floor, edge: shares that the start keeps of the residual variance and of Sigma's
# largest eigenvalue.
RULES = Rules(tolerance=1e-12, singular=1e-8, prior=10.0, floor=0.01, edge=0.01)
# Rows of a matrix V that is factored whole.
MOST_ROWS = 6_000
# Effects in the tail up to which the exact Hessian drives the descent.
LARGE_TAIL = 300


def _has_exact_hessian(cross: Products) -> bool:
    if isinstance(cross, IterativeProducts):
        return False
    return isinstance(cross, DenseProducts) or cross.m <= LARGE_TAIL


@dataclass(frozen=True)
class Evaluated:
    """The criterion and its derivatives at one phi; `known` is the factorisation, if it exists."""

    cross: Products
    layout: Layout
    reml: bool
    phi: np.ndarray
    known: Factorisation | StructuredFactorisation | None = None

    @cached_property
    def factorisation(self) -> Factorisation | StructuredFactorisation | IterativeFactorisation:
        if self.known is not None:
            return self.known
        factors = self.layout.factors(self.phi)
        if isinstance(self.cross, IterativeProducts):
            return factorise_iterative(self.cross, factors)
        if isinstance(self.cross, DenseProducts):
            return factorise_structured(self.cross, factors, self.layout.residual_part(self.phi))
        return factorise(self.cross, factors)

    @cached_property
    def value(self) -> float:
        return self.factorisation.value(self.reml)

    @cached_property
    def d(self) -> tuple[np.ndarray, ...]:
        """dd/dSigma_t per factor, (K, K)."""
        if isinstance(self.factorisation, IterativeFactorisation):
            return self.factorisation.gradient_blocks(self.reml)
        return gradient_blocks(self.factorisation, self.reml)

    @cached_property
    def gradient(self) -> np.ndarray:
        terms = self.layout.gradient(self.phi, self.d)
        if not isinstance(self.factorisation, StructuredFactorisation):
            return terms
        return np.concatenate([terms, self.factorisation.residual_gradient(self.reml)])

    @cached_property
    def jacobian(self) -> np.ndarray:
        """d(what the layout's directions move)/dphi."""
        return self.layout.jacobian(self.phi)

    @cached_property
    def curvature(self) -> np.ndarray:
        """The part of the Hessian that comes from the curvature of V(phi)."""
        terms = self.layout.curvature(self.phi, self.d)
        if not isinstance(self.factorisation, StructuredFactorisation):
            return terms
        return diagonal([terms, self.factorisation.residual_curvature(self.reml)])

    @cached_property
    def hessian_sigma(self) -> np.ndarray:
        """Second derivatives along the layout's directions, V taken as linear in them.

        With a large tail the average information stands in: it spares products of (m, m) matrices,
        and a descent takes as many steps.
        """
        exact = _has_exact_hessian(self.cross)
        return hessian(self.factorisation, self.layout.directions, self.reml, exact=exact)

    @cached_property
    def expected_sigma(self) -> np.ndarray:
        """The expected information (REML's) along the layout's directions, sigma^2 profiled out."""
        second = second_order(self.factorisation, self.layout.sigma_directions)
        singles = second.p_traces
        nu = self.factorisation.nu(True)
        found: np.ndarray = second.traces(True) - np.outer(singles, singles) / nu
        return found

    @cached_property
    def hessian(self) -> np.ndarray:
        return self.jacobian.T @ self.hessian_sigma @ self.jacobian + self.curvature

    @cached_property
    def tangent(self) -> np.ndarray:
        return self.layout.tangent(self.phi)


Evaluate = Callable[[np.ndarray], Evaluated]


@dataclass(frozen=True)
class Search:
    """How a minimum is found and two points are compared, by how well the criterion is known.

    descend : from an evaluated point to a minimum. rise : the criterion at the second point less
    that at the first. slack : a rise that is none but for what is not known.
    """

    descend: Callable[[Evaluate, Evaluated], Descent[Evaluated]]
    rise: Callable[[Evaluate, Evaluated, Evaluated], float]
    slack: float


def _in_sigma(at: Evaluated) -> bool:
    """Whether steps may come from a model in the entries of Sigma: the Hessian is exact, and
    nothing but they are parameters."""
    return (
        isinstance(at.cross, CrossProducts)
        and _has_exact_hessian(at.cross)
        and all(term.structure.linear for _, term in at.layout.terms)
    )


EXACT = Search(
    descend=lambda evaluate, at: minimise(
        evaluate, at, tolerance=RULES.tolerance, choose=better_move if _in_sigma(at) else None
    ),
    rise=lambda _, low, high: high.value - low.value,
    slack=1e-8,
)
ITERATIVE = Search(
    descend=find_root,
    rise=lambda evaluate, low, high: integrated_rise(evaluate, low.phi, high.phi),
    slack=1e-5,
)


@dataclass(frozen=True)
class Verdict:
    """Whether the optimum is one, in numbers.

    decrease : what one more Newton step promises in the criterion.
    curvature : the smallest eigenvalue of the reduced Hessian over the largest.
    evaluations : criterion evaluations used, the comparisons with zero included.
    """

    converged: bool
    decrease: float
    curvature: float
    evaluations: int


ONLY = Verdict(True, 0.0, 1.0, 1)


@dataclass(frozen=True)
class Optimum:
    """The fitted covariance parameters, in standard coordinates, with the way back.

    sigmas, modes and the like are in the caller's order of factors and coordinates.
    """

    problem: Standard
    cross: Products
    layout: Layout
    reml: bool
    at: Evaluated
    verdict: Verdict

    @property
    def factorisation(self) -> Factorisation | StructuredFactorisation | IterativeFactorisation:
        return self.at.factorisation

    @property
    def engine(self) -> Engine:
        """Which engine made it."""
        return "iterative" if isinstance(self.cross, IterativeProducts) else "exact"

    def place(self, factor: int) -> int:
        """Position in the engine's order of the caller's factor."""
        return self.cross.order.index(factor)

    @cached_property
    def criterion(self) -> float:
        """-2 log-likelihood, or the REML criterion, of the caller's data."""
        f, scale = self.factorisation, self.problem.y_scale
        value = f.value(self.reml) + 2.0 * f.nu(self.reml) * np.log(scale)
        if self.reml:
            value += 2.0 * float(np.log(np.abs(np.diag(self.problem.r_x))).sum())
        return float(value)

    @property
    def criterion_error(self) -> float:
        """Monte-Carlo standard error of the criterion: zero but for the iterative engine."""
        f = self.factorisation
        return f.value_error if isinstance(f, IterativeFactorisation) else 0.0

    @cached_property
    def sigma2(self) -> float:
        """Residual variance."""
        return self.factorisation.s2(self.reml) * self.problem.y_scale**2

    @cached_property
    def beta(self) -> np.ndarray:
        return self.problem.beta(self.factorisation.beta)

    @cached_property
    def cov_beta(self) -> np.ndarray:
        """Covariance (p, p) of the fixed effects, Sigma taken as known."""
        p = self.cross.p
        rows = self.problem.contrast(np.eye(p)) if p else np.zeros((0, 0))
        return self.factorisation.s2(self.reml) * rows @ self.factorisation.c @ rows.T

    @cached_property
    def sigmas(self) -> tuple[np.ndarray, ...]:
        """Relative covariance Sigma (K, K) per factor: times sigma2 the covariance of b_j."""
        found = self.factorisation.sigmas
        return tuple(
            self.problem.sigma(t, found[self.place(t)]) for t in range(len(self.cross.sizes))
        )

    def modes(self, factor: int) -> np.ndarray:
        """Conditional modes b (J, K): b_j = Sigma Z_j'Py."""
        place = self.place(factor)
        f = self.factorisation
        return self.problem.effects(factor, f.h[place] @ f.sigmas[place])

    def conditional_variances(self, factor: int, *, given_beta: bool = True) -> np.ndarray:
        """Var(b_j | y) (J, K, K), beta taken as known (lme4's) or its uncertainty included."""
        place = self.place(factor)
        f = self.factorisation
        if self.problem.given.groupings[factor].root is not None:
            levels = self.cross.sizes[place][0]
            return self.level_variances(factor, lambda r: r, np.zeros(levels), given_beta)
        blocks = f.g[place]
        if not given_beta:
            e = f.e[place]
            blocks = blocks - e @ f.c @ e.swapaxes(1, 2)
        sigma = f.sigmas[place]
        inner = sigma - sigma @ blocks @ sigma
        back = np.linalg.inv(self.problem.r_z[factor])
        return self.sigma2 * back @ inner @ back.T

    def level_variances(
        self,
        factor: int,
        extend: Callable[[np.ndarray], np.ndarray],
        rest: np.ndarray,
        given_beta: bool = True,
    ) -> np.ndarray:
        """The same (r, K, K) for levels some of which are known through others only.

        extend : from the effects of a correlated factor's levels (J, ...) to the best guesses of
            those of all levels (r, ...); rest : (r,) what K leaves of the variances of these.
        """
        place, f = self.place(factor), self.factorisation
        if isinstance(f, StructuredFactorisation):
            between = f.by_rows.between_effects(factor)
        else:
            assert isinstance(f, Factorisation)
            between = between_effects(f, place)
        if not given_beta:
            e = f.e[place]
            between = between - np.tensordot(e @ f.c, e, axes=(2, 2))
        root = self.problem.given.groupings[factor].on_levels(np.eye(len(between)))
        found = level_variances(extend(root), f.sigmas[place], between, rest)
        back = np.linalg.inv(self.problem.r_z[factor])
        return self.sigma2 * back @ found @ back.T

    @cached_property
    def ranks(self) -> tuple[tuple[int, int], ...]:
        """(rank of Sigma, size) per term, in the layout's order."""
        out = []
        for factor, term in self.layout.terms:
            block = self.factorisation.sigmas[factor][term.columns, term.columns]
            out.append((_rank(block, linear=term.structure.linear), term.structure.size))
        return tuple(out)

    @property
    def is_singular(self) -> bool:
        """Some Sigma is on the boundary of the cone of positive semidefinite matrices."""
        return any(rank < size for rank, size in self.ranks)


def optimise(
    problem: Standard,
    reml: bool,
    start: np.ndarray | None = None,
    residual: ResidualModel | None = None,
    engine: Engine = "auto",
) -> Optimum:
    """Minimise the criterion over the covariance parameters.

    Parameters
    ----------
    start : phi of an earlier optimum of the same model.
    residual : the structure of the residuals; independent with equal variances if None.
    engine : "exact", "iterative", or as `iterative_products.choose_products` finds.
    """
    if residual is None and needs_rows(problem):
        residual = ResidualModel(np.arange(len(problem.given.y)))
    if residual is None:
        return optimise_products(problem, choose_products(problem, engine), reml, start)
    return optimise_products(problem, structured_products(problem, residual), reml, start)


def needs_rows(problem: Standard) -> bool:
    """Whether no factor makes Z'Z block-diagonal, so that V itself is to be factored.

    Raises
    ------
    FitError : V has too many rows for that.
    """
    groupings = problem.given.groupings
    if not groupings or any(g.root is None or g.size == 1 for g in groupings):
        return False
    refuse_rows(problem, "A fit of several effects by level of a known covariance alone")
    return True


def refuse_rows(problem: Standard, what: str) -> None:
    """Raise `FitError` where V has too many rows to be factored whole, as `what` needs."""
    n = len(problem.given.y)
    if n > MOST_ROWS:
        raise FitError(
            f"{what} needs dense matrices of all rows, and {n} are too many: up to {MOST_ROWS} "
            "are taken."
        )


def by_rows(optimum: Optimum, phi: np.ndarray) -> DenseFactorisation:
    """V of a fit with correlated levels and independent residuals factored whole, (n, n).

    Raises
    ------
    FitError : it has too many rows.
    """
    problem = optimum.problem
    refuse_rows(problem, "Beside a known covariance of levels this")
    products = dense_products(problem, ResidualModel(np.arange(len(problem.given.y))))
    factors = optimum.layout.factors(phi)
    ordered = [factors[optimum.place(t)] for t in range(len(factors))]
    return factorise_dense(products, ordered, np.zeros(0))


def optimise_products(
    problem: Standard, cross: Products, reml: bool, start: np.ndarray | None = None
) -> Optimum:
    """The same from cross-products that exist already; `start` is an earlier optimum's phi."""
    layout = Layout.of(problem.given.groupings, cross)

    def evaluate(phi: np.ndarray) -> Evaluated:
        return Evaluated(cross, layout, reml, phi)

    if not layout.directions:
        return Optimum(problem, cross, layout, reml, evaluate(layout.zero()), ONLY)
    if isinstance(cross, CrossProducts) and one_factor.suits(cross, layout):
        found = one_factor.fit(cross, layout, reml, start, RULES)
        verdict = Verdict(found.converged, found.decrease, found.curvature, found.evaluations)
        return Optimum(problem, cross, layout, reml, evaluate(found.phi), verdict)
    if structured_descent.suits(cross, layout):
        found, levels = structured_descent.fit(cross, layout, reml, start, RULES)
        verdict = Verdict(found.converged, found.decrease, found.curvature, found.evaluations)
        at = Evaluated(cross, layout, reml, found.phi, levels)
        return Optimum(problem, cross, layout, reml, at, verdict)
    search = ITERATIVE if isinstance(cross, IterativeProducts) else EXACT
    exact = _has_exact_hessian(cross)
    if isinstance(cross, CrossProducts) and crossed.suits(cross, layout, exact=exact):
        found, equations = crossed.fit(cross, layout, reml, start, RULES, exact=exact)
        verdict = Verdict(found.converged, found.decrease, found.curvature, found.evaluations)
        at = Evaluated(cross, layout, reml, found.phi, equations)
        return Optimum(problem, cross, layout, reml, at, verdict)
    count = 1
    if start is None and layout.terms:
        start, count = moment_start(evaluate(_prior(cross, layout))), 2
    first = evaluate(layout.zero() if start is None else start)
    first_descent = search.descend(evaluate, first)
    descent, more = _compare_with_zero(evaluate, first_descent, search)
    at = _snap(descent.point, evaluate, search)
    seen = descent.near if at is descent.point else at
    verdict = _verdict(descent, seen, count + first_descent.evaluations + more)
    return Optimum(problem, cross, layout, reml, at, verdict)


def _prior(cross: Products, layout: Layout) -> np.ndarray:
    """phi of the Sigma whose weights the start uses: zero with a large tail, to factor nothing."""
    if not _has_exact_hessian(cross):
        return layout.zero()
    return layout.start([RULES.prior * np.eye(k) for k in layout.sizes])


def moment_start(prior: Evaluated) -> np.ndarray:
    """phi from the moment equations with the weights of a prior Sigma, kept off the boundary.

    With P at the prior, E y'P G_a P y = sum_b gamma_b tr(P G_a P G_b) for V = sum_a gamma_a G_a
    (G the directions of Sigma, and I) is linear in gamma (Rao 1971, J. Multivariate Anal. 1);
    its solution is projected on the cone.
    """
    layout, f = prior.layout, prior.factorisation
    second = second_order(f, layout.sigma_directions)
    residual = f.rss - float(second.sigma_entries @ second.q)
    forms = np.append(second.q, residual)
    gamma = np.linalg.lstsq(information(second), forms, rcond=1e-10)[0]
    s2 = max(gamma[-1], RULES.floor * f.rss / f.nu(True))
    sigmas = [np.zeros((k, k)) for k in layout.sizes]
    for d, value in zip(layout.sigma_directions, gamma[:-1] / s2, strict=True):
        sigmas[d.factor][d.i, d.j] = sigmas[d.factor][d.j, d.i] = value
    return layout.start([_off_boundary(s) for s in sigmas])


def _off_boundary(sigma: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(sigma)
    floor = max(RULES.edge * float(values[-1]), 1e-3)
    values = np.clip(values, floor, 1e6)
    return (vectors * values) @ vectors.T


def _rank(sigma: np.ndarray, *, linear: bool) -> int:
    """Eigenvalues of Sigma that are not zero.

    A structure with correlations of its own is of full rank unless its variance is zero, however
    near to singular a smooth correlation function may be in numbers.
    """
    values = np.linalg.eigvalsh(sigma)
    if not linear:
        return len(values) if values[-1] > RULES.singular else 0
    return int((values > RULES.singular * max(1.0, float(values[-1]))).sum())


def _reach_of_zero(point: Evaluated, a: int, b: int, zero: np.ndarray) -> float:
    """How much the quadratic model rises from the optimum to phi[a:b] = zero."""
    part = point.phi[a:b] - zero
    return 0.5 * float(part @ point.hessian[a:b, a:b] @ part)


def _compare_with_zero(
    evaluate: Evaluate, descent: Descent[Evaluated], search: Search
) -> tuple[Descent[Evaluated], int]:
    """Descend again from each term at zero where zero is a local solution; keep the lower."""
    best, count = descent, 0
    layout = descent.point.layout
    lengths = [len(term.structure.zero()) for _, term in layout.terms]
    ends = np.cumsum([0, *lengths])
    for (factor, term), a, b in zip(layout.terms, ends[:-1], ends[1:], strict=True):
        if not 1e-6 < _reach_of_zero(best.near, a, b, term.structure.zero()) < RULES.far:
            continue
        phi = best.point.phi.copy()
        phi[a:b] = term.structure.zero()
        trial = evaluate(phi)
        count += 1
        block = trial.d[factor][term.columns, term.columns]
        if np.linalg.eigvalsh(block)[0] < 0.0:
            continue
        other = search.descend(evaluate, trial)
        count += other.evaluations
        if search.rise(evaluate, other.point, best.point) > 0.0:
            best = other
    return best, count


def _snap(point: Evaluated, evaluate: Evaluate, search: Search) -> Evaluated:
    """Put eigenvalues of Sigma that are zero but for rounding at zero, if it costs nothing."""
    layout = point.layout
    sigmas = [m @ m.T for m in layout.factors(point.phi)]
    snapped, changed = [], False
    for sigma in sigmas:
        values, vectors = np.linalg.eigh(sigma)
        small = values < RULES.singular * max(1.0, float(values[-1]))
        changed |= bool((small & (values != 0.0)).any())
        snapped.append((vectors * np.where(small, 0.0, values)) @ vectors.T)
    if not changed:
        return point
    trial = evaluate(layout.start(snapped, layout.residual_part(point.phi)))
    return trial if search.rise(evaluate, point, trial) <= search.slack else point


def _verdict(descent: Descent[Evaluated], at: Evaluated, evaluations: int) -> Verdict:
    """at : where derivatives are known."""
    z = at.tangent
    values = np.linalg.eigvalsh(z.T @ at.hessian @ z)
    curvature = float(values[0] / max(np.abs(values).max(), 1e-300))
    return Verdict(descent.converged, descent.decrease, curvature, evaluations)
