"""The dense oracle itself, against R: X and Z written by hand, theta as R reports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import oracle
import pandas as pd
import pytest
from reference_cases import ReferenceCase, load_case


def codes_of(*columns: pd.Series) -> tuple[np.ndarray, int]:
    """Integer codes of the combinations of levels that occur."""
    labels = pd.Series(list(zip(*columns, strict=True)))
    codes, levels = pd.factorize(labels)
    return codes, len(levels)


def dummies(column: pd.Series, names: list[str]) -> np.ndarray:
    return np.column_stack([(column == name).to_numpy(float) for name in names])


def design(case: ReferenceCase, data: pd.DataFrame) -> tuple[np.ndarray, list[oracle.Block]]:
    """X and the blocks of the cases tested here."""
    one = np.ones(len(data))

    def by(columns: list[str], *z: np.ndarray) -> oracle.Block:
        codes, n_levels = codes_of(*(data[c] for c in columns))
        return oracle.block(codes, np.column_stack(z), n_levels)

    if case.id.startswith("sleep_slope"):
        days = data["Days"].to_numpy(float)
        return np.column_stack([one, days]), [by(["Subject"], one, days)]
    if case.id.startswith("penicillin"):
        return one[:, None], [by(["plate"], one), by(["sample"], one)]
    if case.id.startswith("pastes_nested"):
        return one[:, None], [by(["cask", "batch"], one), by(["batch"], one)]
    if case.id.startswith("machines_nested"):
        x = np.column_stack([one, dummies(data["Machine"], ["B", "C"])])
        return x, [by(["Machine", "Worker"], one), by(["Worker"], one)]
    if case.id.startswith("score_full"):
        edu = data["edu"].to_numpy(float)
        return np.column_stack([one, edu]), [by(["classroom"], one, edu)]
    x, f = data["x"].to_numpy(), dummies(data["f"], ["mid", "hi"])
    fixed = np.column_stack([one, x, f, f * x[:, None]])
    return fixed, [by(["g"], one, x), by(["h"], one)]


RESPONSES = {
    "sleep": "Reaction",
    "penicillin": "diameter",
    "pastes": "strength",
    "machines": "score",
    "score": "score",
    "syn": "y",
}
CASES = [
    "sleep_slope_reml",
    "sleep_slope_ml",
    "penicillin_reml",
    "penicillin_ml",
    "pastes_nested_reml",
    "machines_nested_reml",
    "machines_nested_ml",
    "syn_weights_offset_slope_reml",
]
INTERIOR_KR = [c for c in CASES if c.endswith("_reml") and not c.startswith("syn")]


def at_reference(case_id: str) -> tuple[ReferenceCase, oracle.Solution]:
    """The oracle's solution at R's covariance matrices (in R's order of the factors)."""
    case = load_case(case_id)
    data = case.data()
    needed = ["y", "x", "f", "g", "h", "w", "off"] if case_id.startswith("syn") else list(data)
    data = data.dropna(subset=needed).reset_index(drop=True)
    fixed, blocks = design(case, data)
    problem = oracle.Problem(
        y=data[RESPONSES[case_id.split("_")[0]]].to_numpy(float),
        X=fixed,
        blocks=tuple(blocks),
        weights=data[case.keywords["weights"]].to_numpy() if "weights" in case.keywords else None,
        offset=data[case.keywords["offset"]].to_numpy() if "offset" in case.keywords else None,
        reml=case.method == "REML",
    )
    s2 = case.results["sigma"] ** 2
    sigmas = [np.array(part["cov"], dtype=float) / s2 for part in case.results["varcomp"]]
    return case, oracle.solve(problem, sigmas)


def shifted(solution: oracle.Solution) -> oracle.Solution:
    """The same problem away from the optimum, where no derivative vanishes."""
    moved = [1.7 * s + 0.05 * np.eye(len(s)) for s in solution.sigmas]
    return oracle.solve(solution.problem, moved)


def criterion_at(problem: oracle.Problem, values: np.ndarray) -> float:
    """The criterion as a function of `coordinates`, for numerical derivatives."""
    return oracle.solve(
        problem, oracle.from_coordinates(values, [b.size for b in problem.blocks])
    ).criterion


def numerical_gradient(
    problem: oracle.Problem, sigmas: Sequence[np.ndarray], step: float = 1e-5
) -> np.ndarray:
    """Central differences of the criterion along `basis`, for checking `gradient`."""
    at = oracle.coordinates(sigmas)
    around = [(at + h, at - h) for h in step * np.eye(len(at))]
    changes = [criterion_at(problem, up) - criterion_at(problem, down) for up, down in around]
    return np.array(changes) / (2 * step)


def numerical_hessian(
    problem: oracle.Problem, sigmas: Sequence[np.ndarray], step: float = 1e-5
) -> np.ndarray:
    """Central differences of `directional_gradient`, for checking `hessian`."""
    at, sizes = oracle.coordinates(sigmas), [b.size for b in problem.blocks]

    def slope(values: np.ndarray) -> np.ndarray:
        return oracle.directional_gradient(
            oracle.solve(problem, oracle.from_coordinates(values, sizes))
        )

    changes = [slope(at + h) - slope(at - h) for h in step * np.eye(len(at))]
    return np.array(changes) / (2 * step)


@pytest.mark.parametrize("case_id", CASES)
def test_criterion_sigma_and_fixed_effects_are_those_of_lmer(case_id: str) -> None:
    case, solution = at_reference(case_id)
    results = case.results
    assert solution.problem.n == results["n_obs"]
    assert solution.criterion == pytest.approx(results["criterion"], rel=1e-10)
    assert np.sqrt(solution.sigma2) == pytest.approx(results["sigma"], rel=1e-8)
    np.testing.assert_allclose(solution.beta, list(results["fixef"].values()), rtol=1e-7)
    np.testing.assert_allclose(solution.vcov, results["vcov"], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("case_id", CASES)
def test_fitted_values_and_modes_are_those_of_lmer(case_id: str) -> None:
    case, solution = at_reference(case_id)
    head = case.results["fitted"]["head"]
    np.testing.assert_allclose(solution.fitted[: len(head)], head, rtol=1e-8)
    population = case.results["fitted_population"]
    np.testing.assert_allclose(solution.fitted_population.sum(), population["sum"], rtol=1e-8)
    stored = {tuple(part["group"].split(":")): part for part in case.results["ranef"]}
    blocks = [tuple(part["group"].split(":")) for part in case.results["varcomp"]]
    for group, modes, covariance in zip(blocks, solution.modes(), solution.condvar(), strict=True):
        part = stored[group]
        ours, theirs = np.sort(modes, axis=0), np.sort(np.array(part["values"]), axis=0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
        condsd = np.sqrt(np.einsum("jaa->ja", covariance))
        np.testing.assert_allclose(
            np.sort(condsd, axis=0), np.sort(np.array(part["condsd"]), axis=0), rtol=1e-6
        )


def test_conditional_covariances_are_those_of_lmer() -> None:
    case, solution = at_reference("sleep_slope_reml")
    (part,) = case.results["ranef"]
    np.testing.assert_allclose(solution.condvar()[0], part["condcov"], rtol=1e-6)


@pytest.mark.parametrize("case_id", CASES)
def test_the_gradient_vanishes_at_lmers_optimum(case_id: str) -> None:
    _, solution = at_reference(case_id)
    newton = np.linalg.solve(oracle.hessian(solution), oracle.directional_gradient(solution))
    size = np.abs(oracle.coordinates(solution.sigmas)).max()
    assert np.abs(newton).max() < 1e-6 * size


@pytest.mark.parametrize("case_id", CASES)
def test_derivatives_agree_with_central_differences(case_id: str) -> None:
    _, solution = at_reference(case_id)
    away = shifted(solution)
    exact = oracle.directional_gradient(away)
    numeric = numerical_gradient(away.problem, away.sigmas)
    np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-6 * np.abs(exact).max())
    hessian = oracle.hessian(away)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9 * np.abs(hessian).max())
    numeric = numerical_hessian(away.problem, away.sigmas)
    np.testing.assert_allclose(hessian, numeric, rtol=1e-5, atol=1e-6 * np.abs(hessian).max())


@pytest.mark.parametrize("case_id", CASES)
def test_satterthwaite_df_are_those_of_lmertest(case_id: str) -> None:
    case, solution = at_reference(case_id)
    stored = [row["df"] for row in case.results["satterthwaite"]["coef"].values()]
    ours = [oracle.satterthwaite_df(solution, unit) for unit in np.eye(solution.problem.p)]
    np.testing.assert_allclose(ours, stored, rtol=1e-4)


@pytest.mark.parametrize("case_id", CASES)
def test_the_face_of_full_rank_gives_the_interior_df(case_id: str) -> None:
    _, solution = at_reference(case_id)
    factors = [np.linalg.cholesky(s) for s in solution.sigmas]
    for unit in np.eye(solution.problem.p):
        face = oracle.satterthwaite_df_on_face(solution, factors, unit)
        assert face == pytest.approx(oracle.satterthwaite_df(solution, unit), rel=1e-5)


@pytest.mark.parametrize("case_id", ["score_full_reml", "score_full_ml"])
def test_satterthwaite_df_on_the_face_of_a_singular_fit(case_id: str) -> None:
    case, solution = at_reference(case_id)
    values, vectors = np.linalg.eigh(solution.sigmas[0])
    factor = vectors[:, -1:] * np.sqrt(values[-1])
    stored = [row["df"] for row in case.results["satterthwaite"]["coef"].values()]
    ours = [oracle.satterthwaite_df_on_face(solution, [factor], unit) for unit in np.eye(2)]
    np.testing.assert_allclose(ours, stored, rtol=1e-4)


@pytest.mark.parametrize("case_id", INTERIOR_KR)
def test_kenward_roger_is_that_of_pbkrtest(case_id: str) -> None:
    case, solution = at_reference(case_id)
    stored = case.results["kenward_roger"]
    adjusted = oracle.kenward_roger(solution)
    scale = np.sqrt(np.outer(np.diag(stored["vcov"]), np.diag(stored["vcov"])))
    np.testing.assert_allclose(adjusted.vcov / scale, stored["vcov"] / scale, atol=1e-6)
    for unit, row in zip(np.eye(solution.problem.p), stored["coef"].values(), strict=True):
        test = oracle.kenward_roger_test(adjusted, solution.beta, unit)
        assert test.den_df == pytest.approx(row["df"], rel=1e-4)
        assert test.statistic == pytest.approx(row["t"] ** 2, rel=1e-4)


def test_kenward_roger_f_test_of_two_rows_is_that_of_pbkrtest() -> None:
    case, solution = at_reference("machines_nested_reml")
    row = case.results["kenward_roger"]["anova_type3"]["Machine"]
    adjusted = oracle.kenward_roger(solution)
    test = oracle.kenward_roger_test(adjusted, solution.beta, np.eye(3)[1:])
    assert test.num_df == 2
    assert test.den_df == pytest.approx(row["den_df"], rel=1e-6)
    assert test.statistic == pytest.approx(row["F"], rel=1e-6)


def test_weights_are_inverse_relative_variances() -> None:
    _, solution = at_reference("syn_weights_offset_slope_reml")
    weights = solution.problem.weights
    assert weights is not None
    doubled = replace(solution.problem, weights=2 * weights)
    scaled = oracle.solve(doubled, [s / 2 for s in solution.sigmas])
    assert scaled.criterion == pytest.approx(solution.criterion, rel=1e-12)
    assert scaled.sigma2 == pytest.approx(2 * solution.sigma2, rel=1e-10)


def test_compound_symmetric_residuals_are_a_random_intercept() -> None:
    _, solution = at_reference("penicillin_reml")
    problem, (plate, sample) = solution.problem, solution.sigmas
    together = problem.blocks[0].outer(np.eye(1))
    rho = float(plate[0, 0]) / (1 + float(plate[0, 0]))
    correlation = (1 - rho) * np.eye(problem.n) + rho * together
    marginal = replace(problem, blocks=problem.blocks[1:], correlation=correlation)
    same = oracle.solve(marginal, [sample * (1 - rho)])
    assert same.criterion == pytest.approx(solution.criterion, rel=1e-12)
    np.testing.assert_allclose(same.vcov, solution.vcov, rtol=1e-10)


def test_prediction_errors_exceed_conditional_variances() -> None:
    _, solution = at_reference("sleep_slope_reml")
    excess = solution.prediction_error()[0] - solution.condvar()[0]
    assert np.linalg.eigvalsh(excess).min() > 0
