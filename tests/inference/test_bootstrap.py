"""The bootstrap: reproducible, unbiased where theory says so, and each kind what it claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

import henderson as hd
from henderson.engine.many import natural_values
from henderson.errors import DesignError, FitError
from henderson.inference.bootstrap_intervals import interval
from henderson.inference.refits import components, shared_of
from henderson.inference.resampling import case_process, residual_process


@pytest.fixture(scope="module")
def sleep() -> Any:
    return hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def crossed() -> Any:
    return hd.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin"))


@pytest.fixture(scope="module")
def parametric(sleep: Any) -> Any:
    return sleep.bootstrap(1200, seed=1)


# ---- reproducible


def test_threads_change_nothing(sleep: Any, parametric: Any) -> None:
    again = sleep.bootstrap(1200, seed=1, workers=2)
    pd.testing.assert_frame_equal(parametric.to_frame(), again.to_frame(), rtol=0, atol=0)


def test_processes_change_nothing(crossed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("henderson.inference.bootstrap.BLOCK_MOST", 3)
    alone = crossed.bootstrap(6, seed=4)
    together = crossed.bootstrap(6, seed=4, workers=2)
    pd.testing.assert_frame_equal(alone.to_frame(), together.to_frame(), rtol=1e-9)


def test_another_seed_is_another_bootstrap(sleep: Any) -> None:
    one, two = (sleep.bootstrap(5, seed=s).fixed for s in (1, 2))
    assert not np.allclose(one, two)


def test_a_generator_may_be_the_seed(sleep: Any) -> None:
    one, two = (sleep.bootstrap(5, seed=np.random.default_rng(3)).fixed for _ in range(2))
    np.testing.assert_array_equal(one, two)


# ---- what a replicate is


def test_replicates_are_refits_of_drawn_responses(sleep: Any) -> None:
    from henderson.simulation import process_of

    seed = np.random.SeedSequence(9).spawn(1)[0]
    y = process_of(sleep).draw(np.random.default_rng(seed), 3)
    frame = sleep.bootstrap(3, seed=9).to_frame()
    for i in range(3):
        fit = sleep.refit(y[:, i])
        row = frame.iloc[i]
        assert row["Days"] == pytest.approx(fit.params["Days"], rel=1e-6)
        assert row["sigma"] == pytest.approx(fit.sigma, rel=1e-5)
        cor = fit.varcorr().cor["Subject"].iloc[0, 1]
        assert row["cor_Days.Intercept|Subject"] == pytest.approx(cor, abs=1e-4)
        assert row["sd_Days|Subject"] == pytest.approx(
            fit.varcorr().sd["Subject"]["Days"], rel=1e-4
        )


def test_components_are_those_of_the_fit(sleep: Any) -> None:
    shared = shared_of(sleep)
    sigmas = tuple(s[None] for s in sleep.optimum.sigmas)
    own = components(shared, sigmas, np.array([sleep.scale]), np.zeros((1, 0)))
    assert own.theta_names == tuple(sleep.theta.index)
    np.testing.assert_allclose(own.theta[0], sleep.theta, rtol=1e-10)
    assert own.sd[0] == pytest.approx(sleep.varcorr().sd["Subject"].to_numpy(), rel=1e-12)
    assert not own.singular[0]


STRUCTURED = (
    "ar1(0 + C(Days) | Subject)",
    "hcs(Days | Subject)",
    "us(Days | Subject, by=half)",
    "ar1(0 + C(Days) | Subject, by=half)",
)


@pytest.fixture(scope="module")
def halves() -> Any:
    data = hd.load_dataset("sleepstudy")
    return data.assign(half=(data["Subject"].astype(int) > 340).map({True: "b", False: "a"}))


@pytest.mark.parametrize("kind", ["parametric", "case"])
@pytest.mark.parametrize("term", STRUCTURED)
def test_a_structured_term_is_told_by_its_own_parameters(halves: Any, term: str, kind: str) -> None:
    """Of ten correlated effects the standard deviation and rho, not 45 correlations."""
    fit = hd.lmm(f"Reaction ~ Days + {term}", halves)
    (values,) = fit.structures().values()
    names = [f"{name}|{term}" for name in values]
    found = fit.bootstrap(2, seed=3, kind=kind)
    assert list(found.confint().index) == [*names, "sigma", "Intercept", "Days"]
    assert found.estimate[names].to_numpy() == pytest.approx(list(values.values()), rel=1e-12)
    assert found.components.theta_names == tuple(fit.theta.index)
    assert np.isfinite(found.components.natural).all()


def test_structured_replicates_are_refits_too(halves: Any) -> None:
    from henderson.simulation import process_of

    fit = hd.lmm("Reaction ~ Days + (1 | half) + ar1(0 + C(Days) | Subject)", halves)
    y = process_of(fit).draw(np.random.default_rng(np.random.SeedSequence(9).spawn(1)[0]), 2)
    frame = fit.bootstrap(2, seed=9).to_frame()
    many = hd.lmm_many("Reaction ~ Days + (1 | half) + ar1(0 + C(Days) | Subject)", halves, y)
    for i in range(2):
        again = fit.refit(y[:, i])
        ((term, values),) = again.structures().items()
        for k, (name, value) in enumerate(values.items()):
            assert frame[f"{name}|{term}"][i] == pytest.approx(value, rel=1e-4)
            assert many.components.natural[i, k] == pytest.approx(value, rel=1e-4)
        sd = again.varcorr().sd["half"].iloc[0]
        assert frame["sd_Intercept|half"][i] == pytest.approx(sd, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("term", ["ar1(0 + C(t) | g)", "cs(0 + C(t) | g)"])
def test_without_variance_there_is_no_correlation_to_tell(term: str) -> None:
    """Two responses in each cell, the one the other's negative: the cells' means do not vary."""
    half = np.random.default_rng(2).normal(size=120)
    data = {"t": np.tile(np.arange(6), 40), "g": np.tile(np.repeat(np.arange(20), 6), 2)}
    fit = hd.lmm(f"y ~ 1 + {term}", {"y": np.concatenate([half, -half]), **data})
    sd, *rho = natural_values(fit.optimum)
    assert sd == 0.0 and np.isnan(rho).all()


@pytest.mark.parametrize(
    ("formula", "name"),
    [
        ("Yield ~ 1 + (1 | Batch)", "dyestuff2"),
        ("score ~ edu + (edu | classroom)", "classroom_scores"),
    ],
)
def test_singular_fits_are_known_as_such(formula: str, name: str) -> None:
    fit = hd.lmm(formula, hd.load_dataset(name))
    assert fit.is_singular
    shared = shared_of(fit)
    sigmas = tuple(s[None] for s in fit.optimum.sigmas)
    assert components(shared, sigmas, np.array([fit.scale]), np.zeros((1, 0))).singular[0]


def test_parametric_spread_is_the_standard_error(sleep: Any, parametric: Any) -> None:
    """In a balanced design beta is normal with its model covariance (REML is unbiased here)."""
    spread = parametric.fixed.std(axis=0, ddof=1)
    assert spread == pytest.approx(sleep.bse.to_numpy(), rel=5 / np.sqrt(2 * 1200))
    gap = (parametric.fixed.mean(axis=0) - sleep.params) / (sleep.bse / np.sqrt(1200))
    assert (np.abs(gap) < 4.5).all()


def test_singular_replicates_are_counted(parametric: Any) -> None:
    cor = parametric.to_frame()["cor_Days.Intercept|Subject"]
    assert parametric.n_singular >= int((cor.abs() > 1 - 1e-9).sum()) > 0
    assert parametric.n_not_converged == 0
    assert parametric.failures == ()


def test_parameters_of_structured_residuals_are_bootstrapped_too() -> None:
    data = hd.load_dataset("orthodont")
    fit = hd.lm("distance ~ age", data, correlation="ar1(1 | Subject)")
    frame = fit.bootstrap(4, seed=6).to_frame()
    y = fit.simulate(4, seed=np.random.SeedSequence(6).spawn(1)[0])
    (rho,) = [name for name in frame.columns if name.startswith("rho")]
    for i in range(4):
        again = fit.refit(y.iloc[:, i])
        assert frame["age"].iloc[i] == pytest.approx(again.params["age"], rel=1e-5)
        assert frame["sigma"].iloc[i] == pytest.approx(again.sigma, rel=1e-4)
        first = again.R(slice(0, 2)).to_numpy()
        assert frame[rho].iloc[i] == pytest.approx(first[0, 1] / first[0, 0], abs=1e-4)
    with pytest.raises(FitError, match="parametric bootstrap only"):
        fit.bootstrap(4, kind="residual")


# ---- residuals and cases


def test_resampled_effects_and_residuals_have_the_estimated_covariance(sleep: Any) -> None:
    process = residual_process(sleep)
    (pool,) = process.pools
    cov = pool.effects.T @ pool.effects / len(pool.effects)
    np.testing.assert_allclose(cov, sleep.varcorr()["Subject"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pool.effects.mean(axis=0), 0.0, atol=1e-10)
    spread = process.sd * process.residuals
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(sleep.sigma, rel=1e-12)


def test_residual_bootstrap_of_effects_that_do_not_vary() -> None:
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff2"))
    found = fit.bootstrap(20, seed=1, kind="residual")
    assert np.isfinite(found.fixed).all()


def test_all_clusters_once_are_the_fit_itself(sleep: Any) -> None:
    optimum = case_process(sleep, None).fit(np.arange(18))
    assert optimum.criterion == pytest.approx(sleep.criterion, rel=1e-10)


def test_a_cluster_drawn_twice_is_two_clusters(sleep: Any) -> None:
    chosen = np.r_[np.arange(17), 0]
    data = hd.load_dataset("sleepstudy")
    codes = sleep.design.random[0].codes
    rows = np.concatenate([np.flatnonzero(codes == c) for c in chosen])
    copies = data.iloc[rows].assign(Subject=np.repeat(np.arange(18), 10))
    expected = hd.lmm(sleep.formula, copies)
    optimum = case_process(sleep, None).fit(chosen)
    assert optimum.criterion == pytest.approx(expected.criterion, rel=1e-10)
    np.testing.assert_allclose(optimum.beta, expected.params, rtol=1e-8)


def test_case_bootstrap_keeps_nested_levels_together() -> None:
    fit = hd.lmm("strength ~ 1 + (1 | batch/cask)", hd.load_dataset("pastes"))
    cases = case_process(fit, None)
    assert cases.n_clusters == fit.n_groups["batch"]
    optimum = cases.fit(np.r_[np.zeros(2, dtype=int), np.arange(2, cases.n_clusters)])
    levels = sorted(size for size, _ in optimum.cross.sizes)
    assert levels == [cases.n_clusters, 3 * cases.n_clusters]


def test_case_bootstrap_spread_is_of_the_size_of_the_robust_error(sleep: Any) -> None:
    found = sleep.bootstrap(200, seed=2, kind="case")
    spread = found.fixed.std(axis=0, ddof=1)
    assert spread == pytest.approx(sleep.cov_robust("CR0").std_error.to_numpy(), rel=0.25)


def test_replicates_that_cannot_be_fitted_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "y": rng.normal(size=24)})
    data["only"] = (data["g"] == 0).astype(float)
    found = hd.lmm("y ~ only + (1 | g)", data).bootstrap(40, seed=1, kind="case")
    assert 0 < len(found.failures) < 40
    assert np.isnan(found.fixed[:, 0]).sum() == len(found.failures)
    assert "cannot be estimated" in found.failures[0]
    assert found.confint().notna().all(axis=None)
    assert "failed and left out" in str(found)


def test_crossed_factors_have_no_cases(crossed: Any) -> None:
    with pytest.raises(DesignError, match="crossed"):
        crossed.bootstrap(5, kind="case")


# ---- intervals


def test_intervals_of_a_normal_sample_agree() -> None:
    """Replicates that are the quantiles of N(5, 2): every method gives the same interval."""
    draws = 5.0 + 2.0 * special.ndtri((np.arange(20_000) + 0.5) / 20_000)
    expected = 5.0 + 2.0 * special.ndtri([0.05, 0.95])
    for method in ("percentile", "basic", "normal"):
        assert interval(draws, 5.0, 0.9, method, None) == pytest.approx(expected, rel=2e-3)
    symmetric = np.array([-1.0, 0.0, 1.0])
    assert interval(draws, 5.0, 0.9, "bca", symmetric) == pytest.approx(expected, rel=2e-3)


def test_bca_follows_its_formula() -> None:
    """Efron's correction written out, for a skewed sample and a skewed jackknife."""
    draws = special.gammaincinv(3.0, (np.arange(20_000) + 0.5) / 20_000)
    jackknife = np.array([2.0, 2.1, 2.2, 2.0, 4.0])
    gap = jackknife.mean() - jackknife
    a = np.sum(gap**3) / (6.0 * np.sum(gap**2) ** 1.5)
    bias = special.ndtri(special.gammainc(3.0, 2.5))
    z = bias + special.ndtri([0.025, 0.975])
    expected = special.gammaincinv(3.0, special.ndtr(bias + z / (1.0 - a * z)))
    assert interval(draws, 2.5, 0.95, "bca", jackknife) == pytest.approx(expected, rel=1e-2)


