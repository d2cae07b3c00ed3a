"""A fit along one predictor: rows to predict, for a typical group and for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.data.factors import factorize
from henderson.design.strata import StrataSpec
from henderson.errors import DesignError, did_you_mean
from henderson.inference.grid import categorical
from henderson.plots.clusters import MAX_POINTS, Clusters
from henderson.plots.style import digits

if TYPE_CHECKING:
    from henderson.design import RandomFactor
    from henderson.design.random import TermSlot
    from henderson.fit import Fit

GRID = 41


@dataclass(frozen=True)
class View:
    """One predictor and one grouping of a fit, with everything else held at a typical value.

    Attributes
    ----------
    fit : without its offset, which `offset` has.
    x : column along the axis; "" where the model has no predictor.
    group : name of the grouping ("" if none).
    clusters : the rows.
    offset : (n,) what the model's offset adds to each row, or zeros.
    """

    fit: Fit
    x: str
    group: str
    clusters: Clusters
    offset: np.ndarray

    @cached_property
    def seen(self) -> list[str]:
        """Numeric columns of which the fit knows the values that occur, and none between."""
        return seen_only(self.fit)

    @property
    def population(self) -> pd.DataFrame:
        """Rows along x for a typical group."""
        return self._rows(self.fit.design.frame.data, *self.clusters.range)

    @property
    def held(self) -> str:
        """Where the population's line holds the other predictors, in words: "sex Male"."""
        rows = self.population
        others = [c for c in self.fit.design.fixed.spec.columns if c in rows and c != self.x]
        values = {c: rows[c].iloc[0] for c in others if rows[c].nunique() == 1}
        return ", ".join(
            f"{c} {digits(v) if isinstance(v, float) else v}" for c, v in values.items()
        )

    def of_group(self, code: int) -> pd.DataFrame:
        """Rows along x, within the group's own range, with the group's own typical values."""
        data = self.fit.design.frame.data[self.clusters.codes == code]
        return self._rows(data, *self.clusters.span(code))

    def offset_of(self, code: int) -> float:
        """The mean offset of a group's rows."""
        return float(self.offset[self.clusters.codes == code].mean())

    def grid(self, low: float, high: float) -> np.ndarray:
        """Positions from low to high: the levels of a factor, or a fine grid."""
        if self.clusters.is_factor:
            return np.arange(low, high + 1.0)
        return np.linspace(low, high, GRID if high > low else 1)

    def positions(self, rows: pd.DataFrame) -> np.ndarray:
        """Where rows stand on the axis."""
        if not self.clusters.is_factor:
            return rows[self.x].to_numpy(dtype=float)
        return np.array([self.clusters.x_levels.index(v) for v in rows[self.x]], dtype=float)

    def _rows(self, data: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
        """Rows along x from low to high, typical of `data` in everything else.

        Columns of `seen` take combinations that occur: the most frequent, or that at each x.
        """
        typical = {c: _typical(data[c]) for c in data.columns if c not in self.seen}
        if self.x in self.seen:
            cells = _frequent(data[self.seen]).drop_duplicates(self.x).sort_values(self.x)
            return cells.assign(**{c: [v] * len(cells) for c, v in typical.items()})
        at: Any = self.grid(low, high)
        if self.seen:
            typical |= _frequent(data[self.seen]).iloc[0].to_dict()
        if self.clusters.is_factor:
            at = [self.clusters.x_levels[int(i)] for i in at]
        rows: dict[str, Any] = {c: [v] * len(at) for c, v in typical.items()}
        return pd.DataFrame({**rows, **({self.x: at} if self.x else {})})


def _frequent(data: pd.DataFrame) -> pd.DataFrame:
    """The combinations of values that occur, the most frequent first."""
    return data.value_counts(sort=True).index.to_frame(index=False)


def seen_only(fit: Fit) -> list[str]:
    """Numeric columns that name a group, a level (`C(day)`, `by=`) or a position of a structure."""
    found = sorted(categorical(fit.design.fixed.spec.state))
    for factor in fit.design.random:
        found += [name for name, _ in factor.parts]
        for slot in factor.slots:
            found += _seen_by(slot)
    data = fit.design.frame.data
    return [c for c in dict.fromkeys(found) if c in data and not is_factor_column(data[c])]


def _seen_by(slot: TermSlot) -> list[str]:
    if slot.positions is not None:
        return list(slot.spec.columns)
    by = [slot.spec.by] if isinstance(slot.spec, StrataSpec) else []
    each = slot.spec.each if isinstance(slot.spec, StrataSpec) else slot.spec
    return [*sorted(categorical(each.state)), *by]


def view(fit: Fit, x: str | None, group: str | None, max_points: int = MAX_POINTS) -> View:
    """Choose the predictor and the grouping (the first).

    The predictor is one that varies within the levels of the grouping, if there is one, and rather
    a numeric one.

    Raises
    ------
    DesignError : a column that the model does not use, or no such grouping.
    """
    data = fit.design.frame.data
    predictors = [c for c in fit.design.fixed.spec.columns if c in data]
    factor = next((f for f in fit.design.random if group in (None, f.name)), None)
    within = varying(fit, factor) if x is None and factor is not None else None
    chosen = within or _predictor(data, predictors, x)
    codes, levels, name = _grouping(fit, data, group, chosen, predictors)
    values, x_levels = _values(data, chosen, codes)
    clusters = Clusters(
        values, fit.design.y, codes, levels, chosen or name or "all rows",
        fit.design.formula.response, name, x_levels, max_points,
    )  # fmt: skip
    return View(_without_offset(fit), chosen, name, clusters, _offset(fit))


def varying(fit: Fit, factor: RandomFactor) -> str | None:
    """A predictor that varies within the levels of a factor, rather a numeric one; else None."""
    data = fit.design.frame.data
    inside = [
        c
        for c in fit.design.fixed.spec.columns
        if c in data and (data.groupby(factor.codes)[c].nunique() > 1).any()
    ]
    return next(iter(sorted(inside, key=lambda c: is_factor_column(data[c]))), None)


def _without_offset(fit: Fit) -> Fit:
    """The fit whose predictions leave the offset out: an offset has no values along x."""
    if not fit.design.offset_specs:
        return fit
    return replace(fit, design=replace(fit.design, offset_specs=()))


def _offset(fit: Fit) -> np.ndarray:
    return np.zeros(fit.nobs) if fit.design.offset is None else fit.design.offset


def _predictor(data: pd.DataFrame, predictors: list[str], x: str | None) -> str:
    if x is not None:
        if x not in predictors:
            raise DesignError(f"'{x}' is no predictor of this model: {did_you_mean(x, predictors)}")
        return x
    numeric = [c for c in predictors if not is_factor_column(data[c])]
    return next(iter(numeric + predictors), "")


def _grouping(
    fit: Fit, data: pd.DataFrame, group: str | None, x: str, predictors: list[str]
) -> tuple[np.ndarray, tuple[Any, ...], str]:
    factors = {f.name: (f.codes, tuple(f.levels)) for f in fit.design.random}
    for c in predictors:
        if c != x and c not in factors and is_factor_column(data[c]):
            found = factorize(data[c])
            factors[c] = (found.codes, tuple(found.levels))
    if group is not None and group not in factors:
        raise DesignError(f"There is no grouping '{group}': {did_you_mean(group, factors)}")
    name = group if group is not None else next(iter(factors), "")
    codes, levels = factors.get(name, (np.zeros(len(data), dtype=np.intp), ("all rows",)))
    return codes, levels, name


def _values(data: pd.DataFrame, x: str, codes: np.ndarray) -> tuple[np.ndarray, tuple[Any, ...]]:
    """x as numbers, and its levels if it is a factor; without a predictor every row is at 0."""
    if not x:
        return np.zeros(len(codes)), ()
    if is_factor_column(data[x]):
        found = factorize(data[x])
        return found.codes.astype(float), tuple(found.levels)
    return data[x].to_numpy(dtype=float), ()


def is_factor_column(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _typical(column: pd.Series) -> Any:
    return column.value_counts(sort=True).index[0] if is_factor_column(column) else column.mean()
