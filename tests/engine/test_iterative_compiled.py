"""The compiled tables against their twins, and for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_designs import crossed_problem
from scipy import sparse

from henderson.engine import kernels, sparse_tables
from henderson.engine.iterative_products import iterative_products
from henderson.engine.optimise import optimise_products
from henderson.engine.sparse_tables import Table, cell_table

seeds = st.integers(0, 2**32 - 1)


def random_table(seed: int, columns: int) -> tuple[Table, np.ndarray]:
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(300, 80)) * (rng.random((300, 80)) < rng.choice([0.0, 0.02, 0.3]))
    return Table.of(sparse.csr_array(dense)), rng.normal(size=(80, columns))


@given(seeds, st.integers(1, 40), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_products_do_not_depend_on_the_number_of_threads(seed, columns, threads):
    table, x = random_table(seed, columns)
    one, many = (
        kernels.compiled.multiply(table.pointers, table.indices, table.values, x, n)
        for n in (1, threads)
    )
    np.testing.assert_array_equal(one, many)
    np.testing.assert_allclose(one, table.csr @ x, atol=1e-12)


@given(seeds, st.sampled_from([np.int32, np.int64]))
@settings(max_examples=30, deadline=None)
def test_cells_are_those_of_the_twin(seed, integer):
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, k, 200).astype(integer) for k in (30, 7))
    left, right = rng.normal(size=(2, 200, 1))
    ours = cell_table(first, 31, second, 8, left, right).table
    twin = sparse_tables._coo_cells(first, 31, second, 8, left[:, 0] * right[:, 0])
    np.testing.assert_array_equal(ours.pointers, twin.pointers)
    np.testing.assert_array_equal(ours.indices, twin.indices)
    np.testing.assert_allclose(ours.values, twin.values, atol=1e-12)


def test_a_code_out_of_bounds_is_refused():
    ones = np.ones((3, 1))
    for codes in ([0, 1, 5], [0, -1, 1]):
        with pytest.raises(IndexError, match="outside"):
            cell_table(np.array(codes), 5, np.zeros(3, dtype=int), 1, ones, ones)


def test_products_ask_for_a_thread():
    table, x = random_table(1, 2)
    with pytest.raises(ValueError, match="thread"):
        kernels.compiled.multiply(table.pointers, table.indices, table.values, x, 0)


def test_threads_are_as_many_as_openmp_is_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert sparse_tables._threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert sparse_tables._threads() >= 1


def test_without_compiled_kernels_a_fit_is_the_same(monkeypatch):
    ours = optimise_products(crossed_problem(), iterative_products(crossed_problem()), reml=True)
    monkeypatch.setattr(kernels, "compiled", None)
    twin = optimise_products(crossed_problem(), iterative_products(crossed_problem()), reml=True)
    np.testing.assert_allclose(ours.at.phi, twin.at.phi, rtol=1e-9)
    assert ours.criterion == pytest.approx(twin.criterion, abs=1e-6)
