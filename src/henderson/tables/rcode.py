"""The call in R that fits the same model: `lm`, or lme4's `lmer`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.formula import Formula, RandomTerm

# Names that Python's formulas prefix and R's do not.
_PREFIX = re.compile(r"\bnp\.")
# formulaic's functions -> R's.
_FUNCTIONS = (
    (re.compile(r"\bC\(([\w.]+)\)"), r"factor(\1)"),
    (re.compile(r"\bcenter\(([\w.]+)\)"), r"scale(\1, scale = FALSE)"),
)
_BACKTICKED = re.compile(r"`([^\W\d][\w.]*)`")
# glmmTMB knows these structures; lme4 knows "us" and "diag" alone.
LME4 = frozenset({"us", "diag"})


def r_call(fit: Fit) -> str:
    """Such as `lmer(score ~ edu + (1 | classroom), data, REML = TRUE)`.

    Terms with a structure that lme4 does not have are glmmTMB's. Codings are R's defaults.
    """
    formula = fit.design.formula
    arguments = [r_formula(formula), "data"]
    arguments += [f"{w} = {w}" for w in ("weights", "offset") if _given(fit, w)]
    if not formula.random:
        return f"lm({', '.join(arguments)})"
    function = "lmer" if {t.structure for t in formula.random} <= LME4 else "glmmTMB"
    arguments.append(f"REML = {'TRUE' if fit.method == 'REML' else 'FALSE'}")
    return f"{function}({', '.join(arguments)})"


def r_formula(formula: Formula) -> str:
    """The formula in R's words, nested groups written out."""
    text = " + ".join([formula.nobars, *(_term(t) for t in formula.random)])
    text = _PREFIX.sub("", _BACKTICKED.sub(r"\1", text)).replace("**", "^")
    for pattern, replacement in _FUNCTIONS:
        text = pattern.sub(replacement, text)
    return text


def _term(term: RandomTerm) -> str:
    group = term.text.rpartition("|")[2].rstrip(")").strip()
    if term.structure in LME4:
        return f"({term.lhs} {'||' if term.structure == 'diag' else '|'} {group})"
    return term.text


def _given(fit: Fit, what: str) -> bool:
    """Weights, or an offset beside the formula's own."""
    return getattr(fit.design.frame, what) is not None
