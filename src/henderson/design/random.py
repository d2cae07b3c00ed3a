"""The random part: for each grouping factor integer codes and the columns of its terms.

Z is never formed to fit: row i has z[i] in the columns of level codes[i].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.factors import Factor, cross
from henderson.design.columns import Columns, label, level_codes
from henderson.design.evaluate import Spec, fit_spec
from henderson.design.known import Known
from henderson.design.positions import check_lags, fit_positions
from henderson.design.relationship import KNOWN, given_matrices, known_levels, matrix_name
from henderson.design.strata import split
from henderson.errors import DesignError, FormulaError
from henderson.formula import RandomTerm
from henderson.formula.residual_terms import PositionKind
from henderson.formula.structures import coordinates

# Levels of these are exchangeable: their variance is learnt from how levels differ.
EXCHANGEABLE = frozenset({"us", "diag", "cs", "hcs"})
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
    known : the covariance between levels, which are independent without.
    """

    name: str
    codes: np.ndarray
    levels: np.ndarray
    z: np.ndarray
    slots: tuple[TermSlot, ...]
    parts: tuple[tuple[str, Factor], ...]
    known: Known | None = None

    @property
    def all_levels(self) -> np.ndarray:
        """(J + U,) the levels, then those of a known covariance without rows."""
        if self.known is None or not len(self.known.others):
            return self.levels
        others = self.known.others
        if self.levels.dtype.kind in "iuf":
            numbers = pd.to_numeric(pd.Series(others), errors="coerce").to_numpy()
            others = numbers if np.isfinite(numbers).all() else others
        return np.concatenate([self.levels, others])

    def extended(self, modes: np.ndarray) -> np.ndarray:
        """Effects (J + U, ...) of `all_levels` from those of the levels (J, ...): their BLUPs."""
        if self.known is None or not len(self.known.others):
            return modes
        return np.concatenate([modes, np.tensordot(self.known.weights, modes, axes=1)])

    @property
    def variances(self) -> np.ndarray:
        """(J + U,) the variances of `all_levels`, in units of Sigma: one but for known ones."""
        return np.ones(len(self.levels)) if self.known is None else self.known.variances

    def mean_square(self) -> np.ndarray:
        """The mean over rows (K, K) of z z', times the variance of the row's level."""
        return (self.z.T * self.variances[self.codes]) @ self.z / len(self.z)

    def alike(self, rows: np.ndarray) -> np.ndarray:
        """K (r, r) between the levels of rows (r,): one or zero without a known covariance."""
        codes = self.codes[rows]
        if self.known is None:
            return (codes[:, None] == codes).astype(float)
        return self.known.covariance(codes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K columns."""
        return tuple(name for slot in self.slots for name in slot.names)

    def slots_of(self, effects: np.ndarray | bool) -> tuple[TermSlot, ...]:
        """The terms that some of these effects (K,) belong to; of all or of none."""
        asked = np.broadcast_to(effects, self.z.shape[1])
        return tuple(slot for slot in self.slots if asked[slot.columns].any())

    def new(self, columns: Columns, slots: Iterable[TermSlot]) -> tuple[np.ndarray, np.ndarray]:
        """Codes (m,), -1 for an unseen level, and z (m, K) for new rows, zero for other terms."""
        z = np.zeros((columns.n, self.z.shape[1]))
        for slot in slots:
            z[:, slot.columns] = slot.spec.matrix(columns)
        return self.new_codes(columns.data), z

    def new_codes(self, data: pd.DataFrame) -> np.ndarray:
        """Codes (m,) of new rows in `all_levels`: -1 where a level, or a combination of levels, is
        not known."""
        codes = self._seen_codes(data)
        lost = codes < 0
        if self.known is None or not len(self.known.others) or not lost.any():
            return codes
        names = [name for name, _ in self.parts]
        labels = [":".join(label(v) for v in row) for row in data[names].to_numpy(object)[lost]]
        others = pd.Index(self.known.others).get_indexer(pd.Index(labels, dtype=object))
        codes[lost] = np.where(others >= 0, len(self.levels) + others, -1)
        return codes

    def _seen_codes(self, data: pd.DataFrame) -> np.ndarray:
        """Codes (m,) of new rows among the levels with rows, -1 for others."""
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
    terms: Iterable[RandomTerm],
    columns: Columns,
    context: Mapping[str, Any],
    matrices: Mapping[str, Any] | None = None,
) -> tuple[RandomFactor, ...]:
    """One `RandomFactor` per grouping factor and known covariance, in the formula's order.

    Parameters
    ----------
    matrices : the known covariances of `known(1 | id, K)` by name.

    Raises
    ------
    FormulaError : a known term without a matrix, or a matrix that no term names.
    DesignError : a factor with one level, two terms with the same column.
    """
    terms = tuple(terms)
    given = given_matrices(terms, matrices)
    by_group: dict[tuple[frozenset[str], str | None], list[RandomTerm]] = {}
    for term in terms:
        name = matrix_name(term) if term.structure == KNOWN else None
        by_group.setdefault((frozenset(term.group), name), []).append(term)
    factors = [
        _random_factor(group, columns, context, None if name is None else given)
        for (_, name), group in by_group.items()
    ]
    _check_apart(factors)
    return tuple(_distinct_names(factors))


def _random_factor(
    terms: list[RandomTerm],
    columns: Columns,
    context: Mapping[str, Any],
    matrices: Mapping[str, Any] | None,
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
    known = None if matrices is None else known_levels(terms[0], factor, matrices)
    out = RandomFactor(terms[0].group_name, factor.codes, factor.levels, z, slots, parts, known)
    _check_no_column_twice(out)
    _check_levels(out)
    _check_known(out)
    _check_strata(out)
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
    """The column of `by=`; beside it a known covariance has its matrix."""
    for name, _ in term.options:
        if name != "by" and (name, term.structure) != ("matrix", KNOWN):
            raise FormulaError(
                f"{term.text}: {term.structure} has no option '{name}'; by=column gives every "
                "level of a column its own variances."
            )
    return dict(term.options).get("by")


def _distinct_names(factors: list[RandomFactor]) -> list[RandomFactor]:
    """A known covariance of levels keeps a factor of its own, which then needs another name."""
    taken = {factor.name for factor in factors if factor.known is None}
    out = []
    for factor in factors:
        name = factor.name
        if factor.known is not None and name in taken:
            name = f"{name} ({matrix_name(factor.slots[0].term)})"
        taken.add(name)
        out.append(replace(factor, name=name))
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
    """Refuse a factor of one level whose effects are exchangeable."""
    slots = [slot for slot in factor.slots if slot.term.structure in EXCHANGEABLE]
    if len(factor.levels) > 1 or len(slots) < len(factor.slots):
        return
    raise DesignError(
        f"The grouping factor '{factor.name}' has one level, '{factor.levels[0]}', in the rows "
        "used: a variance between levels needs at least two. Leave the term "
        f"{slots[0].term.text} out."
    )


def _check_strata(factor: RandomFactor) -> None:
    """Refuse a stratum with one level, which has nothing to tell a variance from."""
    for slot in factor.slots:
        if slot.strata == 1 or slot.term.structure not in EXCHANGEABLE:
            continue
        blocks = np.split(factor.z[:, slot.columns] != 0.0, slot.strata, axis=1)
        for stratum, block in enumerate(blocks):
            if len(np.unique(factor.codes[block.any(axis=1)])) < 2:
                name = slot.names[stratum * len(slot.names) // slot.strata].rpartition(":")[0]
                raise DesignError(
                    f"{slot.term.text}: {name} has rows of one level of '{factor.name}' only, and "
                    "a variance between levels needs at least two. Join strata, or leave by= out."
                )


def _check_known(factor: RandomFactor) -> None:
    """Refuse a known covariance that is the residual's: K = c I + d 11' with one row a level."""
    known, slot = factor.known, factor.slots[0]
    if known is None or len(factor.levels) < len(factor.codes) or not (factor.z == 1.0).any():
        return
    if _proportional(known.apart, np.eye(len(factor.levels))):
        raise DesignError(
            f"{slot.term.text}: with one row a level and no covariances between levels, or all the "
            "same, its effects cannot be told from the residual. Leave the term out."
        )


def _check_apart(factors: list[RandomFactor]) -> None:
    """Refuse two covariances of the same levels that are multiples of one another."""
    for one, other in combinations(factors, 2):
        if one.known is None and other.known is None:
            continue
        shared = set(one.names) & set(other.names)
        if not shared or {n for n, _ in one.parts} != {n for n, _ in other.parts}:
            continue
        first, second = (
            np.eye(len(f.levels)) if f.known is None else f.known.apart for f in (one, other)
        )
        if _proportional(first, second):
            raise DesignError(
                f"{one.slots[0].term.text} and {other.slots[0].term.text} have the same "
                f"covariance between the levels of '{one.name}', up to a factor, and only the sum "
                "of the two variances could be estimated: leave one out."
            )


def _proportional(a: np.ndarray, b: np.ndarray) -> bool:
    by = float(np.trace(a) / np.trace(b))
    return bool(np.allclose(a, by * b, rtol=0.0, atol=1e-8 * float(np.abs(a).max())))
