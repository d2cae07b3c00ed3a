"""What is timed: the data, the model, how often, and what the plan asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from columns import Coded, Table, from_frame, labelled

Operation = Literal["fit", "kenward-roger", "satterthwaite", "refits", "correlation"]
# whole, numeric: how many times faster than R our call, or its numeric part, is to be.
# seconds: CPU seconds that our call may take. megabytes: memory that our process may hold.
Measure = Literal["whole", "numeric", "seconds", "megabytes"]


@dataclass(frozen=True)
class Target:
    """One line of the plan."""

    measure: Measure
    value: float


@dataclass(frozen=True)
class Case:
    """One model on one table.

    make : the table. repeats : rounds, of which the median counts. operation : what is timed; for
    anything but "fit" the model is fitted first, outside the clock. count : responses to refit.
    against : the R package on the other side, None where it is not to be waited for.
    peers : Python packages that are asked too. glmm : how many times faster than glmm to be.
    """

    name: str
    formula: str
    make: Callable[[], Table]
    operation: Operation = "fit"
    repeats: int = 3
    quick: bool = False
    count: int = 0
    against: str | None = "lme4"
    peers: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    glmm: float | None = None


ALL_PEERS = ("glmm", "mixedlm", "statsmodels", "gpboost")


def bundled(name: str, *keep: str) -> Callable[[], Table]:
    """Columns of a data set that comes with henderson."""

    def make() -> Table:
        import henderson as hd

        return from_frame(hd.load_dataset(name)[list(keep)])

    return make


def slopes(n_groups: int, size: int, seed: int) -> Callable[[], Table]:
    """Groups of equal size in random order, a random intercept and slope, correlation 0.3."""

    def make() -> Table:
        rng = np.random.default_rng(seed)
        n = n_groups * size
        codes = rng.permutation(np.repeat(np.arange(n_groups), size))
        x = rng.normal(size=n)
        b = rng.normal(size=(n_groups, 2)) @ np.array([[0.8, 0.15], [0.0, 0.5]])
        y = 1.0 + 0.5 * x + b[codes, 0] + b[codes, 1] * x + rng.normal(size=n)
        return {"y": y, "x": x, "g": labelled(codes, n_groups, "g")}

    return make


def crossed(n: int, sizes: tuple[int, int], seed: int, zipf: bool = False) -> Callable[[], Table]:
    """Two crossed factors with intercepts (sd 0.5 and 0.3); levels equally likely, or by Zipf."""

    def make() -> Table:
        rng = np.random.default_rng(seed)
        a, b = (_levels(n, size, rng, zipf) for size in sizes)
        x = rng.normal(size=n)
        y = 1.0 + 0.5 * x + rng.normal(size=n)
        y += 0.5 * rng.normal(size=sizes[0])[a] + 0.3 * rng.normal(size=sizes[1])[b]
        return {"y": y, "x": x, "a": labelled(a, sizes[0], "a"), "b": labelled(b, sizes[1], "b")}

    return make


def _levels(n: int, n_levels: int, rng: np.random.Generator, zipf: bool) -> np.ndarray:
    """n levels, equally likely, or with shares 1 / (10 + rank)."""
    if not zipf:
        return rng.integers(0, n_levels, n)
    shares = 1.0 / (10.0 + np.arange(n_levels))
    edges = np.cumsum(shares / shares.sum())
    return np.minimum(np.searchsorted(edges, rng.random(n)), n_levels - 1)


def reading_times(n_subjects: int, n_items: int, seed: int) -> Callable[[], Table]:
    """Three two-level predictors, crossed, in a Latin square over subjects and items.

    Eight effects vary over subjects and eight over items, all correlated.
    """

    def make() -> Table:
        rng = np.random.default_rng(seed)
        s, i = (v.ravel() for v in np.indices((n_subjects, n_items)))
        condition = (s + i) % 8
        f1, f2, f3 = (((condition >> k) & 1) - 0.5 for k in range(3))
        z = np.column_stack([np.ones(len(s)), f1, f2, f3, f1 * f2, f1 * f3, f2 * f3, f1 * f2 * f3])
        y = z @ np.array([6.0, 0.3, 0.2, -0.1, 0.1, 0.0, 0.05, 0.0]) + rng.normal(size=len(s))
        for codes, size in ((s, n_subjects), (i, n_items)):
            effects = rng.normal(size=(size, 8)) @ (0.5 * _correlated(8) * np.linspace(1.5, 0.7, 8))
            y = y + np.einsum("nk,nk->n", z, effects[codes])
        subject, item = labelled(s, n_subjects, "s"), labelled(i, n_items, "i")
        return {"y": y, "f1": f1, "f2": f2, "f3": f3, "subject": subject, "item": item}

    return make


def _correlated(size: int) -> np.ndarray:
    """Upper factor of a correlation matrix with 0.3 off the diagonal."""
    return np.linalg.cholesky(0.3 + 0.7 * np.eye(size)).T


def two_slopes(n_subjects: int, n_items: int, seed: int) -> Callable[[], Table]:
    """A two-level predictor whose effect varies over subjects and over items."""

    def make() -> Table:
        rng = np.random.default_rng(seed)
        s, i = (v.ravel() for v in np.indices((n_subjects, n_items)))
        x = ((s + i) % 2) - 0.5
        bs, bi = rng.normal(size=(n_subjects, 2)), rng.normal(size=(n_items, 2))
        y = 2.0 + 0.4 * x + rng.normal(size=len(s))
        y += 0.8 * bs[s, 0] + 0.5 * bs[s, 1] * x + 0.6 * bi[i, 0] + 0.4 * bi[i, 1] * x
        subject, item = labelled(s, n_subjects, "s"), labelled(i, n_items, "i")
        return {"y": y, "x": x, "subject": subject, "item": item}

    return make


def panel() -> Table:
    """200 rows: 20 subjects, 10 visits each; the responses are drawn from the fitted model."""
    rng = np.random.default_rng(11)
    codes = np.repeat(np.arange(20), 10)
    x = np.tile(np.arange(10) / 10.0, 20)
    y = 0.5 + x + rng.normal(size=20)[codes] + 0.5 * rng.normal(size=20)[codes] * x
    subject = Coded(codes.astype(np.int32), tuple(f"s{i + 1}" for i in range(20)))
    return {"y": y + 0.7 * rng.normal(size=200), "x": x, "subject": subject}


SLEEP = "Reaction ~ Days + (Days | Subject)"
INSTEVAL = "y ~ service + (1 | s) + (1 | d)"
CROSSED_SLOPES = "y ~ x + (x | subject) + (x | item)"
MAXIMAL = "y ~ f1 * f2 * f3 + (f1 * f2 * f3 | subject) + (f1 * f2 * f3 | item)"
OVARY = "follicles ~ sin(2 * pi * Time) + cos(2 * pi * Time) + (1 | Mare)"
CROSSED = "y ~ x + (1 | a) + (1 | b)"
sleepstudy = bundled("sleepstudy", "Reaction", "Days", "Subject")

CASES = (
    Case(
        "sleepstudy",
        SLEEP,
        sleepstudy,
        repeats=25,
        quick=True,
        peers=ALL_PEERS,
        targets=(Target("numeric", 300), Target("whole", 10)),
        glmm=1 / 3,
    ),
    Case(
        "penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        bundled("penicillin", "diameter", "plate", "sample"),
        repeats=15,
        quick=True,
        peers=ALL_PEERS,
        glmm=1,
    ),
    Case(
        "pastes",
        "strength ~ 1 + (1 | batch/cask)",
        bundled("pastes", "strength", "batch", "cask"),
        repeats=15,
        quick=True,
        peers=ALL_PEERS,
        glmm=1,
    ),
    Case(
        "insteval_2",
        INSTEVAL,
        bundled("insteval", "y", "service", "s", "d"),
        quick=True,
        peers=ALL_PEERS,
        targets=(Target("whole", 20),),
        glmm=4,
    ),
    Case(
        "insteval_3",
        "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)",
        bundled("insteval", "y", "service", "s", "d", "dept"),
        peers=("glmm", "mixedlm", "gpboost"),
        targets=(Target("whole", 20),),
        glmm=4,
    ),
    Case(
        "insteval_fixed",
        "y ~ service * dept + (1 | s) + (1 | d)",
        bundled("insteval", "y", "service", "s", "d", "dept"),
        peers=("glmm", "mixedlm"),
        targets=(Target("whole", 20),),
        glmm=4,
    ),
    Case(
        "maximal",
        MAXIMAL,
        reading_times(40, 32, seed=5),
        peers=("glmm", "mixedlm"),
        targets=(Target("whole", 20),),
    ),
    Case(
        "slopes_1e6",
        "y ~ x + (x | g)",
        slopes(100_000, 10, seed=1),
        peers=("glmm", "mixedlm", "statsmodels"),
        targets=(Target("whole", 100),),
        glmm=2,
    ),
    Case(
        "crossed_1e6",
        CROSSED,
        crossed(1_000_000, (20_000, 2_000), seed=2),
        peers=("glmm", "mixedlm", "gpboost"),
        targets=(Target("whole", 40),),
        glmm=10,
    ),
    Case(
        "slopes_1e7",
        "y ~ x + (x | g)",
        slopes(1_000_000, 10, seed=3),
        against=None,
        targets=(Target("seconds", 2),),
    ),
    Case(
        "crossed_1e6_zipf",
        CROSSED,
        crossed(1_000_000, (20_000, 8_000), seed=9, zipf=True),
        against=None,
        peers=("gpboost",),
        targets=(Target("seconds", 5),),
    ),
    Case(
        "crossed_1e7",
        CROSSED,
        crossed(10_000_000, (70_000, 10_000), seed=4, zipf=True),
        repeats=1,
        against=None,
        targets=(Target("seconds", 60), Target("megabytes", 3000)),
    ),
    Case(
        "crossed_1e7_large",
        CROSSED,
        crossed(10_000_000, (140_000, 40_000), seed=6, zipf=True),
        repeats=1,
        against=None,
        targets=(Target("seconds", 60), Target("megabytes", 3000)),
    ),
    Case(
        "kr_400",
        CROSSED_SLOPES,
        two_slopes(20, 20, seed=7),
        operation="kenward-roger",
        quick=True,
        against="pbkrtest",
    ),
    Case(
        "kr_1600",
        CROSSED_SLOPES,
        two_slopes(40, 40, seed=8),
        operation="kenward-roger",
        against="pbkrtest",
        targets=(Target("whole", 100),),
    ),
    Case(
        "satterthwaite_insteval",
        INSTEVAL,
        bundled("insteval", "y", "service", "s", "d"),
        operation="satterthwaite",
        against="lmerTest",
    ),
    Case(
        "bootstrap",
        SLEEP,
        sleepstudy,
        operation="refits",
        quick=True,
        count=10_000,
        targets=(Target("whole", 1000),),
    ),
    Case(
        "many_responses",
        "y ~ x + (x | subject)",
        panel,
        operation="refits",
        count=50_000,
        targets=(Target("seconds", 3),),
    ),
    Case(
        "ovary_ar1",
        OVARY,
        bundled("ovary", "follicles", "Time", "Mare"),
        operation="correlation",
        repeats=5,
        quick=True,
        against="nlme",
        targets=(Target("numeric", 50),),
    ),
)
