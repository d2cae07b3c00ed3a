"""The signs of an equation, once for plain text and once for LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

from henderson.tables.layout import clean, elide
from henderson.tables.numerals import number

# A column that says whether a factor has a level: g[T.level], g[level] or C(g)[T.level].
_INDICATOR = re.compile(r"(?:C\((?=[^\W\d]\w*\)\[T\.))?([^\W\d]\w*)\)?\[(?:T\.)?(.*)\]", re.DOTALL)
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "#$%&_"},
}
# Names longer than this hide the equation.
LONGEST_NAME = 32


class Notation(Protocol):
    """How to write the parts of an equation; `index` is that of a row ("ij") or a level ("j")."""

    def name(self, name: str, index: str) -> str:
        """A column's value, products of columns side by side."""
        ...

    def times(self, coefficient: str, column: str) -> str:
        """The product of two."""
        ...

    def symbol(self, letter: str, index: str = "", number: int | None = None) -> str:
        """A parameter or random effect: letter, its number, its index."""
        ...

    def row(self, vector: str, index: str, parameter: str) -> str:
        """The product of a row of a matrix with a vector of parameters."""
        ...

    def normal(self, what: str, covariance: str, vector: bool) -> str:
        """what ~ N(0, covariance)."""
        ...

    def several(self, parts: Sequence[str]) -> str:
        """A vector of random effects."""
        ...

    def value(self, number: float) -> str: ...

    def over(self, variance: str, weight: str) -> str:
        """variance / weight."""
        ...

    def vector(self, letter: str) -> str:
        """All the rows of something."""
        ...

    def matrix(self, letter: str) -> str: ...

    def product(self, variance: str, matrix: str) -> str:
        """variance times matrix."""
        ...


class Plain:
    """`score_ij = b0 + b1 edu_ij + u_j + e_ij`."""

    def name(self, name: str, index: str) -> str:
        return " ".join(f"{_plain(part)}_{index}" for part in factors(name))

    def times(self, coefficient: str, column: str) -> str:
        return f"{coefficient} {column}"

    def symbol(self, letter: str, index: str = "", number: int | None = None) -> str:
        numbered = letter if number is None else f"{letter}{number}"
        return f"{numbered}_{index}" if index else numbered

    def row(self, vector: str, index: str, parameter: str) -> str:
        return f"{vector}_{index}' {parameter}"

    def normal(self, what: str, covariance: str, vector: bool) -> str:
        return f"{what} ~ N(0, {covariance})"

    def several(self, parts: Sequence[str]) -> str:
        return f"({', '.join(parts)})"

    def value(self, number_: float) -> str:
        return number(number_)

    def over(self, variance: str, weight: str) -> str:
        return f"{variance} / {weight}"

    def vector(self, letter: str) -> str:
        return letter

    def matrix(self, letter: str) -> str:
        return letter

    def product(self, variance: str, matrix: str) -> str:
        return f"{variance} {matrix}"


class Latex:
    r"""`\mathrm{score}_{ij} = \beta_0 + \beta_1\,\mathrm{edu}_{ij} + u_{j} + \varepsilon_{ij}`."""

    _LETTERS: ClassVar[dict[str, str]] = {"b": r"\beta", "e": r"\varepsilon", "s2": r"\sigma^2"}

    def name(self, name: str, index: str) -> str:
        return r"\,".join(f"{_latex(part)}_{{{index}}}" for part in factors(name))

    def times(self, coefficient: str, column: str) -> str:
        return rf"{coefficient}\,{column}"

    def symbol(self, letter: str, index: str = "", number: int | None = None) -> str:
        below = ", ".join(str(part) for part in (number, index) if part not in (None, ""))
        sign = self._LETTERS.get(letter, letter)
        return f"{sign}_{{{below}}}" if below else sign

    def row(self, vector: str, index: str, parameter: str) -> str:
        return rf"\mathbf{{{vector}}}_{{{index}}}^\top {parameter}"

    def normal(self, what: str, covariance: str, vector: bool) -> str:
        mean = r"\mathbf{0}" if vector else "0"
        return rf"{what} &\sim N({mean},\, {covariance})"

    def several(self, parts: Sequence[str]) -> str:
        return "(" + r",\, ".join(parts) + ")"

    def value(self, number_: float) -> str:
        mantissa, _, exponent = number(number_).partition("e")
        return rf"{mantissa} \times 10^{{{int(exponent)}}}" if exponent else mantissa

    def over(self, variance: str, weight: str) -> str:
        return rf"{variance} / {weight}"

    def vector(self, letter: str) -> str:
        return rf"\boldsymbol{{{self._LETTERS.get(letter, letter)}}}"

    def matrix(self, letter: str) -> str:
        return rf"\mathbf{{{letter}}}"

    def product(self, variance: str, matrix: str) -> str:
        return rf"{variance}\,{matrix}"

    def words(self, text: str) -> str:
        """Plain text."""
        return rf"\text{{{_escaped(text)}}}"


def factors(name: str) -> list[str]:
    """The columns whose product a coefficient's column is: "a:b[T.x]" is a and b[T.x].

    >>> factors("edu:classroom[T.c1:2]")
    ['edu', 'classroom[T.c1:2]']
    """
    parts, depth, quoted = [""], 0, False
    for character in name:
        quoted ^= character == "`"
        depth += (character in "([{") - (character in ")]}")
        if character == ":" and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts if all(parts) else [name]


def _plain(part: str) -> str:
    indicator = _INDICATOR.fullmatch(part)
    if indicator:
        return elide(f"[{indicator[1]} = {indicator[2]}]", LONGEST_NAME)
    text = elide(part, LONGEST_NAME)
    return text if part.isidentifier() or text.endswith(")") else f"({text})"


def _latex(part: str) -> str:
    indicator = _INDICATOR.fullmatch(part)
    if indicator:
        return rf"[{_roman(indicator[1])} = {_roman(indicator[2])}]"
    return _roman(part)


def _roman(text: str) -> str:
    """Upright text with LaTeX's special characters escaped."""
    return rf"\text{{{_escaped(elide(clean(text), LONGEST_NAME))}}}"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in text)


def latex_matrix(values: np.ndarray, notation: Latex) -> str:
    """A matrix in parentheses."""
    rows = r" \\ ".join(" & ".join(notation.value(float(v)) for v in row) for row in values)
    return rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}"
