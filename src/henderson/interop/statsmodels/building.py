"""`mixedlm`: statsmodels' notation -> a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from henderson.design import build
from henderson.errors import DataError, DesignError, FormulaError
from henderson.formula import Formula, RandomTerm, parse
from henderson.formula.names import names
from henderson.formula.words import CODINGS
from henderson.interop.statsmodels import components as parts
from henderson.interop.statsmodels.model import MixedLM, unused_note
from henderson.interop.statsmodels.rows import choose_rows

WITHOUT_EFFECT = frozenset({"use_sqrt", "hasconst"})

# patsy's own names, which a caller's objects of the same name do not replace.
PATSY = CODINGS | {"I", "Q", "center", "scale", "standardize", "bs", "cr", "cc", "te"}


def mixedlm(
    formula: str,
    data: Any,
    re_formula: str | None = None,
    vc_formula: Mapping[str, str] | None = None,
    subset: Any = None,
    use_sparse: bool = False,
    missing: str = "none",
    *,
    groups: Any = None,
    eval_env: int = 0,
    **kwargs: Any,
) -> MixedLM:
    """A linear mixed model in statsmodels' notation; `.fit()` it.

    Parameters
    ----------
    formula : of the response and the fixed effects, "score ~ edu".
    data : any table: pandas, polars, Arrow, dict of arrays, path.
    re_formula : random effects by group, correlated, "~ edu"; an intercept by default, and none
        where there are variance components.
    vc_formula : name -> formula of a variance component, independent effects within each group with
        one variance: {"classroom": "0 + C(classroom)"}.
    subset : truth values by row or labels of the index: the rows to use.
    use_sparse : has no use here.
    missing : "drop" leaves out rows with missing values; "none" and "raise" refuse them.
    groups : a column's name, or one label a row.
    eval_env : 0 lets the formulas use the caller's own functions and variables, -1 does not.

    Raises
    ------
    FormulaError, DataError, DesignError : bad input; the message names the culprit.

    Examples
    --------
    >>> import henderson as hd
    >>> scores = hd.load_dataset("classroom_scores")
    >>> result = hd.mixedlm("score ~ edu", scores, groups=scores["classroom"]).fit()
    >>> round(float(result.params["edu"]), 6)
    0.131193
    """
    _check_arguments(missing, kwargs)
    rows = choose_rows(data, groups, subset)
    effects = parts.effects_term(re_formula, rows.group, bool(vc_formula))
    components = parts.components(vc_formula, rows.group, rows.table)
    random = (*((effects,) if effects else ()), *(c.term for c in components))
    texts = [formula, *(t.lhs for t in random)]
    context = _as_patsy(texts) | _caller(eval_env, texts, rows.table)
    whole = _whole_formula(formula, random, frozenset(context))
    table = _truth_values_as_factors(rows.table, whole)
    design = build(whole, table, context=context)
    if missing != "drop" and design.frame.n_dropped:
        where = ", ".join(f"{count} in {name}" for name, count in design.frame.missing.items())
        raise DataError(
            f"There are missing values ({where}): missing='drop' leaves those rows out."
        )
    idle = [k for k in kwargs if kwargs[k] is not None] + (["use_sparse"] if use_sparse else [])
    notes = (*rows.notes, *unused_note(idle, "mixedlm"))
    membership = rows.table[rows.group].iloc[design.frame.rows]
    return MixedLM(formula, design, rows.label, membership, effects, components, notes)


def _check_arguments(missing: str, kwargs: Mapping[str, Any]) -> None:
    if missing not in ("none", "drop", "raise"):
        raise DesignError(f"missing is 'none', 'drop' or 'raise', not '{missing}'.")
    for name in kwargs:
        if name in ("exog_re", "exog_vc"):
            raise DesignError(f"{name} is not offered: give re_formula or vc_formula.")
        if name not in WITHOUT_EFFECT:
            raise DesignError(
                f"mixedlm has no argument '{name}' (weights and offsets: henderson.lmm has them)."
            )


def _whole_formula(formula: str, random: tuple[RandomTerm, ...], extra: frozenset[str]) -> Formula:
    """The fixed part with the random terms, as henderson writes them."""
    fixed = parse(formula, extra)
    if fixed.random:
        raise FormulaError(
            f"'{formula}' has random terms of its own: give the formula to henderson.lmm, or the "
            "random part as groups= and re_formula=."
        )
    text = " + ".join([fixed.text, *(term.text for term in random)])
    return replace(fixed, text=text, random=random)


def _truth_values_as_factors(table: pd.DataFrame, formula: Formula) -> pd.DataFrame:
    """Columns of truth values that stand by themselves are factors, `x[T.True]`, for patsy."""
    texts = [formula.fixed, *(term.lhs for term in formula.random)]
    alone = {word for text in texts for word in _summands(text)}
    found = [c for c in table.columns if c in alone and pd.api.types.is_bool_dtype(table[c].dtype)]
    return table.assign(**{c: table[c].astype("category") for c in found}) if found else table


def _summands(text: str) -> set[str]:
    from formulaic import Formula as Terms
    from formulaic.errors import FormulaicError

    try:
        return {factor.expr for term in Terms(text) for factor in term.factors}
    except FormulaicError:
        return set()  # the design says what is wrong with it


def _caller(eval_env: int, texts: list[str], table: pd.DataFrame) -> dict[str, Any]:
    """The caller's own objects that the formulas name."""
    if eval_env < 0:
        return {}
    frame = sys._getframe(2 + eval_env)
    seen = {**frame.f_globals, **frame.f_locals}
    found = [names(text) for text in texts]
    used = [name for one in found for name in one.variables + one.calls]
    roots = dict.fromkeys(name.partition(".")[0] for name in used)
    taken = {*table.columns, *PATSY, "np"}
    return {root: seen[root] for root in roots if root in seen and root not in taken}


def _as_patsy(texts: list[str]) -> dict[str, Any]:
    """What patsy means by some names where formulaic means another thing, or nothing.

    A coding may stand without brackets, `C(x, Sum)`; `scale` divides by the standard deviation with
    n, not n - 1, in the denominator.
    """
    from formulaic.transforms import TRANSFORMS

    bare = {v for text in texts for v in names(text).variables} & CODINGS
    out = {name: TRANSFORMS[name] for name in sorted(bare) if name in TRANSFORMS}
    if any("scale" in names(text).calls for text in texts):
        out["scale"] = TRANSFORMS["standardize"]
    return out
