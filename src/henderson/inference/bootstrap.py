"""The bootstrap: parametric, by residuals, or by whole clusters.

Replicates are made in blocks of a fixed size, each with its own stream of random numbers, so the
result depends on the seed alone and not on the number of workers. Responses of one design are
fitted together (`engine.many`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from henderson.engine.many import natural_values
from henderson.errors import DesignError, FitError
from henderson.inference.bootstrap_intervals import INTERVALS, interval
from henderson.inference.refits import (
    Again,
    Components,
    Shared,
    components,
    is_structured,
    shared_of,
)
from henderson.inference.resampling import CaseProcess, case_process, residual_process
from henderson.inference.wald import check_level
from henderson.simulation import check_count, process_of
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.engine.optimise import Optimum
    from henderson.fit import Fit

KINDS = ("parametric", "residual", "case")
BLOCK_NUMBERS, BLOCK_MOST = 2_000_000, 500
SLOW = 2.0  # seconds before a progress bar shows


@dataclass(frozen=True)
class Block:
    """The fits of one block of replicates; NaN where one failed."""

    beta: np.ndarray
    sigma2: np.ndarray
    sigmas: tuple[np.ndarray, ...]
    converged: np.ndarray
    failures: tuple[str, ...]
    residual: np.ndarray
    natural: np.ndarray

    def __len__(self) -> int:
        return len(self.sigma2)


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Printed):
    """Estimates of nsim replicates.

    Attributes
    ----------
    fixed : (nsim, p) fixed effects, named `fixed_names`; sigma : (nsim,).
    components : standard deviations, correlations and theta of the random effects, with names; of
        structured terms their own parameters, "sd|ar1(1 | g)", "rho|ar1(1 | g)".
    residual : (nsim, r) parameters of structured residuals, named `residual_names`.
    estimate : the fit's own estimates, by name.
    converged : (nsim,); failures : what was wrong with the replicates that could not be fitted,
        whose rows are NaN.
    kind : "parametric", "residual" or "case".
    """

    fixed: np.ndarray
    fixed_names: tuple[str, ...]
    sigma: np.ndarray
    components: Components
    residual: np.ndarray
    residual_names: tuple[str, ...]
    estimate: pd.Series
    converged: np.ndarray
    failures: tuple[str, ...]
    kind: str
    _fit: Fit
    _cluster: Any

    @property
    def nsim(self) -> int:
        return len(self.sigma)

    @property
    def n_singular(self) -> int:
        return int(self.components.singular.sum())

    @property
    def n_not_converged(self) -> int:
        return int((~self.converged).sum()) - len(self.failures)

    def to_frame(self) -> pd.DataFrame:
        """One row a replicate: sds, correlations, residual parameters, sigma, fixed effects."""
        import pandas as pd

        c = self.components
        values = np.column_stack([c.sd, c.cor, c.natural, self.residual, self.sigma, self.fixed])
        names = [
            *c.sd_names,
            *c.cor_names,
            *c.natural_names,
            *self.residual_names,
            "sigma",
            *self.fixed_names,
        ]
        return pd.DataFrame(values, columns=names)

    def confint(
        self,
        level: float = 0.95,
        method: Literal["percentile", "basic", "normal", "bca"] = "percentile",
    ) -> pd.DataFrame:
        """Intervals (columns lower, upper) by parameter; replicates that failed are left out.

        Parameters
        ----------
        method : "percentile"; "basic", the percentiles reflected at the estimate; "normal", with
            the bootstrap's bias and standard error; "bca", bias-corrected and accelerated, which
            fits the model once more without each cluster.

        Raises
        ------
        DesignError : an unknown method; "bca" where there are no independent clusters.
        """
        import pandas as pd

        check_level(level)
        if method not in INTERVALS:
            raise DesignError(f"Unknown method '{method}': choose {', '.join(INTERVALS)}.")
        table = self.to_frame()
        jackknife = self._jackknife() if method == "bca" else None
        rows = {}
        for name in table.columns:
            draws = table[name].to_numpy()
            others = None if jackknife is None else jackknife[name].to_numpy()
            rows[name] = interval(draws, float(self.estimate[name]), level, method, others)
        return pd.DataFrame.from_dict(rows, orient="index", columns=["lower", "upper"])

    def _jackknife(self) -> pd.DataFrame:
        """Estimates without each cluster, (G, parameters)."""
        cases = case_process(self._fit, self._cluster)
        block = _gather(cases.shared, (_attempt(cases.without, g) for g in range(cases.n_clusters)))
        return _result(self._fit, cases.shared, [block], "case", self._cluster).to_frame()

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import estimates_grid

        table = self.confint()
        frame = self.to_frame()
        table.insert(0, "estimate", self.estimate)
        table.insert(1, "bias", frame.mean() - self.estimate)
        table.insert(2, "std_error", frame.std(ddof=1))
        heading = f"{self.kind.capitalize()} bootstrap, {self.nsim} replicates"
        counts = (
            (self.n_singular, "singular"),
            (self.n_not_converged, "not converged"),
            (len(self.failures), "failed and left out"),
        )
        said = [f"{count} {word}" for count, word in counts if count]
        return [heading, estimates_grid(table), *([", ".join(said) + "."] if said else [])]


def bootstrap(
    fit: Fit,
    nsim: int = 1000,
    seed: int | np.random.Generator | None = None,
    kind: str = "parametric",
    workers: int = 1,
    cluster: Any = None,
) -> Bootstrap:
    """See `Fit.bootstrap`.

    Raises
    ------
    DesignError : unknown kind; crossed factors and no `cluster` for the case bootstrap.
    FitError : structured residuals and not parametric; not one replicate could be fitted.
    """
    check_count(nsim)
    if kind not in KINDS:
        raise DesignError(f"Unknown kind '{kind}' of bootstrap: choose {', '.join(KINDS)}.")
    shared = shared_of(fit)
    task: Task[Block]
    if is_structured(fit):
        if kind != "parametric":
            raise FitError("Structured residuals have the parametric bootstrap only.")
        task = AgainTask(
            Again(fit.design, fit.optimum.reml),
            shared,
            process_of(fit),
            len(residual_parameters(fit.optimum)),
        )
    elif kind == "case":
        task = CaseTask(case_process(fit, cluster))
    else:
        process = process_of(fit) if kind == "parametric" else residual_process(fit)
        task = ResponseTask(shared, process, workers if shared.compiled else 1)
    in_threads = isinstance(task, ResponseTask) and shared.compiled
    pool = 1 if in_threads else workers
    blocks = list(run_blocks(task, nsim, fit.nobs, seed, pool))
    result = _result(fit, shared, blocks, kind, cluster)
    if len(result.failures) == nsim:
        raise FitError(f"Not one replicate could be fitted: {result.failures[0]}")
    return result


def _result(fit: Fit, shared: Shared, blocks: list[Block], kind: str, cluster: Any) -> Bootstrap:
    sigma2 = np.concatenate([b.sigma2 for b in blocks])
    sigmas = tuple(np.concatenate(parts) for parts in zip(*(b.sigmas for b in blocks), strict=True))
    return Bootstrap(
        fixed=np.concatenate([b.beta for b in blocks]),
        fixed_names=tuple(fit.design.names),
        sigma=np.sqrt(sigma2),
        components=components(shared, sigmas, sigma2, np.concatenate([b.natural for b in blocks])),
        residual=np.concatenate([b.residual for b in blocks]),
        residual_names=tuple(residual_parameters(fit.optimum)),
        estimate=own_estimates(fit, shared),
        converged=np.concatenate([b.converged for b in blocks]),
        failures=tuple(f for b in blocks for f in b.failures),
        kind=kind,
        _fit=fit,
        _cluster=cluster,
    )


def own_estimates(fit: Fit, shared: Shared) -> pd.Series:
    """The fit's sds, correlations, residual parameters, sigma and fixed effects, by name."""
    import pandas as pd

    sigmas = tuple(s[None] for s in fit.optimum.sigmas)
    natural = natural_values(fit.optimum)[None]
    own = components(shared, sigmas, np.array([fit.scale]), natural)
    residual = residual_parameters(fit.optimum)
    values = [
        own.sd[0],
        own.cor[0],
        own.natural[0],
        [*residual.values()],
        [fit.sigma],
        fit.optimum.beta,
    ]
    names = [
        *own.sd_names,
        *own.cor_names,
        *own.natural_names,
        *residual,
        "sigma",
        *fit.design.names,
    ]
    return pd.Series(np.concatenate(values), index=names, name="estimate")


