"""Results as plain dictionaries for JSON: numbers, text and None, nothing else."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.seven.result import Approach, Approaches

FIELDS = (
    *("key", "label", "rmse", "coef", "se", "stat", "stat_kind", "df", "p_value", "lower", "upper"),
    *("mse", "sse", "df_resid", "trust", "verdict", "question", "equation", "r_formula", "notes"),
    *("available", "reason"),
)


def approaches_dict(result: Approaches) -> dict[str, Any]:
    """The seven approaches; a statistic that is normal has df null."""
    found: dict[str, Any] = plain(
        {
            "outcome": result.outcome,
            "predictor": result.predictor,
            "group": result.group,
            "term": result.term,
            "rows": len(result.data),
            "rows_dropped": result.n_dropped,
            "groups": result.levels,
            "slopes_differ_p": result.slopes_differ_p,
            "approaches": [_approach(a) for a in result],
            "group_slopes": [asdict(g) for g in result.two_stage.level1],
            "not_estimable": [
                {"level": level, "reason": why} for level, why in result.two_stage.skipped
            ],
        }
    )
    return found


def _approach(a: Approach) -> dict[str, Any]:
    found = {name: getattr(a, name) for name in FIELDS}
    found["t_test"] = None if a.t_line is None else asdict(a.t_line)
    found["average_slope"] = None if a.average is None else asdict(a.average)
    return found


def fit_dict(fit: Fit, ddf: Any) -> dict[str, Any]:
    """One fit: the whole in one row, fixed effects, variances, notes."""
    from henderson.inference.ddf import used_method

    found: dict[str, Any] = plain(
        {
            "formula": fit.formula,
            "method": fit.method,
            "ddf": used_method(fit, ddf),
            "converged": fit.converged,
            "singular": fit.is_singular,
            "glance": fit.glance().to_dict("records")[0],
            "groups": fit.n_groups,
            "fixed": fit.tidy("fixed", ddf=ddf).to_dict("records"),
            "random": fit.varcorr().to_frame().to_dict("records"),
            "notes": [str(note) for note in fit.notes],
        }
    )
    return found


def plain(value: Any) -> Any:
    """Containers and numbers as JSON knows them; what is not finite or missing is None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return None if value is pd.NA or value is pd.NaT else str(value)
