"""Results of inference show the same in a terminal and in a notebook."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pandas as pd
import pytest
from tables.fits import fit_of

import henderson as hd
from henderson import inference
from henderson.fit import Fit
from henderson.tables.layout import Grid, columns_of
from henderson.tables.printed import Parted, Printed


@pytest.fixture(scope="module")
def rats() -> Fit:
    return hd.lmm("weight ~ treatment * sex + (1 | litter)", hd.load_dataset("rat_pup"))


RESULTS: dict[str, Callable[[Fit], Printed]] = {
    "anova": lambda fit: fit.anova(),
    "lrt": lambda fit: hd.anova(hd.lmm("weight ~ sex + (1 | litter)", fit.design.frame.data), fit),
    "means": lambda fit: fit.emmeans("treatment", by="sex"),
    "means of all": lambda fit: fit.emmeans("treatment"),
    "contrasts": lambda fit: fit.emmeans("treatment", by="sex").contrast("pairwise"),
    "varcorr": lambda fit: fit.varcorr(),
    "varcorr of ar1": lambda _: sleep_ar1().varcorr(),
    "profile": lambda fit: fit.profile("sigma"),
    "bootstrap": lambda fit: fit.bootstrap(5, seed=1),
    "bootstrap lrt": lambda fit: hd.bootstrap_lrt(
        hd.lmm("weight ~ sex + (1 | litter)", fit.design.frame.data), fit, nsim=5, seed=1
    ),
    "r2": lambda fit: fit.r2(),
    "icc": lambda fit: fit.icc(),
    "caic": lambda fit: fit.caic(),
    "ranova": lambda fit: fit.ranova(),
    "exact": lambda fit: fit.exact_rlrt(nsim=100, seed=1),
    "test": lambda fit: fit.test(["sex[T.Female] = 0", "Intercept = 6"]),
    "weights": lambda fit: hd.compare(fit, fit),
    "robust": lambda fit: fit.cov_robust(),
    "structures": lambda _: hd.compare_structures(
        "Reaction ~ Days", hd.load_dataset("sleepstudy"), ["cs(1 | Subject)", "ar1(1 | Subject)"]
    ),
}


def sleep_ar1() -> Fit:
    data = hd.load_dataset("sleepstudy")
    return hd.lmm("Reaction ~ Days + ar1(0 + C(Days) | Subject)", data)


def words(text: str) -> list[str]:
    """Without rulers, and names that a terminal has no room for."""
    text = re.sub(r"\S*\.\.\.\S*", "", text)
    return [word for word in re.split(r"\s+", text) if not re.fullmatch("[-=]+", word)]


@pytest.mark.parametrize("name", RESULTS)
def test_a_notebook_shows_what_a_terminal_shows(rats: Fit, name: str) -> None:
    result = RESULTS[name](rats)
    section = ElementTree.fromstring(result._repr_html_())
    shown = words(" ".join(section.itertext()))
    assert set(words(str(result))) <= set(shown)
    assert repr(result) == str(result)
    assert all(columns_of(line) <= 80 for line in str(result).split("\n"))
    for table in section.iter("table"):
        box = next(div for div in section.iter("div") if table in div)
        assert "overflow-x:auto" in box.attrib["style"]


def test_every_result_of_inference_that_prints_is_shown_in_notebooks() -> None:
    found = 0
    for module in pkgutil.iter_modules(inference.__path__, "henderson.inference."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and (
                "__str__" in vars(kind) or "_parts" in dir(kind)
            ):
                assert issubclass(kind, Printed), kind
                assert "__repr__" not in vars(kind), kind
                found += 1
    assert found > 15


def test_each_part_of_a_table_is_a_table_under_its_heading() -> None:
    grid = Grid(("a", "b"), (("x", "1.5"), ("long name", "2"), ("z", "3")))

    class Result(Printed):
        def _parts(self) -> list[Parted]:
            return [Parted(grid, ("one:", "two:", "one:"))]

    assert str(Result()).split("\n") == [
        "one:",
        "a           b",
        "x         1.5",
        "z           3",
        "",
        "two:",
        "a           b",
        "long name   2",
        "",
    ]
    first, second = ElementTree.fromstring(Result()._repr_html_()).iter("table")
    assert [first.findtext("caption"), second.findtext("caption")] == ["one:", "two:"]
    rows = [[c.text for c in row] for row in first.findall("tbody/tr")]
    assert rows == [["x", "1.5"], ["z", "3"]]


def test_names_are_text_not_markup() -> None:
    data = hd.load_dataset("rat_pup")
    data["<b>&"] = pd.Categorical(data["sex"]).rename_categories(["<script>", 'a"'])
    means = hd.lmm("weight ~ `<b>&` + (1 | litter)", data).emmeans("<b>&")
    html = means._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html and "&lt;b&gt;&amp;" in html


def test_a_long_remark_is_wrapped_in_a_terminal_and_one_paragraph_in_a_notebook() -> None:
    remark = "word " * 30 + "end"

    class Result(Printed):
        def _parts(self) -> list[str]:
            return ["short  one", remark]

    first, *rest = str(Result()).split("\n")
    assert first == "short  one" and len(rest) == 2 and rest[1].startswith("  word")
    section = ElementTree.fromstring(Result()._repr_html_())
    assert [p.text for p in section.findall("p")] == ["short  one", remark]


def test_the_levels_of_intervals_are_said() -> None:
    assert "lower 95%" in str(fit_of("sleep").profile("sigma"))
