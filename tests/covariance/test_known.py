"""`known(1 | id, K)`: against brute force, and what must not depend on how K is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest
from covariance.known_cases import (
    LEVELS,
    Relatives,
    genomic,
    numerator,
    numerator_inverse,
    pedigree,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import henderson as hd
from henderson.errors import DesignError, FitError
from henderson.fit import Fit

KIN = Relatives(genomic(24, 60) + 0.05 * np.eye(24))
OTHER = genomic(24, 40, seed=9) + 0.1 * np.eye(24)
ALONE, BESIDE = "y ~ x + known(1 | id, K)", "y ~ x + known(1 | id, K) + (1 | batch)"


def kin(formula: str = ALONE, matrix: Any = None, **options: Any) -> Fit:
    matrices = {"K": KIN.frame if matrix is None else matrix}
    return hd.lmm(formula, KIN.table, matrices=matrices, **options)


CASES = {
    ALONE: lambda: (KIN.block("1"),),
    BESIDE: lambda: (KIN.block("1"), KIN.batches()),
    "y ~ x + known(1 + x | id, K)": lambda: (KIN.block("1 + x"),),
    "y ~ x + known(1 + x | id, K) + (1 | batch)": lambda: (KIN.block("1 + x"), KIN.batches()),
    "y ~ x + known(1 | id, K) + (1 | id)": lambda: (
        KIN.block("1"),
        KIN.block("1", np.eye(24)),
    ),
    "y ~ x + known(1 | id, K) + known(1 | id, D)": lambda: (KIN.block("1"), KIN.block("1", OTHER)),
}


@cache
def fitted(formula: str, method: str) -> tuple[Fit, oracle.Solution]:
    matrices = {"K": KIN.frame}
    if "D)" in formula:
        matrices["D"] = pd.DataFrame(OTHER, LEVELS, LEVELS)
    fit = hd.lmm(formula, KIN.table, matrices=matrices, method=method)
    return fit, KIN.solution(fit, *CASES[formula]())


@pytest.mark.parametrize("formula", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_fit_is_that_of_dense_matrices(formula: str, method: str) -> None:
    fit, dense = fitted(formula, method)
    assert fit.converged
    np.testing.assert_allclose(fit.criterion, dense.criterion, rtol=1e-11)
    np.testing.assert_allclose(fit.params, dense.beta, rtol=1e-8)
    np.testing.assert_allclose(fit.cov_params(), dense.vcov, rtol=1e-8)
    np.testing.assert_allclose(fit.scale, dense.sigma2, rtol=1e-8)
    np.testing.assert_allclose(fit.fittedvalues, dense.fitted, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.V() / fit.scale, dense.V, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("formula", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_optimum_is_one_of_the_dense_criterion(formula: str, method: str) -> None:
    """The derivative along every variance is zero, or not negative where it is zero."""
    fit, dense = fitted(formula, method)
    for sigma, slope in zip(fit.optimum.sigmas, oracle.gradient(dense), strict=True):
        values = np.linalg.eigvalsh(slope)
        assert values[0] > -1e-4
        np.testing.assert_allclose(slope @ sigma, 0.0, atol=1e-4)


@pytest.mark.parametrize("formula", CASES)
def test_modes_and_their_covariances_are_the_levels_own(formula: str) -> None:
    fit, dense = fitted(formula, "REML")
    for t, (modes, given_beta, not_given) in enumerate(
        zip(dense.modes(), dense.condvar(), dense.prediction_error(), strict=True)
    ):
        levels = len(modes)
        np.testing.assert_allclose(fit.optimum.modes(t), modes, atol=1e-9)
        found = [list(fit.condvar(given_beta=g).values())[t][:levels] for g in (True, False)]
        np.testing.assert_allclose(found[0], given_beta, atol=1e-9)
        np.testing.assert_allclose(found[1], not_given, atol=1e-9)


@pytest.mark.parametrize("formula", [ALONE, BESIDE])
def test_degrees_of_freedom_are_those_of_dense_matrices(formula: str) -> None:
    fit, dense = fitted(formula, "REML")
    df = [oracle.satterthwaite_df(dense, c) for c in np.eye(2)]
    np.testing.assert_allclose(fit.df, df, rtol=1e-6)


def test_weights_and_correlated_residuals() -> None:
    w = KIN.table["w"].to_numpy()
    fit = kin(weights="w")
    dense = KIN.solution(fit, KIN.block("1"), weights=w)
    np.testing.assert_allclose(fit.criterion, dense.criterion, rtol=1e-10)
    np.testing.assert_allclose(oracle.directional_gradient(dense), 0.0, atol=1e-5)
    fit = kin(correlation="cs(1 | batch)")
    rho = fit.structures()["cs(1 | batch)"]["rho"]
    same = np.equal.outer(*[KIN.table["batch"].to_numpy()] * 2)
    c = np.where(np.eye(KIN.n, dtype=bool), 1.0, rho * same)
    dense = KIN.solution(fit, KIN.block("1"), correlation=c)
    np.testing.assert_allclose(fit.criterion, dense.criterion, rtol=1e-10)
    np.testing.assert_allclose(oracle.directional_gradient(dense), 0.0, atol=1e-4)
    np.testing.assert_allclose(fit.condvar()["id"][:20], dense.condvar()[0], atol=1e-9)


# ---- K that says what an ordinary term says


VERBS: dict[str, Callable[[Fit], Any]] = {
    "criterion": lambda f: f.criterion,
    "ranef": lambda f: f.ranef()["id"],
    "condvar": lambda f: f.condvar()["id"],
    "kenward-roger": lambda f: f.degrees_of_freedom("kenward-roger"),
    "anova": lambda f: f.anova().to_frame().select_dtypes("number"),
    "profile": lambda f: f.confint(method="profile").to_numpy(),
    "bootstrap": lambda f: f.bootstrap(nsim=5, seed=1).confint().to_numpy(),
    "simulate": lambda f: f.simulate(3, seed=1),
    "conditional": lambda f: f.simulate(3, seed=1, random="conditional"),
    "caic": lambda f: f.caic().value,
    "exact": lambda f: f.exact_rlrt(100, seed=1).p_value,
    "studentised": lambda f: f.residuals("studentised"),
    "marginal": lambda f: f.residuals("studentised-marginal"),
    "whitened": lambda f: f.residuals("whitened"),
    "quantile": lambda f: f.residuals("quantile", seed=1),
    "influence": lambda f: f.influence().to_frame().to_numpy(float),
    "rows": lambda f: f.influence("row").to_frame().to_numpy(float),
    "refitted": lambda f: f.influence("batch", refit=True).to_frame().to_numpy(float),
    "confidence": lambda f: f.predict(interval="confidence"),
    "prediction": lambda f: f.predict(KIN.table.head(9), "none", interval="prediction"),
    "ranova": lambda f: f.ranova().to_frame().select_dtypes("number"),
}


@cache
def identity() -> tuple[Fit, Fit]:
    formula = "y ~ x + batch + {} "
    known = kin(formula.format("known(1 | id, K)"), np.eye(20))
    return known, hd.lmm(formula.format("(1 | id)"), KIN.table)


@pytest.mark.parametrize("verb", VERBS)
def test_without_covariances_it_is_a_random_intercept(verb: str) -> None:
    known, plain = identity()
    np.testing.assert_allclose(
        np.asarray(VERBS[verb](known), float),
        np.asarray(VERBS[verb](plain), float),
        rtol=1e-6,
        atol=1e-7,
    )


def test_levels_that_are_one_are_a_coarser_grouping() -> None:
    """K of ones within families, of rank 6, is a random intercept by family."""
    family = np.arange(24) % 6
    k = pd.DataFrame(np.equal.outer(family, family).astype(float), LEVELS, LEVELS)
    fit = kin(matrix=k)
    coarse = hd.lmm("y ~ x + (1 | family)", KIN.table.assign(family=family[KIN.codes]))
    np.testing.assert_allclose(fit.criterion, coarse.criterion, rtol=1e-10)
    np.testing.assert_allclose(fit.df, coarse.df, rtol=1e-5)
    own = coarse.ranef()["family"]["Intercept"].to_numpy()
    np.testing.assert_allclose(fit.ranef()["id"]["Intercept"], own[family], atol=1e-5)


def test_markers_fewer_than_levels_are_a_regression_on_them() -> None:
    """K = MM' is y = X beta + Z M a + e with independent a: V and the fit are the same."""
    m = np.random.default_rng(2).normal(size=(24, 7))
    fit = kin(matrix=pd.DataFrame(m @ m.T, LEVELS, LEVELS))
    z = m[KIN.codes]
    dense = oracle.solve(
        oracle.Problem(KIN.table["y"].to_numpy(), KIN.with_x, (oracle.block(KIN.codes * 0, z),)),
        [fit.optimum.sigmas[0][0, 0] * np.eye(7)],
    )
    np.testing.assert_allclose(fit.criterion, dense.criterion, rtol=1e-10)
    np.testing.assert_allclose(np.trace(oracle.gradient(dense)[0]), 0.0, atol=1e-4)
    np.testing.assert_allclose(
        fit.ranef()["id"]["Intercept"], m @ dense.modes()[0].ravel(), atol=1e-8
    )


