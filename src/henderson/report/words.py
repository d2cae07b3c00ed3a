"""What a page about a fit says in sentences: the headline, the method, and how to do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from henderson.report.of_approaches import p_equals
from henderson.tables.numerals import number
from henderson.tables.rcode import r_call

if TYPE_CHECKING:
    from henderson.fit import Fit


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
    """What a coefficient is, up to its value: in plain words where the fixed part is a plain sum.

    In a product of terms or with a transformation a coefficient is no difference between rows, and
    keeps its name.
    """
    y = fit.design.formula.response
    spec = fit.design.fixed.spec
    if name == "Intercept" and not spec.columns:
        return f"The mean {y} is"
    if spec.plain is None:
        return f"The coefficient {name} of {y} is"
    others = ", the other predictors held fixed," if len(spec.plain.columns) > 1 else ""
    if name in spec.plain.columns:
        return f"One more unit of {name}{others} goes with a change in {y} of"
    column, _, level = name.partition("[T.")
    if level and column in spec.levels:
        reference = spec.levels[column][0]
        less = f"The {y} of {column} {level.removesuffix(']')} less that of {column} {reference}"
        return f"{less}{others} is"
    return f"The coefficient {name} of {y} is"


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
        "import henderson as hd\n\n"
        f"fit = hd.{call}({', '.join(arguments)})\n"
        'print(fit)\nfit.report("report.html")\n\n'
        f"# in R: {r_call(fit)}"
    )
