"""Intervals of predictions: the mixed-model equations inverted densely, and classical cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, special
from scipy.linalg import block_diag

import henderson as hd
from henderson.errors import DataError, DesignError


def crossed_data() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 120
    g, h = rng.integers(0, 9, n), rng.integers(0, 6, n)
    x = rng.normal(size=n)
    y = 3 + x + rng.normal(size=9)[g] + 0.7 * rng.normal(size=9)[g] * x + rng.normal(size=6)[h]
    k = 2 * h + rng.integers(0, 2, n)
    y = y + rng.normal(size=12)[k] + rng.normal(size=n)
    frame = {"y": y, "x": x, "w": rng.gamma(4.0, size=n)}
    return pd.DataFrame(
        frame | {name: v.astype(str) for name, v in zip("ghk", (g, h, k), strict=True)}
    )


DATA = crossed_data()
FORMULAS = {
    "one": ("y ~ x + (x | g)", {}),
    "weighted": ("y ~ x + (x | g)", {"weights": "w"}),
    "crossed": ("y ~ x + (x | g) + (1 | h)", {}),
    "nested": ("y ~ x + (1 | h) + (1 | k)", {}),
    "three": ("y ~ x + (x | g) + (1 | h) + (1 | k)", {}),
}


def fit_of(key: str) -> Any:
    formula, keywords = FORMULAS[key]
    return hd.lmm(formula, DATA, **keywords)


def joint_covariance(fit: Any) -> np.ndarray:
    """sigma^2 times the inverse of Henderson's coefficient matrix, of (beta, b)."""
    design = fit.design
    w = np.ones(design.n) if design.weights is None else design.weights
    both = np.hstack([design.X, design.Z.toarray()])
    d = block_diag(
        *(
            np.kron(np.eye(len(f.levels)), s)
            for f, s in zip(design.random, fit.optimum.sigmas, strict=True)
        )
    )
    matrix = both.T @ (both * w[:, None])
    p = design.p
    matrix[p:, p:] += np.linalg.inv(d)
    return fit.scale * np.linalg.inv(matrix)


@pytest.mark.parametrize("key", list(FORMULAS))
def test_standard_errors_are_those_of_the_mixed_model_equations(key: str) -> None:
    fit = fit_of(key)
    assert not fit.is_singular
    both = np.hstack([fit.design.X, fit.design.Z.toarray()])
    covariance = joint_covariance(fit)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", both, covariance, both))
    ours = fit.predict(interval="confidence", ddf="normal")
    np.testing.assert_allclose(ours["std_error"], expected, rtol=1e-9)
    np.testing.assert_allclose(ours["predicted"], fit.fittedvalues, rtol=1e-12)
    noise = fit.scale / (np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights)
    new = fit.predict(interval="prediction", ddf="normal")
    np.testing.assert_allclose(new["std_error"], np.sqrt(expected**2 + noise), rtol=1e-9)


