"""Random effects: caterpillar, shrinkage, and their quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.errors import DesignError, did_you_mean
from henderson.inference.wald import t_quantile
from henderson.plots.clusters import together
from henderson.plots.marks import line, role
from henderson.plots.quantiles import normal_quantiles
from henderson.plots.residuals import level_size, level_ticks
from henderson.plots.style import (
    BAND,
    BLUE,
    INK,
    MUTED,
    REST,
    VERMILION,
    Look,
    canvas,
    dress,
    evenly,
    note,
    short,
    tag,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.design import RandomFactor
    from henderson.fit import Fit

# Intervals of more levels than this are drawn as one band, along so many of them.
MOST_BARS, MOST_BAND = 80, 300
# Of more levels than this an even choice is drawn where each has marks of its own.
MOST_MOVES = 200


def caterpillar(
    fit: Fit, group: str | None = None, effect: str | None = None, ax: Axes | None = None
) -> Axes:
    """Conditional modes of one effect, in order, with 95 % intervals from their variances."""
    factor, k = choose(fit, group, effect)
    name = factor.names[k]
    modes = fit.ranef()[factor.name].to_numpy()[:, k]
    sd = np.sqrt(np.maximum(fit.condvar()[factor.name][:, k, k], 0.0))
    reach = t_quantile(0.975, np.inf) * sd
    order = np.argsort(modes, kind="stable")
    ax = canvas(ax, (4.6, min(max(1.4 + 0.2 * len(modes), 2.4), 6.0)))
    ax.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    _whiskers(ax, modes[order], reach[order], order)
    level_ticks(ax, [factor.all_levels[j] for j in order])
    dress(ax, f"{name} of {factor.name}", factor.name)
    level_size(ax, len(modes))
    ax.set_ylim(-0.7, len(modes) - 0.3)
    return ax


def _whiskers(ax: Axes, modes: np.ndarray, reach: np.ndarray, codes: np.ndarray) -> None:
    at = np.arange(len(modes))
    if len(modes) > MOST_BARS:
        keep = evenly(modes, MOST_BAND)
        at, modes, reach = at[keep], modes[keep], reach[keep]
        ax.fill_betweenx(
            at, modes - reach, modes + reach, color=BAND, linewidth=0.0, gid="intervals"
        )
        line(ax, modes, at, color=BLUE, gid="modes")
        return
    for i, (mode, half, j) in enumerate(zip(modes, reach, codes, strict=True)):
        ax.plot([mode - half, mode + half], [i, i], color=REST, linewidth=1.6,
                gid=tag("intervals", j))  # fmt: skip
        ax.plot(mode, i, linestyle="none", marker="o", markersize=4.5, color=BLUE,
                gid=tag("modes", j))  # fmt: skip


def shrinkage(
    fit: Fit,
    group: str | None = None,
    effects: tuple[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How far each level's own estimate is drawn to the population's.

    With one effect, own estimates and modes on a line per level. With two, arrows in their plane,
    and the ellipses that hold 50 and 95 % of the population.
    """
    first, second = effects or (None, None)
    factor, k = choose(fit, group, first)
    own = own_estimates(fit, factor)
    modes = fit.ranef()[factor.name].to_numpy()[: len(factor.levels)]
    ax = canvas(ax, (4.6, 4.2))
    count = len(modes)
    note(ax, f"{MOST_MOVES} of {count:,} levels drawn" if count > MOST_MOVES else "")
    if len(factor.names) == 1:
        return _shrunk_on_a_line(own[:, 0], modes[:, 0], factor, ax)
    other = choose(fit, factor.name, second)[1] if second else next(i for i in (0, 1) if i != k)
    pair = [k, other]
    cov = fit.varcorr()[factor.name].to_numpy()[np.ix_(pair, pair)]
    return _shrunk_in_a_plane(own[:, pair], modes[:, pair], cov, factor, pair, ax)


def _shrunk_on_a_line(own: np.ndarray, modes: np.ndarray, factor: Any, ax: Axes) -> Axes:
    order = np.argsort(modes, kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    ax.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1.0)
    _moves(ax, np.column_stack([own, place]), np.column_stack([modes, place]))
    level_ticks(ax, [factor.all_levels[j] for j in order])
    _key_above(ax)
    dress(ax, f"{factor.names[0]} of {factor.name}", factor.name)
    level_size(ax, len(order))
    return ax