def residual_parameters(optimum: Optimum) -> dict[str, float]:
    """The parameters of a structured residual as people read them: "name|part" -> value."""
    layout = optimum.layout
    if layout.residual is None:
        return {}
    parts = layout.residual.natural(layout.residual_part(optimum.at.phi))
    return {f"{name}|{part}": v for part, own in parts.items() for name, v in own.items()}


# ---- blocks


class Process(Protocol):
    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray: ...


class Counted(Protocol):
    """What a task makes: anything with a length."""

    def __len__(self) -> int: ...


Answer = TypeVar("Answer", bound=Counted, covariant=True)


class Task(Protocol[Answer]):
    """Make `count` replicates from one stream of random numbers."""

    def __call__(self, seed: np.random.SeedSequence, count: int) -> Answer: ...


@dataclass(frozen=True)
class ResponseTask:
    """Draw responses and fit them all on the shared design."""

    shared: Shared
    process: Process
    threads: int

    def __call__(self, seed: np.random.SeedSequence, count: int) -> Block:
        y = self.process.draw(np.random.default_rng(seed), count)
        found = self.shared.fit(y, threads=self.threads)
        failures = tuple(found.failures.values())
        none = np.zeros((count, 0))
        return Block(
            found.beta, found.sigma2, found.sigmas, found.converged, failures, none, found.natural
        )


