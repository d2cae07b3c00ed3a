"""The random part: for each grouping factor integer codes and the columns of its terms.

Z is never formed to fit: row i has z[i] in the columns of level codes[i].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.factors import Factor, cross
from henderson.design.columns import Columns, level_codes
from henderson.design.evaluate import Spec, fit_spec
from henderson.design.positions import check_lags, fit_positions
from henderson.design.strata import split
from henderson.errors import DesignError, FormulaError
from henderson.formula import RandomTerm
from henderson.formula.residual_terms import PositionKind
from henderson.formula.structures import coordinates

# Levels of these are exchangeable: their variance is learnt from how levels differ.
EXCHANGEABLE = frozenset({"us", "diag", "cs", "hcs"})
KNOWN = "known"
# A position structure has one random effect a position, and derivatives in all their covariances.
MOST_POSITIONS = 60
# Structures whose left-hand side names a position, and what kind of position.
POSITIONS: dict[str, PositionKind] = {
    "ar1": "steps",
    "har1": "steps",
    "toep": "steps",
    "htoep": "steps",
    "ou": "number",
    "exp": "coordinates",
    "gau": "coordinates",
}
EVERY_LAG = frozenset({"toep", "htoep"})
# Families of covariances that hold Sigma + c I with every Sigma: with one row a level and column
# the residual variance is a part of them.
HOLD_RESIDUAL = frozenset({"us", "diag", "cs", "toep", "htoep"})


@dataclass(frozen=True)
class TermSlot:
    """The place of one random term among the columns of its grouping factor.

    Parameters
    ----------
    term : as the formula has it.
    columns : slice of the factor's K columns.
    names : of those columns.
    spec : how the left-hand side became columns.
    positions : (K / strata, d) of a stratum's columns, where the structure needs them: whole steps
        for `ar1` and `toep`, coordinates for `ou`, `exp` and `gau`.
    strata : levels of `by=`, each with columns of its own and a structure of its own.
    """

    term: RandomTerm
    columns: slice
    names: tuple[str, ...]
    spec: Spec
    positions: np.ndarray | None = None
    strata: int = 1


@dataclass(frozen=True)
class RandomFactor:
    """A grouping factor with all of its terms.

    Parameters
    ----------
    name : its columns joined by ":".
    codes : (n,) intp, the level of each row.
    levels : (J,) labels.
    z : (n, K) float64, C order: the columns of all terms side by side.
    slots : the terms, in the formula's order.
    parts : the columns of the grouping, (name, factor) each; one for `g`, two for `a:b`.
    """

    name: str
    codes: np.ndarray
    levels: np.ndarray
    z: np.ndarray
    slots: tuple[TermSlot, ...]
    parts: tuple[tuple[str, Factor], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K columns."""
        return tuple(name for slot in self.slots for name in slot.names)

    def new(self, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Codes (m,), -1 for an unseen level, and z (m, K) for new rows."""
        z = np.empty((columns.n, self.z.shape[1]))
        for slot in self.slots:
            z[:, slot.columns] = slot.spec.matrix(columns)
        return self.new_codes(columns.data), z

    def new_codes(self, data: pd.DataFrame) -> np.ndarray:
        """Codes (m,) of new rows: -1 where a level, or a combination of levels, is not known."""
        found = [level_codes(data[name], factor.levels) for name, factor in self.parts]
        if len(found) == 1:
            return found[0]
        shape = [len(factor.levels) for _, factor in self.parts]
        known = np.ravel_multi_index([factor.codes for _, factor in self.parts], shape)
        cells, first = np.unique(known, return_index=True)
        seen = np.all([codes >= 0 for codes in found], axis=0)
        flat = np.ravel_multi_index([np.maximum(codes, 0) for codes in found], shape)
        at = np.minimum(np.searchsorted(cells, flat), len(cells) - 1)
        return np.where(seen & (cells[at] == flat), self.codes[first[at]], -1)


def random_design(
    terms: Iterable[RandomTerm], columns: Columns, context: Mapping[str, Any]
) -> tuple[RandomFactor, ...]:
    """One `RandomFactor` per grouping factor, in the formula's order.

    Raises
    ------
    DesignError : a factor with one level or one row a level, two terms with the same column.
    """
    by_group: dict[tuple[frozenset[str], bool], list[RandomTerm]] = {}
    for term in terms:
        by_group.setdefault((frozenset(term.group), term.structure == KNOWN), []).append(term)
    factors = [_random_factor(group, columns, context) for group in by_group.values()]
    return tuple(_distinct_names(factors))


def _random_factor(
    terms: list[RandomTerm], columns: Columns, context: Mapping[str, Any]
) -> RandomFactor:
    parts = tuple((name, columns.factor(name)) for name in terms[0].group)
    factor = cross(*(part for _, part in parts))
    fitted = [_fit_term(term, columns, context) for term in terms]
    ends = np.cumsum([0] + [len(one.spec.names) for one in fitted]).tolist()
    slots = tuple(
        TermSlot(term, slice(a, b), one.spec.names, one.spec, one.positions, one.strata)
        for term, one, a, b in zip(terms, fitted, ends, ends[1:], strict=False)
    )
    z = np.ascontiguousarray(
        fitted[0].z if len(fitted) == 1 else np.column_stack([one.z for one in fitted])
    )
    out = RandomFactor(terms[0].group_name, factor.codes, factor.levels, z, slots, parts)
    _check_no_column_twice(out)
    _check_levels(out)
    for slot in slots:
        _check_residual(out, slot)
    return out


@dataclass(frozen=True)
class _Fitted:
    """A term's left-hand side on the data: z (n, K), and what `TermSlot` keeps."""

    spec: Spec
    z: np.ndarray
    positions: np.ndarray | None = None
    strata: int = 1


def _fit_term(term: RandomTerm, columns: Columns, context: Mapping[str, Any]) -> _Fitted:
    by = _by(term)
    if term.structure in POSITIONS:
        one = _fit_positions(term, columns, context)
    else:
        one = _Fitted(*fit_spec(term.lhs, columns, context, "C"))
    if not one.spec.names:
        raise DesignError(f"{term.text} has no columns: write (1 | {term.group_text}).")
    if by is None:
        return one
    spec, z = split(one.spec, one.z, by, columns)
    return _Fitted(spec, z, one.positions, len(spec.strata))


def _fit_positions(term: RandomTerm, columns: Columns, context: Mapping[str, Any]) -> _Fitted:
    """One column for every distinct position."""
    texts, kind = coordinates(term.lhs), POSITIONS[term.structure]
    if not texts or (len(texts) > 1 and kind != "coordinates"):
        takes = "positions, as in (0 + x + y" if kind == "coordinates" else "one position, (0 + t"
        raise DesignError(
            f"{term.text}: left of the bar {term.structure} takes {takes} | {term.group_text})."
        )
    spec, z, at = fit_positions(texts, kind, columns, context)
    if len(at) > MOST_POSITIONS:
        raise DesignError(
            f"{term.text}: '{' + '.join(texts)}' has {len(at)} different positions, and a random "
            f"effect for each is too many; {term.structure} takes up to {MOST_POSITIONS}. Give the "
            f"residuals that structure, correlation='...({' + '.join(texts)} | "
            f"{term.group_name})', or round the positions."
        )
    if term.structure in EVERY_LAG and len(at) > 1:
        check_lags(np.unique(np.abs(at - at.T))[1:], texts[0], term.structure)
    return _Fitted(spec, z, at)


def _by(term: RandomTerm) -> str | None:
    """The column of `by=`, the only option of a structure so far."""
    for name, _ in term.options:
        if name != "by" and term.structure not in (KNOWN, "fa"):
            raise FormulaError(
                f"{term.text}: {term.structure} has no option '{name}'; by=column gives every "
                "level of a column its own variances."
            )
    return dict(term.options).get("by")


def _distinct_names(factors: list[RandomFactor]) -> list[RandomFactor]:
    """A known covariance of levels keeps a factor of its own, which then needs another name."""
    from dataclasses import replace

    taken: set[str] = set()
    out = []
    for factor in factors:
        name = f"{factor.name} ({KNOWN})" if factor.name in taken else factor.name
        taken.add(name)
        out.append(replace(factor, name=name) if name != factor.name else factor)
    return out


def _check_no_column_twice(factor: RandomFactor) -> None:
    """Two terms on a factor with the same column share one variance in unknown parts."""
    seen: dict[str, RandomTerm] = {}
    for slot in factor.slots:
        for name in slot.names:
            if name not in seen:
                seen[name] = slot.term
                continue
            first, what = seen[name].text, "an intercept" if name == "Intercept" else f"'{name}'"
            lhs = slot.term.lhs.removeprefix("1 +").strip()
            how = (
                f"write (0 + {lhs} | {factor.name}) for the second, "
                f"or ({lhs} || {factor.name}) for both"
                if name == "Intercept" and lhs != "1"
                else "leave it out of one"
            )
            raise DesignError(
                f"{first} and {slot.term.text} both have {what} by {factor.name}, and only the sum "
                f"of the two variances could be estimated: {how}."
            )


def _check_levels(factor: RandomFactor) -> None:
    """Refuse a factor whose variances cannot be told from the residual's, or from nothing."""
    slots = [slot for slot in factor.slots if slot.term.structure in EXCHANGEABLE]
    n, levels = len(factor.codes), len(factor.levels)
    if len(slots) < len(factor.slots) or not slots:
        return
    if levels == 1:
        raise DesignError(
            f"The grouping factor '{factor.name}' has one level, '{factor.levels[0]}', in the rows "
            "used: a variance between levels needs at least two. Leave the term "
            f"{slots[0].term.text} out."
        )
    if levels < n:
        return
    for slot in slots:
        z = factor.z[:, slot.columns]
        constant = (np.abs(z) == np.abs(z[0])).all(axis=0) & (z[0] != 0)
        if constant.any():
            raise DesignError(
                f"The grouping factor '{factor.name}' has as many levels as there are rows ({n}): "
                f"{slot.term.text} cannot be told from the residual. Leave the term out, or group "
                "by something that repeats."
            )


def _check_residual(factor: RandomFactor, slot: TermSlot) -> None:
    """Refuse a term whose every effect belongs to one row, as the residuals do."""
    z = factor.z[:, slot.columns]
    k = z.shape[1]
    if slot.term.structure not in HOLD_RESIDUAL or k == 1 or len(z) > len(factor.levels) * k:
        return
    if not (((z == 0) | (z == 1)).all() and (z.sum(axis=1) == 1).all()):
        return
    cells = factor.codes * k + z.argmax(axis=1)
    if len(np.unique(cells)) == len(cells):
        columns = slot.spec.text.removeprefix("0 + ")
        raise DesignError(
            f"{slot.term.text}: each of its effects belongs to one row, so its variances cannot be "
            "told from the residual's. Give the residuals that structure instead, such as "
            f"correlation='us({columns} | {factor.name})' with variance='ident({columns})'."
        )
