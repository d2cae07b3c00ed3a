"""The reference grid: the settings of the predictors at which means are estimated.

Every level of every factor is combined with every other; a covariate stands at its mean, whatever
the number of its values (Lenth 2016, JSS 69(1), section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.design.columns import Columns
from henderson.errors import DesignError, did_you_mean
from henderson.formula.names import names

if TYPE_CHECKING:
    from henderson.design import Design
    from henderson.fit import Fit

LARGEST = 2_000_000


@dataclass(frozen=True)
class Axis:
    """One predictor: the values that it takes on the grid."""

    name: str
    values: tuple[Any, ...]
    is_factor: bool


@dataclass(frozen=True)
class Grid:
    """Combinations of the axes; those of `targets` vary slowest, the rest are averaged over.

    Parameters
    ----------
    targets : the predictors whose combinations are wanted, slowest first.
    others : the rest.
    """

    design: Design
    targets: tuple[Axis, ...]
    others: tuple[Axis, ...]

    @property
    def averaged(self) -> tuple[Axis, ...]:
        """The axes that are averaged over."""
        return tuple(a for a in self.others if len(a.values) > 1)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The combinations (m) of the targets."""
        return _combinations(self.targets)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All combinations, m times those averaged over."""
        return _combinations((*self.targets, *self.others))

    def matrix(self, changes: Mapping[str, float] | None = None) -> np.ndarray:
        """X (rows, p) of the grid, a covariate moved by the given change; NaN where a row is not
        estimable because columns of the design were dropped."""
        rows = self.rows
        for name, change in (changes or {}).items():
            rows = rows.assign(**{name: rows[name] + change})
        return _estimable_rows(self.design, rows)

    def average(self, matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Averages (m, ...) of the rows of the grid within each cell; `weights` add up to one."""
        shape = (len(self.cells), len(weights), *matrix.shape[1:])
        cells = matrix.reshape(shape)[:, weights > 0.0]
        return np.tensordot(weights[weights > 0.0], cells, axes=(0, 1))

    def weights(self, how: str) -> np.ndarray:
        """Weights of the combinations averaged over, adding up to one.

        Raises
        ------
        DesignError : an unknown scheme.
        """
        count = int(np.prod([len(a.values) for a in self.others], dtype=np.int64))
        if how == "equal":
            return np.full(count, 1.0 / count)
        if how == "proportional":
            return self._frequencies(count)
        raise DesignError(f"Unknown weights '{how}': choose 'equal' or 'proportional'.")

    def _frequencies(self, count: int) -> np.ndarray:
        """How often the combinations of the factors averaged over occur in the rows of the fit."""
        axes = [a for a in self.averaged if a.is_factor]
        if not axes:
            return np.full(count, 1.0 / count)
        data = self.design.frame.data[[a.name for a in axes]].astype(object)
        seen = data.value_counts()
        others = _combinations(self.others)[[a.name for a in axes]].astype(object)
        found = [float(seen.get(tuple(row), 0.0)) for row in others.itertuples(index=False)]
        total = sum(found)
        if total == 0.0:
            raise DesignError("None of the combinations averaged over occurs in the data.")
        return np.array(found) / total


def reference_grid(fit: Fit, targets: Sequence[str], at: Mapping[str, Any] | None = None) -> Grid:
    """The grid of a fit.

    Parameters
    ----------
    targets : names of predictors, the slowest first.
    at : predictor -> value or values, instead of all levels or the mean.

    Raises
    ------
    DesignError : a name that is no predictor of the fixed part, a level that is not known.
    """
    at = dict(at or {})
    axes = {a.name: a for a in (_axis(fit.design, name, at) for name in predictors(fit.design))}
    for name in (*targets, *at):
        if name not in axes:
            raise DesignError(
                f"'{name}' is no predictor of the fixed part '{fit.design.formula.fixed}': "
                f"{did_you_mean(name, axes)}"
            )
    size = np.prod([float(len(a.values)) for a in axes.values()])
    if size > LARGEST:
        raise DesignError(
            f"The reference grid would have {size:.3g} rows: fix some predictors with at=."
        )
    others = tuple(a for name, a in axes.items() if name not in targets)
    return Grid(fit.design, tuple(axes[t] for t in targets), others)


def predictors(design: Design) -> tuple[str, ...]:
    """The columns of the data that the fixed part uses."""
    return tuple(design.fixed.spec.columns)


def response_scale(design: Design) -> str | None:
    """The response's expression if it is more than a column, such as "log(y)"."""
    text = design.formula.response
    return None if text.strip("`") in design.frame.data else text


def _axis(design: Design, name: str, at: Mapping[str, Any]) -> Axis:
    values = design.frame.data[name]
    levels = _levels(design, name, values)
    if name in at:
        wanted = at[name]
        chosen = [wanted] if isinstance(wanted, str) or not np.iterable(wanted) else list(wanted)
        return Axis(name, tuple(_known(name, v, levels) for v in chosen), levels is not None)
    if levels is not None:
        return Axis(name, tuple(levels), True)
    return Axis(name, (float(np.mean(values.to_numpy(dtype=float))),), False)


def _known(name: str, value: Any, levels: list[Any] | None) -> Any:
    if levels is None:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise DesignError(f"at: '{name}' is a number, which {value!r} is not.") from error
    for level in levels:
        if level == value or str(level) == str(value):
            return level
    known = ", ".join(map(str, levels))
    raise DesignError(f"at: '{name}' has no level {value!r}; its levels are {known}.")


def _levels(design: Design, name: str, values: pd.Series) -> list[Any] | None:
    """The levels of a predictor; None for a covariate."""
    spec = design.fixed.spec
    if name in spec.levels:
        return list(spec.levels[name])
    if pd.api.types.is_bool_dtype(values.dtype):
        return [False, True]
    if name in categorical(spec.state):
        return sorted(values.unique().tolist())
    return None


def categorical(state: Any) -> set[str]:
    """Columns of numbers that the formula makes factors of, as `C(day)` does."""
    if state is None:
        return set()
    found: set[str] = set()
    for expression, (kind, _) in state.encoder_state.items():
        if kind.value == "categorical":
            found |= set(names(expression).variables)
    return found


def _combinations(axes: Sequence[Axis]) -> pd.DataFrame:
    """All combinations, the first axis slowest; one row without axes."""
    sizes = [len(a.values) for a in axes]
    at = np.indices(sizes).reshape(len(sizes), -1) if axes else np.zeros((0, 1), dtype=int)
    return pd.DataFrame(
        {a.name: pd.Series(list(a.values)).to_numpy()[i] for a, i in zip(axes, at, strict=True)},
        index=pd.RangeIndex(at.shape[1]),
    )


def _estimable_rows(design: Design, rows: pd.DataFrame) -> np.ndarray:
    fixed = design.fixed
    columns = Columns(rows, fixed.spec.levels)
    if not fixed.dropped:
        return fixed.new(columns)
    whole = fixed.spec.matrix(columns)
    seen = fixed.spec.matrix(Columns(design.frame.data, fixed.spec.levels))
    determined = np.linalg.lstsq(design.X, seen, rcond=None)[0]
    kept = whole[:, fixed.kept]
    size = np.abs(whole).max(axis=1) + 1.0
    bad = np.abs(whole - kept @ determined).max(axis=1) > 1e-7 * size
    return np.where(bad[:, None], np.nan, kept)
