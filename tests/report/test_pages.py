"""The HTML pages: self-contained, small, accessible, escaped, and saying what was found."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import henderson as hd

LIMIT = 500_000


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, outcome, predictor, group in (
        ("classroom_scores", "score", "edu", "classroom"),
        ("rat_pup", "weight", "sex", "litter"),
        ("sleepstudy", "Reaction", "Days", "Subject"),
    ):
        result = hd.approaches(hd.load_dataset(name), outcome, predictor, group)
        made[name] = Path(result.report(str(folder / f"{name}.html"))).read_text("utf-8")
    data = hd.load_dataset("sleepstudy")
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", data)
    made["fit"] = Path(fit.report(str(folder / "fit.html"))).read_text("utf-8")
    linear = hd.lm("Reaction ~ Days", data)
    made["lm"] = Path(linear.report(str(folder / "lm.html"))).read_text("utf-8")
    return made


NAMES = ["classroom_scores", "rat_pup", "sleepstudy", "fit", "lm"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_fetched_and_the_page_is_small(pages: dict[str, str], name: str) -> None:
    page = pages[name]
    assert len(page.encode()) < LIMIT
    fetched = re.findall(r'(?:src|href|xlink:href)="([^"#][^"]*)"|url\((?!#)([^)]*)\)', page)
    assert fetched == []
    assert re.findall(r"<script[^>]*>", page) == ["<script>"]  # one, and it is on the page
    assert "@import" not in page


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_title_a_description_and_ids_of_its_own(
    pages: dict[str, str], name: str
) -> None:
    page = pages[name]
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(figures) >= 3
    for svg in figures:
        assert 'role="img"' in svg
        assert re.search(r"<title[^>]*>[^<]+</title><desc[^>]*>[^<]+</desc>", svg)
    ids = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [i for i, count in ids.items() if count > 1] == []
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert used <= set(ids)


class Balance(HTMLParser):
    """Counts open elements outside figures; a stray one is left over at the end."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", NAMES)
def test_elements_are_closed(pages: dict[str, str], name: str) -> None:
    parser = Balance()
    parser.feed(pages[name])
    assert parser.open == []


def test_the_seven_rows_and_the_headline_are_on_the_page(pages: dict[str, str]) -> None:
    page = pages["classroom_scores"]
    for number in ("2.694785", "0.130717", "7.497672", "0.076190", "3.453478", "0.935869"):
        assert number in page
    assert "56.01 df" in page


def test_names_are_escaped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(["<b>one", "two&", "three", "four", "five", "six"], 6)
    data = pd.DataFrame({"y": rng.normal(size=36), "x<i>": rng.normal(size=36), "g": group})
    data["y"] += data["g"].str.len()
    result = hd.approaches(data, "y", "x<i>", "g")
    page = Path(result.report(str(tmp_path / "page.html"))).read_text("utf-8")
    assert "<b>one" not in page
    assert "<i>" not in page


def test_the_same_data_make_the_same_page(tmp_path: Path) -> None:
    data = hd.load_dataset("classroom_scores")
    pages = []
    for name in ("a.html", "b.html"):
        hd.approaches(data, "score", "edu", "classroom").report(str(tmp_path / name))
        pages.append((tmp_path / name).read_text("utf-8"))
    assert pages[0] == pages[1]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    fit = hd.lm("score ~ edu", hd.load_dataset("classroom_scores"))
    with pytest.raises(OSError, match="nowhere"):
        fit.report(str(tmp_path / "nowhere" / "page.html"))


def test_the_headline_takes_random_slopes_where_slopes_differ(pages: dict[str, str]) -> None:
    lead = re.compile(r'<p class="lead">(.*?)</p>', re.DOTALL)
    found = {name: lead.search(pages[name])[1] for name in ("classroom_scores", "sleepstudy")}
    assert found["classroom_scores"].endswith(
        "of 0.1312 (95 % interval 0.05510 to 0.2073; t = 3.454 on 56.01 df, p = 0.0011), "
        "by LMM-Inter."
    )
    assert found["sleepstudy"].endswith("on 17.00 df, p &lt; 0.001), by LMM-Full.")


def test_intervals_said_and_drawn_are_those_of_the_t_tests(pages: dict[str, str]) -> None:
    assert "LMM-Full (biased) 0.1273 (0.005151 to 0.2494)" in pages["classroom_scores"]
    assert "<td>2.929 on 3.881 df</td><td>0.0445</td>" in pages["classroom_scores"]


def test_panels_are_figures_of_their_own(pages: dict[str, str]) -> None:
    titles = re.findall(r"<title id[^>]*>([^<]+)</title>", pages["classroom_scores"])
    assert len(titles) == len(set(titles)) == 14
    assert "Residuals of LM-Global, 3 of 3" in titles


def test_many_rows_and_groups_make_no_larger_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(200), 12)
    x = rng.normal(size=2400)
    slope = 1.0 + 0.5 * rng.normal(size=200)[group]
    y = slope * x + rng.normal(size=200)[group] + rng.normal(size=2400)
    result = hd.approaches(pd.DataFrame({"y": y, "x": x, "g": group}), "y", "x", "g")
    page = Path(result.report(str(tmp_path / "page.html"))).read_text("utf-8")
    assert len(page.encode()) < LIMIT
    assert "350 of 2,400 rows drawn" in page
