"""Predictions for new rows, with any subset of the random effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.errors import DesignError, FormulaError
from henderson.formula import parse
from henderson.kriging import predicted_residuals

if TYPE_CHECKING:
    from henderson.design import RandomFactor
    from henderson.fit import Fit


def predict(
    fit: Fit, newdata: Any, random: str, new_levels: str, residuals: bool = False
) -> pd.Series:
    """See `Fit.predict`."""
    if new_levels not in ("population", "error"):
        raise DesignError(f"new_levels is 'population' or 'error', not '{new_levels}'.")
    chosen = chosen_columns(fit, random)
    if newdata is None:
        x, offset, index = fit.design.X, fit.design.offset, fit.design.index
        groups = tuple((f.codes, f.z) for f in fit.design.random)
    else:
        new = fit.design.new(newdata, random=chosen)
        x, offset, index, groups = new.X, new.offset, new.index, new.random
    out = x @ fit.optimum.beta
    if offset is not None:
        out = out + offset
    for t, (factor, (codes, z)) in enumerate(zip(fit.design.random, groups, strict=True)):
        if chosen[t].any():
            if new_levels == "error":
                _refuse_unseen(factor, codes)
            modes = factor.extended(fit.optimum.modes(t) * chosen[t])
            modes = np.vstack([modes, np.zeros(factor.z.shape[1])])
            out = out + np.einsum("nk,nk->n", z, modes[codes])
    if residuals:
        out = out + predicted_residuals(fit, newdata, out)
    return pd.Series(out, index=index, name="predicted")


def _refuse_unseen(factor: RandomFactor, codes: np.ndarray) -> None:
    unseen = int((codes < 0).sum())
    if unseen:
        raise DesignError(
            f"{unseen} rows have levels of {factor.name} that the fit has not seen: "
            "use new_levels='population' to predict them without that effect."
        )


def chosen_columns(fit: Fit, random: str) -> list[np.ndarray]:
    """Which effects (K,) of each grouping factor take part."""
    if random in ("all", "none"):
        return [np.full(f.z.shape[1], random == "all") for f in fit.design.random]
    wanted = _wanted(fit, random)
    return [_mask(factor, wanted) for factor in fit.design.random]


def _wanted(fit: Fit, random: str) -> set[str]:
    try:
        terms = parse(f"y ~ 1 + {random}").random
    except FormulaError as error:
        raise DesignError(
            f"random='{random}' is neither 'all' nor 'none' nor terms such as '(1 | g)'."
        ) from error
    wanted = {t.text.replace(" ", "") for t in terms}
    known = {s.term.text.replace(" ", "") for f in fit.design.random for s in f.slots}
    unknown = wanted - known
    if not wanted or unknown:
        have = ", ".join(s.term.text for f in fit.design.random for s in f.slots) or "none"
        raise DesignError(
            f"The fit has no random term {', '.join(unknown) or random}; it has {have}."
        )
    return wanted


def _mask(factor: RandomFactor, wanted: set[str]) -> np.ndarray:
    mask = np.zeros(factor.z.shape[1], dtype=bool)
    for slot in factor.slots:
        mask[slot.columns] = slot.term.text.replace(" ", "") in wanted
    return mask