# ---- how K is given


def test_an_inverse_says_the_same() -> None:
    inverse = np.linalg.inv(KIN.k)
    first = kin()
    for given_as in (inverse, sparse.csr_array(inverse), pd.DataFrame(inverse, LEVELS, LEVELS)):
        levels = None if isinstance(given_as, pd.DataFrame) else LEVELS
        other = kin(matrix=hd.Relationship(given_as, levels, inverse=True))
        np.testing.assert_allclose(other.criterion, first.criterion, rtol=1e-11)
        np.testing.assert_allclose(other.ranef()["id"], first.ranef()["id"], atol=1e-9)
        np.testing.assert_allclose(other.condvar()["id"], first.condvar()["id"], atol=1e-9)


def test_a_sparse_matrix_says_the_same() -> None:
    other = kin(matrix=hd.Relationship(sparse.coo_array(KIN.k), list(LEVELS)))
    assert other.criterion == kin().criterion


@settings(max_examples=8)
@given(st.permutations(range(24)), st.permutations(range(24)), st.floats(0.01, 100.0))
def test_order_and_scale_of_the_matrix(rows: list[int], columns: list[int], c: float) -> None:
    first = kin()
    other = kin(matrix=c * KIN.frame.iloc[rows, columns])
    np.testing.assert_allclose(other.criterion, first.criterion, rtol=1e-10)
    np.testing.assert_allclose(c * other.D(), first.D(), rtol=1e-6)
    pd.testing.assert_frame_equal(other.ranef()["id"], first.ranef()["id"], atol=1e-7)


