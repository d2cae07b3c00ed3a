"""The fixed part: X of full column rank, its names, and how new rows get the same columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from henderson.design.columns import Columns
from henderson.design.evaluate import Spec, fit_spec
from henderson.design.rank import independent_columns


@dataclass(frozen=True)
class FixedDesign:
    """The fixed effects' columns.

    Parameters
    ----------
    X : (n, p) float64 of full column rank, Fortran order.
    names : (p,) formulaic's names.
    dropped : names of the columns that earlier ones determine.
    spec : how the text became columns, dropped ones included.
    kept : (p,) positions of X's columns among the spec's.
    """

    X: np.ndarray
    names: tuple[str, ...]
    dropped: tuple[str, ...]
    spec: Spec
    kept: np.ndarray

    def new(self, columns: Columns) -> np.ndarray:
        """The same columns (m, p) for new rows."""
        matrix = self.spec.matrix(columns)
        return matrix[:, self.kept] if self.dropped else matrix


def fixed_design(text: str, columns: Columns, context: Mapping[str, Any]) -> FixedDesign:
    """Evaluate the fixed part of a formula and leave out the columns that others determine."""
    spec, matrix = fit_spec(text, columns, context)
    kept = independent_columns(matrix)
    if len(kept) < matrix.shape[1]:
        matrix = np.asfortranarray(matrix[:, kept])
    names = tuple(spec.names[j] for j in kept)
    dropped = tuple(name for name in spec.names if name not in set(names))
    return FixedDesign(matrix, names, dropped, spec, kept)
