"""A text of terms -> a matrix, and the state that makes the same columns for new rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from keyword import iskeyword
from typing import Any, Literal

import numpy as np

from henderson.design.columns import Columns
from henderson.design.context import functions
from henderson.errors import DataError, DesignError, FormulaError, HendersonError
from henderson.formula.names import Token, names, tokens

Order = Literal["C", "F"]
NUMERALS = frozenset("01")
_NUMERAL = re.compile(r"(?:^|(?<=:))Q\('([01])'\)(?=$|[:\[])")
_NAME = re.compile(r"[^\W\d]\w*")
_SIGNED = re.compile(r"\s*([+-]?)\s*([^\W\d][\w.]*|[01])\s*(?=[+-]|$)")


@dataclass(frozen=True)
class PlainTerms:
    """An intercept or none, and columns by name."""

    intercept: bool
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    """How a text of terms becomes columns; the same for the rows of a fit and for new ones.

    Parameters
    ----------
    text : the terms.
    names : (k,) of the columns.
    columns : the columns of the data that the text needs.
    levels : column -> levels (L,) of every factor column that the text uses.
    plain : the terms where they are a sum of names, else None.
    state : formulaic's `ModelSpec` where they are not.
    context : names beside the columns.
    """

    text: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    levels: Mapping[str, np.ndarray] = field(default_factory=dict)
    plain: PlainTerms | None = None
    state: Any = None
    context: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_column(cls, name: str) -> Spec:
        """A column of numbers as it is."""
        return cls(name, (name,), (name,), plain=PlainTerms(False, (name,)))

    def matrix(self, columns: Columns) -> np.ndarray:
        """The columns (m, k) for m new rows."""
        if self.plain is not None:
            return _plain_matrix(self.plain, columns, "F")[1]
        return _formulaic(self.text, self.state, columns, self.context)[1]


def fit_spec(
    text: str, columns: Columns, context: Mapping[str, Any], order: Order = "F"
) -> tuple[Spec, np.ndarray]:
    """Evaluate a text of terms: how it was done, and the columns (n, k), in that memory order.

    A sum of columns by name is evaluated here, with the columns and names that formulaic would
    give; anything else goes to formulaic.

    Raises
    ------
    FormulaError : the text makes no sense. DesignError : it cannot be evaluated on these data.
    """
    plain = plain_terms(text)
    if plain is not None and all(c in columns for c in plain.columns):
        labels, matrix = _plain_matrix(plain, columns, order)
        levels = _levels(plain.columns, columns)
        return Spec(text, labels, plain.columns, levels, plain=plain), matrix
    used = _used(text, columns)
    levels = _levels(used, columns)
    for name, known in levels.items():
        _refuse_one_level(name, known)
    state, matrix = _formulaic(text, _formula(readable(text)), columns, context)
    labels = tuple(restored(name) for name in state.column_names)
    spec = Spec(text, labels, used, levels, state=state, context=context)
    return spec, np.asarray(matrix, order=order)


def fit_expression(
    text: str, columns: Columns, context: Mapping[str, Any]
) -> tuple[Spec, np.ndarray]:
    """Evaluate one expression, such as "log(y)": how it was done, and its values (n,)."""
    if text in columns and columns.is_factor(text):
        raise DataError(f"Column '{text}' is not numeric: numbers are needed there.")
    braced = text if text.startswith("{") and text.endswith("}") else f"{{{text}}}"
    spec, matrix = fit_spec(f"0 + {text if text in columns else braced}", columns, context)
    if matrix.shape[1] != 1:
        raise DesignError(f"'{text}' gives {matrix.shape[1]} columns where one is needed.")
    return spec, matrix[:, 0]


@lru_cache(maxsize=1024)
def plain_terms(text: str) -> PlainTerms | None:
    """The terms of a sum of names, `0` and `1`; None for anything else."""
    found: list[tuple[str, str]] = []
    end = 0
    while end < len(text):
        match = _SIGNED.match(text, end)
        if not match or (found and not match[1]):
            return None
        found.append((match[1] or "+", match[2]))
        end = match.end()
    constants = {sign + word for sign, word in found if word in "01"}
    taken_away = any(sign == "-" and word not in "01" for sign, word in found)
    if taken_away or "-0" in constants or ("+1" in constants and len(constants) > 1):
        return None
    columns = tuple(dict.fromkeys(word for _, word in found if word not in "01"))
    return PlainTerms(not constants & {"+0", "-1"}, columns)


def _plain_matrix(
    plain: PlainTerms, columns: Columns, order: Order
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and matrix of plain terms: a factor loses a level once the constant is spanned."""
    parts: list[tuple[str, Any]] = [("Intercept", 1.0)] if plain.intercept else []
    spanned = plain.intercept
    for name in plain.columns:
        if not columns.is_factor(name):
            parts.append((name, columns.number(name)))
            continue
        factor = columns.factor(name)
        if spanned:
            _refuse_one_level(name, factor.levels)
        form = f"{name}[T.{{}}]" if spanned else f"{name}[{{}}]"
        for j in range(int(spanned), len(factor.levels)):
            parts.append((form.format(factor.levels[j]), factor.codes == j))
        spanned = True
    matrix = np.empty((columns.n, len(parts)), order=order)
    for j, (_, values) in enumerate(parts):
        matrix[:, j] = values
    return tuple(name for name, _ in parts), matrix


