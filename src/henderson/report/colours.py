"""The colours of pictures on a page: those of `henderson.plots`, and others on a dark ground.

A figure names its colours as variables (`var(--c-1f2328,#1f2328)`), which the page's style sets
where the reader prefers dark; the fallback is the colour as drawn.
"""

from __future__ import annotations

import re

from henderson.plots import style

# On the dark card: text has a contrast of at least 4.5, lines and points of at least 3.
DARK = {
    style.INK: "#e6edf3",
    style.MUTED: "#a9b4c0",
    style.GRID: "#30363d",
    style.REST: "#7d8793",
    style.PAPER: "#161b22",
    style.BAND: "#414b57",
    style.BLUE: "#3d9be0",
    style.VERMILION: "#f0883e",
    style.GREEN: "#2fc598",
    style.PURPLE: "#e09cc4",
    style.ORANGE: "#f0b429",
    style.SKY: "#9ad4f5",
    style.TEXT_SHADE[style.BLUE]: "#6cb6ee",
    style.TEXT_SHADE[style.VERMILION]: "#f5a163",
    style.TEXT_SHADE[style.GREEN]: "#4fd1a7",
    style.TEXT_SHADE[style.PURPLE]: "#e6acce",
    style.TEXT_SHADE[style.ORANGE]: "#f2c04f",
    style.TEXT_SHADE[style.SKY]: "#a6daf7",
}
_HEX = re.compile("|".join(DARK))


def as_variables(rules: str) -> str:
    """CSS rules in which each colour of a picture is a variable."""
    return _HEX.sub(lambda found: f"var(--c-{found[0][1:]},{found[0]})", rules)


def dark_rules() -> str:
    """The variables for readers who prefer dark; paper stays light."""
    values = "".join(f"--c-{light[1:]}:{dark};" for light, dark in DARK.items())
    return f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {values} }} }}"
