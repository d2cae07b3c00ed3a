"""`re_formula` and `vc_formula` as random terms.

A variance component is a set of independent effects within each group with one variance. Where
its columns mark the units of a factor, `0 + C(b)`, it is a random intercept of the units within
groups, (1 | group:b); a numeric column is a slope, (0 + x | group); several numeric columns share
a variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from henderson.design.columns import holds_labels
from henderson.errors import FormulaError, did_you_mean
from henderson.formula import RandomTerm
from henderson.formula.names import names
from henderson.formula.words import MATHS

ONCE_A_ROW = MATHS | {"C", "I", "Q"}


@dataclass(frozen=True)
class Piece:
    """A factor of a component's column: its text, and the column whose level stands in its name."""

    text: str
    column: str | None = None


@dataclass(frozen=True)
class Component:
    """One variance component.

    Parameters
    ----------
    name : statsmodels' "<name> Var".
    term : as a random term.
    pieces : of the one column that it has within a unit; empty where it has several columns.
    """

    name: str
    term: RandomTerm
    pieces: tuple[Piece, ...] = ()


def effects_term(re_formula: str | None, group: str, components: bool) -> RandomTerm | None:
    """The correlated random effects by group; without a formula, an intercept or, beside variance
    components, none."""
    if re_formula is None:
        return None if components else _term("1", (group,), "us")
    text = one_sided(re_formula, "re_formula")
    if text.replace(" ", "") in ("0", "-1"):
        if components:
            return None
        raise FormulaError(
            f"re_formula='{re_formula}' leaves no random effect: write '1' for an intercept."
        )
    return _term(text, (group,), "us")


def components(
    vc_formula: Mapping[str, str] | None, group: str, table: pd.DataFrame
) -> tuple[Component, ...]:
    """Variance components in the order of their names, as statsmodels has them.

    Raises
    ------
    FormulaError : an expression that cannot be read as independent effects within groups.
    """
    if vc_formula is None:
        return ()
    if not isinstance(vc_formula, Mapping):
        raise FormulaError("vc_formula is a mapping of names to formulas, {'b': '0 + C(b)'}.")
    return tuple(_component(str(k), vc_formula[k], group, table) for k in sorted(vc_formula))


def one_sided(text: Any, what: str) -> str:
    """The terms of a one-sided formula, without its tilde."""
    if not isinstance(text, str):
        raise FormulaError(f"{what} is text such as '1 + x', not {type(text).__name__}.")
    body = text.strip().removeprefix("~").strip()
    if not body or "~" in body or "|" in body:
        raise FormulaError(f"{what}: '{text}' is not a one-sided formula such as '~ 1 + x'.")
    return body


def _component(name: str, text: Any, group: str, table: pd.DataFrame) -> Component:
    body = one_sided(text, f"vc_formula['{name}']")
    _check_calls(name, body)
    terms = [tuple(str(f.expr) for f in term.factors if f.expr != "1") for term in _terms(body)]
    pieces = [tuple(_piece(name, factor, table) for factor in term) for term in terms]
    if not terms:
        raise FormulaError(f"vc_formula['{name}'] = '{text}' has no columns.")
    labels = [any(p.column is not None for p in term) for term in pieces]
    if len(pieces) == 1 and pieces[0]:
        return _units(name, pieces[0], group, table)
    if any(labels):
        raise FormulaError(
            f"vc_formula['{name}'] = '{text}' mixes units of a factor with other terms: give each "
            "its own component, such as '0 + C(b)', which is one variance each."
        )
    structure = "us" if len(pieces) == 1 else "iid"
    return Component(name, _term(body, (group,), structure))


def _units(name: str, pieces: tuple[Piece, ...], group: str, table: pd.DataFrame) -> Component:
    """One column within each unit: the units are combinations of the group and the factors.

    One group that holds all rows, which is how crossed factors are written, adds nothing to them.
    """
    columns = tuple(p.column for p in pieces if p.column is not None)
    numbers = [p.text for p in pieces if p.column is None]
    lhs = "0 + " + ":".join(numbers) if numbers else "1"
    alone = columns and table[group].nunique(dropna=False) == 1
    units = columns if alone else (group, *columns)
    return Component(name, _term(lhs, tuple(dict.fromkeys(units)), "us"), pieces)


def _piece(name: str, factor: str, table: pd.DataFrame) -> Piece:
    """A numeric expression, or a factor by its column."""
    inner = factor[2:-1].strip() if factor.startswith("C(") and factor.endswith(")") else None
    column = (factor if inner is None else inner).strip("`")
    if inner is not None:
        if column not in table.columns:
            raise FormulaError(
                f"vc_formula['{name}']: C({inner}) is not the C() of a column: make a column of "
                f"it, and give its name ({did_you_mean(inner, table.columns)})"
            )
        return Piece(factor, column)
    if column in table.columns and holds_labels(table[column]):
        return Piece(factor, column)
    return Piece(factor)


def _check_calls(name: str, body: str) -> None:
    """Refuse transforms that look at all rows: statsmodels evaluates them within each group."""
    for call in names(body).calls:
        if call not in ONCE_A_ROW and not _elementwise(call):
            raise FormulaError(
                f"vc_formula['{name}']: {call}() may not mean the same on all rows and within each "
                "group, where statsmodels evaluates it: make a column of it, and give its name."
            )


def _elementwise(call: str) -> bool:
    """Whether `call` is a NumPy function that works value by value."""
    return call.startswith("np.") and isinstance(getattr(np, call[3:], None), np.ufunc)


def _terms(body: str) -> Any:
    import formulaic

    try:
        return list(formulaic.Formula(body))
    except formulaic.errors.FormulaicError as error:
        raise FormulaError(f"Cannot read '{body}': {error}") from error


def _term(lhs: str, group: tuple[str, ...], structure: str) -> RandomTerm:
    inside = f"{lhs} | {':'.join(group)}"
    text = f"({inside})" if structure == "us" else f"{structure}({inside})"
    return RandomTerm(lhs, group, structure, (), text)


def independent(term: RandomTerm) -> RandomTerm:
    """The same effects, uncorrelated."""
    return RandomTerm(term.lhs, term.group, "diag", (), term.text.replace(" | ", " || "))
