"""Many responses on one design: one factor in compiled threads, anything else in a loop.

Bootstrap refits, simulation studies and mass-univariate analyses (one model for each gene, voxel
or channel) share X, Z and the levels; only the response changes. With one grouping factor and free
or diagonal covariances the compiled kernels make what is shared once and fit each response in
microseconds. The loop over `optimise` gives the same numbers for every other model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.engine import kernels, one_factor
from henderson.engine.optimise import RULES, Optimum, optimise
from henderson.engine.problem import Grouping, Standard, Term, standardise
from henderson.errors import FitError

# The standard deviations and correlations of these are those of Sigma.
PLAIN = frozenset({"us", "diag", "known"})


@dataclass(frozen=True)
class ManyFits:
    """One fit per response, in the caller's coordinates; NaN in the rows of failed ones.

    beta, se : (m, p) fixed effects and their standard errors.
    sigma2 : (m,) residual variances; criterion : (m,), -2 log-likelihood or REML criterion.
    sigmas : one (m, K, K) per factor, relative to sigma2.
    df : (m, r) Satterthwaite's degrees of freedom of the contrasts asked for.
    natural : (m, k) parameters of the terms whose structure has fewer than its Sigma has entries,
        in the caller's order (`natural_values`).
    evaluations : (m,); converged : (m,).
    failures : what is wrong with a response, by its position.
    """

    beta: np.ndarray
    se: np.ndarray
    sigma2: np.ndarray
    criterion: np.ndarray
    sigmas: tuple[np.ndarray, ...]
    df: np.ndarray
    natural: np.ndarray
    evaluations: np.ndarray
    converged: np.ndarray
    failures: dict[int, str]


def fit_many(
    y: np.ndarray,
    x: np.ndarray,
    groupings: Sequence[Grouping],
    weights: np.ndarray | None,
    reml: bool,
    *,
    contrasts: np.ndarray | None = None,
    threads: int = 1,
) -> ManyFits:
    """Fit every column of y (n, m) on the same x (n, p), factors and weights (n,).

    Parameters
    ----------
    contrasts : rows (r, p), of which Satterthwaite's degrees of freedom are wanted.
    threads : how many to use; the numbers do not depend on it.

    Raises
    ------
    FitError : the design itself cannot be fitted. What is wrong with single responses is told in
        `failures`.
    """
    rows = np.zeros((0, x.shape[1])) if contrasts is None else np.asarray(contrasts, dtype=float)
    if suits(x, groupings):
        return _compiled(y, x, groupings[0], weights, reml, rows, threads)
    return _looped(y, x, groupings, weights, reml, rows)


def suits(x: np.ndarray, groupings: Sequence[Grouping]) -> bool:
    """Whether the compiled kernels cover a design."""
    return (
        kernels.compiled is not None
        and len(groupings) == 1
        and groupings[0].root is None
        and 1 <= groupings[0].size <= kernels.compiled.MAX_SIZE
        and x.shape[1] <= one_factor.MOST_COLUMNS
        and all(t.structure.name in one_factor.DIAGONAL for t in groupings[0].terms)
    )


def _compiled(
    y: np.ndarray,
    x: np.ndarray,
    grouping: Grouping,
    weights: np.ndarray | None,
    reml: bool,
    contrasts: np.ndarray,
    threads: int,
) -> ManyFits:
    n, p = x.shape
    shared = _shared(x, grouping, weights)
    (standard,) = shared.groupings
    back = np.linalg.inv(shared.r_x)
    found = one_factor.fit_columns(
        np.asarray(y, dtype=float),
        shared.x,
        standard,
        weights=weights,
        log_weights=shared.log_weights,
        reml=reml,
        contrasts=contrasts @ back,
        rules=RULES,
        threads=threads,
    )
    scale = found.y_scale[:, None]
    rows = np.einsum("pq,mqr->mpr", back, found.r_inverse)
    nu = n - p if reml else n
    constant = 2.0 * float(np.log(np.abs(np.diag(shared.r_x))).sum()) if reml else 0.0
    root = np.linalg.inv(shared.r_z[0]) @ found.m
    failed = np.flatnonzero(found.status)
    good = found.status == 0
    with np.errstate(divide="ignore"):
        criterion = found.value + 2.0 * nu * np.log(found.y_scale) + constant
    return ManyFits(
        beta=np.where(good[:, None], (found.coef + scale * found.beta) @ back.T, np.nan),
        se=scale * np.sqrt(found.s2[:, None] * np.einsum("mpr,mpr->mp", rows, rows)),
        sigma2=found.s2 * found.y_scale**2,
        criterion=criterion,
        sigmas=(root @ root.swapaxes(1, 2),),
        df=found.df,
        natural=np.zeros((len(good), 0)),
        evaluations=found.evaluations,
        converged=found.converged,
        failures={int(i): kernels.FAILURES[int(found.status[i])] for i in failed},
    )


def natural_names(term: Term, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the parameters of a term's structure; none where Sigma's entries say it all."""
    structure = term.structure
    if structure.name in PLAIN:
        return ()
    return tuple(structure.natural(structure.zero(), np.eye(structure.size), names))


