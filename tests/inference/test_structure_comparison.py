"""Structures side by side: the order of criteria, tests of nested ones, and the picture."""

from __future__ import annotations

import numpy as np
import pytest

import henderson as hd
from henderson.inference.structure_comparison import StructureComparison

STRUCTURES = [
    "independent",
    "cs(1 | Subject)",
    "ar1(Days | Subject)",
    "toep(Days | Subject)",
    "ar1(Days | Subject) * exp(Days)",
    {"random": "(Days | Subject)"},
]


@pytest.fixture(scope="module")
def found() -> StructureComparison:
    return hd.compare_structures("Reaction ~ Days", hd.load_dataset("sleepstudy"), STRUCTURES)


def test_each_is_the_fit_of_its_own_call(found: StructureComparison) -> None:
    data = hd.load_dataset("sleepstudy")
    alone = hd.lm("Reaction ~ Days", data, correlation="ar1(Days | Subject)", variance="exp(Days)")
    assert found.fits["ar1(Days | Subject) * exp(Days)"].llf == alone.llf
    mixed = hd.lmm("Reaction ~ Days + (Days | Subject)", data)
    assert found.fits["(Days | Subject)"].llf == mixed.llf


def test_the_best_comes_first(found: StructureComparison) -> None:
    assert len(found.table) == len(STRUCTURES)
    assert found.table["aic"].is_monotonic_increasing
    assert found.table["delta_aic"].iloc[0] == 0.0
    assert found.best.aic == found.table["aic"].min()
    by_bic = hd.compare_structures(
        "Reaction ~ Days", hd.load_dataset("sleepstudy"), STRUCTURES[:3], by="bic"
    )
    assert by_bic.table["bic"].is_monotonic_increasing


def test_tests_are_of_nested_structures(found: StructureComparison) -> None:
    table = found.table.set_index("structure")
    assert table.loc["ar1(Days | Subject)", "against"] == "independent"
    assert table.loc["toep(Days | Subject)", "against"] in (
        "cs(1 | Subject)",
        "ar1(Days | Subject)",
    )
    row = table.loc["ar1(Days | Subject) * exp(Days)"]
    test = hd.anova(found.fits["ar1(Days | Subject)"], found.fits[str(row.name)])
    assert row["statistic"] == pytest.approx(test.table["statistic"].iloc[1])
    assert row["p_value"] == pytest.approx(test.table["p_value"].iloc[1])
    assert table.loc["independent", "against"] == ""


def test_a_structure_that_cannot_be_fitted_is_named() -> None:
    data = hd.load_dataset("sleepstudy").assign(row=np.arange(180))
    found = hd.compare_structures(
        "Reaction ~ Days", data, {"plain": None, "impossible": "cs(1 | row)"}
    )
    assert list(found.fits) == ["plain"]
    assert "one row" in found.failures["impossible"]
    assert "Not fitted: impossible" in str(found)


@pytest.mark.parametrize(
    ("structures", "message"),
    [
        ("ar1(Days | Subject)", "a list"),
        ([], "no structure"),
        (["cs(1 | Subject)"] * 2, "there twice"),
        ([3], "3 is no structure"),
        (["cs(1 | Subject) * ar1(Days | Subject)"], "two correlations"),
    ],
)
def test_bad_lists(structures: object, message: str) -> None:
    with pytest.raises(hd.FormulaError, match=message):
        hd.compare_structures("Reaction ~ Days", hd.load_dataset("sleepstudy"), structures)


def test_the_picture_has_the_fitted_correlations(found: StructureComparison) -> None:
    ax = found.plot(most=6)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["empirical"].get_xdata().tolist() == list(range(1, 10))
    rho = found.fits["ar1(Days | Subject)"].structures()["ar1(Days | Subject)"]["rho"]
    curve = lines["ar1(Days | Subject)"].get_ydata()
    np.testing.assert_allclose(curve, rho ** np.arange(1, 10))
    cs = lines["cs(1 | Subject)"].get_ydata()
    np.testing.assert_allclose(cs, cs[0])
    np.testing.assert_allclose(lines["independent"].get_ydata(), 0.0)
