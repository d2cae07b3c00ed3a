"""Fitted lines where a model knows only some values of a column, and where it has an offset."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import henderson as hd
from henderson.fit import Fit
from henderson.plots.views import seen_only, view


def axes_() -> Axes:
    return Figure().add_subplot()


def lines(ax: Axes, role: str) -> dict[str, np.ndarray]:
    return {
        gid.partition("--")[2]: artist.get_xydata()
        for artist in ax.lines
        if (gid := str(artist.get_gid())).split("--")[0] == role
    }


def rats() -> pd.DataFrame:
    return hd.load_dataset("bodyweight")


@pytest.mark.parametrize(
    "term", ["ar1(0 + Time | Rat)", "ou(0 + Time | Rat)", "(1 | Rat) + har1(0 + C(Time) | Rat)"]
)
def test_lines_pass_through_the_fitted_values_at_the_positions(term: str) -> None:
    data = rats()
    fit = hd.lmm(f"weight ~ Diet*Time + {term}", data)
    drawn = lines(fit.plot.groups(ax=axes_()), "group-line")
    factor = fit.design.random[0]
    assert len(drawn) == len(factor.levels) == 16
    for j in range(16):
        rows = np.flatnonzero(factor.codes == j)
        rows = rows[np.argsort(data["Time"].to_numpy()[rows])]
        assert np.allclose(drawn[str(j)][:, 0], data["Time"].to_numpy()[rows])
        assert np.allclose(drawn[str(j)][:, 1], fit.fittedvalues.to_numpy()[rows])


def test_levels_made_of_numbers_are_joined_and_nothing_between() -> None:
    data = hd.load_dataset("sleepstudy")
    fit = hd.lmm("Reaction ~ C(Days) + (1 | Subject)", data)
    ax = fit.plot.groups(ax=axes_())
    (population,) = lines(ax, "population").values()
    assert np.array_equal(population[:, 0], np.arange(10.0))
    assert np.allclose(population[:, 1], data.groupby("Days")["Reaction"].mean())


def test_an_offset_stands_at_its_mean() -> None:
    data = hd.load_dataset("sleepstudy")
    plain = hd.lmm("Reaction ~ Days + (1 | Subject)", data)
    shifted = hd.lmm(
        "Reaction ~ Days + (1 | Subject)",
        data.assign(Reaction=data["Reaction"] + 100.0),
        offset=np.full(len(data), 100.0),
    )
    before, after = (lines(f.plot.groups(ax=axes_()), "group-line") for f in (plain, shifted))
    for code, points in before.items():
        assert np.allclose(after[code], points + np.array([0.0, 100.0]))


def test_positions_of_another_grouping_factor_do_not_matter() -> None:
    data = hd.load_dataset("sleepstudy").assign(site=np.tile(list("pqrstu"), 30))
    fit = hd.lmm("Reaction ~ Days + (1 | site) + ar1(0 + Days | Subject)", data)
    assert set(lines(fit.plot.groups(group="site", ax=axes_()), "group-line")) == set("012345")


def crossed_numbers() -> Fit:
    rng = np.random.default_rng(2)
    data = pd.DataFrame(
        {
            "g": np.repeat([0.1, 0.7, 1.3, 2.9], 9),
            "x": rng.normal(size=36),
            "s": np.tile([1, 2, 4], 12),
        }
    )
    data["y"] = data["x"] + np.repeat(rng.normal(size=4), 9) + 0.3 * rng.normal(size=36)
    return hd.lmm("y ~ x + C(s) + (1 | g)", data)


@pytest.mark.filterwarnings("ignore::henderson.errors.HendersonWarning")
def test_numbers_that_name_groups_and_levels_are_never_averaged() -> None:
    fit = crossed_numbers()
    assert seen_only(fit) == ["s", "g"]
    v = view(fit, "x", "g")
    data = fit.design.frame.data
    for rows in (v.population, *(v.of_group(j) for j in range(4))):
        assert set(rows["g"]) <= set(data["g"])
        assert set(rows["s"]) <= set(data["s"])
    assert np.isfinite(v.fit.predict(v.of_group(3), new_levels="error")).all()


def test_long_names_of_levels_are_drawn_whole() -> None:
    rng = np.random.default_rng(5)
    levels = ["Cognitive behavioural therapy, weekly", "Waiting list, no contact at all", "None"]
    data = pd.DataFrame({"arm": np.tile(levels, 12), "y": rng.normal(size=36)})
    fit = hd.lm("y ~ arm", data)
    for ax in (fit.plot.means("arm", ax=axes_()), fit.plot.groups(ax=axes_())):
        shown = [" ".join(t.get_text().split()) for t in ax.get_xticklabels()]
        assert sorted(shown) == sorted(levels)


def test_names_of_levels_that_would_touch_stand_at_a_slant() -> None:
    rng = np.random.default_rng(4)
    for names, slanted in ((["one", "two", "three"], False), (["x" * 14] * 6, True)):
        levels = [f"{name[:12]}{i}" for i, name in enumerate(names)]
        data = pd.DataFrame({"f": np.tile(levels, 10), "y": rng.normal(size=10 * len(levels))})
        ax = hd.lm("y ~ f", data).plot.means("f", ax=axes_())
        assert {label.get_rotation() for label in ax.get_xticklabels()} == {40.0 * slanted}
