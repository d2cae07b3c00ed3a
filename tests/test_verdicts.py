"""What a fit says of itself, and what it refuses because nothing could be said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import henderson as hd


def clustered(seed: int = 0, groups: int = 6, size: int = 8) -> pd.DataFrame:
    """Rows y, x in groups g whose intercepts differ and whose slopes do not."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=len(g))
    y = x + rng.normal(size=groups)[g] + 0.5 * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g})


def kinds(fit: hd.Fit) -> list[str]:
    return [note.kind for note in fit.notes]


@pytest.mark.parametrize(("count", "words"), [(1, "1 row with"), (3, "3 rows with")])
def test_missing_rows_are_counted_in_grammar(count: int, words: str) -> None:
    data = clustered()
    data.loc[data.index[:count], "x"] = np.nan
    [note] = hd.lmm("y ~ x + (1 | g)", data).notes
    assert note.kind == "missing"
    assert note.text.startswith(words)
    assert f"({count} in x)" in note.text


def test_the_advice_on_a_singular_fit_can_be_pasted() -> None:
    """With its odd names quoted; the simpler models that it names can be fitted."""
    data = clustered().rename(columns={"g": "site-id"})
    responses = np.random.default_rng(2).normal(size=(20, len(data)))
    fits = [hd.lmm("y ~ x + (x | `site-id`)", data.assign(y=y)) for y in responses]
    notes = [n for fit in fits for n in fit.notes if "linear" in n.text or "boundary" in n.text]
    assert notes
    for note in notes:
        for term in ("(1 | `site-id`)", "(x || `site-id`)"):
            assert term in note.advice
            hd.lmm(f"y ~ x + {term}", data)


@pytest.mark.parametrize("levels", [4, 5])
def test_few_levels_are_noted(levels: int) -> None:
    assert ("few levels" in kinds(hd.lmm("y ~ x + (1 | g)", clustered(groups=levels)))) is (
        levels < 5
    )


@pytest.mark.parametrize(
    "formula",
    ["z ~ 1 + (1 | g)", "z ~ x + (x | g)", "z ~ x + (1 | g) + (1 | h)", "z ~ 0 + (1 | g)"],
)
def test_a_response_that_the_groups_determine_is_refused(formula: str) -> None:
    data = clustered()
    data["h"] = np.arange(len(data)) % 5
    data["z"] = data["g"] * 1.5 + 3.0
    with pytest.raises(hd.errors.FitError, match=r"explains? the response exactly"):
        hd.lmm(formula, data)


def test_groups_may_differ_a_million_times_more_than_rows() -> None:
    """A small residual is no exact fit: its variance is found."""
    data = clustered(groups=20)
    rng = np.random.default_rng(1)
    data["z"] = 1e6 * rng.normal(size=20)[data["g"]] + rng.normal(size=len(data))
    within = hd.lm("z ~ C(g)", data).sigma
    assert hd.lmm("z ~ 1 + (1 | g)", data).sigma == pytest.approx(within, rel=1e-4)
