"""Standard errors and intervals of predictions, from the joint covariance of beta and b.

For a row with x and, over the random effects taken into account, u'b (u sparse), Henderson's (1975,
Biometrics 31) equations give, relative to sigma^2 and with D = Cov(b),

    Var(x'(beta^ - beta) + u'(b^ - b)) = m'C m + u'Du - u'D Z'V^-1Z D u,   m = x - X'V^-1Z D u,

C = (X'V^-1X)^-1. Effects not taken into account (left out, or of levels the fit has not seen) are
those of a new level to a *prediction* interval: they add u'Du, and the residual 1/w, or what a
variance function gives the new row (where it is one of the fitted values, at what is predicted).
Where residuals are correlated, that of the new row is taken as independent of the others. Degrees
of freedom are Satterthwaite's for this variance, as for a contrast of the fixed effects alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse, special

from henderson.data.tables import to_frame
from henderson.design.new_variance import new_covariates
from henderson.engine.criterion import Factorisation
from henderson.engine.iterative import with_factor
from henderson.engine.optimise import Evaluated
from henderson.engine.satterthwaite import satterthwaite
from henderson.engine.structured import StructuredFactorisation
from henderson.errors import DesignError, FitError
from henderson.inference.correlated_intervals import Levels, correlated_variances, levels_of
from henderson.inference.ddf import method_name
from henderson.inference.wald import check_level
from henderson.prediction import chosen_columns, predict

if TYPE_CHECKING:
    import pandas as pd

    from henderson.engine.optimise import Optimum
    from henderson.fit import Fit

INTERVALS = ("confidence", "prediction")
DDF = ("satterthwaite", "residual", "normal")
# Step along a tangent direction, whose unit is a moderate change of Sigma.
STEP = 1e-4
CHUNK = 2_000_000


@dataclass(frozen=True)
class Rows:
    """Rows to predict, in standard coordinates.

    x : (r, p). codes, known, prior : per factor (r,) levels, and z (r, K) split into the effects
        that are conditioned on and those that are not.
    residual : (r,) what the residual adds, times the variance functions at `covariates` (r, d).
    levels : per factor with a known covariance of levels, these.
    """

    x: np.ndarray
    codes: tuple[np.ndarray, ...]
    known: tuple[np.ndarray, ...]
    prior: tuple[np.ndarray, ...]
    residual: np.ndarray
    levels: tuple[Levels | None, ...]
    covariates: tuple[np.ndarray, ...] = ()

    def at(self, optimum: Optimum, phi: np.ndarray) -> Rows:
        """The rows with the residual variances that the variance functions give them at phi."""
        layout = optimum.layout
        if layout.residual is None or not self.covariates:
            return self
        own = layout.residual.relative_variances(layout.residual_part(phi), self.covariates)
        return replace(self, residual=self.residual * own, covariates=())

    def slice(self, part: slice) -> Rows:
        return Rows(
            self.x[part],
            tuple(c[part] for c in self.codes),
            tuple(z[part] for z in self.known),
            tuple(z[part] for z in self.prior),
            self.residual[part],
            self.levels,
        )


def predict_interval(
    fit: Fit,
    newdata: Any,
    random: str,
    new_levels: str,
    interval: str,
    level: float = 0.95,
    ddf: str = "satterthwaite",
) -> pd.DataFrame:
    """Columns predicted, std_error, lower, upper; see `Fit.predict`.

    Raises
    ------
    DesignError : unknown interval, level or method.
    FitError : structured residuals with the effects of several factors.
    """
    import pandas as pd

    check_level(level)
    if interval not in INTERVALS:
        raise DesignError(f"interval is 'confidence' or 'prediction', not {interval!r}.")
    ddf = method_name(ddf, DDF)
    predicted = predict(fit, newdata, random, new_levels)
    values = predicted.to_numpy()
    rows = _rows(fit, newdata, random, values if interval == "prediction" else None)
    variance, df = _variance_and_df(fit, rows, ddf)
    sd = np.sqrt(np.maximum(variance, 0.0))
    reach = _quantiles(0.5 + level / 2.0, df) * sd
    columns = {
        "predicted": values,
        "std_error": sd,
        "lower": values - reach,
        "upper": values + reach,
    }
    return pd.DataFrame(columns, index=predicted.index)


def _quantiles(probability: float, df: np.ndarray) -> np.ndarray:
    """t quantiles; normal where df are infinite (or so many that it is the same)."""
    many = df > 1e10
    finite = special.stdtrit(np.where(many, 1.0, df), probability)
    return np.where(many, special.ndtri(probability), finite)


def _rows(fit: Fit, newdata: Any, random: str, predicted: np.ndarray | None) -> Rows:
    """predicted : (r,) for new responses, whose residual and other effects vary too."""
    for_new_rows = predicted is not None
    chosen = chosen_columns(fit, random)
    design, problem = fit.design, fit.optimum.problem
    if newdata is None:
        x, groups = design.X, tuple((f.codes, f.z) for f in design.random)
        weights = np.ones(design.n) if design.weights is None else design.weights
    else:
        # What is left out varies in a new response, so that its columns, not its level, are needed.
        table = _with_groups(fit, newdata, chosen) if for_new_rows else newdata
        new = design.new(table, random=True if for_new_rows else chosen)
        x, groups, weights = new.X, new.random, np.ones(len(new.X))
    scale = problem.y_scale
    codes, known, prior = [], [], []
    for t, (level, z) in enumerate(groups):
        seen = z * (chosen[t] & (level >= 0)[:, None])
        back = scale * np.linalg.inv(problem.r_z[t])
        codes.append(level)
        known.append(seen @ back)
        prior.append((z - seen) @ back if for_new_rows else np.zeros_like(z))
    residual = scale**2 / weights if for_new_rows else np.zeros(len(x))
    parts = tuple(codes), tuple(known), tuple(prior)
    covariates = () if predicted is None else _covariates(fit, newdata, predicted)
    return Rows(problem.contrast(x), *parts, residual, levels_of(fit), covariates)


def _covariates(fit: Fit, newdata: Any, predicted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Values (r, 1) for every variance function; fitted values are those predicted."""
    design = fit.design.residual
    if design is None or not design.covariates:
        return ()
    return new_covariates(design, fit.design.frame.data if newdata is None else newdata, predicted)


