"""Variance components and tests as tables for a terminal."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables.fits import fit_of

import henderson as hd
from henderson.inference import wald
from henderson.tables import console
from henderson.tables.console import varcorr_text
from henderson.tables.layout import columns_of
from henderson.varcorr import VarCorr

FINITE = st.floats(-1e300, 1e300)
POSITIVE = st.floats(1e-300, 1e300)
NAMES = st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=9, unique=True)


def fits(text: str) -> bool:
    return all(columns_of(line) <= 80 for line in text.split("\n"))


def test_variance_components_in_lme4s_layout() -> None:
    """Bates et al. (2015), J. Stat. Softw. 67(1), section 5: the sleepstudy example."""
    assert varcorr_text(fit_of("sleep").varcorr()).split("\n") == [
        " Groups   Name      Variance Std.Dev. Corr",
        " Subject  Intercept   612.09   24.740",
        "          Days         35.07    5.922 0.07",
        " Residual             654.94   25.592",
    ]


def test_a_correlation_that_the_model_sets_to_zero_is_blank() -> None:
    text = varcorr_text(fit_of("sleep_diag").varcorr())
    assert re.search(r"Days +35\.8\d +5\.98\d$", text, flags=re.MULTILINE)


def test_without_random_effects_only_the_residual_remains() -> None:
    fit = fit_of("lm")
    lines = varcorr_text(fit.varcorr()).split("\n")
    assert [line.split()[0] for line in lines] == ["Groups", "Residual"]
    assert float(lines[1].split()[2]) == pytest.approx(fit.sigma, rel=1e-3)


@given(NAMES, st.text(min_size=1, max_size=60), st.integers(0, 10**6))
def test_variance_components_fit_the_screen(names: list[str], group: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(len(names), len(names))) * 10.0 ** rng.uniform(-20, 20)
    cov = pd.DataFrame(root @ root.T, index=names, columns=names)
    assert fits(varcorr_text(VarCorr({group: cov}, ((group, tuple(names)),), 1e-3)))


def test_many_effects_say_that_correlations_are_left_out() -> None:
    names = tuple(f"x{i}" for i in range(9))
    cov = pd.DataFrame(np.eye(9) + 0.5, index=names, columns=names)
    text = varcorr_text(VarCorr({"g": cov}, (("g", names),), 1.0))
    assert "5 of 8 columns of correlations" in text


def numbers(line: str) -> list[float]:
    return [float(word.lstrip("<")) for word in line.split("= 0")[1].split()]


def test_a_t_test_prints_its_numbers() -> None:
    result = fit_of("score").test("edu")
    c = result.contrasts[0]
    line = next(x for x in str(result).split("\n") if x.startswith("edu"))
    shown = [c.estimate, c.std_error, c.statistic, c.df, c.p_value, c.lower, c.upper]
    assert numbers(line) == pytest.approx(shown, rel=2e-3, abs=5e-5)
    assert "[0.025" in str(result) and "P>|t|" in str(result)
    assert "Joint test" not in str(result)


def test_hypotheses_are_written_as_equations() -> None:
    fit = fit_of("lm")
    edu, c1 = fit.design.names[1:3]
    rows = np.zeros((3, 6))
    rows[0, 1], rows[1, 1:3], rows[2, 3] = 1.0, (-1.0, 1.0), -0.25
    labels = [edu + " = 0", f"{c1} - {edu} = 0", f"-0.25*{fit.design.names[3]} = 0"]
    assert [c.label for c in fit.test(rows).contrasts] == labels
    assert list(fit.test(rows).to_frame().index) == labels
    (given,) = fit.test(f"{edu} = 2*Intercept + 1.5").contrasts
    assert given.label == f"{edu} - 2*Intercept = 1.5"
    assert fit.test(edu).contrasts[0].label == labels[0]
    two = fit.test(f"{c1} = {edu}, {edu} = 0").contrasts
    assert [c.label for c in two] == [labels[1], labels[0]]


def test_any_name_can_stand_in_a_hypothesis() -> None:
    data = hd.load_dataset("sleepstudy").rename(columns={"Days": "my days"})
    fit = hd.lmm("Reaction ~ `my days` + log(`my days` + 1) + (1 | Subject)", data)
    a, b = fit.design.names[1:]
    assert "`" in b
    for text in (f"{a} - 2*{b} = 1", f"`{a}` - 2 * {b} = 1", f"{a} = 1 + 2*{b}"):
        (one,) = fit.test(text).contrasts
        assert one.label == f"{a} - 2*{b} = 1"
        assert one.estimate == pytest.approx(fit.params.iloc[1] - 2 * fit.params.iloc[2])
    with pytest.raises(hd.HendersonError, match="Cannot read the hypothesis 'my day = 1'"):
        fit.test("my day = 1")


def test_long_hypotheses_stand_in_full_above_their_numbers() -> None:
    data = hd.load_dataset("rat_pup")
    fit = hd.lmm("weight ~ treatment * sex + (1 | litter)", data)
    a, b = fit.design.names[-2:]
    result = fit.test([f"{b} - {a} = 0", f"{a} + {b} = {fit.design.names[1]}", "Intercept = 6"])
    lines = str(result).split("\n")
    at = lines.index(f"{b} - {a} = 0")
    c = result.contrasts[0]
    assert [float(w) for w in lines[at + 1].split()[:2]] == pytest.approx(
        [c.estimate, c.std_error], rel=1e-2
    )
    text = " ".join(str(result).split())
    assert all(c.label in text for c in result.contrasts)
    assert "..." not in text
    assert fits(str(result))


def test_several_rows_get_the_joint_test() -> None:
    result = fit_of("lm").test(["edu", "classroom[T.c1]"])
    found = re.search(r"Joint test: F\(2, ([\d.]+)\) = ([\d.]+), p ([<=]) ([\d.]+)", str(result))
    assert found
    assert float(found[1]) == pytest.approx(result.den_df, rel=1e-3)
    assert float(found[2]) == pytest.approx(result.F, rel=1e-3)
    assert (result.p_value < 0.001) == (found[3] == "<")


def test_the_normal_distribution_gives_z_and_chi_square() -> None:
    result = fit_of("score").test(["edu", "Intercept"], ddf="normal")
    text = str(result)
    assert "P>|z|" in text and " df " not in text
    assert re.search(r"chi2\(2\) = [\d.]+", text)
    found = re.search(r"chi2\(2\) = ([\d.]+)", text)
    assert found and float(found[1]) == pytest.approx(2.0 * result.F, rel=1e-3)


CONTRASTS = st.builds(
    wald.Contrast,
    label=st.text(min_size=1, max_size=100),
    estimate=FINITE,
    std_error=POSITIVE,
    statistic=FINITE,
    df=st.one_of(st.just(np.inf), st.floats(0.5, 1e12)),
    p_value=st.floats(0, 1),
    lower=FINITE,
    upper=FINITE,
)


@given(st.lists(CONTRASTS, min_size=1, max_size=5), FINITE, POSITIVE)
def test_tests_fit_the_screen(contrasts: list[wald.Contrast], f: float, df: float) -> None:
    r = len(contrasts)
    result = wald.TestResult(
        tuple(contrasts), np.eye(r), np.zeros(r), f, r, df, 0.5, "satterthwaite"
    )
    assert fits(console.test_text(result))
