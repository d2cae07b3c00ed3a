"""Residual structures in words: `correlation="ar1(time | subject)"`, `variance="power(age)"`.

Text becomes small frozen objects, which may be given instead: `ar1(position="time",
group="subject")`, `power("age")`. They name columns and know nothing of data or of matrices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from henderson.errors import FormulaError
from henderson.formula.residual_terms import (
    COLUMN,
    FITTED,
    CorrelationTerm,
    ResidualTerms,
    VarianceTerm,
)
from henderson.formula.scanner import Scan, scan

__all__ = [
    "CorrelationLike", "VarianceLike", "ar1", "car1", "constpower", "coordinates", "cs", "exp",
    "fixed", "gau", "ident", "lin", "power", "ratio", "residual_terms", "spher", "toep", "us",
    "varexp",
]  # fmt: skip
# SAS's word -> the correlation, and whether every position has a variance of its own.
SAS: dict[str, tuple[str | None, bool]] = {
    "VC": (None, False),
    "CS": ("cs", False),
    "CSH": ("cs", True),
    "AR(1)": ("ar1", False),
    "ARH(1)": ("ar1", True),
    "TOEP": ("toep", False),
    "TOEPH": ("toep", True),
    "UN": ("us", True),
}
_SAS_WORD = re.compile(r"\s*(" + "|".join(re.escape(w) for w in SAS) + r")\s*(?=\(|$)")
CorrelationLike = str | CorrelationTerm | None
VarianceLike = str | VarianceTerm | Iterable[str | VarianceTerm] | None


def residual_terms(
    correlation: CorrelationLike = None, variance: VarianceLike = None
) -> ResidualTerms:
    """The arguments `correlation=` and `variance=` of a model, read.

    Parameters
    ----------
    correlation : "ar1(time | subject)", "exp(x + y | g, nugget=True)", "cs(1 | subject)", SAS's
        words ("UN(visit | subject)", "AR(1)(time | subject)"), or a `CorrelationTerm`. SAS's UN,
        CSH, ARH(1) and TOEPH bring a variance per position along, as they do there.
    variance : "ident(sex)", "power(fitted)", a product "ident(sex) * power(age)", or terms: one, a
        product or a list of them.

    Raises
    ------
    FormulaError : saying what to write.
    """
    variances = _variances(variance)
    if correlation is None or isinstance(correlation, CorrelationTerm):
        return ResidualTerms(correlation, variances)
    if not isinstance(correlation, str):
        raise FormulaError(
            "correlation= is text such as 'ar1(time | subject)' or an object such as "
            f"ar1(position='time', group='subject'), not {type(correlation).__name__}."
        )
    term, own = _correlation(correlation)
    return ResidualTerms(term, variances + tuple(v for v in own if v not in variances))


def _variances(variance: VarianceLike) -> tuple[VarianceTerm, ...]:
    if variance is None:
        return ()
    if isinstance(variance, VarianceTerm):
        return (variance,)
    if isinstance(variance, str):
        return _parse_variance(variance)
    found: list[VarianceTerm] = []
    for one in variance if isinstance(variance, Iterable) else (variance,):
        if not isinstance(one, str | VarianceTerm):
            raise FormulaError(
                "variance= is text such as 'ident(sex)', an object such as "
                "henderson.structures.ident('sex'), a product, or a list of them, not "
                f"{type(one).__name__}."
            )
        found += _variances(one)
    return tuple(found)


# ---- text


@lru_cache(maxsize=256)
def _correlation(text: str) -> tuple[CorrelationTerm | None, tuple[VarianceTerm, ...]]:
    """The term of a text, and the variance by position that some of SAS's words bring along."""
    word = _SAS_WORD.match(text)
    name, heterogeneous = SAS[word[1]] if word else (None, False)
    if word and name is None:
        return None, ()
    if word and not text[word.end() :].strip():
        raise FormulaError(f"'{text}' has no group: write '{word[1]}(time | subject)'.")
    plain = f"{name}{text[word.end() :]}" if word else text
    call, scanned = _call(plain, "correlation", "'ar1(time | subject)'")
    first, *options = scanned.split(",", call[1], call[2])
    position, group = _position_and_group(scanned, first)
    nugget = _nugget(scanned, options)
    if not heterogeneous or word is None:
        return CorrelationTerm(call[0], position, group, nugget), ()
    if len(position) != 1 or not COLUMN.fullmatch(position[0]):
        raise FormulaError(
            f"'{text}' has a variance for every position: name the column of positions, "
            f"as in '{word[1]}(visit | subject)'."
        )
    # The correlation of CSH has no use for the visits: they are there for the variances.
    at = () if name == "cs" else position
    return CorrelationTerm(call[0], at, group, nugget), (VarianceTerm("ident", position[0]),)


