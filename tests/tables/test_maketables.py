"""The hooks of the package maketables, on fits and on the columns of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tables.fits import fit_of

import henderson as hd

CASES = ("sleep", "crossed", "lm")


@pytest.mark.parametrize("name", CASES)
def test_the_coefficients_are_the_fits(name: str) -> None:
    fit = fit_of(name)
    table = fit.__maketables_coef_table__
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["b", "se", "t", "p", "ci95l", "ci95u"]
    assert list(table.index) == list(fit.params.index)
    np.testing.assert_array_equal(table["b"], fit.params)
    np.testing.assert_array_equal(table["p"], fit.pvalues)
    np.testing.assert_array_equal(table[["ci95l", "ci95u"]], fit.conf_int())


@pytest.mark.parametrize("name", CASES)
def test_every_statistic_that_is_offered_is_there(name: str) -> None:
    fit = fit_of(name)
    keys = fit.__maketables_default_stat_keys__
    assert isinstance(keys, list)
    assert all(fit.__maketables_stat__(key) is not None for key in keys)
    assert fit.__maketables_stat__("no such key") is None
    assert fit.__maketables_stat__("N") == fit.nobs
    assert fit.__maketables_stat__("ll") == fit.llf
    assert fit.__maketables_depvar__ == fit.design.formula.response
    assert fit.__maketables_vcov_info__["clustervar"] is None


def test_random_effects_are_among_the_statistics() -> None:
    fit = fit_of("sleep")
    sd = fit.varcorr().sd["Subject"]["Days"]
    assert fit.__maketables_stat__("SD (Days | Subject)") == pytest.approx(sd)
    assert fit.__maketables_stat__("Groups (Subject)") == 18
    labels = fit.__maketables_stat_labels__
    assert labels["icc"] == "ICC"


def test_columns_of_a_table_have_their_own_degrees_of_freedom() -> None:
    fit = fit_of("sleep")
    (column,) = hd.table(fit, ddf="normal").columns
    table = column.__maketables_coef_table__
    np.testing.assert_allclose(table["ci95u"], fit.params + 1.959963984540054 * fit.bse)
    keys = fit.__maketables_default_stat_keys__
    assert column.__maketables_default_stat_keys__ == keys


def test_a_column_is_not_taken_for_a_result_of_statsmodels() -> None:
    """maketables takes what has all of these for one."""
    (column,) = hd.table(fit_of("sleep")).columns
    assert not all(hasattr(column, name) for name in ("params", "bse", "pvalues"))
