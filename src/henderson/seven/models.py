"""The seven models, fitted; one that cannot be fitted leaves its reason, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.errors import HendersonError
from henderson.inference.wald import Contrast
from henderson.model import lm, lmm
from henderson.seven.result import Aggregated, Key, TwoStage
from henderson.seven.setting import Setting
from henderson.seven.two_stage import aggregated, two_stage

if TYPE_CHECKING:
    from henderson.fit import Fit

WITHIN: tuple[Key, ...] = ("ancova_inter", "hierarchical", "ancova_full", "lmm_full")


@dataclass(frozen=True)
class Models:
    """The fitted models of a setting.

    Attributes
    ----------
    fits : by key; a key without a fit is in `reasons`.
    reference : the group whose slope is ANCOVA-Full's coefficient: the first with one of its own.
    """

    setting: Setting
    fits: dict[Key, Fit]
    reasons: dict[Key, str]
    two_stage: TwoStage
    aggregated: Aggregated
    reference: Any

    @property
    def term(self) -> str:
        """The predictor's coefficient as the fits name it."""
        return self.fits["lm_global"].design.names[1]

    @cached_property
    def icc(self) -> float:
        """Intraclass correlation given the predictor, from LMM-Inter; NaN without it."""
        fit = self.fits.get("lmm_inter")
        if fit is None:
            return np.nan
        between = float(fit.optimum.sigmas[0][0, 0])
        return between / (between + 1.0)

    @cached_property
    def slopes_differ(self) -> tuple[float, float]:
        """Likelihood ratio of LMM-Full against LMM-Inter and its p-value; NaN if not both.

        A variance and a covariance are tested with the variance on its boundary: the mean of the
        tails of chi-square with 1 and 2 degrees of freedom (Stram & Lee 1994, Biometrics 50).
        """
        inter, full = self.fits.get("lmm_inter"), self.fits.get("lmm_full")
        if inter is None or full is None:
            return np.nan, np.nan
        from scipy.special import chdtrc

        ratio = max(0.0, inter.criterion - full.criterion)
        return ratio, float(0.5 * chdtrc(1, ratio) + 0.5 * chdtrc(2, ratio))

    @cached_property
    def average_slope(self) -> Contrast | None:
        """The mean of ANCOVA-Full's slopes over the groups that have one."""
        fit = self.fits.get("ancova_full")
        if fit is None:
            return None
        rows = group_slope_rows(self.setting, fit, [g.level for g in self.two_stage.level1])
        return contrast(fit, rows.mean(axis=0), f"average {self.setting.slope}", "residual")


def fit_models(setting: Setting) -> Models:
    """Fit all seven."""
    level, why_hierarchical = two_stage(setting)
    means, why_aggregation = aggregated(setting)
    reference = level.level1[0].level if level.level1 else setting.levels[0]
    tries: dict[Key, Callable[[], Fit]] = {
        "lm_global": lambda: lm(setting.formula("{x}"), setting.data),
        "ancova_inter": lambda: lm(setting.formula("{x}", "{g}"), setting.data),
        "lmm_inter": lambda: lmm(setting.formula("{x}", "(1 | {g})"), setting.data),
        "ancova_full": lambda: _ancova_full(setting, reference),
        "lmm_full": lambda: lmm(setting.formula("{x}", "({x} | {g})"), setting.data),
    }
    fits, reasons = _attempt(tries)
    _add(fits, reasons, "aggregation", means.fit, why_aggregation)
    _add(fits, reasons, "hierarchical", level.fit, why_hierarchical)
    if not level.level1:
        _refuse_within(setting, fits, reasons)
    return Models(setting, fits, reasons, level, means, reference)


def _attempt(tries: dict[Key, Callable[[], Fit]]) -> tuple[dict[Key, Fit], dict[Key, str]]:
    fits: dict[Key, Fit] = {}
    reasons: dict[Key, str] = {}
    for key, fit in tries.items():
        try:
            fits[key] = fit()
        except HendersonError as error:
            if key == "lm_global":
                raise
            reasons[key] = str(error)
    return fits, reasons


def _add(fits: dict, reasons: dict, key: Key, fit: Fit | None, why: str) -> None:
    if fit is None:
        reasons[key] = why
    else:
        fits[key] = fit


def _refuse_within(setting: Setting, fits: dict[Key, Fit], reasons: dict[Key, str]) -> None:
    """A predictor that the groups determine has no slope within them, whatever a fit may say."""
    for key in WITHIN:
        fits.pop(key, None)
        reasons[key] = (
            f"{setting.predictor} does not vary within any group ({setting.group}): "
            f"it has no {setting.slope} there."
        )


def _ancova_full(setting: Setting, reference: Any) -> Fit:
    """Own intercepts and slopes, coded against a group whose slope can be estimated."""
    order = [reference, *(level for level in setting.levels if level != reference)]
    group = setting.data[setting.group].cat.reorder_categories(order)
    data = setting.data.assign(**{setting.group: group})
    return lm(setting.formula("{x}", "{g}", "{x}:{g}"), data)


def group_slope_rows(setting: Setting, fit: Fit, levels: list[Any]) -> np.ndarray:
    """The contrasts (J, p) of ANCOVA-Full that are the groups' slopes."""
    low, high = setting.factor_levels or (0.0, 1.0)
    return _matrix(setting, fit, levels, high) - _matrix(setting, fit, levels, low)


def _matrix(setting: Setting, fit: Fit, levels: list[Any], value: Any) -> np.ndarray:
    """X (J, p) of one row a group with the predictor at one value."""
    x: Any = [value] * len(levels)
    if setting.is_factor:
        x = pd.Categorical(x, categories=list(setting.factor_levels))
    groups = fit.design.frame.data[setting.group].cat.categories
    frame = {setting.predictor: x, setting.group: pd.Categorical(levels, categories=groups)}
    return np.asarray(fit.design.new(pd.DataFrame(frame)).X)


def contrast(fit: Fit, row: np.ndarray, label: str, ddf: Any) -> Contrast:
    """The t-test of one combination (p,) of the fixed effects under a name of our own."""
    from dataclasses import replace

    return replace(fit.test(row[None], ddf=ddf).contrasts[0], label=label)
