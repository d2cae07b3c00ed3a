"""Names of statsmodels that are not offered here, each with what to use instead."""

from __future__ import annotations

from typing import NoReturn

from henderson.errors import HendersonError


class NotOfferedError(HendersonError, AttributeError):
    """A name of statsmodels' classes that has no counterpart here."""


_MODEL = {
    "fit_regularized": "penalised fixed effects are not estimated here",
    "loglike": "the fitted value is results.llf; refit with other data for others",
    "score": "the fit is exact; results.converged says so",
    "hessian": "results.cov_params() is its inverse at the optimum",
    "information": "results.cov_params() is its inverse at the optimum",
    "exog_vc": "model.components has the variance components",
}
_RESULTS = {
    "profile_re": "results.henderson is the fit with all of this package's inference",
    "bootstrap": "results.henderson is the fit with all of this package's inference",
    "t_test_pairwise": "write the differences as hypotheses for t_test",
    "get_nlfun": "the criterion is results.henderson.criterion",
    "score_obsv": "results.llf is the log-likelihood",
    "remove_data": "a result is never changed",
    "save": "results.henderson is the fit",
    "hist": "there is no history: results.henderson.optimum.verdict counts the evaluations",
}


def refuse_model(name: str) -> NoReturn:
    _refuse("MixedLM", _MODEL, name)


def refuse_results(name: str) -> NoReturn:
    _refuse("MixedLMResults", _RESULTS, name)


def _refuse(owner: str, known: dict[str, str], name: str) -> NoReturn:
    if name in known:
        raise NotOfferedError(f"{owner}.{name} of statsmodels is not offered: {known[name]}.")
    raise AttributeError(f"'{owner}' object has no attribute '{name}'")
