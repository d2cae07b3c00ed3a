"""What a fit says of each group, drawn over the data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.data.factors import factorize
from henderson.errors import DataError, DesignError, did_you_mean
from henderson.inference.ddf import ddf_method
from henderson.inference.wald import t_quantile
from henderson.plots.clusters import MAX_POINTS, Clusters
from henderson.plots.marks import band, frame, line, name_groups, points
from henderson.plots.style import INK, REST, canvas, dress, evenly, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

GRID = 41
# Lines of more groups than this are a thicket.
MOST_LINES = 60


@dataclass(frozen=True)
class View:
    """One predictor and one grouping of a fit, with everything else held at a typical value.

    Attributes
    ----------
    x : column along the axis; "" where the model has no predictor.
    group : name of the grouping ("" if none).
    clusters : the rows.
    """

    fit: Fit
    x: str
    group: str
    clusters: Clusters

    @cached_property
    def typical(self) -> pd.Series:
        """Means of the numeric columns, the most frequent values of the others."""
        data = self.fit.design.frame.data
        return pd.Series({c: _typical(data[c]) for c in data.columns}, dtype=object)

    @property
    def population(self) -> pd.DataFrame:
        """Rows along x for a typical group."""
        return self._rows(self.grid(*self.clusters.range), self.typical)

    def of_group(self, code: int) -> pd.DataFrame:
        """Rows along x, within the group's own range, with the group's own typical values."""
        data = self.fit.design.frame.data[self.clusters.codes == code]
        own = pd.Series({c: _typical(data[c]) for c in data.columns}, dtype=object)
        return self._rows(self.grid(*self.clusters.span(code)), own)

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

    def _rows(self, at: np.ndarray, values: pd.Series) -> pd.DataFrame:
        table: dict[str, Any] = {c: [v] * len(at) for c, v in values.items()}
        table[self.x] = (
            [self.clusters.x_levels[int(i)] for i in at] if self.clusters.is_factor else at
        )
        return pd.DataFrame(table)


def view(fit: Fit, x: str | None, group: str | None, max_points: int = MAX_POINTS) -> View:
    """Choose the predictor (the first numeric one, else the first) and the grouping (the first).

    Raises
    ------
    DesignError : a column that the model does not use, or no such grouping.
    """
    data = fit.design.frame.data
    predictors = [c for c in fit.design.fixed.spec.columns if c in data]
    chosen = _predictor(data, predictors, x)
    codes, levels, name = _grouping(fit, data, group, chosen, predictors)
    values, x_levels = _values(data, chosen, codes)
    clusters = Clusters(
        values, fit.design.y, codes, levels, chosen or name or "all rows",
        fit.design.formula.response, name, x_levels, max_points,
    )  # fmt: skip
    return View(fit, chosen, name, clusters)


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


def fitted_lines(
    fit: Fit,
    x: str | None = None,
    group: str | None = None,
    ax: Axes | None = None,
    max_points: int = MAX_POINTS,
) -> Axes:
    """Data and fitted lines per group, within each group's range, and the population's line dashed.

    Other predictors stand at a group's own typical values (mean, most frequent level), random
    effects of other grouping factors at zero. The band is the population's 95 % interval.
    """
    v = view(fit, x, group, max_points)
    ax = canvas(ax)
    if not v.x:
        return _levels_only(v, ax)
    c = v.clusters
    points(ax, c, c.looks)
    frame(ax, c)
    heights = np.full(len(c.levels), np.nan)
    for j in _drawn(c):
        rows = v.of_group(j)
        values = fit.predict(rows, random=_terms(fit, v.group)).to_numpy()
        heights[j] = values[-1]
        if v.group:
            # A group whose x does not vary has a point and no line.
            marker = "o" if c.is_factor or len(values) == 1 else None
            line(ax, v.positions(rows), values, c.looks[j], marker=marker, markersize=3.5,
                 gid=tag("group-line", j))  # fmt: skip
    if _has_population(fit, v):
        _population(v, ax)
    if v.group:
        name_groups(ax, c, c.looks, heights)
    return ax


def _drawn(c: Clusters) -> list[int]:
    """All groups, or those that stand out and an even choice of the others."""
    count = len(c.levels)
    if count <= MOST_LINES:
        return list(range(count))
    chosen = evenly(c.means, MOST_LINES)
    return sorted({*map(int, chosen), *(j for j, look in enumerate(c.looks) if look.named)})


def _terms(fit: Fit, group: str) -> str:
    """The random terms of one grouping factor, as `predict` wants them."""
    factor = next((f for f in fit.design.random if f.name == group), None)
    return "none" if factor is None else " + ".join(s.term.text for s in factor.slots)


def _has_population(fit: Fit, v: View) -> bool:
    return bool(fit.design.random) or not v.group


def _population(v: View, ax: Axes) -> None:
    rows = v.population
    at, estimate, lower, upper = v.positions(rows), *mean_interval(v.fit, rows)
    if v.clusters.is_factor:
        ax.errorbar(
            at, estimate, [estimate - lower, upper - estimate], color=INK, linewidth=1.6,
            capsize=3, linestyle=(0, (5, 3)), zorder=4.0,
        )  # fmt: skip
        return
    band(ax, at, lower, upper)
    line(ax, at, estimate, linestyle=(0, (5, 3)) if v.fit.design.random else "-", gid="population",
         solid_capstyle="butt", zorder=4.0)  # fmt: skip


def mean_interval(
    fit: Fit, rows: Any, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The population's mean (m,) for rows, and its Wald limits (Satterthwaite's df)."""
    new = fit.design.new(rows, random=False)
    method = ddf_method(fit, "satterthwaite")
    estimate = fit.predict(rows, random="none").to_numpy()
    sd = np.sqrt(np.einsum("mp,pq,mq->m", new.X, method.cov_beta, new.X))
    df = [method.joint(row[None])[0] if s > 0 else np.inf for row, s in zip(new.X, sd, strict=True)]
    reach = sd * [t_quantile(0.5 + level / 2.0, v) for v in df]
    return estimate, estimate - reach, estimate + reach


def _levels_only(v: View, ax: Axes) -> Axes:
    """A model without predictors: the rows of each level, and what the fit makes of the level."""
    fit, c = v.fit, v.clusters
    if not v.group:
        raise DataError("A model of the mean alone has neither a predictor nor groups to draw.")
    order = np.argsort(c.means, kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    modes = fit.coef()[v.group].sum(axis=1).to_numpy()
    rows = c.shown
    ax.plot(
        place[c.codes[rows]], c.y[rows], linestyle="none", marker="o", markersize=4.5, color=REST,
        markeredgewidth=0.0, alpha=0.8, zorder=2.0, gid="points",
    )  # fmt: skip
    ax.hlines(
        modes, place - 0.35, place + 0.35, color=c.looks[0].colour, linewidth=2.2, gid="modes"
    )
    ax.axhline(float(fit.params.iloc[0]), color=INK, linewidth=1.3, linestyle=(0, (5, 3)))
    dress(ax, c.group_name, c.y_name)
    ax.set_xticks(range(len(order)), [""] * len(order))
    if len(order) <= 12:
        ax.set_xticks(range(len(order)), [str(c.levels[j]) for j in order], parse_math=False)
    return ax
