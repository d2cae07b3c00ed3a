"""Cluster-robust covariances: clubSandwich's numbers, and the definitions written densely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import sqrtm

import henderson as hd
from henderson.errors import DesignError

KINDS = ("CR0", "CR1", "CR2", "CR3")


@pytest.fixture(scope="module")
def sleep() -> Any:
    return hd.lmm("Reaction ~ Days + (1 | Subject)", hd.load_dataset("sleepstudy"))


def nested_data(seed: int = 3) -> pd.DataFrame:
    """Schools of unequal size, classes within, a slope by school, two levels of treatment."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(8), rng.integers(4, 15, 8))
    n = len(school)
    klass = school * 3 + rng.integers(0, 3, n)
    x = rng.normal(size=n)
    y = 2 + x + rng.normal(size=8)[school] * (1 + x) + rng.normal(size=24)[klass]
    data = {"y": y + rng.normal(size=n), "x": x, "w": rng.gamma(4.0, size=n)}
    data |= {"school": school.astype(str), "klass": klass.astype(str)}
    data |= {"treated": (school % 2).astype(float)}
    return pd.DataFrame(data)


# ---- against clubSandwich 0.5.8, `coef_test(lmer fit, test = "Satterthwaite")`


@pytest.mark.parametrize(
    ("kind", "errors"),
    [
        ("CR0", [6.63227680702, 1.50223678231]),
        ("CR1", [6.82455653207, 1.54578889629]),
        ("CR2", [6.82455653207, 1.54578889629]),
        ("CR3", [7.02241073685, 1.59060365186]),
    ],
)
def test_balanced_design_agrees_with_clubsandwich(sleep: Any, kind: Any, errors: list) -> None:
    robust = sleep.cov_robust(kind)
    assert robust.std_error.to_numpy() == pytest.approx(errors, rel=1e-7)
    assert robust.df.to_numpy() == pytest.approx([17.0, 17.0], rel=1e-9)


def test_unbalanced_design_agrees_with_clubsandwich() -> None:
    """Female is the reference level in R's alphabetical order, so it is here."""
    data = hd.load_dataset("rat_pup")
    data = data.assign(
        sex=pd.Categorical(data["sex"], ["Female", "Male"]),
        treatment=pd.Categorical(data["treatment"], ["Control", "High", "Low"]),
    )
    fit = hd.lmm("weight ~ sex + treatment + sex:treatment + (1 | litter)", data)
    robust = fit.cov_robust("CR2")
    assert robust.std_error.to_numpy() == pytest.approx(
        [0.165598750115, 0.109755196666, 0.303198533127,
         0.225459029585, 0.113502253625, 0.128537748332], rel=1e-6,
    )  # fmt: skip
    assert robust.df.to_numpy() == pytest.approx(
        [8.98216916411, 8.10769574819, 12.92636209771,
         17.95943572879, 9.92196952492, 15.77971160713], rel=1e-5,
    )  # fmt: skip


# ---- against the definitions