@dataclass(frozen=True)
class AgainTask:
    """Draw responses and fit them one by one."""

    model: Again
    shared: Shared
    process: Process
    n_residual: int

    def __call__(self, seed: np.random.SeedSequence, count: int) -> Block:
        y = self.process.draw(np.random.default_rng(seed), count)
        found = (f if isinstance(f, str) else f.optimum for f in self.model.each(y))
        return _gather(self.shared, found, self.n_residual)


@dataclass(frozen=True)
class CaseTask:
    """Draw clusters and fit each resample."""

    process: CaseProcess

    def __call__(self, seed: np.random.SeedSequence, count: int) -> Block:
        rng = np.random.default_rng(seed)
        return _gather(
            self.process.shared, (_attempt(self.process.draw, rng) for _ in range(count))
        )


def _attempt(fit: Callable[..., Optimum], *arguments: Any) -> Optimum | str:
    """The optimum, or what is wrong."""
    try:
        return fit(*arguments)
    except (FitError, np.linalg.LinAlgError) as error:
        return str(error)


def _gather(shared: Shared, found: Iterable[Optimum | str], n_residual: int = 0) -> Block:
    every = list(found)
    m, p = len(every), shared.x.shape[1]
    beta, sigma2 = np.full((m, p), np.nan), np.full(m, np.nan)
    sigmas = tuple(np.full((m, g.size, g.size), np.nan) for g in shared.groupings)
    converged = np.zeros(m, dtype=bool)
    residual = np.full((m, n_residual), np.nan)
    natural = np.full((m, sum(len(term.natural) for term in shared.terms)), np.nan)
    for i, optimum in enumerate(every):
        if isinstance(optimum, str):
            continue
        natural[i] = natural_values(optimum)
        residual[i] = list(residual_parameters(optimum).values())
        beta[i], sigma2[i] = optimum.beta, optimum.sigma2
        for to, sigma in zip(sigmas, optimum.sigmas, strict=True):
            to[i] = sigma
        converged[i] = optimum.verdict.converged
    failures = tuple(e for e in every if isinstance(e, str))
    return Block(beta, sigma2, sigmas, converged, failures, residual, natural)


def run_blocks(
    task: Task[Answer], n: int, rows: int, seed: int | np.random.Generator | None, workers: int
) -> Iterator[Answer]:
    """n replicates in blocks, in order; with a progress bar on a terminal when it takes long."""
    from tqdm import tqdm

    size = max(1, min(BLOCK_MOST, BLOCK_NUMBERS // max(rows, 1)))
    counts = [min(size, n - start) for start in range(0, n, size)]
    seeds = _root_seed(seed).spawn(len(counts))
    with tqdm(total=n, disable=None, delay=SLOW, leave=False, desc="bootstrap") as bar:
        for block in _run(task, seeds, counts, workers):
            bar.update(len(block))
            yield block


def _run(
    task: Task[Answer], seeds: list[np.random.SeedSequence], counts: list[int], workers: int
) -> Iterator[Answer]:
    if workers <= 1 or len(counts) == 1:
        yield from map(task, seeds, counts)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(task, seeds, counts)


def _root_seed(seed: int | np.random.Generator | None) -> np.random.SeedSequence:
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(int(seed.integers(2**63)))
    return np.random.SeedSequence(seed)
