"""Positions: where the columns of a random term, or the rows of a group, stand.

`ar1(0 + t | g)`: left of the bar of a *position structure* stands a position (or several
coordinates), and the term has one indicator column for every distinct position, in order of value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from henderson.design.columns import Columns, level_codes
from henderson.design.columns import label as label_of
from henderson.design.evaluate import Spec, fit_expression
from henderson.errors import DesignError
from henderson.formula.residual_terms import PositionKind

_LABELS = re.compile(r"(?:C|factor)\(\s*([^\W\d][\w.]*|`[^`]+`)\s*\)")
# Two numbers are the same position, or a whole number of steps apart, within this share.
SAME = 1e-9
ON_GRID = 1e-4
# A common step this much shorter than the shortest gap means that there is none.
FINEST = 50


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of a position: a number, or labels taken in their order.

    Parameters
    ----------
    text : an expression in the columns, "t", "C(t)", "log(t)".
    labels : (L,) in order, 0, 1, ... being their values; None for a number.
    name : of the column that holds the labels.
    spec : how the number is made.
    """

    text: str
    labels: np.ndarray | None = None
    name: str = ""
    spec: Spec | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.spec.columns if self.spec is not None else (self.name,)

    def values(self, columns: Columns) -> np.ndarray:
        """Values (m,) for new rows; raises `DesignError` for a label that was not seen."""
        if self.spec is not None:
            return self.spec.matrix(columns)[:, 0]
        assert self.labels is not None
        codes = level_codes(columns.data[self.name], self.labels)
        if (codes < 0).any():
            unseen = columns.data[self.name].iloc[int(np.argmax(codes < 0))]
            raise DesignError(f"Column '{self.name}' has no position {unseen!r} in this fit.")
        return codes.astype(float)

    def write(self, value: float) -> str:
        """A value in the words of the data."""
        if self.labels is not None:
            return label_of(self.labels[int(value)])
        return label_of(value) if float(value).is_integer() else f"{value:.10g}"


def fit_coordinate(
    text: str, columns: Columns, context: Mapping[str, Any], *, labelled: bool
) -> tuple[Coordinate, np.ndarray]:
    """A coordinate and its values (n,).

    Parameters
    ----------
    labelled : whether labels may stand for their order: a factor, or `C(t)`.

    Raises
    ------
    DesignError : labels where a number is needed.
    """
    bare = text.strip("`")
    found = _LABELS.fullmatch(text)
    name = found[1].strip("`") if found else bare
    if name not in columns or not (found or columns.is_factor(name)):
        spec, values = fit_expression(text, columns, context)
        return Coordinate(text, spec=spec), values
    if not labelled:
        raise DesignError(
            f"The position '{text}' holds labels, and distances between labels are not known: "
            "make a column of numbers from it."
        )
    factor = columns.factor(name)
    return Coordinate(text, factor.levels, name), factor.codes.astype(float)


@dataclass(frozen=True)
class PositionSpec(Spec):
    """How a position becomes indicator columns; the same for the rows of a fit and for new ones.

    coordinates : d of them; at : (K, d) the distinct positions, sorted, one for every column.
    """

    coordinates: tuple[Coordinate, ...] = ()
    at: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def matrix(self, columns: Columns) -> np.ndarray:
        """Indicators (m, K) for new rows; raises `DesignError` for a position not in the fit."""
        values = np.column_stack([c.values(columns) for c in self.coordinates])
        out = np.empty((len(values), len(self.at)))
        scale = np.maximum(np.abs(self.at).max(axis=0), 1e-300)
        for k, position in enumerate(self.at):
            out[:, k] = (np.abs(values - position) <= SAME * scale).all(axis=1)
        lost = np.flatnonzero(out.sum(axis=1) == 0)
        if len(lost):
            where = _where(self.coordinates, values[lost[0]], ", ")
            raise DesignError(
                f"The fit has no random effect at {where}: its positions are those of the data "
                "it was fitted to. Leave the random effects out, random='none'."
            )
        return out


