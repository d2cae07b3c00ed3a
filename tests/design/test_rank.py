"""Which columns earlier columns determine, whatever their scale and origin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.design.rank import independent_columns


def columns(n=40, p=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, p))
    x[:, 0] = 1.0
    return x


@given(st.integers(0, 1000), st.lists(st.integers(-6, 6), min_size=4, max_size=4))
def test_scale_does_not_matter(seed, powers):
    x = columns(seed=seed) * 10.0 ** np.array(powers)
    assert independent_columns(x).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("shift", [1e3, 1e6, 1e9, 1.7e11])
def test_a_large_shift_costs_no_column(shift):
    x = columns()
    x[:, 1] += shift
    assert independent_columns(x).tolist() == [0, 1, 2, 3]
    assert independent_columns(x[:, 1:]).tolist() == [0, 1, 2]


@given(st.integers(0, 1000), st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.0, 1.0, 1e5]))
def test_the_later_of_aliased_columns_goes(seed, scale, shift):
    x = columns(seed=seed)
    alias = scale * (x[:, 1] - 2 * x[:, 2]) + shift
    for place in (3, 4):
        widened = np.insert(x, place, alias, axis=1)
        kept = independent_columns(widened)
        assert kept.tolist() == [j for j in range(5) if j != place]


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 4))
def test_the_kept_columns_span_all(seed, p, rank):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, rank)) @ rng.integers(-2, 3, size=(rank, p)).astype(float)
    kept = independent_columns(x)
    assert len(kept) == np.linalg.matrix_rank(x)
    if len(kept):
        fitted = x[:, kept] @ np.linalg.lstsq(x[:, kept], x, rcond=None)[0]
        np.testing.assert_allclose(fitted, x, atol=1e-9)
    else:
        assert not x.any()


def test_dummies_of_every_level_alias_the_intercept_by_the_last():
    codes = np.arange(30) % 3
    x = np.column_stack([np.ones(30), *(codes == j for j in range(3))])
    assert independent_columns(x).tolist() == [0, 1, 2]


def test_constants_zeros_and_more_columns_than_rows():
    assert independent_columns(np.full((9, 2), 0.1)).tolist() == [0]
    assert independent_columns(np.zeros((9, 2))).tolist() == []
    assert independent_columns(np.zeros((9, 0))).tolist() == []
    assert independent_columns(columns(n=3, p=6)).tolist() == [0, 1, 2]


def test_values_whose_squares_overflow():
    assert independent_columns(columns() * 1e200).tolist() == [0, 1, 2, 3]
    assert independent_columns(columns() * 1e-200).tolist() == [0, 1, 2, 3]
