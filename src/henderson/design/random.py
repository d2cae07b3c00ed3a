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
from henderson.errors import DesignError
from henderson.formula import RandomTerm

# Levels of these are exchangeable: their variance is learnt from how levels differ.
EXCHANGEABLE = frozenset({"us", "diag", "cs", "hcs"})
KNOWN = "known"


@dataclass(frozen=True)
class TermSlot:
    """The place of one random term among the columns of its grouping factor.

    Parameters
    ----------
    term : as the formula has it.
    columns : slice of the factor's K columns.
    names : of those columns.
    spec : how the left-hand side became columns.
    """

    term: RandomTerm
    columns: slice
    names: tuple[str, ...]
    spec: Spec


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
    specs = [fit_spec(term.lhs, columns, context, "C") for term in terms]
    for term, (spec, _) in zip(terms, specs, strict=True):
        if not spec.names:
            raise DesignError(f"{term.text} has no columns: write (1 | {term.group_name}).")
    ends = np.cumsum([0] + [len(spec.names) for spec, _ in specs]).tolist()
    slots = tuple(
        TermSlot(term, slice(a, b), spec.names, spec)
        for term, (spec, _), a, b in zip(terms, specs, ends, ends[1:], strict=False)
    )
    z = np.ascontiguousarray(
        specs[0][1] if len(specs) == 1 else np.column_stack([matrix for _, matrix in specs])
    )
    out = RandomFactor(terms[0].group_name, factor.codes, factor.levels, z, slots, parts)
    _check_no_column_twice(out)
    _check_levels(out)
    return out


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
