"""Which covariance structure: several of them fitted to the same rows, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from henderson.errors import DesignError, FitError, FormulaError
from henderson.formula import parse
from henderson.formula.residual_terms import CorrelationTerm, VarianceProduct, VarianceTerm
from henderson.formula.scanner import scan
from henderson.inference.lrt import LikelihoodRatio, likelihood_ratio
from henderson.model import lm, lmm
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from henderson.fit import Fit

Criterion = Literal["aic", "bic"]
INDEPENDENT = "independent"
COLUMNS = (
    "structure", "npar", "llf", "aic", "delta_aic", "bic", "delta_bic",
    "against", "statistic", "df", "p_value",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class StructureComparison(Printed):
    """Structures in order of a criterion.

    Attributes
    ----------
    table : one row a structure, the best first: structure, npar, llf, aic, delta_aic, bic,
        delta_bic, and the likelihood-ratio test against the largest structure that is nested within
        it: against, statistic, df, p_value (chi-square).
    fits : by structure, in the table's order.
    failures : what could not be fitted, and why.
    by : the criterion that orders them; method : "REML" or "ML".
    """

    table: pd.DataFrame
    fits: dict[str, Fit]
    failures: dict[str, str] = field(default_factory=dict)
    by: str = "aic"
    method: str = "REML"

    @property
    def best(self) -> Fit:
        """The fit with the lowest criterion."""
        return next(iter(self.fits.values()))

    def plot(self, *, most: int = 4, ax: Axes | None = None) -> Axes:
        """Empirical correlation of the residuals by lag, and that of the `most` best structures."""
        from henderson.plots.of_structures import correlation_by_lag

        return correlation_by_lag(self, most, ax)

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import structures_parts

        return structures_parts(self)


def compare_structures(
    formula: str,
    data: Any,
    structures: Iterable[Any] | Mapping[str, Any],
    *,
    method: Literal["REML", "ML"] = "REML",
    by: Criterion = "aic",
    **keywords: Any,
) -> StructureComparison:
    """Fit a model with each of several covariance structures and rank them.

    Parameters
    ----------
    formula, data, keywords : as in `lmm` and `lm`.
    structures : each a text such as "ar1(time | subject)", "ident(sex)", a product of the two,
        "independent"; a term; or a mapping with any of correlation, variance and random (a random
        term that is added to the formula). A mapping of such names them.
    by : "aic" or "bic".

    Raises
    ------
    FormulaError : a structure that is none, or named twice. DesignError : unknown `by`.
    FitError : not one of them could be fitted.

    Examples
    --------
    >>> import henderson as hd
    >>> found = hd.compare_structures(
    ...     "Reaction ~ Days", hd.load_dataset("sleepstudy"),
    ...     ["independent", "cs(1 | Subject)", "ar1(Days | Subject)"],
    ... )
    >>> found.table["structure"].tolist()
    ['cs(1 | Subject)', 'ar1(Days | Subject)', 'independent']
    """
    if by not in ("aic", "bic"):
        raise DesignError(f"by is 'aic' or 'bic', not {by!r}.")
    fits: dict[str, Fit] = {}
    failures: dict[str, str] = {}
    for name, parts in _named(structures).items():
        try:
            fits[name] = _fit(formula, data, method, parts, keywords)
        except (DesignError, FitError) as error:
            failures[name] = str(error)
    if not fits:
        raise FitError(f"Not one structure could be fitted: {next(iter(failures.values()))}")
    ordered = dict(sorted(fits.items(), key=lambda item: getattr(item[1], by)))
    return StructureComparison(_table(ordered), ordered, failures, by, method)


def _fit(
    formula: str, data: Any, method: Any, parts: Mapping[str, Any], keywords: Mapping[str, Any]
) -> Fit:
    random = parts.get("random")
    text = f"{formula} + {random}" if random else formula
    own = {k: v for k, v in parts.items() if k != "random"}
    given = {**keywords, **own}
    random_terms = parse(text, frozenset(given.get("context") or {})).random
    named = {v for t in random_terms for option, v in t.options if option == "matrix"}
    matrices = {k: m for k, m in (given.pop("matrices", None) or {}).items() if k in named}
    if not random_terms:
        return lm(text, data, method=method, **given)
    return lmm(text, data, method=method, matrices=matrices or None, **given)


# ---- words


def _named(structures: Iterable[Any] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> the arguments of a model."""
    if isinstance(structures, str | CorrelationTerm | VarianceTerm | VarianceProduct):
        raise FormulaError("structures is a list: give several to compare.")
    items = (
        list(structures.items())
        if isinstance(structures, Mapping)
        else [(_name(one), one) for one in structures]
    )
    out: dict[str, dict[str, Any]] = {}
    for name, one in items:
        if name in out:
            raise FormulaError(f"The structure '{name}' is there twice: leave one out.")
        out[name] = _arguments(one)
    if not out:
        raise FormulaError("There is no structure in the list to fit.")
    return out


def _name(one: Any) -> str:
    if one is None:
        return INDEPENDENT
    if isinstance(one, Mapping):
        return ", ".join(_name(value) for value in one.values()) or INDEPENDENT
    return str(getattr(one, "text", one))


def _arguments(one: Any) -> dict[str, Any]:
    """correlation=, variance= and random= of one structure."""
    if one is None or one == INDEPENDENT:
        return {}
    if isinstance(one, CorrelationTerm):
        return {"correlation": one}
    if isinstance(one, VarianceTerm | VarianceProduct):
        return {"variance": one}
    if isinstance(one, str):
        return _read(one)
    if isinstance(one, Mapping) and set(one) <= {"correlation", "variance", "random"}:
        return dict(one)
    raise FormulaError(
        f"{one!r} is no structure: write 'ar1(time | subject)', 'ident(sex)', or a mapping with "
        "correlation, variance or random."
    )


def _read(text: str) -> dict[str, Any]:
    """The factors of a product: those with a bar are correlations, the others variances."""
    scanned = scan(text)
    pieces = [text[a:b].strip() for a, b in scanned.split("*", 0, len(text))]
    correlations = [p for p in pieces if "|" in p]
    variances = [p for p in pieces if "|" not in p]
    if len(correlations) > 1:
        raise FormulaError(f"'{text}' has two correlations; residuals have one.")
    out: dict[str, Any] = {"correlation": correlations[0]} if correlations else {}
    return out | ({"variance": " * ".join(variances)} if variances else {})


# ---- numbers


def _table(fits: dict[str, Fit]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name, fit in fits.items():
        against, test = _test(fits, name)
        end: tuple[str, float, float, float] = ("", np.nan, np.nan, np.nan)
        if test is not None:
            end = (against, test.statistic, test.df, test.p_value)
        rows.append((name, fit.npar, fit.llf, fit.aic, 0.0, fit.bic, 0.0, *end))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for criterion in ("aic", "bic"):
        table[f"delta_{criterion}"] = table[criterion] - table[criterion].min()
    return table


def _test(fits: dict[str, Fit], name: str) -> tuple[str, LikelihoodRatio | None]:
    """The test against the largest structure that is plainly a special case of this one."""
    big = fits[name]
    smaller = sorted(
        (item for item in fits.items() if item[1].npar < big.npar), key=lambda i: -i[1].npar
    )
    for other, small in smaller:
        try:
            test = likelihood_ratio(small, big)
        except (DesignError, FitError):  # not nested
            continue
        if test.remark is None:
            return other, test
    return "", None
