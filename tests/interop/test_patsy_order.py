"""Columns stand in patsy's order, on which matrices of hypotheses rely."""

from __future__ import annotations

import numpy as np
import pandas as pd
import patsy
import pytest

import henderson as hd

FORMULAS = (
    "x + a",
    "x * a + z",
    "x + a:b",
    "a * b * x + z",
    "z + x + x:a + a",
    "x:z + a + x * z",
    "x + np.log(u) + I(x**2) + C(k)",
    "x + t",
    "C(k) * x",
    "C(a, Treatment('q')) * b + x",
    "0 + x + a",
    "0 + x + a:b",
    "x * a * z",
    "C(a, Sum) * x",
    "(a + x + z)**2",
    "a / x",
    "z + center(x) + a",
    "scale(x) + standardize(z)",
    "C(a, Helmert) + C(b, Sum) * x",
)


def test_columns_called_by_numbers_keep_their_order(table: pd.DataFrame) -> None:
    plain = hd.mixedlm("y ~ x * a + z", table, groups="g").fit()
    called = table.rename(columns={"x": "1", "z": "0"})
    odd = hd.mixedlm("y ~ `1` * a + `0`", called, groups="g").fit()
    names = [n.replace("x", "1").replace("z", "0") for n in plain.params.index]
    assert list(odd.params.index) == names
    np.testing.assert_allclose(odd.params, plain.params, rtol=1e-9)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 96
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "u": rng.uniform(1, 2, n),
            "a": np.tile(["p", "q", "r"], n // 3),
            "b": np.repeat(["s", "v"], n // 2),
            "t": rng.random(n) < 0.5,
            "k": np.tile([1, 2, 3, 4], n // 4),
            "g": rng.integers(0, 12, n),
        }
    )


@pytest.mark.parametrize("formula", FORMULAS)
def test_fixed_effects(table: pd.DataFrame, formula: str) -> None:
    model = hd.mixedlm(f"y ~ {formula}", table, groups="g")
    wanted = patsy.dmatrix(formula, table)
    assert model.exog_names == wanted.design_info.column_names
    np.testing.assert_allclose(model.exog, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("formula", ["x + a", "z + t + x", "0 + x + a"])
def test_random_effects(table: pd.DataFrame, formula: str) -> None:
    model = hd.mixedlm("y ~ x", table, groups="g", re_formula=formula)
    wanted = patsy.dmatrix(formula, table)
    names = ["g" if n == "Intercept" else n for n in wanted.design_info.column_names]
    assert model.exog_re_names == names
    np.testing.assert_allclose(model.exog_re, wanted, rtol=1e-12, atol=1e-12)
