"""Fits with covariance structures: held to the dense likelihood, and to each other."""

from __future__ import annotations

import numpy as np
import oracle
import pandas as pd
import pytest

from henderson.covariance import make_structure
from henderson.covariance.residual.build import residual_model
from henderson.design import build
from henderson.design.columns import Columns
from henderson.design.residual import residual_design
from henderson.engine.optimise import Optimum, optimise
from henderson.engine.problem import Grouping, Term, standardise
from henderson.formula.structures import residual_terms

SUBJECTS, VISITS = 30, 4


def simulated(seed: int = 0) -> pd.DataFrame:
    """Subjects seen at four times, twice each time, correlated over time."""
    rng = np.random.default_rng(seed)
    time = np.array([0.0, 1.0, 2.0, 3.0])
    lag = np.abs(time[:, None] - time)
    lower = np.linalg.cholesky(4.0 * 0.7**lag)
    b = rng.normal(size=(SUBJECTS, VISITS)) @ lower.T
    subject, visit = np.divmod(np.repeat(np.arange(SUBJECTS * VISITS), 2), VISITS)
    y = 5.0 + 0.5 * visit + b[subject, visit] + rng.normal(size=len(subject))
    return pd.DataFrame(
        {
            "y": y,
            "t": time[visit],
            "place": rng.normal(size=VISITS)[visit],
            "g": [f"s{i:02d}" for i in subject],
            "sex": np.where(subject % 2, "F", "M"),
            "first": np.tile([True, False], SUBJECTS * VISITS),
        }
    )


def fit(
    formula: str,
    data: pd.DataFrame,
    *,
    correlation: str | None = None,
    variance: str | None = None,
    reml: bool = True,
) -> Optimum:
    design = build(formula, data)
    groupings = [
        Grouping(
            f.codes,
            len(f.levels),
            f.z,
            tuple(
                Term(
                    s.columns,
                    make_structure(s.term.structure, len(s.names), s.positions, s.strata),
                )
                for s in f.slots
            ),
        )
        for f in design.random
    ]
    terms = residual_terms(correlation, variance)
    residual = residual_model(residual_design(terms, Columns(data))) if terms else None
    return optimise(standardise(design.y, design.X, groupings, None), reml, residual=residual)


def dense_criterion(formula: str, data: pd.DataFrame, found: Optimum, reml: bool) -> float:
    """The criterion at a fit's Sigmas and R, from dense matrices."""
    design = build(formula, data)
    blocks = tuple(oracle.block(f.codes, f.z, len(f.levels)) for f in design.random)
    weights = correlation = None
    if found.layout.residual is not None:
        phi = found.layout.residual_part(found.at.phi)
        r = found.layout.residual.bind(np.arange(design.n)[None]).value(phi)[0]
        weights = 1.0 / np.diag(r)
        correlation = r * np.sqrt(np.outer(weights, weights))
    problem = oracle.Problem(
        design.y, design.X, blocks, weights=weights, correlation=correlation, reml=reml
    )
    return oracle.Solution(problem, found.sigmas).criterion


DATA = simulated()
ONCE = DATA[DATA["first"]].reset_index(drop=True)
RANDOM = [
    "cs(0 + C(t) | g)",
    "hcs(0 + C(t) | g)",
    "ar1(0 + t | g)",
    "har1(0 + t | g)",
    "toep(0 + t | g)",
    "htoep(0 + t | g)",
    "ou(0 + t | g)",
    "exp(0 + t + place | g)",
    "gau(0 + t | g)",
    "us(t | g, by=sex)",
    "ar1(0 + t | g, by=sex)",
    "(1 | g) + ou(0 + t | g)",
]
RESIDUAL = [
    ("ar1(t | g)", None),
    ("cs(1 | g)", "ident(sex)"),
    ("toep(t | g)", None),
    ("us(t | g)", "ident(t)"),
    ("car1(place | g)", "exp(t)"),
    ("exp(t + place | g)", None),
    ("gau(t | g, nugget=True)", None),
    ("spher(t | g)", "power(t + 1)"),
    ("ratio(t | g)", None),
    ("lin(t | g)", None),
    (None, "constpower(t) * ident(sex)"),
]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("term", RANDOM)
def test_a_fit_with_structured_random_effects_has_the_dense_likelihood(
    term: str, reml: bool
) -> None:
    formula = f"y ~ t + sex + {term}"
    found = fit(formula, DATA, reml=reml)
    assert found.verdict.converged
    assert found.criterion == pytest.approx(dense_criterion(formula, DATA, found, reml), rel=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("correlation", "variance"), RESIDUAL)
