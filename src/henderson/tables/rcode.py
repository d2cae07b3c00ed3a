"""The call in R that fits the same model: `lm`, lme4's `lmer`, nlme's `gls` and `lme`, glmmTMB's,
lme4qtl's `relmatLmer`.

No package of R has every model: where structured residuals meet crossed or structured random
effects the text says that there is none.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from henderson.formula.names import r_name, tokens

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.formula import Formula, RandomTerm
    from henderson.formula.residual_terms import CorrelationTerm, VarianceTerm

# Names that Python's formulas prefix and R's do not.
_PREFIX = re.compile(r"\bnp\.")
# formulaic's functions of one column -> R's.
_FUNCTIONS = (
    (re.compile(r"\bC\(([\w.]+|`[^`]+`)\)"), r"factor(\1)"),
    (re.compile(r"\bcenter\(([\w.]+|`[^`]+`)\)"), r"scale(\1, scale = FALSE)"),
)
_QUOTED = re.compile(r"""\bQ\((['"])([^`]+?)\1\)""")
# lme4 knows these structures alone.
LME4 = frozenset({"us", "diag"})
# Ours -> glmmTMB's, whose cs and toep have a variance for every column.
GLMMTMB = {"cs": "homcs", "hcs": "cs", "toep": "homtoep", "htoep": "toep", "har1": "hetar1"}
FACTORS = frozenset({"ar1", "har1", "toep", "htoep"})
NUMBERS = frozenset({"ou", "exp", "gau"})
NLME = {
    "ar1": "corAR1", "car1": "corCAR1", "cs": "corCompSymm", "us": "corSymm", "exp": "corExp",
    "gau": "corGaus", "lin": "corLin", "ratio": "corRatio", "spher": "corSpher",
}  # fmt: skip
VARIANCES = {
    "ident": "varIdent", "power": "varPower", "exp": "varExp", "constpower": "varConstPower",
}  # fmt: skip
KNOWN = "known"
NO_MATRICES = "(lme4qtl's relmatLmer takes one matrix for each column that groups: copy columns)"
NONE = "(no package of R fits structured residuals beside these random effects)"


def r_call(fit: Fit) -> str:
    """Such as `lmer(score ~ edu + (1 | classroom), data, REML = TRUE)`.

    Terms with a structure that lme4 does not have are glmmTMB's, structured residuals nlme's.
    Codings are R's defaults.
    """
    formula = fit.design.formula
    if fit.design.residual is not None:
        return _nlme(fit)
    arguments = [r_formula(formula), "data"]
    arguments += [f"{w} = {w}" for w in ("weights", "offset") if _given(fit, w)]
    if not formula.random:
        return f"lm({', '.join(arguments)})"
    if any(t.structure == KNOWN for t in formula.random):
        return _relmat(fit, arguments)
    function = "lmer" if {t.structure for t in formula.random} <= LME4 else "glmmTMB"
    arguments.append(f"REML = {'TRUE' if fit.method == 'REML' else 'FALSE'}")
    return f"{function}({', '.join(arguments)})"


def r_formula(formula: Formula) -> str:
    """The formula in R's words, nested groups written out."""
    return _in_r(" + ".join([formula.nobars, *(_term(t) for t in formula.random)]))


def _in_r(text: str) -> str:
    text = _PREFIX.sub("", _QUOTED.sub(r"`\2`", text)).replace("**", "^")
    text = _with_names(text)
    for pattern, replacement in _FUNCTIONS:
        text = pattern.sub(replacement, text)
    return text


def _with_names(text: str) -> str:
    """The text with backticks around the columns that need them in R, and around no others."""
    items = tokens(text)
    for token, after in reversed([*zip(items, [*items[1:], None], strict=True)]):
        called = token.kind == "name" and after is not None and after.text in ("(", "=")
        if token.kind in ("name", "quoted") and not called:
            stop = token.position + len(token.text)
            text = text[: token.position] + r_name(token.text.strip("`")) + text[stop:]
    return text


def _term(term: RandomTerm) -> str:
    if term.structure in (*LME4, KNOWN):
        return f"({term.lhs} {'||' if term.structure == 'diag' else '|'} {_group(term)})"
    name, lhs = GLMMTMB.get(term.structure, term.structure), term.lhs
    position = re.sub(r"^\s*0\s*\+\s*", "", lhs)
    if term.structure in FACTORS:
        lhs = f"0 + factor({position})"
    if term.structure in NUMBERS:
        lhs = f"0 + numFactor({', '.join(p.strip() for p in position.split('+'))})"
    return f"{name}({lhs} | {_group(term)})"


def _relmat(fit: Fit, arguments: list[str]) -> str:
    """lme4qtl's `relmatLmer`, which takes one matrix a grouping factor."""
    terms = fit.design.formula.random
    matrices = {t.group_name: dict(t.options).get("matrix") for t in terms}
    clash = any(dict(t.options).get("matrix") != matrices[t.group_name] for t in terms)
    if clash or any(t.structure not in (*LME4, KNOWN) or ":" in t.group_name for t in terms):
        return NO_MATRICES
    given = ", ".join(f"{r_name(g)} = {r_name(name)}" for g, name in matrices.items() if name)
    reml = "TRUE" if fit.method == "REML" else "FALSE"
    return f"relmatLmer({', '.join(arguments)}, REML = {reml}, relmat = list({given}))"


def _group(term: RandomTerm) -> str:
    return ":".join(map(r_name, term.group))


def _given(fit: Fit, what: str) -> bool:
    """Weights, or an offset beside the formula's own."""
    return getattr(fit.design.frame, what) is not None


# ---- nlme


def _nlme(fit: Fit) -> str:
    """`gls` or `lme`; what they cannot fit is said to have no call."""
    formula, residual = fit.design.formula, fit.design.residual
    assert residual is not None
    random = _nlme_random(formula.random)
    if random is None or _given(fit, "offset"):
        return NONE
    arguments = [_in_r(formula.nobars), "data"]
    arguments += [f"random = {random}"] if random else []
    if residual.terms.correlation is not None:
        lags = 0 if residual.positions is None else residual.positions.count - 1
        arguments.append(f"correlation = {_nlme_correlation(residual.terms.correlation, lags)}")
    variances = [_nlme_variance(v) for v in residual.terms.variances]
    if _given(fit, "weights"):
        variances.append("varFixed(~ 1 / weights)")
    if variances:
        product = variances[0] if len(variances) == 1 else f"varComb({', '.join(variances)})"
        arguments.append(f"weights = {product}")
    arguments.append(f'method = "{fit.method}"')
    return f"{'lme' if random else 'gls'}({', '.join(arguments)})"


def _nlme_random(terms: tuple[RandomTerm, ...]) -> str | None:
    """nlme's `random`: one term per level of nested factors; None where it has no such model."""
    nested = sorted(terms, key=lambda t: len(t.group))
    for outer, inner in pairwise(nested):
        if not set(outer.group) < set(inner.group):
            return None
    if any(t.structure not in (*LME4, "cs") for t in terms):
        return None
    if not nested:
        return ""
    if len(nested) == 1 and nested[0].structure == "us":
        return f"~ {_in_r(nested[0].lhs)} | {_nested(nested[0].group)}"
    seen: set[str] = set()
    parts = []
    for term in nested:
        own = [g for g in term.group if g not in seen]
        seen |= set(term.group)
        if len(own) != 1:
            return None
        word = {"us": "pdSymm", "diag": "pdDiag", "cs": "pdCompSymm"}[term.structure]
        parts.append(f"{r_name(own[0])} = {word}(~ {_in_r(term.lhs)})")
    return f"list({', '.join(parts)})"


def _nested(group: tuple[str, ...]) -> str:
    return "/".join(map(r_name, group))


def _nlme_correlation(term: CorrelationTerm, lags: int) -> str:
    position = _in_r(" + ".join(term.position) or "1")
    if term.name == "us" and term.position:
        position = f"as.integer(factor({position}))"
    form = f"form = ~ {position}" + (f" | {_nested(term.group)}" if term.group else "")
    if term.name == "toep":
        return f"corARMA({form}, p = {lags}, q = 0)"
    nugget = ", nugget = TRUE" if term.nugget else ""
    return f"{NLME[term.name]}({form}{nugget})"


def _nlme_variance(term: VarianceTerm) -> str:
    if term.name == "fixed":
        return f"varFixed(~ {_in_r(term.covariate)})"
    if term.of_fitted:
        return f"{VARIANCES[term.name]}()"
    if term.name == "ident":
        return f"varIdent(form = ~ 1 | {' * '.join(map(r_name, term.factors))})"
    return f"{VARIANCES[term.name]}(form = ~ {_covariate(_in_r(term.covariate))})"


def _covariate(text: str) -> str:
    """An expression that R's formulas would read as several terms, protected."""
    return text if re.fullmatch(r"`[^`]+`|[\w.]+(\([^()]*\))?", text) else f"I({text})"
