"""Known covariances between levels: how they are read, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import henderson as hd
from henderson.design import build
from henderson.design.known import Known, diagonal_root
from henderson.errors import DesignError, FormulaError, HendersonError

TABLE = pd.DataFrame(
    {
        "y": [1.0, 2.0, 4.0, 3.0, 2.5, 1.5], "id": ["a", "b", "c"] * 2, "dam": ["p", "q"] * 3,
        "row": range(6),
    }
)  # fmt: skip
K = pd.DataFrame([[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 2.0]], list("abc"), list("abc"))
DAMS = pd.DataFrame([[1.0, 0.2], [0.2, 1.5]], list("pq"), list("pq"))
TERM = "known(1 | id, K)"


def known(matrix: Any, term: str = TERM, **others: Any) -> Known:
    (factor,) = build(f"y ~ 1 + {term}", TABLE, matrices={"K": matrix, **others}).random
    assert factor.known is not None
    return factor.known


@pytest.mark.parametrize(
    "given_as",
    [
        K,
        K.iloc[[2, 0, 1], [1, 2, 0]],
        K.to_numpy(),
        K.to_numpy().tolist(),
        sparse.csr_array(K),
        hd.Relationship(K.to_numpy(), ["a", "b", "c"]),
        hd.Relationship(K.to_numpy(), pd.Index(["a", "b", "c"])),
        hd.Relationship(np.linalg.inv(K), list("abc"), inverse=True),
        hd.Relationship(sparse.csr_array(np.linalg.inv(K)), list("abc"), inverse=True),
    ],
)
def test_a_matrix_in_any_form(given_as: Any) -> None:
    root = known(given_as).root
    np.testing.assert_allclose(root @ root.T, K, atol=1e-12)


def test_crossed_columns_have_labels_joined_by_colons() -> None:
    names = [f"{i}:{d}" for i in "abc" for d in "pq"]
    k = np.eye(6) + np.tri(6) @ np.tri(6).T
    found = known(hd.Relationship(k[::-1, ::-1], names[::-1]), "known(1 | id:dam, K)")
    np.testing.assert_allclose(found.root @ found.root.T, k)


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_levels_without_rows_follow_from_those_with(seed: int, rank: int) -> None:
    """weights K_oo = K_uo, and what is left of their variances is not negative."""
    m = np.random.default_rng(seed).normal(size=(5, rank + 1))
    k = m @ m.T
    names = ["a", "b", "c", "u", "v"]
    found = known(pd.DataFrame(k, names, names))
    assert list(found.others) == ["u", "v"]
    np.testing.assert_allclose(found.root @ found.root.T, k[:3, :3], atol=1e-10)
    np.testing.assert_allclose(found.weights @ k[:3, :3], k[3:, :3], atol=1e-6)
    np.testing.assert_allclose(found.variances, np.diag(k), atol=1e-6)
    assert (found.rest >= 0.0).all()


@given(st.integers(0, 10_000))
def test_the_diagonal_root_is_a_root(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root, d = rng.normal(size=(4, 4)), rng.uniform(0.0, 3.0, 4)
    other = diagonal_root(root, d)
    np.testing.assert_allclose(other @ other.T, root @ root.T, atol=1e-10)
    products = (other.T * d) @ other
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-10)


def without(label: str) -> pd.DataFrame:
    return K.drop(index=label, columns=label)


def changed(i: int, j: int, value: float) -> pd.DataFrame:
    values = K.to_numpy().copy()
    values[i, j] = value
    return pd.DataFrame(values, K.index, K.columns)


REFUSED: dict[str, tuple[Any, str]] = {
    "a level is missing": (without("b"), "lacks the level 'b' of 'id'.*it has a, c"),
    "levels are missing": (K.iloc[:1, :1], "lacks the level 'b' and 1 more of 'id'"),
    "not symmetric": (changed(0, 2, 0.7), "not symmetric: for 'a' and 'c' it has 0.7 and 0.1"),
    "indefinite": (
        pd.DataFrame(K.to_numpy() - 0.9 * np.eye(3), K.index, K.columns),
        "no covariance: its smallest eigenvalue is -0.4",
    ),
    "zero": (0.0 * K, "no covariance"),
    "negative": (-K, "no covariance"),
    "one direction": (pd.DataFrame(np.ones((3, 3)), K.index, K.columns), "two independent ones"),
    "indefinite inverse": (
        hd.Relationship(K - 0.9 * np.eye(3), inverse=True),
        "no inverse of a covariance: its smallest eigenvalue is -0.4",
    ),
    "indefinite sparse inverse": (
        hd.Relationship(sparse.csr_array(K - 0.9 * np.eye(3)), list("abc"), inverse=True),
        "no inverse of a covariance: its smallest eigenvalue is -0.4",
    ),
    "singular inverse": (
        hd.Relationship(sparse.csr_array(np.ones((3, 3))), list("abc"), inverse=True),
        "no inverse of a covariance",
    ),
    "a row twice": (K.iloc[[0, 1, 2, 0], [0, 1, 2, 0]], "the level 'a' twice"),
    "a level twice": (hd.Relationship(K.to_numpy(), ["a", "b", "b"]), "the level 'b' twice"),
    "rows and columns differ": (K.rename(columns={"c": "x"}), "'c' among the labels of its rows"),
    "too few names": (hd.Relationship(K.to_numpy(), ["a", "b"]), "3 rows and 2 levels"),
    "no names": (np.eye(4), "4 rows without names, and 'id' 3 levels.*henderson.Relationship"),
    "not square": (np.ones((3, 2)), r"shape \(3, 2\)"),
    "no matrix": (np.ones(3), r"shape \(3,\)"),
    "not numbers": ("K.csv", "not a matrix of numbers"),
    "text": (pd.DataFrame([["x"] * 3] * 3, K.index, K.columns), "not a matrix of numbers"),
    "missing": (changed(1, 2, np.nan), "missing or infinite.*the first for 'b' and 'c'"),
    "sparse missing": (
        hd.Relationship(sparse.csr_array(changed(1, 2, np.inf)), list("abc")),
        "missing or infinite.*the first for 'b' and 'c'",
    ),
    "complex": (K + 0.5j, "complex: a covariance has real numbers"),
    "labels said twice": (hd.Relationship(K, ["c", "b", "a"]), "in another order: leave levels"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_covariance_of_the_levels_is_refused(what: str) -> None:
    matrix, message = REFUSED[what]
    with pytest.raises(DesignError, match=rf"known\(1 \| id, K\): the matrix 'K' .*{message}"):
        known(matrix)


@pytest.mark.parametrize(
    ("term", "matrices", "message"),
    [
        (TERM, None, r"no matrix 'K' was given; pass matrices=\{'K': ...\}"),
        (TERM, {"KK": K}, r"no matrix 'K' was given \(did you mean 'KK'\?\)"),
        (TERM, {"K": K, "KK": K}, "matrices has 'KK', which no term of the formula names"),
        (TERM, K, r"matrices=\{'K': ...\}: DataFrame has none"),
        (TERM, [K], r"matrices=\{'K': ...\}: list has none"),
        ("known(1 | id, K, L)", {"K": K}, "has 2 matrices, and takes one"),
        ("known(1 | id, Kin)", {"Kim": K, "Kin": K}, "matrices has 'Kim'"),
        ("known(1 | id)", {"K": K}, "needs the name of a matrix"),
        ("known(1 | id, K, rank=2)", {"K": K}, "known has no option 'rank'"),
        ("(1 | id)", {"K": K}, "matrices has 'K', which no term"),
    ],
)
def test_names_of_matrices(term: str, matrices: Any, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        build(f"y ~ 1 + {term}", TABLE, matrices=matrices)


def test_independent_levels_with_one_row_each_are_the_residual() -> None:
    with pytest.raises(DesignError, match="cannot be told from the residual"):
        known(2.0 * np.eye(6), "known(1 | row, K)")
    with pytest.raises(DesignError, match="all the same, its effects cannot be told"):
        known(np.eye(6) + 0.5, "known(1 | row, K)")
    assert known(np.eye(6) + np.tri(6) @ np.tri(6).T, "known(1 | row, K)").root.shape == (6, 6)


@pytest.mark.parametrize(
    ("terms", "matrices"),
    [
        ("known(1 | id, K) + known(1 | id, L)", {"K": K, "L": 3.0 * K}),
        ("known(1 | id, K) + known(1 | id, L)", {"K": K, "L": K + 0.7}),
        ("known(1 | id, K) + (1 | id)", {"K": 2.0 * np.eye(3)}),
        ("(1 | id) + known(1 | id, K)", {"K": np.eye(3) + 0.5}),
    ],
)
def test_two_covariances_of_levels_that_are_one_are_refused(terms: str, matrices: Any) -> None:
    with pytest.raises(DesignError, match="same covariance between the levels of 'id', up to"):
        build(f"y ~ 1 + {terms}", TABLE, matrices=matrices)
    build("y ~ 1 + known(1 | id, K) + known(1 | dam, L)", TABLE, matrices={"K": K, "L": DAMS})
    build("y ~ 1 + known(1 | id, K) + (1 | id)", TABLE, matrices={"K": K})


def test_pairs_are_levels_of_a_crossed_group() -> None:
    pairs = pd.MultiIndex.from_product([list("abc"), list("pq")])
    k = np.eye(6) + np.tri(6) @ np.tri(6).T
    found = known(pd.DataFrame(k, pairs, pairs), "known(1 | id:dam, K)")
    np.testing.assert_allclose(found.root @ found.root.T, k)


def test_a_table_without_index_has_its_levels_as_columns() -> None:
    polars = pytest.importorskip("polars")
    found = known(polars.DataFrame(K.to_numpy()[::-1, ::-1], schema=list("cba")))
    np.testing.assert_allclose(found.root @ found.root.T, K)


def test_too_many_levels_are_refused_before_any_work() -> None:
    with pytest.raises(HendersonError, match=r"20001 levels.*up to 20000"):
        known(sparse.eye_array(20_001))


def test_the_term_is_written_as_it_was() -> None:
    (factor,) = build(f"y ~ 1 + {TERM}", TABLE, matrices={"K": K}).random
    assert factor.slots[0].term.text == TERM
