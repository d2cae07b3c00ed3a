"""Tests of random terms: agreement with lmerTest, and the exact test of one variance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference_cases import group_key, lmer_cases, load_case
from scipy import stats

import henderson as hd
from henderson.errors import DesignError
from henderson.inference.exact_rlrt import eigenvalues, null_distribution

CASES = [c.id for c in lmer_cases() if c.results.get("ranova")]


def key(label: str) -> tuple[str, frozenset[str]]:
    """What is left out, and the columns of the grouping factor."""
    left, _, right = label.rpartition("|")
    return left.replace("^", "**").replace(" ", ""), group_key(right.strip(" )"))


@pytest.mark.parametrize("case_id", CASES)
def test_each_term_is_tested_as_lmertest_tests_it(case_id: str) -> None:
    """lmerTest makes (1 | g) of (0 + x | g) alone, which is not nested (0 df); here it goes."""
    case = load_case(case_id)
    fit = hd.lmm(case.formula, case.data(), method=case.method, **case.keywords)
    table = fit.ranova().table
    ours = {key(row["term"]): row for _, row in table.iloc[1:].iterrows()}
    stored = {key(k): v for k, v in case.results["ranova"].items() if k != "<none>"}
    if "||" in case.formula:
        ours, stored = dict(enumerate(ours.values())), dict(enumerate(stored.values()))  # type: ignore[assignment]
    assert ours.keys() == stored.keys()
    for name, expected in stored.items():
        if expected["df"] == 0:
            assert ours[name]["df"] == 1
            continue
        assert ours[name]["npar"] == expected["npar"]
        assert ours[name]["llf"] == pytest.approx(expected["logLik"], rel=1e-8)
        assert ours[name]["statistic"] == pytest.approx(max(expected["LRT"], 0.0), abs=1e-5)
        assert ours[name]["df"] == expected["df"]
        assert ours[name]["p_value"] == pytest.approx(expected["p"], rel=1e-4, abs=1e-12)


def test_one_variance_has_half_the_naive_p_value() -> None:
    row = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff")).ranova().table.iloc[1]
    assert row["p_boundary"] == pytest.approx(row["p_value"] / 2, rel=1e-12)


def test_parts_that_other_parts_contain_stay() -> None:
    data = hd.load_dataset("sleepstudy").assign(late=lambda d: (d["Days"] > 4) * 1.0)
    fit = hd.lmm("Reaction ~ Days + (Days * late | Subject)", data)
    assert fit.ranova().table["term"].tolist()[1:] == ["Days:late in (Days * late | Subject)"]


def test_without_random_terms_there_is_nothing_to_test() -> None:
    with pytest.raises(DesignError, match="no random terms"):
        hd.lm("Reaction ~ Days", hd.load_dataset("sleepstudy")).ranova()


def test_printed_in_80_columns() -> None:
    text = str(hd.lmm("score ~ Machine + (Machine | Worker)", hd.load_dataset("machines")).ranova())
    assert max(map(len, text.splitlines())) <= 80


# ---- exact


def balanced(levels: int, rows: int, seed: int = 1, sd: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    return pd.DataFrame(
        {"g": g.astype(str), "y": rng.normal(size=levels * rows) + sd * rng.normal(size=levels)[g]}
    )


def test_balanced_one_way_agrees_with_the_f_test() -> None:
    """There the restricted likelihood ratio is a function of F: the p-values are the same."""
    data = balanced(8, 5, seed=4, sd=1.0)
    result = hd.lmm("y ~ 1 + (1 | g)", data).exact_rlrt(nsim=40_000, seed=2)
    f = stats.f_oneway(*(part["y"] for _, part in data.groupby("g")))
    assert result.statistic > 0
    assert result.p_value == pytest.approx(f.pvalue, abs=4 * result.std_error + 1e-4)


def test_the_share_of_zeros_is_that_of_f_below_one() -> None:
    fit = hd.lmm("y ~ 1 + (1 | g)", balanced(6, 4))
    drawn = null_distribution(eigenvalues(fit), fit.df_resid, 40_000, np.random.default_rng(0))
    assert (drawn == 0.0).mean() == pytest.approx(stats.f.cdf(1.0, 5, 18), abs=0.01)


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | g)", "y ~ x + (1 | g)", "y ~ x + (0 + x | g)"])
def test_eigenvalues_are_those_of_the_dense_matrix(formula: str) -> None:
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": rng.integers(0, 25, 120).astype(str), "x": rng.normal(size=120)})
    data["y"] = rng.normal(size=120)
    fit = hd.lmm(formula, data)
    z = fit.optimum.problem.groupings[0].z * fit.design.Z.toarray().astype(bool)
    x = fit.optimum.problem.x
    dense = np.linalg.eigvalsh(z.T @ (z - x @ (x.T @ z) / len(x)))
    np.testing.assert_allclose(np.sort(eigenvalues(fit)), dense[dense > 1e-10], rtol=1e-9)


def test_the_same_seed_gives_the_same_p_value() -> None:
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff"))
    one, other = fit.exact_rlrt(2000, seed=5), fit.exact_rlrt(2000, seed=5)
    assert one == other
    assert "Batch" in str(one)


def test_a_zero_estimate_is_no_evidence() -> None:
    assert (
        hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff2")).exact_rlrt(500, 1).p_value
        == 1.0
    )


@pytest.mark.parametrize(
    ("formula", "method", "message"),
    [
        ("Reaction ~ Days + (Days | Subject)", "REML", "one variance component"),
        ("Reaction ~ Days + (1 | Subject)", "ML", "method='REML'"),
    ],
)
def test_what_the_exact_test_is_not_for(formula: str, method: str, message: str) -> None:
    fit = hd.lmm(formula, hd.load_dataset("sleepstudy"), method=method)  # type: ignore[arg-type]
    with pytest.raises(DesignError, match=message):
        fit.exact_rlrt()
