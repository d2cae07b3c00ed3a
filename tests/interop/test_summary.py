"""The printed table is statsmodels', line by line."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import statsmodels.formula.api as smf
from interop.scripts import SCRIPTS, Script, sleep
from statsmodels.regression.mixed_linear_model import MixedLMParams

import henderson as hd


def pair(script: Script) -> tuple[Any, Any]:
    """henderson's result, and statsmodels' at the same parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, model = script(hd), script(smf).model
        start = MixedLMParams.from_components(
            found.fe_params.to_numpy(),
            cov_re=found.cov_re_unscaled,
            vcomp=found.vcomp / found.scale,
        )
        return found, model.fit(start_params=start, reml=found.reml, method="bfgs", maxiter=0)


def lines(summary: Any) -> list[str]:
    """Without "Converged", which is not known of a result that was not optimised."""
    text = str(summary)
    return [line for line in text.split("\n") if "Converged" not in line]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_text_is_the_same(script: Script) -> None:
    found, wanted = pair(script)
    assert lines(found.summary()) == lines(wanted.summary())
    assert str(found) == str(found.summary())


def test_names_title_and_level() -> None:
    found, wanted = pair(sleep)
    words = {"yname": "ms", "title": "A study of sleep", "alpha": 0.1}
    assert lines(found.summary(**words)) == lines(wanted.summary(**words))
    names = {"xname_fe": ["start", "pace"], "xname_re": ["a", "b", "c"]}
    text = str(found.summary(**names))
    assert "start" in text and "Days" not in text
    with pytest.raises(hd.DesignError, match="2 fixed effects and 3"):
        found.summary(xname_fe=["start"])


def test_tables_can_be_taken_apart() -> None:
    found, wanted = pair(sleep)
    facts, estimates = found.summary().tables
    assert list(estimates.columns) == list(wanted.summary().tables[1].columns)
    assert list(estimates.index) == list(wanted.summary().tables[1].index)
    assert estimates.astype(str).equals(wanted.summary().tables[1].astype(str))
    assert facts.iloc[2, 1] == "18"


def test_other_formats_hold_every_number() -> None:
    summary = sleep(hd).summary()
    for text in (summary.as_html(), summary.as_latex(), summary._repr_html_()):
        assert "251.405" in text and "Group x Days Cov" in text
    assert "P&gt;|z|" in summary.as_html() and r"P$>$$|$z$|$" in summary.as_latex()


def test_a_long_name_keeps_the_rules_as_wide_as_the_table() -> None:
    data = hd.load_dataset("sleepstudy")
    data["reaction_time_in_milliseconds"] = data["Reaction"]
    fit = hd.mixedlm("reaction_time_in_milliseconds ~ Days", data, groups="Subject").fit()
    widths = {len(line) for line in str(fit.summary()).split("\n")[1:-1]}
    assert len(widths) == 1