def _with_groups(fit: Fit, newdata: Any, chosen: list[np.ndarray]) -> pd.DataFrame:
    """The table, with empty columns for groups that it lacks and that do not take part."""
    table = to_frame(newdata)
    groups = [{name for name, _ in factor.parts} for factor in fit.design.random]
    used = set().union(*(g for g, mask in zip(groups, chosen, strict=True) if mask.any()))
    idle = set().union(*groups) - used - set(table.columns)
    return table.assign(**dict.fromkeys(idle)) if idle else table


def _variance_and_df(fit: Fit, rows: Rows, ddf: str) -> tuple[np.ndarray, np.ndarray]:
    """Variances (r,) in squared units of the response, and their degrees of freedom (r,)."""
    optimum = fit.optimum
    s2 = optimum.factorisation.s2(optimum.reml)
    relative = _relative(optimum, optimum.at.phi, rows)
    if ddf == "normal":
        return s2 * relative, np.full(len(relative), np.inf)
    if ddf == "residual" or not optimum.layout.directions:
        return s2 * relative, np.full(len(relative), float(fit.df_resid))
    tangent = optimum.at.tangent
    slopes = [_slope(optimum, direction, rows) for direction in tangent.T]
    every = np.array([*slopes, relative])  # log sigma^2 scales them all
    noise = np.einsum("ar,ab,br->r", every, satterthwaite(optimum).covariance, every)
    df = np.full(len(relative), np.inf)
    np.divide(2.0 * relative**2, noise, out=df, where=noise > 0.0)
    return s2 * relative, df


def _slope(optimum: Optimum, direction: np.ndarray, rows: Rows) -> np.ndarray:
    """The derivative of the relative variances (r,) along a direction of phi."""
    phi = optimum.at.phi
    up = _relative(optimum, phi + STEP * direction, rows)
    return (up - _relative(optimum, phi - STEP * direction, rows)) / (2.0 * STEP)


