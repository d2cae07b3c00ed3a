"""Power of a test of a fixed effect, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from henderson.errors import DesignError, FitError, did_you_mean
from henderson.inference.bootstrap import run_blocks
from henderson.inference.ddf import method_name
from henderson.inference.many_responses import t_tail
from henderson.inference.refits import Again, Shared, shared_design
from henderson.simulation import (
    Process,
    blank_design,
    check_count,
    coefficients,
    process_from,
    process_of,
)
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import Design
    from henderson.fit import Fit

DDF = ("satterthwaite", "kenward-roger", "residual", "normal")


@dataclass(frozen=True, eq=False, repr=False)
class Power(Printed):
    """Power of the two-sided t-test of one fixed effect.

    Attributes
    ----------
    table : one row an effect size: effect, power, lower, upper (Wilson's interval, for the error of
        simulation), nsim (fits that count), failed (fits that could not be made, left out).
    term, ddf, alpha : what was tested and how; level : of the interval.
    """

    table: pd.DataFrame
    term: str
    ddf: str
    alpha: float
    level: float

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import frame_grid

        heading = f"Power of the t-test of {self.term} at {self.alpha:g} ({self.ddf} df)"
        return [heading, frame_grid(self.table, {c: c for c in self.table}, labels=0)]


def power(
    model: Any,
    term: str,
    *,
    effect: Any = None,
    nsim: int = 1000,
    alpha: float = 0.05,
    ddf: Literal["satterthwaite", "kenward-roger", "residual", "normal"] = "satterthwaite",
    seed: int | np.random.Generator | None = None,
    workers: int = 1,
    level: float = 0.95,
    data: Any = None,
    params: Any = None,
    sigma: float | None = None,
    sd: Any = None,
    cov: Any = None,
    method: Literal["REML", "ML"] = "REML",
) -> Power:
    """How often a fixed effect would be found, in responses drawn from a model.

    Parameters
    ----------
    model : a fit, whose design and estimates are used; or a formula, with `data`, `params`,
        `sigma`, and `sd` or `cov` as in `henderson.simulate`, for a study still to be made.
    term : the name of the fixed effect.
    effect : its true value, or several for a power curve; the model's own if None. The null
        hypothesis is zero.
    nsim : responses drawn for each value of `effect`.
    alpha : of the two-sided test, whose degrees of freedom are found by `ddf`.
    level : of the interval for the Monte-Carlo error.

    Raises
    ------
    DesignError : no such effect, arguments that do not fit the kind of model.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    >>> found = hd.power(fit, "Days", effect=5.0, nsim=200, seed=1)
    >>> bool(0.7 < found.table["power"].item() < 1.0)
    True
    """
    import pandas as pd

    check_count(nsim)
    how = method_name(ddf, DDF)
    _check(alpha, level)
    setting = {"data": data, "params": params, "sigma": sigma, "sd": sd, "cov": cov}
    design, process, beta, reml = _model(model, setting, method)
    k = _position(term, design.names)
    effects = np.atleast_1d(beta[k] if effect is None else np.asarray(effect, dtype=float))
    shared = shared_design(design, reml)
    rows = []
    for value in effects:
        own = replace(process, mean=process.mean + (value - beta[k]) * design.X[:, k])
        p = _p_values(_task(design, shared, own, k, how, workers), nsim, design.n, seed, workers)
        rows.append((float(value), *_summary(p, alpha, level)))
    columns = ["effect", "power", "lower", "upper", "nsim", "failed"]
    return Power(pd.DataFrame(rows, columns=columns), term, how, alpha, level)


def _position(term: str, names: Sequence[str]) -> int:
    if term not in names:
        raise DesignError(f"The model has no fixed effect '{term}': {did_you_mean(term, names)}")
    return list(names).index(term)


def _check(alpha: float, level: float) -> None:
    for name, value in (("alpha", alpha), ("level", level)):
        if not 0.0 < value < 1.0:
            raise DesignError(f"{name} lies between 0 and 1, not {value}.")


def _model(
    model: Any, setting: dict[str, Any], method: str
) -> tuple[Design, Process, np.ndarray, bool]:
    """Design, process, fixed effects and whether REML, of a fit or a formula."""
    from henderson.fit import Fit

    given = [name for name, value in setting.items() if value is not None]
    if isinstance(model, Fit):
        if given:
            raise DesignError(f"A fit brings its own {', '.join(given)}: leave them out.")
        return model.design, process_of(model), model.optimum.beta, model.optimum.reml
    if not isinstance(model, str):
        raise DesignError(f"The model is a fit or a formula, not {type(model).__name__}.")
    missing = [name for name in ("data", "params", "sigma") if setting[name] is None]
    if missing:
        raise DesignError(f"For a formula, give {', '.join(missing)} too (see henderson.simulate).")
    if method not in ("REML", "ML"):
        raise DesignError(f"Unknown method '{method}': choose 'REML' or 'ML'.")
    design = blank_design(model, setting.pop("data"))
    process = process_from(design, **setting)
    return design, process, coefficients(setting["params"], design.names), method == "REML"


@dataclass(frozen=True)
class _SharedTask:
    """Draw responses and test the effect in all of them on the shared design."""

    shared: Shared
    process: Process
    k: int
    ddf: str
    threads: int

    def __call__(self, seed: np.random.SeedSequence, count: int) -> np.ndarray:
        y = self.process.draw(np.random.default_rng(seed), count)
        n, p = self.shared.x.shape
        rows = np.eye(p)[self.k : self.k + 1] if self.ddf == "satterthwaite" else None
        found = self.shared.fit(y, rows, self.threads)
        if rows is not None:
            df = found.df[:, 0]
        else:
            df = np.full(count, np.inf if self.ddf == "normal" else float(n - p))
        statistic = found.beta[:, self.k] / found.se[:, self.k]
        return t_tail(statistic, df)


@dataclass(frozen=True)
class _FitTask:
    """The same by whole fits, for methods that need them."""

    model: Again
    process: Process
    k: int
    ddf: str

    def __call__(self, seed: np.random.SeedSequence, count: int) -> np.ndarray:
        y = self.process.draw(np.random.default_rng(seed), count)
        row = np.eye(self.model.design.p)[self.k]
        fits = self.model.each(y)
        return np.array([np.nan if isinstance(f, str) else self._p_value(f, row) for f in fits])

    def _p_value(self, fit: Fit, row: np.ndarray) -> float:
        return fit.test(row, ddf=self.ddf).p_value  # type: ignore[arg-type]


def _task(
    design: Design, shared: Shared, process: Process, k: int, ddf: str, workers: int
) -> _SharedTask | _FitTask:
    if ddf == "kenward-roger" and not shared.reml:
        raise DesignError("Kenward-Roger's adjustment is made for REML: use method='REML'.")
    if ddf == "kenward-roger" or design.residual is not None:
        return _FitTask(Again(design, shared.reml), process, k, ddf)
    return _SharedTask(shared, process, k, ddf, workers if shared.compiled else 1)


def _p_values(
    task: _SharedTask | _FitTask,
    nsim: int,
    rows: int,
    seed: int | np.random.Generator | None,
    workers: int,
) -> np.ndarray:
    """p-values (nsim,); workers are processes where the task does not use threads."""
    threaded = isinstance(task, _SharedTask) and task.shared.compiled
    return np.concatenate(list(run_blocks(task, nsim, rows, seed, 1 if threaded else workers)))


def _summary(p: np.ndarray, alpha: float, level: float) -> tuple[float, float, float, int, int]:
    known = p[np.isfinite(p)]
    found, n = int((known < alpha).sum()), len(known)
    if not n:
        raise FitError("Not one of the responses drawn could be fitted.")
    return found / n, *wilson(found, n, level), n, len(p) - n


def wilson(found: int, n: int, level: float) -> tuple[float, float]:
    """Wilson's (1927) interval of a proportion found / n."""
    z = float(special.ndtri(0.5 + level / 2.0))
    share, bend = found / n, z**2 / n
    centre = (share + bend / 2.0) / (1.0 + bend)
    reach = z * np.sqrt(share * (1.0 - share) / n + bend / (4.0 * n)) / (1.0 + bend)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))
