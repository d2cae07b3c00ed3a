"""F-tests of the terms of the fixed part: types 1, 2 and 3.

Each term's hypothesis L beta = 0 is stated in the treatment coding of `fixed_terms` and carried to
the fit's own, so that no test depends on the contrasts of the formula.

Type 1: what a term adds to the terms before it; its rows of U in X'X = U'D U, U unit upper
triangular. Type 2: what it adds to all the terms that do not contain it; the same with the columns
in another order, or the term's own coefficients if no term contains it.
Type 3: the estimable functions of the term that are orthogonal, in the overparametrised model, to
those of the terms that contain it (Searle 1987, Linear Models for Unbalanced Data, ch. 12;
Kuznetsova, Brockhoff & Christensen 2017, JSS 82(13), section 2). In a design without empty cells
these are differences of unweighted means.

The F statistic depends on the row space of L alone; Satterthwaite's df of several rows depends a
little on the rows, which are lmerTest's with treatment contrasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from henderson.errors import DesignError
from henderson.inference.ddf import DdfMethod, ddf_method, used_method
from henderson.inference.fixed_terms import FixedTerm, FixedTerms, fixed_terms
from henderson.inference.wald import f_tail
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

AnovaType = Literal[1, 2, 3]
COLUMNS = ("term", "sum_sq", "mean_sq", "num_df", "den_df", "f", "p_value")


@dataclass(frozen=True, eq=False, repr=False)
class Anova(Printed):
    """F-tests of the terms of the fixed part.

    Attributes
    ----------
    table : one row a term: term, sum_sq, mean_sq, num_df, den_df, f, p_value. sum_sq is
        f * num_df * sigma^2, in squared units of the response; Kenward and Roger's f is scaled,
        sum_sq is not.
    hypotheses : term -> L (r, p), the rows that were tested.
    type : 1, 2 or 3. ddf : how the denominator degrees of freedom were found.
    notes : terms of which not everything could be tested.
    """

    table: pd.DataFrame
    hypotheses: dict[str, np.ndarray]
    type: int
    ddf: str
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import anova_parts

        return anova_parts(self)


def anova(fit: Fit, type: AnovaType = 3, ddf: str = "satterthwaite") -> Anova:
    """F-tests of the terms of the fixed part; see `Fit.anova`.

    Raises
    ------
    DesignError : an unknown type or method.
    """
    import pandas as pd

    if type not in (1, 2, 3):
        raise DesignError(f"Unknown type {type!r} of an analysis of variance: choose 1, 2 or 3.")
    method = ddf_method(fit, ddf)
    terms = fixed_terms(fit.design)
    hypotheses = term_hypotheses(terms, type)
    rows = [(name, *_test(fit, method, rows)) for name, rows in hypotheses.items()]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"num_df": "int64"})
    return Anova(table, hypotheses, type, used_method(fit, ddf), _notes(terms))


def term_hypotheses(terms: FixedTerms, type: int) -> dict[str, np.ndarray]:
    """Term -> L (r, p) in the fit's own coding; no rows where nothing can be tested."""
    rows = {1: _type_1, 2: _type_2, 3: _type_3}[type]
    return {t.name: rows(terms, t) @ terms.to_beta for t in terms.tested}


def _type_1(terms: FixedTerms, term: FixedTerm) -> np.ndarray:
    return terms.r[term.kept] / np.diag(terms.r)[term.kept, None]


def _type_2(terms: FixedTerms, term: FixedTerm) -> np.ndarray:
    last = terms.containing(term)
    if not len(last):
        return np.eye(len(terms.r))[term.kept]
    others = np.setdiff1d(np.arange(len(terms.r)), np.concatenate([term.kept, last]))
    order = np.concatenate([others, term.kept, last])
    r = np.linalg.qr(terms.r[:, order], mode="r")
    own = slice(len(others), len(others) + len(term.kept))
    out = np.zeros((len(term.kept), len(order)))
    out[:, order] = r[own] / np.diag(r)[own, None]
    return out


def _type_3(terms: FixedTerms, term: FixedTerm) -> np.ndarray:
    out = np.eye(len(terms.r))[term.kept]
    last = terms.containing(term)
    if len(last) and len(term.kept):
        own, over = terms.estimable[term.kept], terms.estimable[last]
        out[:, last] = -np.linalg.lstsq(over.T, own.T, rcond=None)[0].T
    return out


def _test(fit: Fit, method: DdfMethod, rows: np.ndarray) -> tuple[float, ...]:
    """sum_sq, mean_sq, num_df, den_df, f and p of rows (q, p) of full rank."""
    q = len(rows)
    if q == 0:
        return np.nan, np.nan, 0, np.nan, np.nan, np.nan
    gap = rows @ fit.optimum.beta
    den, scale = method.joint(rows)
    f = float(gap @ np.linalg.solve(rows @ method.cov_beta @ rows.T, gap)) / q
    mean_sq = f * fit.scale
    return q * mean_sq, mean_sq, q, den, scale * f, f_tail(scale * f, q, den)


def _notes(terms: FixedTerms) -> tuple[str, ...]:
    """Terms of which combinations of levels, or everything, cannot be estimated."""
    notes = []
    for term in terms.tested:
        if len(term.kept) == 0:
            notes.append(f"{term.name}: other terms determine it, so nothing is left to test.")
        elif len(term.kept) < term.full:
            why = "some combinations of levels do not occur" if term.factors else "it is collinear"
            notes.append(
                f"{term.name}: {len(term.kept)} of {term.full} effects can be estimated ({why}); "
                "only these are tested."
            )
    return tuple(notes)
