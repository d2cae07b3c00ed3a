"""Checks of the estimation itself: boundary, number of levels, convergence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from henderson.diagnostics.checks import Check, Material, Verdict
from henderson.diagnostics.precision import has_residual
from henderson.verdicts import FEW_LEVELS

# From so many levels on a variance is estimated with some precision.
SOME_LEVELS = 10


def residual_variance(m: Material) -> Iterator[Check]:
    """A residual variance of zero, which leaves nothing else to check."""
    if has_residual(m.fit):
        return
    meaning = "The residual variance is estimated as zero: the random effects explain every row."
    advice = "Give the model fewer random effects; its standard errors mean nothing."
    yield Check("residual variance", "sigma", m.fit.sigma, np.nan, "problem", meaning, advice)


def singularity(m: Material) -> Iterator[Check]:
    """Covariance matrices of deficient rank, from the fit's own notes."""
    if not m.fit.design.random:
        return
    notes = [n for n in m.fit.notes if n.kind == "singular"]
    if notes:
        verdict: Verdict = "look"
        meaning, advice = notes[0].text, notes[0].advice
    else:
        verdict, meaning = "fine", "All variances and correlations are inside their bounds."
        advice = "Nothing to do."
    share = float(len(notes))
    yield Check("singularity", "singular terms", share, np.nan, verdict, meaning, advice)


def few_levels(m: Material) -> Iterator[Check]:
    """The smallest number of levels of a grouping factor."""
    counts = m.fit.n_groups
    if not counts:
        return
    name = min(counts, key=lambda g: counts[g])
    count = counts[name]
    verdict: Verdict = "fine"
    meaning, advice = "Every grouping factor has levels enough.", "Nothing to do."
    if count < SOME_LEVELS:
        verdict = "problem" if count < FEW_LEVELS else "look"
        meaning = f"{count} levels of {name} tell little of the variance between levels."
        advice = (
            f"Make {name} a fixed effect, unless its levels are a sample of many."
            if verdict == "problem"
            else "Give fit.confint('profile') of the variance, and Kenward-Roger's degrees of "
            "freedom for the fixed effects."
        )
    yield Check("number of levels", "levels", float(count), np.nan, verdict, meaning, advice)


def convergence(m: Material) -> Iterator[Check]:
    """Whether the optimum is one."""
    found = m.fit.optimum.verdict
    notes = [n for n in m.fit.notes if n.kind == "convergence"]
    if found.converged or not notes:
        verdict: Verdict = "fine"
        meaning, advice = "The optimum meets its first- and second-order conditions.", ""
    else:
        verdict, meaning, advice = "problem", notes[0].text, notes[0].advice
    advice = advice or "Nothing to do."
    yield Check("convergence", "step left", found.decrease, np.nan, verdict, meaning, advice)
