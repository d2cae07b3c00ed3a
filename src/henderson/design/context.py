"""What a formula can name beside the columns: functions and constants."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from henderson.errors import DataError, FormulaError, did_you_mean
from henderson.formula import FUNCTIONS, Formula
from henderson.formula.names import Names, allowed_constant, names, refuse_unsafe
from henderson.formula.words import CONTRASTS, MATHS

# Formulaic's own names, which its evaluation adds; checked against it in the tests.
FORMULAIC = frozenset({"np", "contr", "hashed"})


@lru_cache(maxsize=1)
def functions() -> Mapping[str, Any]:
    """Functions and constants that every formula may use, by name."""
    maths = {name: getattr(np, name) for name in MATHS - {"exp10"}}
    words = {"pi": np.pi, "TRUE": True, "FALSE": False}
    return MappingProxyType({**maths, **words, "C": _factor, "factor": _factor})


def _factor(data: Any, *args: Any, **options: Any) -> Any:
    """formulaic's `C`, with whole numbers as levels 1, 2 rather than 1.0, 2.0."""
    import pandas as pd
    from formulaic.transforms import C

    values = data if isinstance(data, pd.Series) else pd.Series(np.asarray(data))
    if values.dtype == np.float64 and (values == np.floor(values)).all():
        data = values.astype(np.int64)
    return C(data, *args, **options)


@lru_cache(maxsize=512)
def used_names(formula: Formula) -> Names:
    """The names in all the expressions of a formula."""
    texts = [formula.response, formula.fixed, *(t.lhs for t in formula.random)]
    found = [names(text) for text in [*texts, formula.offset or ""]]
    variables = dict.fromkeys(v for one in found for v in one.variables)
    return Names(tuple(variables), tuple(dict.fromkeys(c for one in found for c in one.calls)))


def required_columns(
    formula: Formula, available: Iterable[Any], context: Mapping[str, Any], trusted: bool
) -> tuple[str, ...]:
    """The columns that a formula needs, its groups last.

    Raises
    ------
    DataError : a column that the data do not have.
    FormulaError : a function that is not known, or not allowed when the formula is not trusted.
    """
    if not trusted:
        refuse_unsafe(formula.text)
    have = available if hasattr(available, "__contains__") else set(available)
    used = used_names(formula)
    found: dict[str, None] = {}
    for name in used.variables:
        column = _column_of(name, have, context, trusted)
        if column is not None:
            found[column] = None
    for name in used.calls:
        column = _check_call(name, have, context, trusted)
        if column is not None:
            found[column] = None
    strata = [text for term in formula.random for key, text in term.options if key == "by"]
    for name in [*(c for term in formula.random for c in term.group), *strata]:
        if name not in have:
            raise unknown_column(name, have)
        found[name] = None
    return tuple(found)


def _column_of(name: str, have: Any, context: Mapping[str, Any], trusted: bool) -> str | None:
    """The column that a name stands for; None for a constant."""
    if name in have:
        return name
    if allowed_constant(name) or (keyword.iskeyword(name) and name != "lambda"):
        return None
    root, *attributes = name.split(".")
    if trusted and root in have:
        return root
    if trusted and _resolves(root, attributes, context):
        return None
    if root == "contr":
        raise FormulaError(f"There is no coding '{name}': {did_you_mean(name, sorted(CONTRASTS))}")
    raise unknown_column(name, have)


def _check_call(name: str, have: Any, context: Mapping[str, Any], trusted: bool) -> str | None:
    """Check a called name; the column whose method it is (`x.abs()`), or None."""
    root, *attributes = name.split(".")
    if not attributes and (name in FUNCTIONS or name in FORMULAIC or name in context):
        return None
    if trusted and attributes and root in have:
        return root
    if trusted and attributes and _resolves(root, attributes, context):
        return None
    if keyword.iskeyword(name):
        return None
    raise FormulaError(f"There is no function '{name}' for formulas: {_hint(name, context)}")


def _resolves(root: str, attributes: list[str], context: Mapping[str, Any]) -> bool:
    """Whether `root.attribute...` is in the context, NumPy, or formulaic's codings."""
    if root in context:
        value = context[root]
    elif root == "np":
        value = np
    else:
        return root in FUNCTIONS | FORMULAIC and ".".join([root, *attributes]) in CONTRASTS
    for attribute in attributes:
        if not hasattr(value, attribute):
            return False
        value = getattr(value, attribute)
    return True


def _hint(name: str, context: Mapping[str, Any]) -> str:
    if name.startswith("np."):
        return did_you_mean(name, (f"np.{n}" for n in dir(np) if name[3:4] == n[:1]))
    return did_you_mean(name, sorted({*FUNCTIONS, *context}))


def unknown_column(name: str, have: Iterable[Any]) -> DataError:
    """The error for a column that is not there, with close matches."""
    return DataError(f"There is no column '{name}' in the data: {did_you_mean(name, have)}")
