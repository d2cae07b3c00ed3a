"""Residuals of new rows, predicted from those of the fitted rows that they are correlated with.

With e the residuals of the fitted rows and e* that of a new row, Cov(e*, y) = Cov(e*, e) and so

    E(e* | y) = R*' V^-1 (y - X beta) = R*' R^-1 e^,    e^ = R V^-1 (y - X beta),

the conditional residuals: simple kriging within the correlation group (Goldberger 1962, JASA 57;
Pinheiro and Bates 2000, section 5.3). New groups have nothing to learn from: zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.covariance.residual.base import ResidualModel
from henderson.design.columns import Columns, label
from henderson.design.frame import read_columns
from henderson.design.residual import ResidualDesign, residual_design
from henderson.errors import DesignError
from henderson.residuals import residual_covariance

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.formula.residual_terms import CorrelationTerm, VarianceTerm


@dataclass(frozen=True)
class NewRows:
    """New rows of known groups at new positions.

    table : (r, c) their columns; place : (m,) which of these a row is, -1 if none.
    same : (m,) the fitted row at the same position, -1 if none.
    """

    table: pd.DataFrame
    place: np.ndarray
    same: np.ndarray


def predicted_residuals(fit: Fit, newdata: Any, predicted: np.ndarray) -> np.ndarray:
    """E(e* | y) (m,) of new rows; `predicted` (m,) is what a variance of fitted values needs.

    Raises
    ------
    DesignError : no correlation of the residuals, or positions that the fit cannot place.
    """
    design = fit.design.residual
    if design is None or design.terms.correlation is None:
        raise DesignError(
            "residuals=True predicts residuals from correlated ones, and this fit has no "
            "correlation: leave it out."
        )
    if newdata is None:
        raise DesignError("residuals=True is for new rows: give newdata.")
    columns = [c for c in design.terms.columns if c in fit.design.frame.data]
    term, old = design.terms.correlation, fit.design.frame.data[columns]
    new = _new_rows(term, old, read_columns(newdata, columns))
    own = fit.resid.to_numpy()
    out = np.where(new.same >= 0, own[new.same], 0.0)
    if len(new.table):
        first = np.array([int(np.argmax(new.place == i)) for i in range(len(new.table))])
        found = _kriged(fit, design, old, new.table, predicted[first])
        out = np.where(new.place >= 0, found[new.place], out)
    return out


def _new_rows(term: CorrelationTerm, old: pd.DataFrame, table: pd.DataFrame) -> NewRows:
    """Sort new rows (m) into those of new groups, at fitted positions, and at new ones."""
    keys = [c for c in term.columns if c in old]
    known = _keys(table, list(term.group)).isin(set(_keys(old, list(term.group))))
    active = (known & table.notna().all(axis=1)).to_numpy()
    m = len(table)
    same, place = np.full(m, -1), np.full(m, -1)
    if not term.position or term.nugget:
        place[active] = np.arange(active.sum())
        return NewRows(table[active], place, same)
    at_old = {key: i for i, key in enumerate(_keys(old, keys))}
    own = _keys(table, keys)
    same = np.where(active, [at_old.get(key, -1) for key in own], -1)
    fresh = active & (same < 0)
    codes, _ = pd.factorize(own[fresh])
    place[fresh] = codes
    return NewRows(table[fresh][~own[fresh].duplicated().to_numpy()], place, same)


def _keys(table: pd.DataFrame, columns: list[str]) -> pd.Series:
    """The values of some columns of each row as one key; numbers and their labels alike."""
    if not columns:
        return pd.Series([()] * len(table), index=table.index, dtype=object)
    parts = [[_plain(v) for v in table[c]] for c in columns]
    return pd.Series(list(zip(*parts, strict=True)), index=table.index, dtype=object)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float, np.number)) else str(value)


def _kriged(
    fit: Fit, design: ResidualDesign, old: pd.DataFrame, new: pd.DataFrame, predicted: np.ndarray
) -> np.ndarray:
    """R*'R^-1 e^ (r,) of the new rows."""
    n, covariance = len(old), residual_covariance(fit)
    assert covariance.model is not None and covariance.phi is not None
    model = _extended(design, covariance.model, old, new, predicted)
    scaled = fit.resid.to_numpy() / covariance.sd
    out = np.empty(len(new))
    for group in np.unique(model.codes[n:]):
        rows = np.flatnonzero(model.codes == group)
        r = model.bind(rows[None]).value(covariance.phi)[0]
        sd, seen = np.sqrt(np.diag(r)), rows < n
        c = r / np.outer(sd, sd)
        weights = np.linalg.solve(c[np.ix_(seen, seen)], scaled[rows[seen]])
        out[rows[~seen] - n] = fit.sigma * sd[~seen] * (c[np.ix_(~seen, seen)] @ weights)
    return out


