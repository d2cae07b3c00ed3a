"""Which sum a residual covariance has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.finite.base import (
    MOST_SETS,
    FiniteInverse,
    independent,
    strata_of,
)
from henderson.covariance.residual.finite.exchangeable import exchangeable
from henderson.covariance.residual.finite.markov import markov
from henderson.covariance.residual.finite.patterns import by_patterns

MARKOV = frozenset({"ar1", "car1"})


def finite_inverse(model: ResidualModel) -> FiniteInverse | None:
    """R^-1 as a sum of a few fixed matrices, or None.

    Variance functions without parameters scale the rows.
    """
    model, scale, log_scale = _without_fixed(model)
    found = _choose(model)
    if found is None or len(found.products) > MOST_SETS:
        return None
    if scale is None:
        return found

    def at(phi: np.ndarray) -> tuple[Derivatives, Derivatives]:
        weights, (value, first, second) = found.at(phi)
        return weights, (value + log_scale, first, second)

    recipe = found.recipe and replace(found.recipe, log_constant=log_scale)
    return FiniteInverse(found.products, at, scale, recipe)


def _choose(model: ResidualModel) -> FiniteInverse | None:
    strata = strata_of(model)
    if strata is None:
        return None
    if model.correlation is None:
        return independent(strata)
    if model.correlation.name in MARKOV:
        return markov(model, strata)
    if model.correlation.name == "cs":
        return exchangeable(model, strata)
    return by_patterns(model)


def _without_fixed(model: ResidualModel) -> tuple[ResidualModel, np.ndarray | None, float]:
    """The model of rows over their known relative sd, one over these sd (n,), and their log|R|."""
    free = [i for i, v in enumerate(model.variances) if v.n_parameters]
    if len(free) == len(model.variances):
        return model, None, 0.0
    logs = np.zeros(len(model.codes))
    for i, (v, values) in enumerate(zip(model.variances, model.covariates, strict=True)):
        if i not in free:
            logs = logs + v.derivatives(np.zeros(0), values)[0]
    rest = replace(
        model,
        variances=tuple(model.variances[i] for i in free),
        covariates=tuple(model.covariates[i] for i in free),
        labels=(),
    )
    return rest, np.exp(-logs), 2.0 * float(logs.sum())
