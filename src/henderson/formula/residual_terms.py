"""What a residual structure is in words: which function, of which columns, in which groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from henderson.errors import FormulaError, did_you_mean
from henderson.formula.names import names

# What a position is to a correlation function: none needed, whole steps along a line, visits (any
# labels), a number, or coordinates.
PositionKind = Literal["order", "steps", "visits", "number", "coordinates"]
CORRELATIONS: dict[str, PositionKind] = {
    "cs": "order",
    "ar1": "steps",
    "toep": "steps",
    "us": "visits",
    "car1": "number",
    "exp": "coordinates",
    "gau": "coordinates",
    "lin": "number",
    "ratio": "coordinates",
    "spher": "coordinates",
}
WITH_NUGGET = frozenset({"exp", "gau", "lin", "ratio", "spher"})
VARIANCES = ("ident", "power", "exp", "constpower", "fixed")
FITTED = "fitted"
OF_FITTED = frozenset({"power", "exp", "constpower"})

COLUMN = re.compile(r"[^\W\d][\w.]*|`[^`]+`")


@dataclass(frozen=True)
class CorrelationTerm:
    """A correlation of the residuals within groups of rows.

    Parameters
    ----------
    name : a key of `CORRELATIONS`.
    position : expressions in the columns; none means the order of the rows within a group.
    group : columns whose combinations are the groups; none means that all rows are one group.
    nugget : whether rows at nearly the same position still differ.

    Raises
    ------
    FormulaError : an unknown name, a nugget or coordinates that the function has no use for.
    """

    name: str
    position: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    nugget: bool = False

    def __post_init__(self) -> None:
        if self.name not in CORRELATIONS:
            raise FormulaError(
                f"There is no correlation '{self.name}': {did_you_mean(self.name, CORRELATIONS)}"
            )
        if self.nugget and self.name not in WITH_NUGGET:
            raise FormulaError(
                f"{self.name} has no nugget; {', '.join(sorted(WITH_NUGGET))} have one."
            )
        self._check_position()

    @property
    def kind(self) -> PositionKind:
        return CORRELATIONS[self.name]

    def _check_position(self) -> None:
        if len(self.position) > 1 and self.kind != "coordinates":
            what = " + ".join(self.position)
            reason = " (it is no correlation in the plane)" if self.name == "lin" else ""
            raise FormulaError(
                f"{self.name}({what}) has {len(self.position)} positions: it takes one{reason}. "
                "exp, gau, ratio and spher take several coordinates."
            )
        if self.kind == "order" and self.position:
            raise FormulaError(
                f"{self.name}({' + '.join(self.position)} | ...) does not depend on a position: "
                f"write {self.name}(1 | {_colons(self.group) or 'group'})."
            )

    @property
    def text(self) -> str:
        """As one would write it."""
        group = f" | {_colons(self.group)}" if self.group else ""
        nugget = ", nugget=True" if self.nugget else ""
        return f"{self.name}({' + '.join(self.position) or '1'}{group}{nugget})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of columns that it uses (and of constants in its expressions)."""
        return (*_variables(self.position), *self.group)


@dataclass(frozen=True)
class VarianceTerm:
    """A variance function of the residuals.

    Parameters
    ----------
    name : one of `VARIANCES`. "fixed" is a variance proportional to its covariate.
    covariate : an expression in the columns; for "ident" factors joined by ":"; "fitted" stands for
        the fitted values, unless it is in backticks.

    Raises
    ------
    FormulaError : an unknown name, or a covariate that the function has no use for.
    """

    name: str
    covariate: str

    def __post_init__(self) -> None:
        if self.name not in VARIANCES:
            raise FormulaError(
                f"There is no variance function '{self.name}': {did_you_mean(self.name, VARIANCES)}"
            )
        if not isinstance(self.covariate, str) or not self.covariate.strip():
            raise FormulaError(f"{self.name}() needs a covariate, as in {self.name}(x).")
        if self.covariate == FITTED and not self.of_fitted:
            raise FormulaError(
                f"{self.name}(fitted) makes no sense: fitted values may stand in "
                f"{', '.join(sorted(OF_FITTED))}. For a column of that name write "
                f"{self.name}(`fitted`)."
            )
        if self.name == "ident":
            self._check_factors()

    def _check_factors(self) -> None:
        if not all(COLUMN.fullmatch(part) for part in _parts(self.covariate)):
            raise FormulaError(
                f"ident({self.covariate}) needs the name of a column, or several joined by ':'."
            )

    @property
    def of_fitted(self) -> bool:
        """Whether its covariate is the fitted value, which changes from fit to fit."""
        return self.covariate == FITTED and self.name in OF_FITTED

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns of an "ident"."""
        return tuple(part.strip("`") for part in _parts(self.covariate))

    @property
    def text(self) -> str:
        return f"{self.name}({self.covariate})"

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.of_fitted else _variables((self.covariate,))

    def __mul__(self, other: VarianceTerm) -> VarianceProduct:
        return VarianceProduct((self,)) * other


@dataclass(frozen=True)
class VarianceProduct:
    """Variance functions that apply together; made by multiplying them."""

    terms: tuple[VarianceTerm, ...]

    def __mul__(self, other: VarianceTerm) -> VarianceProduct:
        if not isinstance(other, VarianceTerm):
            return NotImplemented
        return VarianceProduct((*self.terms, other))

    def __iter__(self) -> Iterator[VarianceTerm]:
        return iter(self.terms)

    @property
    def text(self) -> str:
        """As one would write it."""
        return " * ".join(term.text for term in self.terms)


@dataclass(frozen=True)
class ResidualTerms:
    """The residual covariance of a model in words; false if the residuals are plain.

    Raises
    ------
    FormulaError : a variance function stands there twice.
    """

    correlation: CorrelationTerm | None = None
    variances: tuple[VarianceTerm, ...] = ()

    def __post_init__(self) -> None:
        for i, term in enumerate(self.variances):
            if term in self.variances[:i]:
                raise FormulaError(f"{term.text} is there twice: leave one out.")

    def __bool__(self) -> bool:
        return self.correlation is not None or bool(self.variances)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names that the terms use, each once: a model frame needs those that are columns."""
        parts = (*((self.correlation,) if self.correlation else ()), *self.variances)
        return tuple(dict.fromkeys(c for part in parts for c in part.columns))

    @property
    def of_fitted(self) -> bool:
        return any(v.of_fitted for v in self.variances)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(":")]


def _colons(group: tuple[str, ...]) -> str:
    return ":".join(group)


def _variables(expressions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(v for text in expressions for v in names(text).variables))
