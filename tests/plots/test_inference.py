"""Pictures of estimates, of diagnostics and of matrices: what is drawn is what was computed."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import henderson as hd
from henderson.fit import Fit
from henderson.plots.blocks import blocks
from henderson.plots.influential import farthest
from henderson.plots.pooling import least_squares

FITS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "rat_pup": "weight ~ treatment * sex + litter_size + (1 | litter)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "dyestuff": "Yield ~ 1 + (1 | Batch)",
}


@cache
def fitted(name: str) -> Fit:
    return hd.lmm(FITS[name], hd.load_dataset(name))


def axes_(count: int = 1) -> list[Axes]:
    return [Figure().add_subplot() for _ in range(count)]


def role(artist: Artist) -> str:
    return str(artist.get_gid()).split("--")[0]


def drawn(ax: Axes, gid: str) -> np.ndarray:
    return np.concatenate([line.get_xydata() for line in ax.lines if role(line) == gid])


def test_coefficients_have_their_intervals_and_numbers() -> None:
    fit = fitted("rat_pup")
    (ax,) = axes_()
    assert fit.plot.coefficients(ax=ax) is ax
    names = [n for n in fit.params.index if n != "Intercept"]
    assert np.array_equal(drawn(ax, "estimate")[:, 0], fit.params[names])
    ends = drawn(ax, "interval")[:, 0].reshape(-1, 2)
    assert np.array_equal(ends, fit.conf_int().loc[names])
    low, high = ax.get_ylim()
    assert low > high  # the first stands on top
    assert ax.texts[0].get_text().startswith("−0.467")


def test_coefficients_can_be_chosen() -> None:
    fit = fitted("rat_pup")
    ax = fit.plot.coefficients(["litter_size", "Intercept"], level=0.5, ax=axes_()[0])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["litter_size", "Intercept"]
    ends = drawn(ax, "interval")[:, 0].reshape(-1, 2)
    assert np.array_equal(ends, fit.conf_int(0.5).loc[["litter_size", "Intercept"]])
    with pytest.raises(hd.DesignError, match=r"no coefficient 'litter'.*'litter_size'"):
        fit.plot.coefficients(["litter"])


def test_means_of_a_factor_stand_at_its_levels_with_a_series_for_each_level_of_by() -> None:
    fit = fitted("rat_pup")
    found = fit.emmeans("treatment", by="sex")
    (ax,) = axes_()
    assert fit.plot.means("treatment", ax=ax, by="sex") is ax
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Control", "Low", "High"]
    series = [line.get_xydata() for line in ax.lines if role(line) == "mean"]
    for points, (_, rows) in zip(
        series, found.frame.groupby("sex", sort=False, observed=True), strict=True
    ):
        assert np.array_equal(np.round(points[:, 0]), [0, 1, 2])
        assert np.array_equal(points[:, 1], rows["emmean"])
    bars = np.concatenate([c.get_segments() for c in ax.collections])[:, :, 1]
    assert np.allclose(np.sort(bars, axis=0), np.sort(found.frame[["lower", "upper"]], axis=0))
    assert {t.get_text() for t in ax.texts} == {"Male", "Female"}


def test_means_along_a_covariate_are_lines_with_bands() -> None:
    fit = fitted("rat_pup")
    at = [4.0, 8.0, 12.0, 16.0]
    found = fit.emmeans(["litter_size", "treatment"], at={"litter_size": at})
    ax = fit.plot.means(found, ax=axes_()[0])
    lines = [line.get_xydata() for line in ax.lines if role(line) == "mean"]
    assert len(lines) == 3
    for line in lines:
        assert np.array_equal(line[:, 0], at)
        assert np.allclose(np.diff(line[:, 1]) / 4.0, fit.params["litter_size"])
    assert sum(c.get_gid() == "band" for c in ax.collections) == 3


def test_slopes_are_drawn_as_means_are() -> None:
    fit = hd.lm("score ~ edu * classroom", hd.load_dataset("classroom_scores"))
    ax = fit.plot.means(fit.slopes("edu", by="classroom"), ax=axes_()[0])
    assert np.allclose(drawn(ax, "mean")[:, 1], [0.129084, 0.177567, 0.055772], atol=1e-6)
    assert ax.get_ylabel() == "slope of score in edu"


def test_partial_pooling_lies_between_no_pooling_and_the_population() -> None:
    fit = fitted("dyestuff")
    axes = fit.plot.pooling(levels=["A", "E"], axes=axes_(2))
    mean = fit.params["Intercept"]
    for ax, batch in zip(axes, "AE", strict=True):
        assert ax.get_title(loc="left") == f"Batch {batch}"
        own, partial, complete = (
            drawn(ax, f"{kind}-pooling")[0, 1] for kind in ("no", "partial", "complete")
        )
        rows = fit.design.frame.data.query("Batch == @batch")["Yield"]
        assert np.isclose(own, rows.mean())
        assert np.isclose(complete, mean)  # balanced
        assert np.isclose(partial, fit.coef()["Batch"].loc[batch, "Intercept"])
        assert min(own, mean) < partial < max(own, mean)
        assert np.array_equal(np.sort(drawn(ax, "points")[:, 1]), np.sort(rows))


def test_no_pooling_of_lines_is_each_subjects_regression() -> None:
    fit = fitted("sleepstudy")
    (ax,) = fit.plot.pooling(levels=[308], axes=axes_())
    rows = fit.design.frame.data.query("Subject == '308'")
    b1, b0 = np.polyfit(rows["Days"].astype(float), rows["Reaction"], 1)
    x, y = drawn(ax, "no-pooling").T
    assert np.allclose(y, b0 + b1 * x)
    x, y = drawn(ax, "complete-pooling").T
    assert np.allclose(y, np.array([251.4051, 10.4673]) @ [np.ones_like(x), x], atol=1e-3)


def test_pooling_is_drawn_along_what_varies_within_levels() -> None:
    fit = fitted("rat_pup")
    before = set(plt.get_fignums())
    axes = fit.plot.pooling()
    assert len(axes) == 6
    assert {ax.get_xlabel() for ax in axes} == {"sex"}
    made = set(plt.get_fignums()) - before
    assert len(made) == 1
    plt.close(made.pop())
    with pytest.raises(hd.DesignError, match="litter has no level '99'"):
        fit.plot.pooling(levels=["99"])


def test_complete_pooling_is_weighted_least_squares() -> None:
    data = hd.load_dataset("sleepstudy").assign(w=lambda d: 1.0 + d["Days"] % 3)
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", data, weights="w")
    plain = hd.lm("Reaction ~ Days", data, weights="w")
    assert np.allclose(least_squares(fit), plain.params)


def test_zeta_is_drawn_with_its_limits() -> None:
    fit = fitted("dyestuff")
    profile = fit.profile()
    names = list(dict.fromkeys(profile.curves["parameter"]))
    axes = fit.plot.profile(profile, axes=axes_(len(names)))
    for ax, name in zip(axes, names, strict=True):
        rows = profile.curves.query("parameter == @name")[["value", "zeta"]]
        assert np.array_equal(drawn(ax, "zeta"), rows)
        (band,) = [c for c in ax.collections if c.get_gid() == "interval"]
        x = band.get_paths()[0].vertices[:, 0]
        assert np.allclose([x.min(), x.max()], profile.confint().loc[name])
        assert drawn(ax, "estimate")[0, 0] == profile.estimates[name]
        assert ax.get_title(loc="left").startswith(name)
    (sigma,) = fit.plot.profile("sigma", axes=axes_())
    assert np.allclose(drawn(sigma, "zeta"), drawn(axes[names.index("sigma")], "zeta"))


def test_bootstrap_densities_integrate_to_one_and_shade_the_interval() -> None:
    fit = fitted("dyestuff")
    result = fit.bootstrap(60, seed=1)
    (ax,) = fit.plot.bootstrap(result, "sigma", axes=axes_())
    x, y = drawn(ax, "density").T
    assert np.isclose(np.trapezoid(y, x), 1.0, atol=0.01)
    assert drawn(ax, "estimate")[0, 0] == fit.sigma
    (shade,) = [c for c in ax.collections if c.get_gid() == "interval"]
    shaded = shade.get_paths()[0].vertices[:, 0]
    low, high = result.confint().loc["sigma"]
    step = x[1] - x[0]
    assert low <= shaded.min() <= low + step
    assert high - step <= shaded.max() <= high
    with pytest.raises(hd.DesignError, match=r"no parameter 'sigmas'.*'sigma'"):
        fit.plot.bootstrap(result, "sigmas")


def test_too_many_parameters_for_one_picture_are_refused() -> None:
    data = hd.load_dataset("bodyweight")
    fit = hd.lmm("weight ~ C(Time)*Diet + (1 | Rat)", data)
    result = fit.bootstrap(20, seed=1)
    with pytest.raises(hd.DesignError, match=r"35 parameters .*choose some, which="):
        fit.plot.bootstrap(result)
    fit.plot.bootstrap(result, ["sigma", "Diet[T.2]"], axes=axes_(2))


def test_influence_has_a_stem_per_level_and_names_the_largest() -> None:
    fit = fitted("rat_pup")
    (ax,) = axes_()
    assert fit.plot.influence(ax=ax) is ax
    found = fit.influence()
    assert np.array_equal(drawn(ax, "values")[:, 1], found.cooks_distance)
    assert [t.get_text() for t in ax.texts] == list(map(str, found.most(3).index))
    ax = fit.plot.influence(found, measure="covratio", ax=axes_()[0])
    stems = drawn(ax, "stems")[:, 1].reshape(-1, 2)
    assert (stems[:, 0] == 1.0).all()
    assert np.array_equal(stems[:, 1], found.covratio)
    with pytest.raises(hd.DesignError, match="no measure 'cook'"):
        fit.plot.influence(found, measure="cook")


@pytest.mark.parametrize("name", ["sleepstudy", "rat_pup", "penicillin"])
@pytest.mark.parametrize("by", [None, "row"])
def test_names_of_influential_levels_do_not_touch(name: str, by: str | None) -> None:
    (ax,) = axes_()
    fitted(name).plot.influence(by, ax=ax)
    canvas = FigureCanvasAgg(ax.get_figure())
    canvas.draw()
    boxes = [t.get_window_extent(canvas.get_renderer()) for t in ax.texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_ties_are_not_named() -> None:
    assert list(farthest(np.array([1.0, 5.0, 1.0, 2.0, 1.0]))) == [1, 3]
    assert list(farthest(np.ones(9))) == []
    assert list(farthest(np.array([3.0, np.nan]))) == [0]


def test_autocorrelations_and_their_band() -> None:
    fit = fitted("sleepstudy")
    (ax,) = axes_()
    assert fit.plot.acf(ax=ax) is ax
    table = fit.acf()
    assert np.array_equal(drawn(ax, "acf"), table.loc[1:, ["lag", "acf"]])
    (band,) = [c for c in ax.collections if c.get_gid() == "band"]
    heights = band.get_paths()[0].vertices[:, 1]
    assert np.isclose(heights.max(), table["upper"].max())
    assert np.isclose(heights.min(), table["lower"].min())


def test_variogram_is_drawn_beside_the_variance() -> None:
    fit = fitted("sleepstudy")
    ax = fit.plot.variogram("Days", ax=axes_()[0])
    table = fit.variogram("Days")
    assert np.array_equal(drawn(ax, "variogram"), table[["distance", "semivariance"]])
    assert np.isclose(drawn(ax, "level")[0, 1], fit.residuals("pearson").var(ddof=0))
    (dots,) = [c for c in ax.collections if c.get_gid() == "points"]
    order = np.argsort(dots.get_sizes(), kind="stable")
    assert np.array_equal(order, np.argsort(table["n_pairs"], kind="stable"))


@pytest.mark.parametrize("name", FITS)
def test_checks_are_one_figure_of_six_panels(name: str) -> None:
    axes = axes_(6)
    returned = fitted(name).plot.checks(axes=axes)
    assert all(a is b for a, b in zip(returned, axes, strict=True))
    assert [role(t) for ax in axes for t in ax.texts if role(t) == "reason"] == []
    assert axes[3].get_title(loc="left") == "normal random effects"


def test_checks_say_what_there_is_no_reason_to_draw() -> None:
    fit = hd.lm("score ~ edu", hd.load_dataset("classroom_scores"))
    axes = fit.plot.checks(axes=axes_(6))
    said = [t.get_text() for ax in axes for t in ax.texts if role(t) == "reason"]
    assert said == ["no random effects", "no groups of rows\nthat follow each other"]


@pytest.mark.parametrize("name", FITS)
def test_the_blocks_are_the_fits_own(name: str) -> None:
    fit = fitted(name)
    found = blocks(fit)
    z = fit.design.Z.toarray()[found.rows]
    assert np.array_equal(found.z, z[:, np.abs(z).sum(axis=0) > 0])
    assert np.allclose(found.v, fit.V(found.rows))
    assert (np.diff(fit.design.random[0].codes[found.rows]) >= 0).all()
    assert np.allclose(np.triu(found.l, 1), 0.0)


def test_the_cholesky_factor_knows_the_determinant_of_v() -> None:
    # |Z'R^-1 Z + D^-1| |D| |R| = |V|, with everything in units of sigma^2.
    fit = fitted("sleepstudy")
    found = blocks(fit)
    leading = np.diag(found.l)[: found.n_random]
    sign, log_det = np.linalg.slogdet(found.v / fit.scale)
    assert sign == 1.0
    assert np.isclose(2.0 * np.log(leading).sum(), log_det)


def test_matrices_are_drawn_with_their_sizes() -> None:
    fit = fitted("sleepstudy")
    axes = axes_(3)
    returned = fit.plot.matrices("308", axes=axes)
    assert all(a is b for a, b in zip(returned, axes, strict=True))
    assert [ax.get_title(loc="left") for ax in axes] == [
        "Z: 10 rows, 2 columns",
        "V = ZDZ' + R: 10 x 10",
        "L: 2 random + 2 fixed",
    ]
    v = axes[1].images[0].get_array()
    assert np.allclose(np.sign(v) * np.square(v) * fit.V("308").abs().max().max(), fit.V("308"))
    with pytest.raises(hd.DesignError, match="0 rows cannot be drawn"):
        fit.plot.matrices(slice(0, 0))


def test_without_random_effects_v_is_r() -> None:
    sleep = hd.load_dataset("sleepstudy")
    fit = hd.lm("Reaction ~ Days", sleep, correlation="ar1(Days | Subject)")
    axes = axes_(2)
    fit.plot.matrices("308", axes=axes)
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["X: 10 rows, 2 columns", "V = R: 10 x 10"]
    r, v = fit.R("308").to_numpy(), axes[1].images[0].get_array()
    assert np.allclose(np.sign(v) * np.square(v) * r.max(), r)
    default = axes_(2)
    fit.plot.matrices(axes=default)
    assert default[1].get_title(loc="left") == "V = R: 40 x 40"
    with pytest.raises(hd.DesignError, match="0 rows cannot be drawn"):
        fit.plot.matrices(slice(0, 0))


def test_pictures_on_given_axes_leave_nothing_in_pyplot() -> None:
    before = plt.get_fignums()
    fit = fitted("dyestuff")
    fit.plot.checks(axes=axes_(6))
    fit.plot.matrices(axes=axes_(3))
    fit.plot.coefficients(ax=axes_()[0])
    fit.plot.profile("sigma", axes=axes_())
    assert plt.get_fignums() == before
