"""Bad input to structures: one clear error that names the culprit and says what to do."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson as hd


@cache
def table() -> pd.DataFrame:
    data = hd.load_dataset("sleepstudy")
    days = data["Days"]
    return data.assign(
        z=days - 4, half=days > 4, one=1, row=np.arange(180), label=days.astype(str), const=2.0,
        uneven=days + 0.1 * np.random.default_rng(1).random(180),
    )  # fmt: skip


CORRELATIONS = {
    "ar1(Dayz | Subject)": "no column 'Dayz'.*did you mean 'Days'",
    "ar1(Days | Subjct)": "no column 'Subjct'.*did you mean 'Subject'",
    "ar2(Days | Subject)": "no correlation 'ar2': did you mean 'ar1'",
    "ar1(Days | Subject": "never closed",
    "ar1(Days | Subject | row)": "one bar",
    "ar1( | Subject)": "Nothing stands left of the bar",
    "ar1(Days | )": "No group stands right of the bar",
    "ar1(Days | sqrt(Subject))": "only names of columns",
    "ar1(1 | row)": "every group of 'row' has one row",
    "ar1(const | Subject)": "two rows of group '308' stand at the same position, const = 2",
    "ar1(uneven | Subject)": "not evenly spaced.*car1",
    "car1(label | Subject)": "'label' holds labels",
    "car1(Days | Subject, nugget=True)": "car1 has no nugget",
    "cs(Days | Subject)": r"write cs\(1 \| Subject\)",
    "exp(Days | Subject, nuggets=True)": "nugget=True is the only one",
    "lin(Days + z | Subject)": "no correlation in the plane",
    "us(row | Subject)": "180 different values.*us takes up to 30",
    "toep(row)": "each of 179 lags is too many",
    "ar1(~ Days | Subject)": "no '~' here: leave it out",
    "cs(1)": r"all rows are one group.*cs\(1 \| group\)",
    "us(label | one)": r"all rows are one group.*us\(label \| group\)",
    "gau(row)": r"smooth correlation.*nugget=True",
    "UN": r"has no group: write 'UN\(time \| subject\)'",
}
VARIANCES = {
    "iden(Subject)": "did you mean 'ident'",
    "ident()": "needs a covariate",
    "ident(one)": "'one' has one level",
    "ident(row)": "level '0' of 'row' has one row",
    "ident(fitted)": "fitted values may stand in",
    "ident(Days | Subject)": r"write 'ident\(Subject\) \* ident\(Days\)'",
    "power(Days)": r"zero in 18 rows.*power\(Days \+ 1\)",
    "power(const)": "'const' is the same in every row",
    "power(Days + 1) * power(Days + 1)": "there twice",
    "ident(label) * ident(half)": r"ident\(half\) beside ident\(label\).*told apart",
    "exp(Days) * ident(label)": r"ident\(label\) beside exp\(Days\).*told apart",
    "exp(Days) * exp(z)": r"exp\(z\) beside exp\(Days\).*told apart",
    "power(Days, 2)": "takes one covariate",
    "exp(label)": "'label' is not numeric",
    "fixed(z)": "not positive in 90 rows",
}
RANDOM = {
    "ar1(1 | Subject)": "ar1 takes one position",
    "ar1(0 + nope | Subject)": "no column 'nope'",
    "ar1(0 + uneven | Subject)": "not evenly spaced|180 different positions",
    "ar2(0 + Days | Subject)": "Did you mean ar1",
    "ar1(0 + Days | Subject, foo=2)": "ar1 has no option 'foo'",
    "ou(0 + Days + z | Subject)": "ou takes one position",
    "exp(0 + label | Subject)": "'label' holds labels",
    "toep(0 + row | Subject)": "180 different positions.*toep takes up to 60",
    "us(1 | Subject, by=nope)": "no column 'nope'",
    "us(1 | Subject, by=Subject)": r"Subject\[308\] has rows of one level of 'Subject' only",
    "fa(0 + label | Subject)": "'fa' is not a covariance structure",
    "cs(0 + label | Subject)": "cannot be told from the residual's",
}


@pytest.mark.parametrize("text", CORRELATIONS)
def test_bad_correlations(text: str) -> None:
    with pytest.raises(hd.HendersonError, match=CORRELATIONS[text]):
        hd.lm("Reaction ~ Days", table(), correlation=text)


@pytest.mark.parametrize("text", VARIANCES)
def test_bad_variances(text: str) -> None:
    with pytest.raises(hd.HendersonError, match=VARIANCES[text]):
        hd.lm("Reaction ~ Days", table(), variance=text)


@pytest.mark.parametrize("text", RANDOM)
def test_bad_random_terms(text: str) -> None:
    with pytest.raises(hd.HendersonError, match=RANDOM[text]):
        hd.lmm(f"Reaction ~ Days + {text}", table())


@pytest.mark.parametrize("value", [3, [1.0], 2.5])
def test_neither_text_nor_term(value: object) -> None:
    with pytest.raises(hd.FormulaError, match="text such as"):
        hd.lm("Reaction ~ Days", table(), variance=value)
    with pytest.raises(hd.FormulaError, match="text such as"):
        hd.lm("Reaction ~ Days", table(), correlation=value)


def test_weights_say_the_same_as_a_fixed_variance() -> None:
    with pytest.raises(hd.FormulaError, match="both known variances"):
        hd.lm("Reaction ~ Days", table(), variance="fixed(Days + 1)", weights="const")


def test_what_a_variance_of_the_fitted_values_has_not() -> None:
    fit = hd.lm("Reaction ~ Days", table(), variance="power(fitted)")
    with pytest.raises(hd.DesignError, match="depends on the fitted values"):
        fit.summary("kenward-roger")
    with pytest.raises(hd.FitError, match=r"depends on the fitted values.*bootstrap"):
        fit.confint("profile")
