"""What pictures are made of: points, lines, bands, arrows, densities, and labels beside lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.plots.clusters import Clusters, together
from henderson.plots.style import (
    BAND,
    FONT,
    INK,
    MUTED,
    PAPER,
    SMALL,
    Look,
    dress,
    note,
    pieces,
    short,
    tag,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Letters that fit side by side below the axis, and on a line at a slant.
ROOM, SLANTED = 48, 26


def points(ax: Axes, c: Clusters, group_looks: Sequence[Look], *, faded: bool = False) -> None:
    """One set of markers per group, those that stand out last."""
    count = len(c.shown)
    size = 5.2 if count <= 150 else 4.0 if count <= 600 else 2.5
    for look, members in together(group_looks):
        rows = c.shown[np.isin(c.codes[c.shown], members)]
        ax.plot(
            c.drawn_x[rows], c.y[rows], linestyle="none", marker=look.marker, markersize=size,
            color=look.colour, alpha=0.3 if faded else 0.75, markeredgewidth=0.0,
            zorder=2.2 if look.named else 2.0, gid=role("points", members),
            label=str(c.levels[members[0]]) if look.named else "others",
        )  # fmt: skip
    note(ax, c.thinned)


def role(name: str, members: Sequence[int]) -> str:
    """The gid of one group, or of several drawn as one."""
    return tag(name, members[0]) if len(members) == 1 else name


def frame(ax: Axes, c: Clusters, title: str = "") -> Axes:
    """Axes for the rows: names, and the levels of a factor as ticks."""
    dress(ax, c.x_name, c.y_name, title)
    if c.is_factor:
        name_levels(ax, c.x_levels)
        low, high = ax.get_xlim()
        ax.set_xlim(min(low, -0.45), max(high, len(c.x_levels) - 0.55))
    return ax


def name_levels(ax: Axes, levels: Sequence[Any], room: int = ROOM) -> None:
    """Names of levels along the axis, in lines; at a slant where they would touch.

    room : letters that fit side by side below the axis.
    """
    each = max(room // len(levels), 1)
    names = [wrapped(level, each) for level in levels]
    whole = all(len(p.rstrip()) <= each for level in levels for p in pieces(level))
    upright = whole and not any("..." in name for name in names)
    if not upright:
        names = [wrapped(level, SLANTED) for level in levels]
    ax.set_xticks(range(len(names)), names, parse_math=False)
    if not upright:
        for label in ax.get_xticklabels():
            label.set(rotation=40.0, ha="right", rotation_mode="anchor")


def line(ax: Axes, x: Any, y: Any, look: Look | None = None, **how: Any) -> None:
    """A line in the look of a group, or in ink."""
    colour = INK if look is None else look.colour
    behind = look is not None and not look.named
    settings = {
        "linewidth": 0.9 if behind else 2.0,
        "color": colour,
        "zorder": 2.5 if behind else 3.0,
    }
    ax.plot(x, y, **{**settings, "solid_capstyle": "round", **how})


def band(ax: Axes, x: Any, lower: Any, upper: Any) -> None:
    """An interval along a line."""
    ax.fill_between(x, lower, upper, color=BAND, alpha=0.55, linewidth=0.0, zorder=1.5, gid="band")


def arrow(ax: Axes, x: float, start: float, end: float, colour: str, gid: str) -> None:
    """A vertical arrow from one line to another."""
    ax.annotate(
        "", xy=(x, end), xytext=(x, start), zorder=4.0, gid=gid, annotation_clip=False,
        arrowprops={
            "arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0,
            "mutation_scale": 10,
        },
    )  # fmt: skip


def write(ax: Axes, x: float, y: float, text: str, colour: str = INK, **how: Any) -> None:
    """A text in the picture, on a paper-coloured rim that lifts it from lines."""
    from matplotlib.patheffects import withStroke

    settings: dict[str, Any] = {"fontsize": SMALL, "color": colour, "zorder": 5.0}
    rim = [withStroke(linewidth=2.5, foreground=PAPER)]
    ax.text(x, y, text, parse_math=False, path_effects=rim, **{**settings, **how})


def end_labels(
    ax: Axes,
    heights: Sequence[float],
    texts: Sequence[str],
    colours: Sequence[str],
    codes: Sequence[int] | None = None,
) -> None:
    """Labels right of the axes at given heights (data units), pushed apart where they touch.

    codes : the numbers of the groups that are named, if they are groups.
    """
    if not len(heights):
        return
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    tall = _height_in_points(ax)
    wanted = (np.asarray(heights, dtype=float) - low) / (high - low) * tall
    placed = spread(wanted, FONT * 1.25, 0.0, tall)
    gids = ["label"] * len(texts) if codes is None else [tag("label", j) for j in codes]
    for at, place, text, colour, gid in zip(wanted, placed, texts, colours, gids, strict=True):
        ax.annotate(
            short(text), xy=(1.0, low + at / tall * (high - low)),
            xycoords=("axes fraction", "data"), xytext=(5.0, place - at),
            textcoords="offset points", ha="left", va="center", color=colour, fontsize=SMALL,
            annotation_clip=False, parse_math=False, gid=gid,
        )  # fmt: skip


def _height_in_points(ax: Axes) -> float:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().height * figure.get_size_inches()[1] * 72.0)


def spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Positions nearest to `wanted` (least squares) that keep their order and `gap` apart.

    Where they fit, they stay within [low, high]. The problem is isotonic regression of
    wanted - rank * gap, solved by pooling neighbours.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    blocks: list[list[float]] = []
    for value in np.asarray(wanted, dtype=float)[order] - steps:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * weight) / (before[1] + weight)
            before[1] += weight
    base = np.concatenate([np.full(int(weight), mean) for mean, weight in blocks])
    room = high - steps[-1] if len(steps) else high
    placed = np.empty(len(wanted))
    placed[order] = np.clip(base, low, max(room, low)) + steps
    return placed


def name_groups(ax: Axes, c: Clusters, group_looks: Sequence[Look], heights: Any) -> None:
    """The groups that stand out, named right of the axes at the height of their line's end."""
    named = [j for j, look in enumerate(group_looks) if look.named and np.isfinite(heights[j])]
    end_labels(
        ax,
        [float(heights[j]) for j in named],
        [str(c.levels[j]) for j in named],
        [group_looks[j].text for j in named],
        named,
    )
    rest = len(group_looks) - len([look for look in group_looks if look.named])
    if rest:
        ax.annotate(
            f"{rest} others\nin grey", xy=(1.0, 0.0), xycoords="axes fraction",
            xytext=(5.0, -5.0), textcoords="offset points", ha="left", va="top", fontsize=SMALL,
            color=MUTED, annotation_clip=False, gid="others",
        )  # fmt: skip


def density(values: np.ndarray, count: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian kernel density on a grid: grid (count,), density (count,).

    Silverman's bandwidth (1986, eq. 3.31). The values are binned first, so the cost does not grow
    with their number times the grid.
    """
    quarters = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    spread_ = min(float(np.std(values, ddof=1)), quarters / 1.34)
    spread_ = spread_ if spread_ > 0 else float(np.std(values)) or 1.0
    width = 0.9 * spread_ * len(values) ** -0.2
    grid = np.linspace(values.min() - 3.0 * width, values.max() + 3.0 * width, count)
    step = grid[1] - grid[0]
    edges = np.append(grid - step / 2.0, grid[-1] + step / 2.0)
    weights = np.histogram(values, edges)[0] / len(values)
    gaps = (grid[:, None] - grid) / width
    kernel = np.exp(-0.5 * gaps**2) / (width * np.sqrt(2.0 * np.pi))
    return grid, kernel @ weights
