"""Make the pictures of the README again: `python docs/images/make.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import henderson as hd

HERE = Path(__file__).parent


def classrooms() -> Figure:
    """One line through all rows, and what a random intercept makes of the same rows."""
    result = hd.approaches(hd.load_dataset("classroom_scores"), "score", "edu", "classroom")
    figure = Figure(figsize=(10.0, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    # The right picture needs more room up and down, so it settles the shared axis.
    result.plot.lmm_inter(ax=right)
    result.plot.lm_global(ax=left)
    effects = [result[key].t_line for key in ("lm_global", "lmm_inter")]
    words = ("One line for all", "Random intercepts: a line per classroom")
    for ax, word, line in zip((left, right), words, effects, strict=True):
        assert line is not None
        ax.set_title(
            f"{word}\nslope {line.estimate:.3f}, SE {line.std_error:.3f}", loc="left", fontsize=11
        )
    return figure


if __name__ == "__main__":
    mpl.use("agg")
    classrooms().savefig(HERE / "classrooms.png", dpi=130, facecolor="white")
