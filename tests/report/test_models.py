"""Every kind of model has a page, with its structure, its groups and nothing left out silently."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.fit import Fit
from henderson.report.words import headline, subject

LIMIT = 500_000


ARMS = {
    "a": "Cognitive behavioural therapy, weekly",
    "b": "Selective serotonin reuptake inhibitor",
}


def sleep() -> pd.DataFrame:
    data = hd.load_dataset("sleepstudy")
    rng = np.random.default_rng(3)
    return data.assign(
        w=rng.uniform(0.5, 2.0, len(data)),
        arm=np.where(data["Days"] % 2 == 0, "a", "b"),
        site=np.tile(list("pqrstu"), len(data) // 6),
        half=(np.arange(len(data)) // 90),
    )


def rats() -> pd.DataFrame:
    return hd.load_dataset("bodyweight")


MODELS: dict[str, Callable[[], Fit]] = {
    "ar1": lambda: hd.lmm("weight ~ Diet*Time + ar1(0 + Time | Rat)", rats()),
    "ou": lambda: hd.lmm("weight ~ Diet*Time + ou(0 + Time | Rat)", rats()),
    "har1": lambda: hd.lmm("weight ~ Diet*Time + (1 | Rat) + har1(0 + C(Time) | Rat)", rats()),
    "cs": lambda: hd.lmm("Reaction ~ Days + cs(1 + Days | Subject)", sleep()),
    "diag by level": lambda: hd.lmm("Reaction ~ C(Days) + diag(0 + arm | Subject)", sleep()),
    "by": lambda: hd.lmm("Reaction ~ Days + us(1 + Days | Subject, by=half)", sleep()),
    "two groupings": lambda: hd.lmm(
        "Reaction ~ Days + (1 | site) + ar1(0 + Days | Subject)", sleep()
    ),
    "correlation": lambda: hd.lmm(
        "weight ~ Diet*Time + (Time | Rat)", rats(), correlation="car1(Time | Rat)"
    ),
    "variance": lambda: hd.lmm(
        "weight ~ Diet*Time + (Time | Rat)", rats(), variance="power(fitted)"
    ),
    "gls": lambda: hd.lm("Reaction ~ Days", sleep(), correlation="ar1(Days | Subject)"),
    "lm": lambda: hd.lm("Reaction ~ Days * arm", sleep()),
    "lm by level": lambda: hd.lm("weight ~ C(Time)*Diet", rats()),
    "lm of the mean": lambda: hd.lm("Reaction ~ 1", sleep()),
    "weights": lambda: hd.lmm("Reaction ~ Days + (Days | Subject)", sleep(), weights="w"),
    "offset": lambda: hd.lmm("Reaction ~ Days + (1 | Subject)", sleep(), offset="w"),
    "offset by row": lambda: hd.lmm(
        "Reaction ~ Days + (1 | Subject)", sleep(), offset=np.arange(180.0)
    ),
    "crossed": lambda: hd.lmm(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin")
    ),
    "nested": lambda: hd.lmm("strength ~ 1 + (1 | batch/cask)", hd.load_dataset("pastes")),
    "no fixed part": lambda: hd.lmm("Reaction ~ 0 + (1 | Subject)", sleep()),
    "singular": lambda: hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff2")),
    "long names": lambda: hd.lmm(
        "Reaction ~ arm * Days + (1 | Subject)", sleep().replace({"arm": ARMS})
    ),
    "log": lambda: hd.lmm("np.log(Reaction) ~ bs(Days, df=4) + (1 | Subject)", sleep()),
}
# What follows what on a page; a model may lack some.
HEADINGS = (
    '<p class="lead">', 'id="pictures"', 'id="whole"', 'id="method"', 'id="estimates"',
    'id="anova"', 'id="spread"', 'id="fit"', 'id="levels"',
    'id="random"', 'id="adequacy"', 'id="again"',
)  # fmt: skip
QUIET = pytest.mark.filterwarnings("ignore::henderson.errors.HendersonWarning")


def page_of(fit: Fit, folder: Path) -> str:
    return Path(fit.report(str(folder / "page.html"))).read_text("utf-8")


def table(page: str, name: str) -> list[list[str]]:
    """The cells of a table's body."""
    found = re.search(rf'<table id="{name}".*?<tbody>(.*?)</table>', page, re.DOTALL)
    assert found, name
    rows = re.findall(r"<tr.*?</tr>", found[1], re.DOTALL)
    return [[unescape(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


@QUIET
@pytest.mark.parametrize("name", MODELS)
def test_a_page_is_written(name: str, tmp_path: Path) -> None:
    fit = MODELS[name]()
    page = page_of(fit, tmp_path)
    assert len(page.encode()) < LIMIT
    places = [page.find(heading) for heading in HEADINGS if heading in page]
    assert places == sorted(places)
    assert table(page, "measures")[0] == ["Rows", str(fit.nobs)]
    if fit.design.p:
        assert [row[0] for row in table(page, "fixed")] == list(fit.params.index)
    for i, factor in enumerate(fit.design.random):
        assert [row[0] for row in table(page, f"modes-{i}")] == [str(v) for v in factor.levels]
        assert f"Random effects of {factor.name}" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_one_table_has_the_numbers_of_the_fit(tmp_path: Path) -> None:
    fit = MODELS["crossed"]()
    page = page_of(fit, tmp_path)
    rows = {row[0]: row[1:] for row in table(page, "model")}
    assert rows["Fixed effects"] == rows["Random effects"] == rows["Fit"] == []
    estimate, interval, p = rows["Intercept"]
    assert float(estimate) == pytest.approx(fit.params["Intercept"], rel=1e-3)
    ends = [float(v) for v in interval.strip("[]").split(", ")]
    assert ends == pytest.approx(list(fit.conf_int().loc["Intercept"]), rel=1e-3)
    assert p == "<0.001"
    sd = fit.varcorr()["plate"].to_numpy()[0, 0] ** 0.5
    assert float(rows["SD (Intercept | plate)"][0]) == pytest.approx(sd, rel=1e-2)
    assert rows["Observations"][0] == "144"


def test_names_of_levels_are_whole_in_the_picture_of_their_means(tmp_path: Path) -> None:
    page = page_of(MODELS["long names"](), tmp_path)
    figures = dict(re.findall(r"<svg[^>]*><title[^>]*>([^<]+)</title>(.*?)</svg>", page, re.DOTALL))
    drawn = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", figures["Mean Reaction by arm"]))
    for name in ARMS.values():
        assert set(name.split()) <= set(drawn.split())


def test_all_checks_are_explained(tmp_path: Path) -> None:
    fit = MODELS["weights"]()
    page = unescape(page_of(fit, tmp_path))
    for check in fit.check():
        assert f"{check.name}:</strong> {check.meaning} {check.advice}" in page


def test_the_code_says_which_table_it_starts_from(tmp_path: Path) -> None:
    page = unescape(page_of(MODELS["lm"](), tmp_path))
    assert "data = ...  # your table: 180 rows were used, of the columns\n" in page
    assert re.search(r"henderson \S+, Python \S+, numpy \S+, scipy", page)
    assert re.search(r"SHA-256 as CSV: [0-9a-f]{12}\.", page)


@pytest.mark.parametrize("name", ["ar1", "correlation", "variance", "gls"])
def test_the_parameters_of_structures_are_on_the_page(name: str, tmp_path: Path) -> None:
    fit = MODELS[name]()
    shown = {(text, key): float(v) for text, key, v in table(page_of(fit, tmp_path), "structures")}
    wanted = {(t, key): v for t, values in fit.structures().items() for key, v in values.items()}
    assert shown == pytest.approx(wanted, rel=5e-4)


def test_only_groups_of_the_first_factor_are_highlighted(tmp_path: Path) -> None:
    page = page_of(MODELS["crossed"](), tmp_path)
    figures = dict(re.findall(r"<svg[^>]*><title[^>]*>([^<]+)</title>(.*?)</svg>", page, re.DOTALL))
    assert 'data-group="23"' in figures["Random effects of plate"]
    assert "data-group" not in figures["Random effects of sample"]
    assert page.count("<option") == 1 + 24


def test_groups_of_a_variance_stay_named_in_every_row(tmp_path: Path) -> None:
    rows = table(page_of(MODELS["weights"](), tmp_path), "variances")
    assert [row[0] for row in rows] == ["Subject", "Subject", "Residual"]


def test_pairs_of_many_levels_are_left_out_in_words(tmp_path: Path) -> None:
    page = page_of(MODELS["lm by level"](), tmp_path)
    assert len(table(page, "means-1")) == 11
    assert 'id="pairs-1"' not in page
    assert "Differences between levels of Time: not shown. The 55 pairs are given by" in page
    assert len(table(page, "pairs-2")) == 3


@QUIET
def test_the_headline_says_what_a_coefficient_is() -> None:
    weighted = MODELS["weights"]()
    assert subject(weighted, "Days") == "One more unit of Days goes with a change in Reaction of"
    both = hd.lm("Reaction ~ Days + arm", sleep())
    assert subject(both, "arm[T.b]") == (
        "The Reaction of arm b less that of arm a, the other predictors held fixed, is"
    )
    product = MODELS["lm"]()
    assert subject(product, "Days") == (
        "One more unit of Days, where arm is a, goes with a change in Reaction of"
    )
    assert subject(product, "arm[T.b]") == (
        "The Reaction of arm b less that of arm a, where Days is 0, is"
    )
    without = hd.lm("Reaction ~ Days:arm", sleep())
    assert subject(without, "Days:arm[a]") == "The coefficient Days:arm[a] of Reaction is"
    curved = hd.lm("Reaction ~ Days + np.log(w)", sleep())
    assert subject(curved, "Days") == "The coefficient Days of Reaction is"
    assert subject(product, "Days:arm[T.b]") == "The coefficient Days:arm[T.b] of Reaction is"
    assert headline(MODELS["crossed"]()).startswith("The mean diameter is 22.97 (95 % interval ")
    assert headline(product).endswith(", the smallest p of 3 coefficients).")
    assert headline(MODELS["no fixed part"]()) == "The model has no fixed effects."


def test_dark_figures_have_a_shade_for_every_colour(tmp_path: Path) -> None:
    page = page_of(MODELS["crossed"](), tmp_path)
    rules = "".join(re.findall(r"</desc><style>(.*?)</style>", page))
    assert re.findall(r"(?:fill|stroke): ?(#[0-9a-f]{6})", rules) == []
    used = set(re.findall(r"var\((--c-[0-9a-f]{6}),", rules))
    set_in_dark = re.search(
        r"@media screen and \(prefers-color-scheme: dark\) \{ :root \{ --c.*", page
    )
    assert set_in_dark
    assert used and all(f"{name}:" in set_in_dark[0] for name in used)
