"""The page about one fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from henderson.report import page, sheets, words
from henderson.report.figures import groups_drawn
from henderson.report.fit_pictures import FitPictures
from henderson.report.means import means_parts
from henderson.report.one_table import one_table
from henderson.report.sheets import Missing, Sheet, attempt

if TYPE_CHECKING:
    from henderson.fit import Fit


def fit_report(fit: Fit, path: str) -> str:
    """Write a fit as one self-contained HTML page; returns the path.

    Raises
    ------
    OSError : the file cannot be written.
    """
    pictures = FitPictures(fit)
    parts = {
        "lead": pictures.lead(),
        "effects": pictures.effects(),
        "random": pictures.random(),
        "adequacy": pictures.adequacy(),
    }
    factor = next(iter(fit.design.random), None)
    checks = attempt("Checks", fit.check)
    return page.write(
        path,
        "fit.html",
        title=fit.formula,
        fit=fit,
        headline=words.headline(fit),
        method=words.method(fit),
        equation=fit.equation(),
        pictures=parts,
        whole=attempt("The table", lambda: one_table(fit)),
        fixed=_found(_fixed_sheets(fit)),
        means=_found([attempt("Marginal means", lambda: means_parts(fit))]),
        variances=_found(_variance_sheets(fit)),
        modes=_found(_mode_sheets(fit)),
        measures=sheets.measures(fit),
        checks=[checks if isinstance(checks, Missing) else sheets.checks(checks)],
        findings=() if isinstance(checks, Missing) else checks.of("problem", "look"),
        sound=() if isinstance(checks, Missing) else checks.of("fine"),
        groups=groups_drawn(pictures.made, () if factor is None else tuple(factor.levels)),
        group_name="" if factor is None else factor.name,
        code=words.code(fit),
        data_hash=page.data_hash(fit.design.frame.data),
        versions=page.versions(),
    )


def _found(parts: list[Any]) -> list[Any]:
    """The parts that there are, a list among them taken apart, those that are missing last."""
    flat = [p for part in parts for p in (part if isinstance(part, list) else [part])]
    return sorted((p for p in flat if p is not None), key=lambda p: isinstance(p, Missing))


def _fixed_sheets(fit: Fit) -> list[Sheet | Missing | None]:
    if not fit.design.p:
        return []
    return [
        attempt("Fixed effects", lambda: sheets.fixed_effects(fit)),
        attempt("Analysis of variance", lambda: sheets.anova(fit)),
    ]


def _variance_sheets(fit: Fit) -> list[Sheet | None]:
    return [sheets.variances(fit) if fit.design.random else None, sheets.structures(fit)]


def _mode_sheets(fit: Fit) -> list[Sheet]:
    return [sheets.modes(fit, f, tagged=i == 0) for i, f in enumerate(fit.design.random)]
