"""Random mixed-model designs: how many evaluations a fit takes, and whether a lower optimum exists.

Each design has one to three grouping factors (nested, crossed, partially crossed), terms of width
one to three, unequal group sizes, sometimes weights, sometimes predictors scaled by 1e-6 or 1e6,
and random-effect covariances that are often of low rank. Every fit is compared with descents from
several other starts. Run: python benchmarks/random_designs.py [--count 1000] [--seed 20261122]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from henderson.covariance import make_structure
from henderson.engine.optimise import Evaluated, Optimum, optimise
from henderson.engine.problem import Grouping, Standard, Term, standardise
from henderson.engine.trust_region import minimise

TERMS = [[1], [1], [2], [2], [3], [1, 1], [1, 2]]


@dataclass(frozen=True)
class Case:
    """One design, and what was drawn for it."""

    number: int
    problem: Standard
    kind: str
    scaled: bool
    weighted: bool


def make_case(number: int, rng: np.random.Generator) -> Case:
    kind = str(rng.choice(["one", "one", "nested", "crossed"]))
    scaled, weighted = bool(rng.random() < 0.15), bool(rng.random() < 0.25)
    n = int(rng.integers(60, 600))
    groupings = _groupings(kind, n, rng)
    factor = float(rng.choice([1e-6, 1e6])) if scaled else 1.0
    x = np.column_stack([np.ones(n)] + [g.z[:, -1] * factor for g in groupings[:1]])
    x = x if groupings[0].size > 1 else np.column_stack([x[:, :1], rng.normal(size=n) * factor])
    groupings = [
        Grouping(g.codes, g.n_levels, g.z * np.r_[1.0, np.full(g.size - 1, factor)], g.terms)
        for g in groupings
    ]
    weights = rng.gamma(2.0, 0.5, size=n) + 0.05 if weighted else None
    y = _response(x, groupings, factor, weights, rng)
    return Case(number, standardise(y, x, groupings, weights), kind, scaled, weighted)


def _groupings(kind: str, n: int, rng: np.random.Generator) -> list[Grouping]:
    first = int(rng.integers(4, max(5, n // 5)))
    if kind == "one":
        return [_grouping(_codes(n, first, rng), TERMS[rng.integers(len(TERMS))], rng)]
    if kind == "nested":
        inner = _codes(n, first, rng)
        parent = rng.integers(0, max(3, first // 4), inner.max() + 1)
        terms = [TERMS[rng.integers(4)], [1]]
        return [_grouping(c, t, rng) for c, t in zip([inner, parent[inner]], terms, strict=True)]
    other = _codes(n, int(rng.integers(4, 20)), rng)
    terms = [TERMS[rng.integers(4)], TERMS[rng.integers(3)]]
    return [
        _grouping(c, t, rng) for c, t in zip([_codes(n, first, rng), other], terms, strict=True)
    ]


def _codes(n: int, levels: int, rng: np.random.Generator) -> np.ndarray:
    shares = rng.gamma(rng.choice([0.7, 3.0, 50.0]), size=levels)
    codes = rng.choice(levels, n, p=shares / shares.sum())
    return np.unique(codes, return_inverse=True)[1]


def _grouping(codes: np.ndarray, widths: list[int], rng: np.random.Generator) -> Grouping:
    codes = np.unique(codes, return_inverse=True)[1]
    n, size = len(codes), sum(widths)
    shift = rng.choice([0.0, 0.0, 5.0])
    z = np.column_stack([np.ones(n)] + [rng.normal(size=n) + shift for _ in range(size - 1)])
    ends = np.cumsum([0, *widths])
    terms = tuple(
        Term(slice(int(a), int(b)), make_structure("us", int(b - a))) for a, b in pairwise(ends)
    )
    return Grouping(codes, int(codes.max()) + 1, z, terms)


def _response(x, groupings, factor, weights, rng) -> np.ndarray:
    y = (
        10.0
        + x[:, 1] / factor
        + rng.normal(size=len(x)) / np.sqrt(1.0 if weights is None else weights)
    )
    for g in groupings:
        rank = int(rng.integers(0, g.size + 1))
        root = rng.normal(size=(g.size, rank)) * rng.choice([0.1, 0.5, 2.0])
        effects = rng.normal(size=(g.n_levels, rank)) @ root.T
        y = y + np.einsum(
            "nk,nk->n", g.z / np.r_[1.0, np.full(g.size - 1, factor)], effects[g.codes]
        )
    return y


def lowest(optimum: Optimum, rng: np.random.Generator, starts: int = 4) -> float:
    """The lowest criterion that descents from other starts reach."""

    def evaluate(phi: np.ndarray) -> Evaluated:
        return Evaluated(optimum.cross, optimum.layout, optimum.reml, phi)

    values = []
    for _ in range(starts):
        phi = rng.normal(size=len(optimum.at.phi)) * rng.choice([0.1, 1.0, 5.0])
        values.append(minimise(evaluate, evaluate(phi), tolerance=1e-11).point.value)
    return min(values)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=20261122)
    options.add_argument("--starts", type=int, default=4)
    args = options.parse_args()
    rng = np.random.default_rng(args.seed)
    rows = []
    for number in range(args.count):
        case = make_case(number, rng)
        optimum = optimise(case.problem, True)
        gap = optimum.at.value - lowest(optimum, rng, args.starts) if args.starts else 0.0
        rows.append((case, optimum, gap))
    report(rows)


def report(rows: list[tuple[Case, Optimum, float]]) -> None:
    counts = np.array([o.verdict.evaluations for _, o, _ in rows])
    gaps = np.array([g for *_, g in rows])
    cases = [c for c, *_ in rows]
    print(
        f"{len(rows)} designs: singular {_share(o.is_singular for _, o, _ in rows)}, "
        f"crossed {_share(c.kind == 'crossed' for c in cases)}, "
        f"scaled {_share(c.scaled for c in cases)}, weighted {_share(c.weighted for c in cases)}"
    )
    median, ninety, hundredth, most = np.quantile(counts, [0.5, 0.9, 0.99, 1.0])
    print(
        f"evaluations: median {median:.0f}, 90 % {ninety:.0f}, 99 % {hundredth:.0f}, "
        f"max {most:.0f}; at most 10: {_share(counts <= 10)}"
    )
    print(f"not converged: {sum(not o.verdict.converged for _, o, _ in rows)}")
    above = int((gaps > 1e-7).sum())
    print(f"above the lowest of the other starts by > 1e-7: {above}, worst {gaps.max():.2g}")
    print("\nthe ten worst, by gap and by evaluations")
    for i in np.lexsort((-counts, -np.maximum(gaps, 1e-7)))[:10]:
        case, optimum, gap = rows[i]
        print(
            f"  #{case.number:<5} {case.kind:<8} n={optimum.cross.n:<5} "
            f"sizes={optimum.cross.sizes} evaluations={counts[i]} gap={gap:.2g} "
            f"singular={optimum.is_singular}"
        )


def _share(flags: Iterable[bool]) -> str:
    return f"{100 * np.mean(list(flags)):.1f} %"


if __name__ == "__main__":
    main()
