"""The data behind a picture: x, y and the group of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.plots.style import Look, looks

if TYPE_CHECKING:
    from henderson.seven.result import Approaches

# More points than this add ink and no information.
MAX_POINTS = 5000
JITTER = 0.13
# Of more groups than this the grey ones are drawn as one.
MOST_APART = 60


@dataclass(frozen=True)
class Clusters:
    """Rows in groups.

    Attributes
    ----------
    x, y : (n,) numbers; for a factor x counts its levels from 0.
    codes : (n,) group of each row. levels : (J,) labels.
    x_name, y_name, group_name : the columns.
    x_levels : labels of a factor x, else ().
    max_points : so many points are drawn at most.
    """

    x: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    levels: tuple[Any, ...]
    x_name: str
    y_name: str
    group_name: str
    x_levels: tuple[Any, ...] = ()
    max_points: int = MAX_POINTS

    @property
    def is_factor(self) -> bool:
        return bool(self.x_levels)

    @cached_property
    def means(self) -> np.ndarray:
        """Mean of y (J,) per group."""
        return np.bincount(self.codes, self.y, len(self.levels)) / np.bincount(
            self.codes, minlength=len(self.levels)
        )

    @cached_property
    def looks(self) -> list[Look]:
        """One a group."""
        return looks(self.means)

    def with_reference(self) -> list[Look]:
        """The same, with the first group among those that stand out."""
        return looks(self.means, always=(0,))

    @cached_property
    def shown(self) -> np.ndarray:
        """Rows that are drawn: all, or an even choice of `max_points`."""
        n = len(self.y)
        if n <= self.max_points:
            return np.arange(n)
        chosen = np.random.default_rng(0).choice(n, self.max_points, replace=False)
        return np.sort(chosen)

    @property
    def thinned(self) -> str:
        """What to say when not all rows are drawn."""
        n = len(self.y)
        return f"{len(self.shown):,} of {n:,} rows drawn" if len(self.shown) < n else ""

    @cached_property
    def drawn_x(self) -> np.ndarray:
        """x (n,), spread sideways where it is a factor so that points do not hide each other."""
        if not self.is_factor:
            return self.x
        return self.x + np.random.default_rng(0).uniform(-JITTER, JITTER, len(self.x))

    def span(self, code: int) -> tuple[float, float]:
        """The smallest and largest x of one group."""
        x = self.x[self.codes == code]
        return float(x.min()), float(x.max())

    @cached_property
    def range(self) -> tuple[float, float]:
        """The smallest and largest x of all."""
        return float(self.x.min()), float(self.x.max())


def together(group_looks: Sequence[Look]) -> list[tuple[Look, list[int]]]:
    """The groups that are drawn in one go, the grey ones first.

    Each by itself, or all the grey ones as one if there are very many.
    """
    grey = [j for j, look in enumerate(group_looks) if not look.named]
    named = [(look, [j]) for j, look in enumerate(group_looks) if look.named]
    if len(group_looks) > MOST_APART and grey:
        return [(group_looks[grey[0]], grey), *named]
    return [*((group_looks[j], [j]) for j in grey), *named]


def clusters_of(result: Approaches, max_points: int = MAX_POINTS) -> Clusters:
    """The rows of the seven approaches."""
    data = result.data
    x = data[result.predictor]
    return Clusters(
        x=(x.cat.codes if result.factor_levels else x).to_numpy(dtype=float),
        y=data[result.outcome].to_numpy(dtype=float),
        codes=data[result.group].cat.codes.to_numpy().astype(np.intp),
        levels=tuple(result.levels),
        x_name=result.predictor,
        y_name=result.outcome,
        group_name=result.group,
        x_levels=tuple(result.factor_levels),
        max_points=max_points,
    )