def _shrunk_in_a_plane(
    own: np.ndarray, modes: np.ndarray, cov: np.ndarray, factor: Any, pair: list[int], ax: Axes
) -> Axes:
    for share in (0.5, 0.95):
        ax.plot(*ellipse(cov, share).T, color=MUTED, linewidth=0.9, zorder=1.2, gid="ellipse")
    _moves(ax, own, modes)
    _key_above(ax)
    first, second = (f"{short(factor.names[i])} of {short(factor.name)}" for i in pair)
    return dress(ax, first, second)


def _moves(ax: Axes, own: np.ndarray, modes: np.ndarray) -> None:
    """From where each level's own rows put it (J, 2) to where the model does (J, 2)."""
    chosen = set(map(int, evenly(modes[:, 0], MOST_MOVES)))
    for look, every in together([Look(BLUE, BLUE, "o", False)] * len(own)):
        members = [j for j in every if j in chosen]
        for j in members:
            ends = np.stack([own[j], modes[j]])
            if np.isfinite(ends).all():
                ax.plot(*ends.T, color=REST, linewidth=1.0, zorder=1.5, gid=tag("moves", j))
        first = 0 in every
        ax.plot(
            *own[members].T, linestyle="none", marker="o", markersize=4.7, markerfacecolor="none",
            markeredgecolor=VERMILION, label="own estimate" if first else None,
            gid=role("own", members),
        )  # fmt: skip
        ax.plot(
            *modes[members].T, linestyle="none", marker=look.marker, markersize=4.7,
            color=look.colour, label="in the model" if first else None,
            gid=role("modes", members),
        )  # fmt: skip


def _key_above(ax: Axes) -> None:
    ax.legend(
        frameon=False, fontsize=9.0, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2,
        labelcolor=INK, borderaxespad=0.2, handletextpad=0.3,
    )  # fmt: skip


def own_estimates(fit: Fit, factor: RandomFactor) -> np.ndarray:
    """Each level's effects (J, K) by least squares from its own rows, the fixed effects given.

    NaN for a level whose rows do not determine them.
    """
    t = next(i for i, f in enumerate(fit.design.random) if f.name == factor.name)
    modes = fit.optimum.modes(t)[factor.codes]
    rest = fit.resid.to_numpy() + np.einsum("nk,nk->n", factor.z, modes)
    weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    levels, k = len(factor.levels), factor.z.shape[1]
    gram, right = np.zeros((levels, k, k)), np.zeros((levels, k))
    np.add.at(gram, factor.codes, weights[:, None, None] * factor.z[:, :, None] * factor.z[:, None])
    np.add.at(right, factor.codes, (weights * rest)[:, None] * factor.z)
    known = np.linalg.matrix_rank(gram, hermitian=True) == k
    out = np.full((levels, k), np.nan)
    out[known] = np.linalg.solve(gram[known], right[known][..., None])[..., 0]
    return out


def ellipse(cov: np.ndarray, share: float, count: int = 121) -> np.ndarray:
    """Points (count, 2) around the region that holds a share of N(0, cov)."""
    radius = np.sqrt(-2.0 * np.log1p(-share))
    values, vectors = np.linalg.eigh(cov)
    angle = np.linspace(0.0, 2.0 * np.pi, count)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return radius * circle * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


def random_quantiles(
    fit: Fit,
    group: str | None = None,
    effect: str | None = None,
    ax: Axes | None = None,
    max_points: int = 2000,
) -> Axes:
    """Normal quantile plot of the conditional modes of one effect."""
    factor, k = choose(fit, group, effect)
    modes = fit.ranef()[factor.name].to_numpy()[:, k]
    name = f"{factor.names[k]} of {factor.name}"
    return normal_quantiles(modes, ax, name, max_points, np.arange(len(modes)))


def choose(fit: Fit, group: str | None, effect: str | None) -> tuple[RandomFactor, int]:
    """A grouping factor (the first unless named) and the number of one of its effects.

    Raises
    ------
    DesignError : the fit has no random effects, or none of that name.
    """
    factors = {f.name: f for f in fit.design.random}
    if not factors:
        raise DesignError(
            "This model has no random effects to draw: add a term such as (1 | group)."
        )
    if group is not None and group not in factors:
        raise DesignError(f"There is no grouping factor '{group}': {did_you_mean(group, factors)}")
    factor = factors[group] if group is not None else next(iter(factors.values()))
    if effect is not None and effect not in factor.names:
        hint = did_you_mean(effect, factor.names)
        raise DesignError(f"{factor.name} has no random effect '{effect}': {hint}")
    return factor, 0 if effect is None else factor.names.index(effect)
