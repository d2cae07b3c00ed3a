"""One likelihood-ratio test per random term, as lmerTest's `ranova` has them.

A term (x | g) is reduced by each of its parts that no other part contains: to (1 | g) for x; a term
that has one part only is dropped, or reduced to (1 | g) where the part spans the constant, as a
factor's indicators do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from henderson.design.evaluate import restored
from henderson.errors import DesignError
from henderson.inference.lrt import LikelihoodRatio, likelihood_ratio
from henderson.model import fit_design
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import Design, RandomFactor, TermSlot
    from henderson.fit import Fit

COLUMNS = ("term", "npar", "llf", "aic", "statistic", "df", "p_value", "p_boundary")
NONE = "<none>"


@dataclass(frozen=True, eq=False, repr=False)
class Ranova(Printed):
    """Likelihood-ratio tests of the random terms.

    Attributes
    ----------
    table : the fit itself, "<none>", and one row a term left out or reduced: term, npar, llf, aic
        (of the smaller model), statistic, df, p_value (chi-square, as lmerTest's) and p_boundary
        (which minds that variances cannot be negative).
    method : "REML" or "ML", the likelihood compared.
    """

    table: pd.DataFrame
    method: str

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import ranova_parts

        return ranova_parts(self)


@dataclass(frozen=True)
class Part:
    """One part of a random term's left-hand side: its name, variables and columns of the slot."""

    name: str
    variables: frozenset[str]
    columns: np.ndarray


def ranova(fit: Fit) -> Ranova:
    """Test each random term; see `Fit.ranova`.

    Raises
    ------
    DesignError : the model has no random terms.
    """
    import pandas as pd

    if not fit.design.random:
        raise DesignError(f"'{fit.formula}' has no random terms to test.")
    rows = [(NONE, fit.npar, fit.llf, fit.aic, *(np.nan,) * 4)]
    for label, design in reduced_designs(fit.design):
        small = fit_design(design, fit.method, engine=fit.optimum.engine)
        rows.append(
            (label, small.npar, small.llf, small.aic, *_numbers(likelihood_ratio(small, fit)))
        )
    return Ranova(pd.DataFrame(rows, columns=list(COLUMNS)), fit.method)


def _numbers(test: LikelihoodRatio) -> tuple[float, float, float, float]:
    return test.statistic, test.df, test.p_value, test.p_boundary


def reduced_designs(design: Design) -> Iterator[tuple[str, Design]]:
    """What is left out, and the design without it, in the formula's order."""
    for t, factor in enumerate(design.random):
        for s, slot in enumerate(factor.slots):
            for label, columns in _reductions(factor, slot):
                changed = _with_columns(factor, s, columns)
                others = (*design.random[:t], *changed, *design.random[t + 1 :])
                yield label, _with_random(design, others)


def _reductions(factor: RandomFactor, slot: TermSlot) -> Iterator[tuple[str, np.ndarray]]:
    """A label and the columns (m, K') that replace the term's own: none where it is dropped."""
    term, z = slot.term, factor.z[:, slot.columns]
    if term.structure not in ("us", "diag") or slot.strata > 1:
        yield term.text, np.zeros((len(z), 0))
        return
    parts = lhs_parts(slot)
    for part in parts:
        rest = [q for q in parts if q is not part]
        if any(part.variables < q.variables for q in rest) and part.variables:
            continue
        if not part.variables and rest and term.structure == "us":
            continue
        keep = np.setdiff1d(np.arange(z.shape[1]), part.columns)
        alone = term.structure == "diag" or not rest
        label = _label(part, term.group_name, term.text, alone=alone)
        constant = not rest and part.variables and _spans_constant(z)
        yield label, (np.ones((len(z), 1)) if constant else z[:, keep])


def _label(part: Part, group: str, text: str, *, alone: bool) -> str:
    if not part.variables:
        return f"(1 | {group})"
    return f"{part.name} in " + (f"(0 + {part.name} | {group})" if alone else text)


def _spans_constant(z: np.ndarray) -> bool:
    ones = np.ones(len(z))
    rest = ones - z @ np.linalg.lstsq(z, ones, rcond=None)[0]
    return bool(np.abs(rest).max() < 1e-8) and z.shape[1] > 1


def lhs_parts(slot: TermSlot) -> list[Part]:
    """The parts of a random term's left-hand side, the intercept among them."""
    names = list(slot.names)
    if slot.spec.plain is not None:
        return _plain_parts(names, slot.spec.plain.columns)
    return [
        Part(
            restored(str(item.term)),
            frozenset(f.expr for f in item.term.factors if f.expr != "1"),
            np.array([names.index(restored(c)) for c in item.columns], dtype=np.intp),
        )
        for item in slot.spec.state.structure
        if item.columns
    ]


def _plain_parts(names: Sequence[str], variables: Sequence[str]) -> list[Part]:
    out = []
    for variable in ("Intercept", *variables):
        own = [i for i, n in enumerate(names) if n == variable or n.startswith(f"{variable}[")]
        uses = frozenset() if variable == "Intercept" else frozenset([variable])
        if own:
            out.append(Part(variable, uses, np.array(own, dtype=np.intp)))
    return out


def _with_columns(
    factor: RandomFactor, place: int, columns: np.ndarray
) -> tuple[RandomFactor, ...]:
    """The factor with other columns for one of its terms; no factor if nothing is left of it."""
    old = factor.slots[place]
    parts, slots, end = [], [], 0
    for slot in factor.slots:
        z = columns if slot is old else factor.z[:, slot.columns]
        if not z.shape[1]:
            continue
        names = slot.names
        if slot is old:
            names = tuple(f"{old.names[0]} {i}" for i in range(z.shape[1]))
        slots.append(replace(slot, columns=slice(end, end + z.shape[1]), names=names))
        parts.append(z)
        end += z.shape[1]
    if not parts:
        return ()
    return (replace(factor, z=np.ascontiguousarray(np.hstack(parts)), slots=tuple(slots)),)


def _with_random(design: Design, random: Sequence[RandomFactor]) -> Design:
    return replace(design, random=tuple(random))
