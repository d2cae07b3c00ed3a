"""The numbers of a table of models as a data frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from henderson.tables.model_cells import union

if TYPE_CHECKING:
    from henderson.tables.model_column import ModelColumn
    from henderson.tables.model_table import ModelTable

# Names of broom's for those of the intervals.
_VALUES = {
    "estimate": "estimate",
    "std_error": "std_error",
    "df": "df",
    "statistic": "statistic",
    "p_value": "p_value",
    "lower": "conf_low",
    "upper": "conf_high",
}
Key = tuple[str, str, str]


def numbers_frame(table: ModelTable) -> pd.DataFrame:
    """One column a model; rows by part, term and value."""
    found = [dict(_numbers(table, i)) for i in range(len(table.columns))]
    order = [key for part in _PARTS for key in union(found) if key[0] == part]
    index = pd.MultiIndex.from_tuples(order, names=["part", "term", "value"])
    columns = {
        column.name: [values.get(key, float("nan")) for key in order]
        for column, values in zip(table.columns, found, strict=True)
    }
    return pd.DataFrame(columns, index=index, dtype=float)


_PARTS = ("fixed", "random", "residual", "fit")


def _numbers(table: ModelTable, i: int) -> Iterator[tuple[Key, float]]:
    column = table.columns[i]
    for term in table.terms:
        name = term.names[i]
        if name is not None:
            row = column.fixed.loc[name]
            yield from ((("fixed", term.label, new), row[old]) for old, new in _VALUES.items())
    yield from _parameters(column)
    for name, count in column.groups.items():
        yield ("fit", name, "groups"), count
    yield from ((("fit", "", name), value) for name, value in column.measures.items())


def _parameters(column: ModelColumn) -> Iterator[tuple[Key, float]]:
    for part, values in (("random", column.random), ("residual", column.residual)):
        for parameter, value in values.items():
            yield (part, str(parameter), "estimate"), value
