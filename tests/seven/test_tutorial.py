"""The printed walk through the tutorial, and the identities that its lessons show."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.fit import Fit
from henderson.seven.lessons import gls, lessons, penalised, six_rows
from henderson.seven.tutorial import tutorial_approaches, tutorial_text


@cache
def text() -> str:
    return tutorial_text()


@cache
def fit() -> Fit:
    return hd.lmm("score ~ edu + (1 | classroom)", hd.load_dataset("classroom_scores"))


def test_it_fits_a_terminal() -> None:
    assert max(map(len, text().splitlines())) <= 80


def test_it_goes_through_the_seven_in_order() -> None:
    titles = [f"{i}. {a.label}\n" for i, a in enumerate(tutorial_approaches(), start=1)]
    lessons = ["All seven\n", "The model on six rows", "generalised least squares", "ML against"]
    places = [text().index(t) for t in [*titles, *lessons, "Shrinkage is a ridge penalty"]]
    assert places == sorted(places)


def section(title: str) -> str:
    """From one title to the next."""
    after = text().partition(title + "\n===")[2]
    return after.partition("\n===")[0]


FIGURES = {
    "1. LM-Global (biased)": ["lm(score ~ edu)", "0.232842", "2.1392", "0.0366", "MSE = 7.262"],
    "2. ANCOVA-Inter (biased)": ["lm(score ~ edu + classroom)", "0.130717", "3.4411", "= 0.869"],
    "3. Aggregation": ["6.0734", "7.4977", "0.0844", "MSE = 0.346", "a different question"],
    "4. Hierarchical": ["0.120808", "3.4125", "MSE = 0.004", "0.129084", "0.177567", "0.055772"],
    "5. LMM-Inter": [
        *("lmer(score ~ edu + (1 | classroom))", "3.4538", "56.01", "0.00106", "z = 3.4535"),
        *("-88.8676", "9.427962", "0.869279", "-2.889", "-0.323", "3.212"),
        *("Mean group size         20.0", "Converged                  yes"),
    ],
    "6. ANCOVA-Full (biased)": ["0.129084", "1.9787", "MSE = 0.876", "average slope = 0.120808"],
    "7. LMM-Full (biased)": [
        *("lmer(score ~ edu + (edu | classroom))", "2.9289", "3.88", "0.0445", "z = 2.7570"),
        *("-88.5987", "Singular                   yes", "correlation -1"),
    ],
}


@pytest.mark.parametrize("title", FIGURES)
def test_every_approach_shows_the_figures_of_the_tutorial(title: str) -> None:
    shown = section(title)
    assert [figure for figure in FIGURES[title] if figure not in shown] == []


def test_the_table_is_there() -> None:
    rows = [line.split() for line in section("All seven").splitlines()]
    assert ["LMM-Inter", "0.916211", "0.131193", "3.453478", "z", "0.000553"] in rows
    assert ["LMM-Full", "(biased)", "0.911742", "0.127270", "2.756967", "z", "0.005834"] in rows


# -- the lessons state identities ----------------------------------------------------------------


def test_gls_with_v_known_gives_the_fit() -> None:
    beta, cov = gls(fit())
    np.testing.assert_allclose(beta, fit().params, rtol=1e-9)
    np.testing.assert_allclose(cov, fit().cov_params(), rtol=1e-8)


def test_blups_are_ridge_estimates() -> None:
    penalty = fit().scale / fit().varcorr()["classroom"].iloc[0, 0]
    beta, u = penalised(fit(), penalty)
    np.testing.assert_allclose(beta, fit().params, rtol=1e-8)
    np.testing.assert_allclose(u, fit().ranef()["classroom"]["Intercept"], rtol=1e-8)


def test_a_small_penalty_gives_the_parallel_lines_of_ancova() -> None:
    _, u = penalised(fit(), 1e-9)
    ancova = hd.lm("score ~ edu + classroom", hd.load_dataset("classroom_scores"))
    gaps = [0.0, *(ancova.params[f"classroom[T.{c}]"] for c in ("c1", "c2"))]
    np.testing.assert_allclose(u - u[0], gaps, rtol=1e-6)


def test_a_large_penalty_gives_the_one_line() -> None:
    beta, u = penalised(fit(), 1e12)
    line = hd.lm("score ~ edu", hd.load_dataset("classroom_scores"))
    np.testing.assert_allclose(beta, line.params, rtol=1e-6)
    np.testing.assert_allclose(u, 0.0, atol=1e-9)


def test_six_rows_are_two_of_each_classroom() -> None:
    rows = six_rows(fit())
    assert list(fit().design.random[0].codes[rows]) == [0, 0, 1, 1, 2, 2]
    v = fit().V(rows).to_numpy()
    total = fit().varcorr()["classroom"].iloc[0, 0] + fit().scale
    assert f"{total:.4f}" in section("The model on six rows")
    np.testing.assert_allclose(np.diag(v), total)


def test_the_lessons_hold_for_other_data() -> None:
    sleep = hd.approaches(hd.load_dataset("sleepstudy"), "Reaction", "Days", "Subject")
    said = "\n".join(lessons(sleep))
    assert "18 groups" in said
    assert "classroom" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_lessons_say_when_there_is_nothing_to_shrink() -> None:
    rng = np.random.default_rng(0)
    e = rng.normal(size=(20, 6))
    data = pd.DataFrame({"x": rng.normal(size=120), "g": np.repeat(np.arange(20), 6)})
    data["y"] = data["x"] + (e - e.mean(axis=1, keepdims=True)).ravel()
    said = "\n".join(lessons(hd.approaches(data, "y", "x", "g")))
    assert "all u are zero" in said.replace("\n", " ")
