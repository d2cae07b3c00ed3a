"""Contrasts between estimated means: which, and how sure.

Each part of a table (`by=`) is a family of tests of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.errors import DesignError
from henderson.inference.ddf import ddf_method
from henderson.inference.means import Means, linear_functions
from henderson.inference.multiplicity import (
    Family,
    adjusted,
    check_adjustment,
    critical_values,
)
from henderson.inference.wald import check_level
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    from henderson.fit import Fit

METHODS = ("pairwise", "reference", "consecutive", "poly")
DEFAULT_ADJUST = {"pairwise": "tukey", "reference": "mvt", "consecutive": "mvt"}
DEGREES = ("linear", "quadratic", "cubic", "quartic")


@dataclass(frozen=True, eq=False, repr=False)
class Contrasts(Printed):
    """Contrasts of estimated means with tests and intervals.

    Attributes
    ----------
    frame : one row a contrast: contrast, the levels of `by`, estimate, std_error, df, statistic,
        p_value (adjusted), lower, upper (adjusted).
    matrix : (r, p), the linear function of the fixed effects in each row.
    adjust : the adjustment, within each part of the table. level : of the intervals.
    notes : of the means.
    """

    fit: Fit
    frame: pd.DataFrame
    matrix: np.ndarray
    by: tuple[str, ...]
    adjust: str
    means: int
    ddf: str
    level: float
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """The frame, a copy."""
        return self.frame.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import contrasts_parts

        return contrasts_parts(self)


def contrast(
    means: Means, method: Any, adjust: str | None, reference: Any, level: float | None
) -> Contrasts:
    """Contrasts of means within each part of their table; see `Means.contrast`."""
    named = method if isinstance(method, str) else ""
    how = check_adjustment(
        adjust or DEFAULT_ADJUST.get(named, "none"), pairwise=named == "pairwise"
    )
    level = means.level if level is None else level
    check_level(level)
    pieces, rows, size = [], [], 0
    for key, index in parts(means):
        labels = [means.labels[i] for i in index]
        names, coefficients = coefficients_of(method, labels, reference)
        matrix = _combined(coefficients, means.matrix[index])
        offset = coefficients @ means.offset[index]
        frame = _tests(means, matrix, offset, len(index), how, level)
        frame.insert(0, "contrast", names)
        for place, (name, value) in enumerate(zip(means.by, key, strict=True)):
            frame.insert(1 + place, name, value)
        pieces.append(frame)
        rows.append(matrix)
        size = max(size, len(index))
    return Contrasts(
        means.fit,
        pd.concat(pieces, ignore_index=True),
        np.vstack(rows),
        means.by,
        how,
        size,
        means.ddf,
        level,
        means.notes,
    )


def parts(means: Means) -> list[tuple[tuple[Any, ...], list[int]]]:
    """The levels of `by`, and the positions of the rows, of each part of a table of means."""
    keys = list(means.frame[list(means.by)].itertuples(index=False, name=None)) if means.by else []
    if not keys:
        return [((), list(range(len(means.frame))))]
    return [(key, [i for i, k in enumerate(keys) if k == key]) for key in dict.fromkeys(keys)]


def _combined(coefficients: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rows (r, p) of contrasts; NaN where they need a mean that cannot be estimated."""
    lost = np.isnan(matrix).any(axis=1)
    out = coefficients @ np.where(lost[:, None], 0.0, matrix)
    needs_lost = (coefficients[:, lost] != 0.0).any(axis=1)
    return np.where(needs_lost[:, None], np.nan, out)


def _tests(
    means: Means, matrix: np.ndarray, offset: np.ndarray, count: int, how: str, level: float
) -> pd.DataFrame:
    frame = linear_functions(means.fit, matrix, means.ddf)
    frame["estimate"] += offset
    frame["statistic"] = frame["estimate"] / frame["std_error"]
    family = Family(
        frame["statistic"].to_numpy(),
        frame["df"].to_numpy(),
        _correlation(means.fit, matrix, means.ddf),
        count,
    )
    frame["p_value"] = adjusted(family, how)
    reach = critical_values(family, how, level) * frame["std_error"]
    frame["lower"], frame["upper"] = frame["estimate"] - reach, frame["estimate"] + reach
    return frame


