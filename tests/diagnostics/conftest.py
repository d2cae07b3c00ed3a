"""Fits that the diagnostics are tested on, and their dense matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

import henderson as hd
from henderson.fit import Fit


def _weighted_rat_pup() -> Fit:
    data = hd.load_dataset("rat_pup")
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(data))
    formula = "weight ~ treatment * sex + litter_size + (1 | litter)"
    return hd.lmm(formula, data, method="ML", weights=weights)


MODELS = {
    "sleepstudy": lambda: hd.lmm(
        "Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy")
    ),
    "sleepstudy ML": lambda: hd.lmm(
        "Reaction ~ Days + (Days || Subject)", hd.load_dataset("sleepstudy"), method="ML"
    ),
    "rat pup": lambda: hd.lmm(
        "weight ~ treatment * sex + litter_size + (1 | litter)", hd.load_dataset("rat_pup")
    ),
    "weighted rat pup": _weighted_rat_pup,
    "penicillin": lambda: hd.lmm(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin")
    ),
    "pastes": lambda: hd.lmm("strength ~ 1 + (1 | batch/cask)", hd.load_dataset("pastes")),
    "machines": lambda: hd.lmm(
        "score ~ Machine + (1 | Worker/Machine)", hd.load_dataset("machines")
    ),
    "orthodont AR(1)": lambda: hd.lmm(
        "distance ~ age * Sex + (1 | Subject)",
        hd.load_dataset("orthodont"),
        correlation="ar1(1 | Subject)",
        variance="ident(Sex)",
    ),
    "orthodont GLS": lambda: hd.lm(
        "distance ~ age * Sex", hd.load_dataset("orthodont"), correlation="cs(1 | Subject)"
    ),
    "OLS": lambda: hd.lm("score ~ edu", hd.load_dataset("classroom_scores")),
}


@cache
def model(name: str) -> Fit:
    return MODELS[name]()


@pytest.fixture(params=list(MODELS))
def fit(request: pytest.FixtureRequest) -> Fit:
    """Every model in turn."""
    return model(request.param)


@dataclass(frozen=True)
class Dense:
    """A fit's n x n matrices, sigma^2 included, and y less the offset."""

    X: np.ndarray
    y: np.ndarray
    V: np.ndarray
    R: np.ndarray
    reml: bool

    @property
    def C(self) -> np.ndarray:
        return np.linalg.inv(self.X.T @ np.linalg.solve(self.V, self.X))

    @property
    def P(self) -> np.ndarray:
        half = np.linalg.solve(self.V, self.X)
        return np.linalg.inv(self.V) - half @ self.C @ half.T

    def without(self, left_out: np.ndarray) -> Dense:
        """The same model of the other rows."""
        rows = np.flatnonzero(~left_out)
        both = np.ix_(rows, rows)
        return Dense(self.X[rows], self.y[rows], self.V[both], self.R[both], self.reml)

    @property
    def beta(self) -> np.ndarray:
        return self.C @ self.X.T @ np.linalg.solve(self.V, self.y)

    @property
    def llf(self) -> float:
        """The (restricted) log-likelihood of V, up to a term that X'X has in it."""
        r = self.y - self.X @ self.beta
        d = np.linalg.slogdet(self.V)[1] + r @ np.linalg.solve(self.V, r)
        d += (len(r) - self.reml * self.X.shape[1]) * np.log(2.0 * np.pi)
        return float(-0.5 * (d - self.reml * np.linalg.slogdet(self.C)[1]))


@pytest.fixture
def dense(fit: Fit) -> Dense:
    return dense_of(fit)


def dense_of(fit: Fit) -> Dense:
    design = fit.design
    y = design.y if design.offset is None else design.y - design.offset
    return Dense(design.X, y, fit.V().to_numpy(), fit.R().to_numpy(), fit.method == "REML")
