"""Checks of what the mean and its estimates rest on: curvature, order, influence, collinearity."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from henderson.diagnostics.autocorrelation import lag_one
from henderson.diagnostics.checks import Check, Material, Verdict, judge
from henderson.diagnostics.deletion import deletions
from henderson.diagnostics.row_sets import row_sets

# A curve's root mean square in residual standard deviations: seen, and large.
CURVE = (0.05, 0.2)
# Lag-one autocorrelation: seen, and large.
ORDER = (0.1, 0.2)
# Variance inflation that is moderate, and high.
INFLATION = (5.0, 10.0)
# Cook's distance of a level that fits the others and yet moves the fixed effects.
LONE = 1.0
# What X spans of a square is no longer curvature.
SPANNED = 1e-8


def linearity(m: Material) -> Iterator[Check]:
    """The square of each numeric predictor as one more fixed effect, the covariance held."""
    spec, frame = m.fit.design.fixed.spec, m.fit.design.frame.data
    for name in spec.columns:
        if name in spec.levels or name not in frame.columns:
            continue
        x = np.asarray(frame[name].to_numpy(), dtype=float)
        found = _curvature(m, x) if len(np.unique(x[:10_000])) > 2 else None
        if found is not None:
            yield _linear(name, found)


@dataclass(frozen=True)
class Curvature:
    """t-value of a square, its p-value, and the curve's size in residual standard deviations."""

    t: float
    p: float
    size: float


def _curvature(m: Material, x: np.ndarray) -> Curvature | None:
    """None where the model has the square already."""
    problem, v = m.fit.optimum.problem, m.precision
    n = len(x)
    square = problem.given.weighted(((x - x.mean()) / (x.std() or 1.0)) ** 2)
    u = square - problem.x @ (problem.x.T @ square) / n
    if u @ u < SPANNED * (square @ square):
        return None
    u /= np.sqrt(u @ u / n)
    information = float(u @ v.project(u))
    if information <= 0.0:
        return None
    coef = float(u @ v.py) / information
    t = coef * np.sqrt(information / m.s2)
    p = float(2.0 * special.stdtr(_df(m, u), -abs(t)))
    return Curvature(float(t), p, float(abs(coef) / np.sqrt(m.s2)))


def _df(m: Material, u: np.ndarray) -> float:
    """Levels less what is estimated between them, for a column constant within levels."""
    x = m.fit.design.X
    df = m.fit.nobs - m.fit.design.p - 1
    for factor in m.fit.design.random:
        if _constant(u, factor.codes):
            between = sum(_constant(x[:, j], factor.codes) for j in range(x.shape[1]))
            df = min(df, len(factor.levels) - between - 1)
    return float(max(df, 1))


def _constant(column: np.ndarray, codes: np.ndarray) -> bool:
    first = np.empty(int(codes.max()) + 1)
    first[codes[::-1]] = column[::-1]
    return bool(np.allclose(first[codes], column, rtol=1e-9, atol=1e-9 * np.ptp(column)))


def _linear(name: str, found: Curvature) -> Check:
    verdict = judge(found.p, found.size, *CURVE)
    if verdict == "fine":
        meaning, advice = f"A straight line in {name} is enough.", "Nothing to do."
    else:
        bend = "upwards" if found.t > 0 else "downwards"
        meaning = f"The response bends {bend} along {name}."
        advice = (
            f"Add a curve, such as I({name}**2) or bs({name}, df=4), and compare with hd.anova()."
        )
    return Check(f"linearity in {name}", "t of square", found.t, found.p, verdict, meaning, advice)


def independence(m: Material) -> Iterator[Check]:
    """First-order autocorrelation of the errors within groups, in the order of the rows."""
    found = lag_one(m.fit)
    if found is None:
        return
    p = float(2.0 * special.ndtr(-abs(found.z)))
    verdict = judge(p, abs(found.rho), *ORDER)
    if verdict == "fine":
        meaning = f"Errors of rows that follow each other within {found.group} are unrelated."
        advice = "Nothing to do; sort the rows by time for this to mean something."
    else:
        less = "; residuals show less, as random effects take a part"
        hidden = less if m.fit.design.random else ""
        meaning = (
            f"Errors of rows that follow each other within {found.group} are correlated "
            f"(about {found.rho:.2f}{hidden})."
        )
        advice = (
            f"If the rows are in order of time, try correlation='ar1(1 | {found.group})' and look "
            "at fit.acf()."
        )
    yield Check("independence", "lag-1 rho", found.rho, p, verdict, meaning, advice)


