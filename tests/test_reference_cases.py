"""The mapping from R's names, formulas and tables to henderson's."""

from __future__ import annotations

import pytest
from reference_cases import (
    Column,
    case_ids,
    coefficient_name,
    level_labels,
    lmer_cases,
    load_case,
    load_results,
    load_table,
    table_columns,
    translate_formula,
)

COLUMNS = (
    Column("x", "numeric"),
    Column("f", "factor", ("lo", "mid", "hi")),
    Column("dose", "ordered", ("1", "2", "3"), "contr.poly"),
    Column("Sex", "factor", ("Male", "Female"), "contr.sum"),
    Column("nitro", "numeric"),
    Column("nitro_f", "factor", ("0", "0.2")),
)


@pytest.mark.parametrize(
    ("r_name", "ours"),
    [
        ("(Intercept)", "Intercept"),
        ("x", "x"),
        ("nitro", "nitro"),
        ("I(x^2)", "I(x ** 2)"),
        ("fmid", "f[T.mid]"),
        ("fhi:x", "f[T.hi]:x"),
        ("nitro_f0.2", "nitro_f[T.0.2]"),
        ("dose.L", "C(dose, contr.poly)[.L]"),
        ("dose^4", "C(dose, contr.poly)[^4]"),
        ("x:Sex1", "x:C(Sex, contr.sum)[S.Male]"),
    ],
)
def test_coefficient_names(r_name: str, ours: str) -> None:
    assert coefficient_name(r_name, ["(Intercept)", r_name], COLUMNS) == ours


def test_every_level_is_kept_where_the_first_has_a_coefficient() -> None:
    names = ["flo", "fmid", "fhi", "fmid:x", "fhi:x"]
    ours = [coefficient_name(name, names, COLUMNS) for name in names]
    assert ours == ["f[lo]", "f[mid]", "f[hi]", "f[T.mid]:x", "f[T.hi]:x"]


def test_codings_move_into_the_fixed_part_of_the_formula() -> None:
    text = "y ~ dose * x + I(x^2) + (x + I(x^2) | dose) + f"
    expected = "y ~ C(dose, contr.poly) * x + I(x^2) + (x + I(x^2) | dose) + f"
    assert translate_formula(text, COLUMNS) == expected


def test_every_stored_lmer_fit_is_a_case_with_distinct_names() -> None:
    cases = lmer_cases()
    assert len(cases) == 79
    for case in cases:
        assert case.engine == "lme4::lmer"
        assert len(set(case.fixed_names)) == len(case.results["fixef"])
        assert len(case.thetas()) == len(case.results["theta"])


@pytest.mark.parametrize("name", ["Rail", "ergoStool", "Oxboys", "syn_public"])
def test_stored_tables_have_the_columns_and_rows_that_r_saw(name: str) -> None:
    columns = table_columns(name)
    table = load_table(name, columns)
    assert list(table) == [column.name for column in columns]
    for column in columns:
        if column.is_factor:
            assert list(table[column.name].cat.categories) == list(column.levels)


@pytest.mark.parametrize("case_id", [case.id for case in lmer_cases()])
def test_tables_have_the_rows_and_columns_that_r_saw(case_id: str) -> None:
    case = load_case(case_id)
    table, described = case.data(), load_results(case_id)["data"]
    assert len(table) == described["n_rows"]
    assert list(table) == [column["name"] for column in described["columns"]]
    for column in case.columns:
        if column.levels:
            assert list(table[column.name].cat.categories) == list(column.levels)
            assert set(table[column.name].dropna()) == set(column.levels)


def test_labels_of_crossed_groups_follow_the_order_of_the_columns() -> None:
    case = load_case("machines_nested_reml")
    labels = level_labels("Machine:Worker", "Worker:Machine", case.data())
    assert labels["A:6"] == "6:A"
    assert len(labels) == 18


def test_sufficient_statistics_of_the_classrooms_are_those_that_r_saw() -> None:
    table = load_case("score_inter_reml").data()
    stored = load_results("tutorial_score")["results"]["sufficient_statistics"]
    for level, rows in table.groupby("classroom", observed=True):
        x, y, sums = rows["edu"].astype(float), rows["score"], stored[level]
        assert len(rows) == sums["n"]
        ours = [x.sum(), (x * x).sum(), y.sum(), (x * y).sum(), (y * y).sum()]
        names = ["sum_x", "sum_x2", "sum_y", "sum_xy", "sum_y2"]
        assert ours == pytest.approx([sums[name] for name in names], rel=1e-12)


def test_stored_results_cover_every_family() -> None:
    for prefix, least in {"lrt": 10, "tutorial": 3, "gls": 10, "lme": 40, "tmb": 20}.items():
        assert len(case_ids(prefix)) >= least
