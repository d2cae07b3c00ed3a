"""Formula and data in, a finished fit out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from typing import Any, Literal

import numpy as np

from henderson.covariance import make_structure
from henderson.covariance.residual.build import residual_model
from henderson.design import Design, RandomFactor, build
from henderson.design.residual import refuse_weights
from henderson.engine.iterative_products import Engine
from henderson.engine.optimise import optimise
from henderson.engine.problem import Grouping, Standard, Term, engine_order, standardise
from henderson.errors import DesignError, FitError, FormulaError, did_you_mean
from henderson.fit import Fit
from henderson.formula import parse
from henderson.formula.structures import CorrelationLike, VarianceLike, residual_terms
from henderson.formula.updated import updated

Method = Literal["REML", "ML"]
ENGINES = ("auto", "exact", "iterative")
MOST_ITERATIONS = 100
# A residual variance below this share of the response's prompts a look at whether there is any;
# a residual below EXACT times the response is rounding.
SUSPICIOUS = 1e-8
EXACT = 1e-12


def lmm(
    formula: str,
    data: Any,
    *,
    method: Method = "REML",
    weights: Any = None,
    offset: Any = None,
    subset: Any = None,
    correlation: CorrelationLike = None,
    variance: VarianceLike = None,
    context: dict[str, Any] | None = None,
    matrices: Mapping[str, Any] | None = None,
    engine: Engine = "auto",
) -> Fit:
    """Fit a linear mixed model.

    Parameters
    ----------
    formula : R's notation, `"score ~ edu + (1 | classroom)"`. Random terms: `(1 | g)`, `(x | g)`,
        `(0 + x | g)`, `(x || g)`, `(1 | a/b)`, `(1 | a:b)`, several of them.
    data : pandas, polars or Arrow table, dict of arrays, or path to a CSV or Parquet file.
    method : "REML" (restricted maximum likelihood) or "ML".
    weights : column name or array (n,), positive: the residual variance of a row is sigma^2 / w.
    offset : column name or array (n,): a term with coefficient one.
    subset : boolean array (n,) or a pandas query such as `"age > 10"`.
    correlation : of the residuals within groups: `"ar1(time | subject)"`, `"cs(1 | subject)"`,
        `"exp(x + y | field, nugget=True)"`, or an object of `henderson.structures`.
    variance : of the residuals: `"ident(sex)"`, `"power(fitted)"`, a product of such.
    context : names that the formula may use beside the columns.
    matrices : known covariances between levels by name, for terms `known(1 | id, K)`: arrays,
        DataFrames with the levels as labels, sparse matrices, or `henderson.Relationship`, which
        names the levels and takes inverses.
    engine : "exact" factors the equations of the random effects; "iterative" solves large crossed
        designs without: the log-likelihood then has a Monte-Carlo error (the seed is fixed), and
        single levels have no standard errors. "auto" is iterative where several grouping factors
        with more than 5,000 effects beside the largest one's meet.

    Returns
    -------
    Fit

    Raises
    ------
    FormulaError, DataError, DesignError : bad input; the message names the culprit.
    FitError : the model cannot be estimated from these data.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmm("score ~ edu + (1 | classroom)", hd.load_dataset("classroom_scores"))
    >>> round(float(fit.params["edu"]), 6)
    0.131193
    """
    call = dict(locals())
    residual = residual_terms(correlation, variance)
    refuse_weights(residual, weights)
    design = build(
        formula,
        data,
        weights=weights,
        offset=offset,
        subset=subset,
        context=context,
        residual=residual or None,
        matrices=matrices,
    )
    if not design.random:
        raise FormulaError(
            f"'{formula}' has no random term such as (1 | group): add one, or use henderson.lm."
        )
    _refuse_engine(engine, design)
    return replace(fit_design(design, method, engine=engine), call=call)


def lm(
    formula: str,
    data: Any,
    *,
    method: Method = "REML",
    weights: Any = None,
    offset: Any = None,
    subset: Any = None,
    correlation: CorrelationLike = None,
    variance: VarianceLike = None,
    context: dict[str, Any] | None = None,
) -> Fit:
    """Fit a linear model without random effects; the result has the same verbs as `lmm`'s.

    With `method="REML"` sigma^2 is SSE / (n - p), as ordinary least squares has it, and `llf` is
    the restricted log-likelihood; with `"ML"` sigma^2 is SSE / n and `llf` the one that R's `lm`
    and statsmodels' `OLS` print. With `correlation` or `variance` it is generalised least squares,
    as R's `gls`. Parameters and errors as in `lmm`.
    """
    call = dict(locals())
    random = parse(formula, frozenset(context or {})).random
    if random:
        terms = ", ".join(t.text for t in random)
        raise FormulaError(f"henderson.lm takes no random terms ({terms}): use henderson.lmm.")
    residual = residual_terms(correlation, variance)
    refuse_weights(residual, weights)
    design = build(
        formula,
        data,
        weights=weights,
        offset=offset,
        subset=subset,
        context=context,
        residual=residual or None,
    )
    return replace(fit_design(design, method), call=call)


def _refuse_engine(engine: str, design: Design) -> None:
    """Raise for an engine that is none, or that cannot fit this design."""
    if engine not in ENGINES:
        raise FitError(f"Unknown engine '{engine}': choose 'auto', 'exact' or 'iterative'.")
    if engine != "iterative":
        return
    if len(design.random) < 2:
        raise FitError(
            "The iterative engine is for two or more grouping factors; with one the exact engine "
            "is as fast: leave engine out."
        )
    if any(f.known is not None for f in design.random):
        raise FitError(
            "The iterative engine takes independent levels only: leave out engine='iterative' "
            "beside a known covariance."
        )
    if design.residual is not None:
        raise FitError(
            "The iterative engine takes independent residuals only: leave out engine='iterative', "
            "or the correlation and variance of the residuals."
        )


def fit_design(
    design: Design, method: Method, start: np.ndarray | None = None, engine: Engine = "auto"
) -> Fit:
    """Fit a design that is built already; `start` is the phi of an earlier optimum."""
    reml = _is_reml(method)
    if reml and design.n - design.p < 1:
        raise FitError(
            f"REML needs more rows ({design.n}) than fixed effects ({design.p}): "
            "drop fixed effects or add rows."
        )
    if design.residual is not None and design.residual.terms.of_fitted:
        return _iterated(design, reml)
    return _once(design, reml, start, engine)


def _once(
    design: Design, reml: bool, start: np.ndarray | None = None, engine: Engine = "auto"
) -> Fit:
    residual = None if design.residual is None else residual_model(design.residual)
    optimum = optimise(problem(design), reml, start, residual, engine)
    if design.random and optimum.factorisation.s2(reml) < SUSPICIOUS:
        _refuse_exact(design)
    return Fit(design=design, optimum=optimum)


def _refuse_exact(design: Design) -> None:
    """Raise where fixed and random effects reproduce the response, as the likelihood has no bound.

    Raises
    ------
    FitError : no residual is left; the message names the grouping factors.
    """
    from scipy.sparse import csr_array, hstack
    from scipy.sparse.linalg import lsmr

    y = design.y if design.offset is None else design.y - design.offset
    columns = hstack([csr_array(design.X), design.Z]) if design.p else design.Z
    left = lsmr(columns, y, atol=1e-15, btol=1e-15, conlim=0.0, maxiter=4 * columns.shape[1])[3]
    if left <= EXACT * np.linalg.norm(y):
        groups = ", ".join(f.name for f in design.random)
        for factor in design.random:
            if factor.known is not None and len(factor.levels) == design.n:
                raise FitError(
                    f"With one row a level of '{factor.name}' the likelihood is highest where "
                    f"{factor.slots[0].term.text} has all of the variance and the residual none: "
                    "these rows cannot tell the two apart. Give repeated rows of some levels, or "
                    "check the matrix."
                )
        raise FitError(
            f"The fixed effects and the effects of {groups} explain the response exactly: no "
            "residual is left to estimate a variance from. Take out random effects, or see "
            "whether the response was computed from the groups."
        )


def _iterated(design: Design, reml: bool) -> Fit:
    """Alternate between fitted values and the variance that depends on them, as nlme does.

    Raises
    ------
    FitError : the two do not settle.
    """
    plain = design.residual
    assert plain is not None
    fit = _once(replace(design, residual=None), reml)
    last = np.inf
    for _ in range(MOST_ITERATIONS):
        start = None if fit.design.residual is None else fit.optimum.at.phi
        with_fitted = plain.with_fitted(fit.fittedvalues.to_numpy())
        fit = _once(replace(design, residual=with_fitted), reml, start)
        if abs(fit.criterion - last) < 1e-9 * (1.0 + abs(fit.criterion)):
            return fit
        last = fit.criterion
    raise FitError(
        "The fitted values and the variance that depends on them do not settle: use a variance "
        "function of a covariate, such as variance='power(x)'."
    )


def refit(fit: Fit, y: Any) -> Fit:
    """The same model for another response (n,), started from this fit's optimum."""
    response = np.asarray(y, dtype=float)
    if response.shape != (fit.design.n,):
        raise FitError(
            f"The new response has shape {response.shape}; this fit has {fit.design.n} rows."
        )
    if not np.isfinite(response).all():
        raise FitError("The new response has missing or infinite values: give every row a number.")
    again = replace(fit.design, y=response)
    return fit_design(again, fit.method, fit.optimum.at.phi, fit.optimum.engine)


