"""The conditional AIC: -2 log p(y | b) + 2 (effective degrees of freedom + 1).

Where the covariance parameters theta are known the effective degrees of freedom are the trace of
the hat matrix I - P (Vaida & Blanchard 2005, Biometrika 92). They are estimated, and to treat
them as known favours the larger model; what counts is every way in which the fitted values follow
the data (Greven & Kneib 2010, Biometrika 97),

    tr(d yhat / dy) = tr(I - P) + sum_ab (H^-1)_ab (2 nu / y'Py) (u_a - (y'u_a / y'Py) Py)'u_b,

with u_a = P V_a P y = d yhat / d theta_a, H the Hessian of the criterion, and d theta / dy from its
score equations. Only vectors of length n are formed: P times a vector is the residual of the
mixed-model equations at the fitted theta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from henderson.engine.criterion import Factorisation, factorise
from henderson.engine.crossproducts import cross_products
from henderson.engine.problem import Rows
from henderson.errors import DesignError
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    from henderson.fit import Fit


@dataclass(frozen=True, repr=False)
class CAic(Printed):
    """Conditional AIC.

    Attributes
    ----------
    value : -2 llf + 2 (edf + 1).
    llf : log-likelihood of the response given the random effects' modes, sigma^2 as estimated.
    edf : effective degrees of freedom, the estimation of the covariance parameters included
        (Greven & Kneib 2010).
    edf_known : the trace of the hat matrix, the covariance parameters taken as known (Vaida &
        Blanchard 2005).
    """

    value: float
    llf: float
    edf: float
    edf_known: float

    @property
    def value_known(self) -> float:
        """The criterion of Vaida & Blanchard."""
        return -2.0 * self.llf + 2.0 * (self.edf_known + 1.0)

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import caic_parts

        return caic_parts(self)


def caic(fit: Fit) -> CAic:
    """Conditional AIC; see `Fit.caic`.

    Raises
    ------
    DesignError : residuals that are correlated or of different variance by a model.
    """
    if fit.optimum.layout.residual is not None:
        raise DesignError(
            "The conditional AIC is worked out for independent residuals only, and not for several "
            "effects by level of a known covariance alone: compare such fits by AIC."
        )
    known = hat_trace(fit)
    edf = known + _estimation(fit)
    llf = conditional_llf(fit)
    return CAic(-2.0 * llf + 2.0 * (edf + 1.0), llf, edf, known)


def conditional_llf(fit: Fit) -> float:
    """log p(y | b, beta, sigma^2) at the estimates."""
    weights = fit.design.weights
    w = np.ones(fit.nobs) if weights is None else weights
    rss = float(np.sum(w * fit.resid.to_numpy() ** 2))
    n = fit.nobs
    deviance = n * np.log(2.0 * np.pi * fit.scale) - np.log(w).sum() + rss / fit.scale
    return float(-0.5 * deviance)


def hat_trace(fit: Fit) -> float:
    """tr(I - P) = p + sum_t tr(Sigma_t Z_t'PZ_t): the hat matrix at known covariance parameters."""
    f = fit.optimum.factorisation
    total = float(fit.design.p)
    for sigma, g, e in zip(f.sigmas, f.g, f.e, strict=True):
        blocks = g.sum(0) - np.einsum("jkp,pq,jlq->kl", e, f.c, e, optimize=True)
        total += float(np.sum(sigma * blocks))
    return total


def _estimation(fit: Fit) -> float:
    """What following the covariance parameters adds to the trace of d yhat / dy.

    The directions are those along the face of the cone where a covariance matrix is singular.
    """
    at = fit.optimum.at
    z = at.tangent
    if not z.size:
        return 0.0
    hessian = z.T @ at.hessian @ z
    moves = z.T @ at.layout.jacobian(at.phi).T
    p_y, u = _vectors(fit)
    u = moves @ u
    f = at.factorisation
    rss, nu = f.rss, f.nu(fit.optimum.reml)
    y = fit.optimum.problem.y
    slopes = 2.0 * nu / rss * (u - np.outer(u @ y / rss, p_y))
    return float(np.sum(np.linalg.pinv(hessian, rcond=1e-12, hermitian=True) * (slopes @ u.T)))


def _vectors(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Py (n,) and P V_a P y (k, n) along the layout's directions, in standard coordinates."""
    optimum = fit.optimum
    f = optimum.factorisation
    assert isinstance(f, Factorisation)
    p_y = _residual(fit, optimum.problem.y)
    order = optimum.cross.order
    out = []
    for d in optimum.layout.sigma_directions:
        grouping = optimum.problem.groupings[order[d.factor]]
        effects = f.h[d.factor] @ d.matrix(grouping.size)
        out.append(
            _residual(
                fit, np.einsum("nk,nk->n", grouping.z, grouping.on_levels(effects)[grouping.codes])
            )
        )
    return p_y, np.array(out)


def _residual(fit: Fit, v: np.ndarray) -> np.ndarray:
    """P v (n,): v less its fixed and random parts at the fitted covariance."""
    problem, optimum = fit.optimum.problem, fit.optimum
    rows = Rows(x=problem.x, y=v, groupings=problem.groupings)
    cross = cross_products(replace(problem, rows=rows, reduced=None))
    f = factorise(cross, optimum.layout.factors(optimum.at.phi))
    out = v - problem.x @ f.beta
    for place, t in enumerate(cross.order):
        grouping = problem.groupings[t]
        modes = f.h[place] @ f.sigmas[place]
        out = out - np.einsum("nk,nk->n", grouping.z, grouping.on_levels(modes)[grouping.codes])
    return np.asarray(out)
