"""What normal quantile plots are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from henderson.errors import DesignError, did_you_mean

if TYPE_CHECKING:
    from henderson.fit import Fit


def normal_quantiles(values: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """Ordered values (n,) beside the normal quantiles that they should follow.

    Columns theoretical, value, and lower, upper: where each order statistic of a normal sample with
    the values' mean and standard deviation lies with probability `level`, the k-th of n uniforms
    being Beta(k, n + 1 - k). The index says which value it is. Missing values are left out.
    """
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    ordered, n = values[order], len(order)
    rank = np.arange(1, n + 1)
    mean, sd = float(ordered.mean()), float(ordered.std(ddof=1))
    ends = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    lower, upper = (special.ndtri(special.betaincinv(rank, n + 1 - rank, q)) for q in ends)
    columns = {
        "theoretical": special.ndtri((rank - 0.375) / (n + 0.25)),
        "value": ordered,
        "lower": mean + sd * lower,
        "upper": mean + sd * upper,
    }
    return pd.DataFrame(columns, index=order)


def standardised_modes(fit: Fit) -> dict[str, pd.DataFrame]:
    """Conditional modes over their own standard deviations, by grouping factor, (J, K).

    The variance of a mode is that of its effect less its prediction error variance (fixed effects
    estimated): each is N(0, 1) where the model is right. NaN where a variance is zero.
    """
    out = {}
    spread = fit.condvar(given_beta=False)
    for t, (name, modes) in enumerate(fit.ranef().items()):
        prior = fit.scale * np.diag(fit.optimum.sigmas[t])
        prior = prior * fit.design.random[t].variances[:, None]
        variance = prior - np.einsum("jkk->jk", spread[name])
        known = variance > 1e-8 * np.maximum(prior, 1e-300)
        out[name] = modes / np.sqrt(np.where(known, variance, np.nan))
    return out


def random_quantiles(fit: Fit, group: str | None = None, effect: str | None = None) -> pd.DataFrame:
    """`normal_quantiles` of the standardised modes of one effect, indexed by level.

    Raises
    ------
    DesignError : no random effects, or none of that name.
    """
    modes = standardised_modes(fit)
    if not modes:
        raise DesignError("The model has no random effects.")
    group = next(iter(modes)) if group is None else group
    if group not in modes:
        raise DesignError(f"There is no grouping factor '{group}': {did_you_mean(group, modes)}")
    table = modes[group]
    effect = table.columns[0] if effect is None else effect
    if effect not in table.columns:
        raise DesignError(
            f"'{group}' has no random effect '{effect}': {did_you_mean(effect, table.columns)}"
        )
    out = normal_quantiles(table[effect].to_numpy())
    return out.set_axis(table.index[out.index])
