"""Regressions within the groups, and what their slopes have in common; and the groups' means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from henderson.errors import HendersonError
from henderson.model import lm
from henderson.seven.result import Aggregated, GroupSlope, TwoStage
from henderson.seven.setting import Setting, quote

# Values that differ by less than this, relative to their size, do not vary.
ROUNDING = 1e-12


def two_stage(s: Setting) -> tuple[TwoStage, str]:
    """Both levels, and why there is no level 2 ("" if there is one)."""
    level1, skipped = [], []
    for code, level in enumerate(s.levels):
        rows = s.codes == code
        reason = _not_estimable(s, s.x[rows])
        if reason:
            skipped.append((level, reason))
        else:
            level1.append(_regression(level, s.x[rows], s.y[rows]))
    fit, why = _level2(level1)
    return TwoStage(tuple(level1), tuple(skipped), fit), why


def aggregated(s: Setting) -> tuple[Aggregated, str]:
    """Means per group with the regression through them, and why there is none ("" if there is)."""
    values = pd.DataFrame({s.predictor: s.x, s.outcome: s.y})
    means = values.groupby(s.codes).mean().set_axis(pd.Index(s.levels, name=s.group))
    fit, why = _between(s, means)
    return Aggregated(means, fit), why


def _not_estimable(s: Setting, x: np.ndarray) -> str:
    """Why a group's own slope cannot be estimated; "" if it can."""
    if not constant(x):
        return ""
    if len(x) == 1:
        return "one row"
    if s.is_factor:
        return f"{s.predictor} is {s.factor_levels[int(x[0])]} in all {len(x)} rows"
    return f"{s.predictor} is {x[0]:g} in all {len(x)} rows"


def constant(values: np.ndarray) -> bool:
    """No variation beyond rounding."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def _regression(level: Any, x: np.ndarray, y: np.ndarray) -> GroupSlope:
    """Ordinary least squares of one group, from centred sums."""
    n = len(x)
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    intercept = float(y.mean() - slope * x.mean())
    residual = dy - slope * dx
    sse = float(residual @ residual) if n > 2 else 0.0
    se = float(np.sqrt(sse / (n - 2) / (dx @ dx))) if n > 2 else np.nan
    return GroupSlope(level, n, intercept, slope, se, sse)


def _level2(level1: list[GroupSlope]) -> tuple[Any, str]:
    if len(level1) < 2:
        return None, f"{len(level1)} group can be fitted alone; a mean with an error needs two."
    return attempt("slope ~ 1", pd.DataFrame({"slope": [g.slope for g in level1]}))


def _between(s: Setting, means: pd.DataFrame) -> tuple[Any, str]:
    x = means[s.predictor].to_numpy()
    if len(means) < 3:
        return None, "2 groups give 2 means: a line through them has no error."
    if constant(x):
        return None, (
            f"Every group has the same mean of {s.predictor} ({x[0]:g}): "
            "there is no between-group slope."
        )
    return attempt(f"{quote(s.outcome)} ~ {quote(s.predictor)}", means)


def attempt(formula: str, data: pd.DataFrame) -> tuple[Any, str]:
    """A linear model, or the reason why it cannot be fitted."""
    try:
        return lm(formula, data), ""
    except HendersonError as error:
        return None, str(error)