def _extended(
    design: ResidualDesign,
    model: ResidualModel,
    old: pd.DataFrame,
    new: pd.DataFrame,
    predicted: np.ndarray,
) -> ResidualModel:
    """The model on the fitted rows and the new ones after them.

    Raises
    ------
    DesignError : a position or a level of a variance function that the fit has not seen.
    """
    n = len(old)
    for variance in design.terms.variances:
        if variance.name == "ident":
            _check_levels(variance, old, new)
    both = residual_design(design.terms, Columns(_stacked(old, new)))
    assert both.positions is not None and design.positions is not None
    _check_places(design, both, n)
    values = []
    for now, given in zip(both.covariates, model.covariates, strict=True):
        later = predicted.reshape(-1, 1) if now.term.of_fitted else now.values[n:]
        values.append(np.vstack([given, later]))
    return replace(
        model,
        codes=both.positions.codes,
        positions=both.positions.at,
        covariates=tuple(values),
    )


def _check_levels(variance: VarianceTerm, old: pd.DataFrame, new: pd.DataFrame) -> None:
    known, own = (_keys(table, list(variance.factors)) for table in (old, new))
    lost = own[~own.isin(set(known))]
    if len(lost):
        level = ":".join(label(v) for v in lost.iloc[0])
        raise DesignError(
            f"{variance.text}: a new row has the level '{level}' of '{variance.covariate}', which "
            "the fit has not seen."
        )


def _stacked(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """One table; categoricals keep their levels and those they lack are refused."""
    out = {}
    for name in old:
        ours, theirs = old[name], new[name]
        if isinstance(ours.dtype, pd.CategoricalDtype):
            labels = {_plain(level): level for level in ours.cat.categories}
            theirs = theirs.map(lambda v, labels=labels: labels.get(_plain(v))).astype(ours.dtype)
            if theirs.isna().any():
                lost = new[name][theirs.isna()].iloc[0]
                raise DesignError(f"Column '{name}' has no level {lost!r} in this fit.")
        out[name] = pd.concat([ours, theirs], ignore_index=True)
    return pd.DataFrame(out)


def _check_places(design: ResidualDesign, both: ResidualDesign, n: int) -> None:
    """The fitted rows have to stay where they are, but for a shift of a whole group."""
    assert both.positions is not None and design.positions is not None
    term = design.terms.correlation
    assert term is not None
    moved = both.positions.at[:n] - design.positions.at
    firsts = np.unique(design.positions.codes, return_index=True)[1]
    stays = np.allclose(moved, moved[firsts][design.positions.codes])
    if not stays or (term.kind == "visits" and both.positions.labels != design.positions.labels):
        raise DesignError(
            f"{term.text}: a new row stands between the steps, or at a visit, that the fit knows: "
            "its correlation with the others is not defined. Use car1 or exp, which take any time."
        )
    if term.name == "toep" and both.positions.count > design.positions.count:
        raise DesignError(
            f"{term.text}: a new row is {both.positions.count - 1} steps from another, and the "
            f"fit has correlations up to {design.positions.count - 1} steps."
        )