def sparse_data() -> pd.DataFrame:
    """Levels so many that head and tail are linked by a sparse matrix; k is nested in g."""
    rng = np.random.default_rng(5)
    n = 1500
    k = rng.integers(0, 1000, n)
    data = pd.DataFrame({"k": k, "g": k // 4, "h": rng.integers(0, 300, n)})
    data["x"] = rng.normal(size=n)
    slopes = rng.normal(size=(2, 250))
    y = 1 + data["x"] * (0.5 + slopes[1][data["g"]]) + slopes[0][data["g"]] + rng.normal(size=n)
    return data.assign(y=y + rng.normal(size=1000)[k] + rng.normal(size=300)[data["h"]])


SPARSE = sparse_data()


@pytest.mark.parametrize(
    ("formula", "components"),
    [
        ("y ~ x + (1 | k) + (1 | h)", 2),
        ("y ~ x + (x | g) + (1 | k)", 250),
        ("y ~ x + (1 | k) + (1 | g) + (1 | h)", 1),
        ("y ~ x + (x | g) + (1 | k) + (1 | h)", 1),
    ],
)
def test_standard_errors_with_a_sparse_tail(formula: str, components: int) -> None:
    """Every variance and covariance of beta and b that rows ask for, against the dense inverse."""
    fit = hd.lmm(formula, SPARSE)
    assert not fit.is_singular
    cross = fit.optimum.at.cross
    assert sparse.issparse(cross.linked)
    assert sum(len(c.index) for c in cross.squares.pattern.classes) == components
    both = np.hstack([fit.design.X, fit.design.Z.toarray()])
    covariance = joint_covariance(fit)
    expected = np.einsum("ni,ij,nj->n", both, covariance, both, optimize=True)
    ours = fit.predict(interval="confidence", ddf="normal")
    np.testing.assert_allclose(ours["std_error"] ** 2, expected, rtol=1e-8)
    new = fit.predict(interval="prediction", ddf="normal")
    np.testing.assert_allclose(new["std_error"] ** 2, expected + fit.scale, rtol=1e-8)
    at = fit.design.p  # the effects of each factor alone
    for factor in fit.design.random:
        own = np.zeros(both.shape[1], dtype=bool)
        own[: fit.design.p] = True
        own[at : at + len(factor.levels) * factor.z.shape[1]] = True
        at += len(factor.levels) * factor.z.shape[1]
        some = both[:40] * own
        wanted = np.einsum("ni,ij,nj->n", some, covariance, some, optimize=True)
        term = factor.slots[0].term.text
        got = fit.predict(SPARSE.head(40), random=term, interval="confidence", ddf="normal")
        np.testing.assert_allclose(got["std_error"] ** 2, wanted, rtol=1e-8)


def test_some_terms_are_conditioned_on_and_the_others_vary_in_a_new_response() -> None:
    fit = fit_of("crossed")
    design, p = fit.design, fit.design.p
    z = design.Z.toarray()
    own = np.zeros(p + z.shape[1], dtype=bool)
    own[: p + 9 * 2] = True  # beta, and the effects of g
    both = np.hstack([design.X, z]) * own
    expected = np.einsum("ni,ij,nj->n", both, joint_covariance(fit), both)
    some = fit.predict(random="(x | g)", interval="confidence", ddf="normal")
    np.testing.assert_allclose(some["std_error"] ** 2, expected, rtol=1e-9)
    h = float(fit.varcorr()["h"].iloc[0, 0])
    new = fit.predict(random="(x | g)", interval="prediction", ddf="normal")
    np.testing.assert_allclose(new["std_error"] ** 2, expected + h + fit.scale, rtol=1e-9)


def test_population_predictions_are_contrasts_of_the_fixed_effects() -> None:
    fit = fit_of("three")
    rows = fit.predict(DATA.head(4), random="none", interval="confidence", level=0.9)
    for i, x in enumerate(fit.design.X[:4]):
        (contrast,) = fit.test(x).contrasts
        assert rows["std_error"].iloc[i] == pytest.approx(contrast.std_error, rel=1e-10)
        reach = special.stdtrit(contrast.df, 0.95) * contrast.std_error
        assert rows["upper"].iloc[i] - rows["predicted"].iloc[i] == pytest.approx(reach, rel=1e-6)


def test_unseen_levels_bring_their_prior_variance_to_new_responses_only() -> None:
    fit = fit_of("one")
    new = pd.DataFrame({"x": [1.5], "g": ["unseen"]})
    population = fit.predict(new, random="none", interval="confidence", ddf="normal")
    confidence = fit.predict(new, interval="confidence", ddf="normal")
    pd.testing.assert_frame_equal(confidence, population)
    z = np.array([1.0, 1.5])
    prior = z @ fit.varcorr()["g"].to_numpy() @ z
    prediction = fit.predict(new, interval="prediction", ddf="normal")
    expected = confidence["std_error"] ** 2 + prior + fit.scale
    assert prediction["std_error"].item() ** 2 == pytest.approx(expected.item(), rel=1e-12)


def test_population_intervals_need_no_groups_in_the_new_rows() -> None:
    fit = fit_of("crossed")
    new = pd.DataFrame({"x": [0.0, 2.0]})
    with_groups = new.assign(g="0", h="0")
    for kind in ("confidence", "prediction"):
        pd.testing.assert_frame_equal(
            fit.predict(new, random="none", interval=kind),
            fit.predict(with_groups, random="none", interval=kind),
        )


def test_only_the_columns_of_the_chosen_terms_are_needed() -> None:
    """Neither the groups nor the slopes of terms left out; a response to come has the slopes."""
    fit = hd.lmm("y ~ 1 + (x | g) + (1 | h) + (1 | h:k)", DATA)
    whole = DATA.head(12)
    for random, needed in (("(1 | h)", ["h"]), ("(1 | h:k)", ["h", "k"]), ("(x | g)", ["x", "g"])):
        pd.testing.assert_series_equal(
            fit.predict(whole[needed], random=random), fit.predict(whole, random=random)
        )
        for interval in ("confidence", "prediction"):
            table = (
                whole[needed] if interval == "confidence" else whole[["x", *set(needed) - {"x"}]]
            )
            pd.testing.assert_frame_equal(
                fit.predict(table, random=random, interval=interval),
                fit.predict(whole, random=random, interval=interval),
            )


def test_the_groups_of_a_chosen_term_are_needed() -> None:
    fit = hd.lmm("y ~ x + (1 | h) + (1 | h:k)", DATA)
    for interval in (None, "confidence", "prediction"):
        with pytest.raises(DataError, match="h"):
            fit.predict(DATA[["x", "k"]], random="(1 | h)", interval=interval)


def test_linear_model_has_the_classical_intervals() -> None:
    data = hd.load_dataset("classroom_scores")
    fit = hd.lm("score ~ edu", data)
    new = pd.DataFrame({"edu": [5.0, 20.0]})
    x = np.column_stack([np.ones(2), new["edu"]])
    variance = np.einsum("np,pq,nq->n", x, fit.cov_params().to_numpy(), x)
    t = special.stdtrit(fit.df_resid, 0.975)
    for kind, added in (("confidence", 0.0), ("prediction", fit.scale)):
        ours = fit.predict(new, interval=kind)
        reach = (ours["upper"] - ours["lower"]).to_numpy() / 2.0
        assert reach == pytest.approx(t * np.sqrt(variance + added), rel=1e-10)


def test_satterthwaite_df_of_a_new_response_lie_between_its_parts() -> None:
    """More than the fixed effects' (few levels), at most those of the residual variance."""
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", hd.load_dataset("sleepstudy"))
    from henderson.inference.prediction_intervals import _rows, _variance_and_df

    rows = _rows(fit, None, "all", fit.fittedvalues.to_numpy())
    _, df = _variance_and_df(fit, rows, "satterthwaite")
    assert (df > 100).all()
    assert (df < 180).all()


def test_singular_fits_are_no_exception() -> None:
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff2"))
    assert fit.is_singular
    ours = fit.predict(interval="confidence")
    assert ours["std_error"].to_numpy() == pytest.approx(np.full(30, fit.bse.iloc[0]), rel=1e-10)


def test_rows_with_missing_predictors_stay_missing() -> None:
    fit = fit_of("one")
    new = pd.DataFrame({"x": [1.0, np.nan], "g": ["0", "1"]}, index=["a", "b"])
    ours = fit.predict(new, interval="prediction")
    assert ours.loc["a"].notna().all()
    assert ours.loc["b"].isna().all()


def test_intervals_widen_with_the_level_and_for_new_responses() -> None:
    fit = fit_of("crossed")
    narrow, wide = (fit.predict(interval="confidence", level=v) for v in (0.5, 0.99))
    assert (wide["lower"] < narrow["lower"]).all()
    new = fit.predict(interval="prediction", level=0.5)
    assert (new["upper"] > narrow["upper"]).all()


def test_bad_requests_are_refused() -> None:
    fit = fit_of("one")
    with pytest.raises(DesignError, match="'confidence' or 'prediction'"):
        fit.predict(interval="credible")
    with pytest.raises(DesignError, match="Unknown method 'kenward-roger'"):
        fit.predict(interval="confidence", ddf="kenward-roger")
    with pytest.raises(DesignError, match="between 0 and 1"):
        fit.predict(interval="confidence", level=95)
    with pytest.raises(DesignError, match="not seen"):
        fit.predict({"x": [1.0], "g": ["zz"]}, interval="prediction", new_levels="error")


# ---- structured residuals


def test_standard_errors_with_correlated_residuals() -> None:
    """sigma^2 (m'C m + u'Du - u'D Z'V^-1Z D u) with dense matrices."""
    data = hd.load_dataset("orthodont").iloc[:-3]
    fit = hd.lmm("distance ~ age + (age | Subject)", data, correlation="ar1(1 | Subject)")
    x, z = fit.design.X, fit.design.Z.toarray()
    d = fit.scale * np.kron(np.eye(fit.n_groups["Subject"]), fit.optimum.sigmas[0])
    inverse = np.linalg.inv(fit.V().to_numpy())
    m = x - z @ d @ z.T @ inverse @ x
    inner = d - d @ z.T @ inverse @ z @ d
    expected = np.einsum("np,pq,nq->n", m, fit.cov_params().to_numpy(), m)
    expected += np.einsum("ni,ij,nj->n", z, inner, z)
    ours = fit.predict(interval="confidence", ddf="normal")
    np.testing.assert_allclose(ours["std_error"] ** 2, expected, rtol=1e-7)
    new = fit.predict(interval="prediction", ddf="normal")
    np.testing.assert_allclose(new["std_error"] ** 2, expected + fit.scale, rtol=1e-7)


def test_population_df_with_correlated_residuals_are_those_of_the_contrast() -> None:
    data = hd.load_dataset("orthodont").iloc[:-3]
    fit = hd.lm("distance ~ age * Sex", data, correlation="ar1(1 | Subject)")
    ours = fit.predict(interval="confidence").iloc[0]
    (contrast,) = fit.test(fit.design.X[0]).contrasts
    reach = special.stdtrit(contrast.df, 0.975) * contrast.std_error
    assert ours["upper"] - ours["predicted"] == pytest.approx(reach, rel=1e-6)
