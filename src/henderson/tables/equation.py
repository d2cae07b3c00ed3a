"""The model as an equation: symbols, fitted numbers, LaTeX, and the call in R."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.console import values_text
from henderson.tables.layout import columns_of, elide, flow, wrap
from henderson.tables.notation import Latex, Notation, Plain, latex_matrix
from henderson.tables.numerals import column
from henderson.tables.rcode import r_call

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.natural import Structured

# Beyond these a row of X or Z is written as a vector.
MOST_FIXED = 8
MOST_RANDOM = 4
_EFFECTS = "uvwrh"
_LEVELS = "jklmnopq"


@dataclass(frozen=True)
class Equation:
    """A model written out; i counts rows, j (k, l, ...) the levels of the grouping factors.

    Attributes
    ----------
    symbols : the model with symbols, lines of plain text of at most 80 columns.
    fitted : the same with the estimates.
    latex : an `aligned` environment, symbols first, then the estimates.
    r_formula : the call in R that fits the same model.
    legend : what the indices count.
    """

    symbols: str
    fitted: str
    latex: str
    r_formula: str
    legend: str

    @property
    def text(self) -> str:
        """The equation with symbols, with numbers, and what the indices count."""
        return f"{self.symbols}\n\n{self.fitted}\n\n{self.legend}"

    def __str__(self) -> str:
        return f"{self.text}\n\n{wrap(self.r_formula, 'R: ', '   ')}"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex}$"


@dataclass(frozen=True)
class Block:
    """Random effects of one term with a covariance of their own.

    Attributes
    ----------
    letter, level : of the effects and of their index, "u" and "j".
    first : number of the first effect, None where the factor has a single one.
    names : (K,) of the columns; cov : (K, K); tag : of the covariance's symbol.
    structure : of the covariance, if it has one.
    known : name of the covariance between levels, which are independent without.
    """

    letter: str
    level: str
    first: int | None
    names: tuple[str, ...]
    cov: np.ndarray
    tag: str
    structure: Structured | None = None
    known: str | None = None

    @property
    def wide(self) -> bool:
        return len(self.names) > MOST_RANDOM

    def effects(self, notation: Notation) -> list[str]:
        """The symbols (K,) of the effects; a single vector where they are many."""
        if self.wide:
            number_ = self.first or None
            return [notation.symbol(self.letter, self.level, number_)]
        numbers = [None if self.first is None else self.first + i for i in range(len(self.names))]
        return [notation.symbol(self.letter, self.level, i) for i in numbers]


@dataclass(frozen=True)
class Model:
    """A fit's parts as an equation needs them; `index` is that of a row, "ij".

    structure : of the residuals: its correlation and variance functions.
    """

    response: str
    names: tuple[str, ...]
    beta: np.ndarray
    blocks: tuple[Block, ...]
    sigma2: float
    index: str
    offset: bool
    weights: bool
    structure: tuple[Structured, ...] = ()


def equation(fit: Fit) -> Equation:
    """Write the model of a fit."""
    model = _model(fit)
    return Equation(
        symbols=_plain(model, fitted=False),
        fitted=_plain(model, fitted=True),
        latex=_latex(model),
        r_formula=r_call(fit),
        legend=_legend(fit, model),
    )


# ---- the parts


def _model(fit: Fit) -> Model:
    design = fit.design
    levels = "".join(_nth(_LEVELS, t) for t in range(len(design.random)))
    return Model(
        response=design.formula.response,
        names=tuple(str(name) for name in design.names),
        beta=fit.params.to_numpy(),
        blocks=tuple(_blocks(fit)),
        sigma2=fit.scale,
        index=f"i{levels}",
        offset=design.offset is not None,
        weights=design.weights is not None,
        structure=tuple(part for part in fit.structured if part.is_residual),
    )


def _nth(letters: str, t: int) -> str:
    return letters[t] if t < len(letters) else f"{letters[-1]}{t - len(letters) + 2}"


def _blocks(fit: Fit) -> Iterator[Block]:
    """One block a term; one an effect where a term has no correlations."""
    structured = {(part.group, part.names): part for part in fit.structured}
    for t, (factor, relative) in enumerate(zip(fit.design.random, fit.optimum.sigmas, strict=True)):
        letter, level = _nth(_EFFECTS, t), _nth(_LEVELS, t)
        single = len(factor.names) == 1
        for slot in factor.slots:
            start, stop = slot.columns.start, slot.columns.stop
            size = 1 if slot.term.structure == "diag" else stop - start
            for a in range(start, stop, size):
                cov = fit.scale * relative[a : a + size, a : a + size]
                names = tuple(factor.names[a : a + size])
                tag = letter if single or size == len(factor.names) else f"{letter}{a}"
                structure = structured.get((factor.name, names))
                first = None if single else a
                known = dict(slot.term.options).get("matrix")
                yield Block(letter, level, first, names, cov, tag, structure, known)


# ---- the lines


def _right_side(model: Model, n: Notation, *, fitted: bool) -> list[str]:
    """The terms of the mean and the residual, each with its sign."""
    terms = _fixed_terms(model, n, fitted)
    if model.offset:
        terms.append(f"+ {n.name('offset', model.index)}")
    for block in model.blocks:
        terms += [f"+ {term}" for term in _random_terms(block, model.index, n)]
    terms.append(f"+ {n.symbol('e', model.index)}")
    first = terms[0]
    terms[0] = first.removeprefix("+ ") if first.startswith("+") else first.replace("- ", "-", 1)
    return terms


def _fixed_terms(model: Model, n: Notation, fitted: bool) -> list[str]:
    if len(model.names) > MOST_FIXED:
        return [f"+ {n.row('x', model.index, n.symbol('b'))}"]
    terms = []
    for k, (name, value) in enumerate(zip(model.names, model.beta, strict=True)):
        sign = "-" if fitted and value < 0 else "+"
        coefficient = n.value(abs(float(value))) if fitted else n.symbol("b", number=k)
        if name != "Intercept":
            coefficient = n.times(coefficient, n.name(name, model.index))
        terms.append(f"{sign} {coefficient}")
    return terms


def _random_terms(block: Block, index: str, n: Notation) -> list[str]:
    effects = block.effects(n)
    if block.wide:
        return [n.row("z", index, effects[0])]
    return [
        effect if name == "Intercept" else n.times(effect, n.name(name, index))
        for effect, name in zip(effects, block.names, strict=True)
    ]


def _residual(model: Model, n: Notation, *, fitted: bool) -> str:
    variance = n.value(model.sigma2) if fitted else n.symbol("s2")
    if model.structure:
        return n.normal(n.vector("e"), n.product(variance, n.matrix("R")), True)
    if model.weights:
        variance = n.over(variance, n.symbol("w", model.index))
    return n.normal(n.symbol("e", model.index), variance, False)


def _what(block: Block, n: Notation) -> str:
    effects = block.effects(n)
    return effects[0] if len(effects) == 1 else n.several(effects)


def _single(block: Block, n: Notation, variance: str) -> str:
    """The distribution of one effect a level."""
    if block.known is None:
        return n.normal(_what(block, n), variance, False)
    return n.normal(n.vector(block.letter), n.product(variance, n.matrix(block.known)), True)


def _plain(model: Model, *, fitted: bool) -> str:
    n = Plain()
    response = n.name(model.response, model.index)
    indent = " " * min(columns_of(response) + 3, 24)
    lines = [flow(_right_side(model, n, fitted=fitted), f"{response} = ", indent)]
    for block in model.blocks:
        lines += _plain_distribution(block, n, fitted)
    lines += [_residual(model, n, fitted=fitted), *_structure_of("R", model.structure, fitted)]
    return "\n".join(lines)


def _structure_of(matrix: str, parts: tuple[Structured, ...], fitted: bool) -> list[str]:
    """What a structured matrix is made of: "R: ar1(1 | Mare), rho 0.6074"."""
    if not parts:
        return []
    if not fitted:
        return [wrap(" x ".join(part.text for part in parts), f"{matrix}: ", "   ")]
    return [wrap(values_text(part), f"{matrix}: ", "   ") for part in parts]


def _plain_distribution(block: Block, n: Plain, fitted: bool) -> list[str]:
    what = _what(block, n)
    if len(block.names) == 1:
        variance = n.value(float(block.cov[0, 0])) if fitted else f"s2_{block.tag}"
        return [_single(block, n, variance)]
    d = f"D_{block.tag}"
    own = _structure_of(d, () if block.structure is None else (block.structure,), fitted)
    if not fitted or block.wide:
        k = len(block.names)
        return [n.normal(what, d, True) + (f", {d} {k} x {k}" if block.wide else ""), *own]
    rows = matrix_rows(block.cov)
    start = f"{d} = "
    lines = [f"{start}[{rows[0]}]", *(f"{' ' * len(start)}[{row}]" for row in rows[1:])]
    return [n.normal(what, d, True), *lines, *own]


def matrix_rows(values: np.ndarray) -> list[str]:
    """A small matrix as aligned lines; the diagonal sets the decimals."""
    cells = np.array(column(values.ravel()), dtype=object).reshape(values.shape)
    width = max(len(cell) for cell in cells.ravel())
    return ["  ".join(cell.rjust(width) for cell in row) for row in cells]


def _latex(model: Model) -> str:
    n = Latex()
    response = n.name(model.response, model.index)
    lines = []
    for fitted in (False, True):
        side = " ".join(_right_side(model, n, fitted=fitted))
        lines.append(f"{response} &= {side}")
        lines += [_latex_distribution(block, n, fitted) for block in model.blocks]
        lines.append(_residual(model, n, fitted=fitted))
    lines += [rf"\mathbf{{R}} &: {n.words(values_text(part))}" for part in model.structure]
    lines += [
        rf"\mathbf{{D}}_{{{block.tag}}} &: {n.words(values_text(block.structure))}"
        for block in model.blocks
        if block.structure is not None
    ]
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _latex_distribution(block: Block, n: Latex, fitted: bool) -> str:
    what, single = _what(block, n), len(block.names) == 1
    if single:
        variance = n.value(float(block.cov[0, 0])) if fitted else rf"\sigma^2_{{{block.tag}}}"
        return _single(block, n, variance)
    if not fitted or block.wide:
        return n.normal(what, rf"\mathbf{{D}}_{{{block.tag}}}", True)
    return n.normal(what, latex_matrix(block.cov, n), True)


def _legend(fit: Fit, model: Model) -> str:
    parts = [f"i counts the {fit.nobs} rows"]
    parts += [
        f"{_nth(_LEVELS, t)} the {len(factor.levels)} levels of {elide(factor.name, 40)}"
        for t, factor in enumerate(fit.design.random)
    ]
    lines = [wrap(", ".join(parts) + ".")]
    if len(model.names) > MOST_FIXED:
        lines.append(_columns("x", f"X's {len(model.names)}", model.names))
    for block in model.blocks:
        if block.wide:
            z = f"{_what(block, Plain())}: {len(block.names)}"
            lines.append(_columns("z", z, block.names))
    return "\n".join(lines)


def _columns(vector: str, what: str, names: tuple[str, ...]) -> str:
    """Some of the names of the columns that are not written out."""
    shown = [*names[:4], "...", names[-1]] if len(names) > 6 else list(names)
    return wrap(f"{vector}: a row of {what} columns, {', '.join(elide(s, 30) for s in shown)}.")
