"""Short lessons on the mixed model behind the seven approaches: matrices, GLS, REML, shrinkage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.model import lmm
from henderson.seven.result import Approaches
from henderson.seven.text import fill

if TYPE_CHECKING:
    from henderson.fit import Fit


def lessons(result: Approaches) -> Iterator[str]:
    """The lessons in order, from the random-intercept fit of `result`."""
    fit = result["lmm_inter"].fit
    if fit is None:
        return
    yield "The model on six rows\n====================="
    yield from _six_rows(fit)
    yield "The slope as generalised least squares\n======================================"
    yield _gls(fit)
    yield "ML against REML\n==============="
    yield _ml_reml(fit, result)
    yield "Shrinkage is a ridge penalty\n============================"
    yield from _ridge(fit)


# -- six rows ------------------------------------------------------------------------------------


def six_rows(fit: Fit) -> np.ndarray:
    """Positions of the first rows of the first groups, two each, at most six."""
    codes = fit.design.random[0].codes
    groups = range(min(3, codes.max() + 1))
    return np.concatenate([np.flatnonzero(codes == j)[:2] for j in groups])


def _six_rows(fit: Fit) -> Iterator[str]:
    rows = six_rows(fit)
    design, factor = fit.design, fit.design.random[0]
    groups = np.unique(factor.codes[rows])
    z = (factor.codes[rows][:, None] == groups).astype(float)
    u = fit.optimum.modes(0)[groups, 0]
    yield fill(
        "y = X beta + Z u + e. X holds what everybody shares, Z says who sits where. Here are two "
        f"rows of each of {len(groups)} groups ({factor.name}), with beta and u as estimated "
        f"from all {fit.nobs} rows."
    )
    yield _side_by_side(fit, rows, z, [str(factor.levels[g]) for g in groups])
    beta = ", ".join(f"{n} {v:.4f}" for n, v in fit.params.items())
    blups = ", ".join(f"{factor.levels[g]} {v:.4f}" for g, v in zip(groups, u, strict=True))
    yield f"{fill('beta: ' + beta)}\n{fill('u: ' + blups)}"
    worked = design.X[rows] @ fit.params.to_numpy() + z @ u
    yield f"X beta + Z u:  {'  '.join(f'{v:.4f}' for v in worked)}"
    yield fill(
        "V = Z D Z' + R is the covariance of these rows: two rows of one group share the variance "
        "of the groups; rows of two groups share nothing."
    )
    yield matrix_text(fit.V(rows).to_numpy())


def _side_by_side(fit: Fit, rows: np.ndarray, z: np.ndarray, labels: list[str]) -> str:
    """y | X | Z in columns."""
    x_head = "".join(f"{_cut(n):>11}" for n in fit.design.names)
    z_head = "".join(f"{_cut(n):>8}" for n in labels)
    lines = [f"{'y':>10}  |{x_head}  |{z_head}"]
    for i, row in enumerate(rows):
        x = "".join(f"{v:>11.4g}" for v in fit.design.X[row])
        lines.append(f"{fit.design.y[row]:>10.4f}  |{x}  |" + "".join(f"{v:>8.0f}" for v in z[i]))
    return "\n".join(lines)


def _cut(name: str) -> str:
    return name if len(name) <= 10 else name[:9] + "."


def matrix_text(values: np.ndarray) -> str:
    """Rows of numbers, four decimals."""
    return "\n".join("".join(f"{v:>11.4f}" for v in row) for row in values)


# -- generalised least squares --------------------------------------------------------------------


def gls(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """beta (p,) and its covariance (p, p) from X'V^-1X beta = X'V^-1y with the estimated V."""
    x, y = fit.design.X, fit.design.y
    weighted = np.linalg.solve(fit.V().to_numpy(), x)
    cov = np.linalg.inv(x.T @ weighted)
    return cov @ (weighted.T @ y), cov


def _gls(fit: Fit) -> str:
    beta, cov = gls(fit)
    lines = [
        fill(
            "If V were known, the slope would need no mixed model: solve X'V^-1X beta = X'V^-1y. "
            f"With the estimated V of all {fit.nobs} rows put in by hand:"
        ),
        "",
        f"{'':<16}{'beta by hand':>16}{'by the fit':>16}{'SE by hand':>16}{'by the fit':>16}",
    ]
    rows = zip(fit.params.items(), beta, np.sqrt(np.diag(cov)), fit.bse, strict=True)
    lines += [
        f"{name[:15]:<16}{by_hand:>16.8f}{value:>16.8f}{se:>16.8f}{bse:>16.8f}"
        for (name, value), by_hand, se, bse in rows
    ]
    return "\n".join(lines)


# -- ML and REML ----------------------------------------------------------------------------------


def _ml_reml(fit: Fit, result: Approaches) -> str:
    ml = lmm(fit.formula, result.data, method="ML")
    group = fit.design.random[0].name
    values: list[tuple[str, Any]] = [
        (f"variance of {group}", lambda f: f.varcorr()[group].iloc[0, 0]),
        ("residual variance", lambda f: f.scale),
        (result.term, lambda f: f.params[result.term]),
        (f"SE of {result.term}", lambda f: f.bse[result.term]),
        ("log-likelihood", lambda f: f.llf),
    ]
    said = fill(
        "Maximum likelihood takes the fixed effects as known when it estimates variances, and so "
        f"finds them too small, most of all the variance between {len(result.levels)} groups. REML "
        "gives back the degrees of freedom that the fixed effects cost. Its likelihood is that of "
        "the contrasts of y that do not involve beta, so the two cannot be compared."
    )
    head = f"{'':<34}{'ML':>16}{'REML':>16}"
    lines = [f"{_long(name):<34}{value(ml):>16.6f}{value(fit):>16.6f}" for name, value in values]
    return "\n".join([said, "", head, *lines])


def _long(name: str) -> str:
    return name if len(name) <= 33 else name[:32] + "."


# -- ridge ----------------------------------------------------------------------------------------


def penalised(fit: Fit, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """beta (p,) and u (J,) that minimise |y - X beta - Z u|^2 + penalty |u|^2.

    With penalty sigma^2 / tau^2 these are Henderson's mixed model equations (1950).
    """
    x, y = fit.design.X, fit.design.y
    z = np.asarray(fit.design.Z.todense())
    both = np.hstack([x, z])
    ridge = np.diag(np.r_[np.zeros(x.shape[1]), np.full(z.shape[1], penalty)])
    solution = np.linalg.solve(both.T @ both + ridge, both.T @ y)
    return solution[: x.shape[1]], solution[x.shape[1] :]


def _ridge(fit: Fit) -> Iterator[str]:
    tau2, factor = fit.varcorr()[fit.design.random[0].name].iloc[0, 0], fit.design.random[0]
    if tau2 <= 0.0:
        yield fill("The variance of the groups is zero: the penalty is infinite, all u are zero.")
        return
    penalty = fit.scale / tau2
    yield fill(
        "Least squares with a penalty on u, minimise |y - X beta - Z u|^2 + k |u|^2, gives the "
        f"BLUPs when k = sigma^2 / tau^2 = {fit.scale:.6f} / {tau2:.6f} = {penalty:.6f}. A large "
        "variance between groups means a small penalty, hence little shrinkage. 'Own mean' is the "
        "mean of the group's residuals y - X beta; times n / (n + k) it is the BLUP:"
    )
    yield _shrinkage(fit, penalty, [str(v) for v in factor.levels])
    yield fill("The larger the penalty, the closer the groups come to their common mean:")
    yield _path(fit, penalty, [str(v) for v in factor.levels])


def _shrinkage(fit: Fit, penalty: float, levels: list[str]) -> str:
    codes = fit.design.random[0].codes
    n = np.bincount(codes)
    gap = fit.design.y - fit.design.X @ fit.params.to_numpy()
    own = np.bincount(codes, weights=gap) / n
    _, u = penalised(fit, penalty)
    modes = fit.optimum.modes(0)[:, 0]
    head = f"{'':<14}{'n':>5}{'own mean':>12}{'n / (n + k)':>13}{'ridge u':>14}{'BLUP':>14}"
    lines = [
        f"{level[:13]:<14}{n[j]:>5}{own[j]:>12.6f}{n[j] / (n[j] + penalty):>13.6f}"
        f"{u[j]:>14.8f}{modes[j]:>14.8f}"
        for j, level in enumerate(levels)
    ]
    return "\n".join([head, *lines])


def _path(fit: Fit, penalty: float, levels: list[str]) -> str:
    shown = levels[:5]
    lines = [f"{'k':>14}" + "".join(f"{v[:11]:>12}" for v in shown)]
    for k in (penalty, 1.0, 10.0, 100.0, 1000.0):
        _, u = penalised(fit, k)
        lines.append(f"{k:>14.6f}" + "".join(f"{v:>12.6f}" for v in u[: len(shown)]))
    return "\n".join(lines)