def test_a_fit_with_structured_residuals_has_the_dense_likelihood(
    correlation: str | None, variance: str | None, reml: bool
) -> None:
    formula = "y ~ t + sex"
    found = fit(formula, ONCE, correlation=correlation, variance=variance, reml=reml)
    assert found.verdict.converged
    assert found.criterion == pytest.approx(dense_criterion(formula, ONCE, found, reml), rel=1e-10)


def test_structures_nest_as_they_should() -> None:
    """A structure with more freedom fits no worse."""
    by_column = dict.fromkeys(("cs", "hcs", "us"), "C(t)")
    names = ("cs", "hcs", "ar1", "har1", "toep", "htoep", "us")
    value = {s: fit(f"y ~ t + {s}(0 + {by_column.get(s, 't')} | g)", DATA).criterion for s in names}
    for small, large in [
        ("cs", "hcs"),
        ("ar1", "har1"),
        ("cs", "toep"),
        ("ar1", "toep"),
        ("toep", "htoep"),
        ("har1", "htoep"),
        ("htoep", "us"),
        ("hcs", "us"),
    ]:
        assert value[large] <= value[small] + 1e-8, (small, large)


def test_compound_symmetry_is_a_random_intercept() -> None:
    residual = fit("y ~ t", ONCE, correlation="cs(1 | g)")
    intercept = fit("y ~ t + (1 | g)", ONCE)
    assert residual.criterion == pytest.approx(intercept.criterion, abs=1e-8)


def test_heterogeneous_variances_of_a_term_are_variances_by_stratum() -> None:
    """Groups of one sex each: a variance for each sex is a diagonal over indicators of sex."""
    strata = fit("y ~ t + sex + us(1 | g, by=sex)", DATA)
    columns = fit("y ~ t + sex + diag(0 + sex | g)", DATA)
    assert strata.criterion == pytest.approx(columns.criterion, abs=1e-8)


def test_ar1_and_its_continuous_twin_agree_on_whole_times() -> None:
    for random in ("", " + (1 | g)"):
        found = [
            fit(f"y ~ t{random}", ONCE, correlation=f"{name}(t | g)").criterion
            for name in ("ar1", "car1", "exp")
        ]
        assert found[0] == pytest.approx(found[1], abs=1e-8)
        assert found[0] == pytest.approx(found[2], abs=1e-8)
    assert fit("y ~ t + ar1(0 + t | g)", DATA).criterion == pytest.approx(
        fit("y ~ t + ou(0 + t | g)", DATA).criterion, abs=1e-8
    )


def test_unstructured_residuals_are_the_saturated_covariance() -> None:
    """By ML with a mean for every visit: the covariance of the visits themselves."""
    found = fit("y ~ 0 + C(t)", ONCE, correlation="us(t | g)", variance="ident(t)", reml=False)
    table = ONCE.pivot(index="g", columns="t", values="y").to_numpy()
    sample = np.cov(table.T, bias=True)
    n, k = table.shape
    sign, logdet = np.linalg.slogdet(sample)
    assert sign > 0
    assert found.criterion == pytest.approx(n * (logdet + k * (1.0 + np.log(2.0 * np.pi))))


@pytest.mark.parametrize("scale", [1e-3, 365.0])
def test_a_fit_does_not_depend_on_the_units_of_time(scale: float) -> None:
    scaled = DATA.assign(t=scale * DATA["t"])
    for term in ("ar1(0 + t | g)", "ou(0 + t | g)", "gau(0 + t | g)"):
        one, other = (fit(f"y ~ t + {term}", data).criterion for data in (DATA, scaled))
        # The coefficient of t changes its unit, and with it the determinant of REML.
        assert other - one == pytest.approx(2.0 * np.log(scale), abs=1e-7)


def test_a_variance_of_zero_is_found() -> None:
    """No correlation over time beyond the residual: the term's variance is exactly zero."""
    rng = np.random.default_rng(11)
    data = DATA.assign(y=rng.normal(size=len(DATA)))
    data["y"] -= data.groupby(["g", "t"])["y"].transform("mean")
    found = fit("y ~ 1 + ar1(0 + t | g)", data)
    assert found.verdict.converged
    assert not found.sigmas[0].any()
    assert found.criterion == pytest.approx(fit("y ~ 1", data).criterion, abs=1e-9)
