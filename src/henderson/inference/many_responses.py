"""One model fitted to many responses: a gene, a voxel or a channel each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from henderson.errors import DataError, DesignError, FormulaError
from henderson.inference.ddf import method_name
from henderson.inference.refits import Components, Shared, components, shared_design
from henderson.simulation import blank_design
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import Design

DDF = ("satterthwaite", "residual", "normal")


@dataclass(frozen=True, eq=False, repr=False)
class ManyResults(Printed):
    """Estimates and tests of p fixed effects for m responses; NaN where a fit failed.

    Attributes
    ----------
    responses : (m,) labels; names : (p,) of the fixed effects.
    estimate, std_error, df, statistic, p_value : (m, p).
    p_adjusted : (m, p), p-values adjusted over the responses, effect by effect, so that rejecting
        those below alpha keeps the false discovery rate at alpha (Benjamini & Hochberg 1995).
    sigma, criterion : (m,); components : standard deviations and correlations of random effects.
    converged : (m,); failures : response -> what was wrong with it.
    """

    responses: pd.Index
    names: tuple[str, ...]
    estimate: np.ndarray
    std_error: np.ndarray
    df: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    p_adjusted: np.ndarray
    sigma: np.ndarray
    criterion: np.ndarray
    components: Components
    converged: np.ndarray
    failures: Mapping[Any, str]
    method: str
    ddf: str

    def to_frame(self, term: str | None = None) -> pd.DataFrame:
        """One row a response for one fixed effect, or one row a response and effect.

        Raises
        ------
        DesignError : no such effect.
        """
        import pandas as pd

        if term is None:
            parts = {name: self.to_frame(name) for name in self.names}
            return pd.concat(parts, names=["term", self.responses.name or "response"])
        if term not in self.names:
            raise DesignError(f"No fixed effect '{term}'; there are {', '.join(self.names)}.")
        k = self.names.index(term)
        columns = ("estimate", "std_error", "df", "statistic", "p_value", "p_adjusted")
        return pd.DataFrame({c: getattr(self, c)[:, k] for c in columns}, index=self.responses)

    def _parts(self) -> list[Shown]:
        m = len(self.responses)
        lines: list[Shown] = [f"{m} responses, {self.method}, {self.ddf} df"]
        for k, name in enumerate(self.names):
            found = int((self.p_adjusted[:, k] < 0.05).sum())
            lines.append(f"  {name}: {found} with p < 0.05 after adjustment (FDR)")
        if self.failures:
            lines.append(f"{len(self.failures)} could not be fitted: see .failures.")
        return lines


def lmm_many(
    formula: str,
    data: Any,
    Y: Any,
    *,
    method: Literal["REML", "ML"] = "REML",
    ddf: Literal["satterthwaite", "residual", "normal"] = "satterthwaite",
    weights: Any = None,
    offset: Any = None,
    matrices: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> ManyResults:
    """Fit one linear mixed model to each column of Y.

    Parameters
    ----------
    formula : as in `lmm`; its response, if it has one, is not used: "~ x + (1 | g)".
    data : the predictors and groups, N rows. Rows with a missing value among them are left out.
    Y : (N, m) array or table, its rows those of `data`. A column with a missing value in the rows
        used is not fitted; `failures` says so.
    matrices : known covariances of levels by name, as in `lmm`.
    threads : for models with one grouping factor; the numbers do not depend on it.

    Raises
    ------
    FormulaError : no random terms. DataError : Y has another number of rows, or is not numeric.
    DesignError : an unknown method for df.

    Examples
    --------
    >>> import numpy as np, henderson as hd
    >>> data = hd.load_dataset("sleepstudy")
    >>> Y = np.random.default_rng(1).normal(size=(180, 1000))
    >>> many = hd.lmm_many("~ Days + (Days | Subject)", data, Y)
    >>> many.p_adjusted.shape
    (1000, 2)
    """
    found = method_name(ddf, DDF)
    if method not in ("REML", "ML"):
        raise DesignError(f"Unknown method '{method}': choose 'REML' or 'ML'.")
    design = blank_design(formula, data, weights=weights, offset=offset, matrices=matrices)
    if not design.random:
        raise FormulaError(f"'{formula}' has no random term such as (1 | group): add one.")
    y, labels = _responses(Y, design)
    return _results(shared_design(design, method == "REML"), y, labels, found, threads)


def _responses(given: Any, design: Design) -> tuple[np.ndarray, pd.Index]:
    """Y (n, m) for the rows of the design, and its labels."""
    import pandas as pd

    table = given if isinstance(given, pd.DataFrame) else None
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"Y holds values that are not numbers: {error}.") from error
    if values.ndim == 1:
        values = values[:, None]
    total = design.frame.n_total
    if values.ndim != 2 or len(values) != total:
        raise DataError(f"Y has shape {values.shape}; the data have {total} rows.")
    labels = table.columns if table is not None else pd.RangeIndex(values.shape[1], name="response")
    return values[design.frame.rows], labels


def _results(
    shared: Shared, y: np.ndarray, labels: pd.Index, ddf: str, threads: int
) -> ManyResults:
    p, m = shared.x.shape[1], y.shape[1]
    whole = np.isfinite(y).all(axis=0)
    rows = np.eye(p) if ddf == "satterthwaite" else None
    found = shared.fit(y[:, whole], rows, threads)
    estimate, se = _spread(found.beta, whole), _spread(found.se, whole)
    sigma2 = _spread(found.sigma2, whole)
    if ddf == "satterthwaite":
        df = _spread(found.df, whole)
    else:
        df = np.full((m, p), np.inf if ddf == "normal" else float(len(y) - p))
        df[np.isnan(sigma2)] = np.nan
    statistic = estimate / se
    p_value = t_tail(statistic, df)
    sigmas = tuple(_spread(s, whole) for s in found.sigmas)
    natural = _spread(found.natural, whole)
    places = np.flatnonzero(whole)
    failures = {labels[i]: "missing or infinite values" for i in np.flatnonzero(~whole)}
    failures |= {labels[places[i]]: text for i, text in found.failures.items()}
    return ManyResults(
        labels, shared.names, estimate, se, df, statistic, p_value, false_discovery(p_value),
        np.sqrt(sigma2), _spread(found.criterion, whole),
        components(shared, sigmas, sigma2, natural),
        _spread(found.converged, whole) == 1.0, failures, "REML" if shared.reml else "ML", ddf,
    )  # fmt: skip


def _spread(values: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Rows of the fitted responses at their places among all, NaN elsewhere."""
    out = np.full((len(whole), *values.shape[1:]), np.nan)
    out[whole] = values
    return out


def t_tail(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p-values of t statistics; infinite df are normal."""
    finite = np.where(np.isinf(df), 1.0, df)
    tails = special.stdtr(finite, -np.abs(statistic))
    return 2.0 * np.where(np.isinf(df), special.ndtr(-np.abs(statistic)), tails)


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values of each column (m, p); NaN are left out."""
    out = np.full(p_values.shape, np.nan)
    for k in range(p_values.shape[1]):
        known = np.flatnonzero(np.isfinite(p_values[:, k]))
        order = known[np.argsort(p_values[known, k])[::-1]]
        ranks = np.arange(len(order), 0, -1)
        raised = p_values[order, k] * len(order) / ranks
        out[order, k] = np.minimum(np.minimum.accumulate(raised), 1.0)
    return out
