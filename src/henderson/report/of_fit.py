"""The page about one fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from henderson.report import page
from henderson.report.figures import Picture, picture
from henderson.tables.numerals import number, p_value

if TYPE_CHECKING:
    from henderson.fit import Fit


def fit_report(fit: Fit, path: str) -> str:
    """Write a fit as one self-contained HTML page; returns the path.

    Raises
    ------
    OSError : the file cannot be written.
    """
    return page.write(
        path,
        "fit.html",
        title=fit.formula,
        fit=fit,
        headline=headline(fit),
        equation=fit.equation(),
        summary=fit.summary()._repr_html_(),
        pictures=_pictures(fit),
        code=_code(fit),
        data_hash=page.data_hash(fit.design.frame.data),
        versions=page.versions(),
    )


def headline(fit: Fit) -> str:
    """The fixed effect with most evidence: size, interval, df and p, in one sentence."""
    names = [n for n in fit.params.index if n != "Intercept"] or list(fit.params.index)
    if not names:
        return "The model has no fixed effects."
    name = str(fit.pvalues[names].idxmin())
    interval = fit.conf_int().loc[name]
    return (
        f"{name}: {number(fit.params[name])} (95 % interval {number(interval['lower'])} to "
        f"{number(interval['upper'])}; t = {number(fit.tvalues[name])} on {number(fit.df[name])} "
        f"df, p = {p_value(fit.pvalues[name])})."
    )


def _pictures(fit: Fit) -> list[Picture]:
    from matplotlib.figure import Figure

    wanted = [
        ("residuals", "Residuals", "Residuals against fitted values; a pattern is a missing term."),
        (
            "scale_location",
            "Spread",
            "Size of residuals against fitted values; a trend means "
            "that the residual variance is not constant.",
        ),
        ("qq", "Normality of residuals", "Quantiles of the residuals against the normal's."),
    ]
    if fit.design.random:
        wanted += [
            ("caterpillar", "Random effects", "Conditional modes with 95 % intervals, sorted."),
            ("random_qq", "Normality of random effects", "Quantiles of the conditional modes."),
        ]
    made = []
    for name, title, description in wanted:
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        getattr(fit.plot, name)(ax=figure.add_subplot())
        made.append(picture(figure, f"f{len(made)}", title, description))
    return made


def _code(fit: Fit) -> str:
    call = "lmm" if fit.design.random else "lm"
    method = "" if fit.method == "REML" else ', method="ML"'
    return (
        "import henderson as hd\n\n"
        f"fit = hd.{call}({fit.formula!r}, data{method})\n"
        'print(fit)\nfit.report("report.html")'
    )
