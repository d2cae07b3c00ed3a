"""Matplotlib figures as inline SVG that a page can hold many of."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from henderson.report.colours import as_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Picture:
    """An SVG with a title and a description for those who do not see it.

    name : unique on the page; its ids begin with it.
    caption : what those who see it read below.
    """

    name: str
    title: str
    description: str
    caption: str
    svg: str


def groups_drawn(pictures: Iterable[Picture], levels: Sequence[Any]) -> list[tuple[int, str]]:
    """The groups that can be found again in the pictures: number and label."""
    found = {int(m) for p in pictures for m in re.findall(r'data-group="(\d+)"', p.svg)}
    return [(j, str(levels[j])) for j in sorted(found) if j < len(levels)]


# Rows beyond so many make a page large and its pictures no clearer; the pictures say how many.
MAX_POINTS = 350


def blank(size: tuple[float, float]) -> Axes:
    """Axes on a figure of their own, `size` in inches, which pyplot does not keep."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").add_subplot()


def picture(
    ax: Axes,
    name: str,
    title: str,
    description: str,
    caption: str | None = None,
    *,
    tagged: bool = True,
) -> Picture:
    """The figure of some axes as inline SVG; text stays text, to be searched and read aloud.

    caption : the description if none is given.
    tagged : whether its groups are those that the page highlights.
    """
    import matplotlib as mpl

    figure = ax.get_figure(root=True)
    assert figure is not None
    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = _inline(stream.getvalue(), name, title, description)
    if not tagged:
        svg = re.sub(r'\sdata-group="\d+"', "", svg)
    return Picture(name, title, description, caption or description, svg)


def _inline(svg: str, name: str, title: str, description: str) -> str:
    """The bare <svg> element: ids of its own, fluid width, a title and a description."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(d|x|y|x1|x2|y1|y2|transform)="([^"]*)"', _rounded, svg)
    svg = _own_ids(svg, name)
    svg, rules = _shared_styles(svg, name)
    svg = _GROUP.sub(_class_once, svg.replace("xlink:href", "href"))
    svg = re.sub(r"\s*\n\s*", " ", re.sub(r">\s+<", "><", svg))
    head = svg[: svg.index(">") + 1]
    opened = re.sub(r'\s(width|height)="[^"]*"', "", head, count=2)
    label = f'role="img" aria-labelledby="{name}-t {name}-d" class="figure"'
    opened = opened.replace("<svg", f"<svg {label}", 1)
    words = (
        f'<title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>'
    )
    return opened + words + f"<style>{rules}</style>" + svg[len(head) :]


def _own_ids(svg: str, name: str) -> str:
    """Ids that no other figure of the page has, short ones (every point of a plot names one), and
    only where something refers to them; what is drawn for a group says so in `data-group`."""
    svg = _OF_GROUP.sub(r' data-group="\1"', svg)
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    short = {old: f"{name}i{number}" for number, old in enumerate(used)}
    keep = lambda m: f' id="{short[m[1]]}"' if m[1] in short else ""  # noqa: E731
    svg = re.sub(r'\sid="([^"]+)"', keep, svg)
    return re.sub(r"#([\w.-]+)(?=[\")])", lambda m: f"#{short.get(m[1], m[1])}", svg)


def _shared_styles(svg: str, name: str) -> tuple[str, str]:
    """Style attributes as classes, each written once: most points of a plot look alike."""
    classes: dict[str, str] = {}

    def swap(style: re.Match[str]) -> str:
        label = classes.setdefault(style[1], f"{name}s{len(classes)}")
        return f'class="{label}"'

    svg = re.sub(r'style="([^"]*)"', swap, svg)
    rules = "".join(f".{label}{{{style}}}" for style, label in classes.items())
    return svg, as_variables(rules)


# The gid of `henderson.plots.style.tag`.
_OF_GROUP = re.compile(r'\sid="[\w-]+--(\d+)"')
# A group that holds the points of one plot, and nothing else.
_GROUP = re.compile(r"(<g\b[^>]*)>((?:\s*<use [^>]*/>)+)\s*</g>")


def _class_once(found: re.Match[str]) -> str:
    """The class that all points of a group share, written at the group."""
    head, body = found.groups()
    classes = set(re.findall(r'\sclass="([^"]+)"', body))
    if len(classes) != 1 or "class=" in head or body.count("class=") != body.count("<use"):
        return found[0]
    body = re.sub(r'\sclass="[^"]+"|\s(?=<use)', "", body)
    return f'{head} class="{classes.pop()}">{body}</g>'


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point: half the size, and nothing that an eye can see."""
    name, value = attribute.groups()
    short = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
    return f'{name}="{short}"'