def natural_values(optimum: Optimum) -> np.ndarray:
    """Parameters (k,) as `natural_names` names them, by factor and term in the caller's order.

    A term without variance has no correlations or ranges: they are NaN.
    """
    layout, found = optimum.layout, {}
    for (place, term), phi in zip(layout.terms, layout.split(optimum.at.phi), strict=True):
        if term.structure.name in PLAIN:
            continue
        factor = optimum.cross.order[place]
        sigma = optimum.sigmas[factor][term.columns, term.columns]
        values = term.structure.natural(phi, optimum.sigma2 * sigma)
        found[factor, term.columns.start] = [
            v if name.startswith("sd") or sigma.any() else np.nan for name, v in values.items()
        ]
    return np.array([v for key in sorted(found) for v in found[key]])


def _shared(x: np.ndarray, grouping: Grouping, weights: np.ndarray | None) -> Standard:
    """The design in standard coordinates, which do not depend on the response."""
    # Any response that x does not explain will do; one that no simulated column can be equal to.
    anything = np.random.Generator(np.random.Philox(key=0x68656E646572736F6E)).normal(size=len(x))
    return standardise(anything, x, [grouping], weights)


def _looped(
    y: np.ndarray,
    x: np.ndarray,
    groupings: Sequence[Grouping],
    weights: np.ndarray | None,
    reml: bool,
    contrasts: np.ndarray,
) -> ManyFits:
    """The same by one fit after the other: the twin of `_compiled`, and for every other model."""
    p, m = x.shape[1], y.shape[1]
    out = ManyFits(
        beta=np.full((m, p), np.nan),
        se=np.full((m, p), np.nan),
        sigma2=np.full(m, np.nan),
        criterion=np.full(m, np.nan),
        sigmas=tuple(np.full((m, g.size, g.size), np.nan) for g in groupings),
        df=np.full((m, len(contrasts)), np.nan),
        natural=np.full(
            (m, sum(len(natural_names(t)) for g in groupings for t in g.terms)), np.nan
        ),
        evaluations=np.zeros(m, dtype=int),
        converged=np.zeros(m, dtype=bool),
        failures={},
    )
    for i in range(m):
        if not np.isfinite(y[:, i]).all():
            out.failures[i] = kernels.FAILURES[3]
            continue
        try:
            optimum = optimise(standardise(y[:, i], x, groupings, weights), reml)
        except FitError as error:
            out.failures[i] = str(error)
            continue
        _record(out, i, optimum, contrasts)
    return out


def _record(out: ManyFits, i: int, optimum: Optimum, contrasts: np.ndarray) -> None:
    """Write one optimum into row i."""
    out.beta[i] = optimum.beta
    out.se[i] = np.sqrt(np.diag(optimum.cov_beta))
    out.sigma2[i] = optimum.sigma2
    out.criterion[i] = optimum.criterion
    for to, sigma in zip(out.sigmas, optimum.sigmas, strict=True):
        to[i] = sigma
    out.natural[i] = natural_values(optimum)
    out.evaluations[i] = optimum.verdict.evaluations
    out.converged[i] = optimum.verdict.converged
    if len(contrasts):
        from henderson.engine.satterthwaite import satterthwaite

        blocks = satterthwaite(optimum)
        out.df[i] = [blocks.df(row) for row in contrasts]