def test_numbers_as_levels_match_their_labels() -> None:
    table = KIN.table.assign(id=KIN.codes + 1)
    numbered = pd.DataFrame(KIN.k, np.arange(1, 25), [str(i) for i in range(1, 25)])
    fit = hd.lmm(ALONE, table, matrices={"K": numbered})
    np.testing.assert_allclose(fit.criterion, kin().criterion, rtol=1e-11)
    assert list(fit.ranef()["id"].index) == list(range(1, 25))


# ---- levels without rows


def test_levels_without_rows_leave_the_likelihood_alone() -> None:
    np.testing.assert_allclose(
        kin().criterion, kin(matrix=KIN.frame.iloc[:20, :20]).criterion, rtol=1e-11
    )


def test_levels_without_rows_are_predicted_from_the_others() -> None:
    """As from a model with Z of 24 columns, four of which are zero."""
    fit = kin()
    whole = Relatives(KIN.k, observed=20)
    block = whole.block("1")
    dense = whole.solution(fit, type(block)(block.codes, block.z, 24, KIN.k))
    found = fit.ranef()["id"]
    assert list(found.index) == list(LEVELS)
    np.testing.assert_allclose(found["Intercept"], dense.modes()[0].ravel(), atol=1e-9)
    np.testing.assert_allclose(fit.condvar()["id"], dense.condvar()[0], atol=1e-9)
    new = pd.DataFrame({"id": LEVELS[[22, 3]], "x": [0.5, 2.0]})
    x = np.column_stack([np.ones(2), new["x"]])
    np.testing.assert_allclose(
        fit.predict(new), x @ dense.beta + dense.modes()[0][[22, 3], 0], atol=1e-9
    )


