"""What a page about a fit says in sentences: the headline, the method, and how to do it again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING

from henderson.tables.numerals import number, p_value
from henderson.tables.rcode import r_call

if TYPE_CHECKING:
    from henderson.design.evaluate import Spec
    from henderson.fit import Fit


# Names, joined by +, *, : and brackets: without transformations.
_PRODUCTS = re.compile(r"[\w\s+*:()]+")


def headline(fit: Fit) -> str:
    """The fixed effect with most evidence: size, interval, df and p, in one sentence."""
    names = [n for n in fit.params.index if n != "Intercept"] or list(fit.params.index)
    if not names:
        return "The model has no fixed effects."
    p_values = fit.pvalues[names]
    name = str(p_values.idxmin()) if p_values.notna().any() else names[0]
    interval = fit.conf_int().loc[name]
    first = f", the smallest p of {len(names)} coefficients" if len(names) > 1 else ""
    return (
        f"{subject(fit, name)} {number(fit.params[name])} "
        f"(95 % interval {number(interval['lower'])} to {number(interval['upper'])}; "
        f"t = {number(fit.tvalues[name])} on {number(fit.df[name])} df, "
        f"{p_equals(fit.pvalues[name])}{first})."
    )


def subject(fit: Fit, name: str) -> str:
    """What a coefficient is, up to its value: in plain words where it is a difference of rows.

    The coefficient of a product, or one of a model with transformations, keeps its name.
    """
    y = fit.design.formula.response
    spec = fit.design.fixed.spec
    if name == "Intercept" and not spec.columns:
        return f"The mean {y} is"
    where = _where(spec, name)
    if where is None:
        return f"The coefficient {name} of {y} is"
    column, _, level = name.partition("[T.")
    if not level and name in spec.columns:
        return f"One more unit of {name}{where} goes with a change in {y} of"
    if level and column in spec.levels:
        reference = spec.levels[column][0]
        less = f"The {y} of {column} {level.removesuffix(']')} less that of {column} {reference}"
        return f"{less}{where} is"
    return f"The coefficient {name} of {y} is"


def _where(spec: Spec, name: str) -> str | None:
    """At which values of the other predictors a coefficient is a difference between rows.

    Those of its products are at zero or at their first level. None where it is no difference.
    """
    if not _PRODUCTS.fullmatch(spec.text) or ":" in name or "Intercept" not in spec.names:
        return None
    partners: dict[str, None] = {}
    for product in (n.split(":") for n in spec.names if ":" in n):
        if name in product:
            partners |= dict.fromkeys(part.partition("[")[0] for part in product if part != name)
    if any(n not in spec.columns or not _main(spec, n) for n in partners):
        return None
    held = [f"{n} is {spec.levels[n][0] if n in spec.levels else 0}" for n in partners]
    rest = len(spec.columns) - 1 - len(partners)
    found = f", where {' and '.join(held)}," if held else ""
    return found + (f"{'' if held else ','} the other predictors held fixed," if rest else "")


def _main(spec: Spec, column: str) -> bool:
    """A predictor has effects of its own, those of a factor against its first level."""
    levels = spec.levels.get(column)
    wanted = [column] if levels is None else [f"{column}[T.{v}]" for v in levels[1:]]
    return set(wanted) <= set(spec.names)


def method(fit: Fit) -> list[str]:
    """How the model was fitted and tested, a sentence each."""
    out = [f"{fit.summary().title}."]
    frame = fit.design.frame
    if frame.weights is not None:
        out.append("Rows are weighted: the residual variance of a row is divided by its weight.")
    if fit.design.offset is not None:
        out.append("The model has an offset, whose coefficient is one.")
    if fit.design.random:
        out.append(
            "Random effects are shown as conditional modes (BLUPs); the R2 are Nakagawa and "
            "Schielzeth's."
        )
    return out


def p_equals(p: float) -> str:
    """`p = 0.0011` or `p < 0.001`."""
    text = p_value(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def data_line(columns: Iterable[object], rows: int) -> str:
    """What the table must be that the code starts from."""
    names = fill(", ".join(map(str, columns)), 84, subsequent_indent="#   ")
    return f"data = ...  # your table: {rows} rows were used, of the columns\n#   {names}\n"


def code(fit: Fit) -> str:
    """The lines that make the page again, and the same model in R."""
    call = "lmm" if fit.design.random else "lm"
    arguments = [repr(fit.formula), "data"]
    if fit.method == "ML":
        arguments.append('method="ML"')
    if fit.design.residual is not None:
        terms = fit.design.residual.terms
        if terms.correlation is not None:
            arguments.append(f"correlation={terms.correlation.text!r}")
        if terms.variances:
            arguments.append(f"variance={' * '.join(v.text for v in terms.variances)!r}")
    for name in ("weights", "offset"):
        if getattr(fit.design.frame, name) is not None:
            arguments.append(f"{name}={name}")
    return (
        f"import henderson as hd\n\n{data_line(fit.design.frame.data.columns, fit.nobs)}\n"
        f"fit = hd.{call}({', '.join(arguments)})\n"
        'print(fit)\nfit.report("report.html")\n\n'
        f"# in R: {r_call(fit)}"
    )
