"""The reports in a real browser: nothing is fetched, nothing fails, and what should work works."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.chromium import Page
from browser.conftest import Open

REPORTS = ("tutorial", "sleepstudy")
# What is left of the width of a page of paper, in CSS pixels.
A4 = 718
WHITE = "rgb(255, 255, 255)"
CONTRAST = Path(__file__).with_name("contrast.js").read_text("utf-8")


@pytest.mark.parametrize("name", REPORTS)
def test_no_request_leaves_the_file_and_the_console_is_silent(show: Open, name: str) -> None:
    page = show(name)
    requests = page.events("Network.requestWillBeSent")
    assert {r["request"]["url"] for r in requests} == {page.address}
    page.run("document.querySelectorAll('button').forEach((b) => b.click())")
    errors = page.events("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert errors == []


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [375, 1100])
def test_nothing_is_wider_than_the_window(show: Open, name: str, width: int) -> None:
    page = show(name, width=width)
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth") <= width
    wide = page.run(
        "[...document.querySelectorAll('body *')]"
        ".filter((e) => !e.closest('.scroll, pre, svg') && e.getClientRects().length)"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_results_in_a_notebook_scroll_by_themselves(show: Open) -> None:
    page = show("notebook", width=375)
    assert page.run("document.documentElement.scrollWidth") <= 375
    assert page.run("document.querySelectorAll('table').length") >= 8
    numbers = page.run(
        "[...document.querySelectorAll('.henderson-coefficients td')]"
        ".map((c) => getComputedStyle(c).textAlign)"
    )
    assert set(numbers) == {"right"}


def test_the_table_of_the_model_fits_a_phone(show: Open) -> None:
    page = show("sleepstudy", width=375)
    box = "document.getElementById('model').closest('.scroll')"
    assert page.run(f"{box}.scrollWidth") <= page.run(f"{box}.clientWidth")


def test_what_fine_checks_say_opens(show: Open) -> None:
    page = show("sleepstudy")
    visible = "document.querySelector('details ul').checkVisibility()"
    assert page.run(visible) is False
    page.run("document.querySelector('summary').click()")
    assert page.run(visible) is True


@pytest.mark.parametrize("name", REPORTS)
def test_every_figure_has_a_title_and_a_description(show: Open, name: str) -> None:
    page = show(name)
    figures = page.run(
        "[...document.querySelectorAll('figure svg')].map((s) => ["
        "s.getAttribute('role'), s.getAttribute('aria-labelledby').split(' ')"
        ".map((id) => document.getElementById(id).textContent),"
        "s.getBoundingClientRect().height])"
    )
    assert len(figures) >= 8
    for role, (title, description), height in figures:
        assert role == "img"
        assert title
        assert len(description) > 10
        assert height > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_text_can_be_read(show: Open, name: str, scheme: str) -> None:
    page = show(name, prefers_color_scheme=scheme)
    assert page.run("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
    page.run("document.querySelector('tr[data-group]').firstElementChild.click()")
    seen = page.run(CONTRAST)
    assert seen["texts"] > 100
    assert seen["drawn"] > 50
    assert seen["low"] == []


@pytest.mark.parametrize("name", REPORTS)
def test_it_prints(show: Open, name: str) -> None:
    page = show(name, prefers_color_scheme="dark")
    assert page.pdf().startswith(b"%PDF-")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.send("Emulation.setEmulatedMedia", media="print", features=[dark])
    shown = "[...document.querySelectorAll('.copy, #tools')].filter((e) => e.offsetHeight).length"
    assert page.run(shown) == 0
    page.resize(A4)
    assert page.run("document.documentElement.scrollWidth") <= A4
    assert page.run("getComputedStyle(document.querySelector('figure')).backgroundColor") == WHITE


def column(page: Page, table: str, place: int) -> list[str]:
    return page.run(
        f"[...document.querySelectorAll('#{table} tbody tr')]"
        f".map((r) => r.cells[{place}].textContent)"
    )


def click(page: Page, table: str, place: int) -> str:
    """Click on a heading; returns how the column says it is sorted."""
    heading = f"document.querySelectorAll('#{table} thead th')[{place}]"
    page.run(f"{heading}.querySelector('button').click()")
    return page.run(f"{heading}.getAttribute('aria-sort')")


def test_numbers_sort_by_value_up_and_down(show: Open) -> None:
    page = show("tutorial")
    before = column(page, "approaches", 2)
    wanted = sorted(before, key=float)
    assert before != wanted
    assert click(page, "approaches", 2) == "ascending"
    assert column(page, "approaches", 2) == wanted
    assert click(page, "approaches", 2) == "descending"
    assert column(page, "approaches", 2) == wanted[::-1]
    assert page.run("document.getElementById('said').textContent") == "Sorted by Coef, descending."


def test_another_column_takes_over_and_rows_stay_whole(show: Open) -> None:
    page = show("sleepstudy")
    rows = "[...document.querySelectorAll('#modes-0 tbody tr')].map((r) => r.textContent)"
    before = page.run(rows)
    click(page, "modes-0", 1)
    click(page, "modes-0", 3)
    assert column(page, "modes-0", 3) == sorted(column(page, "modes-0", 3), key=float)
    assert page.run("document.querySelectorAll('#modes-0 [aria-sort]').length") == 1
    assert sorted(page.run(rows)) == sorted(before)
    click(page, "modes-0", 0)
    assert page.run(rows) == before


def test_p_values_below_a_thousandth_come_first_and_blanks_last(show: Open) -> None:
    page = show("sleepstudy")
    click(page, "checks", 3)
    values = [v for v in column(page, "checks", 3) if v]
    assert column(page, "checks", 3)[: len(values)] == values
    numbers = [float(v.lstrip("<")) for v in values]
    assert numbers == sorted(numbers)
    click(page, "checks", 3)
    assert column(page, "checks", 3)[: len(values)] == values[::-1]


def test_the_keyboard_sorts_too(show: Open) -> None:
    page = show("tutorial")
    page.run("document.querySelectorAll('#approaches thead button')[1].focus()")
    page.press("Enter", 13, "\r")
    values = [float(v) for v in column(page, "approaches", 1)]
    assert values == sorted(values)


def test_tables_are_copied_as_csv_and_latex(show: Open) -> None:
    page = show("sleepstudy")
    bar = "document.querySelector('#fixed').closest('.scroll').nextElementSibling"
    copied = [
        page.run(
            f"(async () => {{ const b = {bar}.children[{i}]; b.click();"
            " while (!b.dataset.copied) await new Promise((d) => setTimeout(d, 10));"
            " return b.dataset.copied; })()"
        )
        for i in (0, 1)
    ]
    csv, latex = (text.splitlines() for text in copied)
    assert csv[0].startswith("Term,Estimate,Std. Error,df,t value,")
    assert csv[2].startswith("Days,10.467,1.546,17.00,6.771,")
    assert latex[0] == r"\begin{tabular}{lrrrrrrr}"
    assert latex[2].startswith(r"Term & Estimate & Std. Error & df & t value & Pr(\textgreater{}")
    assert latex[-3:][1:] == [r"\bottomrule", r"\end{tabular}"]
    assert page.run("document.getElementById('said').textContent") == "Copied as LaTeX."


# Figures that draw no group: the forest and the density of all residuals; autocorrelations.
UNGROUPED = {"tutorial": 2, "sleepstudy": 1}
# What a group's marks look like, by figure: for each the opacities of its own and of all others.
OPACITIES = """[...document.querySelectorAll('figure svg')].map((svg) => {
  const all = [...svg.querySelectorAll('[data-group]')];
  const of = (own) => [...new Set(all.filter((e) => (e.dataset.group === GROUP) === own)
    .map((e) => getComputedStyle(e).opacity))];
  return [of(true), of(false)];
}).filter(([own, others]) => own.length && others.length)"""


@pytest.mark.parametrize(("name", "group"), [("tutorial", "2"), ("sleepstudy", "8")])
def test_one_group_stands_out_in_every_figure(show: Open, name: str, group: str) -> None:
    page = show(name, prefers_reduced_motion="reduce")
    opacities = OPACITIES.replace("GROUP", f"'{group}'")
    before = page.run(opacities)
    figures = page.run("document.querySelectorAll('figure svg').length")
    assert len(before) == figures - UNGROUPED[name]
    assert all(found == [["1"], ["1"]] for found in before)
    page.run(
        f"(() => {{ const s = document.getElementById('pick'); s.value = '{group}';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    assert all(found == [["1"], ["0.1"]] for found in page.run(opacities))
    assert page.run("document.querySelectorAll('tr.picked').length") >= 1
    page.press("Escape", 27)
    assert page.run(opacities) == before


def test_a_click_on_a_row_or_a_mark_picks_its_group_and_a_second_lets_it_go(show: Open) -> None:
    page = show("sleepstudy")
    picked = "document.getElementById('pick').value"
    for target in ("#modes-0 tr[data-group='3'] td", "figure [data-group='3'] use"):
        click_on = (
            f'document.querySelector("{target}")'
            ".dispatchEvent(new MouseEvent('click', { bubbles: true }))"
        )
        page.run(click_on)
        assert page.run(picked) == "3"
        page.run(click_on)
        assert page.run(picked) == ""


def center(page: Page, target: str) -> tuple[float, float]:
    """Where an element stands in the window, scrolled into it."""
    box = page.run(
        f'(() => {{ const e = document.querySelector("{target}"); e.scrollIntoView('
        '{ block: "center" }); const b = e.getBoundingClientRect();'
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return box[0], box[1]


@pytest.mark.parametrize(
    "target", ["#modes-0 tr[data-group='3'] td", "figure [data-group='3'] use"]
)
def test_a_group_under_the_pointer_stands_out_until_it_leaves(show: Open, target: str) -> None:
    page = show("sleepstudy", prefers_reduced_motion="reduce")
    opacities = OPACITIES.replace("GROUP", "'3'")
    before = page.run(opacities)
    x, y = center(page, target)
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert all(found == [["1"], ["0.1"]] for found in page.run(opacities))
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=1.0, y=1.0)
    assert page.run(opacities) == before
    assert page.run("document.getElementById('pick').value") == ""


def test_the_keyboard_goes_through_the_groups_and_picks_one(show: Open) -> None:
    page = show("sleepstudy", prefers_reduced_motion="reduce")
    shown = "document.querySelector('tr.picked').dataset.group"
    pressed = "document.activeElement.getAttribute('aria-pressed')"
    page.run("document.querySelector('#modes-0 button.group').focus()")
    assert page.run(shown) == "0"
    page.press("ArrowDown", 40)
    assert page.run(shown) == "1"
    assert page.run(pressed) == "false"
    page.press("Enter", 13, "\r")
    assert page.run(pressed) == "true"
    page.run("document.activeElement.blur()")
    assert page.run(shown) == "1"
    assert (
        page.run("document.querySelectorAll('#modes-0 button.group[tabindex=\"0\"]').length") == 1
    )
    page.press("Escape", 27)
    assert page.run("document.querySelectorAll('.picked').length") == 0


def test_groups_are_named_in_the_list(show: Open) -> None:
    page = show("sleepstudy")
    options = page.run("[...document.getElementById('pick').options].map((o) => o.textContent)")
    assert options[:3] == ["none", "308", "309"]
    assert len(options) == 19


def test_motion_is_only_for_those_who_want_it(show: Open) -> None:
    wanted = "getComputedStyle(document.querySelector('svg [data-group]')).transitionDuration"
    assert show("tutorial", prefers_reduced_motion="reduce").run(wanted) == "0s"
    assert show("tutorial", prefers_reduced_motion="no-preference").run(wanted) == "0.15s"


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_is_whole_without_its_script(show: Open, name: str) -> None:
    text = "document.querySelector('main').textContent.replace(/Copy as (CSV|LaTeX)/g, '')"
    wanted = show(name).run(text).split()
    page = show(name, scripts=False)
    assert page.run("document.querySelectorAll('button').length") == 0
    assert page.run("document.getElementById('tools').offsetHeight") == 0
    assert page.run(text).split() == wanted
