"""Do 95 % intervals cover 95 %? 2,000 data sets from a small unbalanced design.

    python benchmarks/coverage.py [number of data sets]

Ten clinics of 3 to 12 patients; the treatment is given to whole clinics (four of the ten), the
covariate varies within them. Wald intervals with Kenward-Roger's and Satterthwaite's degrees of
freedom are set beside those of the normal distribution. In the second model the slope differs by
clinic, which ten clinics hardly tell: many of its fits are singular.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

import henderson as hd

MODELS = {
    "y ~ treated + x + (1 | clinic)": np.array([[1.0]]),
    "y ~ treated + x + (x | clinic)": np.array([[1.0, 0.2], [0.2, 0.25]]),
}
SIZES = (3, 4, 4, 5, 6, 7, 8, 9, 11, 12)
TREATED = (0, 3, 5, 9)
BETA = {"Intercept": 10.0, "treated": 1.0, "x": 0.5}
METHODS = ("kenward-roger", "satterthwaite", "normal")
SEED = 20_251


def design() -> pd.DataFrame:
    """The predictors, the same in every data set."""
    clinic = np.repeat(np.arange(len(SIZES)), SIZES)
    x = np.random.default_rng(SEED).normal(size=len(clinic))
    return pd.DataFrame({"clinic": clinic, "treated": np.isin(clinic, TREATED).astype(int), "x": x})


def coverage(formula: str, cov: np.ndarray, count: int) -> pd.DataFrame:
    """Share of data sets whose interval holds the true value, by coefficient and method."""
    data = design()
    draws = hd.simulate(
        formula, data, params=BETA, cov={"clinic": cov}, sigma=1.0, nsim=count, seed=SEED
    )
    first = hd.lmm(formula, data.assign(y=draws["sim_1"]))
    truth = pd.Series(BETA)[list(first.params.index)]
    hits = {m: np.zeros(len(truth)) for m in METHODS}
    widths = {m: np.zeros(len(truth)) for m in METHODS}
    singular = 0
    for name in draws.columns:
        fit = first.refit(draws[name].to_numpy())
        singular += fit.is_singular
        for method in METHODS:
            interval = fit.conf_int(ddf=method)
            hits[method] += (interval["lower"] <= truth) & (truth <= interval["upper"])
            widths[method] += interval["upper"] - interval["lower"]
    table = pd.DataFrame({m: hits[m] / count for m in METHODS}, index=truth.index)
    for method in METHODS:
        table[f"width, {method}"] = widths[method] / count
    table.attrs["singular"] = singular
    return table


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    error = np.sqrt(0.95 * 0.05 / count)
    print(f"{count} data sets of {sum(SIZES)} rows in {len(SIZES)} clinics")
    print(f"Monte-Carlo standard error of a share of 0.95: {error:.4f}")
    for formula, cov in MODELS.items():
        start = time.perf_counter()
        table = coverage(formula, cov, count)
        seconds = time.perf_counter() - start
        print(f"\n{formula}")
        print(table.round(4).to_string())
        print(f"{table.attrs['singular']} singular fits; {seconds:.0f} s")


if __name__ == "__main__":
    main()
