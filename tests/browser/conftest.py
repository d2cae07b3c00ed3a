"""One browser and the two pages that are looked at in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.chromium import Browser, Page, running

import henderson as hd
from henderson.fit import Fit
from henderson.seven.tutorial import tutorial_approaches

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    files = {name: folder / f"{name}.html" for name in ("tutorial", "sleepstudy")}
    tutorial_approaches().report(str(files["tutorial"]))
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    fit.report(str(files["sleepstudy"]))
    files["notebook"] = folder / "notebook.html"
    files["notebook"].write_text(notebook(fit), encoding="utf-8")
    return files


def notebook(fit: Fit) -> str:
    """What a notebook shows of results, one below the other, without a style sheet of its own."""
    inference = (fit.varcorr(), fit.ranova(), fit.profile(), fit.test("Days = 0"), fit.icc())
    means = fit.emmeans("Days", at={"Days": [0, 5, 9]})
    results = (fit, fit.check(), fit.influence(), hd.table([fit] * 6), tutorial_approaches())
    results = (*results, *inference, means, means.contrast("pairwise"), fit.anova())
    shown = "".join(result._repr_html_() for result in results)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return f'<!DOCTYPE html><html lang="en"><head>{head}<title>Results</title></head>{shown}</html>'


@pytest.fixture
def show(browser: Browser, reports: dict[str, Path]) -> Iterator[Open]:
    """Opens a report by name: `show("tutorial", width=375, prefers_color_scheme="dark")`."""
    pages: list[Page] = []

    def opened(name: str, **how: int | str | bool) -> Page:
        pages.append(Page(browser, reports[name], **how))  # type: ignore[arg-type]
        return pages[-1]

    yield opened
    for page in pages:
        page.close()
