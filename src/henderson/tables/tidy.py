"""Fits as tables for other programs: broom.mixed's columns, in snake_case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from henderson.errors import DesignError
from henderson.natural import is_structured
from henderson.tables.summary import coefficients, scaled_residuals

if TYPE_CHECKING:
    from henderson.design import RandomFactor
    from henderson.fit import Ddf, Fit


def tidy(
    fit: Fit,
    effects: str = "fixed",
    *,
    conf_int: bool = True,
    level: float = 0.95,
    ddf: Ddf = "satterthwaite",
) -> pd.DataFrame:
    """One row an estimate.

    Parameters
    ----------
    effects : "fixed": effect, group, term, estimate, std_error, statistic, df, p_value and, with
        `conf_int`, conf_low, conf_high. "ran_pars": effect, group, term, estimate, with terms
        sd__Intercept, cor__Intercept.Days, sd__Observation, and for a structure rho__ar1(1 | g).
        "ran_vals" (conditional modes): effect, group, level, term, estimate, std_error and, with
        `conf_int`, conf_low, conf_high (normal).
    level : of the intervals, between 0 and 1.
    ddf : for the tests and intervals of the fixed effects.

    Raises
    ------
    DesignError : `effects` is something else, or `level` is not between 0 and 1.
    """
    from henderson.inference.wald import check_level

    check_level(level)
    if effects == "fixed":
        return _fixed(fit, conf_int, level, ddf)
    if effects == "ran_pars":
        return _parameters(fit)
    if effects == "ran_vals":
        return _modes(fit, conf_int, level)
    raise DesignError(f"effects is 'fixed', 'ran_pars' or 'ran_vals', not {effects!r}.")


def _fixed(fit: Fit, conf_int: bool, level: float, ddf: Ddf) -> pd.DataFrame:
    from henderson.inference.wald import wald_interval

    table = coefficients(fit, ddf)[["estimate", "std_error", "statistic", "df", "p_value"]]
    table.insert(0, "term", [str(name) for name in table.index])
    if conf_int:
        interval = wald_interval(fit, level, ddf)
        table["conf_low"] = interval["lower"].to_numpy()
        table["conf_high"] = interval["upper"].to_numpy()
    table.insert(0, "group", None)
    table.insert(0, "effect", "fixed")
    return table.reset_index(drop=True)


def _parameters(fit: Fit) -> pd.DataFrame:
    """Standard deviations, then correlations that the model has, group by group."""
    rows: list[tuple[str, str, float]] = []
    varcorr = fit.varcorr()
    for factor in fit.design.random:
        sd, cor = varcorr.sd[factor.name], varcorr.cor[factor.name]
        for slot in factor.slots:
            if is_structured(slot):
                continue
            rows += [(factor.name, f"sd__{n}", float(sd[n])) for n in slot.names]
            if slot.term.structure == "diag":
                continue
            rows += [
                (factor.name, f"cor__{a}.{b}", float(cor.loc[a, b]))
                for i, a in enumerate(slot.names)
                for b in slot.names[i + 1 :]
            ]
    for part in fit.structured:
        if not part.is_residual:
            rows += [(part.group, f"{k}__{part.text}", v) for k, v in part.values.items()]
    rows.append(("Residual", "sd__Observation", fit.sigma))
    for part in fit.structured:
        if part.is_residual:
            rows += [(part.group, f"{k}__{part.text}", v) for k, v in part.values.items()]
    table = pd.DataFrame(rows, columns=["group", "term", "estimate"])
    table.insert(0, "effect", "ran_pars")
    return table


def _modes(fit: Fit, conf_int: bool, level: float) -> pd.DataFrame:
    variances = fit.condvar()
    parts = [_modes_of(f, fit.ranef()[f.name], variances[f.name]) for f in fit.design.random]
    columns = ["group", "level", "term", "estimate", "std_error"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if conf_int:
        from henderson.inference.wald import t_quantile

        reach = t_quantile(0.5 + level / 2.0, np.inf) * table["std_error"]
        table["conf_low"], table["conf_high"] = table["estimate"] - reach, table["estimate"] + reach
    table.insert(0, "effect", "ran_vals")
    return table


def _modes_of(factor: RandomFactor, modes: pd.DataFrame, variances: np.ndarray) -> pd.DataFrame:
    """Effect after effect, level after level within."""
    sd = np.sqrt(np.maximum(np.diagonal(variances, axis1=1, axis2=2), 0.0))
    levels, effects = modes.shape
    return pd.DataFrame(
        {
            "group": factor.name,
            "level": np.tile(np.asarray(modes.index), effects),
            "term": np.repeat(np.asarray(modes.columns, dtype=object), levels),
            "estimate": modes.to_numpy().ravel(order="F"),
            "std_error": sd.ravel(order="F"),
        }
    )


def glance(fit: Fit) -> pd.DataFrame:
    """The whole fit in one row; df_residual is n - p."""
    row = {
        "nobs": fit.nobs,
        "npar": fit.npar,
        "sigma": fit.sigma,
        "log_lik": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "criterion": fit.criterion,
        "method": fit.method,
        "df_residual": fit.df_resid,
        "is_singular": fit.is_singular,
        "converged": fit.converged,
    }
    return pd.DataFrame([row])


def augment(fit: Fit) -> pd.DataFrame:
    """The fitted rows of the model's columns, with the caller's index, and beside them:

    fitted (conditional), fixed (the population's: X beta + offset), resid, pearson (resid over its
    standard deviation); weights and offset where there are any; without random
    effects or structured residuals also leverage and studentised (resid over its own standard
    error). Where the data have a column of such a name, the new one ends in "_".
    """
    data = fit.design.frame.data
    new = {
        "fitted": fit.fittedvalues.to_numpy(),
        "fixed": fit.predict(random="none").to_numpy(),
        "resid": fit.resid.to_numpy(),
        "pearson": scaled_residuals(fit),
    }
    given = {"weights": fit.design.weights, "offset": fit.design.offset}
    new |= {name: values for name, values in given.items() if values is not None}
    new |= {} if fit.design.random or fit.design.residual else _least_squares(fit)
    columns = {_free(name, data.columns): values for name, values in new.items()}
    return pd.concat([data, pd.DataFrame(columns, index=data.index)], axis=1)


def _free(name: str, taken: pd.Index) -> str:
    while name in taken:
        name += "_"
    return name


def _least_squares(fit: Fit) -> dict[str, np.ndarray]:
    """Leverage h = diag(X (X'WX)^-1 X'W); residuals over s sqrt((1 - h) / w), s^2 = SSE/(n-p)."""
    root = np.sqrt(np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights)
    q = np.linalg.qr(fit.design.X * root[:, None])[0]
    leverage = np.einsum("np,np->n", q, q)
    resid = fit.resid.to_numpy() * root
    s = np.sqrt(resid @ resid / fit.df_resid) if fit.df_resid > 0 else np.nan
    # A row with leverage one is fitted exactly: it has no residual to studentise.
    spread = np.sqrt(np.where(leverage < 1.0 - 1e-12, 1.0 - leverage, np.nan))
    return {"leverage": leverage, "studentised": resid / (s * spread)}
