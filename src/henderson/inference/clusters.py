"""Independent clusters of rows: sets of rows that share no level of any grouping factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.data.factors import Factor, factorize
from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.design import RandomFactor
    from henderson.fit import Fit


def independent_clusters(fit: Fit, cluster: Any = None) -> Factor:
    """The cluster of every row (n,).

    Parameters
    ----------
    cluster : None for the grouping factor within which all others are nested; the name of a
        grouping factor or of a column of the model; or labels, one a row of the fit or of the
        caller's table.

    Raises
    ------
    DesignError : no such factor, labels that are missing or of the wrong number, or a level of a
        grouping factor that lies in several clusters.
    """
    found = _outermost(fit) if cluster is None else _given(fit, cluster)
    for factor in fit.design.random:
        if factor.known is not None:
            raise DesignError(
                f"The levels of '{factor.name}' have a known covariance, so no clusters of rows "
                "are independent: use the parametric bootstrap (with other intervals than bca) or "
                "model-based standard errors."
            )
        split = split_levels(factor, found.codes)
        if len(split):
            raise DesignError(
                f"Level '{factor.levels[split[0]]}' of '{factor.name}' has rows in several "
                "clusters, which are then not independent in this model: clusters must hold whole "
                "levels of every grouping factor."
            )
    _check_residual_groups(fit, found)
    if len(found.levels) < 2:
        raise DesignError("There is one cluster only: at least two are needed.")
    return found


def split_levels(factor: RandomFactor, codes: np.ndarray) -> np.ndarray:
    """Positions of the levels that have rows in more than one cluster."""
    return _split(factor.codes, codes)


def _split(levels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The levels (n,) whose rows do not all have the same code (n,)."""
    first = np.empty(levels.max() + 1, dtype=np.intp)
    first[levels[::-1]] = codes[::-1]
    return np.unique(levels[first[levels] != codes])


def _check_residual_groups(fit: Fit, found: Factor) -> None:
    residual = fit.optimum.layout.residual
    if residual is not None and len(_split(residual.codes, found.codes)):
        raise DesignError(
            "Rows of several clusters have correlated residuals, so these clusters are not "
            "independent in this model: give larger ones."
        )


def _outermost(fit: Fit) -> Factor:
    factors = fit.design.random
    residual = fit.optimum.layout.residual
    if not factors and residual is not None and residual.correlation is not None:
        return factorize(residual.codes)
    if not factors:
        raise DesignError("The model has no grouping factor: say cluster=, a column or labels.")
    for factor in sorted(factors, key=lambda f: len(f.levels)):
        if not any(len(split_levels(f, factor.codes)) for f in factors):
            return Factor(factor.codes, factor.levels)
    names = ", ".join(f.name for f in factors)
    raise DesignError(
        f"The grouping factors ({names}) are crossed, so no clusters of rows are independent of "
        "one another by this model. Give cluster= if there are some, or use the parametric "
        "bootstrap or model-based standard errors."
    )


def _given(fit: Fit, cluster: Any) -> Factor:
    if isinstance(cluster, str):
        for factor in fit.design.random:
            if factor.name == cluster:
                return Factor(factor.codes, factor.levels)
        data = fit.design.frame.data
        if cluster not in data.columns:
            raise DesignError(
                f"'{cluster}' is neither a grouping factor nor a column of the model "
                f"({', '.join(map(str, data.columns))}): give its values, one a row."
            )
        values = data[cluster].to_numpy()
    else:
        values = np.asarray(cluster)
        if values.shape == (fit.design.frame.n_total,):
            values = values[fit.design.frame.rows]
    if values.shape != (fit.nobs,):
        raise DesignError(
            f"cluster has shape {np.shape(cluster)}; the fit has {fit.nobs} rows: give one label "
            "a row."
        )
    found = factorize(values)
    if (found.codes < 0).any():
        raise DesignError(f"{int((found.codes < 0).sum())} rows have no cluster: give each one.")
    return found