@pytest.mark.parametrize("interval", ["confidence", "prediction"])
@pytest.mark.parametrize("formula", [ALONE, BESIDE])
def test_intervals_are_those_of_dense_matrices(formula: str, interval: str) -> None:
    fit, dense = fitted(formula, "REML")
    new = pd.DataFrame({"id": LEVELS[[22, 3, 0]], "x": [0.5, 2.0, 0.0], "batch": [1, 1, 5]})
    at, batch = [22, 3, 0], np.array([1, 1, 5])
    sigma = [s[0, 0] for s in fit.optimum.sigmas]
    c = sigma[0] * KIN.k[np.ix_(at, KIN.codes)]
    prior = sigma[0] * KIN.k[at, at]
    if formula == BESIDE:
        c = c + sigma[1] * np.equal.outer(batch, KIN.table["batch"].to_numpy())
        prior = prior + sigma[1]
    m = np.column_stack([np.ones(3), new["x"]]) - c @ dense.Vinv @ KIN.with_x
    variance = (
        prior
        - np.einsum("rn,nm,rm->r", c, dense.Vinv, c)
        + np.einsum("rp,pq,rq->r", m, dense.C, m)
        + (interval == "prediction")
    )
    found = fit.predict(new, interval=interval)
    np.testing.assert_allclose(found["std_error"] ** 2, dense.sigma2 * variance, rtol=1e-7)
    np.testing.assert_allclose(found["predicted"], fit.predict(new), rtol=1e-12)
    assert (found["lower"] < found["predicted"]).all()


def test_a_level_that_is_not_in_the_matrix_is_new() -> None:
    new = pd.DataFrame({"id": ["nobody"], "x": [1.0]})
    fit = kin()
    np.testing.assert_allclose(fit.predict(new), [fit.params.sum()])
    with pytest.raises(DesignError, match="1 rows have levels of id"):
        fit.predict(new, new_levels="error")


# ---- a pedigree


def test_a_pedigree_and_its_inverse() -> None:
    parents = pedigree(8, 16)
    a, inverse = numerator(parents), numerator_inverse(parents)
    np.testing.assert_allclose(a @ inverse, np.eye(24), atol=1e-10)
    herd = Relatives(a)
    fits = [
        hd.lmm(ALONE, herd.table, matrices={"K": matrix})
        for matrix in (
            hd.Relationship(a, LEVELS),
            hd.Relationship(sparse.csc_array(inverse), LEVELS, inverse=True),
        )
    ]
    dense = herd.solution(fits[0], herd.block("1"))
    np.testing.assert_allclose(oracle.directional_gradient(dense), 0.0, atol=1e-5)
    for fit in fits:
        np.testing.assert_allclose(fit.criterion, dense.criterion, rtol=1e-10)
    np.testing.assert_allclose(*[fit.ranef()["id"] for fit in fits], atol=1e-8)
    # An offspring without rows is expected to be the mean of its parents (its Mendelian sampling
    # is not observed), where it has no descendants with rows.
    modes = fits[0].ranef()["id"]["Intercept"].to_numpy()
    childless = 23
    np.testing.assert_allclose(modes[childless], modes[list(parents[childless])].mean(), atol=1e-8)


# ---- draws


