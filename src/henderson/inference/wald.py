"""t- and F-tests of linear hypotheses about the fixed effects, and Wald intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from henderson.errors import DesignError
from henderson.inference.ddf import DdfMethod, ddf_method, used_method
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    from henderson.fit import Fit


_NUMBER = re.compile(r"[\d.]+(?:e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Contrast:
    """Estimate, standard error and test of one linear combination of the fixed effects.

    label : the hypothesis as an equation, "a - b = 0".
    """

    label: str
    estimate: float
    std_error: float
    statistic: float
    df: float
    p_value: float
    lower: float
    upper: float


@dataclass(frozen=True, repr=False)
class TestResult(Printed):
    """t-tests of each row of a hypothesis L beta = q, and the F-test of all of them together.

    Attributes
    ----------
    contrasts : one per row.
    matrix : L (r, p); value : q (r,).
    F, num_df, den_df, p_value : the joint test.
    ddf : how the denominator degrees of freedom were found; level : of the intervals.
    """

    __test__ = False  # a name that pytest would collect

    contrasts: tuple[Contrast, ...]
    matrix: np.ndarray
    value: np.ndarray
    F: float
    num_df: int
    den_df: float
    p_value: float
    ddf: str
    level: float = 0.95

    def to_frame(self) -> pd.DataFrame:
        """One row a contrast."""
        columns = ["estimate", "std_error", "statistic", "df", "p_value", "lower", "upper"]
        rows = [[getattr(c, name) for name in columns] for c in self.contrasts]
        return pd.DataFrame(rows, columns=columns, index=[c.label for c in self.contrasts])

    def _parts(self) -> list[Shown]:
        from henderson.tables.console import test_parts

        return test_parts(self)

    def __str__(self) -> str:
        from henderson.tables.console import test_text

        return test_text(self)


def coefficient_ddf(fit: Fit, ddf: str) -> pd.Series:
    """Denominator df (p,) of every fixed effect."""
    method = ddf_method(fit, ddf)
    each = [method.joint(row[None])[0] for row in np.eye(fit.design.p)]
    return pd.Series(each, index=fit.design.names, name="df", dtype=float)


def t_pvalues(statistics: pd.Series, df: pd.Series) -> pd.Series:
    """Two-sided p-values of t statistics."""
    values = [two_sided(t, v) for t, v in zip(statistics, df, strict=True)]
    return pd.Series(values, index=statistics.index, name="p_value", dtype=float)


def two_sided(statistic: float, df: float) -> float:
    """P(|T| > |statistic|), T a t variable with `df` (infinite: normal)."""
    if np.isinf(df):
        return float(2.0 * special.ndtr(-abs(statistic)))
    return float(2.0 * special.stdtr(df, -abs(statistic)))


def t_quantile(probability: float, df: float) -> float:
    """The quantile of a t variable with `df` (infinite: normal)."""
    if np.isinf(df):
        return float(special.ndtri(probability))
    return float(special.stdtrit(df, probability))


def wald_interval(fit: Fit, level: float, ddf: str) -> pd.DataFrame:
    """Intervals (p, 2) of the fixed effects."""
    check_level(level)
    df = coefficient_ddf(fit, ddf)
    reach = standard_errors(fit, ddf) * [t_quantile(0.5 + level / 2.0, v) for v in df]
    return pd.DataFrame({"lower": fit.params - reach, "upper": fit.params + reach})


def standard_errors(fit: Fit, ddf: str) -> pd.Series:
    """Standard errors (p,) that go with a ddf method: Kenward and Roger's are adjusted."""
    sd = np.sqrt(np.diag(ddf_method(fit, ddf).cov_beta))
    return pd.Series(sd, index=fit.design.names, name="std_error")


def check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise DesignError(f"A confidence level lies between 0 and 1 (such as 0.95), not {level}.")


def wald_test(fit: Fit, hypothesis: Any, ddf: str, level: float = 0.95) -> TestResult:
    """Test L beta = q; see `Fit.test`."""
    check_level(level)
    ddf = used_method(fit, ddf)
    matrix, value, labels = parse_hypothesis(hypothesis, fit.design.names)
    method = ddf_method(fit, ddf)
    contrasts = tuple(
        _contrast(fit, row, q, label, method, level)
        for row, q, label in zip(matrix, value, labels, strict=True)
    )
    rank = int(np.linalg.matrix_rank(matrix))
    if rank < len(matrix):
        raise DesignError("The hypothesis has rows that follow from the others: leave them out.")
    gap = matrix @ fit.params.to_numpy() - value
    den, scale = method.joint(matrix)
    cov = matrix @ method.cov_beta @ matrix.T
    f = scale * float(gap @ np.linalg.solve(cov, gap)) / rank
    return TestResult(contrasts, matrix, value, f, rank, den, f_tail(f, rank, den), ddf, level)


