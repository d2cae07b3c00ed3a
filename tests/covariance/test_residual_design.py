"""Residual terms on data: groups, positions, covariates, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from henderson.covariance.residual.build import residual_model
from henderson.design.columns import Columns
from henderson.design.residual import ResidualDesign, refuse_weights, residual_design
from henderson.errors import HendersonError
from henderson.formula.structures import residual_terms

DATA = pd.DataFrame(
    {
        "subject": np.repeat(["s1", "s2", "s3"], 4),
        "time": [1.0, 2.0, 4.0, 5.0] * 3,
        "visit": ["base", "week 1", "week 2", "week 4"] * 3,
        "x": np.linspace(0.0, 1.0, 12) ** 2,
        "y": np.cos(np.arange(12.0)),
        "sex": ["F"] * 4 + ["M"] * 8,
        "w": np.arange(1.0, 13.0),
        "one": 1.0,
        "row": np.arange(12),
        "negative": np.linspace(-1.0, 2.0, 12),
    }
)


def on(data: pd.DataFrame, correlation: str | None = None, variance: str | None = None):
    return residual_design(residual_terms(correlation, variance), Columns(data))


def positions(data: pd.DataFrame, correlation: str) -> np.ndarray:
    made = on(data, correlation).positions
    assert made is not None
    return made.at[:, 0]


def test_groups_and_positions() -> None:
    made = on(DATA, "ar1(time | subject)").positions
    assert made is not None
    assert_array_equal(made.codes, np.repeat([0, 1, 2], 4))
    assert_array_equal(made.at[:, 0], [0, 1, 3, 4] * 3)
    assert (made.largest, made.count) == (4, 5)


def test_one_stands_for_the_order_of_the_rows_within_groups() -> None:
    shuffled = DATA.sample(frac=1.0, random_state=1)
    order = shuffled.groupby("subject").cumcount()
    assert_array_equal(positions(shuffled, "ar1(1 | subject)"), order)


def test_times_need_not_be_in_order_and_the_covariance_follows_them() -> None:
    shuffled = DATA.sample(frac=1.0, random_state=2)
    rows = shuffled.index.to_numpy()
    covariances = []
    for data in (DATA, shuffled):
        model = residual_model(on(data, "ar1(time | subject)", "power(w)"))
        covariances.append(model.bind(np.arange(12)[None]).value(model.start() + 0.2)[0])
    assert_allclose(covariances[1], covariances[0][np.ix_(rows, rows)])


@pytest.mark.parametrize("scale", [2.0, 0.25, 7.0])
def test_a_step_is_the_common_divisor_of_the_gaps(scale: float) -> None:
    scaled = DATA.assign(time=scale * DATA["time"] + 0.1)
    assert_array_equal(positions(scaled, "ar1(time | subject)"), [0, 1, 3, 4] * 3)


def test_steps_are_counted_within_groups() -> None:
    moved = DATA.assign(time=DATA["time"] + np.repeat([0.0, 0.37, 100.0], 4))
    assert_array_equal(positions(moved, "ar1(time | subject)"), [0, 1, 3, 4] * 3)


def test_labels_stand_for_their_order() -> None:
    ordered = pd.Categorical(DATA["visit"], ["week 4", "week 2", "week 1", "base"])
    assert_array_equal(
        positions(DATA.assign(visit=ordered), "ar1(visit | subject)"), [3, 2, 1, 0] * 3
    )
    assert_array_equal(positions(DATA, "ar1(C(time) | subject)"), [0, 1, 2, 3] * 3)


def test_visits_keep_their_labels() -> None:
    for column, first in (("visit", "rho[base,week 1]"), ("time", "rho[1,2]")):
        text = f"us({column} | subject)"
        model = residual_model(on(DATA, text))
        assert first in model.natural(model.start())[text]


def test_without_a_group_all_rows_are_one() -> None:
    made = on(DATA, "exp(x + y)").positions
    assert made is not None
    assert not made.codes.any()
    assert made.at.shape == (12, 2)
    assert made.largest == 12


def test_groups_may_be_crossed() -> None:
    made = on(DATA.assign(half=[0, 0, 1, 1] * 3), "cs(1 | subject:half)").positions
    assert made is not None
    assert made.largest == 2
    assert len(made.levels) == 6


def test_covariates_are_expressions_and_codes() -> None:
    made = on(DATA, None, "power(w + 1) * ident(sex)")
    assert_allclose(made.covariates[0].values[:, 0], DATA["w"] + 1.0)
    assert_array_equal(made.covariates[1].values[:, 0], [0] * 4 + [1] * 8)
    assert made.covariates[1].levels == ("F", "M")


def test_the_model_is_called_as_it_is_written() -> None:
    model = residual_model(on(DATA, "exp(time | subject)", "exp(w) * ident(sex)"))
    assert list(model.natural(model.start())) == ["exp(time | subject)", "exp(w)", "ident(sex)"]


def test_fitted_values_come_later() -> None:
    made: ResidualDesign = on(DATA, None, "power(fitted) * ident(sex)")
    assert_allclose(made.covariates[0].values, 1.0)
    fitted = np.linspace(1.0, 2.0, 12)
    assert_allclose(made.with_fitted(fitted).covariates[0].values[:, 0], fitted)
    with pytest.raises(HendersonError, match="is zero in 1 rows"):
        made.with_fitted(fitted - 1.0)


def test_the_reach_of_a_correlation_starts_at_the_distances_of_the_data() -> None:
    """So that a fit does not depend on the unit of time."""
    starts = []
    for scale in (1.0, 365.0):
        model = residual_model(on(DATA.assign(time=scale * DATA["time"]), "exp(time | subject)"))
        starts.append(model.bind(np.arange(12)[None]).value(model.start()))
    assert_allclose(*starts)


TWICE = DATA.assign(time=[1.0, 2.0, 2.0, 5.0] * 3)
REFUSED = [
    (DATA, "ar1(day | subject)", None, "ar1.*no column 'day'"),
    (DATA, "ar1(time | person)", None, "no column 'person'"),
    (DATA, "cs(1 | person)", None, "no column 'person'"),
    (DATA, "exp(x + z | subject)", None, "no column 'z'"),
    (DATA, None, "ident(gender)", "no column 'gender'"),
    (DATA, None, "power(age)", "no column 'age'"),
    (TWICE, "ar1(time | subject)", None, "two rows of group 's1'.*time = 2, and 2 more pairs"),
    (TWICE, "us(time | subject)", None, "two rows of group 's1'"),
    (TWICE, "exp(time | subject)", None, "or let nugget=True"),
    (DATA, "car1(time)", None, "two rows stand at the same position, time = 1"),
    (DATA, "cs(1 | row)", None, "every group of 'row' has one row"),
    (DATA, "ar1(1 | row)", None, "every group of 'row' has one row"),
    (DATA, "car1(visit | subject)", None, "holds labels"),
    (DATA, "exp(visit | subject)", None, "holds labels"),
    (DATA, "ar1(exp(time) | subject)", None, "not evenly spaced.*car1"),
    (DATA.drop(index=[2, 6, 10]), "toep(time | subject)", None, "no two positions.*2 steps"),
    (
        DATA.drop(index=[3, 4, 8]),
        "us(visit | subject)",
        None,
        "a row at 'base' and one at 'week 4'",
    ),
    (DATA, None, "power(x)", "'x' is zero in 1 rows.*constpower"),
    (DATA, None, "power(sex)", "not numeric"),
    (DATA, None, "fixed(negative)", "not positive in 4 rows"),
    (DATA, None, "fixed(x)", "not positive in 1 rows"),
    (DATA, None, "power(w - w + 2)", "the same in every row"),
    (DATA, None, "exp(one)", "the same in every row"),
    (DATA, None, "ident(one)", "has one level, '1'"),
]


@pytest.mark.parametrize(("data", "correlation", "variance", "message"), REFUSED)
def test_refusals(
    data: pd.DataFrame, correlation: str | None, variance: str | None, message: str
) -> None:
    with pytest.raises(HendersonError, match=message):
        on(data, correlation, variance)


def test_too_many_visits_are_refused_with_what_to_use_instead() -> None:
    many = pd.DataFrame({"g": np.repeat([0, 1], 70), "t": np.tile(np.arange(70.0), 2)})
    for name in ("us", "toep"):
        with pytest.raises(HendersonError, match="Use ar1, car1 or exp"):
            on(many, f"{name}(t | g)")


def test_weights_and_fixed_are_one_thing() -> None:
    terms = residual_terms(None, "fixed(w)")
    refuse_weights(terms, None)
    with pytest.raises(HendersonError, match="both known variances"):
        refuse_weights(terms, "w")
