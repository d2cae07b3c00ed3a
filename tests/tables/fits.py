"""Fits that several files of tests print, made once."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

import henderson as hd
from henderson.fit import Fit

FORMULAS = {
    "sleep": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "sleep_diag": ("sleepstudy", "Reaction ~ Days + (Days || Subject)"),
    "sleep_wide": ("sleepstudy", "Reaction ~ C(Days) + (1 | Subject)"),
    "score": ("classroom_scores", "score ~ edu + (1 | classroom)"),
    "score_slope": ("classroom_scores", "score ~ edu + (edu | classroom)"),
    "crossed": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "machines": ("machines", "score ~ Machine + (0 + Machine | Worker)"),
    "nested": ("oats", "yield ~ nitro * Variety + (1 | Block/Variety)"),
    "lm": ("classroom_scores", "score ~ edu * classroom"),
    "lm_no_intercept": ("classroom_scores", "score ~ 0 + classroom"),
}


@cache
def fit_of(name: str, method: str = "REML") -> Fit:
    """A fit of `FORMULAS`."""
    data, formula = FORMULAS[name]
    maker = hd.lmm if "|" in formula else hd.lm
    return maker(formula, hd.load_dataset(data), method=method)


@cache
def wide_fit(columns: int = 120) -> Fit:
    """A linear model with more fixed effects than anybody reads."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=400), "g": np.arange(400) % columns})
    return hd.lm("y ~ C(g)", data)
