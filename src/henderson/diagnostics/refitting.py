"""Influence with the covariance parameters estimated again: one fit a level."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.data.factors import Factor
from henderson.diagnostics.influence import Influence, Without, assemble
from henderson.diagnostics.row_sets import RowSets
from henderson.errors import DesignError, FitError
from henderson.model import fit_design

if TYPE_CHECKING:
    from henderson.design import Design, RandomFactor
    from henderson.design.residual import ResidualDesign
    from henderson.fit import Fit


def refitted(fit: Fit, sets: RowSets, leverage: pd.DataFrame) -> Influence:
    """All measures from new fits, each started from this fit's optimum."""
    p, count = fit.design.p, len(sets)
    estimates, errors = np.full((count, p), np.nan), np.full((count, p), np.nan)
    values = np.full((count, 3), np.nan)
    rows: list[dict[str, float]] = []
    failures: dict[Any, str] = {}
    precision = np.linalg.inv(fit.optimum.cov_beta)
    for j, level in enumerate(leverage.index):
        try:
            other = without_rows(fit, sets.codes == j)
        except FitError as error:
            failures[level] = str(error)
            rows.append({})
            continue
        estimates[j], errors[j] = other.optimum.beta, other.bse
        shift = fit.optimum.beta - other.optimum.beta
        ratio = np.linalg.slogdet(other.optimum.cov_beta)[1] + np.linalg.slogdet(precision)[1]
        values[j] = shift @ precision @ shift / p, np.exp(ratio), fit.llf - other.llf
        rows.append(_components(other))
    columns = dict(zip(("cooks_distance", "covratio", "llf_change"), values.T, strict=True))
    components = pd.DataFrame(rows, index=leverage.index, columns=list(_components(fit)))
    without = Without(estimates, errors, components)
    return assemble(fit, sets, leverage.assign(**columns), without, failures)


def without_rows(fit: Fit, left_out: np.ndarray) -> Fit:
    """The same model fitted to the other rows; `left_out` (n,) says which are not among them.

    Raises
    ------
    FitError : the other rows do not determine the model.
    """
    design = subset(fit.design, np.flatnonzero(~left_out))
    if design.n <= design.p or np.linalg.matrix_rank(design.X) < design.p:
        raise FitError("The other rows do not determine the fixed effects.")
    for factor in design.random:
        if (factor.z == 0.0).all(axis=0).any():
            raise FitError(f"The other rows hold no sign of some effects of '{factor.name}'.")
    try:
        return fit_design(design, fit.method, fit.optimum.at.phi)
    except DesignError as error:
        raise FitError(str(error)) from error


def subset(design: Design, rows: np.ndarray) -> Design:
    """A design with some of its rows (r,); levels without rows are gone, columns all stay."""
    frame = replace(
        design.frame,
        data=design.frame.data.iloc[rows],
        kept=np.isin(np.arange(design.frame.n_total), design.frame.rows[rows]),
        weights=_of(design.frame.weights, rows),
        offset=_of(design.frame.offset, rows),
    )
    return replace(
        design,
        frame=frame,
        y=design.y[rows],
        fixed=replace(design.fixed, X=np.asfortranarray(design.X[rows])),
        random=tuple(_factor(f, rows) for f in design.random),
        offset=_of(design.offset, rows),
        weights=_of(design.weights, rows),
        residual=None if design.residual is None else _residual(design.residual, rows),
    )


def _of(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def _factor(factor: RandomFactor, rows: np.ndarray) -> RandomFactor:
    kept, codes = np.unique(factor.codes[rows], return_inverse=True)
    parts = tuple((name, Factor(part.codes[rows], part.levels)) for name, part in factor.parts)
    if factor.known is not None:  # tells of levels without rows too
        return replace(factor, codes=factor.codes[rows], z=factor.z[rows], parts=parts)
    return replace(factor, codes=codes, levels=factor.levels[kept], z=factor.z[rows], parts=parts)


def _residual(residual: ResidualDesign, rows: np.ndarray) -> ResidualDesign:
    at = residual.positions
    if at is not None:
        kept, codes = np.unique(at.codes[rows], return_inverse=True)
        levels = at.levels[kept] if len(at.levels) else at.levels
        at = replace(at, codes=codes, levels=levels, at=at.at[rows])
    covariates = tuple(replace(c, values=c.values[rows]) for c in residual.covariates)
    return replace(residual, n=len(rows), positions=at, covariates=covariates)


def _components(fit: Fit) -> dict[str, float]:
    """Standard deviations of the random effects, and sigma."""
    out = {
        f"sd_{name}|{group}": float(sd)
        for group, values in fit.varcorr().sd.items()
        for name, sd in values.items()
    }
    return {**out, "sigma": fit.sigma}
