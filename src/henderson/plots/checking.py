"""The assumptions of a fit in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from henderson.diagnostics.autocorrelation import finest
from henderson.diagnostics.influence import influence
from henderson.diagnostics.row_sets import ROW
from henderson.plots.influential import influential
from henderson.plots.marks import write
from henderson.plots.modes import random_quantiles
from henderson.plots.quantiles import normal_quantiles
from henderson.plots.residuals import residuals_against_fitted, scale_location
from henderson.plots.serial import autocorrelation
from henderson.plots.style import FONT, INK, MUTED, dress, lattice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

PANEL = (3.5, 2.9)
TITLES = (
    "linearity",
    "constant variance",
    "normal residuals",
    "normal random effects",
    "independence",
    "influence",
)


def checks(
    fit: Fit, axes: Sequence[Axes] | np.ndarray | None = None, max_points: int = 5000
) -> list[Axes]:
    """Six panels: linearity, variance, normality of residuals and of random effects, independence,
    influence. A panel that the model gives no reason to draw says so.
    """
    from henderson.tables.summary import scaled_residuals

    drawn = lattice(axes, len(TITLES), PANEL)
    residuals_against_fitted(fit, drawn[0], max_points=max_points)
    scale_location(fit, drawn[1], max_points)
    normal_quantiles(scaled_residuals(fit), drawn[2], "scaled residual", max_points)
    if fit.design.random:
        random_quantiles(fit, ax=drawn[3], max_points=max_points)
    else:
        _nothing(drawn[3], "no random effects")
    groups = finest(fit)
    if groups is not None and groups.sizes.max() >= 3:
        autocorrelation(fit, ax=drawn[4])
    else:
        _nothing(drawn[4], "no groups of rows\nthat follow each other")
    if fit.design.p:
        influential(influence(fit, None if fit.design.random else ROW), ax=drawn[5])
    else:
        _nothing(drawn[5], "no fixed effects")
    for ax, title in zip(drawn, TITLES, strict=True):
        ax.set_title(title, loc="left", fontsize=FONT, color=INK, parse_math=False)
    return drawn


def _nothing(ax: Axes, why: str) -> None:
    dress(ax)
    ax.set_xticks([])
    ax.set_yticks([])
    write(ax, 0.5, 0.5, why, MUTED, transform=ax.transAxes, ha="center", va="center", gid="reason")
