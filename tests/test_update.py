"""`fit.update`: the fit of the formula written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import henderson as hd
from henderson.fit import Fit


@pytest.fixture(scope="module")
def rats() -> Any:
    data = hd.load_dataset("rat_pup")
    return data.assign(half=np.arange(len(data)) % 2, w=1.0 + np.arange(len(data)) % 3)


@pytest.fixture(scope="module")
def fit(rats: Any) -> Fit:
    return hd.lmm("weight ~ treatment * sex + (1 | litter)", rats, weights="w", method="ML")


def same(a: Fit, b: Fit) -> None:
    assert a.method == b.method and a.nobs == b.nobs
    assert list(a.params.sort_index().index) == list(b.params.sort_index().index)
    assert a.criterion == pytest.approx(b.criterion, rel=1e-9)
    np.testing.assert_allclose(a.params.sort_index(), b.params.sort_index(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "formula"),
    [
        (". ~ . - treatment:sex", "weight ~ treatment + sex + (1 | litter)"),
        (". ~ . - treatment:sex - sex", "weight ~ treatment + (1 | litter)"),
        (". ~ . + litter_size", "weight ~ treatment * sex + litter_size + (1 | litter)"),
        ("log(.) ~ .", "log(weight) ~ treatment * sex + (1 | litter)"),
        (". ~ . + (1 | half)", "weight ~ treatment * sex + (1 | litter) + (1 | half)"),
        (". ~ sex + (sex | litter)", "weight ~ sex + (sex | litter)"),
    ],
)
def test_the_formula_written_out(fit: Fit, rats: Any, change: str, formula: str) -> None:
    same(fit.update(change), hd.lmm(formula, rats, weights="w", method="ML"))


def test_without_random_terms_it_is_lm(fit: Fit, rats: Any) -> None:
    found = fit.update(". ~ . - (1 | litter)")
    same(found, hd.lm("weight ~ treatment * sex", rats, weights="w", method="ML"))
    same(found.update(". ~ . + (1 | litter)"), fit)


def test_arguments_and_data_change_and_the_rest_stays(fit: Fit, rats: Any) -> None:
    formula = "weight ~ treatment * sex + (1 | litter)"
    same(fit.update(method="REML"), hd.lmm(formula, rats, weights="w"))
    same(fit.update(weights=None), hd.lmm(formula, rats, method="ML"))
    some = rats[rats["half"] == 0]
    same(fit.update(data=some), hd.lmm(formula, some, weights="w", method="ML"))
    same(fit.update(subset="half == 0"), fit.update(data=some))
    same(fit.update(subset="half == 0").update(subset=None), fit)


def test_columns_that_the_first_formula_did_not_need_are_there(rats: Any) -> None:
    """The rows are chosen anew: missing values of a column count only where it is used."""
    data = rats.assign(z=np.where(np.arange(len(rats)) < 9, np.nan, rats["litter_size"]))
    first = hd.lmm("weight ~ sex + (1 | litter)", data)
    second = first.update(". ~ . + z")
    assert (first.nobs, second.nobs) == (len(data), len(data) - 9)
    assert second.update(". ~ . - z").nobs == len(data)


def test_structures_context_and_matrices_go_along(rats: Any) -> None:
    def twice(x: Any) -> Any:
        return 2.0 * x

    k = np.eye(27) + 0.1
    names = sorted(rats["litter"].unique())
    given = hd.Relationship(k, levels=names)
    first = hd.lmm(
        "weight ~ twice(litter_size) + known(1 | litter, K)",
        rats,
        context={"twice": twice},
        matrices={"K": given},
        variance="ident(sex)",
    )
    plain = first.update(". ~ . - known(1 | litter, K) + (1 | litter)")
    formula = "weight ~ twice(litter_size) + (1 | litter)"
    same(plain, hd.lmm(formula, rats, context={"twice": twice}, variance="ident(sex)"))


def test_refusals(fit: Fit) -> None:
    with pytest.raises(hd.DesignError, match=r"'wieghts' is no argument of henderson.lmm.*weights"):
        fit.update(wieghts="w")
    with pytest.raises(hd.DesignError, match=r"'engine' is no argument of henderson.lm,"):
        fit.update(". ~ . - (1 | litter)", engine="exact")
    with pytest.raises(hd.FormulaError, match="'age' cannot be taken away"):
        fit.update(". ~ . - age")
    with pytest.raises(hd.FitError, match=r"refit\(\) is"):
        fit.refit(fit.design.y + 1.0).update(". ~ . - sex")