def test_simulated_responses_have_the_models_covariance() -> None:
    fit = kin(BESIDE)
    draws = fit.simulate(20_000, seed=1).to_numpy()
    np.testing.assert_allclose(np.cov(draws), fit.V(), atol=6.0 * fit.V().to_numpy().max() / 140.0)
    fresh = hd.simulate(
        "~ x + known(1 | id, K)", KIN.table, params=[0.0, 0.0], sd=1.0, sigma=1e-3, nsim=20_000,
        seed=2, matrices={"K": KIN.frame},
    ).to_numpy()  # fmt: skip
    own = KIN.k[np.ix_(KIN.codes, KIN.codes)]
    np.testing.assert_allclose(np.cov(fresh), own, atol=6.0 * own.max() / 140.0)


def test_many_responses_are_as_many_fits() -> None:
    y = KIN.table[["y", "w"]].to_numpy()
    many = hd.lmm_many("~ x + known(1 | id, K)", KIN.table, y, matrices={"K": KIN.frame})
    one = hd.lmm("w ~ x + known(1 | id, K)", KIN.table, matrices={"K": KIN.frame})
    np.testing.assert_allclose(many.estimate, [kin().params, one.params], rtol=1e-6, atol=1e-9)


# ---- what cannot be


def test_levels_that_are_not_exchangeable_are_not_resampled() -> None:
    with pytest.raises(FitError, match=r"not exchangeable.*parametric"):
        kin().bootstrap(nsim=5, seed=1, kind="residual")
    with pytest.raises(DesignError, match=r"'id' have a known covariance.*no clusters"):
        kin().bootstrap(nsim=5, seed=1, kind="case")


def test_the_iterative_engine_is_refused() -> None:
    with pytest.raises(FitError, match="independent levels only"):
        kin(BESIDE, engine="iterative")


def test_models_with_and_without_covariances_are_not_nested() -> None:
    plain = hd.lmm("y ~ x + (1 | id) + (1 | batch)", KIN.table)
    with pytest.raises(DesignError, match=r"known\(1 \| id, K\) is no special case"):
        hd.anova(kin(), plain)
    assert hd.anova(kin(), kin(BESIDE)) is not None


def test_it_is_called_as_it_is_written() -> None:
    fit = kin()
    assert fit.structures() == {"known(1 | id, K)": {"sd": float(fit.D().iloc[0, 0] ** 0.5)}}
    assert "known(1 | id, K): sd" in str(fit.summary())
    both = fitted("y ~ x + known(1 | id, K) + (1 | id)", "REML")[0]
    assert list(both.n_groups) == ["id (K)", "id"]


def test_likelihood_ratios_know_what_is_nested() -> None:
    """One variance more: half of chi2_1's tail; a covariance given by another matrix is no part."""
    table = hd.anova(kin(), kin(BESIDE)).to_frame()
    np.testing.assert_allclose(table["p_boundary"][1], table["p_value"][1] / 2.0, rtol=1e-6)
    table = kin(BESIDE).ranova().to_frame()
    np.testing.assert_allclose(table["p_boundary"][1:], table["p_value"][1:] / 2.0, rtol=1e-6)
    several = kin("y ~ x + known(1 + x | id, K)")
    assert hd.anova(kin(), several).to_frame()["df"][1] == 2.0
    with pytest.raises(DesignError, match="no special case"):
        hd.anova(kin(matrix=pd.DataFrame(OTHER, LEVELS, LEVELS)), kin(BESIDE))


def test_shares_of_variance_mind_the_diagonal_of_the_matrix() -> None:
    """The mean over rows of V's diagonal, from the rows' own levels."""
    fit = kin("y ~ x + known(1 + x | id, K)")
    shares = fit.icc().variances
    total = shares.by_groups + shares.residual
    np.testing.assert_allclose(total, np.diag(fit.V()).mean(), rtol=1e-10)


def test_several_effects_of_a_known_covariance_alone_have_no_conditional_aic() -> None:
    with pytest.raises((FitError, DesignError), match="several effects by level of a known"):
        kin("y ~ x + known(1 + x | id, K)").caic()


