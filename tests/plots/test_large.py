"""With thousands of levels pictures draw a choice of them, and say so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import henderson as hd
from henderson.fit import Fit
from henderson.plots.of_fit import Plots


@pytest.fixture(scope="module")
def many() -> Fit:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(900), 6)
    x = rng.normal(size=5400)
    y = x + rng.normal(size=900)[g] + 0.3 * x * rng.normal(size=900)[g] + rng.normal(size=5400)
    return hd.lmm("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}))


def axes_() -> Axes:
    return Figure().add_subplot()


def points(ax: Axes, role: str) -> np.ndarray:
    named = [a for a in ax.lines if str(a.get_gid()).split("--")[0] == role]
    return np.concatenate([a.get_xydata() for a in named])


def said(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_shrinkage_keeps_the_extremes(many: Fit) -> None:
    ax = many.plot.shrinkage(ax=axes_())
    drawn = points(ax, "modes")
    assert len(drawn) == len(points(ax, "own")) == 200
    modes = many.ranef()["g"].to_numpy()
    assert drawn[:, 0].min() == modes[:, 0].min()
    assert drawn[:, 0].max() == modes[:, 0].max()
    assert "200 of 900 levels drawn" in said(ax)


def test_the_caterpillar_is_a_band_with_both_ends(many: Fit) -> None:
    ax = many.plot.caterpillar(ax=axes_())
    x, at = points(ax, "modes").T
    assert len(x) == 300
    assert (at[0], at[-1]) == (0.0, 899.0)
    assert (np.diff(x) >= 0.0).all()


def test_influence_draws_the_longest_stems(many: Fit) -> None:
    ax = many.plot.influence(ax=axes_())
    drawn = np.sort(points(ax, "values")[:, 1])
    assert np.array_equal(drawn, np.sort(many.influence().cooks_distance)[-400:])
    assert "the longest 400 of 900 drawn" in said(ax)


def test_rows_and_quantiles_are_thinned_to_what_is_asked(many: Fit) -> None:
    plots = Plots(many, max_points=300)
    for name in ("residuals", "scale_location", "qq", "random_qq"):
        ax = getattr(plots, name)(ax=axes_())
        assert 0 < len(points(ax, "points")) <= 300
    assert "300 of 5,400 rows drawn" in said(plots.residuals(ax=axes_()))


def test_forty_coefficients_are_too_many_for_one_picture() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=200), "a": np.tile(np.arange(50).astype(str), 4)})
    fit = hd.lm("y ~ a", data)
    with pytest.raises(hd.DesignError, match="49 coefficients cannot be read in one picture"):
        fit.plot.coefficients()


def test_a_model_without_fixed_effects_still_has_its_levels_drawn() -> None:
    fit = hd.lmm("Yield ~ 0 + (1 | Batch)", hd.load_dataset("dyestuff"))
    ax = fit.plot.groups(ax=axes_())
    modes = [c for c in ax.collections if str(c.get_gid()).startswith("modes--")]
    heights = np.sort([s[0, 1] for c in modes for s in c.get_segments()])
    assert np.allclose(heights, np.sort(fit.ranef()["Batch"]["Intercept"]))
