"""Prediction intervals where the residual variance is a function of columns or of fitted values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

import henderson as hd
from henderson.errors import DataError, DesignError

VARIANCES = {
    "ident(Sex)": lambda fit, rows, fitted: sd_of_sex(fit, rows),
    "power(age)": lambda fit, rows, fitted: rows["age"] ** parameter(fit, "power"),
    "exp(scale(age))": lambda fit, rows, fitted: np.exp(
        parameter(fit, "expon") * standardised(rows["age"])
    ),
    "power(fitted)": lambda fit, rows, fitted: fitted ** parameter(fit, "power"),
    "ident(Sex) * power(age)": lambda fit, rows, fitted: (
        sd_of_sex(fit, rows) * rows["age"] ** parameter(fit, "power")
    ),
}


def standardised(age: pd.Series) -> pd.Series:
    """Standardised as in the rows of the fit."""
    fitted = hd.load_dataset("orthodont")["age"]
    return (age - fitted.mean()) / fitted.std()


def parameter(fit: Any, name: str) -> float:
    return next(values[name] for values in fit.structures().values() if name in values)


def sd_of_sex(fit: Any, rows: pd.DataFrame) -> pd.Series:
    return rows["Sex"].map(fit.structures()["ident(Sex)"])


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("random", ["all", "none"])
def test_new_responses_have_the_variance_that_its_function_gives(
    variance: str, random: Any
) -> None:
    """Var = dense Var of the prediction + sigma^2 sd(row)^2, in rows that the fit has not seen."""
    data = hd.load_dataset("orthodont")
    fit = hd.lmm("distance ~ age + (1 | Subject)", data, variance=variance)
    rows = data.iloc[[0, 40, 60, 99]].assign(age=[9.0, 20.0, 11.5, 8.0])
    rows["Sex"] = rows["Sex"].astype(str)
    sure = fit.predict(rows, random=random, interval="confidence", ddf="normal")
    new = fit.predict(rows, random=random, interval="prediction", ddf="normal")
    sd = VARIANCES[variance](fit, rows, sure["predicted"]).to_numpy()
    expected = sure["std_error"] ** 2 + fit.scale * sd**2
    if random == "none":
        expected = expected + fit.varcorr()["Subject"].to_numpy().item()
    np.testing.assert_allclose(new["std_error"] ** 2, expected, rtol=1e-8)
    x, z = fit.design.X, fit.design.Z.toarray()
    inverse = np.linalg.inv(fit.V().to_numpy())
    u = (rows["Subject"].to_numpy()[:, None] == fit.design.random[0].levels) * (random == "all")
    d = fit.varcorr()["Subject"].to_numpy().item()
    m = np.column_stack([np.ones(4), rows["age"]]) - d * u @ z.T @ inverse @ x
    dense = np.einsum("np,pq,nq->n", m, fit.cov_params().to_numpy(), m)
    dense += np.einsum("ni,ij,nj->n", u, d * np.eye(27) - d**2 * z.T @ inverse @ z, u)
    np.testing.assert_allclose(sure["std_error"] ** 2, dense, rtol=1e-6)


@pytest.mark.parametrize("variance", ["ident(Sex)", "power(age)", "power(fitted)"])
def test_fitted_rows_as_new_ones_have_the_variances_of_the_fit(variance: str) -> None:
    data = hd.load_dataset("orthodont")
    fit = hd.lmm("distance ~ age + (1 | Subject)", data, variance=variance)
    own = np.diag(fit.R().to_numpy())
    for rows in (None, data):
        sure, new = (
            fit.predict(rows, interval=kind, ddf="normal")["std_error"] ** 2
            for kind in ("confidence", "prediction")
        )
        np.testing.assert_allclose(new - sure, own, rtol=1e-5)


def test_satterthwaite_df_of_a_new_response_know_the_variance_function_is_estimated() -> None:
    """Without effects of anything else: the df of the residual variance of that stratum."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(["a", "b"], [8, 300])})
    data["y"] = rng.normal(size=308) * np.where(data["g"] == "a", 3.0, 1.0)
    fit = hd.lm("y ~ 0 + g", data, variance="ident(g)")
    ours = fit.predict(pd.DataFrame({"g": ["a", "b"]}), interval="prediction")
    for i, (name, count) in enumerate((("a", 8), ("b", 300))):
        y = data.loc[data["g"] == name, "y"]
        reach = special.stdtrit(count - 1, 0.975) * y.std() * np.sqrt(1 + 1 / count)
        assert ours["upper"].iloc[i] - ours["predicted"].iloc[i] == pytest.approx(reach, rel=1e-5)


def test_missing_and_impossible_covariates_of_a_variance_function() -> None:
    data = hd.load_dataset("orthodont")
    fit = hd.lmm("distance ~ 1 + (1 | Subject)", data, variance="ident(Sex) * power(age)")
    rows = data.head(3).assign(age=[np.nan, 0.5, 3.0])
    ours = fit.predict(rows, interval="prediction")
    assert ours["predicted"].notna().all()
    assert ours["upper"].isna().tolist() == [True, False, False]
    assert fit.predict(rows[["Subject"]], interval="confidence").notna().all(axis=None)
    with pytest.raises(DesignError, match=r"power\(age\): 'age' is 0 in 1 of the rows to predict"):
        fit.predict(rows.assign(age=[1.0, 0.0, 2.0]), interval="prediction")
    with pytest.raises(DesignError, match="level 'other' of 'Sex'"):
        fit.predict(rows.assign(Sex="other"), interval="prediction")
    with pytest.raises(DataError, match="Sex"):
        fit.predict(rows[["Subject", "age"]], interval="prediction")
