"""Marginal means of the factors of a fit, and the differences between their levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from henderson.inference.grid import Axis, reference_grid
from henderson.plots.effects import means as draw_means
from henderson.report.figures import Picture, blank, picture
from henderson.report.fit_pictures import SIZE
from henderson.report.sheets import Missing, Sheet, estimates

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.inference.means import Means

# More factors, or levels, than these make a page longer and no clearer.
MOST_FACTORS, MOST_LEVELS = 3, 12
# Of more levels than this the pairs are a page of their own: six have 15.
MOST_PAIRED = 6


@dataclass(frozen=True)
class MeansPart:
    """The means of one factor: a table, its picture, and pairwise differences if they are few."""

    factor: str
    table: Sheet
    contrasts: Sheet | Missing
    picture: Picture
    notes: tuple[str, ...]


def means_parts(fit: Fit) -> list[MeansPart | Missing]:
    """A part per factor of the fixed effects; of those left out, why."""
    axes = [a for a in reference_grid(fit, ()).others if a.is_factor and len(a.values) > 1]
    shown = [a for a in axes if len(a.values) <= MOST_LEVELS][:MOST_FACTORS]
    parts: list[MeansPart | Missing] = []
    for place, axis in enumerate(shown, 1):
        parts.append(_part(fit, axis, place))
    for axis in axes:
        if axis not in shown:
            why = f"Its {len(axis.values)} means are given by fit.emmeans('{axis.name}')."
            parts.append(Missing(f"Means of {axis.name}", why))
    return parts


def _part(fit: Fit, axis: Axis, place: int) -> MeansPart:
    name = axis.name
    found = fit.emmeans(name)
    ax = blank(SIZE)
    draw_means(found, ax)
    title = f"Mean {fit.design.formula.response} by {name}"
    text = "Estimated marginal means with 95 % intervals."
    return MeansPart(
        name,
        estimates(f"means-{place}", f"{title}.", found.frame, [name], "emmean"),
        _pairs(found, name, place),
        picture(ax, f"m{place}", title, text, tagged=False),
        found.notes,
    )


def _pairs(found: Means, name: str, place: int) -> Sheet | Missing:
    between = f"Differences between levels of {name}"
    count = len(found.frame)
    if count > MOST_PAIRED:
        how = f"fit.emmeans('{name}').contrast('pairwise')"
        return Missing(between, f"The {count * (count - 1) // 2} pairs are given by {how}.")
    pairs = found.contrast("pairwise")
    how = "Tukey's adjustment" if len(pairs.frame) > 1 else "one comparison, no adjustment"
    caption = f"{between} ({how})."
    return estimates(f"pairs-{place}", caption, pairs.frame, ["contrast"], "estimate")
