"""Formula and data -> the matrices of a mixed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from henderson.design.columns import Columns
from henderson.design.evaluate import Spec, fit_expression
from henderson.design.fixed import FixedDesign, fixed_design
from henderson.design.frame import ModelFrame, model_frame, read_columns, refuse_infinite
from henderson.design.identifiable import check_identifiable
from henderson.design.random import RandomFactor, TermSlot, random_design
from henderson.design.residual import ResidualDesign, residual_design
from henderson.errors import DataError, DesignError
from henderson.formula import Formula, parse
from henderson.formula.residual_terms import ResidualTerms


@dataclass(frozen=True)
class NewDesign:
    """The columns of a design for m new rows.

    Parameters
    ----------
    X : (m, p); a row with a missing predictor is NaN.
    offset : (m,) or None.
    random : one pair a grouping factor: codes (m,), -1 for an unseen or missing level, z (m, K).
    index : of the new rows.
    """

    X: np.ndarray
    offset: np.ndarray | None
    random: tuple[tuple[np.ndarray, np.ndarray], ...]
    index: pd.Index


@dataclass(frozen=True)
class Design:
    """A model's data as matrices, for n rows.

    Parameters
    ----------
    formula, frame : where it comes from.
    y : (n,) response.
    fixed : X and its names.
    random : one `RandomFactor` per grouping factor.
    offset : (n,) term with coefficient one, or None.
    weights : (n,) or None; var = sigma^2 / weights.
    offset_specs : how the offset is made for new rows.
    residual : the structure of the residuals on these rows; None if they are independent.
    """

    formula: Formula
    frame: ModelFrame
    y: np.ndarray
    fixed: FixedDesign
    random: tuple[RandomFactor, ...] = ()
    offset: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset_specs: tuple[Spec | None, ...] = field(default=())
    residual: ResidualDesign | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.y)

    @property
    def p(self) -> int:
        """Fixed effects."""
        return self.fixed.X.shape[1]

    @property
    def X(self) -> np.ndarray:
        return self.fixed.X

    @property
    def names(self) -> tuple[str, ...]:
        """Names (p,) of the fixed effects."""
        return self.fixed.names

    @property
    def index(self) -> pd.Index:
        """The caller's labels (n,) of the rows."""
        return self.frame.data.index

    def __str__(self) -> str:
        from henderson.tables.matrices import design_text

        return design_text(self)

    @cached_property
    def Z(self) -> sparse.csr_array:
        """Z (n, q): factor after factor, level after level, the K effects of a level together."""
        blocks = [_indicators(factor) for factor in self.random]
        return sparse.csr_array(sparse.hstack(blocks)) if blocks else sparse.csr_array((self.n, 0))

    @cached_property
    def z_names(self) -> tuple[str, ...]:
        """Names (q,) of Z's columns: "Days[308]", with several factors "Subject: Days[308]"."""
        several = len(self.random) > 1
        return tuple(
            f"{factor.name}: {name}[{level}]" if several else f"{name}[{level}]"
            for factor in self.random
            for level in factor.levels
            for name in factor.names
        )

    def new(self, data: Any, *, random: bool | Sequence[np.ndarray] = True) -> NewDesign:
        """The same columns for other rows.

        Parameters
        ----------
        data : any table with the columns of the predictors and, for `random`, of the groups.
        random : which effects (K,) of every grouping factor are asked for; all, or none. The
            columns of terms without any are not read: z is zero, and codes of a factor without
            any are -1.

        Raises
        ------
        DataError : a column is not there. DesignError : a fixed factor has an unseen level.
        """
        specs = [self.fixed.spec, *(spec for spec in self.offset_specs if spec is not None)]
        chosen: Sequence[np.ndarray | bool] = (
            [random] * len(self.random) if isinstance(random, bool) else random
        )
        slots = [f.slots_of(effects) for f, effects in zip(self.random, chosen, strict=True)]
        specs += [slot.spec for some in slots for slot in some]
        used = tuple(dict.fromkeys(c for spec in specs for c in spec.columns))
        active = [f for f, some in zip(self.random, slots, strict=True) if some]
        groups = [name for factor in active for name, _ in factor.parts]
        table = read_columns(data, [*used, *groups])
        refuse_infinite({name: table[name] for name in used})
        whole = _complete(table, used)
        levels = {c: known for spec in specs for c, known in spec.levels.items()}
        rows = table if whole.all() else table[whole]
        columns = Columns(rows, levels)
        pairs = zip(self.random, slots, strict=True)
        return NewDesign(
            _spread(self.fixed.new(columns), whole),
            self._new_offset(columns, whole),
            tuple(_new_random(factor, some, columns, whole) for factor, some in pairs),
            table.index,
        )

    def _new_offset(self, columns: Columns, whole: np.ndarray) -> np.ndarray | None:
        if not self.offset_specs:
            return None
        if None in self.offset_specs:
            raise DesignError(
                "The offset was given as an array, which new rows have no part in: "
                "give it as the name of a column, offset='column'."
            )
        parts = [spec.matrix(columns)[:, 0] for spec in self.offset_specs if spec is not None]
        return _spread(np.sum(parts, axis=0), whole)


