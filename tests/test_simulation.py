"""Simulated responses have the distribution of the model they are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.errors import DesignError

SMALL = pd.DataFrame(
    {
        "g": np.repeat(["a", "b", "c", "d"], 3),
        "h": np.tile(["u", "v", "w"], 4),
        "x": np.tile([0.0, 1.0, 2.0], 4),
        "w": np.linspace(0.5, 3.0, 12),
    }
)
PARAMS = {"Intercept": 10.0, "x": 2.0}
COV = np.array([[4.0, -1.0], [-1.0, 1.0]])
DRAWS = 40_000


@pytest.fixture(scope="module")
def sleep() -> Any:
    return hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))


def implied() -> np.ndarray:
    """Z D Z' + R of (x | g) + (1 | h) with weights, written out."""
    z = np.column_stack([np.ones(12), SMALL["x"]])
    same_g = SMALL["g"].to_numpy()[:, None] == SMALL["g"].to_numpy()
    same_h = SMALL["h"].to_numpy()[:, None] == SMALL["h"].to_numpy()
    return z @ COV @ z.T * same_g + 9.0 * same_h + np.diag(0.25 / SMALL["w"])


def test_draws_from_a_formula_have_its_mean_and_covariance() -> None:
    y = hd.simulate(
        "~ x + (x | g) + (1 | h)", SMALL, params=PARAMS, cov={"g": COV}, sd={"h": 3.0},
        sigma=0.5, weights="w", nsim=DRAWS, seed=1,
    ).to_numpy()  # fmt: skip
    v = implied()
    error = np.sqrt(np.diag(v) / DRAWS)
    assert (np.abs(y.mean(axis=1) - (10.0 + 2.0 * SMALL["x"])) < 5.0 * error).all()
    spread = np.sqrt((np.outer(np.diag(v), np.diag(v)) + v**2) / DRAWS)
    assert (np.abs(np.cov(y) - v) < 5.0 * spread).all()


def test_draws_from_a_fit_have_its_mean_and_covariance(sleep: Any) -> None:
    y = sleep.simulate(4000, seed=2).to_numpy()[:20]
    v = sleep.V(slice(0, 20)).to_numpy()
    mean = sleep.predict(random="none").to_numpy()[:20]
    assert (np.abs(y.mean(axis=1) - mean) < 5.0 * np.sqrt(np.diag(v) / 4000)).all()
    spread = np.sqrt((np.outer(np.diag(v), np.diag(v)) + v**2) / 4000)
    assert (np.abs(np.cov(y) - v) < 5.0 * spread).all()


def test_conditional_draws_vary_about_the_fitted_values(sleep: Any) -> None:
    y = sleep.simulate(4000, seed=3, random="conditional")
    gap = (y.mean(axis=1) - sleep.fittedvalues) / (sleep.sigma / np.sqrt(4000))
    assert (np.abs(gap) < 5.0).all()
    assert np.cov(y.to_numpy()[:2])[0, 1] == pytest.approx(0.0, abs=5 * sleep.scale / np.sqrt(4000))


def test_a_seed_fixes_the_draws_and_the_index_is_kept(sleep: Any) -> None:
    first, again = sleep.simulate(3, seed=5), sleep.simulate(3, seed=5)
    pd.testing.assert_frame_equal(first, again)
    assert first.index.equals(sleep.design.index)
    assert list(first.columns) == ["sim_1", "sim_2", "sim_3"]
    assert not first.equals(sleep.simulate(3, seed=6))


def test_the_response_of_the_formula_need_not_exist() -> None:
    common = {"params": PARAMS, "sd": 1.0, "sigma": 1.0, "seed": 1}
    named = hd.simulate("y ~ x + (1 | g)", SMALL, **common)
    bare = hd.simulate("~ x + (1 | g)", SMALL, **common)
    present = hd.simulate("y ~ x + (1 | g)", SMALL.assign(y=np.nan), **common)
    pd.testing.assert_frame_equal(named, bare)
    pd.testing.assert_frame_equal(named, present)


def test_ways_to_say_the_same_deviations() -> None:
    common = {"params": [10.0, 2.0], "sigma": 1.0, "seed": 1}
    formula = "~ x + (x | g)"
    expected = hd.simulate(formula, SMALL, sd={"g": [2.0, 0.5]}, **common)
    for sd in ({"g": {"x": 0.5, "Intercept": 2.0}}, [2.0, 0.5]):
        pd.testing.assert_frame_equal(hd.simulate(formula, SMALL, sd=sd, **common), expected)
    as_cov = hd.simulate(formula, SMALL, cov={"g": np.diag([4.0, 0.25])}, **common)
    assert as_cov.shape == expected.shape


def test_an_offset_moves_the_mean() -> None:
    data = SMALL.assign(shift=100.0 * SMALL["x"])
    common = {"params": PARAMS, "sd": 1.0, "sigma": 1.0, "seed": 1}
    plain = hd.simulate("~ x + (1 | g)", data, **common)
    moved = hd.simulate("~ x + offset(shift) + (1 | g)", data, **common)
    np.testing.assert_allclose((moved - plain)["sim_1"], data["shift"])


def test_rows_with_missing_predictors_are_left_out() -> None:
    data = SMALL.assign(x=SMALL["x"].where(SMALL.index != 4))
    y = hd.simulate("~ x + (1 | g)", data, params=PARAMS, sd=1.0, sigma=1.0, seed=1)
    assert 4 not in y.index
    assert len(y) == 11


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": {"Intercept": 1.0}}, "params says nothing of x"),
        ({"params": {"Intercept": 1.0, "X": 2.0}}, "no fixed effect 'X'.*did you mean 'x'"),
        ({"params": [1.0]}, "the model has 2 fixed effects"),
        ({"sigma": 0.0}, "sigma is a positive number"),
        ({"sd": None}, "neither sd nor cov speak of the random effects of 'g'"),
        ({"sd": {"G": 1.0}}, "no group 'G'"),
        ({"sd": {"g": -1.0}}, "zero or more"),
        ({"sd": {"g": [1.0, 1.0]}}, "needs 1 numbers"),
        ({"cov": {"g": [[1.0]]}}, "both sd and cov"),
        ({"sd": None, "cov": {"g": [[-1.0]]}}, "positive semidefinite"),
        ({"nsim": 0}, "positive integer"),
    ],
)
def test_bad_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"params": PARAMS, "sd": {"g": 1.0}, "sigma": 1.0} | changes
    with pytest.raises(DesignError, match=message):
        hd.simulate("~ x + (1 | g)", SMALL, **arguments)


def test_random_is_new_or_conditional(sleep: Any) -> None:
    with pytest.raises(DesignError, match="'new' or 'conditional'"):
        sleep.simulate(random="none")


def test_structured_residuals_are_drawn_with_their_covariance() -> None:
    data = hd.load_dataset("orthodont").iloc[:-3]
    fit = hd.lmm(
        "distance ~ age + (1 | Subject)", data, correlation="ar1(1 | Subject)",
        variance="ident(Sex)",
    )  # fmt: skip
    rows = np.r_[0:6, 90:105]
    y = fit.simulate(20_000, seed=7).to_numpy()[rows]
    v = fit.V(rows).to_numpy()
    spread = np.sqrt((np.outer(np.diag(v), np.diag(v)) + v**2) / 20_000)
    assert (np.abs(np.cov(y) - v) < 5.0 * spread).all()
