"""Covariance of all the parameters: fixed effects and relative variances together.

It is the inverse of the joint observed information of `inference.joint_information`. With A = (d/2)
the information of the entries of the relative Sigmas, beta profiled out, C F as there,

    Cov(a) = A^-1,    Cov(beta, a) = -C F A^-1,    Cov(beta) = s2 C + C F A^-1 F' C.
"""

from __future__ import annotations

import numpy as np

from henderson.engine.optimise import Optimum
from henderson.fit import Fit
from henderson.inference.joint_information import (
    free_entries,
    is_singular,
    joint_cov_params,
    mixed_scores,
)
from henderson.interop.statsmodels.model import MixedLM


def joint_covariance(model: MixedLM, fit: Fit) -> np.ndarray:
    """Covariance (k, k) of `model.param_names`, the variances relative to the scale.

    NaN throughout its random part where the information is singular.
    """
    p, r = model.k_fe, len(model.covariance_names)
    out = np.full((p + r, p + r), np.nan)
    fixed = joint_cov_params(fit).to_numpy()
    out[:p, :p] = fixed[np.ix_(model.columns, model.columns)]
    if r:
        cross, random = _random_part(model, fit)
        out[p:, p:], out[:p, p:], out[p:, :p] = random, cross, cross.T
    return out


def _random_part(model: MixedLM, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Cov(beta, a) (p, r) and Cov(a) (r, r)."""
    optimum, at = fit.optimum, fit.optimum.at
    basis = free_entries(at)
    entries = _entries_of(model, optimum, basis)
    information = basis.T @ at.hessian_sigma @ basis / 2.0
    if is_singular(information):
        inverse = np.full((basis.shape[1], len(entries)), np.nan)
    else:
        inverse = np.linalg.solve(information, entries.T)
    back = optimum.problem.contrast(np.eye(model.k_fe))
    moves = back @ at.factorisation.c @ (mixed_scores(at) @ basis)
    return (-moves @ inverse)[model.columns], entries @ inverse


def _entries_of(model: MixedLM, optimum: Optimum, basis: np.ndarray) -> np.ndarray:
    """How the free entries (m) move each variance and covariance of the model, (r, m)."""
    moves = [_sigma_moves(optimum, t, basis) for t in range(len(optimum.cross.sizes))]
    rows = []
    if model.effects is not None:
        t, _ = model.slot(model.effects)
        where = model.effect_columns
        rows += [moves[t][:, i, j] for a, i in enumerate(where) for j in where[: a + 1]]
    for component in model.components:
        t, slot = model.slot(component.term)
        rows.append(moves[t][:, slot.columns.start, slot.columns.start])
    return np.array(rows)


def _sigma_moves(optimum: Optimum, factor: int, basis: np.ndarray) -> np.ndarray:
    """What the columns of `basis` are in a factor's Sigma (m, K, K), the caller's coordinates."""
    layout, place = optimum.layout, optimum.place(factor)
    size = layout.sizes[place]
    out = np.zeros((basis.shape[1], size, size))
    for weights, direction in zip(basis, layout.sigma_directions, strict=True):
        if direction.factor == place:
            out += weights[:, None, None] * direction.matrix(size)
    return np.array([optimum.problem.sigma(factor, one) for one in out])
