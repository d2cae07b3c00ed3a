"""Pictures of single fits: what is drawn is what the fit says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import henderson as hd
from henderson.fit import Fit

FITS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "dyestuff": "Yield ~ 1 + (1 | Batch)",
    "machines": "score ~ Machine + (1 | Worker)",
    "rat_pup": "weight ~ treatment + sex + litter_size + (1 | litter)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
}
ALL = ("residuals", "scale_location", "qq", "groups", "caterpillar", "shrinkage", "random_qq")


@cache
def fitted(name: str) -> Fit:
    return hd.lmm(FITS[name], hd.load_dataset(name))


def role(artist: Artist) -> str:
    """What an artist is; its gid also has the number of the group it is drawn for."""
    return str(artist.get_gid()).split("--")[0]


def axes_() -> Axes:
    return Figure().add_subplot()


def drawn(ax: Axes, gid: str) -> np.ndarray:
    return np.concatenate([line.get_xydata() for line in ax.lines if role(line) == gid])


@pytest.mark.parametrize("picture", ALL)
@pytest.mark.parametrize("name", FITS)
def test_every_picture_of_every_fit(name: str, picture: str) -> None:
    ax = axes_()
    assert getattr(fitted(name).plot, picture)(ax=ax) is ax
    assert ax.has_data()
    ax.get_figure().canvas.draw()


def test_residuals_are_drawn_against_fitted_values() -> None:
    fit = fitted("sleepstudy")
    points = drawn(fit.plot.residuals(ax=axes_()), "points")
    assert np.array_equal(points, np.column_stack([fit.fittedvalues, fit.resid]))


def test_scale_location_takes_roots_of_scaled_residuals() -> None:
    fit = fitted("sleepstudy")
    points = drawn(fit.plot.scale_location(ax=axes_()), "points")
    assert np.allclose(points[:, 1] ** 2 * fit.sigma, np.abs(fit.resid))


def test_quantiles_are_ordered_and_their_band_holds_the_line() -> None:
    fit = fitted("sleepstudy")
    ax = fit.plot.qq(ax=axes_())
    points = drawn(ax, "points")
    points = points[np.argsort(points[:, 0])]
    assert np.allclose(points[:, 1], np.sort(fit.resid) / fit.sigma)
    assert (np.diff(points[:, 0]) > 0).all()
    assert np.allclose(points[:, 0], -points[::-1, 0])
    (band,) = [c for c in ax.collections if c.get_gid() == "band"]
    vertices = band.get_paths()[0].vertices
    mean, sd = points[:, 1].mean(), points[:, 1].std(ddof=1)
    for x in points[[0, 90, -1], 0]:
        at = vertices[np.isclose(vertices[:, 0], x)][:, 1]
        assert at.min() < mean + sd * x < at.max()


def test_caterpillar_has_the_modes_in_order_with_their_intervals() -> None:
    fit = fitted("sleepstudy")
    ax = fit.plot.caterpillar(effect="Days", ax=axes_())
    modes = fit.ranef()["Subject"]["Days"]
    points = drawn(ax, "modes")
    assert np.allclose(points[:, 0], np.sort(modes))
    reach = 1.959964 * np.sqrt(fit.condvar()["Subject"][:, 1, 1])[np.argsort(modes)]
    ends = drawn(ax, "intervals")[:, 0].reshape(-1, 2)
    assert np.allclose(ends, points[:, :1] + np.outer(reach, [-1, 1]), atol=1e-5)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == list(modes.sort_values().index.astype(str))


def test_a_random_intercept_shrinks_every_level_towards_zero() -> None:
    fit = fitted("dyestuff")
    ax = fit.plot.shrinkage(ax=axes_())
    own, modes = drawn(ax, "own")[:, 0], drawn(ax, "modes")[:, 0]
    assert ax.get_legend_handles_labels()[1] == ["own estimate", "in the model"]
    # Five rows a batch: one factor for all, n / (n + sigma^2 / variance).
    ratio = 5.0 / (5.0 + fit.scale / fit.varcorr()["Batch"].iloc[0, 0])
    assert np.allclose(modes, ratio * own)


def test_own_estimates_in_the_plane_are_the_groups_regressions() -> None:
    fit = fitted("sleepstudy")
    own = drawn(fit.plot.shrinkage(ax=axes_()), "own")
    data = fit.design.frame.data
    for (_, rows), (intercept, slope) in zip(
        data.groupby("Subject", observed=True), own, strict=True
    ):
        b1, b0 = np.polyfit(rows["Days"].astype(float), rows["Reaction"], 1)
        assert np.allclose([intercept, slope], [b0, b1] - fit.params.to_numpy())


def test_ellipses_hold_their_share_of_the_population() -> None:
    fit = fitted("sleepstudy")
    ax = fit.plot.shrinkage(ax=axes_())
    cov = np.linalg.inv(fit.varcorr()["Subject"].to_numpy())
    rings = [line.get_xydata() for line in ax.lines if line.get_gid() == "ellipse"]
    for ring, radius2 in zip(rings, (1.386294, 5.991465), strict=True):
        assert np.allclose(np.einsum("np,pq,nq->n", ring, cov, ring), radius2)


def test_group_lines_are_the_fitted_values() -> None:
    fit = fitted("sleepstudy")
    ax = fit.plot.groups(ax=axes_())
    coef = fit.coef()["Subject"]
    found = [line.get_xydata() for line in ax.lines if role(line) == "group-line"]
    slopes = [(d[-1, 1] - d[0, 1]) / (d[-1, 0] - d[0, 0]) for d in found]
    assert np.allclose(slopes, coef["Days"])
    assert np.allclose([d[0, 1] for d in found], coef["Intercept"])
    (population,) = [line.get_xydata() for line in ax.lines if line.get_gid() == "population"]
    assert np.allclose(population[:, 1], fit.params.to_numpy() @ [np.ones(41), population[:, 0]])


def test_the_fit_is_drawn_along_what_varies_within_groups_and_says_where_others_stand() -> None:
    fit = fitted("rat_pup")
    ax = fit.plot.groups(ax=axes_())
    assert ax.get_xlabel() == "sex"
    assert len([line for line in ax.lines if role(line) == "group-line"]) == 27
    size = fit.design.frame.data["litter_size"].mean()
    title = ax.get_title(loc="left")
    assert title == f"dashed: population, treatment Control, litter_size {size:.1f}"
    assert fitted("sleepstudy").plot.groups(ax=axes_()).get_title(loc="left") == ""
    assert fit.plot.groups(x="litter_size", ax=axes_()).get_xlabel() == "litter_size"


def test_other_predictors_and_groupings_can_be_chosen() -> None:
    fit = fitted("rat_pup")
    ax = fit.plot.groups(x="sex", group="treatment", ax=axes_())
    assert ax.get_xlabel() == "sex"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Male", "Female"]
    assert {t.get_text() for t in ax.texts if role(t) == "label"} == {"Control", "Low", "High"}


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda p: p.groups(x="Dayz"), "'Dayz' is no predictor.*'Days'"),
        (lambda p: p.groups(group="Subjekt"), "no grouping 'Subjekt'.*'Subject'"),
        (lambda p: p.caterpillar(group="Subjekt"), "no grouping factor 'Subjekt'.*'Subject'"),
        (lambda p: p.caterpillar(effect="Day"), "Subject has no random effect 'Day'.*'Days'"),
    ],
)
def test_unknown_names_are_refused(draw: object, message: str) -> None:
    with pytest.raises(hd.DesignError, match=message):
        draw(fitted("sleepstudy").plot)


def test_a_model_without_random_effects_has_no_modes_to_draw() -> None:
    fit = hd.lm("score ~ edu * classroom", hd.load_dataset("classroom_scores"))
    with pytest.raises(hd.DesignError, match=r"no random effects to draw: add a term"):
        fit.plot.caterpillar()
    ax = fit.plot.groups(ax=axes_())
    found = [line.get_xydata() for line in ax.lines if role(line) == "group-line"]
    slopes = sorted((d[-1, 1] - d[0, 1]) / (d[-1, 0] - d[0, 0]) for d in found)
    assert np.allclose(slopes, [0.055772, 0.129084, 0.177567], atol=1e-6)
