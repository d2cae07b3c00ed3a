"""Whether to trust each approach on these data: a verdict and its reason, from the fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from henderson.seven.models import Models
from henderson.seven.result import Key
from henderson.seven.two_stage import constant
from henderson.verdicts import FEW_LEVELS

Trust = Literal["yes", "caution", "no"]
Verdict = tuple[Trust, str]

# Rows of one group that share less than this part of the variance are nearly independent.
SMALL_ICC = 0.02
# Precisions that differ by this factor are not similar.
UNEQUAL = 4.0
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
    alike = f"The rows of a group are alike ({shown}), so {m.setting.n} rows are not independent"
    if constant(m.aggregated.means[m.setting.predictor].to_numpy()):
        return "no", (
            f"{alike}: as all groups have the same mean of {m.setting.predictor} the "
            f"{m.setting.slope} is right, but its standard error is not."
        )
    return "no", f"{alike}, and the groups' differences leak into the {m.setting.slope}."


def _ancova_inter(m: Models) -> Verdict:
    ratio, p = m.slopes_differ
    if p < LEVEL:
        return "no", (
            f"The {m.setting.slope}s differ between groups (likelihood ratio {ratio:.1f}, "
            f"{p_text(p)}): one common {m.setting.slope} has too small an error."
        )
    return "caution", (
        f"Sound for these {_groups(m)} and for no others; it spends "
        f"{len(m.setting.levels) - 1} degrees of freedom on them."
    )


def _aggregation(m: Models) -> Verdict:
    between = m.fits["aggregation"]
    inside = m.fits.get("ancova_inter")
    slope = between.params.iloc[1]
    if not m.two_stage.level1:
        return "caution", (
            f"{m.setting.predictor} varies between groups only, so the means of {_groups(m)} hold "
            f"the evidence, on {_df(between.df_resid)}; groups of any size count the same."
        )
    against = "" if inside is None else f", against {inside.params[m.term]:.4g} within groups"
    return "no", (
        f"It answers another question: {slope:.4g} is the {m.setting.slope} between {_groups(m)}"
        f"{against}, on {_df(between.df_resid)}."
    )


def _hierarchical(m: Models) -> Verdict:
    level1, skipped = m.two_stage.level1, m.two_stage.skipped
    if skipped:
        return "caution", (
            f"The {m.setting.slope} cannot be estimated in {len(skipped)} of {_groups(m)}, "
            "which the mean leaves out."
        )
    if len(level1) < FEW_LEVELS:
        return "caution", (
            f"Honest, but with {len(level1)} {m.setting.slope}s it has {_df(len(level1) - 1)} "
            "and little power."
        )
    information = [_sum_of_squares(m.setting.x[m.setting.codes == j]) for j in _codes(m)]
    ratio = max(information) / min(information)
    if ratio >= UNEQUAL:
        return "caution", (
            f"Every {m.setting.slope} weighs the same, though one group holds {ratio:.0f} times "
            "the information of another: simple, but not the most precise."
        )
    return "yes", (
        f"{len(level1)} {m.setting.slope}s of similar precision, and nothing assumed about how "
        "groups differ."
    )


def _sum_of_squares(x: np.ndarray) -> float:
    """Of a group's predictor about its mean: the precision of its slope."""
    gap = x - x.mean()
    return float(gap @ gap)


def _codes(m: Models) -> range:
    return range(len(m.setting.levels))


def _lmm_inter(m: Models) -> Verdict:
    fit = m.fits["lmm_inter"]
    ratio, p = m.slopes_differ
    if not fit.converged:
        return "no", "The optimiser stopped before an optimum."
    if p < LEVEL:
        return "no", (
            f"The {m.setting.slope}s differ between groups (likelihood ratio {ratio:.1f}, "
            f"{p_text(p)}): its standard error is too small; see LMM-Full."
        )
    if fit.is_singular:
        return "caution", "The variance between groups is estimated as zero: this is LM-Global."
    return _few(m, f"one {m.setting.slope} for all fits the data")


def _lmm_full(m: Models) -> Verdict:
    fit = m.fits["lmm_full"]
    ratio, p = m.slopes_differ
    if not fit.converged:
        return "no", "The optimiser stopped before an optimum."
    if fit.is_singular and p < LEVEL:
        return "caution", (
            f"The {m.setting.slope}s differ between groups (likelihood ratio {ratio:.1f}, "
            f"{p_text(p)}), but their covariance is on its boundary: read the t-test, not z."
        )
    if fit.is_singular:
        return "caution", (
            f"Singular fit: {_groups(m)} cannot tell the variance of the {m.setting.slope}s; "
            "read the t-test, not z, or use LMM-Inter."
        )
    if p >= LEVEL:
        return "caution", (
            f"The data do not ask for {m.setting.slope}s that differ (likelihood ratio "
            f"{ratio:.1f}, {p_text(p)}): safe, but less precise than LMM-Inter."
        )
    return _few(m, f"{m.setting.slope}s that differ are needed and allowed for")


def _few(m: Models, good: str) -> Verdict:
    if len(m.setting.levels) < FEW_LEVELS:
        return "caution", (
            f"{good[0].upper()}{good[1:]}, but {_groups(m)} are few to estimate a variance from: "
            "read the t-test, not z."
        )
    return "yes", f"{good[0].upper()}{good[1:]}, and {_groups(m)} stand for a population."


def _ancova_full(m: Models) -> Verdict:
    average = m.average_slope
    beside = "" if average is None else f"; the average {m.setting.slope} is {average.estimate:.4f}"
    return "no", (
        f"Its coefficient is the {m.setting.slope} in {m.setting.group} {m.reference} alone, "
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
