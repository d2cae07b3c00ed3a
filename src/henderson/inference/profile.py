"""Profile likelihood of every parameter: zeta curves and the intervals they give.

With d the -2 log-likelihood minimised over all other parameters,

    zeta(v) = sign(v - estimate) sqrt(d(v) - d(estimate)),

and the interval of level 1 - alpha is where |zeta| stays below the normal quantile of 1 - alpha/2
(Bates, Maechler, Bolker & Walker 2015, JSS 67(1), section 5.1). The likelihood is the full one (ML)
also for a REML fit, whose criterion says nothing about fixed effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from scipy import special

from henderson.errors import DesignError, FitError, did_you_mean
from henderson.inference.profile_paths import (
    LowerDeviance,
    Path,
    again_from,
    is_plain,
    ml_optimum,
    paths,
)
from henderson.inference.profile_structures import structured_paths
from henderson.inference.wald import check_level
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.engine.optimise import Optimum
    from henderson.fit import Fit

KINDS = ("fixed", "sigma", "sd", "cor", "structure")
# Curves reach a little beyond the 99 % limits, in steps of a quarter of zeta.
REACH, STEP = 2.75, 0.25
Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False, repr=False)
class Profile(Printed):
    """Profile likelihood of some parameters of a fit.

    Attributes
    ----------
    curves : one row a point: parameter, kind ("fixed", "sigma", "sd", "cor", "structure" for other
        parameters of structured terms and residuals), value, zeta.
    estimates : maximum likelihood estimates by parameter; a correlation with an effect without
        variance has none (NaN).
    """

    curves: pd.DataFrame
    estimates: pd.Series
    _paths: tuple[Path, ...] = field(repr=False)

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Limits (columns lower, upper) by parameter, solved for, not interpolated.

        A limit at the end of a parameter's range (a standard deviation of zero, a correlation of
        -1 or 1) says that the likelihood there is still too high to exclude it.
        """
        return limits(self._paths, level)

    def to_frame(self) -> pd.DataFrame:
        """The curves, a copy."""
        return self.curves.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import estimates_grid

        table = self.confint()
        table.insert(0, "estimate", self.estimates)
        return ["Profile likelihood (ML), 95 % limits", estimates_grid(table)]


def profile(fit: Fit, which: str | Iterable[str] | None = None) -> Profile:
    """Zeta curves of the parameters; see `Fit.profile`.

    Raises
    ------
    DesignError : a name that is no parameter.
    FitError : the model has no profile (a variance of the fitted values, an iterative fit).
    """
    import pandas as pd

    def curves(chosen: tuple[Path, ...]) -> Profile:
        drawn = [(path, *path.curve(REACH, STEP)) for path in chosen]
        parts = [
            pd.DataFrame({"parameter": p.name, "kind": p.kind, "value": v, "zeta": z})
            for p, v, z in drawn
        ]
        estimates = pd.Series({p.name: p.estimate for p in chosen}, name="estimate", dtype=float)
        return Profile(pd.concat(parts, ignore_index=True), estimates, chosen)

    return _from_the_lowest(fit, which, curves)


def profile_intervals(
    fit: Fit, which: str | Iterable[str] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Profile limits (columns lower, upper) by parameter, without the curves."""
    check_level(level)
    return _from_the_lowest(fit, which, lambda chosen: limits(chosen, level))


def limits(chosen: Iterable[Path], level: float) -> pd.DataFrame:
    """Limits of each path: the ends of its range where zeta does not reach the quantile."""
    import pandas as pd

    check_level(level)
    q = float(special.ndtri(0.5 + level / 2.0))
    rows = {p.name: (p.limit(-1, q), p.limit(1, q)) for p in chosen}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["lower", "upper"], dtype=float)


def _from_the_lowest(
    fit: Fit, which: str | Iterable[str] | None, work: Callable[[tuple[Path, ...]], Answer]
) -> Answer:
    """Do the work from the ML optimum, and again from a better one if a path comes upon it."""
    ml = ml_optimum(fit)
    for _ in range(3):
        try:
            return work(_chosen(fit, ml, which))
        except LowerDeviance as found:
            ml = again_from(ml, found.phi)
    raise FitError(
        "The profile keeps finding lower deviances than the fit's: the likelihood has many "
        "optima. Simplify the random effects."
    )


def _chosen(fit: Fit, ml: Optimum, which: str | Iterable[str] | None) -> tuple[Path, ...]:
    walks = paths if is_plain(ml) else structured_paths
    if which is None:
        return walks(fit, ml)
    wanted = [which] if isinstance(which, str) else list(which)
    plain = {"fixed", "sigma", *fit.design.names}
    every = walks(fit, ml, terms=not plain.issuperset(wanted))
    known = [*(p.name for p in every), *KINDS]
    for name in wanted:
        if name not in known:
            raise DesignError(
                f"The fit has no parameter '{name}' to profile: {did_you_mean(name, known)}"
            )
    return tuple(p for p in every if p.name in wanted or p.kind in wanted)
