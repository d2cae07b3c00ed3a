"""The covariance matrices that a fit implies: D of the random effects, R of the residuals, V."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.fit import Fit

LARGEST = 5_000


def random_covariance(fit: Fit) -> pd.DataFrame:
    """D (K, K) of one level of every grouping factor; see `Fit.D`."""
    several = len(fit.design.random) > 1
    names = [
        f"{f.name}: {name}" if several else name
        for f in fit.design.random
        for slot in f.slots
        for name in slot.names
    ]
    values = block_diag(*fit.optimum.sigmas) if names else np.zeros((0, 0))
    return pd.DataFrame(fit.scale * values, index=names, columns=names)


def residual_covariance(fit: Fit, rows: Any) -> pd.DataFrame:
    """R (r, r) of some rows; see `Fit.R`."""
    where = row_positions(fit, rows)
    layout = fit.optimum.layout
    if layout.residual is None:
        values = np.eye(len(where))
    else:
        phi = layout.residual_part(fit.optimum.at.phi)
        values = layout.residual.bind(where[None]).value(phi)[0]
    if fit.design.weights is not None:
        sd = 1.0 / np.sqrt(fit.design.weights[where])
        values = values * np.outer(sd, sd)
    index = fit.design.index[where]
    return pd.DataFrame(fit.scale * values, index=index, columns=index)


def implied_covariance(fit: Fit, rows: Any) -> pd.DataFrame:
    """V = Z D Z' + R (r, r) of some rows; see `Fit.V`."""
    where = row_positions(fit, rows)
    out = residual_covariance(fit, where)
    values = out.to_numpy().copy()
    for factor, sigma in zip(fit.design.random, fit.optimum.sigmas, strict=True):
        z = factor.z[where]
        values += fit.scale * (z @ sigma @ z.T) * factor.alike(where)
    return pd.DataFrame(values, index=out.index, columns=out.columns)


def row_positions(fit: Fit, rows: Any) -> np.ndarray:
    """Positions (r,) from None (all), a slice, a mask, positions, or a level of a grouping factor.

    Raises
    ------
    DesignError : a level that no grouping factor has, or more rows than a dense matrix can hold.
    """
    n = fit.design.n
    if rows is None:
        where = np.arange(n)
    elif isinstance(rows, slice):
        where = np.arange(n)[rows]
    elif np.ndim(rows) == 0:
        where = _rows_of_level(fit, rows)
    else:
        where = np.arange(n)[np.asarray(rows)]
    if len(where) > LARGEST:
        raise DesignError(
            f"A covariance matrix of {len(where)} rows is too large to show: "
            "ask for a slice or for one level, such as fit.V(slice(0, 6))."
        )
    return where


def _rows_of_level(fit: Fit, level: Any) -> np.ndarray:
    for factor in fit.design.random:
        found = np.flatnonzero(np.asarray([str(v) == str(level) for v in factor.levels]))
        if len(found):
            return np.flatnonzero(factor.codes == found[0])
    residual = fit.design.residual
    if residual is not None and residual.positions is not None:
        groups = residual.positions
        found = np.flatnonzero(np.asarray([str(v) == str(level) for v in groups.levels]))
        if len(found):
            return np.flatnonzero(groups.codes == found[0])
    for factor in fit.design.random:
        if factor.known is not None and str(level) in factor.known.others:
            raise DesignError(
                f"'{level}' is a level of '{factor.name}' without rows, so there is nothing to "
                "show: ask for one with rows, or fit.condvar() for its prediction's variance."
            )
    names = ", ".join([f.name for f in fit.design.random])
    where = f"grouping factor ({names})" if names else "group of correlated rows"
    raise DesignError(f"No {where} has a level '{level}'.")