def test_basic_is_the_percentile_interval_reflected(parametric: Any) -> None:
    percentile, basic = parametric.confint(), parametric.confint(method="basic")
    estimate = parametric.estimate[percentile.index]
    np.testing.assert_allclose(basic["lower"], 2 * estimate - percentile["upper"])


def test_every_method_gives_every_parameter(parametric: Any) -> None:
    for method in ("percentile", "basic", "normal", "bca"):
        table = parametric.confint(0.9, method)
        assert list(table.index) == list(parametric.estimate.index)
        assert (table["lower"] < table["upper"]).all()


def test_confint_of_the_fit_is_the_same(sleep: Any, parametric: Any) -> None:
    table = sleep.confint(method="bootstrap", nsim=1200, seed=1, interval="basic", which="sigma")
    pd.testing.assert_frame_equal(table, parametric.confint(method="basic").loc[["sigma"]])


def test_bad_requests_are_refused(sleep: Any, parametric: Any, crossed: Any) -> None:
    with pytest.raises(DesignError, match="Unknown kind 'wild'"):
        sleep.bootstrap(5, kind="wild")
    with pytest.raises(DesignError, match="positive integer"):
        sleep.bootstrap(0)
    with pytest.raises(DesignError, match="Unknown method 'abc'"):
        parametric.confint(method="abc")
    with pytest.raises(DesignError, match="crossed"):
        crossed.bootstrap(3, seed=1).confint(method="bca")
