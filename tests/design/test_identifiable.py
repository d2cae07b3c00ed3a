"""Terms that cannot be told from the residuals: whether I is a direction in which Z Sigma Z' moves,
by the Jacobian of V at a point that is nothing special."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.covariance import make_structure
from henderson.design import build
from henderson.design.columns import Columns
from henderson.design.random import random_design
from henderson.errors import DesignError
from henderson.formula import parse

RNG = np.random.default_rng(4)
ROWS = 24
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=ROWS),
        "x": RNG.normal(size=ROWS),
        "row": np.arange(ROWS),
        "pair": np.arange(ROWS) // 2,
        "g": np.arange(ROWS) // 4,
        "t": np.arange(ROWS) % 4,
        "u": np.arange(ROWS) % 2,
        "f": list("abcd") * (ROWS // 4),
        "side": np.where(np.arange(ROWS) % 4 < 2, "l", "r"),
    }
)
TABLES = {
    "complete": DATA,
    "incomplete": DATA.drop([1, 7, 14]),
    "repeated": pd.concat([DATA, DATA.iloc[:5]], ignore_index=True),
}
TERMS = [
    "(1 | row)", "(x | row)", "(0 + x | row)", "(x || row)", "cs(0 + f | row)", "ar1(0 + t | row)",
    "har1(0 + t | row)", "ou(0 + t | row)", "(0 + f | row)", "(1 | pair)", "(u | pair)",
    "(t | pair)", "(x | pair)", "(0 + u | pair)", "ar1(0 + u | pair)", "har1(0 + u | pair)",
    "(1 | g)", "(f | g)", "(f || g)", "(0 + f | g)", "diag(0 + f | g)", "cs(0 + f | g)",
    "ar1(0 + t | g)", "har1(0 + t | g)", "toep(0 + t | g)", "exp(0 + t | g)",
    "(t + I(t**2) | g)", "(t + I(t**2) + I(t**3) | g)", "us(1 | row, by=side)",
    "us(0 + f | g, by=side)", "us(u | pair, by=side)", "cs(0 + f | g, by=side)",
]  # fmt: skip


def is_confounded(term: str, data: pd.DataFrame) -> bool:
    """Whether the identity is among the derivatives of Z Sigma(phi) Z'."""
    (factor,) = random_design(parse(f"y ~ 1 + {term}").random, Columns(data), {})
    (slot,) = factor.slots
    k = factor.z.shape[1]
    structure = make_structure(slot.term.structure, k, slot.positions, slot.strata)
    start = structure.start(np.eye(k) + 0.3)
    moves = structure.jacobian(start + 0.2 * np.random.default_rng(8).normal(size=len(start)))
    same = factor.codes[:, None] == factor.codes
    columns = np.array([((factor.z @ m @ factor.z.T) * same).ravel() for m in moves]).T
    identity = np.eye(len(data)).ravel()
    left = identity - columns @ np.linalg.lstsq(columns, identity, rcond=1e-10)[0]
    return bool(np.abs(left).max() < 1e-6)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("term", TERMS)
def test_terms_are_refused_if_and_only_if_they_hold_the_residual(term: str, table: str) -> None:
    data = TABLES[table]
    formula = f"y ~ 1 + {term}"
    if is_confounded(term, data):
        with pytest.raises(DesignError, match="cannot be told from the residual's"):
            build(formula, data)
    else:
        assert build(formula, data).n == len(data)


def test_both_happen() -> None:
    found = {(term, key): is_confounded(term, TABLES[key]) for term in TERMS for key in TABLES}
    assert 20 < sum(found.values()) < len(found) - 20
    assert found["(u | pair)", "complete"]
    assert not found["(x | pair)", "complete"]


def test_the_message_names_the_term_and_says_what_to_write() -> None:
    with pytest.raises(
        DesignError, match=r"^\(f \| g\) has 24 random effects for 24 rows.*\(1 \| g"
    ):
        hd.lmm("y ~ 1 + (1 | side) + (f | g)", DATA)
    with pytest.raises(DesignError, match="'row' has as many levels as there are rows"):
        hd.lmm("y ~ 1 + (1 | row)", DATA, weights=1.0 + DATA["g"])


# ---- compound symmetry of the residuals


@pytest.mark.parametrize("residual", ["cs(1 | g)", "toep(t | g)", "us(t | g)", "UN(t | g)"])
@pytest.mark.parametrize("term", ["(1 | g)", "(x | g)", "cs(0 + side | g)", "diag(1 + x | g)"])
def test_a_common_covariance_of_residuals_is_a_random_intercept(residual: str, term: str) -> None:
    with pytest.raises(DesignError, match="only the sum of the two can be estimated"):
        hd.lmm(f"y ~ 1 + {term}", TABLES["incomplete"].reset_index(drop=True), correlation=residual)


@pytest.mark.parametrize(
    ("term", "keywords"),
    [
        ("(0 + x | g)", {"correlation": "cs(1 | g)"}),
        ("(1 | pair)", {"correlation": "cs(1 | g)"}),
        ("(1 | g)", {"correlation": "cs(1 | pair)"}),
        ("(1 | g)", {"correlation": "ar1(t | g)"}),
        ("(1 | g)", {"correlation": "cs(1 | g)", "variance": "ident(side)"}),
    ],
)
def test_other_pairs_of_terms_and_residuals_are_fitted(term: str, keywords: dict[str, str]) -> None:
    assert np.isfinite(hd.lmm(f"y ~ 1 + {term}", DATA, **keywords).llf)


def test_a_random_intercept_takes_what_compound_symmetry_would() -> None:
    """The two models that are refused together are one model."""
    data = hd.load_dataset("orthodont")
    residual = hd.lm("distance ~ age", data, correlation="cs(1 | Subject)")
    random = hd.lmm("distance ~ age + (1 | Subject)", data)
    assert residual.llf == pytest.approx(random.llf, rel=1e-10)
