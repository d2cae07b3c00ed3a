"""The assumptions of a fit, one by one, with a verdict in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from henderson.diagnostics.precision import Precision, RowVariances, has_residual, precision
from henderson.diagnostics.residuals import DETERMINED

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

Verdict = Literal["fine", "look", "problem"]
# Chances, where the model is right, below which a check says "look" or "problem": a table has ten
# checks, and each should be silent unless there is something to see.
LOOK, PROBLEM = 0.01, 0.001


@dataclass(frozen=True)
class Check:
    """One assumption.

    Attributes
    ----------
    name : what is checked.
    statistic, value : the measure, by name and number.
    p_value : how often so much is seen where the assumption holds; NaN if the measure is no test.
    verdict : "fine", "look" or "problem".
    meaning : what was found, one sentence.
    advice : what to do about it, one sentence; what the check is good for, where all is fine.
    """

    name: str
    statistic: str
    value: float
    p_value: float
    verdict: Verdict
    meaning: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}. {self.meaning} {self.advice}"


@dataclass(frozen=True)
class Checks:
    """The checks of one fit.

    Attributes
    ----------
    formula : of the model.
    checks : in the order of the table.
    """

    formula: str
    checks: tuple[Check, ...]

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def __getitem__(self, name: str) -> Check:
        """The check called `name`."""
        return {c.name: c for c in self.checks}[name]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        found = {c.verdict for c in self.checks}
        return "problem" if "problem" in found else "look" if "look" in found else "fine"

    def of(self, *verdicts: Verdict) -> tuple[Check, ...]:
        """The checks with one of these verdicts."""
        return tuple(c for c in self.checks if c.verdict in verdicts)

    def to_frame(self) -> pd.DataFrame:
        """One row a check: name, statistic, value, p_value, verdict, meaning, advice."""
        import pandas as pd

        columns = list(Check.__dataclass_fields__)
        return pd.DataFrame(
            [[getattr(c, k) for k in columns] for c in self.checks], columns=columns
        )

    def __str__(self) -> str:
        from henderson.diagnostics.printing import checks_text

        return checks_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.diagnostics.printing import checks_html

        return checks_html(self)


@dataclass(frozen=True)
class Material:
    """A fit, and what several checks look at."""

    fit: Fit

    @cached_property
    def precision(self) -> Precision:
        return precision(self.fit)

    @cached_property
    def variances(self) -> RowVariances:
        return self.precision.variances()

    @cached_property
    def s2(self) -> float:
        """Residual variance in standard coordinates."""
        return self.fit.optimum.factorisation.s2(self.fit.optimum.reml)

    @cached_property
    def studentised(self) -> np.ndarray:
        """Studentised conditional residuals (n,); NaN where the other rows determine one."""
        own = self.variances.conditional
        sd = np.sqrt(np.where(own > DETERMINED, own, np.nan))
        return self.fit.residuals("pearson").to_numpy() * self._error_sd / sd

    @cached_property
    def uncorrelated(self) -> np.ndarray:
        """Residuals (n,) that are independent but for the estimation, of variance about one."""
        if self.fit.optimum.layout.residual is None:
            return self.studentised
        return self.fit.residuals("normalized").to_numpy()

    @cached_property
    def _error_sd(self) -> np.ndarray:
        """Roots (n,) of the diagonal of R in standard coordinates."""
        single = np.arange(self.fit.nobs)[:, None]
        return np.sqrt(self.precision.residual_covariances(single)[:, 0, 0])


def judge(p: float, size: float, small: float, large: float) -> Verdict:
    """A finding counts only if it is unlikely by chance and large enough to matter."""
    if p < PROBLEM and size >= large:
        return "problem"
    return "look" if p < LOOK and size >= small else "fine"


def check(fit: Fit) -> Checks:
    """Look at every assumption that the fit's data can speak of; see `Fit.check`."""
    from henderson.diagnostics import distribution, mean_structure, state

    material = Material(fit)
    of_estimation = (
        *state.residual_variance(material),
        *state.singularity(material),
        *state.few_levels(material),
        *state.convergence(material),
    )
    if not has_residual(fit):
        return Checks(fit.formula, of_estimation)
    found = (
        *distribution.normality(material),
        *distribution.normality_of_effects(material),
        *distribution.homogeneity(material),
        *mean_structure.linearity(material),
        *mean_structure.independence(material),
        *distribution.outliers(material),
        *mean_structure.influential(material),
        *mean_structure.collinearity(material),
    )
    return Checks(fit.formula, found + of_estimation)