def _levels(used: tuple[str, ...], columns: Columns) -> dict[str, np.ndarray]:
    return {name: columns.factor(name).levels for name in used if columns.is_factor(name)}


def _refuse_one_level(name: str, levels: np.ndarray) -> None:
    if len(levels) == 1:
        raise DesignError(
            f"Column '{name}' has one level, '{levels[0]}', in the rows used: "
            "it has no effect to estimate, so leave it out of the formula."
        )


# ---- formulaic


@lru_cache(maxsize=512)
def readable(text: str) -> str:
    """The text as formulaic reads it right.

    A term that is a column called 0 or 1 is to it the number, in backticks too, so `Q()` looks it
    up; and a plain name in backticks stops its functions with a state, such as `scale`.
    """
    for token, in_python in reversed(_with_places(tokens(text))):
        name = token.text.strip("`")
        plain = _NAME.fullmatch(name) and not iskeyword(name)
        if token.kind == "quoted" and (plain or (name in NUMERALS and not in_python)):
            stop = token.position + len(token.text)
            text = text[: token.position] + (name if plain else f"Q('{name}')") + text[stop:]
    return text


def _with_places(items: list[Token]) -> list[tuple[Token, bool]]:
    """Each token, and whether it stands within a call or braces, which are Python."""
    out, open_ = [], [False]
    for before, token in zip([None, *items], items, strict=False):
        if token.text in ("(", "{"):
            called = before is not None and before.kind == "name"
            open_.append(open_[-1] or called or token.text == "{")
        elif token.text in (")", "}"):
            open_.pop()
        out.append((token, open_[-1]))
    return out


def restored(name: str) -> str:
    """A name that formulaic gives to a column or a term, "1:x" of "Q('1'):x"."""
    return _NUMERAL.sub(r"\1", name)


@lru_cache(maxsize=512)
def _formula(text: str) -> Any:
    """The parsed text; never changed after."""
    import formulaic

    try:
        return formulaic.Formula(text)
    except formulaic.errors.FormulaicError as error:
        raise FormulaError(f"Cannot read '{text}': {_plainly(error)}") from error
    except SyntaxError as error:
        # formulaic writes the argument of a function as Python, `if` in backticks too.
        raise FormulaError(
            f"Cannot read '{text}': what stands inside a function must be a Python expression, "
            "in which names such as 'if' or 'class' have a meaning of their own: rename such a "
            "column, or write Q('if')."
        ) from error


def _formulaic(
    text: str, spec: Any, columns: Columns, context: Mapping[str, Any]
) -> tuple[Any, np.ndarray]:
    """formulaic's `ModelSpec` and matrix for a formula or an earlier `ModelSpec`."""
    from formulaic.materializers import PandasMaterializer

    table = columns.table(_used(text, columns))
    materializer = PandasMaterializer(table, context={**functions(), **context})
    try:
        with np.errstate(all="ignore"), _unseen_levels_are_errors():
            matrix = materializer.get_model_matrix(spec, output="numpy", na_action="ignore")
    except HendersonError:
        raise
    except Exception as error:
        raise DesignError(f"Cannot evaluate '{text}': {_plainly(error)}") from error
    state = matrix.model_spec
    values = np.asarray(matrix)
    if values.dtype == object or values.ndim != 2:
        raise DesignError(f"'{text}' does not give columns of numbers.")
    values = np.asarray(values, dtype=float, order="F")
    _check_finite(values, state.column_names)
    return state, values


def _used(text: str, columns: Columns) -> tuple[str, ...]:
    """The columns that a text uses, among them `x` of `x.abs()`."""
    found = names(text)
    owners = (n.partition(".")[0] for n in found.variables + found.calls)
    return tuple(dict.fromkeys(n for n in (*found.variables, *owners) if n in columns))


def _unseen_levels_are_errors() -> Any:
    """Let formulaic's warning about unseen levels of `C(...)` stop the evaluation."""
    import warnings

    from formulaic.errors import DataMismatchWarning

    return warnings.catch_warnings(action="error", category=DataMismatchWarning)


def _plainly(error: Exception) -> str:
    """formulaic's message, of an exception within it the message itself."""
    text = str(error)
    inner = re.search(r"\[(\w+): (.*)\]$", text, re.DOTALL)
    if "outside of the nominated levels" in text:
        unseen = re.search(r"\{.*?\}", text)
        return f"the data have levels that the fit has not seen, {unseen[0] if unseen else text}."
    # What follows a blank line marks the place with terminal colours.
    return inner[2] if inner else text.partition("\n\n")[0]


def _check_finite(values: np.ndarray, labels: Any) -> None:
    if np.isfinite(values.sum()):
        return
    for name, column in zip(labels, values.T, strict=True):
        bad = int((~np.isfinite(column)).sum())
        if bad:
            raise DataError(
                f"'{name}' is not a finite number in {bad} rows: "
                "leave them out with subset=, or change the transformation."
            )
