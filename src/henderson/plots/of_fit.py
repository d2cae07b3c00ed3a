"""`fit.plot`: pictures of one fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from henderson.plots import fitted_lines, modes, quantiles, residuals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit


@dataclass(frozen=True)
class Plots:
    """Pictures of a fit. Every method takes `ax=` to draw on and returns it.

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
        return quantiles.normal_quantiles(scaled, ax, "scaled residual", self.max_points)

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
        return modes.random_quantiles(self.fit, group, effect, ax)
