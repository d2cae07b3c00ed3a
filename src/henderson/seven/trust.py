"""Whether to trust each approach on these data: a verdict and its reason, from the fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from henderson.seven.models import Models
from henderson.seven.result import Key
from henderson.verdicts import FEW_LEVELS

Trust = Literal["yes", "caution", "no"]
Verdict = tuple[Trust, str]

# Rows of one group that share less than this part of the variance are nearly independent.
SMALL_ICC = 0.02
LEVEL = 0.05


def verdict(key: Key, m: Models) -> Verdict:
    """ "yes", "caution" or "no", and one sentence why."""
    if key not in m.fits:
        return "no", f"Not available: {m.reasons[key]}"
    return _JUDGES[key](m)


def p_text(p: float) -> str:
    """`p = 0.044`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _groups(m: Models) -> str:
    return f"{len(m.setting.levels)} groups ({m.setting.group})"


def _lm_global(m: Models) -> Verdict:
    icc = m.icc
    if np.isnan(icc):
        return "caution", "It takes rows of one group as independent, which was not checked."
    if m.fits["lmm_inter"].is_singular:
        return "yes", "Given the predictor the groups differ no more than by chance here."
    shown = f"intraclass correlation {icc:.2f}"
    if icc < SMALL_ICC:
        return "caution", f"The rows of a group are nearly independent here ({shown})."
    return "no", (
        f"The rows of a group are alike ({shown}), so {m.setting.n} rows are not "
        f"{m.setting.n} independent ones and the groups' differences leak into the slope."
    )


def _ancova_inter(m: Models) -> Verdict:
    ratio, p = m.slopes_differ
    if p < LEVEL:
        return "no", (
            f"The slopes differ between groups (likelihood ratio {ratio:.1f}, {p_text(p)}): "
            "one common slope has too small an error."
        )
    return "caution", (
        f"Sound for these {_groups(m)} and for no others; it spends "
        f"{len(m.setting.levels) - 1} degrees of freedom on them."
    )


def _aggregation(m: Models) -> Verdict:
    between = m.fits["aggregation"]
    inside = m.fits.get("ancova_inter")
    slope = between.params.iloc[1]
    against = "" if inside is None else f", against {inside.params[m.term]:.4g} within groups"
    return "no", (
        f"It answers another question: {slope:.4g} is the slope between {_groups(m)}{against}, "
        f"on {_df(between.df_resid)}."
    )


def _hierarchical(m: Models) -> Verdict:
    level1, skipped = m.two_stage.level1, m.two_stage.skipped
    if skipped:
        return "caution", f"{_count(len(skipped), 'group')} had no slope of their own and are left out."
    if len(level1) < FEW_LEVELS:
        return "caution", (
            f"Honest, but with {len(level1)} slopes it has {_df(len(level1) - 1)} and little power."
        )
    sizes = [g.n for g in level1]
    if max(sizes) >= 2 * min(sizes):
        return "caution", (
            f"A group of {min(sizes)} rows weighs as much as one of {max(sizes)}: "
            "simple, but not the most precise."
        )
    return "yes", f"{len(level1)} slopes of similar precision, and no assumption within groups."


def _lmm_inter(m: Models) -> Verdict:
    fit = m.fits["lmm_inter"]
    ratio, p = m.slopes_differ
    if not fit.converged:
        return "no", "The optimiser stopped before an optimum."
    if p < LEVEL:
        return "no", (
            f"The slopes differ between groups (likelihood ratio {ratio:.1f}, {p_text(p)}): "
            "its standard error is too small; see LMM-Full."
        )
    if fit.is_singular:
        return "caution", "The variance between groups is estimated as zero: this is LM-Global."
    return _few(m, "one slope for all fits the data")


def _lmm_full(m: Models) -> Verdict:
    fit = m.fits["lmm_full"]
    ratio, p = m.slopes_differ
    if not fit.converged:
        return "no", "The optimiser stopped before an optimum."
    if fit.is_singular:
        return "caution", (
            f"Singular fit: {_groups(m)} cannot tell the variance of the slopes; "
            "read the t-test, not z, or use LMM-Inter."
        )
    if p >= LEVEL:
        return "caution", (
            f"The data do not ask for slopes that differ (likelihood ratio {ratio:.1f}, "
            f"{p_text(p)}): safe, but less precise than LMM-Inter."
        )
    return _few(m, "slopes that differ are needed and allowed for")


def _few(m: Models, good: str) -> Verdict:
    if len(m.setting.levels) < FEW_LEVELS:
        return "caution", (
            f"{good[0].upper()}{good[1:]}, but {_groups(m)} are few to estimate a variance from: "
            "read the t-test, not z."
        )
    return "yes", f"{good[0].upper()}{good[1:]}, and {_groups(m)} stand for a population."


def _ancova_full(m: Models) -> Verdict:
    average = m.average_slope
    beside = "" if average is None else f"; the average slope is {average.estimate:.4f}"
    return "no", (
        f"Its coefficient is the slope of {m.setting.group} {m.reference} alone, "
        f"one of {len(m.setting.levels)}{beside}."
    )


def _df(df: int) -> str:
    return _count(df, "degree") + " of freedom"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


_JUDGES: dict[Key, Callable[[Models], Verdict]] = {
    "lm_global": _lm_global,
    "ancova_inter": _ancova_inter,
    "aggregation": _aggregation,
    "hierarchical": _hierarchical,
    "lmm_inter": _lmm_inter,
    "ancova_full": _ancova_full,
    "lmm_full": _lmm_full,
}
