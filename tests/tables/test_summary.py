"""A summary prints the fit's own numbers, in 80 columns, escaped in HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables.fits import FORMULAS, fit_of, wide_fit

import henderson as hd
from henderson.errors import DesignError, Note
from henderson.tables.layout import columns_of
from henderson.tables.linear import Overall
from henderson.tables.summary import Summary, summary
from henderson.varcorr import VarCorr


def line_of(text: str, start: str) -> str:
    return next(line for line in text.split("\n") if line.startswith(start))


def after(text: str, heading: str) -> str:
    return text[text.index(heading) :]


def test_sleepstudy_reads_as_in_lme4() -> None:
    """Bates et al. (2015), section 5.1; df as in lmerTest."""
    text = str(fit_of("sleep"))
    assert "REML criterion at convergence: 1743.6" in text
    assert line_of(text, "-3.95").split() == ["-3.9536", "-0.4634", "0.0231", "0.4634", "5.1793"]
    assert "Number of obs: 180, groups: Subject, 18" in text
    fixed = after(text, "Fixed effects:")
    assert line_of(fixed, "Days").split() == ["Days", "10.467", "1.546", "17.00", "6.771", "<0.001"]
    assert after(text, "Correlation of fixed").split("\n")[2].split() == ["Days", "-0.138"]


def test_the_title_names_method_and_tests() -> None:
    fit = fit_of("score")
    assert "fit by REML; t-tests use Satterthwaite's df" in summary(fit).title
    assert "z-tests" in summary(fit, "normal").title
    assert "fit by maximum likelihood" in summary(fit_of("score", "ML")).title
    assert "least squares; t-tests use n - p df" in summary(fit_of("lm")).title


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("ddf", ["satterthwaite", "residual", "normal"])
def test_coefficients_are_the_fits(name: str, ddf: str) -> None:
    fit = fit_of(name)
    table = fit.summary(ddf).coefficients
    assert list(table.index) == list(fit.params.index)
    np.testing.assert_allclose(table["estimate"], fit.params)
    np.testing.assert_allclose(table["std_error"], fit.bse)
    np.testing.assert_allclose(table["df"], fit.degrees_of_freedom(ddf))
    np.testing.assert_allclose(table["statistic"], table["estimate"] / table["std_error"])


@pytest.mark.parametrize("name", FORMULAS)
def test_the_printed_coefficients_are_the_table(name: str) -> None:
    s = summary(fit_of(name))
    text = after(str(s), "Fixed effects:" if s.is_mixed else "Coefficients:")
    for row, line in zip(s.coefficients.itertuples(), text.split("\n")[2:], strict=False):
        shown = [float(word.lstrip("<")) for word in line.split()[-5:]]
        assert shown[0] == pytest.approx(row.estimate, rel=1e-3, abs=1e-3 * row.std_error)
        assert shown[1] == pytest.approx(row.std_error, rel=1e-3)
        assert shown[2] == pytest.approx(row.df, rel=1e-3)
        assert shown[3] == pytest.approx(row.statistic, abs=6e-4)
        assert shown[4] == pytest.approx(max(row.p_value, 0.001), abs=6e-5)


def test_kenward_roger_prints_its_own_standard_errors() -> None:
    fit = fit_of("score_slope")
    adjusted = fit.summary("kenward-roger").coefficients
    assert (adjusted["std_error"] > fit.bse).all()
    np.testing.assert_allclose(adjusted["statistic"] * adjusted["std_error"], fit.params)


def test_ml_prints_the_information_criteria() -> None:
    fit = fit_of("sleep", "ML")
    heading, values = after(str(fit), "      AIC").split("\n")[:2]
    assert heading.split() == ["AIC", "BIC", "logLik", "-2*logLik", "df.resid"]
    expected = [fit.aic, fit.bic, fit.llf, fit.criterion, fit.nobs - fit.npar]
    assert [float(v) for v in values.split()] == pytest.approx(expected, abs=0.051)


def test_a_linear_model_prints_as_r_does() -> None:
    """R: summary(lm(score ~ edu * classroom)); the same by its definition."""
    fit = fit_of("lm")
    o = fit.summary().overall
    assert o is not None and o.r_squared is not None
    y, resid = fit.design.y, fit.resid.to_numpy()
    assert o.r_squared == pytest.approx(1.0 - resid @ resid / ((y - y.mean()) ** 2).sum())
    joint = fit.test(list(fit.params.index[1:]))
    assert (o.F, o.p_value) == pytest.approx((joint.F, joint.p_value))
    assert f"Residual standard error: {fit.sigma:.4f} on 54 df" in str(fit)
    assert "Random effects" not in str(fit)


def test_the_f_test_allows_for_weights_and_offset() -> None:
    data = hd.load_dataset("classroom_scores")
    fit = hd.lm("score ~ edu", data, weights=data["edu"] + 1.0, offset=0.1 * data["edu"])
    o = fit.summary().overall
    assert o is not None
    joint = fit.test("edu")
    assert (o.F, o.p_value) == pytest.approx((joint.F, joint.p_value))


def test_residual_error_of_a_linear_model_does_not_depend_on_the_method() -> None:
    reml, ml = summary(fit_of("lm")).overall, summary(fit_of("lm", "ML")).overall
    assert reml is not None and ml is not None
    assert ml.residual_error == pytest.approx(reml.residual_error)
    assert reml.residual_error == pytest.approx(fit_of("lm").sigma)


def test_without_an_intercept_there_is_no_r_squared() -> None:
    fit = fit_of("lm_no_intercept")
    assert summary(fit).overall == Overall(pytest.approx(fit.sigma), 57)
    assert "R-squared" not in str(fit)


def test_a_wide_model_prints_forty_rows_and_counts_the_others() -> None:
    text = str(wide_fit(120))
    table = after(text, "Coefficients:").split("\n\n")[0].split("\n")
    assert len(table) == 2 + 40 + 1
    assert table[-1] == "... and 80 more: fit.summary().coefficients"
    assert len(wide_fit(120).summary().coefficients) == 120


def test_a_model_may_have_no_fixed_effects() -> None:
    data = hd.load_dataset("sleepstudy")
    fit = hd.lmm("Reaction ~ 0 + (1 | Subject)", data)
    assert "Fixed effects: none" in str(fit)
    assert len(fit.tidy()) == 0
    assert fit.equation().symbols.startswith("Reaction_ij = u_j + e_ij")


def test_missing_rows_are_mentioned() -> None:
    data = hd.load_dataset("sleepstudy")
    data.loc[3:5, "Days"] = np.nan
    text = str(hd.lmm("Reaction ~ Days + (1 | Subject)", data))
    assert "Data: 177 rows, 3 more left out (missing values)" in text


def test_notes_stand_at_the_end() -> None:
    fit = fit_of("score_slope")
    tail = " ".join(after(str(fit), "Notes:").split())
    assert fit.notes
    for note in fit.notes:
        assert " ".join(str(note).split()) in tail


def test_an_unknown_ddf_is_refused() -> None:
    with pytest.raises(DesignError, match="satterthwaite"):
        fit_of("score").summary("wald")  # type: ignore[arg-type]


# ---- any names, any numbers

NAMES = st.text(min_size=1, max_size=90)
VALUES = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    terms = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    p, group = len(terms), draw(NAMES)
    columns = ["estimate", "std_error", "df", "statistic", "p_value"]
    rows = [[draw(VALUES) for _ in columns[:4]] + [draw(st.floats(0, 1))] for _ in terms]
    mixed = draw(st.booleans())
    cov = pd.DataFrame(np.eye(p) * abs(draw(st.floats(0, 1e100))), index=terms, columns=terms)
    return Summary(
        title="Linear mixed model",
        formula=draw(st.text(max_size=200)),
        data="1 row",
        likelihood=draw(st.sampled_from([{}, {"REML criterion": 1e90}, {"AIC": -1e90, "BIC": 1}])),
        residuals=pd.Series(
            [draw(st.floats(-1e150, 1e150)) for _ in range(5)], ["Min", "1Q", "Median", "3Q", "Max"]
        ),
        varcorr=VarCorr({group: cov}, ((group, tuple(terms)),), draw(st.floats(0, 1e100))),
        groups={group: 3} if mixed else {},
        coefficients=pd.DataFrame(rows, index=terms, columns=columns),
        correlation=pd.DataFrame(np.eye(p), index=terms, columns=terms),
        overall=None if mixed else Overall(1e-90, 3, 0.5, 0.4, 1e90, 2, 0.5),
        notes=(Note("k", draw(st.text(max_size=200)), draw(st.text(max_size=200))),),
        ddf=draw(st.sampled_from(["satterthwaite", "normal"])),
        nobs=10**9,
        converged=True,
    )


@given(summaries())
def test_no_line_is_wider_than_the_screen(s: Summary) -> None:
    assert max(columns_of(line) for line in str(s).split("\n")) <= 80


class Tags(HTMLParser):
    """The tags and texts of a page, nesting checked."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


OURS = {"section", "p", "code", "br", "table", "caption", "thead", "tbody", "tr", "th", "td"}
OURS |= {"ul", "li", "div"}


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.open == []
    return tags


@given(summaries())
def test_html_is_well_formed_whatever_the_names(s: Summary) -> None:
    assert read(s._repr_html_()).seen <= OURS


def test_html_shows_a_tag_in_a_name_as_text() -> None:
    data = hd.load_dataset("classroom_scores")
    data["classroom"] = data["classroom"].astype(str).replace({"c1": "x<b>bold</b>"})
    tags = read(hd.lm("score ~ edu + classroom", data)._repr_html_())
    assert "b" not in tags.seen
    assert any("x<b>bold</b>" in text for text in tags.texts)


@pytest.mark.parametrize("name", FORMULAS)
def test_html_has_the_numbers_of_the_text(name: str) -> None:
    s = summary(fit_of(name))
    text, html = str(s), " ".join(read(s._repr_html_()).texts)
    table = after(text, "Fixed effects:" if s.is_mixed else "Coefficients:").split("\n\n")[0]
    found = re.findall(r"(?<=\s)-?\d+\.\d+(?=\s)", table)
    assert found
    assert all(value in html.split() for value in found)