def fit_positions(
    texts: tuple[str, ...], kind: PositionKind, columns: Columns, context: Mapping[str, Any]
) -> tuple[PositionSpec, np.ndarray, np.ndarray]:
    """The spec, the indicators (n, K) and the positions (K, d) as the structure wants them.

    Where `kind` is "steps" the positions are whole steps from the first: see `steps`.
    """
    pairs = [fit_coordinate(t, columns, context, labelled=kind == "steps") for t in texts]
    values = np.column_stack([v for _, v in pairs])
    at, codes = np.unique(values, axis=0, return_inverse=True)
    parts = tuple(c for c, _ in pairs)
    known = {
        c.name: columns.factor(c.name).levels
        for c in parts
        if c.labels is not None and columns.is_factor(c.name)
    }
    spec = PositionSpec(
        text=" + ".join(texts),
        names=tuple(_where(parts, position, ":") for position in at),
        columns=tuple(dict.fromkeys(c for one in parts for c in one.columns)),
        levels=known,
        coordinates=parts,
        at=at,
    )
    indicators = (codes.reshape(-1, 1) == np.arange(len(at))).astype(float)
    placed = at
    if kind == "steps":
        placed = steps(at[:, 0], np.zeros(len(at), np.intp), texts[0])[:, None]
    return spec, indicators, placed


def _where(parts: Sequence[Coordinate], position: np.ndarray, between: str) -> str:
    """A position (d,) in the words of the data: "x[1]:y[2.5]"."""
    pairs = zip(parts, position, strict=True)
    return between.join(f"{c.text}[{c.write(float(v))}]" for c, v in pairs)


def steps(values: np.ndarray, codes: np.ndarray, text: str) -> np.ndarray:
    """Whole steps (n,) from the first position of each group, as floats.

    One step is the greatest common divisor of the gaps between positions of a group, so that
    8, 10, 14 is 0, 1, 3.

    Raises
    ------
    DesignError : the positions are not a whole number of steps apart.
    """
    first = np.full(int(codes.max(initial=0)) + 1, np.inf)
    np.minimum.at(first, codes, values)
    offsets = values - first[codes]
    gaps = np.unique(offsets[offsets > SAME * np.abs(values).max(initial=0.0)])
    if not len(gaps):
        return np.zeros(len(values))
    return np.asarray(np.rint(offsets / _common_divisor(gaps, text)))


def _common_divisor(gaps: np.ndarray, text: str) -> float:
    """Of distinct positive gaps (g,) in order: exact for integers, else Euclid's algorithm."""
    if (gaps == np.rint(gaps)).all() and gaps[-1] < 2**53:
        return float(np.gcd.reduce(gaps.astype(np.int64)))
    a = float(gaps[0])
    for gap in gaps[1:]:
        b = float(gap)
        while b > ON_GRID * float(gaps[0]):
            a, b = b, a % b
            b = 0.0 if a - b < ON_GRID * float(gaps[0]) else b
    shortest = float(np.diff(np.r_[0.0, gaps]).min())
    if a * FINEST < shortest or np.abs(gaps / a - np.rint(gaps / a)).max() > 0.01:
        raise DesignError(
            f"The positions '{text}' are not evenly spaced, whole steps apart. For a correlation "
            "in continuous time use ou() of a random term or car1() of residuals, for the order of "
            f"the positions alone C({text})."
        )
    return a


def check_lags(found: np.ndarray, text: str, name: str) -> None:
    """Refuse a correlation for every lag when some lag up to the longest has no pair to learn from.

    found : the lags (l,) that occur, whole numbers, distinct and sorted.
    """
    lost = sorted(set(range(1, int(found[-1]) + 1)) - set(found.astype(int).tolist()))
    if lost:
        raise DesignError(
            f"{name} needs pairs at every lag: no two positions of '{text}' are {lost[0]} steps "
            "apart. Use ar1, or C(...) to take the positions in order."
        )
