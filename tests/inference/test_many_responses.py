"""Many responses, power and bootstrapped likelihood ratios: each is a set of single fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import henderson as hd
from henderson.errors import DataError, DesignError, FormulaError
from henderson.inference.many_responses import false_discovery
from henderson.inference.power import wilson

SLEEP = hd.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def sleep() -> Any:
    return hd.lmm("Reaction ~ Days + (Days | Subject)", SLEEP)


@pytest.fixture(scope="module")
def responses(sleep: Any) -> pd.DataFrame:
    return sleep.simulate(6, seed=1)


# ---- lmm_many


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("formula", ["~ Days + (Days | Subject)", "~ Days + (Days || Subject)"])
def test_each_column_is_the_single_fit(responses: pd.DataFrame, formula: str, method: Any) -> None:
    many = hd.lmm_many(formula, SLEEP, responses, method=method)
    for i, name in enumerate(responses.columns):
        fit = hd.lmm(f"y {formula}", SLEEP.assign(y=responses[name]), method=method)
        np.testing.assert_allclose(many.estimate[i], fit.params, rtol=1e-6)
        np.testing.assert_allclose(many.std_error[i], fit.bse, rtol=1e-5)
        np.testing.assert_allclose(many.df[i], fit.df, rtol=1e-4)
        np.testing.assert_allclose(many.p_value[i], fit.pvalues, rtol=1e-3)
        assert many.criterion[i] == pytest.approx(fit.criterion, rel=1e-8)
        assert many.sigma[i] == pytest.approx(fit.sigma, rel=1e-5)


def test_crossed_factors_weights_and_offset() -> None:
    data = hd.load_dataset("penicillin")
    rng = np.random.default_rng(1)
    data = data.assign(w=rng.gamma(5.0, size=len(data)), o=rng.normal(size=len(data)))
    y = data["diameter"].to_numpy()[:, None] + rng.normal(size=(len(data), 2))
    formula = "~ 1 + (1 | plate) + (1 | sample)"
    many = hd.lmm_many(formula, data, y, weights="w", offset="o")
    for i in range(2):
        fit = hd.lmm(f"y {formula}", data.assign(y=y[:, i]), weights="w", offset="o")
        assert many.criterion[i] == pytest.approx(fit.criterion, rel=1e-9)
        assert many.estimate[i, 0] == pytest.approx(fit.params.iloc[0], rel=1e-7)
        assert many.df[i, 0] == pytest.approx(fit.df.iloc[0], rel=1e-4)


def test_labels_frames_and_missing_columns(responses: pd.DataFrame) -> None:
    y = responses.copy()
    y.loc[3, "sim_2"] = np.nan
    many = hd.lmm_many("~ Days + (1 | Subject)", SLEEP, y)
    assert dict(many.failures) == {"sim_2": "missing or infinite values"}
    table = many.to_frame("Days")
    assert list(table.index) == list(y.columns)
    assert table.loc["sim_2"].isna().all()
    assert table.drop("sim_2").notna().all(axis=None)
    assert not many.converged[1]
    assert many.converged[0]
    long = many.to_frame()
    pd.testing.assert_frame_equal(long.loc["Days"], table, check_names=False)
    with pytest.raises(DesignError, match="No fixed effect 'days'"):
        many.to_frame("days")


def test_rows_with_missing_predictors_leave_every_response(responses: pd.DataFrame) -> None:
    data = SLEEP.assign(Days=SLEEP["Days"].where(SLEEP.index >= 7))
    many = hd.lmm_many("~ Days + (1 | Subject)", data, responses.to_numpy())
    other = hd.lmm_many("~ Days + (1 | Subject)", SLEEP.iloc[7:], responses.to_numpy()[7:])
    np.testing.assert_allclose(many.estimate, other.estimate, rtol=1e-10)


def test_other_degrees_of_freedom(responses: pd.DataFrame) -> None:
    normal = hd.lmm_many("~ Days + (1 | Subject)", SLEEP, responses, ddf="normal")
    assert np.isinf(normal.df).all()
    expected = 2 * stats.norm.sf(np.abs(normal.statistic))
    np.testing.assert_allclose(normal.p_value, expected, rtol=1e-10)
    assert (hd.lmm_many("~ Days + (1 | Subject)", SLEEP, responses, ddf="residual").df == 178).all()


def test_false_discovery_rates_are_scipys() -> None:
    p = np.random.default_rng(1).uniform(size=(50, 2)) ** 3
    expected = stats.false_discovery_control(p, axis=0)
    np.testing.assert_allclose(false_discovery(p), expected, rtol=1e-12)
    holes = np.vstack([p, [np.nan, np.nan]])
    np.testing.assert_allclose(false_discovery(holes)[:-1], expected, rtol=1e-12)


def test_bad_input_is_refused(responses: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="the data have 180 rows"):
        hd.lmm_many("~ Days + (1 | Subject)", SLEEP, responses.iloc[:10])
    with pytest.raises(DataError, match="not numbers"):
        hd.lmm_many("~ Days + (1 | Subject)", SLEEP, np.full((180, 2), "a"))
    with pytest.raises(FormulaError, match="no random term"):
        hd.lmm_many("~ Days", SLEEP, responses)
    with pytest.raises(DesignError, match="Unknown method 'kenward-roger'"):
        hd.lmm_many("~ Days + (1 | Subject)", SLEEP, responses, ddf="kenward-roger")


# ---- power


def test_power_at_the_null_is_the_level_of_the_test(sleep: Any) -> None:
    found = hd.power(sleep, "Days", effect=0.0, nsim=2000, seed=1)
    assert found.table["power"].item() == pytest.approx(0.05, abs=4.5 * np.sqrt(0.05 * 0.95 / 2000))


def test_power_of_a_balanced_design_is_that_of_the_noncentral_t(sleep: Any) -> None:
    """Here the t-test of the slope is the one-sample t-test of 18 slopes, with 17 df."""
    effects = [2.0, 4.0]
    found = hd.power(sleep, "Days", effect=effects, nsim=2000, seed=2)
    t = stats.t.ppf(0.975, 17)
    centre = np.array(effects) / sleep.bse["Days"]
    expected = stats.nct.sf(t, 17, centre) + stats.nct.cdf(-t, 17, centre)
    error = np.sqrt(expected * (1 - expected) / 2000)
    # Now and then a variance is zero and Satterthwaite's df are others: a little slack.
    assert (np.abs(found.table["power"] - expected) < 4.5 * error + 0.005).all()
    assert (found.table["lower"] < found.table["power"]).all()
    assert (found.table["power"] < found.table["upper"]).all()


def test_power_from_a_formula_and_from_a_fit_agree(sleep: Any) -> None:
    ours = hd.power(
        "~ Days + (Days | Subject)", "Days", data=SLEEP, params=sleep.params, effect=4.0,
        cov={"Subject": sleep.varcorr()["Subject"]}, sigma=sleep.sigma, nsim=300, seed=3,
    )  # fmt: skip
    other = hd.power(sleep, "Days", effect=4.0, nsim=300, seed=3)
    pd.testing.assert_frame_equal(ours.table, other.table)


def test_kenward_roger_power_counts_its_own_tests(sleep: Any) -> None:
    found = hd.power(sleep, "Days", effect=4.0, nsim=12, seed=5, ddf="kenward-roger")
    seed = np.random.SeedSequence(5).spawn(1)[0]
    from henderson.simulation import process_of

    shift = (4.0 - sleep.params["Days"]) * SLEEP["Days"].to_numpy()
    y = process_of(sleep).draw(np.random.default_rng(seed), 12) + shift[:, None]
    rejected = [sleep.refit(c).test("Days", ddf="kenward-roger").p_value < 0.05 for c in y.T]
    assert found.table["power"].item() == pytest.approx(np.mean(rejected))


def test_wilson_interval() -> None:
    expected = stats.binomtest(7, 20).proportion_ci(0.95, method="wilson")
    assert wilson(7, 20, 0.95) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert wilson(0, 20, 0.95)[0] == 0.0


def test_bad_power_requests_are_refused(sleep: Any) -> None:
    with pytest.raises(DesignError, match=r"no fixed effect 'days'.*'Days'"):
        hd.power(sleep, "days")
    with pytest.raises(DesignError, match="brings its own sigma"):
        hd.power(sleep, "Days", sigma=1.0)
    with pytest.raises(DesignError, match="give params, sigma too"):
        hd.power("~ Days + (1 | Subject)", "Days", data=SLEEP)
    with pytest.raises(DesignError, match="alpha lies between 0 and 1"):
        hd.power(sleep, "Days", alpha=5)


# ---- likelihood ratios


def test_bootstrapped_ratio_of_a_fixed_effect_is_as_its_exact_test() -> None:
    """The ML ratio of a contrast within groups is a monotone function of F: the p-values agree."""
    data = SLEEP.assign(x=np.tile(np.random.default_rng(4).normal(size=10), 18))
    big = hd.lmm("Reaction ~ Days + x + (1 | Subject)", data, method="ML")
    small = hd.lmm("Reaction ~ Days + (1 | Subject)", data, method="ML")
    found = hd.bootstrap_lrt(small, big, nsim=1000, seed=1)
    exact = big.test("x", ddf="satterthwaite").p_value
    assert found.p_value == pytest.approx(exact, abs=4.5 * found.std_error + 0.01)
    assert found.statistic == pytest.approx(small.criterion - big.criterion)


def test_bootstrapped_ratio_of_a_variance_minds_the_boundary() -> None:
    """Under the null about half of the ratios are zero, and p is half the chi-square's."""
    data = hd.load_dataset("dyestuff")
    rng = np.random.default_rng(8)
    y = rng.normal(size=30) + 0.35 * rng.normal(size=6)[np.repeat(np.arange(6), 5)]
    big = hd.lmm("y ~ 1 + (1 | Batch)", data.assign(y=y))
    small = hd.lm("y ~ 1", data.assign(y=y))
    found = hd.bootstrap_lrt(small, big, nsim=400, seed=2)
    assert 0.4 < np.mean(found.null < 1e-6) < 0.8
    assert found.p_value < found.p_chi2 or found.statistic < 1e-6
    assert found.df == 1


def test_bootstrapped_ratio_does_not_depend_on_workers(sleep: Any) -> None:
    small = hd.lmm("Reaction ~ Days + (1 | Subject)", SLEEP)
    one, two = (hd.bootstrap_lrt(small, sleep, 100, seed=1, workers=w) for w in (1, 2))
    np.testing.assert_array_equal(one.null, two.null)
    assert one.statistic == pytest.approx(42.8369, abs=1e-3)
    assert one.p_value == 1 / 101


def test_models_that_are_not_nested_are_refused(sleep: Any) -> None:
    other = hd.lmm("Reaction ~ I(Days**2) + (1 | Subject)", SLEEP)
    with pytest.raises(DesignError, match="not within"):
        hd.bootstrap_lrt(other, sleep, 10)