def _correlation(fit: Fit, matrix: np.ndarray, ddf: str) -> np.ndarray:
    """Correlations (r, r) of the estimates; those that cannot be estimated stand apart."""
    known = ~np.isnan(matrix).any(axis=1)
    rows = np.where(known[:, None], matrix, 0.0)
    cov = rows @ ddf_method(fit, ddf).cov_beta @ rows.T
    sd = np.sqrt(np.diag(cov))
    sd = np.where(sd > 0, sd, 1.0)
    return np.asarray(cov / np.outer(sd, sd))


# ---- coefficients


def coefficients_of(
    method: Any, labels: list[str], reference: Any = 0
) -> tuple[list[str], np.ndarray]:
    """Names and coefficients (r, k) of contrasts between k rows.

    Raises
    ------
    DesignError : an unknown method or reference, or coefficients of the wrong number.
    """
    k = len(labels)
    if isinstance(method, Mapping):
        return [str(name) for name in method], _given(list(method.values()), k)
    if not isinstance(method, str):
        matrix = _given(method, k)
        return [_combination(row, labels) for row in matrix], matrix
    if method not in METHODS:
        raise DesignError(
            f"Unknown contrasts '{method}': choose from {', '.join(METHODS)}, or give coefficients."
        )
    if k < 2:
        raise DesignError("Contrasts need two or more rows to compare in each part of the table.")
    if method == "poly":
        return polynomials(k)
    pairs = {
        "pairwise": [(i, j) for i, j in combinations(range(k), 2)],
        "consecutive": [(i + 1, i) for i in range(k - 1)],
        "reference": _against(labels, reference) if method == "reference" else [],
    }[method]
    units = np.eye(k)
    names = [f"{labels[i]} - {labels[j]}" for i, j in pairs]
    return names, np.array([units[i] - units[j] for i, j in pairs])


def _against(labels: list[str], reference: Any) -> list[tuple[int, int]]:
    if isinstance(reference, str):
        if reference not in labels:
            raise DesignError(f"No row '{reference}' to compare with: {', '.join(labels)}.")
        reference = labels.index(reference)
    if not -len(labels) <= reference < len(labels):
        raise DesignError(f"No row {reference} to compare with: there are {len(labels)}.")
    at = reference % len(labels)
    return [(i, at) for i in range(len(labels)) if i != at]


def _given(rows: Any, k: int) -> np.ndarray:
    lengths = {np.size(row) for row in rows}
    if lengths != {k}:
        found = ", ".join(map(str, sorted(lengths))) or "none"
        raise DesignError(f"A contrast needs {k} coefficients, one for each row; got {found}.")
    return np.array([np.asarray(row, dtype=float).ravel() for row in rows])


def _combination(row: np.ndarray, labels: list[str]) -> str:
    text = " ".join(
        f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c):.4g}*'}{name}"
        for c, name in zip(row, labels, strict=True)
        if c
    )
    return f"-{text[2:]}" if text.startswith("-") else text[2:]


def polynomials(k: int) -> tuple[list[str], np.ndarray]:
    """Orthogonal polynomials over k equally spaced rows, as the smallest whole numbers."""
    points = [Fraction(2 * i - k + 1) for i in range(k)]
    basis = [[Fraction(1)] * k]
    for degree in range(1, min(k, len(DEGREES) + 1)):
        row = [x**degree for x in points]
        for other in basis:
            row = _orthogonal_to(row, other)
        basis.append(row)
    names = list(DEGREES[: len(basis) - 1])
    return names, np.array([_whole(row) for row in basis[1:]])


def _orthogonal_to(row: list[Fraction], other: list[Fraction]) -> list[Fraction]:
    products = [a * b for a, b in zip(row, other, strict=True)]
    share = Fraction(sum(products)) / sum(b * b for b in other)
    return [a - share * b for a, b in zip(row, other, strict=True)]


def _whole(row: list[Fraction]) -> list[float]:
    """The row as whole numbers without a common divisor."""
    factor = lcm(*(x.denominator for x in row))
    numbers = [int(x * factor) for x in row]
    return [n / gcd(*numbers) for n in numbers]
