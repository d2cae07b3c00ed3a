"""`approaches.plot`: a picture for each approach, and one of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DataError, did_you_mean
from henderson.plots import parallel, pictures
from henderson.plots.clusters import MAX_POINTS, Clusters, clusters_of
from henderson.plots.forest import forest
from henderson.plots.residuals import residual_panels
from henderson.plots.style import SIZE, arrange

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from henderson.seven.result import Approaches

Draw = Callable[[Clusters, "Approaches", "Axes | None"], "Axes"]
Axes2 = Sequence["Axes"] | np.ndarray | None

# Pictures by name: panels, and inches of each.
PICTURES: dict[str, tuple[int, tuple[float, float]]] = {
    "data": (1, SIZE),
    "lm_global": (1, SIZE),
    "residuals": (3, (3.6, 3.2)),
    "ancova_inter": (1, SIZE),
    "aggregation": (2, (4.4, 3.5)),
    "hierarchical": (2, (4.4, 3.5)),
    "lmm_inter": (1, SIZE),
    "ancova_full": (1, SIZE),
    "lmm_full": (1, SIZE),
    "forest": (1, (5.8, 3.5)),
}


@dataclass(frozen=True)
class ApproachesPlots:
    """Pictures of the seven approaches. Methods take `ax=` or `axes=` and return what they drew on.

    Parameters
    ----------
    result : what to draw.
    max_points : of more rows an even choice of so many is drawn, and the picture says so.
    """

    result: Approaches
    max_points: int = MAX_POINTS

    @cached_property
    def clusters(self) -> Clusters:
        """The rows as the pictures take them."""
        return clusters_of(self.result, self.max_points)

    def data(self, ax: Axes | None = None, *, lines: bool = False) -> Axes:
        """The rows by group; `lines` adds each group's own regression."""
        return pictures.data(self.clusters, self.result, ax, lines=lines)

    def lm_global(self, ax: Axes | None = None) -> Axes:
        """One line through all rows, with its confidence band."""
        return self._draw("lm_global", pictures.one_line, ax)

    def residuals(self, key: str = "lm_global", axes: Axes2 = None) -> list[Axes]:
        """Residuals of one approach: against fitted values, their density, and by group.

        Raises
        ------
        DataError : the approach has no fit to the rows: Aggregation and Hierarchical fit summaries.
        """
        fit = self.result[key].fit
        c = self.clusters
        if fit is None or fit.nobs != len(c.y):
            raise DataError(
                f"{self.result[key].label} has no residuals of the rows: choose lm_global, "
                "ancova_inter, ancova_full, lmm_inter or lmm_full."
            )
        return residual_panels(fit, c.codes, c.levels, c.group_name, axes, self.max_points)

    def ancova_inter(self, ax: Axes | None = None) -> Axes:
        """Parallel lines, with arrows for the fixed effects of the groups."""
        return self._draw("ancova_inter", parallel.parallel_fixed, ax)

    def aggregation(self, axes: Axes2 = None) -> list[Axes]:
        """The group means among the rows, and the line through the means."""
        return pictures.aggregation(self.clusters, self.result, axes)

    def hierarchical(self, axes: Axes2 = None) -> list[Axes]:
        """A regression in each group, and the mean of their slopes."""
        return pictures.two_stage(self.clusters, self.result, axes)

    def lmm_inter(self, ax: Axes | None = None) -> Axes:
        """Parallel lines, with arrows for intercepts drawn from a normal distribution."""
        return self._draw("lmm_inter", parallel.parallel_random, ax)

    def ancova_full(self, ax: Axes | None = None) -> Axes:
        """A line of its own for each group, with the reference group's slope dashed."""
        return self._draw("ancova_full", pictures.full_fixed, ax)

    def lmm_full(self, ax: Axes | None = None) -> Axes:
        """A line for each group and the population's line dashed."""
        return self._draw("lmm_full", pictures.full_random, ax)

    def forest(self, ax: Axes | None = None) -> Axes:
        """The seven coefficients with their intervals."""
        return forest(self.result, ax)

    def figure(self, key: str) -> Figure:
        """One picture, by name, on a figure of its own that pyplot does not keep."""
        from matplotlib.figure import Figure

        if key not in PICTURES:
            raise DataError(f"There is no picture '{key}': {did_you_mean(key, PICTURES)}")
        count, size = PICTURES[key]
        figure = Figure(figsize=(size[0] * count, size[1]))
        arrange(figure)
        self.draw(key, list(np.ravel(figure.subplots(1, count, squeeze=False))))
        return figure

    def draw(self, key: str, axes: Sequence[Axes]) -> None:
        """One picture, by name, on as many axes as it has panels (`PICTURES`)."""
        method = getattr(self, key)
        if PICTURES[key][0] == 1:
            method(ax=axes[0])
        else:
            method(axes=axes)

    def all(self, path: str | Path | None = None, form: str = "png") -> dict[str, Figure]:
        """Every picture by name; with `path` also as files in that folder, `data.png` and so on."""
        figures = {key: self.figure(key) for key in PICTURES}
        if path is not None:
            folder = Path(path)
            folder.mkdir(parents=True, exist_ok=True)
            for key, figure in figures.items():
                figure.savefig(folder / f"{key}.{form}", dpi=160, facecolor="white")
        return figures

    def _draw(self, key: str, draw: Draw, ax: Axes | None) -> Axes:
        approach = self.result[key]
        if not approach.available:
            return pictures.unavailable(self.clusters, approach.reason, ax)
        return draw(self.clusters, self.result, ax)
