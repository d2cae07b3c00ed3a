"""What stands below a table of models: how to read it, and what does not compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.console import DDF_WORDS

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.tables.model_column import ModelColumn

# Of these a reader of the table must know; other notes are for who fits the model.
_SAID = ("missing", "rank", "singular", "convergence")


def comparison_notes(fits: Sequence[Fit]) -> list[str]:
    """Why likelihoods cannot be compared across the models, if they cannot."""
    if len(fits) < 2 or len({f.design.formula.response for f in fits}) > 1:
        return []
    if not _same_rows(fits):
        counts = ", ".join(str(f.nobs) for f in fits)
        return [
            f"The models were fitted to different rows ({counts}): do not compare their "
            "log-likelihood, AIC and BIC."
        ]
    if len({f.method for f in fits}) > 1:
        return ["Do not compare log-likelihood, AIC and BIC of REML with those of ML."]
    from henderson.inference.nesting import same_fixed_part

    if fits[0].method == "ML" or all(same_fixed_part(fits[0], f) for f in fits[1:]):
        return []
    return [
        "Log-likelihood, AIC and BIC are restricted (REML): do not compare them across models "
        "with different fixed effects."
    ]


def _same_rows(fits: Sequence[Fit]) -> bool:
    first = fits[0].design
    return all(
        f.design.index.equals(first.index) and np.array_equal(f.design.y, first.y) for f in fits
    )


def error_notes(fits: Sequence[Fit], names: Sequence[str]) -> list[str]:
    """The Monte-Carlo standard errors of log-likelihoods."""
    return [
        f"{name}: the Monte Carlo standard error of the log-likelihood is {fit.llf_error:.2g}."
        for fit, name in zip(fits, names, strict=True)
        if fit.llf_error
    ]


def hidden_note(names: Sequence[str]) -> list[str]:
    """Fixed effects that were estimated and are not shown."""
    if not names:
        return []
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return [f"Not shown: {len(names)} fixed effect{'s'[: len(names) > 1]} ({shown})."]


def ddf_note(columns: Sequence[ModelColumn]) -> str:
    """Degrees of freedom, and of which models where they differ."""
    used = _by_value((c.ddf, c.name) for c in columns)
    if len(used) == 1:
        return f"Degrees of freedom: {DDF_WORDS[next(iter(used))]}."
    words = "; ".join(f"{', '.join(names)} {DDF_WORDS[ddf]}" for ddf, names in used.items())
    return f"Degrees of freedom: {words}."


def adjusted_note(columns: Sequence[ModelColumn]) -> list[str]:
    """Kenward and Roger's method has standard errors of its own."""
    names = [c.name for c in columns if c.ddf == "kenward-roger"]
    whose = "" if len(names) == len(columns) else f" of {', '.join(names)}"
    return [f"Standard errors{whose} are adjusted as Kenward and Roger do."] if names else []


def fit_notes(columns: Sequence[ModelColumn]) -> list[str]:
    """Rows and columns left out, singular fits, fits without an optimum; alike ones together."""
    pairs = ((note.text, c.name) for c in columns for note in c.notes if note.kind in _SAID)
    texts = _by_value(pairs)
    if len(columns) == 1:
        return list(texts)
    return [f"{', '.join(names)}: {text}" for text, names in texts.items()]


def _by_value(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for value, name in pairs:
        out.setdefault(value, []).append(name)
    return out