def dense(fit: Any, kind: str, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (p, p) and df (p,) with n x n matrices; rows times the root of their weights."""
    root = np.ones(fit.nobs) if fit.design.weights is None else np.sqrt(fit.design.weights)
    x = fit.design.X * root[:, None]
    e = (fit.design.y - fit.design.X @ fit.params.to_numpy()) * root
    v = root[:, None] * fit.V().to_numpy() * root
    inverse = np.linalg.inv(v)
    c = np.linalg.inv(x.T @ inverse @ x)
    hat = np.eye(len(x)) - x @ c @ x.T @ inverse
    members = [np.flatnonzero(codes == k) for k in np.unique(codes)]
    weights = []
    for own in members:
        a = adjustment(kind, v[np.ix_(own, own)], x[own], c, hat[np.ix_(own, own)])
        full = np.zeros((len(x), x.shape[1]))
        full[own] = a.T @ inverse[np.ix_(own, own)] @ x[own] @ c
        weights.append(full)
    scores = np.array([w.T @ e for w in weights])
    g = len(members)
    cov = scores.T @ scores * (g / (g - 1) if kind == "CR1" else 1.0)
    middle = hat @ v @ hat.T
    df = []
    for k in range(x.shape[1]):
        vectors = np.array([w[:, k] for w in weights])
        omega = vectors @ middle @ vectors.T
        df.append(np.trace(omega) ** 2 / np.sum(omega**2))
    return cov, np.array(df)


def adjustment(
    kind: str, v: np.ndarray, x: np.ndarray, c: np.ndarray, hat: np.ndarray
) -> np.ndarray:
    if kind == "CR3":
        return np.linalg.inv(hat)
    if kind != "CR2":
        return np.eye(len(v))
    upper = np.linalg.cholesky(v).T
    middle = upper @ (v - x @ c @ x.T) @ upper.T
    return upper.T @ np.linalg.inv(np.real(sqrtm(middle))) @ upper


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("formula", "keywords"),
    [
        ("y ~ x + treated + (1 | school)", {}),
        ("y ~ x + treated + (x | school)", {}),
        ("y ~ x + treated + (x | school) + (1 | klass)", {}),
        ("y ~ x + treated + (1 | school) + (1 | klass)", {"weights": "w"}),
    ],
)
def test_agrees_with_the_dense_definition(formula: str, keywords: Any, kind: Any) -> None:
    data = nested_data()
    fit = hd.lmm(formula, data, **keywords)
    robust = fit.cov_robust(kind)
    cov, df = dense(fit, kind, data["school"].to_numpy())
    np.testing.assert_allclose(robust.cov, cov, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(robust.df, df, rtol=1e-7)
    assert robust.n_clusters == 8


def test_larger_clusters_are_given_by_values() -> None:
    data = nested_data()
    fit = hd.lmm("y ~ x + (1 | klass)", data)
    with pytest.raises(DesignError, match="'school' is neither a grouping factor nor a column"):
        fit.cov_robust(cluster="school")
    by_values = fit.cov_robust("CR2", cluster=data["school"])
    cov, df = dense(fit, "CR2", data["school"].to_numpy())
    np.testing.assert_allclose(by_values.cov, cov, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(by_values.df, df, rtol=1e-7)
    assert by_values.n_clusters == 8


def test_linear_model_with_clusters() -> None:
    data = nested_data()
    fit = hd.lm("y ~ x + treated", data)
    robust = fit.cov_robust("CR2", cluster=data["school"])
    cov, df = dense(fit, "CR2", data["school"].to_numpy())
    np.testing.assert_allclose(robust.cov, cov, rtol=1e-7)
    np.testing.assert_allclose(robust.df, df, rtol=1e-7)


def test_cr2_is_unbiased_where_the_working_covariance_holds() -> None:
    """With A_c symmetric, sum_c of W_c'Cov(e_c)W_c is X'V^-1X: the expected covariance is C."""
    from henderson.inference.clusters import independent_clusters
    from henderson.inference.robust import symmetric

    fit = hd.lmm("y ~ x + treated + (x | school)", nested_data())
    adjusted = symmetric(fit, independent_clusters(fit))
    c = fit.optimum.factorisation.c
    links = adjusted.links
    expected = (adjusted.spreads - links.swapaxes(1, 2) @ c @ links).sum(axis=0)
    np.testing.assert_allclose(c @ expected @ c, c, rtol=1e-9, atol=1e-14)


def test_a_coefficient_that_one_cluster_alone_tells_of_is_left_to_the_others() -> None:
    """School 0 has a mean of its own: its residuals sum to nothing, and nothing blows up."""
    data = nested_data()
    data["alone"] = (data["school"] == "0").astype(float)
    fit = hd.lmm("y ~ x + alone + (1 | school)", data)
    for kind in KINDS:
        assert np.isfinite(fit.cov_robust(kind).cov.to_numpy()).all()


def test_order_of_rows_does_not_matter() -> None:
    data = nested_data()
    formula = "y ~ x + treated + (x | school) + (1 | klass)"
    ours = hd.lmm(formula, data).cov_robust("CR2")
    other = hd.lmm(formula, data.sample(frac=1.0, random_state=1)).cov_robust("CR2")
    np.testing.assert_allclose(ours.cov, other.cov, rtol=1e-5, atol=1e-9)


def test_frame_holds_tests_and_intervals(sleep: Any) -> None:
    table = sleep.cov_robust().to_frame(level=0.9)
    assert list(table.columns) == [
        "estimate", "std_error", "df", "statistic", "p_value", "lower", "upper",
    ]  # fmt: skip
    assert (table["lower"] < table["estimate"]).all()
    assert table["statistic"].to_numpy() == pytest.approx(
        (table["estimate"] / table["std_error"]).to_numpy()
    )
    assert "17" in str(sleep.cov_robust())


# ---- refusals


def test_crossed_factors_have_no_independent_clusters() -> None:
    fit = hd.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin"))
    with pytest.raises(DesignError, match="crossed"):
        fit.cov_robust()
    with pytest.raises(DesignError, match=r"Level .* of 'sample' has rows in several clusters"):
        fit.cov_robust(cluster="plate")


def test_bad_clusters_are_refused(sleep: Any) -> None:
    with pytest.raises(DesignError, match="has rows in several clusters"):
        sleep.cov_robust(cluster=np.arange(180))
    with pytest.raises(DesignError, match="one label a row"):
        sleep.cov_robust(cluster=[1, 2, 3])
    with pytest.raises(DesignError, match="one cluster only"):
        sleep.cov_robust(cluster=np.zeros(180))
    with pytest.raises(DesignError, match="Unknown kind 'CR9'"):
        sleep.cov_robust("CR9")


# ---- structured residuals


@pytest.mark.parametrize("kind", KINDS)
def test_structured_residuals_are_part_of_the_working_covariance(kind: Any) -> None:
    data = hd.load_dataset("orthodont")
    fits = (
        hd.lmm("distance ~ age * Sex + (1 | Subject)", data, variance="ident(Sex)"),
        hd.lm("distance ~ age * Sex", data.iloc[:-3], correlation="ar1(1 | Subject)"),
    )
    for fit in fits:
        codes = data["Subject"].to_numpy()[: fit.nobs]
        robust = fit.cov_robust(kind)
        cov, df = dense(fit, kind, codes)
        np.testing.assert_allclose(robust.cov, cov, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(robust.df, df, rtol=1e-7)


def test_clusters_must_hold_correlated_residuals_together() -> None:
    data = hd.load_dataset("orthodont")
    fit = hd.lm("distance ~ age", data, correlation="ar1(1 | Subject)")
    with pytest.raises(DesignError, match="correlated residuals"):
        fit.cov_robust(cluster=np.arange(len(data)) % 5)
