"""`henderson.table`: several fits side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from henderson.errors import DesignError
from henderson.fit import Ddf, Fit
from henderson.tables import model_notes
from henderson.tables.model_column import ModelColumn, model_column
from henderson.tables.model_options import Options, Statistic, marks
from henderson.tables.model_terms import Term, choose, fixed_terms

if TYPE_CHECKING:
    from henderson.tables.sheet import Format, Sheet

_FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
    ".tex": "latex",
}


@dataclass(frozen=True, eq=False)
class ModelTable:
    """Fits side by side: `print` it, or write it as Markdown, HTML, LaTeX, or in APA style.

    Attributes
    ----------
    columns : the numbers of each model.
    terms : the fixed effects shown, in this order.
    options : how the numbers are shown; title : above the table, or "" for the usual one.
    notes : what stands below the table beside how to read it.
    """

    columns: tuple[ModelColumn, ...]
    terms: tuple[Term, ...]
    options: Options
    title: str
    notes: tuple[str, ...]

    @property
    def responses(self) -> tuple[str, ...]:
        """The models' dependent variables."""
        return tuple(column.response for column in self.columns)

    @property
    def is_mixed(self) -> bool:
        """Some model has random effects."""
        return any(column.is_mixed for column in self.columns)

    @property
    def default_title(self) -> str:
        """ "Linear mixed models of Reaction"."""
        mixed = {column.is_mixed for column in self.columns}
        kind = {True: "Linear mixed", False: "Linear"}
        what = kind[mixed.pop()] if len(mixed) == 1 else "Linear and linear mixed"
        title = f"{what} model{'s'[: len(self.columns) > 1]}"
        return title if len(set(self.responses)) > 1 else f"{title} of {self.responses[0]}"

    def to_text(self) -> str:
        """At most 80 columns wide; models that find no room stand below the others."""
        return _written(self._sheet(), "text")

    def to_markdown(self) -> str:
        """A pipe table with its title and notes."""
        return _written(self._sheet(), "markdown")

    def to_html(self) -> str:
        """One `<table>` with caption, headings and notes."""
        return _written(self._sheet(), "html")

    def to_latex(self) -> str:
        r"""A `table` float; needs the package booktabs."""
        return _written(self._sheet(), "latex")

    def to_apa(self, format: Literal["text", "html", "latex"] = "text", *, number: int = 1) -> str:
        """In APA style: columns b, confidence interval and p for each model.

        Parameters
        ----------
        number : of the table in the manuscript; LaTeX counts by itself.
        """
        from henderson.tables.model_apa import apa_sheet

        if format not in ("text", "html", "latex"):
            raise DesignError(
                f"APA tables are written as 'text', 'html' or 'latex', not {format!r}."
            )
        return _written(apa_sheet(self, number), format)

    def to_frame(self) -> pd.DataFrame:
        """The numbers, one column a model; rows by part, term and value, NaN where there is none.

        Parts: "fixed" (values estimate, std_error, df, statistic, p_value, conf_low, conf_high),
        "random" (estimate) and "fit" (nobs, r2_marginal, r2_conditional, icc, log_lik, aic, ...).
        """
        from henderson.tables.model_frame import numbers_frame

        return numbers_frame(self)

    def save(self, path: str | Path) -> str:
        """Write a file, in the format of its suffix: .txt, .md, .html or .tex; returns the path.

        Raises
        ------
        DesignError : the suffix is none of these.
        """
        file = Path(path)
        format = _FORMATS.get(file.suffix.lower())
        if format is None:
            raise DesignError(
                f"'{file.name}' does not say its format: end its name in {', '.join(_FORMATS)}."
            )
        file.write_text(_file(self._sheet(), format), encoding="utf-8")
        return str(file)

    def _sheet(self) -> Sheet:
        from henderson.tables.model_sheet import model_sheet

        return model_sheet(self)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">\n{self.to_html()}\n</div>'


def _written(sheet: Sheet, format: Format) -> str:
    from importlib import import_module

    module = import_module(f"henderson.tables.sheet_{format}")
    text: str = getattr(module, f"sheet_{format}")(sheet)
    return text


def _file(sheet: Sheet, format: Format) -> str:
    """A text file ends with its last line; HTML is a document."""
    if format == "html":
        from henderson.tables.sheet_html import page

        return page(sheet)
    return _written(sheet, format) + "\n"