def f_tail(f: float, num: int, den: float) -> float:
    """P(F(num, den) > f); a chi-square over num when den is infinite."""
    if np.isinf(den):
        return float(special.chdtrc(num, num * f))
    return float(special.fdtrc(num, den, f))


def _contrast(
    fit: Fit, row: np.ndarray, value: float, label: str, method: DdfMethod, level: float
) -> Contrast:
    estimate = float(row @ fit.params.to_numpy())
    se = float(np.sqrt(row @ method.cov_beta @ row))
    if se == 0.0:
        raise DesignError(f"The hypothesis '{label}' says nothing about the fixed effects.")
    df, _ = method.joint(row[None])
    statistic = (estimate - value) / se
    reach = t_quantile(0.5 + level / 2.0, df) * se
    p = two_sided(statistic, df)
    return Contrast(label, estimate, se, statistic, df, p, estimate - reach, estimate + reach)


def parse_hypothesis(
    hypothesis: Any, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """L (r, p), q (r,) and a label per row from text, a list of texts, a mapping or a matrix.

    Raises
    ------
    DesignError : a name that is no fixed effect, or a matrix of the wrong width.
    """
    if isinstance(hypothesis, str):
        return _from_texts([hypothesis], names)
    if isinstance(hypothesis, dict):
        texts = [f"`{k}` = {v}" if k in names else f"{k} = {v}" for k, v in hypothesis.items()]
        return _from_texts(texts, names)
    if isinstance(hypothesis, (list, tuple)) and all(isinstance(h, str) for h in hypothesis):
        return _from_texts(list(hypothesis), names)
    matrix = np.atleast_2d(np.asarray(hypothesis, dtype=float))
    if matrix.shape[1] != len(names):
        raise DesignError(
            f"The hypothesis has {matrix.shape[1]} columns; the model has {len(names)} fixed "
            f"effects: {', '.join(names) or 'none'}."
        )
    value = np.zeros(len(matrix))
    return matrix, value, _labels(matrix, value, names)


def _labels(matrix: np.ndarray, value: np.ndarray, names: Sequence[str]) -> list[str]:
    """Every row as an equation: "a - 2*b = 0"."""
    return [_equation(row, q, names) for row, q in zip(matrix, value, strict=True)]


def _equation(row: np.ndarray, value: float, names: Sequence[str]) -> str:
    terms = [(c, n) for c, n in zip(row, names, strict=True) if c]
    first = next((i for i, (c, _) in enumerate(terms) if c > 0), 0)  # "b - a" rather than "-a + b"
    terms = [*terms[first : first + 1], *terms[:first], *terms[first + 1 :]]
    pieces = [
        f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c):.4g}*'}{n}" for c, n in terms
    ]
    left = " ".join(pieces) or "0"
    left = "-" + left[2:] if left.startswith("- ") else left.removeprefix("+ ")
    return f"{left} = {value:.6g}"


def _from_texts(texts: list[str], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rows, values = zip(*(_rows(text, names) for text in texts), strict=True)
    matrix, q = np.vstack(rows).astype(float), np.concatenate(values).astype(float)
    return matrix, q, _labels(matrix, q, names)


def _rows(text: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """L (r, p) and q (r,) of one text, such as "a - b = 0, c = 1" or a name."""
    from formulaic.utils.constraints import LinearConstraints

    if text.strip() in names:
        return np.array([[float(n == text.strip()) for n in names]]), np.zeros(1)
    plain, variables = _with_plain_names(text, names)
    try:
        found = LinearConstraints.from_spec(plain, variable_names=variables)
    except Exception as error:
        raise DesignError(
            f"Cannot read the hypothesis '{text}': {_first_line(error)} "
            f"The fixed effects are {', '.join(names) or 'none'}."
        ) from error
    return np.atleast_2d(found.constraint_matrix), np.atleast_1d(found.constraint_values)


def _first_line(error: Exception) -> str:
    """formulaic's message without the place that it marks with terminal colours."""
    return str(error).partition("\n")[0].rstrip(".") + "."


def _with_plain_names(text: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """The text and the names with identifiers for names that an equation could not hold.

    A number is a number: a column of that name needs backticks.
    """
    plain = {name: name if name.isidentifier() else f"_{i}_" for i, name in enumerate(names)}
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(f"`{name}`", plain[name])
        if not _NUMBER.fullmatch(name) and not name.isidentifier():
            text = text.replace(name, plain[name])
    return text, [plain[name] for name in names]
