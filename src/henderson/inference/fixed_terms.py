"""The terms of the fixed part: their columns, and a coding that is not the user's.

Every factor is spanned by the indicators of all of its levels (the overparametrised model, theta),
and from these the treatment coding is chosen (first level as reference, beta_t). A hypothesis
stated there is the same whatever contrasts the formula asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import solve_triangular

from henderson.design.columns import Columns
from henderson.design.context import functions
from henderson.design.evaluate import readable, restored
from henderson.design.rank import independent_columns

if TYPE_CHECKING:
    from henderson.design import Design
    from henderson.design.evaluate import Spec

INTERCEPT = "1"


@dataclass(frozen=True)
class Variable:
    """One expression of a term, such as `age` or `C(sex)`.

    columns : (n, k); all k indicators of a factor with k levels.
    """

    name: str
    is_factor: bool
    columns: np.ndarray


@dataclass(frozen=True)
class FixedTerm:
    """A term of the fixed part.

    factors, covariates : its expressions by kind.
    overfull : positions of its columns in the overparametrised model.
    kept : positions of its columns in the treatment coding of full rank.
    full : how many columns it would have there if every combination of levels occurred and no
        earlier term determined it.
    """

    name: str
    factors: frozenset[str]
    covariates: frozenset[str]
    overfull: np.ndarray
    kept: np.ndarray
    full: int

    def within(self, other: FixedTerm) -> bool:
        """The other has the same covariates, and these factors and more."""
        return self.covariates == other.covariates and self.factors < other.factors


@dataclass(frozen=True)
class FixedTerms:
    """All terms of a fixed part.

    terms : in formulaic's order (by degree), the intercept among them if there is one.
    r : (p, p) upper triangular, X_t = Q r for the treatment coding X_t.
    estimable : (p, P), X_t @ estimable = the overparametrised columns: row j is beta_t[j] as a
        function of theta.
    to_beta : (p, p), beta_t = to_beta @ beta for the fit's own coding.
    """

    terms: tuple[FixedTerm, ...]
    r: np.ndarray
    estimable: np.ndarray
    to_beta: np.ndarray

    @property
    def tested(self) -> tuple[FixedTerm, ...]:
        """The terms without the intercept."""
        return tuple(t for t in self.terms if t.factors or t.covariates)

    def containing(self, term: FixedTerm) -> np.ndarray:
        """Positions in the treatment coding of the terms that contain `term`."""
        found = [t.kept for t in self.terms if term.within(t)]
        return np.concatenate([np.zeros(0, dtype=np.intp), *found])


def fixed_terms(design: Design) -> FixedTerms:
    """Split the fixed part of a design into its terms."""
    fixed = design.fixed
    formula, variables = _variables(fixed.spec, Columns(design.frame.data, fixed.spec.levels))
    parts = [_overfull(term, variables, design.n) for term in formula]
    columns = np.vstack([part.T for part, _ in parts] or [np.zeros((0, design.n))]).T
    ends = np.cumsum([0, *(part.shape[1] for part, _ in parts)])
    reference = np.concatenate([np.zeros(0, dtype=bool), *(first for _, first in parts)])
    kept = _treatment(columns, ends, reference)
    q, r = np.linalg.qr(columns[:, kept])
    terms = tuple(
        _term(term, variables, np.arange(a, b), np.flatnonzero((kept >= a) & (kept < b)), first)
        for term, a, b, (_, first) in zip(formula, ends[:-1], ends[1:], parts, strict=True)
    )
    return FixedTerms(
        terms,
        r,
        solve_triangular(r, q.T @ columns),
        solve_triangular(r, q.T @ design.X),
    )


def _term(
    term: Any,
    variables: dict[str, Variable],
    overfull: np.ndarray,
    kept: np.ndarray,
    reference: np.ndarray,
) -> FixedTerm:
    names = [f.expr for f in term.factors if f.expr in variables]
    factors = frozenset(n for n in names if variables[n].is_factor)
    return FixedTerm(
        name=restored(str(term)),
        factors=factors,
        covariates=frozenset(names) - factors,
        overfull=overfull,
        kept=kept,
        full=int((~reference).sum()),
    )


def _variables(spec: Spec, columns: Columns) -> tuple[Any, dict[str, Variable]]:
    """formulaic's terms of a text, and the columns of every expression in them."""
    from formulaic import Formula, ModelSpec
    from formulaic.materializers import PandasMaterializer
    from formulaic.parser.types import Term

    formula = spec.state.formula if spec.state is not None else Formula(readable(spec.text))
    each = dict.fromkeys(f for term in formula for f in term.factors if f.expr != INTERCEPT)
    singles = [Term([factor]) for factor in each]
    if not singles:
        return formula, {}
    wanted = ModelSpec(formula=Formula(singles), ensure_full_rank=False, na_action="ignore")
    context = {**functions(), **spec.context}
    with np.errstate(all="ignore"):
        matrix = PandasMaterializer(columns.table(spec.columns), context=context).get_model_matrix(
            wanted, output="numpy"
        )
    state, values = matrix.model_spec, np.asarray(matrix, dtype=float)
    return formula, {
        factor.expr: _variable(factor.expr, values[:, state.term_indices[term]], state)
        for factor, term in zip(each, singles, strict=True)
    }


def _variable(name: str, columns: np.ndarray, state: Any) -> Variable:
    kind, _ = state.encoder_state[name]
    is_factor = kind.value == "categorical"
    return Variable(name, is_factor, _indicators(columns) if is_factor else columns)


def _indicators(columns: np.ndarray) -> np.ndarray:
    """Indicators (n, k) of a factor's levels; other codings are told by their distinct rows."""
    plain = np.isin(columns, (0.0, 1.0)).all() and (columns.sum(axis=1) == 1.0).all()
    if plain:
        return columns[:, columns.any(axis=0)]
    _, codes = np.unique(columns, axis=0, return_inverse=True)
    return np.equal(codes.reshape(-1, 1), np.arange(codes.max() + 1)).astype(float)


def _overfull(term: Any, variables: dict[str, Variable], n: int) -> tuple[np.ndarray, np.ndarray]:
    """All products of the columns of a term's expressions; which hold some factor's first level."""
    own = [variables[f.expr] for f in term.factors if f.expr in variables]
    columns, first = [], []
    for at in product(*(range(v.columns.shape[1]) for v in own)):
        values = (v.columns[:, j] for v, j in zip(own, at, strict=True))
        columns.append(reduce(np.multiply, values, np.ones(n)))
        first.append(any(v.is_factor and j == 0 for v, j in zip(own, at, strict=True)))
    return np.array(columns).T, np.array(first)


def _treatment(columns: np.ndarray, ends: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Positions (p,) of the columns of the treatment coding, in order.

    Within a term the columns with a first level come last, and are left out if the others and the
    earlier terms determine them.
    """
    order = np.concatenate(
        [a + np.argsort(reference[a:b], kind="stable") for a, b in _pairs(ends)]
        or [np.zeros(0, dtype=np.intp)]
    )
    return np.sort(order[independent_columns(columns[:, order])])


def _pairs(ends: Sequence[int] | np.ndarray) -> list[tuple[int, int]]:
    return list(pairwise(ends))
