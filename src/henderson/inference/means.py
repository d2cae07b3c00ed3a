"""Estimated marginal means and slopes: linear functions of the fixed effects on a reference grid.

Each mean is the average of predictions over the grid's cells, with its standard error and degrees
of freedom (Searle, Speed & Milliken 1980, Am. Stat. 34; Lenth 2016, JSS 69(1)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.design.columns import label
from henderson.errors import DesignError
from henderson.formula.names import names
from henderson.inference.ddf import ddf_method, used_method
from henderson.inference.grid import Grid, reference_grid, response_scale
from henderson.inference.wald import check_level, t_quantile
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    from henderson.fit import Fit
    from henderson.inference.contrasts import Contrasts

# A slope is a central difference over this share of the covariate's standard deviation.
STEP = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Means(Printed):
    """Estimated means, or slopes, with intervals.

    Attributes
    ----------
    frame : one row a mean: the levels, the estimate (`emmean` or `slope`), std_error, df, lower,
        upper. Missing where it cannot be estimated.
    matrix : (m, p), the linear function of the fixed effects in each row.
    offset : (m,), what the model's offset adds to each row.
    estimate : "emmean" or "slope".
    of : the predictors whose levels are compared; by : those that part the table.
    ddf, level : how the degrees of freedom were found, and the confidence level.
    notes : what was averaged over and held fixed.
    """

    fit: Fit
    frame: pd.DataFrame
    matrix: np.ndarray
    offset: np.ndarray
    estimate: str
    of: tuple[str, ...]
    by: tuple[str, ...]
    ddf: str
    level: float
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """The frame, a copy."""
        return self.frame.copy()

    @property
    def labels(self) -> list[str]:
        """(m,) names of the rows within their part of the table."""
        rows = self.frame[list(self.of)].itertuples(index=False)
        return [" ".join(map(label, row)) for row in rows]

    def contrast(
        self,
        method: Any = "pairwise",
        adjust: str | None = None,
        *,
        reference: Any = 0,
        level: float | None = None,
    ) -> Contrasts:
        """Differences and other contrasts between the rows, within each part of the table.

        Parameters
        ----------
        method : "pairwise"; "reference" (each against one); "consecutive" (each against the one
            before); "poly" (orthogonal polynomials); name -> coefficients; or a matrix (r, k).
        adjust : for the number of tests: "tukey", "sidak", "holm", "bonferroni", "fdr", "mvt"
            (multivariate t) or "none". By default "tukey" for pairwise, "mvt" for reference and
            consecutive, "none" otherwise.
        reference : position or label of the row that "reference" compares with.
        level : of the intervals; that of the means by default.

        Raises
        ------
        DesignError : an unknown method, adjustment or reference; a matrix of the wrong width.
        """
        from henderson.inference.contrasts import contrast

        return contrast(self, method, adjust, reference, level)

    def letters(self, adjust: str = "tukey", alpha: float = 0.05) -> pd.DataFrame:
        """The frame with a compact letter display: rows that share a letter do not differ.

        See `henderson.inference.letters`.
        """
        from henderson.inference.letters import with_letters

        return with_letters(self, adjust, alpha)

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import means_parts

        return means_parts(self)


def emmeans(
    fit: Fit,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: str = "equal",
    ddf: str = "satterthwaite",
    level: float = 0.95,
) -> Means:
    """Estimated marginal means; see `Fit.emmeans`."""
    check_level(level)
    of, parts = _names(specs), _names(by)
    _check_distinct(of, parts)
    grid = reference_grid(fit, [*parts, *of], at)
    share = grid.weights(weights)
    matrix = grid.average(grid.matrix(), share)
    offset = 0.0 if fit.design.offset is None else float(fit.design.offset.mean())
    notes = _notes(fit, grid, weights, of, parts)
    if offset:
        notes.append(f"Offset at its mean, {offset:.4g}.")
    return _result(fit, grid, matrix, offset, "emmean", of, parts, ddf, level, notes)


def slopes(
    fit: Fit,
    variable: str,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: str = "equal",
    ddf: str = "satterthwaite",
    level: float = 0.95,
) -> Means:
    """Slopes of the mean in a covariate; see `Fit.slopes`."""
    check_level(level)
    of = _names(by)
    several = variable in (at or {}) and np.size((at or {})[variable]) > 1
    if several:
        of = (*of, variable)
    grid = reference_grid(fit, of, at)
    axis = next((a for a in (*grid.targets, *grid.others) if a.name == variable), None)
    if axis is None or axis.is_factor:
        kind = "is a factor" if axis else "is no predictor of the fixed part"
        raise DesignError(f"'{variable}' {kind}: a slope needs a covariate.")
    values = fit.design.frame.data[variable].to_numpy(dtype=float)
    step = STEP * float(values.std()) or STEP
    change = grid.matrix({variable: step}) - grid.matrix({variable: -step})
    matrix = grid.average(change / (2.0 * step), grid.weights(weights))
    matrix[np.abs(matrix) < 1e-9 * np.abs(matrix).max(initial=0.0)] = 0.0
    notes = [f"Slopes in {variable}.", *_notes(fit, grid, weights, of, ())]
    return _result(fit, grid, matrix, 0.0, "slope", of, (), ddf, level, notes)


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names from "a", "a:b" or a list of names."""
    if given is None:
        return ()
    if isinstance(given, str):
        return tuple(part.strip() for part in given.replace("*", ":").split(":"))
    return tuple(given)


