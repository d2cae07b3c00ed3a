"""The page about one fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from henderson.plots.of_fit import Plots
from henderson.report import page
from henderson.report.figures import MAX_POINTS, Picture, blank, picture
from henderson.report.of_approaches import p_equals
from henderson.tables.numerals import number

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
        f"df, {p_equals(fit.pvalues[name])})."
    )


def _pictures(fit: Fit) -> list[Picture]:
    wanted = [
        *_lines_over_data(fit),
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
            (
                "shrinkage",
                "Shrinkage",
                "What each level's own rows say, and what the model makes of it.",
            ),
            ("random_qq", "Normality of random effects", "Quantiles of the conditional modes."),
        ]
    made: list[Picture] = []
    for name, title, description in wanted:
        ax = blank((5.0, 3.7))
        getattr(Plots(fit, MAX_POINTS), name)(ax=ax)
        made.append(picture(ax, f"f{len(made)}", title, description))
    return made


def _lines_over_data(fit: Fit) -> list[tuple[str, str, str]]:
    """The picture of the data with the fit in it; a model of the mean alone has none."""
    if not (fit.design.random or fit.design.fixed.spec.columns):
        return []
    text = "Rows, lines per group, and the population's line (dashed) with its 95 % interval."
    return [("groups", "The fit over the data", text if fit.design.random else "Rows and fit.")]


def _code(fit: Fit) -> str:
    call = "lmm" if fit.design.random else "lm"
    method = "" if fit.method == "REML" else ', method="ML"'
    return (
        "import henderson as hd\n\n"
        f"fit = hd.{call}({fit.formula!r}, data{method})\n"
        'print(fit)\nfit.report("report.html")'
    )
