"""Checks are silent on data that fit the model, and find what is planted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import henderson as hd
from henderson.diagnostics.checks import Material, judge
from henderson.diagnostics.mean_structure import variance_inflation
from henderson.engine.optimise import Optimum
from henderson.errors import FitError

Rng = np.random.Generator
GROUPS, SIZE = 30, 10


def base(rng: Rng) -> dict[str, np.ndarray]:
    g = np.repeat(np.arange(GROUPS), SIZE)
    x = np.tile(np.linspace(0.0, 3.0, SIZE), GROUPS)
    e, b = rng.normal(size=len(g)), rng.normal(size=GROUPS)[g]
    return {"g": g, "x": x, "b": b, "e": e, "y": x + b + e}


def slopes(rng: Rng) -> tuple[str, dict]:
    d = base(rng)
    return "y ~ x + (x | g)", {**d, "y": d["y"] + d["x"] * rng.normal(size=GROUPS)[d["g"]]}


def crossed(rng: Rng) -> tuple[str, dict]:
    s, i = (a.ravel() for a in np.meshgrid(np.arange(20), np.arange(15), indexing="ij"))
    y = rng.normal(size=20)[s] + rng.normal(size=15)[i] + rng.normal(size=300)
    return "y ~ x + (1 | s) + (1 | i)", {"y": y, "x": rng.normal(size=300), "s": s, "i": i}


def unbalanced(rng: Rng) -> tuple[str, dict]:
    g = np.repeat(np.arange(25), rng.integers(3, 12, 25))
    n = len(g)
    t = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
    d = {"g": g, "x": rng.normal(size=n), "w": rng.normal(size=25)[g], "t": t}
    y = d["x"] + d["w"] + rng.normal(size=25)[g] + rng.normal(size=n)
    return "y ~ x + w + t + (1 | g)", {**d, "y": y}


@pytest.mark.parametrize("design", [slopes, crossed, unbalanced])
def test_no_false_alarms(design: Callable[[Rng], tuple[str, dict]]):
    rng = np.random.default_rng(20)
    problems: Counter[str] = Counter()
    looks: Counter[str] = Counter()
    for _ in range(60):
        formula, data = design(rng)
        for one in hd.lmm(formula, pd.DataFrame(data)).check():
            problems[one.name] += one.verdict == "problem"
            looks[one.name] += one.verdict == "look"
    assert max(problems.values()) <= 3
    assert max(looks.values()) <= 6


PLANTED: dict[str, tuple[str, str, Callable[[dict, Rng], dict]]] = {
    "normality of residuals": (
        "y ~ x + (1 | g)", "long tail above",
        lambda d, rng: {"y": d["x"] + d["b"] + rng.exponential(size=len(d["x"])) * 2},
    ),
    "normality of g effects": (
        "y ~ x + (1 | g)", "effects of g",
        lambda d, rng: {"y": d["x"] + 20.0 * (d["g"] == 3) + d["b"] + d["e"]},
    ),
    "homogeneity along fitted": (
        "y ~ x + (1 | g)", "grow with the fitted values",
        lambda d, rng: {"y": 5 * d["x"] + d["b"] + (0.3 + d["x"]) * d["e"]},
    ),
    "homogeneity across g": (
        "y ~ x + (1 | g)", "levels of g",
        lambda d, rng: {"y": d["x"] + d["b"] + np.exp(rng.normal(size=GROUPS))[d["g"]] * d["e"]},
    ),
    "homogeneity across t": (
        "y ~ t + (1 | g)", "levels of t",
        lambda d, rng: {
            "t": np.where(d["g"] % 2, "a", "b"), "y": d["b"] + np.where(d["g"] % 2, 3, 1) * d["e"]
        },
    ),
    "linearity in x": (
        "y ~ x + (1 | g)", "bends upwards along x",
        lambda d, rng: {"y": (d["x"] - 1.5) ** 2 + d["b"] + d["e"]},
    ),
    "outliers": (
        "y ~ x + (1 | g)", "row 7",
        lambda d, rng: {"y": d["y"] + 10.0 * (np.arange(len(d["x"])) == 7)},
    ),
    "collinearity": (
        "y ~ x + z + (1 | g)", "by itself",
        lambda d, rng: {"z": d["x"] + 0.05 * rng.normal(size=len(d["x"]))},
    ),
    "number of levels": (
        "y ~ x + (1 | h)", "3 levels of h",
        lambda d, rng: {"h": d["g"] % 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_named(name: str):
    formula, words, plant = PLANTED[name]
    rng = np.random.default_rng(4)
    data = base(rng)
    found = hd.lmm(formula, pd.DataFrame({**data, **plant(data, rng)})).check()[name]
    assert found.verdict == "problem"
    assert words in found.meaning


def test_autocorrelated_errors_are_found():
    rng = np.random.default_rng(5)
    d = base(rng)
    e = d["e"].reshape(GROUPS, SIZE).copy()
    for k in range(1, SIZE):
        e[:, k] += 0.6 * e[:, k - 1]
    d["y"] = d["x"] + d["b"] + e.ravel()
    found = hd.lmm("y ~ x + (1 | g)", pd.DataFrame(d)).check()["independence"]
    assert found.verdict == "problem"
    assert "ar1(1 | g)" in found.advice
    modelled = hd.lmm("y ~ x + (1 | g)", pd.DataFrame(d), correlation="ar1(1 | g)").check()
    assert modelled["independence"].verdict == "fine"


def test_an_outlying_group_far_from_the_others_is_influential():
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(20), 6)
    w, b = rng.normal(size=20), rng.normal(size=20)
    w[0], b[0] = 6.0, 12.0
    data = pd.DataFrame({"g": g, "w": w[g], "y": b[g] + rng.normal(size=120)})
    found = hd.lmm("y ~ w + (1 | g)", data).check()["influential levels of g"]
    assert found.verdict != "fine"
    assert found.value > 1.0


def test_singular_fits_get_the_fits_own_advice():
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff2"))
    found = fit.check()["singularity"]
    assert found.verdict == "look"
    assert found.meaning in [n.text for n in fit.notes]


def test_curvature_is_the_test_of_the_square_added():
    table = hd.load_dataset("sleepstudy")
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", table)
    larger = hd.lmm("Reaction ~ Days + I(Days**2) + (Days | Subject)", table)
    found = fit.check()["linearity in Days"]
    # The covariance is that of the smaller model, so the two agree but roughly.
    assert_allclose(found.value, larger.tvalues.iloc[2], rtol=0.05)
    assert "linearity in Days" not in [c.name for c in larger.check()]


def test_a_factor_has_no_curvature_and_no_effects_no_groups():
    fit = hd.lm("y ~ t", {"y": [1.0, 2, 3, 4, 6, 5, 8, 7, 9], "t": list("aaabbbccc")})
    names = [c.name for c in fit.check()]
    assert not any(n.startswith("linearity") or "levels" in n for n in names)
    assert "convergence" in names


def test_variance_inflation_is_one_over_one_minus_r2():
    rng = np.random.default_rng(8)
    x = rng.normal(size=100)
    z = x + rng.normal(size=100)
    fit = hd.lm("y ~ x + z", {"y": rng.normal(size=100), "x": x, "z": z})
    expected = 1.0 / (1.0 - np.corrcoef(x, z)[0, 1] ** 2)
    found = variance_inflation(Material(fit))
    assert_allclose(list(found.values()), [expected, expected])


def test_generalised_variance_inflation_does_not_depend_on_the_coding():
    table = hd.load_dataset("rat_pup")
    fits = [
        hd.lmm(f"weight ~ {t} + litter_size + (1 | litter)", table)
        for t in ("treatment", "C(treatment, contr.sum)")
    ]
    first, second = (list(variance_inflation(Material(f)).values()) for f in fits)
    assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("p", [0.5, 0.005, 1e-8])
def test_a_finding_needs_both_chance_and_size(p):
    assert judge(p, 0.0, 0.1, 0.2) == "fine"
    assert judge(0.5, 10.0, 0.1, 0.2) == "fine"
    assert judge(p, 10.0, 0.1, 0.2) == ("fine" if p > 0.01 else "look" if p > 1e-3 else "problem")


def test_the_text_fits_80_columns_and_says_what_to_do(fit):
    found = fit.check()
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert all(c.name in text for c in found)
    plain = " ".join(text.split())
    assert all(" ".join(c.advice.split()) in plain for c in found.of("look", "problem"))
    assert found.verdict in ("fine", "look", "problem")


def test_the_table_is_html_and_a_frame(fit):
    found = fit.check()
    frame = found.to_frame()
    assert len(frame) == len(found)
    assert frame["meaning"].str.endswith(".").all()
    assert frame["advice"].str.endswith(".").all()
    assert found._repr_html_().count("<tr>") == len(found) + 1


def test_a_fit_that_leaves_no_residual_says_so_and_has_no_influence():
    rng = np.random.default_rng(5)
    b = np.repeat(np.arange(60), 4)
    t = np.tile(np.arange(4), 60)
    data = {"b": b, "t": t, "y": rng.normal(size=60)[b] + rng.normal(size=240)}
    fit = hd.lmm("y ~ 1 + cs(0 + t | b)", pd.DataFrame(data))
    whole = replace(fit, optimum=_huge(fit.optimum))
    found = whole.check()
    assert found["residual variance"].verdict == "problem"
    assert "fewer random effects" in str(found)
    with pytest.raises(FitError, match="residual variance is estimated as zero"):
        whole.influence()


def _huge(optimum: Optimum) -> Optimum:
    """The same at random variances beside which the residual's is rounding."""
    phi = optimum.layout.start([1e11 * np.eye(size) for size in optimum.layout.sizes])
    return replace(optimum, at=replace(optimum.at, phi=phi))