def _check_distinct(of: Sequence[str], by: Sequence[str]) -> None:
    if not of:
        raise DesignError("Name the predictors whose means are wanted, such as 'treatment'.")
    twice = {name for name in (*of, *by) if (*of, *by).count(name) > 1}
    if twice:
        raise DesignError(f"'{', '.join(sorted(twice))}' is named twice.")


def _result(
    fit: Fit,
    grid: Grid,
    matrix: np.ndarray,
    offset: float,
    estimate: str,
    of: tuple[str, ...],
    by: tuple[str, ...],
    ddf: str,
    level: float,
    notes: list[str],
) -> Means:
    ddf, constant = used_method(fit, ddf), np.full(len(matrix), offset)
    numbers = linear_functions(fit, matrix, ddf)
    numbers["estimate"] += constant
    reach = [t_quantile(0.5 + level / 2.0, v) for v in numbers["df"]] * numbers["std_error"]
    numbers["lower"], numbers["upper"] = numbers["estimate"] - reach, numbers["estimate"] + reach
    frame = pd.concat(
        [grid.cells[[*of, *by]], numbers.rename(columns={"estimate": estimate})], axis=1
    )
    if np.isnan(matrix).any():
        notes.append("Missing: cannot be estimated, since combinations of levels do not occur.")
    return Means(fit, frame, matrix, constant, estimate, of, by, ddf, level, tuple(notes))


def linear_functions(fit: Fit, matrix: np.ndarray, ddf: str) -> pd.DataFrame:
    """estimate, std_error and df of rows (m, p) of functions of the fixed effects."""
    method = ddf_method(fit, ddf)
    variances = np.einsum("mp,pq,mq->m", matrix, method.cov_beta, matrix)
    return pd.DataFrame(
        {
            "estimate": matrix @ fit.optimum.beta,
            "std_error": np.sqrt(variances),
            "df": [
                method.joint(r[None])[0] if v > 0 else np.nan
                for r, v in zip(matrix, variances, strict=True)
            ],
        }
    )


# ---- what the table does not show


def _notes(fit: Fit, grid: Grid, weights: str, of: Sequence[str], by: Sequence[str]) -> list[str]:
    out = []
    averaged = [a.name for a in grid.averaged]
    if averaged:
        out.append(f"Averaged over the levels of {', '.join(averaged)} ({weights} weights).")
    held = [f"{a.name} = {_value(a.values[0])}" for a in grid.others if len(a.values) == 1]
    if held:
        out.append(f"Held at {', '.join(held)}.")
    meeting = _interacting(fit, (*of, *by), averaged)
    if meeting:
        out.append(
            f"Interactions of {', '.join(meeting)} with what was averaged over may be hidden."
        )
    scale = response_scale(fit.design)
    if scale:
        out.append(f"On the scale of {scale}.")
    return out


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _interacting(fit: Fit, targets: Sequence[str], averaged: Sequence[str]) -> list[str]:
    """Targets that share a term of the fixed part with a predictor averaged over."""
    state = fit.design.fixed.spec.state
    terms = [] if state is None else [set(names(str(t)).variables) for t in state.terms]
    return [t for t in targets if any(t in term and term & set(averaged) for term in terms)]