def update(fit: Fit, formula: str | None, data: Any, changes: Mapping[str, Any]) -> Fit:
    """The fit of the same call with some arguments changed; see `Fit.update`."""
    if not fit.call:
        raise FitError(
            "update() changes the call of henderson.lmm or henderson.lm that made a fit, and this "
            "fit was made otherwise (refit() is): call henderson.lmm with the whole formula."
        )
    call = {**fit.call, **changes}
    if data is not None:
        call["data"] = data
    functions = frozenset(call["context"] or {})
    if formula is not None:
        call["formula"] = updated(call["formula"], formula, functions)
    random = parse(call["formula"], functions).random
    maker = lmm if random else lm
    known = signature(maker).parameters
    for name in changes:
        if name not in known:
            raise DesignError(
                f"'{name}' is no argument of henderson.{maker.__name__}, which fits "
                f"{call['formula']}: {did_you_mean(name, known)}"
            )
    call = {k: v for k, v in call.items() if k in known}
    # Matrices of terms that are there no more are left out; those given now have to have a use.
    if call.get("matrices") and "matrices" not in changes:
        named = {v for term in random for option, v in term.options if option == "matrix"}
        call["matrices"] = {k: v for k, v in call["matrices"].items() if k in named} or None
    return maker(**call)


def problem(design: Design) -> Standard:
    """The engine's input from a design."""
    y = design.y if design.offset is None else design.y - design.offset
    groupings = [_grouping(f) for f in design.random]
    for t in engine_order(groupings)[:1]:
        groupings[t] = _diagonal(groupings[t], design, t)
    return standardise(y, design.X, groupings, design.weights)


def _diagonal(head: Grouping, design: Design, t: int) -> Grouping:
    """The head with a root that makes Z'Z diagonal, where its levels are correlated."""
    known = design.random[t].known
    if known is None or head.size > 1:
        return head
    squares = head.z[:, 0] ** 2 * (1.0 if design.weights is None else design.weights)
    return replace(head, root=known.root_for(np.bincount(head.codes, squares, head.n_levels)))


def _grouping(factor: RandomFactor) -> Grouping:
    terms = tuple(
        Term(
            slot.columns,
            make_structure(slot.term.structure, len(slot.names), slot.positions, slot.strata),
        )
        for slot in factor.slots
    )
    root = None if factor.known is None else factor.known.root
    return Grouping(factor.codes, len(factor.levels), factor.z, terms, root)


def _is_reml(method: str) -> bool:
    name = str(method).upper()
    if name not in ("REML", "ML"):
        raise FitError(f"Unknown method '{method}': choose 'REML' or 'ML'.")
    return name == "REML"
