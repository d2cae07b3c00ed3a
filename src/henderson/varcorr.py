"""Variances and correlations of the random effects, as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from henderson.natural import Structured
from henderson.tables.printed import Printed, Shown


@dataclass(frozen=True, repr=False)
class VarCorr(Printed):
    """Covariance of the random effects by grouping factor, and the residual standard deviation.

    Attributes
    ----------
    cov : group -> DataFrame (K, K), in squared units of the response; zeros between terms.
    terms : (group, names) per random term, in the formula's order.
    sigma : residual standard deviation.
    structured : the terms with a structure, and its parameters.
    """

    cov: dict[str, pd.DataFrame]
    terms: tuple[tuple[str, tuple[str, ...]], ...]
    sigma: float
    structured: tuple[Structured, ...] = ()

    def __getitem__(self, group: str) -> pd.DataFrame:
        return self.cov[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cov)

    @property
    def sd(self) -> dict[str, pd.Series]:
        """Standard deviations by group."""
        return {g: pd.Series(np.sqrt(np.diag(c)), index=c.index) for g, c in self.cov.items()}

    @property
    def cor(self) -> dict[str, pd.DataFrame]:
        """Correlations by group; not defined (NaN) where a variance is zero."""
        return {g: _correlation(c) for g, c in self.cov.items()}

    def to_frame(self) -> pd.DataFrame:
        """One row a variance or covariance: group, name1, name2, vcov, and sd or correlation."""
        rows = [row for group, names in self.terms for row in self._rows(group, names)]
        rows.append(("Residual", None, None, self.sigma**2, self.sigma))
        return pd.DataFrame(rows, columns=["group", "name1", "name2", "vcov", "sdcor"])

    def _rows(self, group: str, names: tuple[str, ...]) -> list[tuple]:
        cov, cor = self.cov[group], self.cor[group]
        rows: list[tuple] = [
            (group, a, None, cov.loc[a, a], float(np.sqrt(cov.loc[a, a]))) for a in names
        ]
        for i, a in enumerate(names):
            rows += [(group, a, b, cov.loc[b, a], cor.loc[b, a]) for b in names[i + 1 :]]
        return rows

    def _parts(self) -> list[Shown]:
        from henderson.tables.console import varcorr_parts

        return varcorr_parts(self)

    def __str__(self) -> str:
        from henderson.tables.console import varcorr_text

        return varcorr_text(self)


def _correlation(cov: pd.DataFrame) -> pd.DataFrame:
    sd = np.sqrt(np.diag(cov))
    outer = np.outer(sd, sd)
    values = np.divide(cov.to_numpy(), outer, out=np.full(cov.shape, np.nan), where=outer > 0)
    return pd.DataFrame(values, index=cov.index, columns=cov.columns)
