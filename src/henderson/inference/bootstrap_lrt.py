"""Comparing two models by the parametric bootstrap of their likelihood ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import FitError
from henderson.inference.bootstrap import run_blocks
from henderson.inference.lrt import comparable_fits, likelihood_ratio
from henderson.inference.nesting import check_same_data
from henderson.inference.refits import Again, Shared, is_structured, shared_of
from henderson.simulation import Process, check_count, process_of
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    from henderson.fit import Fit


@dataclass(frozen=True, eq=False, repr=False)
class BootstrapComparison(Printed):
    """The likelihood-ratio test of a small model within a big one, by simulation.

    Attributes
    ----------
    statistic : twice the gain in log-likelihood; df : the difference in parameters.
    null : (nsim,) the statistic in responses drawn from the small model, failed fits left out.
    p_value : (1 + number of null >= statistic) / (1 + nsim) (Davison & Hinkley 1997, section 4.2).
    p_chi2 : of the chi-square with df degrees of freedom, for comparison.
    n_failed : replicates in which a model could not be fitted. method : "REML" or "ML".
    notes : what was done to have comparable likelihoods.
    """

    small: str
    big: str
    statistic: float
    df: int
    null: np.ndarray
    p_value: float
    p_chi2: float
    n_failed: int
    method: str
    notes: tuple[str, ...] = ()

    @property
    def std_error(self) -> float:
        """Monte-Carlo standard error of the p-value."""
        return float(np.sqrt(self.p_value * (1.0 - self.p_value) / len(self.null)))

    def _parts(self) -> list[Shown]:
        lines: list[Shown] = [
            f"Parametric bootstrap of the likelihood ratio ({self.method}), {len(self.null)} draws",
            f"  small: {self.small}",
            f"  big:   {self.big}",
            f"  statistic {self.statistic:.4f}, df {self.df}",
            f"  p = {self.p_value:.4g} (Monte-Carlo s.e. {self.std_error:.2g}); "
            f"chi-square p = {self.p_chi2:.4g}",
        ]
        if self.n_failed:
            lines.append(f"  {self.n_failed} draws could not be fitted and are left out.")
        return [*lines, *self.notes]


@dataclass(frozen=True)
class _Task:
    """Draw from the small model and fit both."""

    small: Shared | Again
    big: Shared | Again
    process: Process
    constant: float
    threads: int

    def __call__(self, seed: np.random.SeedSequence, count: int) -> np.ndarray:
        y = self.process.draw(np.random.default_rng(seed), count)
        return self._criteria(self.small, y) - self._criteria(self.big, y) - self.constant

    def _criteria(self, model: Shared | Again, y: np.ndarray) -> np.ndarray:
        if isinstance(model, Again):
            return model.criteria(y)
        return model.fit(y, threads=self.threads).criterion


def _model(fit: Fit) -> Shared | Again:
    return Again(fit.design, fit.optimum.reml) if is_structured(fit) else shared_of(fit)


def bootstrap_lrt(
    small: Fit,
    big: Fit,
    nsim: int = 1000,
    seed: int | np.random.Generator | None = None,
    workers: int = 1,
) -> BootstrapComparison:
    """Test `small` within `big` by responses drawn from `small`.

    Restricted likelihoods are compared where the fixed parts are the same; otherwise both models
    are fitted again by maximum likelihood, and `notes` says so. The result depends on `seed`, not
    on `workers`.

    Raises
    ------
    DesignError : other rows or responses; models that are not nested.
    FitError : no replicate could be fitted.
    """
    check_count(nsim)
    check_same_data((small, big))
    (small, big), notes = comparable_fits([small, big], None)
    test = likelihood_ratio(small, big)
    observed = small.criterion - big.criterion
    models = _model(small), _model(big)
    threaded = all(isinstance(m, Shared) and (m.compiled or not m.groupings) for m in models)
    task = _Task(*models, process_of(small), observed - test.statistic, workers if threaded else 1)
    blocks = run_blocks(task, nsim, small.nobs, seed, 1 if threaded else workers)
    values = np.concatenate(list(blocks))
    null = np.maximum(values[np.isfinite(values)], 0.0)
    if not len(null):
        raise FitError("Not one replicate could be fitted with both models.")
    # A statistic that is zero but for rounding is as large as any.
    above = int((null >= test.statistic - 1e-8 * max(1.0, test.statistic)).sum())
    return BootstrapComparison(
        small.formula, big.formula, test.statistic, test.df, null,
        (1 + above) / (1 + len(null)), test.p_value, nsim - len(null), small.method, tuple(notes),
    )  # fmt: skip
