"""Residual structures: in words, and whether one model's is a special case of another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from henderson.errors import DesignError

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.formula.residual_terms import CorrelationTerm, ResidualTerms

# Correlation function -> those of which it is a special case on the same groups.
GENERAL = {
    "cs": frozenset({"toep", "us"}),
    "ar1": frozenset({"toep", "us", "car1"}),
    "toep": frozenset({"us"}),
}


def model_text(fit: Fit) -> str:
    """The formula, and the residual structure after it."""
    terms = _terms(fit)
    if terms is None:
        return fit.formula
    correlation = () if terms.correlation is None else (f"correlation {terms.correlation.text}",)
    variances = (f"variance {v.text}" for v in terms.variances)
    return ", ".join([fit.formula, *correlation, *variances])


def residual_remark(small: Fit, big: Fit) -> str | None:
    """What to say about the nesting of two residual structures: nothing where it is plain to see.

    Raises
    ------
    DesignError : the larger model lacks a part that the small one has.
    """
    one, other = _terms(small), _terms(big)
    if one is None:
        return None
    if other is None or (one.correlation is not None and other.correlation is None):
        raise _lacks(small, big, "correlation of the residuals")
    lost = [v.text for v in one.variances if v not in other.variances]
    if lost:
        raise _lacks(small, big, f"variance function {', '.join(lost)}")
    if one.correlation is None or other.correlation is None:
        return None
    if _within(one.correlation, other.correlation):
        return None
    texts = one.correlation.text, other.correlation.text
    return f"That {texts[0]} is a special case of {texts[1]} is taken on trust."


def _terms(fit: Fit) -> ResidualTerms | None:
    return None if fit.design.residual is None else fit.design.residual.terms


def _within(one: CorrelationTerm, other: CorrelationTerm) -> bool:
    if one == other:
        return True
    if one.group != other.group:
        return False
    if one.name == other.name and one.position == other.position:
        return other.nugget or not one.nugget
    return other.name in GENERAL.get(one.name, frozenset())


def _lacks(small: Fit, big: Fit, what: str) -> DesignError:
    return DesignError(
        f"'{model_text(small)}' has a {what} that '{model_text(big)}' lacks, so it is not "
        "within it. Compare such models with henderson.compare (AIC, BIC)."
    )
