"""What quantile plots show."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import henderson as hd
from henderson.diagnostics.quantiles import normal_quantiles, random_quantiles, standardised_modes
from henderson.errors import DesignError


def test_normal_values_lie_on_the_line_and_within_the_band():
    rng = np.random.default_rng(0)
    outside = []
    for _ in range(200):
        found = normal_quantiles(rng.normal(3.0, 2.0, 50))
        outside.append((found["value"] < found["lower"]) | (found["value"] > found["upper"]))
    # Mean and standard deviation are those of the sample, which keeps more inside than 95 %.
    assert np.mean(outside) < 0.05


def test_values_come_in_order_with_their_places_and_without_missing_ones():
    values = np.array([2.0, np.nan, -1.0, 0.5])
    found = normal_quantiles(values)
    assert found.index.tolist() == [2, 3, 0]
    assert_allclose(found["value"], [-1.0, 0.5, 2.0])
    assert_allclose(found["theoretical"], -found["theoretical"].to_numpy()[::-1], atol=1e-12)


def test_standardised_modes_have_variance_one_under_the_model(fit, dense):
    for t, (name, table) in enumerate(standardised_modes(fit).items()):
        factor = fit.design.random[t]
        sigma = fit.scale * fit.optimum.sigmas[t]
        level = np.flatnonzero(factor.codes == 0)
        weight = np.zeros((factor.z.shape[1], fit.nobs))
        weight[:, level] = sigma @ factor.z[level].T
        sd = np.sqrt(np.diag(weight @ dense.P @ weight.T))
        assert_allclose(table.iloc[0], fit.ranef()[name].iloc[0] / sd, rtol=1e-6)


def test_random_quantiles_are_labelled_by_level_and_refuse_unknown_names():
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    found = random_quantiles(fit, "Subject", "Days")
    assert set(found.index) == set(fit.design.random[0].levels)
    with pytest.raises(DesignError, match="did you mean 'Subject'"):
        random_quantiles(fit, "subject")
    with pytest.raises(DesignError, match="no random effect"):
        random_quantiles(fit, "Subject", "Nights")
    with pytest.raises(DesignError, match="no random effects"):
        random_quantiles(hd.lm("score ~ edu", hd.load_dataset("classroom_scores")))