def test_equations_have_the_matrix() -> None:
    written = kin(BESIDE).equation()
    assert "u ~ N(0, s2_u K)" in written.symbols
    assert r"\boldsymbol{u} &\sim N(\mathbf{0},\, \sigma^2_{u}\,\mathbf{K})" in written.latex
    assert written.r_formula == (
        "relmatLmer(y ~ x + (1 | id) + (1 | batch), data, REML = TRUE, relmat = list(id = K))"
    )
    both = fitted("y ~ x + known(1 | id, K) + (1 | id)", "REML")[0]
    assert "one matrix for each column" in both.equation().r_formula


def test_large_sets_of_rows_are_left_out_of_the_cross_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = kin().influence("id").to_frame()
    monkeypatch.setattr("henderson.diagnostics.deletion.MOST_ROWS", 0)
    found = kin().influence("id").to_frame()
    np.testing.assert_allclose(
        found.select_dtypes("number"), wanted.select_dtypes("number"), rtol=1e-6, atol=1e-8
    )


def test_sizes_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("henderson.engine.optimise.MOST_ROWS", 50)
    with pytest.raises(FitError, match="needs dense matrices of all rows, and 70"):
        kin("y ~ x + known(1 + x | id, K)")
    monkeypatch.setattr("henderson.engine.crossproducts.MOST_ENTRIES", 100)
    with pytest.raises(FitError, match="every random effect meets every other"):
        kin(BESIDE)


@pytest.mark.parametrize("picture", ["caterpillar", "shrinkage", "random_qq", "pooling"])
def test_pictures_of_modes_with_levels_without_rows(picture: str) -> None:
    assert getattr(kin().plot, picture)() is not None


def test_the_report_has_levels_without_rows(tmp_path: Path) -> None:
    page = tmp_path / "fit.html"
    kin().report(page)
    assert LEVELS[-1] in page.read_text(encoding="utf-8")


def test_rows_that_leave_no_residual_are_refused_in_words_of_the_levels() -> None:
    """Identical twins that always agree: all variance is the levels'."""
    k = np.kron(np.eye(6), np.ones((2, 2))) + 1e-6 * np.eye(12)
    u = np.repeat(np.random.default_rng(1).normal(size=6), 2)
    data = pd.DataFrame({"y": u + 1e-4 * np.resize([1.0, -1.0], 12), "id": np.arange(12)})
    with pytest.raises(FitError, match=r"one row a level of 'id'.*known\(1 \| id, K\).*repeated"):
        hd.lmm("y ~ 1 + known(1 | id, K)", data, matrices={"K": k})


def test_levels_without_rows_have_no_matrices_to_show() -> None:
    with pytest.raises(DesignError, match=rf"'{LEVELS[22]}' is a level of 'id' without rows"):
        kin().V(LEVELS[22])


def test_bca_intervals_say_what_to_take_instead() -> None:
    with pytest.raises(DesignError, match="other intervals than bca"):
        kin().bootstrap(nsim=5, seed=1).confint(method="bca")
    with pytest.raises(FitError, match=r"levels correlated.*percentile"):
        kin("y ~ x + known(1 + x | id, K)").bootstrap(nsim=3, seed=1).confint(method="bca")


def test_structures_with_and_without_a_matrix_are_compared() -> None:
    found = hd.compare_structures(
        "y ~ x", KIN.table, ["independent", {"random": "(1 | id)"},
        {"random": "known(1 | id, K)"}], matrices={"K": KIN.frame},
    )  # fmt: skip
    assert set(found.fits) == {"independent", "(1 | id)", "known(1 | id, K)"}
    assert found.fits["known(1 | id, K)"].llf == kin().llf


def test_the_equations_in_the_picture_have_the_relationships_in_them() -> None:
    """Lambda Lambda' of the picture's scaling is K (x) Sigma: L L' = Lambda'Z'Z Lambda + I."""
    from henderson.plots.blocks import blocks

    fit = kin()
    found = blocks(fit, slice(0, 8))
    v = found.v / fit.scale
    q = found.n_random
    x = fit.design.X[found.rows]
    a = found.l @ found.l.T
    schur = a[q:, q:] - a[q:, :q] @ np.linalg.solve(a[:q, :q], a[:q, q:])
    np.testing.assert_allclose(schur, x.T @ np.linalg.solve(v, x), rtol=1e-8)
