"""What fits and columns of a table offer to the package maketables, which finds it by these names.

`maketables.ETable(hd.table([fit, ...]).columns)` shows them beside models of other packages;
neither imports the other. A fit has the hooks too, but as it also has statsmodels' names,
releases of maketables that ask for these first take it for a result of statsmodels.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

# A fit inherits this class, so its module loads nothing of the rooms above the fit.
if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit
    from henderson.tables.model_column import ModelColumn

_COLUMNS = {
    "estimate": "b",
    "std_error": "se",
    "statistic": "t",
    "p_value": "p",
    "lower": "ci95l",
    "upper": "ci95u",
}
# Measures under names that maketables has labels for, and labels for the others.
_NAMES = {"nobs": "N", "r2_adjusted": "adj_r2", "log_lik": "ll"}
_LABELS = {
    "r2_marginal": "R\N{SUPERSCRIPT TWO} marginal",
    "r2_conditional": "R\N{SUPERSCRIPT TWO} conditional",
    "icc": "ICC",
    "npar": "Parameters",
    "method": "Estimated by",
}
# Shown when asked for.
_OTHERS = ("npar",)


class Maketables:
    """The hooks; that for absorbed fixed effects is absent, as a mixed model has none."""

    @cached_property
    def _column(self) -> ModelColumn:
        """The numbers, with Satterthwaite's df and 95 % intervals."""
        from henderson.tables.model_column import model_column

        return model_column(cast("Fit", self), "", "satterthwaite", 0.95)

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        """Fixed effects (p, 6): b, se, t, p, ci95l, ci95u."""
        table = self._column.fixed[list(_COLUMNS)]
        return table.rename(columns=_COLUMNS).rename_axis("Coefficient")

    @property
    def __maketables_depvar__(self) -> str:
        return self._column.response

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        """Standard errors come from the model's covariance, not from clusters."""
        return {"vcov_type": "model-based", "clustervar": None}

    def __maketables_stat__(self, key: str) -> float | str | None:
        """A statistic; None if this model has none of that name."""
        return _statistics(self._column).get(key)

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return dict(_LABELS)

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        """Parameters of the random effects, groups, and measures of the fit."""
        return [key for key in _statistics(self._column) if key not in _OTHERS]


def _statistics(column: ModelColumn) -> dict[str, float | str]:
    """By key; parameters and groups have the labels of a table for keys."""
    parameters = column.random | column.residual
    found: dict[str, float | str] = {str(key): value for key, value in parameters.items()}
    found |= {f"Groups ({name})": count for name, count in column.groups.items()}
    found |= {_NAMES.get(name, name): value for name, value in column.measures.items()}
    return found | {"method": column.method}
