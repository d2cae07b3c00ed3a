"""`fit.plot`: pictures of one fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.plots import (
    blocks,
    curves,
    effects,
    fitted_lines,
    influential,
    modes,
    pooling,
    quantiles,
    residuals,
    serial,
)
from henderson.plots.checking import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit
    from henderson.inference.bootstrap import Bootstrap
    from henderson.inference.means import Means
    from henderson.inference.profile import Profile

Axes2 = Sequence["Axes"] | np.ndarray | None


@dataclass(frozen=True)
class Plots:
    """Pictures of a fit. Methods take `ax=` or `axes=` and return what they drew on.

    Parameters
    ----------
    fit : what to draw.
    max_points : of more rows an even choice of so many is drawn, and the picture says so.
    """

    fit: Fit
    max_points: int = 5000

    def residuals(self, ax: Axes | None = None) -> Axes:
        """Conditional residuals against fitted values, with their running mean."""
        return residuals.residuals_against_fitted(self.fit, ax, max_points=self.max_points)

    def scale_location(self, ax: Axes | None = None) -> Axes:
        """Size of the residuals against fitted values: does the variance change?"""
        return residuals.scale_location(self.fit, ax, self.max_points)

    def qq(self, ax: Axes | None = None) -> Axes:
        """Normal quantile plot of the residuals with a pointwise 95 % band."""
        from henderson.tables.summary import scaled_residuals

        scaled = scaled_residuals(self.fit)
        factor = next(iter(self.fit.design.random), None)
        codes = None if factor is None else factor.codes
        return quantiles.normal_quantiles(scaled, ax, "scaled residual", self.max_points, codes)

    def groups(
        self, x: str | None = None, group: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Fitted lines per group over the data, along predictor `x`."""
        return fitted_lines.fitted_lines(self.fit, x, group, ax, self.max_points)

    def caterpillar(
        self, group: str | None = None, effect: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Conditional modes of one random effect, in order, with 95 % intervals."""
        return modes.caterpillar(self.fit, group, effect, ax)

    def shrinkage(
        self,
        group: str | None = None,
        effects: tuple[str, str] | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """From each level's own estimate to what the model makes of it."""
        return modes.shrinkage(self.fit, group, effects, ax)

    def random_qq(
        self, group: str | None = None, effect: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Normal quantile plot of the conditional modes of one random effect."""
        return modes.random_quantiles(self.fit, group, effect, ax, self.max_points)

    # -- what was estimated ------------------------------------------------------------------

    def coefficients(
        self, names: Sequence[str] | None = None, level: float = 0.95, ax: Axes | None = None
    ) -> Axes:
        """Fixed effects with their intervals, one below the other."""
        return effects.coefficients(self.fit, names, level, ax)

    def means(
        self, specs: str | Sequence[str] | Means, ax: Axes | None = None, **options: Any
    ) -> Axes:
        """Marginal means with intervals: of `fit.emmeans(specs, **options)`, or as given."""
        found = self.fit.emmeans(specs, **options) if isinstance(specs, str | Sequence) else specs
        return effects.means(found, ax)

    def pooling(
        self,
        x: str | None = None,
        group: str | None = None,
        levels: Sequence[Any] | None = None,
        axes: Axes2 = None,
    ) -> list[Axes]:
        """No, partial and complete pooling: three lines through the rows of some levels."""
        return pooling.pooling(self.fit, x, group, levels, axes)

    def profile(
        self,
        which: str | Iterable[str] | Profile | None = None,
        level: float = 0.95,
        axes: Axes2 = None,
    ) -> list[Axes]:
        """Profile zeta: of `fit.profile(which)`, or as given."""
        known = which is None or isinstance(which, str | Iterable)
        found = self.fit.profile(which) if known else which  # type: ignore[arg-type]
        return curves.zeta(found, level, axes)  # type: ignore[arg-type]

    def bootstrap(
        self,
        result: Bootstrap,
        which: str | Iterable[str] | None = None,
        level: float = 0.95,
        axes: Axes2 = None,
    ) -> list[Axes]:
        """Densities of bootstrap estimates, `fit.bootstrap(...)`, with percentile intervals."""
        return curves.densities(result, which, level, axes)

    # -- whether to believe it ---------------------------------------------------------------

    def influence(
        self,
        by: Any = None,
        measure: str = "cooks_distance",
        ax: Axes | None = None,
    ) -> Axes:
        """What moves the fit: of `fit.influence(by)`, or an influence as given."""
        from henderson.diagnostics.influence import Influence

        found = by if isinstance(by, Influence) else self.fit.influence(by)
        return influential.influential(found, measure, ax)

    def acf(
        self,
        by: Any = None,
        kind: str = "normalized",
        max_lag: int | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Autocorrelation of the residuals by lag within groups."""
        return serial.autocorrelation(self.fit, by, kind, max_lag, ax)

    def variogram(
        self,
        position: Any = None,
        by: Any = None,
        kind: str = "pearson",
        bins: int = 15,
        ax: Axes | None = None,
    ) -> Axes:
        """Semivariance of the residuals by distance within groups."""
        return serial.variogram(self.fit, position, by, kind, bins, ax)

    def checks(self, axes: Axes2 = None) -> list[Axes]:
        """The assumptions in one figure of six panels; `fit.check()` has the verdicts in words."""
        return checks(self.fit, axes, self.max_points)

    # -- how it is made ----------------------------------------------------------------------

    def matrices(self, rows: Any = None, axes: Axes2 = None) -> list[Axes]:
        """The blocks of Z, V and L for some rows: a level, a slice, positions, a mask."""
        return blocks.matrices(self.fit, rows, axes)
