"""The bundled tables are what their schemas, and R, say."""

from __future__ import annotations

import pandas as pd
import pytest
from reference_cases import BUNDLED, RENAMED, load_results

import henderson as hd
from henderson.data.bundled import dataset_names, describe_dataset
from henderson.errors import DataError

NAMES = dataset_names()
# R's data set -> a stored result that describes its columns.
DESCRIBED = {
    "rat_pup": "ratpup_sex_reml",
    "sleepstudy": "sleep_slope_reml",
    "Dyestuff": "dyestuff_reml",
    "Dyestuff2": "dyestuff2_reml",
    "Penicillin": "penicillin_reml",
    "Pastes": "pastes_nested_reml",
    "cake": "cake_main_reml",
    "Orthodont": "orthodont_slope_reml",
    "Oats": "oats_linear_reml",
    "Machines": "machines_slopes_reml",
    "Ovary": "ovary_diag_reml",
    "BodyWeight": "bodyweight_slope_reml",
    "InstEval": "insteval_reml",
    "score_parentedu_byclass": "score_inter_reml",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_the_rows_and_columns_of_its_schema(name: str) -> None:
    schema, frame = describe_dataset(name), hd.load_dataset(name)
    assert len(frame) == schema["rows"]
    assert list(frame.columns) == [column["name"] for column in schema["columns"]]
    assert not frame.isna().any().any()


@pytest.mark.parametrize("name", NAMES)
def test_types_and_levels_are_those_of_the_schema(name: str) -> None:
    frame = hd.load_dataset(name)
    for column in describe_dataset(name)["columns"]:
        values = frame[column["name"]]
        if column["type"] == "factor":
            assert not values.cat.ordered
            assert set(values.cat.categories) == set(values)
            assert column["levels"] in ("numeric", values.cat.categories.tolist())
        else:
            assert values.dtype == {"number": "float64", "integer": "int64"}[column["type"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_cites_its_source_and_licence(name: str) -> None:
    schema = describe_dataset(name)
    assert schema["name"] == name
    for key in ("description", "source", "citation", "licence"):
        assert schema[key].strip()
    assert all(column["description"].strip() for column in schema["columns"])


@pytest.mark.parametrize("theirs", sorted(set(DESCRIBED) - {"rat_pup"}))
def test_levels_stand_in_the_order_that_r_gives_them(theirs: str) -> None:
    frame = hd.load_dataset(BUNDLED[theirs]).rename(columns=RENAMED)
    for column in load_results(DESCRIBED[theirs])["data"]["columns"]:
        if column["type"] in ("factor", "ordered") and column["name"] in frame:
            levels = column.get("levels") or sorted(set(frame[column["name"]]), key=int)
            assert frame[column["name"]].cat.categories.tolist() == levels


def test_the_reference_group_of_rat_pups_is_male_and_control() -> None:
    frame = hd.load_dataset("rat_pup")
    assert frame["sex"].cat.categories.tolist() == ["Male", "Female"]
    assert frame["treatment"].cat.categories.tolist() == ["Control", "Low", "High"]


def test_every_described_table_is_bundled() -> None:
    assert {BUNDLED[theirs] for theirs in DESCRIBED} == set(NAMES)


def test_classroom_scores_have_the_published_sufficient_statistics() -> None:
    published = load_results("tutorial_score")["results"]["sufficient_statistics"]
    for name, rows in hd.load_dataset("classroom_scores").groupby("classroom", observed=True):
        x, y = rows["edu"], rows["score"]
        found = {"n": len(rows), "sum_x": x.sum(), "sum_y": y.sum(), "sum_x2": (x * x).sum()}
        found |= {"sum_xy": (x * y).sum(), "sum_y2": (y * y).sum()}
        assert found == pytest.approx({key: published[name][key] for key in found}, rel=1e-9)


def test_a_loaded_table_belongs_to_the_caller() -> None:
    frame = hd.load_dataset("dyestuff")
    frame["Yield"] = 0
    assert (hd.load_dataset("dyestuff")["Yield"] > 0).all()


def test_the_list_of_tables_names_rows_description_and_source() -> None:
    listed = hd.datasets()
    assert list(listed.columns) == ["name", "rows", "description", "source"]
    assert tuple(listed["name"]) == NAMES
    assert listed.set_index("name").loc["insteval", "rows"] == 73421


def test_an_unknown_table_is_refused_with_its_neighbours() -> None:
    with pytest.raises(DataError, match="'sleepstdy': did you mean 'sleepstudy'"):
        hd.load_dataset("sleepstdy")


def test_loading_a_table_gives_pandas() -> None:
    assert isinstance(hd.load_dataset("dyestuff"), pd.DataFrame)
