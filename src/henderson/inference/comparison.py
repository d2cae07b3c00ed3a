"""`henderson.anova`: nested models compared by chi-square theory, or by the bootstrap."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from henderson.errors import DesignError
from henderson.inference import lrt
from henderson.inference.bootstrap_lrt import bootstrap_lrt
from henderson.inference.lrt import ModelComparison

if TYPE_CHECKING:
    from henderson.fit import Fit


def anova(
    *fits: Fit,
    refit: bool | None = None,
    method: Literal["chisq", "bootstrap"] = "chisq",
    nsim: int = 1000,
    seed: int | np.random.Generator | None = None,
    workers: int = 1,
) -> ModelComparison:
    """Compare nested models by likelihood-ratio tests.

    Parameters
    ----------
    fits : two or more fits to the same rows; each must be a special case of the next larger.
    refit : whether to fit REML fits again by maximum likelihood. By default only if the fixed parts
        differ (or some fits are by ML), when restricted likelihoods say nothing; True always does,
        as lme4 does.
    method : "chisq", or "bootstrap", which adds the column p_bootstrap: the share of `nsim`
        responses drawn from the smaller model whose statistic is as large.
    seed, workers : of the bootstrap; the result does not depend on `workers`.

    Raises
    ------
    DesignError : different rows or responses; models that are not nested; `refit=False` where
        restricted likelihoods cannot be compared.

    Examples
    --------
    >>> import henderson as hd
    >>> data = hd.load_dataset("sleepstudy")
    >>> small = hd.lmm("Reaction ~ Days + (1 | Subject)", data)
    >>> big = hd.lmm("Reaction ~ Days + (Days | Subject)", data)
    >>> round(float(hd.anova(small, big).table["statistic"].iloc[1]), 2)
    42.84
    """
    if method not in ("chisq", "bootstrap"):
        raise DesignError(f"Unknown method '{method}' to compare fits: 'chisq' or 'bootstrap'.")
    compared = lrt.compare_nested(*fits, refit=refit)
    if method == "chisq":
        return compared
    generator = np.random.default_rng(seed)
    p = [
        bootstrap_lrt(small, big, nsim, generator, workers).p_value
        for small, big in pairwise(compared.fits)
    ]
    note = f"p_bootstrap: {nsim} responses drawn from the smaller model of each pair."
    return replace(
        compared,
        table=compared.table.assign(p_bootstrap=[np.nan, *p]),
        notes=(*compared.notes, note),
    )
