"""One door to the intervals of a fit: Wald, profile likelihood, bootstrap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from henderson.errors import DesignError, did_you_mean
from henderson.inference.bootstrap import bootstrap
from henderson.inference.profile import profile_intervals
from henderson.inference.wald import wald_interval

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

METHODS = ("wald", "profile", "bootstrap")


def confint(
    fit: Fit, method: str, level: float, which: str | Iterable[str] | None, options: dict[str, Any]
) -> pd.DataFrame:
    """Columns lower, upper; see `Fit.confint`.

    Raises
    ------
    DesignError : an unknown method, parameter or option.
    """
    if method not in METHODS:
        raise DesignError(f"Unknown method '{method}' of intervals: choose {', '.join(METHODS)}.")
    if method == "profile":
        _refuse(options, method, ())
        return profile_intervals(fit, which, level)
    if method == "bootstrap":
        _refuse(options, method, ("nsim", "seed", "kind", "workers", "cluster", "interval"))
        how = options.pop("interval", "percentile")
        return _chosen(bootstrap(fit, **options).confint(level, how), which)
    _refuse(options, method, ("ddf",))
    return _chosen(wald_interval(fit, level, options.get("ddf", "satterthwaite")), which)


def _refuse(options: dict[str, Any], method: str, known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it has none."
            raise DesignError(f"'{name}' is no option of method='{method}': {hint}")


def _chosen(table: pd.DataFrame, which: str | Iterable[str] | None) -> pd.DataFrame:
    if which is None:
        return table
    wanted = [which] if isinstance(which, str) else list(which)
    for name in wanted:
        if name not in table.index:
            raise DesignError(
                f"There is no interval of '{name}' here: {did_you_mean(name, table.index)}"
            )
    return table.loc[wanted]
