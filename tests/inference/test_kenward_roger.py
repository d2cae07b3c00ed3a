"""Kenward-Roger against pbkrtest's stored results."""

from __future__ import annotations

import numpy as np
import pytest
from reference_cases import ReferenceCase, lmer_cases

import henderson

CASES = [c for c in lmer_cases() if c.results.get("kenward_roger", {}).get("coef")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_adjusted_covariance_and_df(case: ReferenceCase) -> None:
    fit = henderson.lmm(case.formula, case.data(), method=case.method, **case.keywords)
    stored = case.results["kenward_roger"]["coef"]
    names = case.names(list(stored))
    table = fit.summary(ddf="kenward-roger").coefficients.loc[names]
    se = np.array([row["se"] for row in stored.values()], dtype=float)
    df = np.array([row["df"] for row in stored.values()], dtype=float)
    np.testing.assert_allclose(table["std_error"], se, rtol=1e-4)
    np.testing.assert_allclose(table["df"], df, rtol=1e-4)


def test_ml_fits_are_refused() -> None:
    data = henderson.load_dataset("sleepstudy")
    fit = henderson.lmm("Reaction ~ Days + (1 | Subject)", data, method="ML")
    with pytest.raises(henderson.errors.DesignError, match="REML"):
        fit.summary(ddf="kenward-roger")
