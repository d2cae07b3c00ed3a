"""What the pictures of the seven approaches draw: the rows, the fits and the intervals, exactly."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import henderson as hd
from henderson.plots.of_approaches import PICTURES
from henderson.seven import Approaches

COLUMNS = {
    "classroom_scores": ("score", "edu", "classroom"),
    "rat_pup": ("weight", "sex", "litter"),
    "sleepstudy": ("Reaction", "Days", "Subject"),
}


@pytest.fixture(scope="module", params=COLUMNS)
def result(request: pytest.FixtureRequest) -> Approaches:
    return hd.approaches(hd.load_dataset(request.param), *COLUMNS[request.param])


@pytest.fixture(scope="module")
def classrooms() -> Approaches:
    return hd.approaches(hd.load_dataset("classroom_scores"), *COLUMNS["classroom_scores"])


def role(artist: Artist) -> str:
    """What an artist is; its gid also has the number of the group it is drawn for."""
    return str(artist.get_gid()).split("--")[0]


def axes_() -> Axes:
    return Figure().add_subplot()


def lines(ax: Axes, gid: str) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines if role(line) == gid]


def texts(ax: Axes, gid: str) -> list[str]:
    return [t.get_text() for t in ax.texts if role(t) == gid]


def test_every_row_is_drawn_once(result: Approaches) -> None:
    ax = result.plot.data(ax=axes_())
    drawn = np.concatenate(lines(ax, "points"))[:, 1]
    assert np.array_equal(np.sort(drawn), np.sort(result.data[result.outcome]))


def test_points_of_a_factor_stay_beside_their_level() -> None:
    result = hd.approaches(hd.load_dataset("rat_pup"), *COLUMNS["rat_pup"])
    ax = result.plot.data(ax=axes_())
    x = np.concatenate(lines(ax, "points"))[:, 0]
    assert np.abs(x - np.round(x)).max() < 0.2
    counts = result.data["sex"].value_counts(sort=False)
    assert np.array_equal(np.bincount(np.round(x).astype(int)), counts)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Male", "Female"]


def test_the_means_of_a_factor_are_joined() -> None:
    result = hd.approaches(hd.load_dataset("rat_pup"), *COLUMNS["rat_pup"])
    drawn = lines(result.plot.data(ax=axes_()), "means")
    means = result.data.groupby(["litter", "sex"], observed=True)["weight"].mean()
    assert len(drawn) == 27
    assert np.allclose(np.sort(np.concatenate(drawn)[:, 1]), np.sort(means))


@pytest.mark.parametrize("key", PICTURES)
def test_every_picture_is_drawn_on_the_axes_given(result: Approaches, key: str) -> None:
    count, _ = PICTURES[key]
    axes = [axes_() for _ in range(count)]
    argument = {"ax": axes[0]} if count == 1 else {"axes": axes}
    returned = getattr(result.plot, key)(**argument)
    assert (returned is axes[0]) if count == 1 else all(map(lambda a, b: a is b, returned, axes))
    for ax in axes:
        assert ax.has_data()
        assert ax.get_xlabel()
        ax.get_figure().canvas.draw()


def test_pictures_leave_nothing_in_pyplot(result: Approaches) -> None:
    before = plt.get_fignums()
    result.plot.figure("aggregation")
    assert plt.get_fignums() == before


def test_without_axes_one_figure_is_made(classrooms: Approaches) -> None:
    before = set(plt.get_fignums())
    ax = classrooms.plot.forest()
    made = set(plt.get_fignums()) - before
    assert len(made) == 1
    plt.close(ax.get_figure())


def test_few_groups_are_named_all_and_many_in_part(result: Approaches) -> None:
    ax = result.plot.data(ax=axes_())
    named = texts(ax, "label")
    levels = [str(v) for v in result.levels]
    assert ax.get_legend() is None
    assert set(named) <= set(levels)
    if len(levels) <= 6:
        assert sorted(named) == sorted(levels)
        assert texts(ax, "others") == []
    else:
        assert len(named) == 3
        assert texts(ax, "others") == [f"{len(levels) - 3} others\nin grey"]


def test_the_one_line_and_its_band(classrooms: Approaches) -> None:
    ax = classrooms.plot.lm_global(ax=axes_())
    (line,) = lines(ax, "line")
    fit = classrooms["lm_global"].fit
    assert np.allclose(line[:, 1], fit.params["Intercept"] + fit.params["edu"] * line[:, 0])
    (band,) = [c for c in ax.collections if c.get_gid() == "band"]
    ends = band.get_paths()[0].vertices
    at_zero = ends[np.isclose(ends[:, 0], 0.0)][:, 1]
    expected = fit.conf_int().loc["Intercept"]
    assert np.isclose(at_zero.min(), expected["lower"])
    assert np.isclose(at_zero.max(), expected["upper"])


def test_parallel_lines_have_the_common_slope(result: Approaches) -> None:
    for key in ("ancova_inter", "lmm_inter"):
        ax = getattr(result.plot, key)(ax=axes_())
        slope = result[key].fit.params.iloc[1]
        drawn = [d for d in lines(ax, "extension") if np.ptp(d[:, 0]) > 0]
        assert len(drawn) == len(result.levels)
        assert np.allclose([np.diff(d[:, 1])[0] / np.diff(d[:, 0])[0] for d in drawn], slope)


def test_arrows_are_as_long_as_the_group_effects(classrooms: Approaches) -> None:
    fixed = classrooms.plot.ancova_inter(ax=axes_())
    effects = classrooms["ancova_inter"].fit.params
    wanted = [effects[f"classroom[T.{c}]"] for c in ("c1", "c2")]
    assert np.allclose(_arrow_lengths(fixed), wanted)
    mixed = classrooms.plot.lmm_inter(ax=axes_())
    modes = classrooms["lmm_inter"].fit.ranef()["classroom"]["Intercept"]
    assert np.allclose(_arrow_lengths(mixed), modes)
    assert texts(mixed, "arrow-value") == [" −2.89 ", " −0.323 ", " +3.21 "]
    assert mixed.get_title(loc="left") == "intercepts ~ N(9.87, 9.43)"


def _arrow_lengths(ax: Axes) -> list[float]:
    arrows = [t for t in ax.texts if role(t) == "arrow"]
    return [a.xy[1] - a.get_position()[1] for a in arrows]


def test_full_models_draw_each_group_within_its_range(result: Approaches) -> None:
    for key in ("ancova_full", "lmm_full"):
        ax = getattr(result.plot, key)(ax=axes_())
        fit, data = result[key].fit, result.data
        fitted = fit.fittedvalues
        drawn = np.concatenate(lines(ax, "group-line"))
        x = data[result.predictor]
        x = x.cat.codes if result.factor_levels else x
        for _, rows in data.groupby(result.group, observed=True):
            row = x[rows.index].idxmin()
            assert np.isclose(drawn, [x[row], fitted[row]]).all(axis=1).any()
        assert len(lines(ax, "group-line")) == len(result.levels)
    (population,) = lines(result.plot.lmm_full(ax=axes_()), "population")
    slope = np.diff(population[:, 1]) / np.diff(population[:, 0])
    assert np.isclose(slope[0], result["lmm_full"].fit.params.iloc[1])


def test_aggregation_draws_the_means(classrooms: Approaches) -> None:
    first, second = classrooms.plot.aggregation(axes=[axes_(), axes_()])
    means = classrooms.aggregated.means[["edu", "score"]].to_numpy()
    for ax in (first, second):
        assert np.allclose(np.concatenate(lines(ax, "mean")), means)
    (line,) = lines(second, "line")
    slope = np.polyfit(line[:, 0], line[:, 1], 1)[0]
    assert np.isclose(slope, 6.073401, atol=1e-6)


def test_two_stages_draw_a_bar_per_estimable_slope(result: Approaches) -> None:
    first, second = result.plot.hierarchical(axes=[axes_(), axes_()])
    slopes = [g.slope for g in result.two_stage.level1]
    assert len(lines(first, "group-line")) == len(slopes)
    assert np.allclose([bar.get_width() for bar in second.patches if role(bar) == "slopes"], slopes)
    (mean,) = lines(second, "mean")
    assert np.allclose(mean[:, 0], np.mean(slopes))


def test_residuals_of_an_approach(classrooms: Approaches) -> None:
    first, density, _ = classrooms.plot.residuals("lmm_inter", axes=[axes_() for _ in range(3)])
    fit = classrooms["lmm_inter"].fit
    drawn = np.concatenate(lines(first, "points"))
    wanted = np.column_stack([fit.fittedvalues, fit.resid])
    assert np.allclose(drawn[np.lexsort(drawn.T)], wanted[np.lexsort(wanted.T)])
    for curve in density.lines:
        x, y = curve.get_xydata().T
        assert np.isclose(np.trapezoid(y, x), 1.0, atol=0.01)
    with pytest.raises(hd.DataError, match="Aggregation has no residuals of the rows"):
        classrooms.plot.residuals("aggregation")


def test_the_forest_shows_every_interval_or_cuts_it_with_its_numbers(result: Approaches) -> None:
    ax = result.plot.forest(ax=axes_())
    low, high = ax.get_xlim()
    drawn = iter(lines(ax, "interval"))
    numbers = texts(ax, "numbers")
    for a, text in zip(result, numbers, strict=True):
        if a.t_line is None:
            assert text == "not available"
            continue
        ends = next(drawn)[:, 0]
        inside = low < a.t_line.lower and a.t_line.upper < high
        if inside and a.key != "aggregation":
            assert np.allclose(ends, [a.t_line.lower, a.t_line.upper])
        assert ends[0] >= a.t_line.lower - 1e-12
        assert ends[1] <= a.t_line.upper + 1e-12
    assert next(drawn, None) is None


def test_aggregation_does_not_set_the_scale_of_the_forest(classrooms: Approaches) -> None:
    ax = classrooms.plot.forest(ax=axes_())
    others = [a.t_line for a in classrooms if a.key != "aggregation"]
    width = max(t.upper for t in others) - min(t.lower for t in others)
    assert np.ptp(ax.get_xlim()) < 1.2 * width
    assert len(lines(ax, "cut")) == 2
    assert texts(ax, "numbers")[2] == "6.07  [−4.22, 16.4]*"


def test_what_is_not_available_says_why(classrooms: Approaches) -> None:
    result = hd.approaches(hd.load_dataset("sleepstudy"), *COLUMNS["sleepstudy"])
    assert not result["aggregation"].available
    assert texts(result.plot.forest(ax=axes_()), "numbers").count("not available") == 1
    between = hd.load_dataset("classroom_scores")
    between["edu"] = between["classroom"].map({"c0": 1.0, "c1": 2.0, "c2": 4.0}).astype(float)
    constant = hd.approaches(between, *COLUMNS["classroom_scores"])
    assert not constant["lmm_full"].available
    ax = constant.plot.lmm_full(ax=axes_())
    (said,) = texts(ax, "reason")
    assert said.replace("\n", " ").startswith("Not available: edu does not vary within any group")
    for key in PICTURES:
        constant.plot.figure(key)


def test_many_rows_are_thinned_and_the_picture_says_so() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(120), 50)
    x = rng.normal(size=6000)
    data = pd.DataFrame({"g": group, "x": x, "y": x + rng.normal(size=120)[group]})
    data["y"] += rng.normal(size=6000)
    result = hd.approaches(data, "y", "x", "g")
    ax = result.plot.data(ax=axes_())
    assert len(np.concatenate(lines(ax, "points"))) == 5000
    assert "5,000 of 6,000 rows drawn" in [t.get_text() for t in ax.texts]
    _, bars = result.plot.hierarchical(axes=[axes_(), axes_()])
    assert "80 of 120 groups drawn" in [t.get_text() for t in bars.texts]


def test_names_with_dollars_are_text_and_no_mathematics(classrooms: Approaches) -> None:
    names = {"score": "$y_1$", "edu": "x $^2$", "classroom": "class $\\frac$"}
    data = hd.load_dataset("classroom_scores").rename(columns=names)
    data[names["classroom"]] = data[names["classroom"]].cat.rename_categories(
        ["$a", "$\\sqrt{$", "c$"]
    )
    result = hd.approaches(data, *names.values())
    for key in PICTURES:
        result.plot.figure(key).canvas.draw()


def test_all_writes_a_file_per_picture(classrooms: Approaches, tmp_path: Path) -> None:
    figures = classrooms.plot.all(tmp_path / "new")
    assert list(figures) == list(PICTURES)
    assert sorted(p.stem for p in (tmp_path / "new").glob("*.png")) == sorted(PICTURES)
    with pytest.raises(hd.DataError, match=r"no picture 'forrest'.*'forest'"):
        classrooms.plot.figure("forrest")