def table(
    fits: Fit | Sequence[Fit] | Mapping[str, Fit],
    *,
    names: Sequence[str] | None = None,
    statistic: Statistic = "se",
    stars: bool | Mapping[str, float] = False,
    digits: int = 3,
    level: float = 0.95,
    ddf: Ddf | Sequence[Ddf] = "satterthwaite",
    rename: Mapping[str, str] | None = None,
    keep: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    title: str = "",
) -> ModelTable:
    """Several fits side by side, for a manuscript, a notebook or a terminal.

    Rows are the fixed effects in the order of their first appearance, standard deviations and
    correlations of the random effects, and measures of the fit.

    Parameters
    ----------
    fits : of `lmm` and `lm`, also with different responses or rows; a dictionary names them.
    names : of the models; otherwise (1), (2), ...
    statistic : below the estimates: "se", standard errors; "ci", confidence intervals; "t"; "p".
    stars : True for * p < 0.05, ** p < 0.01, *** p < 0.001, or mark -> p-value.
    digits : significant digits of the standard errors; estimates have the same decimals.
    level : of the confidence intervals.
    ddf : degrees of freedom of tests and intervals, for all models or one for each.
    rename : name of a fixed effect, random effect or group -> what to call it. What has the same
        name in several models is one row.
    keep, drop : fixed effects to show, in this order, or to leave out; "*" stands for any
        characters, as in "C(item)*".
    title : above the table.

    Raises
    ------
    DesignError : no fits, something that is no fit, names that are too few or not distinct, a name
        that no model has, an option that is not offered.

    Examples
    --------
    >>> import henderson as hd
    >>> data = hd.load_dataset("sleepstudy")
    >>> small = hd.lmm("Reaction ~ Days + (1 | Subject)", data)
    >>> big = hd.lmm("Reaction ~ Days + (Days | Subject)", data)
    >>> frame = hd.table({"intercept": small, "slope": big}).to_frame()
    >>> frame.loc[("fixed", "Days", "std_error")].round(3).to_dict()
    {'intercept': 0.804, 'slope': 1.546}
    """
    given = _named(fits, names)
    options = Options(statistic, marks(stars), digits, level)
    methods = _methods(ddf, len(given))
    columns = tuple(
        model_column(fit, name, method, level)
        for (name, fit), method in zip(given.items(), methods, strict=True)
    )
    new_names = dict(rename or {})
    _check_renamed(columns, new_names)
    terms = fixed_terms(columns, new_names)
    shown = choose(terms, _several(keep), _several(drop) or ())
    notes = _notes(list(given.values()), columns, [t.label for t in terms if t not in shown])
    return ModelTable(tuple(c.renamed(new_names) for c in columns), shown, options, title, notes)


def _named(
    fits: Fit | Sequence[Fit] | Mapping[str, Fit], names: Sequence[str] | None
) -> dict[str, Fit]:
    """The fits by name, each checked to be one."""
    if isinstance(fits, Mapping):
        names = list(fits) if names is None else names
        fits = list(fits.values())
    fits = [fits] if isinstance(fits, Fit) else list(fits)
    if not fits:
        raise DesignError("A table needs a fit: henderson.table([fit, ...]).")
    for fit in fits:
        if not isinstance(fit, Fit):
            raise DesignError(
                f"A table shows fits of henderson.lmm and henderson.lm, not {type(fit).__name__}."
            )
    labels = [f"({i + 1})" for i in range(len(fits))] if names is None else [*map(str, names)]
    if len(labels) != len(fits):
        raise DesignError(f"Give a name to each fit: {len(fits)} fits, {len(labels)} names.")
    if len(set(labels)) < len(labels):
        raise DesignError(f"Names of models must differ: {', '.join(labels)}.")
    return dict(zip(labels, fits, strict=True))


def _methods(ddf: Ddf | Sequence[Ddf], count: int) -> list[Ddf]:
    """The method of each model."""
    if isinstance(ddf, str):
        return [ddf] * count
    methods = list(ddf)
    if len(methods) != count:
        raise DesignError(f"Give ddf= once, or to each fit: {count} fits, {len(methods)} methods.")
    return methods


def _several(names: str | Sequence[str] | None) -> Sequence[str] | None:
    return [names] if isinstance(names, str) else names


def _check_renamed(columns: Sequence[ModelColumn], rename: Mapping[str, str]) -> None:
    """Every name to change is one."""
    known = {str(name) for column in columns for name in column.fixed.index}
    for column in columns:
        known |= set(column.groups)
        known |= {name for parameter in column.random for name in parameter.names}
    for name in rename:
        if name not in known:
            raise DesignError(
                f"rename= names '{name}', which no model has: there are {', '.join(sorted(known))}."
            )


def _notes(
    fits: Sequence[Fit], columns: Sequence[ModelColumn], hidden: Sequence[str]
) -> tuple[str, ...]:
    names = [column.name for column in columns]
    return (
        *model_notes.hidden_note(hidden),
        *model_notes.comparison_notes(fits),
        *model_notes.error_notes(fits, names),
        *model_notes.fit_notes(columns),
    )
