"""One look for all pictures: colours, sizes, and axes without clutter.

Nothing here touches matplotlib's global settings: every artist is given its look. The colours are
Okabe and Ito's, which colour-blind readers can tell apart (Okabe & Ito 2008, Color Universal
Design); every group has a marker of its own as well. Text in a colour uses a darker shade of it
that has a contrast of at least 4.5 on white.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.tables.layout import elide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2328"
MUTED = "#5d6771"
GRID = "#dde2e7"
REST = "#a3acb5"
PAPER = "#fefefe"
BAND = "#c9d1d9"

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
TEXT_SHADE = {
    BLUE: "#005f95",
    VERMILION: "#ad4c00",
    GREEN: "#007353",
    PURPLE: "#9c4a76",
    ORANGE: "#8a5f00",
    SKY: "#1f6f9f",
    INK: INK,
    REST: MUTED,
}
MARKERS = ("o", "s", "^", "D", "v", "P")

SIZE = (5.0, 3.5)
FONT = 10.0
SMALL = 9.0
LONGEST_NAME = 22
# Where a long name may go on in the next line: behind these characters.
_BREAKS = re.compile(r"(?<=[\s:_/,;|])|(?<=\]\.)|(?<=\w-)")


@dataclass(frozen=True)
class Look:
    """How one group is drawn.

    Attributes
    ----------
    colour, text, marker : of its points and lines, of its label, of its points.
    named : it stands out, and its label is written beside it.
    """

    colour: str
    text: str
    marker: str
    named: bool


def looks(heights: np.ndarray, always: Sequence[int] = ()) -> list[Look]:
    """A look for each of J groups.

    Up to six groups get a colour each. Of more groups, the lowest, the middle and the highest (and
    the groups numbered in `always`) stand out from grey: nobody can read a legend of 27 entries.

    Parameters
    ----------
    heights : (J,) what orders the groups, such as their mean outcome.
    """
    count = len(heights)
    if count <= len(PALETTE):
        return [_look(i) for i in range(count)]
    order = np.argsort(heights, kind="stable")
    # The reference comes last, so that the others keep their colours in every picture.
    chosen = dict.fromkeys([*(int(order[i]) for i in (0, count // 2, -1)), *always])
    colours = {code: i for i, code in enumerate(list(chosen)[: len(PALETTE)])}
    rest = Look(REST, TEXT_SHADE[REST], "o", False)
    return [_look(colours[j]) if j in colours else rest for j in range(count)]


def _look(i: int) -> Look:
    return Look(PALETTE[i], TEXT_SHADE[PALETTE[i]], MARKERS[i], True)


def tag(role: str, code: int) -> str:
    """The gid of what is drawn for one group: its role, and the group's number.

    A page that shows several pictures finds by it what belongs together.
    """
    return f"{role}--{code}"


def evenly(values: np.ndarray, most: int) -> np.ndarray:
    """Numbers of at most `most` of the values, in ascending order of value, evenly chosen."""
    order = np.argsort(values, kind="stable")
    if len(order) <= most:
        return order
    return order[np.linspace(0, len(order) - 1, most).round().astype(int)]


def canvas(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """The axes to draw on: the caller's, or new ones of `size` inches."""
    return ax if ax is not None else panels(None, 1, size)[0]


def panels(
    axes: Sequence[Axes] | np.ndarray | None, count: int, size: tuple[float, float] = SIZE
) -> list[Axes]:
    """So many axes: the caller's, or new ones side by side, each of `size` inches."""
    if axes is None:
        import matplotlib.pyplot as plt

        figsize = (size[0] * count, size[1])
        figure, made = plt.subplots(1, count, figsize=figsize, squeeze=False)
        arrange(figure)
        return list(made[0])
    given = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(given) != count:
        raise ValueError(f"This picture needs {count} axes, not {len(given)}.")
    return given


def lattice(
    axes: Sequence[Axes] | np.ndarray | None, count: int, size: tuple[float, float], wide: int = 3
) -> list[Axes]:
    """So many axes: the caller's, or new ones in rows of `wide`, each of `size` inches."""
    if axes is not None or count <= wide:
        return panels(axes, count, size)
    import matplotlib.pyplot as plt

    rows = -(-count // wide)
    figure, made = plt.subplots(rows, wide, figsize=(size[0] * wide, size[1] * rows), squeeze=False)
    arrange(figure)
    every = list(made.ravel())
    for empty in every[count:]:
        empty.remove()
    return every[:count]


def arrange(figure: Figure) -> None:
    """Room for labels around every panel."""
    figure.set_layout_engine("constrained", wspace=0.06, w_pad=0.06)


def dress(ax: Axes, x: str = "", y: str = "", title: str = "") -> Axes:
    """Axis names, a title flush left, and two quiet spines."""
    ax.set_xlabel(short(x, 46), fontsize=FONT, color=INK, parse_math=False)
    ax.set_ylabel(short(y, 34), fontsize=FONT, color=INK, parse_math=False)
    ax.set_title(title, loc="left", fontsize=FONT, color=INK, parse_math=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL, length=3)
    ax.set_facecolor("none")
    return ax


def note(ax: Axes, text: str) -> None:
    """A remark in small letters in the lower right corner."""
    if text:
        ax.text(
            1.0, 0.01, text, transform=ax.transAxes, ha="right", va="bottom", color=MUTED,
            fontsize=SMALL, parse_math=False,
        )  # fmt: skip


def short(text: Any, room: int = LONGEST_NAME) -> str:
    """A name in at most `room` characters, its middle left out: names mostly differ at an end."""
    return elide(str(text).replace("\n", " "), room)


def wrapped(text: Any, room: int = LONGEST_NAME, most: int = 3) -> str:
    """A name in lines of at most `room` characters, cut only where `most` lines do not hold it."""
    lines = [""]
    for piece in pieces(text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > room:
            lines[-1:] = [lines[-1][:room], lines[-1][room:]]
    whole = [line.strip() for line in lines]
    if len(whole) > most:
        whole[most - 1 :] = [short("".join(lines[most - 1 :]).strip(), room)]
    return "\n".join(whole)


def pieces(text: Any) -> list[str]:
    """A name taken apart where it may be wrapped."""
    return [piece for piece in _BREAKS.split(str(text).replace("\n", " ")) if piece]


def digits(value: float, count: int = 3) -> str:
    """A number to so many significant digits, with a true minus sign and no exponent if short."""
    if not np.isfinite(value):
        return "-"
    size = abs(value)
    if size and not 1e-4 <= size < 1e6:
        text = f"{value:.{count}g}"
    else:
        decimals = max(count - 1 - int(np.floor(np.log10(size))), 0) if size else 0
        text = f"{value:.{decimals}f}"
    return text.replace("-", "\u2212")


def signed(value: float, count: int = 3) -> str:
    """The same with a plus sign where there is no minus."""
    return ("+" if value >= 0 else "") + digits(value, count)
