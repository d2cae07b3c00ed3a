"""Standard errors from the joint information of the fixed effects and the relative covariance.

With sigma profiled out, half the criterion as a function of beta and the entries of Sigma is

    f = (nu log r'V^-1r + log|V| + [REML] log|X'V^-1X|) / 2,    r = y - X beta.

At the optimum its second derivatives are

    f_bb = X'V^-1X / s2,    f_ba = X'V^-1 V_a V^-1 r / s2,    f_ab - f_ab' f_bb^-1 f_ab = d_ab / 2

with d_ab those of the criterion with beta profiled out too, so the inverse has the block

    s2 C + s2 C F (d / 2)^-1 F' C s2,    C = (X'V^-1X)^-1,  F = (f_ba).

The first term is the usual covariance. statsmodels' MixedLM reports the square roots of this sum
(Lindstrom & Bates 1988, JASA 83, derive the Hessian), and so does glmmTMB; lme4, nlme and this
package's `bse` the first alone. Structures that are not linear in their parameters, and those of
the residuals, take a along their internal parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from henderson.engine.structured import StructuredFactorisation

if TYPE_CHECKING:
    from henderson.engine.optimise import Evaluated
    from henderson.fit import Fit

# An eigenvalue of the scaled information below this part of the largest is rounding: the optimum
# itself is known to the square root of the precision of the criterion.
SINGULAR = 1e-6


def joint_bse(fit: Fit) -> pd.Series:
    """Standard errors (p,) from the joint information; NaN where it gives none.

    On a singular fit the optimum is on the boundary of the parameter space and the criterion need
    not be convex there, so a variance can come out negative. With too few levels for the
    covariances (two, for an intercept and a slope) the information is singular and says nothing.
    """
    variances = np.diag(joint_cov_params(fit))
    sd = np.sqrt(np.where(variances > 0.0, variances, np.nan))
    return pd.Series(sd, index=fit.design.names, name="std_error")


def joint_cov_params(fit: Fit) -> pd.DataFrame:
    """The fixed effects' block (p, p) of the inverse of the joint information."""
    values = fit.optimum.cov_beta + _added(fit)
    return pd.DataFrame(values, index=fit.design.names, columns=fit.design.names)


def _added(fit: Fit) -> np.ndarray:
    """What the uncertainty of Sigma adds to Cov(beta), (p, p), in the caller's coordinates."""
    optimum, at = fit.optimum, fit.optimum.at
    p = optimum.cross.p
    if not at.layout.directions:
        return np.zeros((p, p))
    information, moves = _along_entries(at) if is_linear(at) else _along_parameters(at)
    if is_singular(information):
        return np.full((p, p), np.nan)
    inner = moves @ np.linalg.solve(information, moves.T)
    standard = at.factorisation.c @ inner @ at.factorisation.c
    back = optimum.problem.contrast(np.eye(p))
    return back @ standard @ back.T


def is_linear(at: Evaluated) -> bool:
    """V is linear in its parameters, so that entries of Sigma can be moved one by one."""
    return at.layout.residual is None and all(t.structure.linear for _, t in at.layout.terms)


def _along_entries(at: Evaluated) -> tuple[np.ndarray, np.ndarray]:
    """d / 2 and F along the free entries of Sigma."""
    basis = free_entries(at)
    return basis.T @ at.hessian_sigma @ basis / 2.0, mixed_scores(at) @ basis


def _along_parameters(at: Evaluated) -> tuple[np.ndarray, np.ndarray]:
    """d / 2 and F along the internal parameters."""
    f, scores = at.factorisation, mixed_scores(at)
    if isinstance(f, StructuredFactorisation):
        scores = np.column_stack([scores, f.residual_scores()])
    z = at.tangent
    return z.T @ at.hessian @ z / 2.0, scores @ at.jacobian @ z


def is_singular(information: np.ndarray) -> bool:
    """No inverse but for rounding, whatever the scale of each entry."""
    scale = np.sqrt(np.abs(np.diag(information)))
    if not scale.all():
        return True
    values = np.abs(np.linalg.eigvalsh(information / np.outer(scale, scale)))
    return bool(values.min() <= SINGULAR * values.max())


def mixed_scores(at: Evaluated) -> np.ndarray:
    """X'V^-1 V_a V^-1 r (p, k), a over the entries of the Sigmas; s2 cancels against s2 C's."""
    f, layout = at.factorisation, at.layout
    columns = [
        np.einsum("jkp,kl,jl->p", f.e[d.factor], d.matrix(layout.sizes[d.factor]), f.h[d.factor])
        for d in layout.sigma_directions
    ]
    return np.array(columns).reshape(-1, at.cross.p).T


def free_entries(at: Evaluated) -> np.ndarray:
    """Basis (k, r) of the entries of Sigma that linear structures leave free."""
    layout = at.layout
    inside = layout.start([np.eye(size) for size in layout.sizes])
    left, singular, _ = np.linalg.svd(layout.jacobian(inside), full_matrices=False)
    return left[:, singular > 1e-10 * singular[0]]