def build(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    subset: Any = None,
    context: Mapping[str, Any] | None = None,
    trusted: bool = True,
    residual: ResidualTerms | None = None,
    matrices: Mapping[str, Any] | None = None,
) -> Design:
    """Evaluate a formula on data.

    Parameters
    ----------
    formula : R's notation, such as "score ~ edu + (1 | classroom)".
    data : any table that `data.tables.to_frame` reads.
    weights, offset, subset : see `frame.model_frame`.
    context : names that the formula may use beside the columns; a caller's own variables are not
        seen otherwise.
    trusted : False, for a formula from a stranger: only `formula.FUNCTIONS` may be called, and
        attributes are refused.
    residual : the residuals' correlation and variance functions.
    matrices : the known covariances of `known(1 | id, K)` by name.

    Raises
    ------
    FormulaError : the formula. DataError : the data. DesignError : the two together.
    """
    extra = dict(context or {})
    formula = parse(formula, frozenset(extra))
    also = () if residual is None else residual.columns
    frame = model_frame(
        formula, data, weights, offset, subset, context=extra, trusted=trusted, also=also
    )
    columns = Columns(frame.data)
    y = _response(formula.response, columns, extra)
    specs, total = _offset(formula, offset, frame, columns, extra)
    _check_varies(formula.response, y if total is None else y - total)
    random = random_design(formula.random, columns, extra, matrices)
    structure = None if residual is None else residual_design(residual, columns, extra)
    check_identifiable(random, structure)
    return Design(
        formula=formula,
        frame=frame,
        y=y,
        fixed=fixed_design(formula.fixed, columns, extra),
        random=random,
        offset=total,
        weights=frame.weights,
        offset_specs=specs,
        residual=structure,
    )


def _response(text: str, columns: Columns, context: Mapping[str, Any]) -> np.ndarray:
    name = text.strip("`")
    if name in columns:
        if columns.is_factor(name):
            example = columns.data[name].iloc[0]
            raise DataError(
                f"The response '{name}' is not numeric (it holds values such as {example!r}): "
                "a linear model needs numbers."
            )
        return columns.number(name)
    return fit_expression(text, columns, context)[1]


def _check_varies(text: str, y: np.ndarray) -> None:
    if y.min() == y.max():
        raise DataError(
            f"The response '{text}' is constant ({y[0]:g}) in the {len(y)} rows used: "
            "there is nothing to model."
        )


def _offset(
    formula: Formula, given: Any, frame: ModelFrame, columns: Columns, context: Mapping[str, Any]
) -> tuple[tuple[Spec | None, ...], np.ndarray | None]:
    """The specs and the sum (n,) of the formula's offset and the argument of that name."""
    specs: list[Spec | None] = []
    parts: list[np.ndarray] = []
    if formula.offset is not None:
        spec, values = fit_expression(formula.offset, columns, context)
        specs.append(spec)
        parts.append(values)
    if frame.offset is not None:
        named = isinstance(given, str)
        specs.append(Spec.of_column(given) if named else None)
        parts.append(frame.offset)
    return tuple(specs), (np.sum(parts, axis=0) if parts else None)


def _indicators(factor: RandomFactor) -> sparse.csr_array:
    """Z (n, J K) of one factor."""
    n, k = factor.z.shape
    columns = factor.codes[:, None] * k + np.arange(k)
    pointers = np.arange(0, n * k + 1, k)
    return sparse.csr_array(
        (factor.z.ravel(), columns.ravel(), pointers), shape=(n, len(factor.levels) * k)
    )


# ---- new rows


def _complete(table: pd.DataFrame, used: tuple[str, ...]) -> np.ndarray:
    """Rows (m,) with no missing value among the columns used."""
    whole = np.ones(len(table), dtype=bool)
    for name in used:
        whole &= table[name].notna().to_numpy()
    return whole


def _spread(values: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Values of the complete rows at their places among all rows, NaN elsewhere."""
    if whole.all():
        return values
    out = np.full((len(whole), *values.shape[1:]), np.nan)
    out[whole] = values
    return out


def _new_random(
    factor: RandomFactor, slots: Sequence[TermSlot], columns: Columns, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not slots:
        m = len(whole)
        return np.full(m, -1, dtype=np.intp), np.zeros((m, factor.z.shape[1]))
    codes, z = factor.new(columns, slots)
    if whole.all():
        return codes, z
    everywhere = np.full(len(whole), -1, dtype=np.intp)
    everywhere[whole] = codes
    return everywhere, _spread(z, whole)
