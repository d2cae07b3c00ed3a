"""Our side: fits of henderson, timed inside this process.

Run by `run.py` and `compare.py` as: python ours.py FOLDER FORMULA
"""

from __future__ import annotations

import inspect
import platform
import sys
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import columns
import numpy as np
from serve import Facts, Unavailable, serve, timed

import henderson as hd


class Ours:
    """One table and one formula, and what can be timed on them."""

    def __init__(self, folder: str, formula: str) -> None:
        self.frame = columns.read(Path(folder))
        self.formula = formula
        warm_up()

    def whole(self) -> Any:
        return hd.lmm(self.formula, self.frame)

    @cached_property
    def first(self) -> Any:
        """A fit that is made once, off the clock."""
        return self.whole()

    def fit(self, _: int) -> Facts:
        """The whole call: formula and data frame in, result out."""
        seconds, found = timed(self.whole)
        return {"seconds": seconds} | facts(found)

    def numeric(self, _: int) -> Facts:
        return numeric_part(self.first)

    def degrees_of_freedom(self, method: str) -> Facts:
        """Degrees of freedom of every fixed effect, the fit being there already."""
        found = self.whole()
        seconds, df = timed(lambda: found.degrees_of_freedom(method), least=0.0)
        return {"seconds": seconds, "df": ",".join(f"{v:.10g}" for v in df)} | facts(found)

    def kenward_roger(self, _: int) -> Facts:
        return self.degrees_of_freedom("kenward-roger")

    def satterthwaite(self, _: int) -> Facts:
        return self.degrees_of_freedom("satterthwaite")

    def refits(self, count: int) -> Facts:
        """Refits to `count` responses drawn from the fitted model; drawing is off the clock."""
        from henderson.engine.many import fit_many

        design = self.first.design
        responses = simulate(self.first, count)
        groupings = [grouping(f) for f in design.random]
        seconds, found = timed(
            lambda: fit_many(responses, design.X, groupings, None, True), least=0.0
        )
        mean, most = float(np.mean(found.evaluations)), int(np.max(found.evaluations))
        return {
            "seconds": seconds,
            "evaluations": f"{mean:.1f} (most {most})",
            "failed": len(found.failures),
        }

    def correlation(self, _: int) -> Facts:
        """AR(1) residuals within the grouping factor, the whole call."""
        if "correlation" not in inspect.signature(hd.lmm).parameters:
            raise Unavailable("hd.lmm takes no correlation yet")
        seconds, found = timed(self.correlated)
        return {"seconds": seconds} | facts(found)

    def correlation_numeric(self, _: int) -> Facts:
        return numeric_part(self.first_correlated)

    def correlated(self) -> Any:
        structure = f"ar1({self.formula.rsplit('(', 1)[1]}"
        return hd.lmm(self.formula, self.frame, correlation=structure)

    @cached_property
    def first_correlated(self) -> Any:
        return self.correlated()


def numeric_part(found: Any) -> Facts:
    """From y, X, codes and positions to the optimum: standardising, cross-products, descent."""
    from henderson.model import fit_design

    seconds, _found = timed(lambda: fit_design(found.design, "REML"))
    return {"seconds": seconds}


def facts(found: Any) -> Facts:
    return {
        "criterion": f"{found.criterion:.10f}",
        "evaluations": found.optimum.verdict.evaluations,
        "converged": found.converged,
    }


def simulate(found: Any, count: int, seed: int = 1) -> np.ndarray:
    """Responses (n, count) drawn from the fitted model."""
    rng = np.random.default_rng(seed)
    design = found.design
    out = found.sigma * rng.normal(size=(design.n, count))
    out += (design.X @ found.optimum.beta)[:, None]
    for factor, sigma in zip(design.random, found.optimum.sigmas, strict=True):
        values, vectors = np.linalg.eigh(sigma)
        root = found.sigma * vectors * np.sqrt(np.clip(values, 0.0, None))
        b = rng.normal(size=(count, len(factor.levels), len(values))) @ root.T
        out += np.einsum("nk,mnk->nm", factor.z, b[:, factor.codes])
    return out


def grouping(factor: Any) -> Any:
    """A grouping factor as the engine takes it."""
    from henderson.covariance import make_structure
    from henderson.engine.problem import Grouping, Term

    terms = tuple(
        Term(slot.columns, make_structure(slot.term.structure, len(slot.names)))
        for slot in factor.slots
    )
    return Grouping(factor.codes, len(factor.levels), factor.z, terms)


def warm_up() -> None:
    """Load what the first fit loads, on other data."""
    rng = np.random.default_rng(0)
    g, h = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    y = rng.normal(size=6)[g] + rng.normal(size=8)[h] + rng.normal(size=48)
    data = {"warm_y": y, "warm_g": g, "warm_h": h}
    hd.lmm("warm_y ~ 1 + (1 | warm_g) + (1 | warm_h)", data)


def versions(_: int) -> Facts:
    """What runs here; `file` tells which copy of henderson was imported."""
    from henderson.engine import kernels

    return {
        "henderson": f"{hd.__version__} ({kernels.backend()} kernels, {kernels.instruction_set()})",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "pandas", "formulaic")},
        "file": str(hd.__file__),
    }


def main() -> None:
    side = Ours(sys.argv[1], sys.argv[2])
    serve(
        {
            "fit": side.fit,
            "numeric": side.numeric,
            "kenward-roger": side.kenward_roger,
            "satterthwaite": side.satterthwaite,
            "refits": side.refits,
            "correlation": side.correlation,
            "correlation-numeric": side.correlation_numeric,
            "versions": versions,
        }
    )


if __name__ == "__main__":
    main()
