"""The tables that come with the package: a CSV file and a JSON schema each."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from henderson.errors import DataError, did_you_mean

FOLDER = Path(__file__).parent / "csv"
DTYPES = {"number": "float64", "integer": "int64", "factor": "str"}


def load_dataset(name: str) -> pd.DataFrame:
    """A bundled table by name; `henderson.datasets()` lists them.

    Factors are unordered categoricals whose levels stand in the order of the schema, so that they
    get treatment coding with the first level as reference.

    Raises
    ------
    DataError : there is no table of that name.

    Examples
    --------
    >>> load_dataset("rat_pup")["treatment"].cat.categories.tolist()
    ['Control', 'Low', 'High']
    """
    about = describe_dataset(name)
    columns = about["columns"]
    frame = pd.read_csv(
        FOLDER / about["file"],
        dtype={c["name"]: DTYPES[c["type"]] for c in columns},
        keep_default_na=False,
    )
    factors = {c["name"]: _categorical(frame[c["name"]], c) for c in columns if "levels" in c}
    return frame.assign(**factors)


def datasets() -> pd.DataFrame:
    """The bundled tables: name, rows, description and source of each."""
    about = [describe_dataset(name) for name in dataset_names()]
    return pd.DataFrame(about, columns=["name", "rows", "description", "source"])


def dataset_names() -> tuple[str, ...]:
    """Names of the bundled tables, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def describe_dataset(name: str) -> dict[str, Any]:
    """The schema of a bundled table: columns, rows, source, citation, licence.

    Raises
    ------
    DataError : there is no table of that name.
    """
    if name not in dataset_names():
        raise DataError(f"Unknown data set '{name}': {did_you_mean(name, dataset_names())}")
    schema: dict[str, Any] = json.loads(_schema_text(name))
    return schema


@cache
def _schema_text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def _categorical(values: pd.Series, column: dict[str, Any]) -> pd.Categorical:
    """Levels listed in the schema, or "numeric": those of the data in numeric order."""
    levels = column["levels"]
    if levels == "numeric":
        levels = sorted(values.unique(), key=int)
    return pd.Categorical(values, categories=levels)
