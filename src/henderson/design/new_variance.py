"""The covariates of variance functions in new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from henderson.design.columns import Columns, label
from henderson.design.frame import read_columns
from henderson.design.residual import Covariate, ResidualDesign
from henderson.errors import DesignError


def new_covariates(
    design: ResidualDesign, data: Any, predicted: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Values (m, 1) for every variance function, in its own terms; NaN where a column is missing.

    Parameters
    ----------
    data : a table (m rows) with the columns that the functions need.
    predicted : (m,) what takes the place of the fitted values.

    Raises
    ------
    DataError : a column is not there. DesignError : a level that the fit has not seen, or a value
        at which the variance is zero or not defined.
    """
    return tuple(
        _checked(c, predicted if c.term.of_fitted else _values(c, data)).reshape(-1, 1)
        for c in design.covariates
    )


def _checked(covariate: Covariate, values: np.ndarray) -> np.ndarray:
    """Values (m,) that the variance function takes; see `new_covariates`."""
    name = covariate.term.name
    bad = (values == 0.0) if name == "power" else (values <= 0.0) & (name == "fixed")
    if bad.any():
        raise DesignError(
            f"{covariate.term.text}: '{covariate.term.covariate}' is {values[bad][0]:g} in "
            f"{int(bad.sum())} of the rows to predict, where the variance is zero or not defined: "
            "leave them out, or use constpower."
        )
    return values


def _values(covariate: Covariate, data: Any) -> np.ndarray:
    """The covariate (m,) of a table's rows: codes of an "ident", an expression's values."""
    term, spec = covariate.term, covariate.spec
    columns = term.factors if spec is None else spec.columns
    table = read_columns(data, columns)[list(columns)]
    whole = table.notna().all(axis=1).to_numpy()
    out = np.full(len(table), np.nan)
    rows = table[whole]
    if spec is None:
        out[whole] = _codes(covariate, rows)
    else:
        out[whole] = spec.matrix(Columns(rows, spec.levels))[:, 0]
    return out


def _codes(covariate: Covariate, rows: pd.DataFrame) -> np.ndarray:
    labels = [":".join(label(v) for v in row) for row in rows.itertuples(index=False, name=None)]
    codes = pd.Index(covariate.levels).get_indexer(pd.Index(labels, dtype=object))
    if (codes < 0).any():
        raise DesignError(
            f"{covariate.term.text}: a new row has the level '{labels[int(np.argmin(codes))]}' of "
            f"'{covariate.term.covariate}', which the fit has not seen."
        )
    return codes.astype(float)