def _relative(optimum: Optimum, phi: np.ndarray, rows: Rows) -> np.ndarray:
    """Variances over sigma^2 (r,) at covariance parameters phi."""
    rows = rows.at(optimum, phi)
    if any(own is not None for own in rows.levels):
        return correlated_variances(optimum, phi, rows)
    f = _factorisation(optimum, phi)
    tail = f.cross.m if isinstance(f, Factorisation) else 0
    size = max(1, CHUNK // max(1, tail + f.n_fixed))
    out = np.empty(len(rows.x))
    for start in range(0, len(out), size):
        part = slice(start, start + size)
        out[part] = _relative_of(f, rows.slice(part))
    return out


def _factorisation(optimum: Optimum, phi: np.ndarray) -> Factorisation | StructuredFactorisation:
    at = optimum.at
    found = at if phi is at.phi else Evaluated(at.cross, at.layout, at.reml, phi)
    return with_factor(found.factorisation, "An interval about a prediction")


def _relative_of(f: Factorisation | StructuredFactorisation, rows: Rows) -> np.ndarray:
    moved, out, m = [], rows.residual.copy(), rows.x.copy()
    for place, factor in enumerate(f.cross.order):
        sigma, known, prior = f.sigmas[place], rows.known[factor], rows.prior[factor]
        level = np.maximum(rows.codes[factor], 0)
        a = known @ sigma
        out += np.einsum("rk,rk->r", a, known) + np.einsum("rk,kl,rl->r", prior, sigma, prior)
        m -= np.einsum("rk,rkp->rp", a, f.e[place][level])
        moved.append((a, level))
    taken = _taken(f, moved) if isinstance(f, Factorisation) else _taken_by_one(f, moved)
    return out + np.einsum("rp,pq,rq->r", m, f.c, m) - taken


def _taken_by_one(
    f: StructuredFactorisation, moved: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray | float:
    """The same as `_taken` where the effects of one factor take part: Z_t'V^-1Z_t by level."""
    active = [t for t, (a, _) in enumerate(moved) if np.any(a != 0.0)]
    if len(active) > 1:
        raise FitError(
            "With structured residuals, intervals take account of the random effects of one "
            "grouping factor at a time: name a term, random='(1 | g)', or random='none'."
        )
    if not active:
        return 0.0
    a, level = moved[active[0]]
    return np.einsum("rk,rkl,rl->r", a, f.g[active[0]][level], a)


def _taken(f: Factorisation, moved: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """w'Z'V^-1Z w (r,) for w = D u given as (w_j (r, K), levels j (r,)) per factor, head first.

    With F = Z_1'V1^-1Z_tail, N = Z_tail'V1^-1Z_tail and c = F'w_1 + N w_2 it is
    w_1'(Z_1'V1^-1Z_1)w_1 + 2 w_1'F w_2 + w_2'N w_2 - c'T c.
    """
    if not moved:
        return np.zeros(1)
    (head, level), *rest = moved
    out = np.einsum("rk,rkl,rl->r", head, f.gd[level], head)
    if f.f_tail is None:
        return out
    count, size = head.shape
    pointers = np.arange(0, count * size + 1, size)
    places = level[:, None] * size + np.arange(size)
    picked = sparse.csr_array(
        (head.ravel(), places.ravel(), pointers), shape=(count, f.gd.shape[0] * size)
    )
    tail = np.zeros((count, f.cross.m))
    for (a, levels), where in zip(rest, f.cross.tail, strict=True):
        k = a.shape[1]
        tail[np.arange(count)[:, None], where.start + levels[:, None] * k + np.arange(k)] = a
    linked = picked @ f.f_tail  # sparse where the tail's links are
    linked = linked.toarray() if sparse.issparse(linked) else linked
    within = f.n_zz.apply(tail.T).T
    c = linked + within
    out += np.einsum("rm,rm->r", 2.0 * linked + within, tail)
    return out - np.einsum("rm,rm->r", c, f.t.apply(c.T).T)
