"""`approaches`: the seven models fitted, each with its row of the table and what to think of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.inference.joint_information import joint_bse
from henderson.inference.wald import t_quantile, two_sided
from henderson.seven.models import Models, contrast, fit_models
from henderson.seven.result import KEYS, LABELS, MIXED, Approach, Approaches, Key
from henderson.seven.setting import prepare
from henderson.seven.trust import verdict
from henderson.seven.words import equation, question, r_formula

if TYPE_CHECKING:
    from henderson.fit import Fit


def approaches(data: Any, outcome: str, predictor: str, group: str) -> Approaches:
    """Analyse clustered data in seven ways, side by side.

    Parameters
    ----------
    data : pandas, polars or Arrow table, dict of arrays, or path to a CSV or Parquet file.
    outcome : a numeric column.
    predictor : a numeric column, or a factor of two levels.
    group : the column that says which rows belong together.

    Returns
    -------
    Approaches : `.table`, one row an approach; `result["lmm_inter"].fit`; `print(result)`;
        `.plot`; `.report(path)`. An approach that the data do not allow is there with its reason.

    Raises
    ------
    DataError : a column that is not there or does not fit its role.

    Examples
    --------
    >>> import henderson as hd
    >>> data = hd.load_dataset("classroom_scores")
    >>> result = hd.approaches(data, outcome="score", predictor="edu", group="classroom")
    >>> round(result["lmm_inter"].coef, 6)
    0.131193
    """
    models = fit_models(prepare(data, outcome, predictor, group))
    setting = models.setting
    return Approaches(
        data=setting.data,
        outcome=outcome,
        predictor=predictor,
        group=group,
        term=models.term,
        factor_levels=setting.factor_levels,
        approaches=tuple(_approach(key, models) for key in KEYS),
        two_stage=models.two_stage,
        aggregated=models.aggregated,
        n_dropped=setting.n_dropped,
        slopes_differ_p=models.slopes_differ[1],
    )


def _approach(key: Key, models: Models) -> Approach:
    trust, why = verdict(key, models)
    fit = models.fits.get(key)
    found = {} if fit is None else _numbers(key, fit, models)
    return Approach(
        key=key,
        label=LABELS[key],
        question=question(key, models.setting),
        trust=trust,
        verdict=why,
        equation=equation(key, models.setting),
        r_formula=r_formula(key, models.setting),
        average=models.average_slope if key == "ancova_full" else None,
        notes=_notes(key, models),
        available=fit is not None,
        reason=models.reasons.get(key, ""),
        **found,
    )


def _numbers(key: Key, fit: Fit, models: Models) -> dict[str, Any]:
    """The row of the table, from residuals conditional on the random effects."""
    sse = float(fit.resid @ fit.resid)
    t_line = _t_line(key, fit, models)
    row = _z_row(fit, models.term) if key in MIXED else _t_row(t_line)
    return {
        "fit": fit,
        "sse": sse,
        "mse": sse / fit.df_resid,
        "rmse": float(np.sqrt(sse / fit.df_resid)),
        "df_resid": fit.df_resid,
        "t_line": t_line,
        **row,
    }


def _t_line(key: Key, fit: Fit, models: Models) -> Any:
    names = list(fit.design.names)
    where = {"hierarchical": 0, "aggregation": 1}.get(key)
    where = names.index(models.term) if where is None else where
    label = f"average {models.setting.slope}" if key == "hierarchical" else names[where]
    ddf = "satterthwaite" if key in MIXED else "residual"
    return contrast(fit, np.eye(len(names))[where], label, ddf)


def _t_row(line: Any) -> dict[str, Any]:
    return {
        "coef": line.estimate,
        "se": line.std_error,
        "stat": line.statistic,
        "stat_kind": "t",
        "df": line.df,
        "p_value": line.p_value,
        "lower": line.lower,
        "upper": line.upper,
    }


def _z_row(fit: Fit, term: str) -> dict[str, Any]:
    coef, se = float(fit.params[term]), float(joint_bse(fit)[term])
    reach = t_quantile(0.975, np.inf) * se
    return {
        "coef": coef,
        "se": se,
        "stat": coef / se,
        "stat_kind": "z",
        "df": np.inf,
        "p_value": two_sided(coef / se, np.inf),
        "lower": coef - reach,
        "upper": coef + reach,
    }


def _notes(key: Key, models: Models) -> tuple[str, ...]:
    if key == "hierarchical":
        return tuple(
            f"{models.setting.group} {level}: {models.setting.slope} not estimable ({why})."
            for level, why in models.two_stage.skipped
        )
    if key == "ancova_full" and key in models.fits:
        return (
            f"The reference group is {models.setting.group} {models.reference}; the average "
            f"{models.setting.slope} is that of {len(models.two_stage.level1)} groups.",
        )
    fit = models.fits.get(key)
    return _mixed_notes(fit, models.term) if fit is not None and key in MIXED else ()


def _mixed_notes(fit: Fit, term: str) -> tuple[str, ...]:
    said = tuple(str(note) for note in fit.notes)
    if np.isnan(joint_bse(fit)[term]):
        said += (
            "The joint information is not positive definite on this boundary, so there is no z: "
            "read the t-test.",
        )
    return said