def _call(text: str, what: str, example: str) -> tuple[tuple[str, int, int], Scan]:
    """`name(arguments)`: the name and the span of the arguments."""
    scanned = scan(text.strip())
    found = re.match(r"[^\W\d]\w*", scanned.text)
    opener = found.end() if found else 0
    called = scanned.text[opener : opener + 1] == "("
    if not found or not called or scanned.closer(opener) != len(scanned.text) - 1:
        raise FormulaError(f"'{text}' is no {what}: write it like {example}.")
    return (found[0], opener + 1, len(scanned.text) - 1), scanned


def _position_and_group(
    scanned: Scan, span: tuple[int, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    bars = scanned.find("|", *span)
    if len(bars) > 1:
        raise scanned.error("A correlation has one bar: position | group.", bars[1])
    end = bars[0] if bars else span[1]
    left = scanned.text[slice(*scanned.strip(span[0], end))]
    if not left:
        raise scanned.error(
            "Nothing stands left of the bar: name a position, or write 1 for the order of the "
            "rows within a group.",
            span[0],
        )
    if not bars:
        return coordinates(left), ()
    right = scanned.text[slice(*scanned.strip(bars[0] + 1, span[1]))]
    if not right:
        raise scanned.error("No group stands right of the bar.", bars[0])
    return coordinates(left), _groups(right)


def _groups(text: str) -> tuple[str, ...]:
    """The columns of `g`, `a:b`, or `a/b`, whose groups are those of `a:b`."""
    parts = [part.strip() for part in re.split(r"[:/]", text)]
    for part in parts:
        if not COLUMN.fullmatch(part):
            raise FormulaError(
                f"'{text}' is no group of rows: only names of columns, '/' and ':' stand right of "
                "the bar."
            )
    return tuple(dict.fromkeys(part.strip("`") for part in parts))


def _nugget(scanned: Scan, options: list[tuple[int, int]]) -> bool:
    nugget = False
    for span in options:
        text = scanned.text[slice(*span)]
        found = re.fullmatch(r"nugget\s*=\s*(True|TRUE|False|FALSE)", text)
        if not found:
            raise scanned.error(
                f"'{text}' is no option of a correlation: nugget=True is the only one.", span[0]
            )
        nugget = found[1].upper() == "TRUE"
    return nugget


@lru_cache(maxsize=256)
def _parse_variance(text: str) -> tuple[VarianceTerm, ...]:
    """The factors of a product of variance functions."""
    scanned = scan(text)
    terms = []
    for a, b in scanned.split("*", 0, len(text)):
        call, part = _call(text[a:b], "variance function", "'ident(sex)' or 'power(age)'")
        bars = part.find("|", call[1], call[2]) if call[1] < call[2] else []
        if bars:
            left = part.text[call[1] : bars[0]].strip()
            right = part.text[bars[0] + 1 : call[2]].strip()
            raise FormulaError(
                f"'{part.text}': a variance function has no groups. For the same function at "
                f"another level in each write 'ident({right}) * {call[0]}({left})'."
            )
        if len(part.split(",", call[1], call[2])) > 1:
            raise FormulaError(f"'{part.text}': a variance function takes one covariate.")
        terms.append(VarianceTerm(call[0], part.text[call[1] : call[2]].strip()))
    return tuple(terms)


def coordinates(text: str) -> tuple[str, ...]:
    """The expressions of a position: "x + y" is two, "0 + t" and "t - 1" one, "1" none.

    Raises
    ------
    FormulaError : an expression is taken away, or missing.
    """
    scanned = scan(text)
    cuts = [-1, *scanned.find("+-", 0, len(text)), len(text)]
    found: list[str] = []
    for before, after in pairwise(cuts):
        piece = scanned.text[slice(*scanned.strip(before + 1, after))]
        sign = text[before] if before >= 0 else "+"
        if piece in ("0", "1") or (not piece and before < 0):
            continue
        if piece.startswith("~"):
            raise scanned.error("A position has no '~' here: leave it out.", before + 1)
        if sign == "-" or not piece:
            raise scanned.error("A position is a sum of columns, 'x' or 'x + y'.", max(before, 0))
        found.append(piece)
    return tuple(found)


# ---- typed objects


def _term(name: str, position: str | Iterable[str], group: str, nugget: bool) -> CorrelationTerm:
    texts = (position,) if isinstance(position, str) else position
    if not isinstance(texts, Iterable) or not all(isinstance(t, str) for t in (*texts, group)):
        raise FormulaError(
            f"{name}() takes names of columns as text: {name}(position='time', group='subject'), "
            "the groups of several columns as 'a:b'."
            if name != "cs"
            else "cs() takes the name of a column as text: cs(group='subject')."
        )
    at = tuple(c for text in texts for c in coordinates(text))
    return CorrelationTerm(name, at, _groups(group) if group else (), nugget)


def cs(group: str) -> CorrelationTerm:
    """Compound symmetry: one correlation between all the rows of a group."""
    return _term("cs", "1", group, False)


def ar1(position: str = "1", group: str = "") -> CorrelationTerm:
    """First-order autoregression over whole steps; gaps are allowed.

    position : a column of whole or evenly spaced numbers, or of ordered labels; "1": row order.
    group : a column, or "a:b"; without one all rows are one series.
    """
    return _term("ar1", position, group, False)


def car1(position: str, group: str = "") -> CorrelationTerm:
    """First-order autoregression in continuous time: rho^|s - t|."""
    return _term("car1", position, group, False)


def toep(position: str = "1", group: str = "") -> CorrelationTerm:
    """Toeplitz: a correlation for every lag."""
    return _term("toep", position, group, False)


def us(position: str = "1", group: str = "") -> CorrelationTerm:
    """Unstructured: a correlation for every pair of visits."""
    return _term("us", position, group, False)


def exp(
    position: str | Iterable[str] = "1", group: str = "", nugget: bool = False
) -> CorrelationTerm:
    """Exponential: exp(-distance / range); positions "x" or "x + y"."""
    return _term("exp", position, group, nugget)


def gau(
    position: str | Iterable[str] = "1", group: str = "", nugget: bool = False
) -> CorrelationTerm:
    """Gaussian: exp(-(distance / range)^2)."""
    return _term("gau", position, group, nugget)


def lin(position: str, group: str = "", nugget: bool = False) -> CorrelationTerm:
    """Linear: 1 - distance / range up to the range."""
    return _term("lin", position, group, nugget)


def ratio(
    position: str | Iterable[str] = "1", group: str = "", nugget: bool = False
) -> CorrelationTerm:
    """Rational quadratic: 1 / (1 + (distance / range)^2)."""
    return _term("ratio", position, group, nugget)


def spher(
    position: str | Iterable[str] = "1", group: str = "", nugget: bool = False
) -> CorrelationTerm:
    """Spherical: 1 - 1.5 d + 0.5 d^3 up to d = distance / range = 1."""
    return _term("spher", position, group, nugget)


def ident(covariate: str) -> VarianceTerm:
    """A standard deviation for every level of a factor."""
    return VarianceTerm("ident", covariate)


def power(covariate: str = FITTED) -> VarianceTerm:
    """sd proportional to |x|^power; by default of the fitted values."""
    return VarianceTerm("power", covariate)


def varexp(covariate: str = FITTED) -> VarianceTerm:
    """sd proportional to exp(expon x); "exp(x)" in text."""
    return VarianceTerm("exp", covariate)


def constpower(covariate: str = FITTED) -> VarianceTerm:
    """sd proportional to const + |x|^power."""
    return VarianceTerm("constpower", covariate)


def fixed(covariate: str) -> VarianceTerm:
    """Variance proportional to x."""
    return VarianceTerm("fixed", covariate)