# ---- influence


def influential(m: Material) -> Iterator[Check]:
    """Cook's distances of the levels of every grouping factor (of rows, without one)."""
    design = m.fit.design
    if not design.p:
        return
    for name in [f.name for f in design.random] or ["row"]:
        found = _influence(m, name)
        if found is not None:
            yield found


def _influence(m: Material, name: str) -> Check | None:
    """A level moves the fixed effects far if beta gets to the edge of its 50 % region (Cook 1977,
    Technometrics 19): a problem if its own rows do not fit the others either.
    """
    sets = row_sets(m.fit, name)
    optimum, p = m.fit.optimum, m.fit.design.p
    found = deletions(optimum, m.precision, sets)
    told = np.isfinite(found.rss)
    if len(sets) <= p + 1 or not told.any():
        return None
    moved = np.einsum("jp,pq,jq->j", found.shift, np.linalg.inv(m.precision.c), found.shift)
    distance = np.where(told, moved / (p * m.s2), 0.0)
    odds = len(sets) * special.chdtrc(sets.sizes, np.where(told, found.rss, 0.0) / m.s2)
    edge = float(special.fdtri(p, len(sets) - p, 0.5))
    odd = (distance > edge) & (odds < 0.05)
    far = odd | (distance > max(edge, LONE))
    verdict: Verdict = "problem" if odd.any() else "look" if far.any() else "fine"
    at = int(np.argmax(distance))
    if verdict == "fine":
        meaning, advice = f"No single {_one(name)} carries the fixed effects.", "Nothing to do."
    else:
        count = int(far.sum())
        whole = f"{count} levels of {name} move" if count > 1 else f"{sets.levels[at]} alone moves"
        meaning = (
            f"{name}: {whole} the fixed effects far (largest Cook's distance "
            f"{distance[at]:.2f}, {sets.levels[at]})."
        )
        advice = f"Report the fit with and without it: fit.influence('{name}', refit=True)."
    title = f"influential {name}" if name == "row" else f"influential levels of {name}"
    return Check(title, "Cook's D", float(distance[at]), np.nan, verdict, meaning, advice)


def _one(name: str) -> str:
    return "row" if name == "row" else f"level of {name}"


# ---- collinearity


def collinearity(m: Material) -> Iterator[Check]:
    """Generalised variance inflation of every term, per coefficient (Fox & Monette 1992, JASA
    87)."""
    inflation = variance_inflation(m)
    if len(inflation) < 2:
        return
    worst = max(inflation, key=lambda name: inflation[name])
    value = inflation[worst]
    verdict: Verdict = "fine"
    if value > INFLATION[0]:
        verdict = "problem" if value > INFLATION[1] and not _product(worst, inflation) else "look"
    if verdict == "fine":
        meaning, advice = "The predictors can be told apart.", "Nothing to do."
    else:
        meaning = f"The variance of {worst} is {value:.0f} times what it would be by itself."
        advice = (
            "Centre the numeric predictors: effects at zero of the other are then effects at its "
            "mean."
            if _product(worst, inflation)
            else "Leave out or combine predictors that say the same, or do not read their effects "
            "one by one."
        )
    yield Check("collinearity", "max VIF", value, np.nan, verdict, meaning, advice)


def _product(name: str, names: dict[str, float]) -> bool:
    """A term is in an interaction, or is one."""
    own = set(name.split(":"))
    return any(":" in other and own & set(other.split(":")) for other in names)


def variance_inflation(m: Material) -> dict[str, float]:
    """det(R_1) det(R_2) / det(R) to the power 1 / columns, by term; R of the estimates."""
    names = [re.sub(r"\[[^\]]*\]", "", name) for name in m.fit.design.names]
    keep = [i for i, name in enumerate(names) if name != "Intercept"]
    terms = [names[i] for i in keep]
    if len(set(terms)) < 2:
        return dict.fromkeys(terms, 1.0)
    cov = m.fit.optimum.cov_beta[np.ix_(keep, keep)]
    sd = np.sqrt(np.diag(cov))
    r = cov / np.outer(sd, sd)
    whole, out = np.linalg.slogdet(r)[1], {}
    for term in dict.fromkeys(terms):
        own = np.array([t == term for t in terms])
        parts = sum(np.linalg.slogdet(r[np.ix_(a, a)])[1] for a in (own, ~own))
        out[term] = float(np.exp((parts - whole) / own.sum()))
    return out
